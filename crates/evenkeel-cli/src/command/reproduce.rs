//! `evenkeel reproduce`.

use super::words;
use crate::arguments::{Common, Reproduce as Flags};
use crate::interrupt;
use crate::output::{Output, duration};
use evenkeel::claims::{Check, Chosen, Outcome, Reproduction, Results, Scale, Verdict, Watch, all_reproduced, select};
use evenkeel::{Error, ErrorKind, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where results go unless said otherwise.
const RESULTS: &str = "runs/claims";
/// Where data is looked for unless said otherwise.
const DATA: [&str; 2] = ["data", "../shared/data"];
/// Lines are not longer than this where they can be broken.
const COLUMNS: usize = 120;

pub(crate) fn run(flags: &Flags, common: &Common, output: &Output) -> Result<()> {
    let chosen = select(&flags.claims)?;
    if flags.list {
        return list(&chosen, output);
    }
    let seeds = flags.seeds.as_deref().map(|word| words::whole("--seeds", word, 1)).transpose()?;
    let scale = words::choice("--scale", &flags.scale, Scale::ALL, Scale::word)?;
    let seed = common.seed.as_deref().map(|word| words::whole("--seed", word, 0)).transpose()?;
    let watcher = Arc::new(Watcher { bar: bar(output), interrupted: interrupt::flag()? });
    let all = Reproduction {
        scale,
        seeds: seeds.map(|seeds| usize::try_from(seeds).unwrap_or(usize::MAX)),
        seed: seed.unwrap_or(0),
        data: data(flags)?,
        watch: watcher.clone(),
    };
    let results = Results::in_dir(flags.out.clone().unwrap_or_else(|| RESULTS.into()));
    let (mut outcomes, mut failures): (Vec<Outcome>, Vec<Error>) = (Vec::new(), Vec::new());
    for (index, one) in chosen.iter().enumerate() {
        let share = all.seeds.map_or(1.0, |seeds| seeds as f64 / one.claim.seeds.max(1) as f64);
        let time = duration(share * f64::from(one.claim.seconds));
        watcher.start(&format!("{one} ({} of {}), about {time} on two cores", index + 1, chosen.len()), output);
        let judged = all.judge(*one);
        watcher.bar.finish_and_clear();
        match judged {
            Ok(outcome) => {
                results.write(&outcome)?;
                let new_paper = outcomes.last().is_none_or(|last| last.paper != outcome.paper);
                output.text(&told(&outcome, new_paper))?;
                outcomes.push(outcome);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                failures.insert(0, interrupted(chosen.len() - index));
                break;
            }
            Err(error) => {
                output.warning(&format!("{one} could not be run: {error}"));
                failures.push(error);
            }
        }
    }
    let (page, passed_over) = if outcomes.is_empty() { (None, Vec::new()) } else { paged(&results)? };
    output.document(&json!({ "claims": outcomes.iter().map(document).collect::<Vec<_>>(), "page": page }))?;
    for error in passed_over {
        output.warning(&error.to_string());
    }
    if let Some(page) = page {
        output.note(&format!("page  {}", page.display()));
    }
    match failures.into_iter().next() {
        Some(first) => Err(first),
        None => all_reproduced(&outcomes),
    }
}

fn paged(results: &Results) -> Result<(Option<PathBuf>, Vec<Error>)> {
    let (page, passed_over) = results.write_page()?;
    Ok((Some(page), passed_over))
}

fn interrupted(left: usize) -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted; finished results are kept")
        .detail("left", if left == 1 { "1 claim".to_owned() } else { format!("{left} claims") })
}

/// The folders that may hold data sets; one that was named has to be there.
fn data(flags: &Flags) -> Result<Vec<PathBuf>> {
    match &flags.data {
        None => Ok(DATA.map(PathBuf::from).to_vec()),
        Some(folder) if folder.is_dir() => Ok(vec![folder.clone()]),
        Some(folder) => Err(Error::input("the folder of the data sets is not there")
            .detail("folder", folder.display())
            .hint("name the folder that holds `mnist`, `fashion-mnist`, `cifar-10` or `tinyshakespeare`")),
    }
}

/// Papers and claims, and about how long they take.
fn list(chosen: &[Chosen], output: &Output) -> Result<()> {
    let mut text = String::new();
    let mut documents: Vec<Value> = Vec::new();
    for (index, one) in chosen.iter().enumerate() {
        let (paper, claim) = (one.paper, one.claim);
        if index == 0 || chosen[index - 1].paper.number != paper.number {
            text += &format!("{}  {}\n", paper.number, paper.title);
            documents.push(json!({ "paper": paper.number, "title": paper.title, "claims": [] }));
        }
        text += &hanging(&format!("{:>2}  ", claim.number), claim.title);
        text += &format!("    about {}, {}\n", duration(f64::from(claim.seconds)), seeds(claim.seeds));
        if let Some(claims) = documents.last_mut().and_then(|paper| paper["claims"].as_array_mut()) {
            claims.push(json!({
                "claim": claim.number,
                "title": claim.title,
                "recipe": claim.recipe,
                "wanted": claim.wanted,
                "seeds": claim.seeds,
                "seconds": claim.seconds,
            }));
        }
    }
    output.text(&text)?;
    output.document(&json!({ "papers": documents }))
}

/// A result as a paragraph, below its paper's title.
fn told(outcome: &Outcome, new_paper: bool) -> String {
    let mut text = String::new();
    if new_paper {
        text += &format!("{}  {}\n", outcome.paper, outcome.paper_title);
    }
    text += &hanging(&format!("{:>2}  ", outcome.claim), &outcome.title);
    for (index, check) in outcome.checks.iter().enumerate() {
        let label = if index == 0 { "measured" } else { "" };
        text += &hanging(&format!("    {label:9}  "), &measured(check));
    }
    text += &hanging("    wanted     ", &outcome.wanted);
    let cost = format!("({}, {})", seeds(outcome.seeds), duration(outcome.seconds));
    match (&outcome.reason, outcome.verdict) {
        (Some(reason), Verdict::Inconclusive) => {
            text += &hanging("    verdict    ", &format!("{}: {reason}   {cost}", outcome.verdict));
        }
        _ => text += &format!("    verdict    {}   {cost}\n", outcome.verdict),
    }
    for note in &outcome.notes {
        text += &hanging("    note       ", note);
    }
    text
}

/// A check and what it wanted, where it does not hold.
fn measured(check: &Check) -> String {
    let fails = match check.outcome() {
        Some(true) => String::new(),
        Some(false) => format!(", not {}", check.wanted()),
        None => format!(", wanted {}", check.wanted()),
    };
    let record = if check.decides() { "" } else { " (for the record)" };
    format!("{}: {}{fails}{record}", check.what(), check.measured())
}

fn seeds(count: usize) -> String {
    if count == 1 { "1 seed".to_owned() } else { format!("{count} seeds") }
}

/// A label and a text that is broken between words, its further lines below its first.
fn hanging(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let mut lines = String::from(label);
    let mut column = indent;
    for (index, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > COLUMNS {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines.push('\n');
    lines
}

/// A result for a program: all of it but the figure.
fn document(outcome: &Outcome) -> Value {
    let mut document = json!(outcome);
    if let Some(keys) = document.as_object_mut() {
        keys.shift_remove("figure");
    }
    document
}

fn bar(output: &Output) -> ProgressBar {
    let bar = if output.shows_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let color = if output.has_color() { ".cyan" } else { "" };
    if let Ok(style) = ProgressStyle::with_template(&format!("{{msg}}  {{bar:30{color}}} {{pos}}/{{len}}  {{elapsed}}"))
    {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

/// Shows a bar of an experiment's jobs, and passes on Ctrl-C.
struct Watcher {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Watcher {
    /// The next experiment: a bar on a terminal, a line elsewhere.
    fn start(&self, about: &str, output: &Output) {
        if !output.shows_progress() {
            return output.note(about);
        }
        self.bar.reset();
        self.bar.set_length(1);
        self.bar.set_message(about.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }
}

impl Watch for Watcher {
    fn jobs(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}
