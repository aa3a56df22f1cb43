//! `evenkeel sweep`.

use super::settings::FLAGS;
use super::sweep_watch::Watcher;
use super::train::RUNS;
use super::words;
use crate::arguments::{Common, Sweep as Flags};
use crate::interrupt;
use crate::output::{Output, bytes, grouped, number};
use evenkeel::sweep::{Axis, Mean, Plan, Results, State, Sweep};
use evenkeel::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn run(flags: &Flags, common: &Common, output: &Output) -> Result<()> {
    let seeds = words::whole("--seeds", &flags.seeds, 1)?;
    let jobs = flags.jobs.as_deref().map(|word| words::whole("--jobs", word, 1)).transpose()?;
    let short: Vec<(&str, &str)> = FLAGS.iter().map(|(flag, key)| (flag.trim_start_matches('-'), *key)).collect();
    let axes = flags.grid.iter().map(|grid| Axis::read(grid, &short)).collect::<Result<Vec<_>>>()?;
    if axes.is_empty() && seeds == 1 {
        return Err(Error::input("a sweep of one run is no sweep").hint(
            "vary a setting with `--grid lr=0.1,0.01`, take several seeds with `--seeds 5`, or use `evenkeel train`",
        ));
    }
    let text = flags.settings.text()?;
    let file = flags.settings.config.as_deref().zip(text.as_deref());
    let overrides = flags.settings.overrides(common)?;
    let seeds = usize::try_from(seeds).unwrap_or(usize::MAX);
    let sweep = Sweep::new(file, &overrides, axes, seeds)?;
    let dir = flags.out.clone().unwrap_or_else(|| Path::new(RUNS).join(sweep.name()));
    let plan = sweep.plan(&dir, jobs.map(|jobs| usize::try_from(jobs).unwrap_or(usize::MAX)))?;
    if flags.plan {
        return planned(&plan, output);
    }
    let watcher = Watcher::new(&plan, output, interrupt::flag()?);
    if plan.workers < plan.wanted {
        output.warning(&format!("{} at a time instead of {}, for want of memory", runs(plan.workers), plan.wanted));
    }
    let results = plan.run(&watcher);
    watcher.end();
    let results = results?;
    let page = results.write_page()?;
    output.text(&table(&results))?;
    let mut document = json!(results);
    document["page"] = json!(page);
    output.document(&document)?;
    output.note(&format!("page  {}", page.display()));
    verdict(&results)
}

/// What the command ends with.
fn verdict(results: &Results) -> Result<()> {
    let all = results.runs();
    if results.interrupted() > 0 {
        return Err(Error::new(
            ErrorKind::Interrupted,
            format!("interrupted; {} of {all} runs are finished", results.finished()),
        )
        .detail("kept", results.sweep.display())
        .hint("the same command again goes on from there"));
    }
    if results.finished() > 0 {
        return Ok(());
    }
    let reason = results.points.iter().flat_map(|row| &row.runs).find_map(|run| match &run.state {
        State::Failed { why } => Some(why),
        _ => None,
    });
    Err(match reason {
        Some(why) if results.diverged() == 0 => Error::numerical(format!("all {} failed", runs(all))).detail("first", why),
        _ => Error::numerical(format!("none of {} came to its end", runs(all)))
            .detail("diverged", results.diverged())
            .hint("try smaller rates: `--grid lr=0.01,0.001`; the report of a run says where its numbers stopped being finite"),
    })
}

pub(super) fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{} runs", grouped(count as u64)) }
}

/// Prints what would be done.
fn planned(plan: &Plan, output: &Output) -> Result<()> {
    let count = |wanted: fn(&State) -> bool| plan.jobs.iter().filter(|job| wanted(&job.state)).count();
    let finished = count(|state| matches!(state, State::Finished(_)));
    let diverged = count(|state| matches!(state, State::Diverged { .. }));
    let begun = count(|state| matches!(state, State::Begun { .. }));
    let left = plan.jobs.iter().filter(|job| !job.state.is_settled()).count();
    let steps: u64 =
        plan.jobs.iter().filter(|job| !job.state.is_settled()).map(|job| job.steps - job.state.steps()).sum();
    let limit = plan.memory_limit();
    let counted = if limit.is_some() { "" } else { ", measurements not counted" };
    let mut lines = vec![
        ("folder", plan.dir().display().to_string()),
        ("runs", format!("{}, {} of {}", grouped(plan.jobs.len() as u64), combinations(plan.points()), seeds(plan))),
        ("finished", finished.to_string()),
        ("diverged", diverged.to_string()),
        ("to do", format!("{left}, {begun} of them begun; {} steps", grouped(steps))),
        ("at a time", plan.workers.to_string()),
        ("memory", format!("{} for all at a time{counted}", bytes(plan.peak_bytes))),
    ];
    if let Some(available) = plan.available_bytes {
        lines.push(("available now", bytes(usize::try_from(available).unwrap_or(usize::MAX))));
    }
    let mut text: String = lines.iter().map(|(label, value)| format!("{label:13}  {value}\n")).collect();
    let width = plan.jobs.iter().map(|job| job.name.chars().count()).max().unwrap_or(0);
    text.push('\n');
    for job in &plan.jobs {
        text += &format!("{:width$}  {}\n", job.name, job.state.words(job.steps));
    }
    output.text(&text)?;
    let jobs = plan.jobs.iter().map(|job| {
        let mut document = json!(job.state);
        document["run"] = json!(job.dir);
        document["name"] = json!(job.name);
        document["steps"] = json!(job.steps);
        document
    });
    output.document(&json!({
        "sweep": plan.dir(),
        "runs": jobs.collect::<Vec<Value>>(),
        "at_a_time": plan.workers,
        "peak_bytes": plan.peak_bytes,
        "available_bytes": plan.available_bytes,
        "memory_limit": limit.map(|limit| limit.0),
    }))
}

fn combinations(count: usize) -> String {
    if count == 1 { "1 combination".to_owned() } else { format!("{} combinations", grouped(count as u64)) }
}

fn seeds(plan: &Plan) -> String {
    let seeds = plan.jobs.len() / plan.points().max(1);
    if seeds == 1 { "1 seed".to_owned() } else { format!("{seeds} seeds each") }
}

/// The results as a table: one row a combination.
fn table(results: &Results) -> String {
    let mean = |mean: &Option<Mean>, digits: fn(f64) -> String| match mean {
        None => "–".to_owned(),
        Some(Mean { mean, standard_error: None }) => digits(*mean),
        Some(Mean { mean, standard_error: Some(error) }) => format!("{} ± {}", digits(*mean), short(*error)),
    };
    let four = |value: f64| format!("{value:.4}");
    let has_accuracy = results.has_accuracy();
    let measured = results.points.iter().any(|row| row.lambda_max.is_some());
    let mut head: Vec<String> = results.axes.keys().cloned().collect();
    let left = head.len();
    head.push("finished".into());
    head.extend(has_accuracy.then(|| "test accuracy".into()));
    head.push("test loss".into());
    head.extend(measured.then(|| "lambda_max".into()));
    head.extend(["seconds".into(), String::new()]);
    let mut rows = vec![head];
    for row in &results.points {
        let mut cells: Vec<String> = row.values().map(str::to_owned).collect();
        cells.push(format!("{}/{}", row.finished, row.runs.len()));
        cells.extend(has_accuracy.then(|| mean(&row.test_accuracy, four)));
        cells.push(mean(&row.test_loss, number));
        cells.extend(measured.then(|| mean(&row.lambda_max, number)));
        cells.push(mean(&row.seconds, |seconds| format!("{seconds:.1}")));
        let best = if row.best { "best".to_owned() } else { String::new() };
        cells.push([best, row.remark()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "));
        rows.push(cells);
    }
    aligned(&rows, left)
}

/// Columns of equal width: words to the left, numbers to the right, the last one as it is.
fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            column if column < left || column + 1 == columns => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Two digits of an error.
fn short(error: f64) -> String {
    match error {
        0.0 => "0.0".to_owned(),
        _ if !(1e-4..1e4).contains(&error) => format!("{error:.1e}"),
        _ => format!("{error:.*}", (1.0 - error.log10().floor()).max(0.0) as usize),
    }
}
