//! The networks, their starts, and one training of them.

use super::super::Setting;
use super::super::setup::{self, Samples};
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::init::{GradInit, Scheme};
use crate::models::Mlp;
use crate::nn::Context;
use crate::study::{self, Fit};
use crate::train::{Trainer, TrainerOptions};
use crate::{Network, Result, State};
use evenkeel_graph::Var;
use std::ops::ControlFlow;

pub(super) const WIDTH: usize = 64;
pub(super) const BATCH: usize = 64;

/// What He's weights are multiplied by.
pub(super) const SCALES: [f64; 3] = [0.5, 1.0, 2.0];

/// Ten hidden layers on the digits.
pub(super) fn deep(norm: NormKind) -> Result<Network> {
    Network::new(Mlp { widths: vec![WIDTH; 10], norm, activation: Some(Activation::Relu), classes: 10 }, &[8, 8, 1])
}

/// x + W₂ relu(W₁ x), so many times, on the digits.
pub(super) fn residual(blocks: usize) -> Result<Network> {
    let model = setup::model(move |cx: &Context<'_>, x| residual_blocks(cx, x, blocks));
    Network::new(model, &[8, 8, 1])
}

fn residual_blocks<'g>(cx: &Context<'g>, x: Var<'g>, blocks: usize) -> Var<'g> {
    let mut x = x.flatten();
    for block in 0..blocks {
        let _scope = cx.scope(&format!("blocks.{block}"));
        let inner = cx.linear("fc1", x, WIDTH).relu();
        x = x + cx.linear("fc2", inner, WIDTH);
    }
    cx.head("head", x, 10)
}

/// He's weights times a factor.
pub(super) fn he(network: &Network, scale: f64, seed: u64) -> State {
    network.initial_state(Scheme { scale, ..Initialization::He.into() }, seed)
}

/// GradInit for SGD as in 11.1.
pub(super) fn for_sgd(seed: u64) -> GradInit {
    GradInit { iterations: 150, batch: BATCH, scale_rate: 1e-2, seed, ..GradInit::default() }
}

/// The state that GradInit makes of one; nobody watches.
pub(super) fn improved(
    setting: &Setting,
    how: &GradInit,
    network: &Network,
    state: State,
    samples: &Samples,
) -> Result<State> {
    let go_on = |_: &_| if setting.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    Ok(how.run(network, state, &samples.train, &mut |step| go_on(step))?.state)
}

/// Test accuracy in percent after the first epoch and after the last.
#[derive(Clone, Copy)]
pub(super) struct Accuracies {
    pub(super) first: f64,
    pub(super) last: f64,
}

/// Trains for some epochs at one rate.
pub(super) fn train(
    network: &Network,
    how: TrainerOptions,
    start: State,
    samples: &Samples,
    (rate, epochs, seed): (f64, u64, u64),
) -> Result<Accuracies> {
    let mut trainer = Trainer::with(network, how, BATCH, start)?;
    let of = |state: &State| -> Result<f64> {
        Ok(100.0 * study::evaluate(network, state, &samples.test, NormMode::Running)?.accuracy)
    };
    let epoch = (samples.train.len() / BATCH) as u64;
    let mut first = f64::NAN;
    let fit = Fit { batch: BATCH, steps: epochs * epoch, seed, rate: &|_| rate };
    study::fit(&mut trainer, &samples.train, &fit, |step, _, trainer| {
        if step == epoch {
            first = of(&trainer.state())?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Accuracies { first, last: of(&trainer.state())? })
}
