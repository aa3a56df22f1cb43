//! What training tells whoever watches it, and what it asks.

use super::evaluate::Evaluation;
use super::step::StepResult;
use crate::Error;
use crate::init::InitMeasurement;
use crate::store::{HessianMeasurement, LearnerMeasurement};
use std::path::PathBuf;

/// What training tells whoever watches.
#[derive(Clone, Debug)]
pub enum Event {
    /// The drawn weights are adapted, before anything is written.
    Preparing {
        /// Iterations done.
        done: usize,
        /// Iterations in all.
        of: usize,
    },
    /// What was made of them.
    Prepared(InitMeasurement),
    /// Training starts, or goes on after `step` steps.
    Started {
        /// The run's folder.
        run: PathBuf,
        /// Steps done before.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Numbers that are learned.
        parameters: usize,
    },
    /// A step was taken.
    Step {
        /// Steps done.
        step: u64,
        /// What it found.
        result: StepResult,
    },
    /// An epoch is over.
    Epoch {
        /// Epochs done.
        epoch: u64,
        /// Mean over the epoch's steps.
        train: Evaluation,
        /// Over the test samples, with running statistics.
        test: Evaluation,
    },
    /// The Hessian's top was measured.
    Measured(HessianMeasurement),
    /// Learning rate and momentum were set from the curvature.
    Learned(LearnerMeasurement),
    /// The curvature could not be looked at for that; rate and momentum stay as they were.
    NotLearned {
        /// Steps done.
        step: u64,
        /// Why.
        why: Error,
    },
    /// A measurement met a number that is not finite; training goes on.
    NotMeasured {
        /// What would have been measured.
        what: &'static str,
        /// Steps done.
        step: u64,
        /// Why.
        why: Error,
    },
    /// A checkpoint is damaged; training goes on from an older one.
    PassedOver {
        /// What is wrong with it.
        broken: Error,
        /// The step of the older one.
        instead: u64,
    },
    /// Metrics of steps that were made are damaged or gone; training goes on, and keeps the checkpoints there are, since the best is not known.
    MetricsLost(Error),
    /// The index of the runs could not be written; training goes on, and the run itself is as it should be.
    NotIndexed(Error),
}

/// Watches training, and may stop it.
pub trait Observer {
    /// Is told what happens.
    fn event(&mut self, event: &Event);

    /// Whether to stop: the state is saved and training can go on later.
    fn interrupted(&self) -> bool {
        false
    }
}

/// An observer that neither looks nor stops.
impl Observer for () {
    fn event(&mut self, _: &Event) {}
}
