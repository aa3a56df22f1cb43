//! Rate and momentum that a run learns from its curvature: when it is looked at, and what is made of that.

use super::progress::Progress;
use crate::Result;
use crate::batch::Batch;
use crate::config::{Config, NormMode};
use crate::curvature::{Quadrature, QuadratureOptions};
use crate::data;
use crate::experiment::Experiment;
use crate::network::State;
use crate::optim::{Learner, Pace, Schedule};
use crate::store::LearnerMeasurement;
use std::time::Instant;

/// The learner of a run.
pub(super) struct Learning<'e> {
    experiment: &'e Experiment,
    learner: Learner,
    steps_per_epoch: u64,
}

impl<'e> Learning<'e> {
    /// What the configuration says; none where it has no learner.
    pub(super) fn of(experiment: &'e Experiment, steps_per_epoch: u64) -> Option<Self> {
        let learner = Learner::of_config(&experiment.config.learner)?;
        Some(Learning { experiment, learner, steps_per_epoch })
    }

    /// Whether the curvature is looked at before the step that comes after `step`.
    pub(super) fn is_due(&self, step: u64) -> bool {
        is_due(&self.experiment.config, self.steps_per_epoch, step)
    }

    /// Looks at the curvature at `state`. A pure function of it, the configuration and what was learned before, so a resumed run may
    /// do it again.
    ///
    /// # Errors
    /// When a product fails or is not finite, or `stop` says so.
    pub(super) fn look(
        &self,
        state: State,
        step: u64,
        before: Option<Pace>,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Option<Pace>, LearnerMeasurement)> {
        let start = Instant::now();
        let (experiment, config) = (self.experiment, &self.experiment.config);
        let count = looked_at(experiment);
        let indices = data::drawn(config.seed, "learner/samples", experiment.dataset.train.len(), count);
        let dtype = experiment.network.dtype();
        let samples = Batch::some_of(&experiment.dataset, &experiment.dataset.train, &indices, dtype)?;
        let (mut hessian, basis_bytes) = experiment.hessian(samples, NormMode::Batch, state, stop)?;
        let options = QuadratureOptions { steps: config.learner.steps, seed: config.seed, basis_bytes };
        let spectrum = Quadrature::of(&mut hessian, &options)?;
        let learned = self.learner.learn(&spectrum);
        let pace = learned.map(|learned| Pace { rate: learned.rate, momentum: learned.momentum }).or(before);
        let from_here = pace.unwrap_or(config.learning_rate().into());
        let measurement = LearnerMeasurement {
            probe: LearnerMeasurement::PROBE.into(),
            step,
            kind: self.learner.kind.word().into(),
            norm_mode: NormMode::Batch.word().into(),
            samples: count as u64,
            dtype: dtype.to_string(),
            seed: config.seed,
            values: spectrum.nodes,
            weights: spectrum.weights,
            largest: learned.map_or(f64::NAN, |learned| learned.largest),
            least: learned.map_or(f64::NAN, |learned| learned.least),
            learned: learned.is_some(),
            learning_rate: from_here.rate,
            momentum: from_here.momentum.unwrap_or(config.optimizer.momentum),
            clipped: learned.is_some_and(|learned| learned.clipped),
            seconds: start.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        Ok((pace, measurement))
    }
}

/// Whether the curvature is looked at before the step that comes after `step`.
pub(super) fn is_due(config: &Config, steps_per_epoch: u64, step: u64) -> bool {
    let (epoch, first) = (step / steps_per_epoch.max(1), config.learner.from_epoch as u64);
    let begins = step.is_multiple_of(steps_per_epoch.max(1));
    begins && epoch >= first && (epoch - first).is_multiple_of(config.learner.every as u64)
}

/// How many samples are looked at: as many as asked for, where there are so many, and whole ghost batches.
pub(super) fn looked_at(experiment: &Experiment) -> usize {
    experiment.whole_ghosts(experiment.config.learner.samples)
}

/// The pace of the step that comes after `step`: what was learned, or else the optimizer's own, along the schedule's course.
pub(super) fn pace(config: &Config, schedule: &Schedule, learned: Option<Pace>, step: u64) -> Pace {
    let base = learned.unwrap_or(config.learning_rate().into());
    Pace { rate: base.rate * schedule.factor(step), momentum: base.momentum }
}

impl Experiment {
    /// The pace at which training went on, or would have, from a checkpoint after `step` steps with this state (see
    /// [`crate::store::Checkpoint::state`]); after the last step, that of the last.
    ///
    /// # Errors
    /// When the state is not that of this step.
    pub fn pace_at(&self, step: u64, state: &serde_json::Value) -> Result<Pace> {
        let config = &self.config;
        let last = self.steps_per_epoch().saturating_mul(config.epochs as u64).saturating_sub(1);
        let learned = match Learner::of_config(&config.learner) {
            Some(_) => Progress::from_json(step, state)?.learned,
            None => None,
        };
        Ok(pace(config, &self.schedule(), learned, step.min(last)))
    }
}
