//! `evenkeel runs [DIR]`.

use super::{base, current};
use crate::arguments::Runs;
use crate::command::words;
use crate::output::{Output, grouped, number, table};
use evenkeel::store::index::filter::{Filter, SortKey};
use evenkeel::store::index::{Listed, Order};
use evenkeel::{Error, Result};
use serde_json::json;
use std::io::ErrorKind as IoKind;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn run(flags: &Runs, output: &Output) -> Result<()> {
    let base = base(flags);
    let filter = flags.filter.as_deref().map(Filter::parse).transpose()?;
    let limit = flags.limit.as_deref().map(|word| words::whole("--limit", word, 1)).transpose()?;
    let order = match &flags.sort {
        Some(key) => Order::By { key: SortKey::parse(key)?, descending: flags.descending },
        None if flags.descending => {
            return Err(Error::input("--descending needs something to sort by")
                .hint("add it as in `--sort test_accuracy --descending`; without --sort the youngest come first"));
        }
        None => Order::Youngest,
    };
    let is_new = std::fs::metadata(&base).is_err_and(|error| error.kind() == IoKind::NotFound);
    if is_new && flags.dir.is_none() {
        output.document(&json!({ "runs": [] }))?;
        output.note("there are no runs yet; `evenkeel train` makes one in runs/");
        return Ok(());
    }
    let (index, changes) = current(&base, output)?;
    let runs = index.list(filter.as_ref(), &order, limit)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    output.text(&lines(&runs, now))?;
    output.document(&json!({ "runs": runs }))?;
    if changes.runs == 0 && runs.is_empty() {
        output.note(&format!("there are no runs in {}", base.display()));
    } else if runs.is_empty() {
        output.note(&format!("none of {} runs is left by the filter", grouped(changes.runs as u64)));
    }
    Ok(())
}

fn lines(runs: &[Listed], now: f64) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["run", "status", "model", "data", "epochs", "steps", "test_accuracy", "test_loss", "age", "tags"]
            .map(str::to_owned),
    ];
    for run in runs {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.push([
            run.name.clone(),
            run.status.to_string(),
            or_dash(run.model.clone()),
            // The folder behind it is long and tells little.
            or_dash(run.data.as_ref().and_then(|data| Some(data.split(':').next()?.to_owned()))),
            epochs(run),
            or_dash(run.steps.map(grouped)),
            or_dash(run.test_accuracy.map(|accuracy| format!("{accuracy:.4}"))),
            or_dash(run.test_loss.map(number)),
            age(now - run.created),
            run.tags.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        ]);
    }
    table(&rows, &[4, 5, 6, 7, 8])
}

/// `3/30`, or what is known of it.
fn epochs(run: &Listed) -> String {
    let done = run.epochs.unwrap_or(0.0);
    // A part of an epoch shows where it is all there is.
    let done = if done > 0.0 && done < 1.0 { format!("{done:.1}") } else { format!("{}", done.floor()) };
    match run.epochs_wanted {
        Some(wanted) => format!("{done}/{wanted}"),
        None => done,
    }
}

/// `now`, `5 min`, `3 h`, `12 d`.
fn age(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => "now".to_owned(),
        s if s < 3600.0 => format!("{} min", (s / 60.0) as u64),
        s if s < 48.0 * 3600.0 => format!("{} h", (s / 3600.0) as u64),
        s => format!("{} d", (s / 86400.0) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_name_their_units() {
        assert_eq!([5.0, 400.0, 7300.0, 9e5].map(age), ["now", "6 min", "2 h", "10 d"]);
    }
}
