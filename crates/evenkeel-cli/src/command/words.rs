//! Reading the few flags that are words outside a configuration, and finding a run's checkpoint.

use crate::output::Output;
use evenkeel::config::{BestBy, NormMode, Precision};
use evenkeel::experiment::Experiment;
use evenkeel::graph::DType;
use evenkeel::store::{Checkpoint, Run};
use evenkeel::train::best_checkpoint;
use evenkeel::{Error, Result, nearest};

pub(crate) fn norm_mode(word: &str, allowed: &[NormMode]) -> Result<NormMode> {
    choice("--norm-mode", word, allowed, NormMode::word)
}

fn dtype(word: &str) -> Result<DType> {
    Ok(match choice("--dtype", word, Precision::ALL, Precision::word)? {
        Precision::F32 => DType::F32,
        Precision::F64 => DType::F64,
    })
}

/// One of some choices by its word.
pub(crate) fn choice<T: Copy>(flag: &str, word: &str, choices: &[T], word_of: fn(T) -> &'static str) -> Result<T> {
    let words = || choices.iter().map(|&choice| word_of(choice));
    let found = choices.iter().copied().find(|&choice| word_of(choice) == word);
    found.ok_or_else(|| unknown(flag, word, &words().collect::<Vec<_>>()))
}

/// A whole number of at least `least`.
pub(crate) fn whole(flag: &str, word: &str, least: u64) -> Result<u64> {
    word.parse().ok().filter(|number| *number >= least).ok_or_else(|| {
        Error::input(format!("{flag} cannot be '{word}'"))
            .detail("expected", format!("a whole number of at least {least}"))
            .detail("got", word)
    })
}

/// A finite number above 0.
pub(crate) fn positive(flag: &str, word: &str) -> Result<f64> {
    word.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite()).ok_or_else(|| {
        Error::input(format!("{flag} cannot be '{word}'"))
            .detail("expected", "a finite number above 0")
            .detail("got", word)
    })
}

fn unknown(flag: &str, word: &str, words: &[&str]) -> Error {
    let error = Error::input(format!("{flag} does not know '{word}'"))
        .detail("expected", format!("one of {}", words.join(", ")))
        .detail("got", word);
    match nearest(word, words.iter().copied()) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    }
}

/// A run's experiment in the asked type, and the checkpoint of a step or of the best epoch (the newest whole one without one).
pub(crate) fn load(
    run: &Run,
    step: Option<&str>,
    precision: Option<&str>,
    output: &Output,
) -> Result<(Experiment, u64, Checkpoint<'static>)> {
    let precision = precision.map(dtype).transpose()?;
    let is_best = step == Some("best");
    let step = step.filter(|_| !is_best).map(|step| whole("--step", step, 0)).transpose();
    let step = step.map_err(|error| error.hint("or say `--step best` for the best epoch"))?;
    let mut experiment = Experiment::new(evenkeel::experiment::config_of(run, &[])?)?;
    if let Some(precision) = precision {
        experiment = experiment.in_dtype(precision)?;
    }
    let step = if is_best { Some(best_step(run, experiment.config.checkpoint.best)?) } else { step };
    let (step, checkpoint) = match step {
        Some(step) => {
            let steps = run.checkpoint_steps()?;
            if !steps.contains(&step) {
                let known = steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::input(format!("the run has no checkpoint of step {step}"))
                    .detail("file", run.checkpoint_dir(step).display())
                    .detail("expected", format!("one of {known}"))
                    .hint("leave out `--step` for the newest"));
            }
            (step, run.load_checkpoint(step)?)
        }
        None => {
            let latest = run.load_latest()?;
            match (latest.found, latest.broken.into_iter().next()) {
                (Some(found), broken) => {
                    if let Some(broken) = broken {
                        output.warning(&format!("{broken}"));
                        output.note(&format!("using the checkpoint of step {} instead", found.0));
                    }
                    found
                }
                (None, Some(broken)) => return Err(broken),
                (None, None) => {
                    return Err(Error::input("the run has no checkpoint yet")
                        .detail("file", run.checkpoints_dir().display())
                        .hint("train first, or wait for the first checkpoint"));
                }
            }
        }
    };
    experiment.check_data(&checkpoint)?;
    Ok((experiment, step, checkpoint))
}

/// The step of the best epoch's checkpoint.
fn best_step(run: &Run, by: BestBy) -> Result<u64> {
    let best = best_checkpoint(run, &run.metrics()?, by)?;
    best.map(|best| best.step).ok_or_else(|| {
        let error =
            Error::input("the run has no checkpoint of a best epoch").detail("file", run.checkpoints_dir().display());
        match by.metric() {
            Some(metric) => error.detail("expected", format!("one at the end of an epoch, where {metric} is known")),
            None => error.detail("got", format!("checkpoint.best is {by} in run.toml")),
        }
        .hint("leave out `--step` for the newest")
    })
}
