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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn progress() -> impl Strategy<Value = Progress> {
        let numbers = prop::array::uniform4(any::<u64>().prop_map(f64::from_bits));
        let learned = prop::option::of((any::<f64>(), prop::option::of(any::<f64>())));
        (any::<u64>(), any::<u64>(), 0.0..1e9, numbers, learned).prop_map(|(step, steps, seconds, numbers, learned)| {
            let learned = learned.map(|(rate, momentum)| Pace { rate, momentum });
            let [loss, accuracy, last_loss, last_accuracy] = numbers;
            let last = Evaluation { loss: last_loss, accuracy: last_accuracy };
            Progress { step, seconds, epoch: Epoch { loss, accuracy, steps }, last, learned }
        })
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[0-9a-f+-]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
    }

    proptest! {
        #[test]
        fn it_comes_back_from_text_bit_for_bit(progress in progress()) {
            let text = progress.to_json(progress.seconds).to_string();
            let back = Progress::from_json(progress.step, &serde_json::from_str(&text).unwrap()).unwrap();
            prop_assert_eq!(back.to_json(back.seconds), progress.to_json(progress.seconds));
        }

        #[test]
        fn any_other_value_in_it_is_read_or_refused_with_its_name(progress in progress(), place: prop::sample::Index, value in json()) {
            let mut state = progress.to_json(0.0);
            let paths = ["", "/step", "/seconds", "/epoch", "/epoch/steps", "/epoch/loss", "/epoch/accuracy", "/last_epoch/loss"];
            *state.pointer_mut(paths[place.index(paths.len())]).unwrap() = value;
            if let Err(error) = Progress::from_json(progress.step, &state) {
                prop_assert!(error.to_string().contains("state.json of the checkpoint lacks a value"), "{}", error);
            }
        }
    }
}
