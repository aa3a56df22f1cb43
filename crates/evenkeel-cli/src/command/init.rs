//! `evenkeel init`.

use super::settings::read_config;
use super::train::{RUNS, run_name};
use crate::arguments::{Common, Init};
use crate::interrupt;
use crate::output::{Output, duration, grouped, number};
use evenkeel::config::{Config, InitMethod, Initialization, Override};
use evenkeel::experiment::{Experiment, config_of};
use evenkeel::init::InitMeasurement;
use evenkeel::store::{Run, fresh_run_dir};
use evenkeel::train::start;
use evenkeel::{Error, Result, State, nearest};
use indicatif::ProgressBar;
use serde_json::json;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

/// The share of iterations beyond the bound from which on the loss was hardly looked at.
const HARDLY: f64 = 0.9;

pub(crate) fn run(flags: &Init, common: &Common, output: &Output) -> Result<()> {
    let method = flags.method.as_deref().map(Method::read).transpose()?;
    let overrides = overrides(flags, method, common)?;
    let run = flags.from.as_deref().filter(|from| from.is_dir()).map(Run::open).transpose()?;
    let config = match (&run, &flags.from) {
        (Some(run), _) => config_of(run, &overrides)?,
        (None, Some(path)) => Config::resolve(Some((path, &read_config(path)?)), &overrides)?,
        (None, None) => Config::resolve(None, &overrides)?,
    };
    let experiment = Experiment::new(config)?;
    let before = match &run {
        Some(run) => first_state(run, &experiment, output)?,
        None => experiment.initial_state(),
    };
    let interrupted = interrupt::flag()?;
    let bar = if output.shows_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let mut watch = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        if interrupted.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let prepared = match (method, experiment.config.init.method) {
        (Some(Method::Rule(_)), _) | (None, InitMethod::None) => experiment.redraw(&before),
        _ => experiment.prepare(before, &mut watch),
    };
    bar.finish_and_clear();
    let prepared = prepared?;
    let dir = match &flags.out {
        Some(dir) => dir.clone(),
        None => fresh_run_dir(Path::new(RUNS), &run_name(&experiment))?,
    };
    let made = start(&experiment, &dir, &prepared);
    if made.is_err() && flags.out.is_none() {
        // A run that was refused leaves no empty folder behind.
        let _ = fs::remove_dir(&dir);
    }
    let made = made?;
    let found = &prepared.measurement;
    output.text(&table(found))?;
    let mut document = json!(found);
    document["run"] = json!(made.dir());
    document["report"] = json!(made.report_path());
    output.document(&document)?;
    hints(found, output);
    output.note(&format!("report  {}", made.report_path().display()));
    output.note(&format!("train from it with `evenkeel train --resume --out {}`", made.dir().display()));
    Ok(())
}

/// What `--method` may say.
#[derive(Clone, Copy)]
enum Method {
    Adapt(InitMethod),
    Rule(Initialization),
}

impl Method {
    fn read(word: &str) -> Result<Method> {
        let methods = InitMethod::ALL.iter().copied().filter(|method| *method != InitMethod::None);
        if let Some(method) = methods.clone().find(|method| method.word() == word) {
            return Ok(Method::Adapt(method));
        }
        let rule = word.split(':').next().unwrap_or(word);
        if Initialization::WORDS.contains(&rule) {
            return word.parse().map(Method::Rule);
        }
        let words: Vec<&str> = methods.map(InitMethod::word).chain(Initialization::WORDS.iter().copied()).collect();
        let error = Error::input(format!("--method does not know '{word}'"))
            .detail("expected", format!("one of {}", words.join(", ")))
            .detail("got", word);
        Err(match nearest(word, words) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error,
        })
    }
}

fn overrides(flags: &Init, method: Option<Method>, common: &Common) -> Result<Vec<Override>> {
    let mut overrides = Vec::new();
    overrides.extend(common.seed.as_ref().map(|seed| Override::flag("--seed", "seed", seed)));
    for text in &flags.set {
        overrides.push(Override::set(text)?);
    }
    // Last of the kind that wins: the method is the point of the command.
    match method {
        Some(Method::Adapt(method)) => overrides.push(Override::set(&format!("init.method={method}"))?),
        Some(Method::Rule(rule)) => {
            overrides.push(Override::set("init.method=none")?);
            overrides.push(Override::set(&format!("initialization={rule}"))?);
        }
        None => {}
    }
    Ok(overrides)
}

/// The newest state of a run; before its first checkpoint, the one it would start from.
fn first_state(run: &Run, experiment: &Experiment, output: &Output) -> Result<State> {
    let latest = run.load_latest()?;
    match (latest.found, latest.broken.into_iter().next()) {
        (Some((step, checkpoint)), _) => {
            output.note(&format!("from {} at step {}", run.dir().display(), grouped(step)));
            experiment.state_of(checkpoint)
        }
        (None, Some(broken)) => Err(broken),
        (None, None) => Ok(experiment.initial_state()),
    }
}

/// One line for whoever watches a training.
pub(super) fn line(found: &InitMeasurement) -> String {
    format!(
        "{}  loss {} → {}, gradient norm {} → {}  ({})",
        found.method,
        number(found.before.loss),
        number(found.after.loss),
        number(found.before.gradient_norm),
        number(found.after.gradient_norm),
        duration(found.seconds)
    )
}

fn table(found: &InitMeasurement) -> String {
    let rows: Vec<[String; 4]> = found
        .parameters
        .iter()
        .map(|one| [one.parameter.clone(), number(one.scale), number(one.gradient_before), number(one.gradient_after)])
        .collect();
    let head = [&found.method[..], "factor", "gradient before", "after"];
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3].map(width);
    let line = |cells: [&str; 4]| {
        let [name, scale, before, after] = cells;
        let [a, b, c, d] = widths;
        format!("{name:a$}  {scale:>b$}  {before:>c$}  {after:>d$}\n")
    };
    let mut text = line(head);
    rows.iter().for_each(|[name, scale, before, after]| text += &line([name, scale, before, after]));
    let samples = grouped(found.samples);
    let mut whole = |label: &str, before: f64, after: f64| {
        text += &format!("{label:14}  {} → {}\n", number(before), number(after));
    };
    whole("loss", found.before.loss, found.after.loss);
    whole("gradient norm", found.before.gradient_norm, found.after.gradient_norm);
    if let (Some(before), Some(after)) = (found.before.loss_ahead, found.after.loss_ahead) {
        whole("loss a step on", before, after);
    }
    text + &format!("{:14}  {samples} training samples, {}\n", "over", duration(found.seconds))
}

fn hints(found: &InitMeasurement, output: &Output) {
    for left in &found.untouched {
        output.note(&format!("left as it was: {} ({})", left.path, left.reason));
    }
    if found.constant_units > 0 {
        output.warning(&format!(
            "{} units do not vary on the samples and keep their size",
            grouped(found.constant_units)
        ));
    }
    let share = found.share_beyond_bound();
    if share > HARDLY {
        output.warning(&format!(
            "in {:.0}% of the iterations the gradient was beyond its bound, so that the loss was hardly looked at: raise \
             `init.gradient_bound` or `init.iterations`",
            100.0 * share
        ));
    }
}
