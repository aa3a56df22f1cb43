//! Rules that turn gradients into steps, and how the rate changes.
//!
//! A rule is a pure function of the parameter, its gradient and what it keeps from step to step ([`Optimizer`]); the training step
//! traces it beside loss and gradient, so that all of them are one program.

mod adam;
mod adamp;
mod groups;
mod rmsprop;
mod schedule;
mod sgd;
mod sharpness;

pub use adam::{Adam, Adamax};
pub use adamp::AdamP;
pub use groups::{Group, Groups};
pub use rmsprop::RmsProp;
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use sharpness::SharpnessAware;

use crate::config::{Decays, OptimizerConfig, OptimizerKind};
use evenkeel_graph::Var;

/// The rule of a configuration.
pub fn of_config(config: &OptimizerConfig) -> Box<dyn Optimizer> {
    let all = || rule(config, config.weight_decay);
    if config.groups.0.is_empty() && config.decays == Decays::All {
        return all();
    }
    let groups = config.groups.0.iter().map(|group| Group {
        parameters: group.parameters.clone(),
        rate: group.rate,
        rule: rule(config, group.decay.unwrap_or(config.weight_decay)),
    });
    let others = match config.decays {
        Decays::All => all(),
        Decays::Weights => rule(config, 0.0),
    };
    Box::new(Groups { groups: groups.collect(), weights: all(), others })
}

fn rule(config: &OptimizerConfig, weight_decay: f64) -> Box<dyn Optimizer> {
    let &OptimizerConfig { momentum, dampening, nesterov, beta1, beta2, epsilon, .. } = config;
    let adam = |decoupled| Adam { beta1, beta2, epsilon, weight_decay, decoupled };
    match config.name {
        OptimizerKind::Sgd => Box::new(Sgd { momentum, dampening, nesterov, weight_decay }),
        OptimizerKind::Adam => Box::new(adam(false)),
        OptimizerKind::AdamW => Box::new(adam(true)),
        OptimizerKind::AdamP => {
            let &OptimizerConfig { delta, decay_ratio, .. } = config;
            Box::new(AdamP { adam: adam(true), delta, decay_ratio, nesterov })
        }
        OptimizerKind::Adamax => Box::new(Adamax { beta1, beta2, epsilon, weight_decay }),
        OptimizerKind::RmsProp => {
            let &OptimizerConfig { smoothing, centered, .. } = config;
            Box::new(RmsProp { smoothing, epsilon, momentum, centered, weight_decay })
        }
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
