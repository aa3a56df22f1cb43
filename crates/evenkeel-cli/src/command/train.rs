//! `evenkeel train`.

use crate::arguments::{Common, Train};
use crate::interrupt;
use crate::output::{Output, bytes, duration, grouped, number, work_columns};
use evenkeel::config::{Config, KEYS, Key, OptimizerKind, Override};
use evenkeel::experiment::{Experiment, config_of};
use evenkeel::norm::Invariance;
use evenkeel::store::{LearnerMeasurement, Run, fresh_run_dir};
use evenkeel::train::{Event, Observer, Outcome, PlannedLearner, TrainingPlan, train, without_effect};
use evenkeel::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// Where runs go unless said otherwise.
pub(super) const RUNS: &str = "runs";

pub(crate) fn run(flags: &Train, common: &Common, output: &Output) -> Result<()> {
    let overrides = flags.settings.overrides(common)?;
    if flags.resume {
        return resume(flags, &overrides, output);
    }
    let config = flags.settings.resolve(&overrides)?;
    if flags.plan {
        return plan(&Experiment::survey(config)?, output);
    }
    let experiment = Experiment::new(config)?;
    let interrupted = interrupt::flag()?;
    let dir = match &flags.out {
        Some(dir) => dir.clone(),
        None => fresh_run_dir(Path::new(RUNS), &run_name(&experiment))?,
    };
    let result = follow(&experiment, &dir, false, output, interrupted);
    if result.is_err() && flags.out.is_none() {
        // A run that was refused leaves no empty folder behind; one that holds anything stays.
        let _ = fs::remove_dir(&dir);
        let _ = fs::remove_dir(RUNS);
    }
    result
}

fn resume(flags: &Train, overrides: &[Override], output: &Output) -> Result<()> {
    if flags.settings.config.is_some() {
        return Err(Error::input("a resumed run has its own configuration")
            .hint("leave the file out; single keys change with `--set key=value`"));
    }
    let dir = match &flags.out {
        Some(dir) => dir.clone(),
        None => newest_run(Path::new(RUNS))?,
    };
    let run = Run::open(&dir)?;
    let (before, config) = (config_of(&run, &[])?, config_of(&run, overrides)?);
    refuse_other_run(&before, &config)?;
    if flags.plan {
        return plan(&Experiment::survey(config)?, output);
    }
    let experiment = Experiment::new(config)?;
    follow(&experiment, &dir, true, output, interrupt::flag()?)
}

/// What makes up the identity of a run cannot change under it.
fn refuse_other_run(before: &Config, after: &Config) -> Result<()> {
    let fixed = [
        "model",
        "norm",
        "activation",
        "initialization",
        "initialization_scale",
        "init",
        "loss",
        "dtype",
        "batch_size",
        "seed",
        "data",
        "batch_norm",
        "weight_norm",
        "batch_entropy",
        "optimizer.name",
        "averaging.name",
        "entropy_sgd.variant",
    ];
    let is_fixed = |key: &Key| fixed.contains(&key.path) || fixed.contains(&key.section);
    // The same data may lie elsewhere now: whether it is the same, the checkpoint knows.
    let may_change = |key: &&Key| !is_fixed(key) || key.path == "data.source";
    let may_change: Vec<&str> = KEYS.iter().filter(may_change).map(|key| key.path).collect();
    match before.first_difference(after, &may_change) {
        None => Ok(()),
        Some((key, old, new)) => Err(Error::input(format!("{} cannot change when a run is resumed", key.path))
            .detail("key", key.path)
            .detail("expected", old)
            .detail("got", new)
            .hint("leave it out, or train a new run with `--out DIR`")),
    }
}

pub(super) fn run_name(experiment: &Experiment) -> String {
    format!("{}-{}", experiment.config.model.name, experiment.dataset.name)
}

/// The run whose metrics were written last, of those that are not at their end if there are any.
fn newest_run(base: &Path) -> Result<PathBuf> {
    let modified = |dir: &Path| -> Option<SystemTime> { fs::metadata(dir.join("metrics")).ok()?.modified().ok() };
    let entries = match fs::read_dir(base) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("look for runs", base, &error));
        }
        // Without the folder there are no runs.
        entries => entries.into_iter().flatten(),
    };
    // The summary is written at the end.
    let is_left = |dir: &Path| !dir.join("summary.json").exists();
    let runs = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let runs = runs.filter_map(|dir| Some((is_left(&dir), modified(&dir)?, dir)));
    runs.max().map(|(.., dir)| dir).ok_or_else(|| {
        Error::input("there is no run to resume")
            .detail("folder", base.display())
            .hint("name one with `--out DIR`, or start one with `evenkeel train`")
    })
}

/// Prints what training would take.
fn plan(experiment: &Experiment, output: &Output) -> Result<()> {
    let plan = TrainingPlan::new(experiment)?;
    let mut text = String::new();
    let mut line = |label: &str, size: usize, note: &str| {
        text += format!("{label:16}  {:>10}  {note}", bytes(size)).trim_end();
        text.push('\n');
    };
    let config = &experiment.config;
    line("parameters", plan.parameter_bytes, &format!("{} numbers", grouped(plan.parameters as u64)));
    line("buffers", plan.buffer_bytes, "");
    line("optimiser state", plan.optimizer_bytes, "");
    line("data", plan.data_bytes, &config.data.source);
    let parts = config.micro_batch_size.map_or(String::new(), |size| format!(", in parts of {size}"));
    line("activations", plan.activation_bytes, &format!("of a step with batch {}{parts}", config.batch_size));
    line("evaluation", plan.evaluation_bytes, "");
    line("batch", plan.batch_bytes, "");
    line("checkpoint", plan.checkpoint_bytes, "to read it");
    let counted = if config.memory_limit.is_some() { "" } else { "measurements not counted" };
    line("peak", plan.peak_bytes, counted);
    if let Some(limit) = config.memory_limit {
        line("limit", limit.bytes(), "for measurements, too");
    }
    if let Some(available) = plan.available_bytes {
        line("available now", usize::try_from(available).unwrap_or(usize::MAX), "");
    }
    let operations = |count: u64| format!("{:.3} GFLOP", count as f64 / 1e9);
    let again = match plan.again_flops {
        0 => String::new(),
        again => format!(" ({} of it again, for want of memory)", operations(again)),
    };
    text += &format!("\na step multiplies and adds {}{again}; what computes most:\n", operations(plan.step_flops));
    for (work, columns) in plan.most_flops.iter().zip(work_columns(plan.most_flops.iter())) {
        text += &format!("  {columns}  {:>14}\n", operations(work.flops));
    }
    text += "what reads and writes most:\n";
    for (work, columns) in plan.most_bytes.iter().zip(work_columns(plan.most_bytes.iter())) {
        text += &format!("  {columns}  {:>14}\n", bytes(work.bytes as usize));
    }
    text += &rescaled(&plan);
    text += &format!("training samples: {}\n", plan.transforms.join(", "));
    text += &rates(&plan);
    output.text(&text)?;
    output.document(&json!(plan))?;
    without_effect(experiment).iter().for_each(|what| output.warning(what));
    if let Err(error) = plan.check() {
        output.warning(error.what());
    }
    Ok(())
}

/// The weights that are rescaled; those of long networks not all.
fn rescaled(plan: &TrainingPlan) -> String {
    const SHOWN: usize = 8;
    if plan.rescaled.is_empty() {
        return String::new();
    }
    let shown = plan.rescaled.iter().take(SHOWN).map(|(path, of)| match of {
        Invariance::Unit => path.clone(),
        Invariance::Layer => format!("{path} as a whole"),
    });
    let more = match plan.rescaled.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("rescaled weights: {}{more}\n", shown.collect::<Vec<_>>().join(", "))
}

/// What a learner of rate and momentum will do.
fn learner(plan: &PlannedLearner) -> String {
    let PlannedLearner { kind, first, looks, samples, products, max_rate: _ } = plan;
    let when = match first {
        Some(step) => format!(
            "{} {}, the first before step {}",
            grouped(*looks),
            if *looks == 1 { "look" } else { "looks" },
            grouped(step + 1)
        ),
        None => "no look, the run is over before".to_owned(),
    };
    let how = format!("{} samples and {} Hessian products each", grouped(*samples as u64), grouped(*products as u64));
    format!("learned by {kind} from the curvature: {when}; {how}\n")
}

/// The learning rate over the run as a row of bars.
fn rates(plan: &TrainingPlan) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let rates = &plan.learning_rates;
    let most = rates.iter().map(|at| at.rate).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (rates.first(), rates.last()) else { return String::new() };
    let bar = |rate: f64| BARS[((8.0 * rate / most).ceil() as usize).min(8)];
    let row: String = rates.iter().map(|at| bar(at.rate)).collect();
    let (upper, learner) = match &plan.learner {
        Some(learner) => (", at its most", self::learner(learner)),
        None => ("", String::new()),
    };
    format!(
        "learning rate over {} {}{upper}: {} at first, {} at most, {} at last\n  {row}\n{learner}",
        grouped(plan.steps),
        if plan.steps == 1 { "step" } else { "steps" },
        number(first.rate),
        number(most),
        number(last.rate)
    )
}

fn follow(
    experiment: &Experiment,
    dir: &Path,
    resume: bool,
    output: &Output,
    interrupted: Arc<AtomicBool>,
) -> Result<()> {
    let config = &experiment.config;
    without_effect(experiment).iter().for_each(|what| output.warning(what));
    let about = format!(
        "{} on {} ({} training and {} test samples), norm {}",
        config.model,
        config.data.source,
        grouped(experiment.dataset.train.len() as u64),
        grouped(experiment.dataset.test.len() as u64),
        config.norm,
    );
    let mut watcher = Watcher::new(output, about, config, interrupted);
    let outcome = train(experiment, dir, resume, &mut watcher);
    watcher.bar.finish_and_clear();
    let outcome = outcome?;
    output.text(&summary(&outcome, config))?;
    let mut document = json!(outcome);
    document["converged"] = json!(watcher.converged);
    output.document(&document)?;
    output.note(&format!("report  {}", outcome.report.display()));
    Ok(())
}

fn summary(outcome: &Outcome, config: &Config) -> String {
    let mut text = format!(
        "run            {}\nsteps          {}\nseconds        {:.1}\ntrain loss     {:.6}\ntest loss      {:.6}\n",
        outcome.run.display(),
        outcome.steps,
        outcome.seconds,
        outcome.train_loss,
        outcome.test_loss
    );
    if !outcome.test_accuracy.is_nan() {
        text += &format!("test accuracy  {:.4}\n", outcome.test_accuracy);
    }
    if let Some(best) = outcome.best {
        let name = best.metric.replace('_', " ");
        text += &format!("best           {}  ({name} at step {}, kept)\n", number(best.value), grouped(best.step));
    }
    if let Some(lambda) = outcome.lambda_max {
        text += &format!("lambda_max     {}  (norm mode {})\n", number(lambda), config.measure.norm_mode.word());
    }
    text
}

/// An accuracy for a line, nothing where there are no classes.
fn accuracy(value: f64, digits: usize) -> String {
    if value.is_nan() { String::new() } else { format!("  accuracy {value:.digits$}") }
}

/// What a look at the curvature made of rate and momentum.
fn learned(found: &LearnerMeasurement) -> String {
    let what = format!("learning rate {}, momentum {}", number(found.learning_rate), number(found.momentum));
    let from = match found.learned {
        true => format!("{}, |Ritz values| {} to {}", found.kind, number(found.least), number(found.largest)),
        false => "as before: the loss is flat".to_owned(),
    };
    let clipped = if found.clipped { ", clipped" } else { "" };
    format!(
        "step {}  {what}  ({from}{clipped}; {} samples, norm mode {}, {})",
        found.step,
        grouped(found.samples),
        found.norm_mode,
        duration(found.seconds)
    )
}

/// Shows a progress bar on a terminal, one line an epoch elsewhere.
struct Watcher<'o> {
    output: &'o Output,
    about: String,
    bar: ProgressBar,
    epochs: usize,
    /// Whether steps follow the gradient itself, so that 2/lr says something about them.
    has_threshold: bool,
    interrupted: Arc<AtomicBool>,
    converged: bool,
}

impl<'o> Watcher<'o> {
    fn new(output: &'o Output, about: String, config: &Config, interrupted: Arc<AtomicBool>) -> Self {
        let has_threshold = config.optimizer.name == OptimizerKind::Sgd;
        let bar = if output.shows_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = if output.has_color() {
            "{wide_bar:.cyan} {pos}/{len}  {msg}  {per_sec}  {eta} left"
        } else {
            "{wide_bar} {pos}/{len}  {msg}  {per_sec}  {eta} left"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ ").with_key(
                "per_sec",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    // A line that cannot be formatted is not shown.
                    let _ = write!(out, "{:.1} steps/s", state.per_sec());
                },
            ));
        }
        Watcher { output, about, bar, epochs: config.epochs, has_threshold, interrupted, converged: true }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Preparing { done, of } => {
                self.bar.set_length(*of as u64);
                self.bar.set_position(*done as u64);
            }
            Event::Prepared(found) => self.line(&super::init::line(found)),
            Event::Started { run, step, steps, parameters } => {
                self.bar.set_length(*steps);
                self.bar.set_position(*step);
                self.bar.reset_eta();
                let from = if *step > 0 { format!(", from step {}", grouped(*step)) } else { String::new() };
                self.line(&self.about);
                self.line(&format!(
                    "{} parameters, {} steps{from}, into {}",
                    grouped(*parameters as u64),
                    grouped(*steps),
                    run.display()
                ));
                if step == steps {
                    self.line("nothing is left to train; `--epochs N` goes further");
                }
            }
            Event::Step { step, result } => {
                self.bar.set_position(*step);
                let accuracy = accuracy(result.accuracy, 3);
                self.bar.set_message(format!("loss {:.4}{accuracy}", result.loss));
            }
            Event::Epoch { epoch, train, test } => {
                let width = self.epochs.to_string().len();
                self.line(&format!(
                    "epoch {epoch:>width$}/{}  train loss {:.4}{}  test loss {:.4}{}",
                    self.epochs,
                    train.loss,
                    accuracy(train.accuracy, 4),
                    test.loss,
                    accuracy(test.accuracy, 4)
                ));
            }
            Event::Measured(measurement) => {
                let Some(top) = measurement.top() else { return };
                self.converged &= top.converged;
                let state = if top.converged { "" } else { ", not converged" };
                let threshold = match self.has_threshold {
                    true => format!("2/lr {}; ", number(2.0 / measurement.learning_rate)),
                    false => String::new(),
                };
                self.line(&format!(
                    "step {}  lambda_max {}  ({threshold}{} samples, norm mode {}, {}{state})",
                    measurement.step,
                    number(top.value),
                    grouped(measurement.samples),
                    measurement.norm_mode,
                    duration(measurement.seconds)
                ));
            }
            Event::NotMeasured { what, step, why } => {
                self.line(&format!("step {step}  {what} not measured: {}", why.what()))
            }
            Event::Learned(found) => self.line(&learned(found)),
            Event::NotLearned { step, why } => {
                self.line(&format!("step {step}  learning rate and momentum stay as they are: {}", why.what()))
            }
            Event::PassedOver { broken, instead } => {
                self.bar.suspend(|| self.output.warning(&broken.to_string()));
                self.line(&format!("using the checkpoint of step {instead} instead"));
            }
            Event::MetricsLost(error) => self.bar.suspend(|| self.output.warning(&error.to_string())),
            Event::NotIndexed(error) => {
                let what = "the list of runs does not show this one yet; training goes on";
                self.bar.suspend(|| self.output.warning(&format!("{what}: {error}")));
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}
