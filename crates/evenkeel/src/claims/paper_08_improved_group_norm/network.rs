//! The networks of all claims, their data and their trainings.

use super::super::Setting;
use super::super::setup::{self, Samples, Trained};
use crate::config::{Initialization, NormMode};
use crate::nn::{BatchAxes, Context, Deviation, GroupForm, GroupNoise, ImprovedGroup, Model};
use crate::optim::{Adam, Optimizer, Pace, Update};
use crate::study::Fit;
use crate::train::Evaluator;
use crate::{Error, Network, Result, State};
use evenkeel_graph::Var;

/// Groups of channels.
pub(super) const GROUPS: usize = 4;
/// Samples in a training step.
pub(super) const BATCH: usize = 64;
/// Steps of six epochs of 3,000 samples.
pub(super) const STEPS: u64 = 276;
/// Samples in a test batch, where its statistics count.
const TEST_BATCH: usize = 100;
const CLASSES: usize = 10;

/// The layer behind each convolution; groups are divided by the deviation of the authors' code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Norm {
    None,
    Batch,
    Group,
    Improved(GroupForm, BatchAxes),
}

/// The form that the paper is about.
pub(super) const IMPROVED: Norm = Norm::Improved(GroupForm::GroupFirst, BatchAxes::Samples);

impl Norm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Norm::None => "none",
            Norm::Batch => "batch",
            Norm::Group => "group",
            Norm::Improved(..) => "improved",
        }
    }

    /// How it is tested: improved group normalization by test batches, as its authors do.
    pub(super) fn tested(self) -> NormMode {
        if matches!(self, Norm::Improved(..)) { NormMode::Batch } else { NormMode::Running }
    }

    fn apply<'g>(self, cx: &Context<'g>, name: &str, x: Var<'g>) -> Var<'g> {
        match self {
            Norm::None => x,
            Norm::Batch => cx.batch_norm(name, x),
            Norm::Group => cx.group_norm_by(name, x, Some(GROUPS), Deviation::Sample),
            Norm::Improved(form, axes) => {
                let choices = ImprovedGroup {
                    form,
                    axes,
                    groups: Some(GROUPS),
                    deviation: Deviation::Sample,
                    ..ImprovedGroup::default()
                };
                cx.improved_group_norm(name, x, choices)
            }
        }
    }
}

/// 3×3 convolutions with a bias, a norm and ReLU each, 2×2 max pools after some, then one hidden layer of 64.
#[derive(Clone, Copy, Debug)]
pub(super) struct Net {
    pub(super) layers: &'static [(usize, bool)],
    pub(super) norm: Norm,
    /// Noise behind each norm.
    pub(super) noise: Option<GroupNoise>,
    /// What is dropped after each pool.
    pub(super) dropout: f64,
}

/// Channels of each convolution, and whether a pool follows: 16×16 becomes 1×1.
const EIGHT: [(usize, bool); 8] =
    [(16, true), (32, true), (32, false), (32, true), (32, false), (32, true), (32, false), (32, false)];
/// 16×16 becomes 2×2.
const FOUR: [(usize, bool); 4] = [(16, true), (32, true), (32, false), (32, true)];

impl Net {
    pub(super) fn eight(norm: Norm) -> Net {
        Net { layers: &EIGHT, norm, noise: None, dropout: 0.0 }
    }

    pub(super) fn four(norm: Norm) -> Net {
        Net { layers: &FOUR, ..Self::eight(norm) }
    }

    pub(super) fn network(self, samples: &Samples) -> Result<Network> {
        Network::new(self, samples.shape())
    }
}

impl Model for Net {
    fn forward<'g>(&self, cx: &Context<'g>, mut x: Var<'g>) -> Var<'g> {
        for (index, &(channels, pool)) in self.layers.iter().enumerate() {
            let number = index + 1;
            x = self.norm.apply(
                cx,
                &format!("norm{number}"),
                cx.conv_with_bias(&format!("conv{number}"), x, channels, 3, 1, 1),
            );
            if let Some(noise) = self.noise {
                x = cx.group_noise(&format!("noise{number}"), x, noise);
            }
            x = x.relu();
            if pool {
                x = x.max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
                x = cx.dropout(&format!("dropout{number}"), x, self.dropout);
            }
        }
        cx.head("head", cx.linear("fc1", x, 64).relu(), CLASSES)
    }
}

/// The first images of CIFAR-10, 2×2 pixels averaged, from −1 to 1.
pub(super) fn images(setting: &Setting, train: usize) -> Result<Samples> {
    setup::first(setting, "cifar10", train, 1000)?.shifted(&[(0.5, 0.5)])?.halved()
}

/// How one training goes.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) rate: f64,
    pub(super) steps: u64,
    pub(super) batch: usize,
    pub(super) decay: f64,
    pub(super) seed: u64,
}

impl Plan {
    /// Six epochs of 3,000 samples.
    pub(super) fn usual(rate: f64, seed: u64) -> Plan {
        Plan { rate, steps: STEPS, batch: BATCH, decay: 0.0, seed }
    }

    pub(super) fn rule(&self) -> Adam {
        Adam { weight_decay: self.decay, ..Adam::default() }
    }
}

/// The first numbers of a network.
pub(super) fn start(network: &Network, seed: u64) -> State {
    network.initial_state(Initialization::Uniform, seed)
}

/// Trains a network with Adam from its first numbers.
pub(super) fn train(network: &Network, samples: &Samples, plan: Plan) -> Result<Trained> {
    train_from(network, samples, plan, start(network, plan.seed), plan.rule())
}

/// The same from other numbers, by another rule.
pub(super) fn train_from(
    network: &Network,
    samples: &Samples,
    plan: Plan,
    from: State,
    rule: impl Optimizer + 'static,
) -> Result<Trained> {
    let how = Fit { batch: plan.batch, steps: plan.steps, seed: plan.seed, rate: &|_| plan.rate };
    let trained = setup::train(network, rule, from, &samples.train, &how)?;
    if trained.finite {
        return Ok(trained);
    }
    Err(Error::numerical("the loss of a training was not finite").detail("rate", plan.rate).detail("seed", plan.seed))
}

/// Percent of the test samples that are answered rightly, in batches of 100.
pub(super) fn accuracy(network: &Network, samples: &Samples, state: &State, mode: NormMode) -> Result<f64> {
    let mut evaluator = Evaluator::in_mode(network, TEST_BATCH, mode)?;
    Ok(100.0 * evaluator.evaluate_samples(&samples.test, &state.parameters, &state.buffers)?.accuracy)
}

/// What a rule does, but for the gates of the blends, which stay as they are.
pub(super) struct FixedGates(pub(super) Adam);

impl Optimizer for FixedGates {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        if is_gate(path) { vec![] } else { self.0.slots(path) }
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        if is_gate(at.path) { (at.parameter, vec![]) } else { self.0.update(at) }
    }

    fn numbers(&self) -> usize {
        self.0.numbers()
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        self.0.at_step(step, pace)
    }
}

/// Whether a parameter is λ, whose σ(λ) is the share of the groups.
pub(super) fn is_gate(path: &str) -> bool {
    path.ends_with(".lambda")
}
