//! Where a run stands: what a checkpoint keeps beside tensors.

use super::evaluate::Evaluation;
use super::step::StepResult;
use crate::optim::Pace;
use crate::{Error, Result};
use serde_json::{Value, json};

/// Steps done, and the sums of the epoch in work.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub(crate) step: u64,
    /// Wall time before this process took over.
    pub(crate) seconds: f64,
    pub(crate) epoch: Epoch,
    /// Means of the last whole epoch.
    pub(crate) last: Evaluation,
    /// The rate before the schedule's course, and the momentum, that a learner has set.
    pub(crate) learned: Option<Pace>,
}

impl Default for Progress {
    fn default() -> Self {
        let last = Evaluation { loss: f64::NAN, accuracy: f64::NAN };
        Progress { step: 0, seconds: 0.0, epoch: Epoch::default(), last, learned: None }
    }
}

/// Sums over the steps of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Epoch {
    loss: f64,
    accuracy: f64,
    steps: u64,
}

impl Epoch {
    pub(crate) fn add(&mut self, result: &StepResult) {
        self.loss += result.loss;
        self.accuracy += result.accuracy;
        self.steps += 1;
    }

    pub(crate) fn mean(&self) -> Evaluation {
        let steps = self.steps.max(1) as f64;
        Evaluation { loss: self.loss / steps, accuracy: self.accuracy / steps }
    }
}

/// Floats are kept by their bits: a resumed run adds to exactly the same sums.
fn bits(value: f64) -> Value {
    json!(format!("{:016x}", value.to_bits()))
}

impl Progress {
    pub(crate) fn to_json(&self, seconds: f64) -> Value {
        let mut state = json!({
            "format": 1,
            "step": self.step,
            "seconds": seconds,
            "epoch": {
                "steps": self.epoch.steps,
                "loss": bits(self.epoch.loss),
                "accuracy": bits(self.epoch.accuracy),
            },
            "last_epoch": { "loss": bits(self.last.loss), "accuracy": bits(self.last.accuracy) },
        });
        if let Some(Pace { rate, momentum }) = self.learned {
            state["learned"] = json!({ "rate": bits(rate), "momentum": momentum.map(bits) });
        }
        state
    }

    pub(crate) fn from_json(step: u64, value: &Value) -> Result<Progress> {
        let broken = |key: &str| {
            Error::input("state.json of the checkpoint lacks a value")
                .detail("key", key)
                .detail("got", format!("format {}", value["format"]))
                .hint("it was written by another version: train anew into another folder with `--out DIR`")
        };
        let float = |part: &str, key: &str| {
            let text = value[part][key].as_str().unwrap_or_default();
            u64::from_str_radix(text, 16).map(f64::from_bits).map_err(|_| broken(&format!("{part}.{key}")))
        };
        if value["step"].as_u64() != Some(step) {
            return Err(broken("step"));
        }
        let learned = match (&value["learned"], &value["learned"]["momentum"]) {
            (Value::Null, _) => None,
            (_, Value::Null) => Some(Pace::from(float("learned", "rate")?)),
            _ => Some(Pace { rate: float("learned", "rate")?, momentum: Some(float("learned", "momentum")?) }),
        };
        Ok(Progress {
            step,
            seconds: value["seconds"].as_f64().ok_or_else(|| broken("seconds"))?,
            epoch: Epoch {
                steps: value["epoch"]["steps"].as_u64().ok_or_else(|| broken("epoch.steps"))?,
                loss: float("epoch", "loss")?,
                accuracy: float("epoch", "accuracy")?,
            },
            last: Evaluation { loss: float("last_epoch", "loss")?, accuracy: float("last_epoch", "accuracy")? },
            learned,
        })
    }
}
