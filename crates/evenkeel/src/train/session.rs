//! The loop: steps, evaluations, checkpoints, measurements, interruption and resume.

use super::best::{Best, best_checkpoint};
use super::evaluate::{Evaluation, Evaluator};
use super::event::{Event, Observer};
use super::fresh::Fresh;
use super::learning::{self, Learning};
use super::look::Look;
use super::plan::{TrainingPlan, check_batch, compile};
use super::progress::{Epoch, Progress};
use super::step::{StepResult, Trainer};
use super::supply::{Supply, batches_ahead};
use super::way_back::{first_place, metrics_lost, shell_word, smaller_rate, way_back};
use crate::ahead::Ahead;
use crate::batch::Batch;
use crate::config::{Config, InitMethod, NormMode};
use crate::data::Batches;
use crate::experiment::{Experiment, HessianProbe, config_of};
use crate::init::{InitMeasurement, Prepared};
use crate::network::{Noise, State};
use crate::nn::Targets;
use crate::norm::recalibrate;
use crate::optim::{Pace, Schedule};
use crate::report::write_report;
use crate::store::index::Follow;
use crate::store::{Checkpoint, Content, MetricsWriter, Record, Run, layer_metrics};
use crate::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// Batches at most that running statistics are taken anew from: their mean is then as good as it needs to be.
const RECALIBRATION_BATCHES: u64 = 100;

/// What a finished run came to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// The run's folder.
    pub run: PathBuf,
    /// Steps taken in all.
    pub steps: u64,
    /// Wall time in all, measurements included.
    pub seconds: f64,
    /// Mean training loss of the last epoch.
    pub train_loss: f64,
    /// Mean training accuracy of the last epoch; NaN, in JSON null, where there are no classes.
    pub train_accuracy: f64,
    /// Loss over the test samples.
    pub test_loss: f64,
    /// Accuracy over the test samples, in the same way.
    pub test_accuracy: f64,
    /// The largest eigenvalue of the Hessian at the end; `None` when it was not measured.
    pub lambda_max: Option<f64>,
    /// The checkpoint of the best epoch, which is kept; `None` where none is known by anything.
    pub best: Option<Best>,
    /// Numbers that were learned.
    pub parameters: usize,
    /// The report.
    pub report: PathBuf,
}

/// Trains as `experiment` says into a new run in `dir`, or goes on with the run there when `resume` is set.
///
/// # Errors
/// * [`ErrorKind::Input`]: the configuration, the data or the folder do not fit
/// * [`ErrorKind::Numerical`]: a number was not finite; the last checkpoint is kept
/// * [`ErrorKind::Interrupted`]: the observer stopped it; the state was saved
pub fn train(experiment: &Experiment, dir: &Path, resume: bool, observer: &mut dyn Observer) -> Result<Outcome> {
    let mut session = Session::open(experiment, dir, resume, observer)?;
    let result = session.run(observer).map_err(|error| session.leave(error));
    let mut index = session.end();
    if let Some(error) = index.now() {
        observer.event(&Event::NotIndexed(error));
    }
    result
}

/// The newest whole checkpoint; none in a run that was stopped before its first one.
fn newest(run: &Run, observer: &mut dyn Observer) -> Result<Option<(u64, Checkpoint<'static>)>> {
    let latest = run.load_latest()?;
    if let Some((instead, checkpoint)) = latest.found {
        latest.broken.into_iter().for_each(|broken| observer.event(&Event::PassedOver { broken, instead }));
        return Ok(Some((instead, checkpoint)));
    }
    // Starting over would throw away what the run holds.
    match latest.broken.into_iter().next() {
        Some(broken) => {
            let hint = "no checkpoint of this run is whole: copy the run again from its source, or train anew with `--out DIR`";
            Err(broken.hint(hint))
        }
        None if run.metrics()?.records.is_empty() => Ok(None),
        None => Err(Error::input("the run has metrics but no checkpoint to go on from")
            .detail("file", run.checkpoints_dir().display())
            .hint("copy the checkpoints back, or train anew with `--out DIR`")),
    }
}

/// Clears what the configuration does not keep: all but the newest checkpoints, the best one, and those up to step `spared`.
fn clear_checkpoints(run: &Run, config: &Config, best: Option<Best>, spared: u64) -> Result<()> {
    let is_kept = |step: u64| best.is_some_and(|best| best.step == step) || (spared > 0 && step <= spared);
    run.keep_checkpoints(config.checkpoint.keep, is_kept)
}

struct Session<'e> {
    experiment: &'e Experiment,
    run: Run,
    metrics: MetricsWriter,
    trainer: Trainer<'e>,
    look: Look<'e>,
    evaluator: Evaluator<'e>,
    schedule: Schedule,
    learning: Option<Learning<'e>>,
    progress: Progress,
    steps_per_epoch: u64,
    steps: u64,
    /// Seconds are counted from here.
    started: Instant,
    test: Evaluation,
    best: Option<Best>,
    /// The step up to which no checkpoint is cleared: the metrics do not have all steps up to there, so any of them may be the best.
    spared: u64,
    lambda_max: Option<f64>,
    /// What was made of the drawn weights, until it is written down.
    prepared: Option<InitMeasurement>,
    /// Set while nothing is in the run that is worth keeping.
    fresh: Option<Fresh>,
    /// Shows the run in the list of all.
    index: Follow,
    /// Nobody else trains this run meanwhile.
    _claim: Option<File>,
}

/// The state that a run starts from, where the configuration adapts the drawn weights.
fn prepare(experiment: &Experiment, observer: &mut dyn Observer) -> Result<Option<Prepared>> {
    if experiment.config.init.method == InitMethod::None {
        return Ok(None);
    }
    let mut watch = |done: usize, of: usize| {
        observer.event(&Event::Preparing { done, of });
        if observer.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    experiment.prepare(experiment.initial_state(), &mut watch).map(Some)
}

impl<'e> Session<'e> {
    fn open(experiment: &'e Experiment, dir: &Path, resume: bool, observer: &mut dyn Observer) -> Result<Self> {
        let config = &experiment.config;
        check_batch(experiment)?;
        // Everything that can be refused is refused before anything is written.
        let steps_per_epoch = experiment.steps_per_epoch();
        let steps = steps_per_epoch.checked_mul(config.epochs as u64).ok_or_else(|| {
            Error::input("that many epochs have more steps than can be counted")
                .detail("key", "epochs")
                .detail("expected", format!("at most {}", u64::MAX / steps_per_epoch))
                .detail("got", config.epochs)
        })?;
        let schedule = experiment.schedule();
        let (mut trainer, evaluator) = compile(experiment)?;
        TrainingPlan::of(experiment, &trainer, &evaluator).check()?;
        let mut prepared = if resume { None } else { prepare(experiment, observer)? };
        let mut progress = Progress::default();
        let (mut best, mut spared) = (None, 0);
        let made_folder = !dir.exists();
        let run = if resume { Run::open(dir)? } else { Run::create(dir, &config.to_toml())? };
        let claim = run.claim()?;
        let mut fresh = (!resume).then(|| Fresh { run: run.clone(), made_folder });
        let mut metrics = run.metrics_writer().inspect_err(|_| fresh.take().into_iter().for_each(Fresh::discard))?;
        if resume {
            trainer.forget_state();
            if let Some((step, checkpoint)) = newest(&run, observer)? {
                experiment.check_data(&checkpoint)?;
                progress = Progress::from_json(step, &checkpoint.state)?;
                if step > steps {
                    return Err(Error::input("the run has gone further than that")
                        .detail("key", "epochs")
                        .detail("expected", format!("at least {}", step.div_ceil(steps_per_epoch)))
                        .detail("got", config.epochs));
                }
                let (state, kept) = experiment.training_state_of(checkpoint)?;
                trainer.set_state(state, Some(kept))?;
            } else {
                trainer.set_state(experiment.initial_state(), None)?;
                prepared = prepare(experiment, observer)?;
            }
            let broken = metrics.truncate_after(progress.step)?.broken;
            let known = run.metrics()?;
            best = best_checkpoint(&run, &known, config.checkpoint.best)?;
            if broken > 0 || !known.has_all_steps(progress.step) {
                spared = progress.step;
                observer.event(&Event::MetricsLost(metrics_lost(&run, &known, broken, progress.step)));
            }
            // A process that was killed may have saved and not cleared up.
            clear_checkpoints(&run, config, best, spared)?;
            let text = config.to_toml_after(progress.step, &config_of(&run, &[])?, &run.config()?);
            crate::store::write_atomically(&run.config_path(), text.as_bytes())?;
        }
        let prepared =
            prepared.map(|Prepared { state, measurement }| trainer.set_state(state, None).map(|()| measurement));
        let prepared = prepared.transpose().inspect_err(|_| fresh.take().into_iter().for_each(Fresh::discard))?;
        trainer.set_noise(Noise { seed: config.seed, step: progress.step });
        let learning = Learning::of(experiment, steps_per_epoch);
        if learning.is_none() {
            progress.learned = None;
        }
        let nothing = Evaluation { loss: f64::NAN, accuracy: f64::NAN };
        Ok(Session {
            experiment,
            metrics,
            trainer,
            look: Look::new(experiment),
            evaluator,
            schedule,
            learning,
            progress,
            steps_per_epoch,
            steps,
            started: Instant::now(),
            test: nothing,
            best,
            spared,
            lambda_max: None,
            prepared,
            fresh,
            index: Follow::new(&run),
            run,
            _claim: claim,
        })
    }

    /// After a failure: a run that could not start is taken back, any other says what is kept and how to go on.
    fn leave(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Input {
            return error;
        }
        if let Some(fresh) = self.fresh.take() {
            fresh.discard();
            return error;
        }
        match self.run.checkpoint_steps().ok().and_then(|steps| steps.last().copied()) {
            Some(step) => error.detail("kept", self.run.checkpoint_dir(step).display()).hint(format!(
                "when this is mended, go on with `evenkeel train --resume --out {}`",
                shell_word(self.run.dir())
            )),
            None => error,
        }
    }

    fn config(&self) -> &'e Config {
        &self.experiment.config
    }

    fn seconds(&self) -> f64 {
        self.progress.seconds + self.started.elapsed().as_secs_f64()
    }

    fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        observer.event(&Event::Started {
            run: self.run.dir().to_path_buf(),
            step: self.progress.step,
            steps: self.steps,
            parameters: self.experiment.network.parameter_count(),
        });
        let measure = &self.config().measure;
        if self.progress.step == 0 {
            if let Some(measurement) = self.prepared.take() {
                self.run.write_measurement(&measurement.name(), &measurement)?;
                observer.event(&Event::Prepared(measurement));
            }
            self.save()?;
            if measure.start_and_end {
                self.measure(observer)?;
            }
        } else if self.is_measured_at(self.progress.step) && !self.has_measurement()? {
            // Interrupted in the middle of it.
            self.measure(observer)?;
        }
        self.fresh = None;
        if let Some(error) = self.index.now() {
            observer.event(&Event::NotIndexed(error));
        }
        let supply = Supply::of(self.experiment)?;
        thread::scope(|scope| {
            let mut supply = supply;
            let steps = self.progress.step..self.steps;
            let on_a_thread = batches_ahead(self.experiment) > 0;
            let mut batches = Ahead::new(scope, steps, move |step| supply.batch(step), on_a_thread);
            self.take_steps(observer, || batches.next())
        })?;
        self.finish(observer)
    }

    fn take_steps(&mut self, observer: &mut dyn Observer, mut next: impl FnMut() -> Result<Batch>) -> Result<()> {
        while self.progress.step < self.steps {
            if observer.interrupted() {
                return Err(self.interrupt()?);
            }
            self.learn(observer)?;
            let batch = next()?;
            let pace = self.pace(self.progress.step);
            let (result, layers) = self.look.step(&mut self.trainer, self.progress.step, &batch, pace, observer)?;
            if !result.is_finite() {
                return Err(self.diverged(&batch, result)?);
            }
            self.progress.step += 1;
            self.progress.epoch.add(&result);
            observer.event(&Event::Step { step: self.progress.step, result });
            let mut values = self.named([
                ("loss", result.loss),
                ("accuracy", result.accuracy),
                ("learning_rate", pace.rate),
                ("gradient_norm", result.gradient_norm),
                ("seconds", self.seconds()),
            ]);
            if self.learning.is_some() {
                let momentum = pace.momentum.unwrap_or(self.config().optimizer.momentum);
                values.push(("momentum".into(), momentum));
            }
            let ends_epoch = self.progress.step.is_multiple_of(self.steps_per_epoch);
            let mut is_best = false;
            if ends_epoch {
                values.extend(self.end_epoch(observer)?);
                is_best = self.judge(&values);
            }
            self.record(self.progress.step, values)?;
            for layers in layers.chunks(layer_metrics::IN_A_RECORD) {
                self.record(self.progress.step, layers.to_vec())?;
            }
            let last = self.progress.step == self.steps;
            if self.is_measured_at(self.progress.step) {
                self.measure(observer)?;
            }
            if last || is_best || self.is_saved_at(self.progress.step) {
                self.save()?;
                if let Some(error) = self.index.now_and_then() {
                    observer.event(&Event::NotIndexed(error));
                }
            }
        }
        Ok(())
    }

    /// The pace of the step after `step` steps.
    fn pace(&self, step: u64) -> Pace {
        learning::pace(self.config(), &self.schedule, self.progress.learned, step)
    }

    /// Looks at the curvature for rate and momentum, where that is due.
    fn learn(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let step = self.progress.step;
        let Some(learning) = self.learning.as_ref().filter(|learning| learning.is_due(step)) else { return Ok(()) };
        self.trainer.release();
        self.evaluator.release();
        let stop = || observer.interrupted();
        match learning.look(self.trainer.walker(), step, self.progress.learned, &stop) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(self.interrupt()?),
            Err(error) if matches!(error.kind(), ErrorKind::Numerical | ErrorKind::Memory) => {
                observer.event(&Event::NotLearned { step, why: error });
                Ok(())
            }
            found => {
                let (pace, measurement) = found?;
                self.run.write_learned(&measurement)?;
                self.progress.learned = pace;
                observer.event(&Event::Learned(measurement));
                Ok(())
            }
        }
    }

    /// Gives the run free for others.
    fn end(self) -> Follow {
        self.index
    }

    /// Whether a measurement is due on the way; the one at the end is [`Session::finish`]'s.
    fn is_measured_at(&self, step: u64) -> bool {
        let measure = &self.config().measure;
        let every = measure.every.unwrap_or(0) as u64;
        every > 0 && step.is_multiple_of(every) && !(step == self.steps && measure.start_and_end)
    }

    /// Whether a checkpoint is due, whatever the epoch was like.
    fn is_saved_at(&self, step: u64) -> bool {
        let checkpoint = &self.config().checkpoint;
        let steps = self.steps_per_epoch.saturating_mul(checkpoint.every_epochs as u64);
        step.is_multiple_of(steps) || checkpoint.every_steps.is_some_and(|every| step.is_multiple_of(every as u64))
    }

    /// Whether the epoch that these values tell of is the best so far.
    fn judge(&mut self, values: &[(String, f64)]) -> bool {
        let (by, step) = (self.config().checkpoint.best, self.progress.step);
        let value = values.iter().find(|(name, _)| Some(&name[..]) == by.metric()).map(|(_, value)| *value);
        self.best = Best::or_better(self.best, by, step, value);
        self.best.is_some_and(|best| best.step == step)
    }

    fn has_measurement(&self) -> Result<bool> {
        let here = |content: &Content| matches!(content, Content::Hessian(found) if found.step == self.progress.step);
        Ok(self.run.measurements()?.iter().any(|measurement| here(&measurement.content)))
    }

    /// Evaluates, and starts the sums of the next epoch.
    fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<Vec<(String, f64)>> {
        let train = self.progress.epoch.mean();
        self.evaluate()?;
        let test = self.test;
        if !test.loss.is_finite() {
            return Err(self.unanswerable()?);
        }
        self.progress.last = train;
        self.progress.epoch = Epoch::default();
        observer.event(&Event::Epoch { epoch: self.progress.step / self.steps_per_epoch, train, test });
        Ok(self.named([
            ("train_loss", train.loss),
            ("train_accuracy", train.accuracy),
            ("test_loss", test.loss),
            ("test_accuracy", test.accuracy),
        ]))
    }

    fn record(&mut self, step: u64, values: Vec<(String, f64)>) -> Result<()> {
        self.metrics.append(&Record { step, epoch: step as f64 / self.steps_per_epoch as f64, values })
    }

    /// Numbers of a record, without accuracies where there are no classes.
    fn named<const N: usize>(&self, values: [(&str, f64); N]) -> Vec<(String, f64)> {
        let has_classes = self.experiment.network.targets() == Targets::Classes;
        let told = |name: &str| has_classes || !name.ends_with("accuracy");
        values.into_iter().filter(|(name, _)| told(name)).map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn evaluate(&mut self) -> Result<()> {
        let dataset = &self.experiment.dataset;
        if self.trainer.has_stale_statistics() {
            let state = self.recalibrated()?;
            self.trainer.set_buffers(state.buffers)?;
        }
        self.test =
            self.evaluator.evaluate(dataset, &dataset.test, self.trainer.parameters(), self.trainer.buffers())?;
        Ok(())
    }

    /// The state with running statistics of its own parameters, from the first batches of the run's order.
    fn recalibrated(&self) -> Result<State> {
        let (experiment, config) = (self.experiment, self.config());
        let train = &experiment.dataset.train;
        let size = config.micro_batch_size.unwrap_or(config.batch_size);
        let mut order = Batches::new(config.seed, train.len(), size);
        let count = order.steps_per_epoch().min(RECALIBRATION_BATCHES);
        let batches = (0..count)
            .map(|step| Batch::some_of(&experiment.dataset, train, order.indices(step), experiment.network.dtype()));
        recalibrate(&experiment.network, &self.trainer.state(), batches)
    }

    fn measure(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let pace = self.pace(self.progress.step.min(self.steps.saturating_sub(1)));
        let probe = HessianProbe::from_config(self.config(), self.experiment.measured_samples(), pace);
        let stop = || observer.interrupted();
        // Measurements take memory of their own.
        self.trainer.release();
        self.evaluator.release();
        self.measure_batch_entropy()?;
        let measured = self.experiment.measure_hessian_until(self.trainer.state(), self.progress.step, &probe, &stop);
        let measurement = match measured {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(self.interrupt()?),
            // Where the loss overflows there is no curvature to tell, but training may go on, or say better why not; and
            // training may fit a memory limit that its measurements do not.
            Err(error) if matches!(error.kind(), ErrorKind::Numerical | ErrorKind::Memory) => {
                observer.event(&Event::NotMeasured { what: "lambda_max", step: self.progress.step, why: error });
                self.lambda_max = None;
                return Ok(());
            }
            measured => measured?,
        };
        self.run.write_hessian(&measurement)?;
        self.lambda_max = measurement.top().map(|top| top.value);
        observer.event(&Event::Measured(measurement));
        Ok(())
    }

    /// Where batch entropy is trained with, it is looked at, too.
    fn measure_batch_entropy(&mut self) -> Result<()> {
        if self.config().batch_entropy.weight == 0.0 {
            return Ok(());
        }
        let (samples, step) = (self.experiment.measured_samples().max(2), self.progress.step);
        let mode = match self.config().measure.norm_mode {
            NormMode::Frozen => NormMode::Batch,
            mode => mode,
        };
        self.run.write_layers(&self.experiment.measure_batch_entropy(&self.trainer.state(), step, samples, mode)?)
    }

    fn save(&mut self) -> Result<()> {
        let seconds = self.seconds();
        let rest = self.progress.to_json(seconds);
        let (parameters, buffers) = (self.trainer.parameters(), self.trainer.buffers());
        let checkpoint = self.experiment.checkpoint(parameters, buffers, self.trainer.optimizer_state(), rest);
        self.metrics.sync()?;
        self.run.save_checkpoint(self.progress.step, &checkpoint)?;
        clear_checkpoints(&self.run, self.config(), self.best, self.spared)
    }

    /// Saves the state and says how to go on.
    fn interrupt(&mut self) -> Result<Error> {
        self.save()?;
        Ok(Error::new(
            ErrorKind::Interrupted,
            format!("interrupted after step {} of {}", self.progress.step, self.steps),
        )
        .detail("kept", self.run.checkpoint_dir(self.progress.step).display())
        .hint(format!("go on with `evenkeel train --resume --out {}`", shell_word(self.run.dir()))))
    }

    /// Says where the numbers stopped being finite.
    fn diverged(&mut self, batch: &Batch, result: StepResult) -> Result<Error> {
        let suspects = [("loss", result.loss), ("objective", result.objective), ("gradient", result.gradient_norm)];
        let (what, value) = suspects.into_iter().find(|(_, value)| !value.is_finite()).unwrap_or(suspects[2]);
        let value = if value.is_nan() { "NaN" } else { "infinite" };
        let step = self.progress.step + 1;
        let values = self.named([
            ("loss", result.loss),
            ("accuracy", result.accuracy),
            ("gradient_norm", result.gradient_norm),
            ("seconds", self.seconds()),
        ]);
        self.record(step, values)?;
        let mut error = Error::numerical(format!("the {what} became {value} at step {step}"));
        if let Some(found) = self.trainer.diagnose(batch)? {
            error = error.detail("first", first_place(&found));
        }
        self.with_way_back(error)
    }

    /// The parameters are finite, but the test samples cannot be judged by them: this state is not worth a checkpoint.
    fn unanswerable(&mut self) -> Result<Error> {
        let value = if self.test.loss.is_nan() { "NaN" } else { "infinite" };
        self.record(self.progress.step, vec![("test_loss".into(), self.test.loss)])?;
        let error = Error::numerical(format!("the test loss became {value} at step {}", self.progress.step))
            .detail("first", "the evaluation with running statistics; the training loss is still finite");
        self.with_way_back(error)
    }

    /// Says what is kept of a run that diverged, and a command that goes on from it.
    fn with_way_back(&mut self, error: Error) -> Result<Error> {
        self.metrics.sync()?;
        write_report(&self.run)?;
        let rate = smaller_rate(
            self.progress.learned.map_or(self.config().optimizer.learning_rate, |pace| pace.rate),
            self.lambda_max,
        );
        let smaller = match self.learning {
            Some(_) => format!("--set learner.max_rate={rate}"),
            None => format!("--lr {rate}"),
        };
        way_back(&self.run, self.progress.step, &smaller, error)
    }

    fn finish(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        if self.test.loss.is_nan() {
            self.evaluate()?;
        }
        let measured = if self.config().measure.start_and_end { self.measure(observer) } else { Ok(()) };
        if measured.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
            measured.as_ref().map_err(Error::clone)?;
        }
        let outcome = Outcome {
            run: self.run.dir().to_path_buf(),
            steps: self.progress.step,
            seconds: self.seconds(),
            train_loss: self.progress.last.loss,
            train_accuracy: self.progress.last.accuracy,
            test_loss: self.test.loss,
            test_accuracy: self.test.accuracy,
            lambda_max: self.lambda_max,
            best: self.best,
            parameters: self.experiment.network.parameter_count(),
            report: self.run.report_path(),
        };
        let summary: Map<String, Value> = match json!(&outcome) {
            Value::Object(mut map) => {
                map.shift_remove("run");
                map.shift_remove("report");
                map
            }
            _ => Map::new(),
        };
        // The run is whole even when its end cannot be measured.
        self.run.write_summary(&summary)?;
        write_report(&self.run)?;
        measured.map(|()| outcome)
    }
}
