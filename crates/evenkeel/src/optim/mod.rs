//! Rules that turn gradients into steps, and how the rate changes.
//!
//! A rule is a pure function of the parameter, its gradient and what it keeps from step to step ([`Optimizer`]); the training step
//! traces it beside loss and gradient, so that all of them are one program.

mod adam;
mod adamp;
mod averaging;
mod effective_rate;
mod entropy_sgd;
mod groups;
mod learner;
mod rescaling;
mod rmsprop;
mod schedule;
mod sgd;
mod sharpness;
mod spherical;

pub use adam::{Adam, Adamax};
pub use adamp::AdamP;
pub use averaging::{Averaged, Weighting};
pub use effective_rate::EffectiveRate;
pub use entropy_sgd::EntropySgd;
pub use groups::{Group, Groups};
pub use learner::{Learned, Learner};
pub use rescaling::Rescaled;
pub use rmsprop::RmsProp;
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use sharpness::SharpnessAware;
pub use spherical::{Spherical, SphericalRate};

use crate::config::{
    AveragingConfig, AveragingKind, Config, Decays, EntropyVariant, LearnerKind, OptimizerConfig, OptimizerKind,
    RescalingOf,
};
use crate::network::Network;
use crate::norm::{Invariance, scale_invariant};
use crate::{Error, Result, pattern};
use evenkeel_graph::{Shape, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// The rule of a configuration, without weight rescaling and with nothing on the sphere: both are for a network ([`of_network`]).
pub fn of_config(config: &Config) -> Box<dyn Optimizer> {
    if config.optimizer.name.is_spherical() {
        return Box::new(spherical(config, BTreeSet::new()));
    }
    averaged(&config.averaging, grouped(config, true))
}

/// The rule of a configuration for a network.
///
/// # Errors
/// When the network has no weights to rescale.
pub(crate) fn of_network(config: &Config, network: &Network) -> Result<Box<dyn Optimizer>> {
    if config.optimizer.name.is_spherical() {
        return on_the_sphere(config, network);
    }
    let rescaling = &config.weight_rescaling;
    let weights = rescaled_weights(config, network)?;
    if weights.is_empty() {
        return Ok(of_config(config));
    }
    let rule = Rescaled {
        rule: grouped(config, true),
        undecayed: grouped(config, false),
        weights,
        every: rescaling.every as u64,
        length: rescaling.length,
        rescale_state: rescaling.rescale_state,
    };
    Ok(averaged(&config.averaging, Box::new(rule)))
}

/// The weights that a configuration rescales, none unless it asks for it. Cost: a gradient of a few samples.
///
/// # Errors
/// When it asks for it and the network has none.
pub(crate) fn rescaled_weights(config: &Config, network: &Network) -> Result<BTreeMap<String, Invariance>> {
    let rescaling = &config.weight_rescaling;
    if rescaling.every == 0 {
        return Ok(BTreeMap::new());
    }
    let found = scale_invariant(network)?;
    let within = |path: &str| pattern::any_matches(&rescaling.parameters, path);
    let weights: BTreeMap<String, Invariance> = found
        .into_iter()
        .filter(|(path, _)| within(path))
        .map(|(path, invariance)| match rescaling.of {
            RescalingOf::Units => (path, invariance),
            RescalingOf::Layers => (path, Invariance::Layer),
        })
        .collect();
    if weights.is_empty() {
        return Err(Error::input("no weight of the network is scale-invariant, so none can be rescaled")
            .detail("key", "weight_rescaling.every")
            .detail(
                "expected",
                "weights whose outputs go straight into a normalization layer, among weight_rescaling.parameters",
            )
            .detail("got", format!("norm {}, parameters {}", config.norm, rescaling.parameters))
            .hint("choose a norm, `--norm batch` say, or leave weight rescaling out"));
    }
    Ok(weights)
}

/// The rule on the sphere of a network's scale-invariant weights.
fn on_the_sphere(config: &Config, network: &Network) -> Result<Box<dyn Optimizer>> {
    let within = |path: &str| pattern::any_matches(&config.optimizer.sphere, path);
    let found = scale_invariant(network)?.into_iter().map(|(path, _)| path);
    let weights: BTreeSet<String> = found.filter(|path| within(path)).collect();
    if weights.is_empty() {
        return Err(Error::input("no weight of the network is scale-invariant, so none can be on a sphere")
            .detail("key", "optimizer.name")
            .detail("expected", "weights whose outputs go straight into a normalization layer, among optimizer.sphere")
            .detail("got", format!("norm {}, sphere {}", config.norm, config.optimizer.sphere))
            .hint("choose a norm, `--norm batch` say, or another optimizer"));
    }
    Ok(Box::new(spherical(config, weights)))
}

fn spherical(config: &Config, weights: BTreeSet<String>) -> Spherical<Box<dyn Optimizer>> {
    let &OptimizerConfig { name, smoothing, epsilon, .. } = &config.optimizer;
    let rate = match name {
        OptimizerKind::QuasiRmsprop => SphericalRate::QuasiRmsprop { beta: smoothing, epsilon },
        _ => SphericalRate::Given,
    };
    Spherical { weights, rate, others: grouped(config, true) }
}

/// The rule with averages of its iterates, where they are asked for.
fn averaged(config: &AveragingConfig, rule: Box<dyn Optimizer>) -> Box<dyn Optimizer> {
    let weighting = match config.name {
        AveragingKind::None => return rule,
        AveragingKind::Exponential => Weighting::Exponential { decay: config.decay },
        AveragingKind::Uniform => Weighting::Uniform,
    };
    Box::new(Averaged { rule, weighting, start: config.start as u64 })
}

/// The rules of parameters by groups and by whether they decay, if any does.
fn grouped(config: &Config, decays: bool) -> Box<dyn Optimizer> {
    let all = &config.optimizer;
    let decaying = |decay: f64| if decays { decay } else { 0.0 };
    if all.groups.0.is_empty() && all.decays == Decays::All {
        return rule(config, decaying(all.weight_decay));
    }
    let spared = match all.decays {
        Decays::All => all.weight_decay,
        Decays::Weights => 0.0,
    };
    // A decay of a group's own holds for all of it.
    let group = |parameters: &str, rate: f64, decay: Option<f64>| Group {
        parameters: parameters.to_owned(),
        rate,
        weights: rule(config, decaying(decay.unwrap_or(all.weight_decay))),
        others: rule(config, decaying(decay.unwrap_or(spared))),
    };
    let mut groups: Vec<Group> =
        all.groups.0.iter().map(|given| group(&given.parameters, given.rate, given.decay)).collect();
    groups.push(group("*", 1.0, None));
    Box::new(Groups(groups))
}

fn rule(config: &Config, weight_decay: f64) -> Box<dyn Optimizer> {
    let entropy = &config.entropy_sgd;
    let paced = config.learner.kind != LearnerKind::None;
    let config = &config.optimizer;
    let &OptimizerConfig { momentum, dampening, nesterov, beta1, beta2, epsilon, .. } = config;
    let adam = |decoupled| Adam { beta1, beta2, epsilon, weight_decay, decoupled };
    let sgd = Sgd { momentum, paced, dampening, nesterov, weight_decay };
    match config.name {
        // Of the rules on the sphere, that of all other parameters.
        OptimizerKind::Sgd | OptimizerKind::SphericalSgd | OptimizerKind::QuasiRmsprop => Box::new(sgd),
        OptimizerKind::Adam => Box::new(adam(false)),
        OptimizerKind::AdamW => Box::new(adam(true)),
        OptimizerKind::AdamP => {
            let &OptimizerConfig { delta, decay_ratio, .. } = config;
            Box::new(AdamP { adam: adam(true), delta, decay_ratio, nesterov })
        }
        OptimizerKind::Adamax => Box::new(Adamax { beta1, beta2, epsilon, weight_decay }),
        OptimizerKind::EntropySgd if entropy.steps == 0 => Box::new(sgd),
        OptimizerKind::EntropySgd => Box::new(EntropySgd {
            variant: entropy.variant,
            steps: entropy.steps,
            inner_rate: entropy.inner_rate,
            scope: entropy.scope,
            scoping: entropy.scoping,
            largest_scope: entropy.largest_scope.unwrap_or(1.0 / entropy.inner_rate),
            noise: entropy.noise,
            newest: entropy.newest.unwrap_or(if entropy.variant == EntropyVariant::Paper { 0.75 } else { 0.25 }),
            momentum,
            dampening,
            nesterov,
            weight_decay,
        }),
        OptimizerKind::RmsProp => {
            let &OptimizerConfig { smoothing, centered, .. } = config;
            Box::new(RmsProp { smoothing, epsilon, momentum, centered, weight_decay })
        }
    }
}

/// A rule that turns the gradient of a parameter into a step.
pub trait Optimizer {
    /// The names of what is kept from step to step for the parameter at `path`, each shaped like it and 0 at first, but [`ITERATE`] the
    /// parameter. `velocity` is filed in checkpoints under the parameter's path, everything else under `name/path`.
    fn slots(&self, path: &str) -> Vec<&'static str>;

    /// The shape of something that is kept for a parameter of this shape: its own, unless the rule keeps less.
    fn slot_shape(&self, _slot: &str, parameter: &Shape) -> Shape {
        parameter.clone()
    }

    /// Scalars of one parameter that are added up over all parameters before any is updated, and found in [`Update::totals`]: what
    /// belongs to several tensors as one vector. As many for each parameter that has any.
    fn parts<'g>(&self, _at: &Update<'g, '_>) -> Vec<Var<'g>> {
        vec![]
    }

    /// The parameter after the step, and what is kept, in the order of [`Optimizer::slots`].
    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>);

    /// How many numbers a step depends on beside the rate.
    fn numbers(&self) -> usize {
        0
    }

    /// Those numbers at a step, counted from 0, that is taken at this pace.
    fn at_step(&self, _step: u64, _pace: Pace) -> Vec<f64> {
        vec![]
    }

    /// Whether gradients are taken elsewhere than at the parameters: at what is kept as [`ITERATE`], for every parameter the first of its
    /// slots. The parameters are what is evaluated, measured and saved.
    fn iterates(&self) -> bool {
        false
    }

    /// Whether running statistics of the steps are those of other weights than the parameters, so that they have to be taken anew
    /// before the network is evaluated.
    fn stale_statistics(&self) -> bool {
        self.iterates()
    }

    /// Where a parameter starts, from how it was drawn.
    fn start(&self, _path: &str, drawn: Tensor) -> Tensor {
        drawn
    }

    /// How its steps of a parameter of this path and shape grow with gradients.
    fn effective_rate(&self, _path: &str, _shape: &Shape, _pace: Pace) -> EffectiveRate {
        EffectiveRate::PLAIN
    }
}

/// What a rule keeps when it takes gradients at a point of its own ([`Optimizer::iterates`]).
pub const ITERATE: &str = "iterate";

/// What may change from step to step by a schedule or a learner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The learning rate.
    pub rate: f64,
    /// The momentum, of rules that are told it at each step; none: their own.
    pub momentum: Option<f64>,
}

impl From<f64> for Pace {
    fn from(rate: f64) -> Self {
        Pace { rate, momentum: None }
    }
}

/// What a rule sees of one parameter.
#[derive(Clone, Debug)]
pub struct Update<'g, 'p> {
    /// Where the parameter is.
    pub path: &'p str,
    /// The parameter before the step.
    pub parameter: Var<'g>,
    /// The gradient of the objective, at the iterate where there is one.
    pub gradient: Var<'g>,
    /// What was kept, in the order of [`Optimizer::slots`].
    pub state: Vec<Var<'g>>,
    /// The learning rate of this step, a scalar.
    pub rate: Var<'g>,
    /// The numbers of [`Optimizer::at_step`], scalars.
    pub numbers: Vec<Var<'g>>,
    /// The sums of [`Optimizer::parts`] over all parameters.
    pub totals: Vec<Var<'g>>,
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        (**self).slots(path)
    }

    fn slot_shape(&self, slot: &str, parameter: &Shape) -> Shape {
        (**self).slot_shape(slot, parameter)
    }

    fn parts<'g>(&self, at: &Update<'g, '_>) -> Vec<Var<'g>> {
        (**self).parts(at)
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        (**self).update(at)
    }

    fn numbers(&self) -> usize {
        (**self).numbers()
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        (**self).at_step(step, pace)
    }

    fn iterates(&self) -> bool {
        (**self).iterates()
    }

    fn stale_statistics(&self) -> bool {
        (**self).stale_statistics()
    }

    fn start(&self, path: &str, drawn: Tensor) -> Tensor {
        (**self).start(path, drawn)
    }

    fn effective_rate(&self, path: &str, shape: &Shape, pace: Pace) -> EffectiveRate {
        (**self).effective_rate(path, shape, pace)
    }
}
