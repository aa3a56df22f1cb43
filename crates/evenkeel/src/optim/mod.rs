//! Rules that turn gradients into steps, and how the rate changes.
//!
//! A rule is a pure function of the parameter, its gradient and what it keeps from step to step ([`Optimizer`]); the training step
//! traces it beside loss and gradient, so that all of them are one program.

mod adam;
mod schedule;
mod sgd;

pub use adam::{Adam, Adamax};
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::config::{OptimizerConfig, OptimizerKind};
use evenkeel_graph::Var;

/// The rule of a configuration.
pub fn of_config(config: &OptimizerConfig) -> Box<dyn Optimizer> {
    match config.name {
        OptimizerKind::Sgd => Box::new(Sgd { momentum: config.momentum, weight_decay: config.weight_decay }),
    }
}

/// A rule that turns the gradient of a parameter into a step.
pub trait Optimizer {
    /// The names of what is kept from step to step for the parameter at `path`, each shaped like it and 0 at first. `velocity` is
    /// filed in checkpoints under the parameter's path, everything else under `name/path`.
    fn slots(&self, path: &str) -> &'static [&'static str];

    /// The parameter after the step, and what is kept, in the order of [`Optimizer::slots`].
    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>);

    /// How many numbers a step depends on beside the rate.
    fn numbers(&self) -> usize {
        0
    }

    /// Those numbers at a step, counted from 0.
    fn at_step(&self, _step: u64) -> Vec<f64> {
        vec![]
    }
}

/// What a rule sees of one parameter.
#[derive(Clone, Debug)]
pub struct Update<'g, 'p> {
    /// Where the parameter is.
    pub path: &'p str,
    /// The parameter before the step.
    pub parameter: Var<'g>,
    /// The gradient of the objective.
    pub gradient: Var<'g>,
    /// What was kept, in the order of [`Optimizer::slots`].
    pub state: Vec<Var<'g>>,
    /// The learning rate of this step, a scalar.
    pub rate: Var<'g>,
    /// The numbers of [`Optimizer::at_step`], scalars.
    pub numbers: Vec<Var<'g>>,
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn slots(&self, path: &str) -> &'static [&'static str] {
        (**self).slots(path)
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        (**self).update(at)
    }

    fn numbers(&self) -> usize {
        (**self).numbers()
    }

    fn at_step(&self, step: u64) -> Vec<f64> {
        (**self).at_step(step)
    }
}
