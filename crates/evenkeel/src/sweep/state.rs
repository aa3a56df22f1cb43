//! How far is a run of a sweep? Its folder says so; nothing else is kept.

use crate::config::Config;
use crate::store::{Metrics, Run, files, number};
use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// What a finished run came to: its `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Numbers {
    /// Wall time, measurements included.
    pub seconds: f64,
    /// Mean training loss of the last epoch.
    pub train_loss: f64,
    /// Loss over the test samples.
    pub test_loss: f64,
    /// Accuracy over the test samples, where there are classes.
    pub test_accuracy: Option<f64>,
    /// The largest eigenvalue of the Hessian at the end, where it was measured.
    pub lambda_max: Option<f64>,
}

impl Numbers {
    fn of(summary: &Map<String, Value>) -> Numbers {
        let known = |name: &str| summary.get(name).and_then(number::from_json).filter(|number| number.is_finite());
        let number = |name: &str| known(name).unwrap_or(f64::NAN);
        Numbers {
            seconds: number("seconds"),
            train_loss: number("train_loss"),
            test_loss: number("test_loss"),
            test_accuracy: known("test_accuracy"),
            lambda_max: known("lambda_max"),
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// There is no such run.
    Missing,
    /// It was interrupted after so many steps.
    Begun {
        /// Steps that are recorded.
        step: u64,
    },
    /// A number was not finite; the same would happen again.
    Diverged {
        /// The first step with such a number.
        step: u64,
    },
    /// It could not be trained to its end.
    Failed {
        /// Why.
        why: String,
    },
    /// It is whole.
    Finished(Numbers),
}

impl State {
    /// Whether nothing is left to do.
    pub fn is_settled(&self) -> bool {
        matches!(self, State::Diverged { .. } | State::Finished(_))
    }

    /// Steps of it that are done, as far as it is not at its end.
    pub fn steps(&self) -> u64 {
        match self {
            State::Begun { step } => *step,
            _ => 0,
        }
    }

    /// The state in a few words, of a run of so many steps.
    pub fn words(&self, steps: u64) -> String {
        match self {
            State::Missing => "to do".to_owned(),
            State::Begun { step } => format!("begun, step {step} of {steps}"),
            State::Diverged { step } => format!("diverged at step {step}"),
            State::Failed { why } => format!("failed: {why}"),
            State::Finished(numbers) => match numbers.test_accuracy {
                Some(accuracy) => format!("test accuracy {accuracy:.4}, test loss {:.4}", numbers.test_loss),
                None => format!("test loss {:.4}", numbers.test_loss),
            },
        }
    }

    /// What the folder of a run of so many steps tells.
    ///
    /// # Errors
    /// When the folder cannot be read, or holds what is no run.
    pub(super) fn of(dir: &Path, steps: u64) -> Result<State> {
        if !dir.join("run.toml").exists() {
            return Ok(State::Missing);
        }
        let run = Run::open(dir)?;
        if let Some(summary) = run.summary()?
            && summary.get("steps").and_then(Value::as_u64) == Some(steps)
        {
            return Ok(State::Finished(Numbers::of(&summary)));
        }
        Ok(Self::of_metrics(&run.metrics()?))
    }

    fn of_metrics(metrics: &Metrics) -> State {
        match metrics.first_not_finite() {
            Some(step) => State::Diverged { step },
            None => State::Begun { step: metrics.records.last().map_or(0, |record| record.step) },
        }
    }
}

/// Clears what a killed process left in a folder that is no run yet.
pub(super) fn clear(dir: &Path) {
    files::sweep(dir);
}

/// Refuses to go on with a run of other settings. Only what the results do not depend on may differ.
pub(super) fn refuse_other(dir: &Path, wanted: &Config, what: &str, but: &[&str], hint: &str) -> Result<()> {
    let text = files::read_text(dir, TEXT_LIMIT)?;
    let found = Config::resolve(Some((dir, &text)), &[])?;
    match wanted.first_difference(&found, but) {
        None => Ok(()),
        Some((key, wanted, found)) => Err(Error::input(format!("{what} with another {}", key.path))
            .detail("file", dir.display())
            .detail("key", key.path)
            .detail("expected", found)
            .detail("got", wanted)
            .hint(hint)),
    }
}

/// The largest configuration that is read, in bytes.
const TEXT_LIMIT: u64 = 16 << 20;
