//! What is kept of a look at the curvature that set the learning rate and the momentum of a run?

use serde::{Deserialize, Serialize};

use super::{Run, number};
use crate::Result;

/// What was learned at one step of a run, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnerMeasurement {
    /// Always [`LearnerMeasurement::PROBE`].
    pub probe: String,
    /// Steps taken before.
    pub step: u64,
    /// Which rule, as in `learner.kind`.
    pub kind: String,
    /// How normalisation layers took their statistics: `batch`.
    pub norm_mode: String,
    /// The number of samples the loss was averaged over.
    pub samples: u64,
    /// The type of the numbers computed with: `f32` or `f64`.
    pub dtype: String,
    /// The seed of the samples and of the vector.
    pub seed: u64,
    /// The Ritz values of the Hessian along the vector, signed, the largest first.
    #[serde(with = "number::list")]
    pub values: Vec<f64>,
    /// Their weights, which add up to 1.
    #[serde(with = "number::list")]
    pub weights: Vec<f64>,
    /// The largest size of a Ritz value; NaN where nothing was learned.
    #[serde(with = "number")]
    pub largest: f64,
    /// What counted as the least one.
    #[serde(with = "number")]
    pub least: f64,
    /// Whether anything was learned; if not, the spectrum was flat, and rate and momentum are those from before.
    pub learned: bool,
    /// The learning rate from here on, before the schedule's course.
    #[serde(with = "number")]
    pub learning_rate: f64,
    /// The momentum from here on.
    #[serde(with = "number")]
    pub momentum: f64,
    /// Whether rate or momentum are a bound of the learner.
    pub clipped: bool,
    /// The wall time.
    #[serde(with = "number", default)]
    pub seconds: f64,
    /// The version of Evenkeel that measured.
    #[serde(default)]
    pub version: String,
}

impl LearnerMeasurement {
    /// What it is called.
    pub const PROBE: &str = "learner";

    /// The name of its file, without folder and ending: `learner-STEP`.
    pub fn name(&self) -> String {
        format!("{}-{:06}", self.probe, self.step)
    }
}

impl Run {
    /// Writes a measurement under [`LearnerMeasurement::name`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_learned(&self, measurement: &LearnerMeasurement) -> Result<()> {
        self.write_measurement(&measurement.name(), measurement)
    }
}
