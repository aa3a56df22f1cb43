//! Entropy-SGD against SGD on the digits, gradient for gradient.

use super::super::setup::{Samples, by_seed, pairs, seeds, smallest};
use super::super::statistics::{mean, standard_error};
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::curvature::{Curvature, LanczosOptions};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::optim::{EntropySgd, Optimizer, Sgd};
use crate::study::{self, Fit};
use crate::train::{Evaluation, Trainer};
use crate::{Network, Result, State};
use std::ops::ControlFlow;

const BATCH: usize = 128;
/// Steps of an epoch of 897 samples.
const EPOCH: u64 = 7;
/// Epochs of gradients: a step of Entropy-SGD takes [`INNER`] of them.
const EPOCHS: u64 = 100;
const INNER: u64 = 20;

/// A way to train.
#[derive(Clone, Copy)]
enum Way {
    Sgd,
    Entropy { newest: f64, scope: f64, noise: f64 },
}

const WAYS: [(Way, &str); 4] = [
    (Way::Sgd, "SGD"),
    (Way::Entropy { newest: 0.25, scope: 1e-4, noise: 1e-4 }, "Entropy-SGD"),
    (Way::Entropy { newest: 0.75, scope: 1e-4, noise: 1e-4 }, "weight of the newest 0.75"),
    (Way::Entropy { newest: 0.25, scope: 0.3, noise: 0.03 }, "noise 0.03, scope 0.3"),
];

impl Way {
    fn rule(self) -> Box<dyn Optimizer> {
        match self {
            Way::Sgd => Box::new(Sgd { momentum: 0.9, nesterov: true, ..Sgd::PLAIN }),
            Way::Entropy { newest, scope, noise } => {
                Box::new(EntropySgd { steps: INNER as usize, newest, scope, noise, ..EntropySgd::default() })
            }
        }
    }

    /// The rate of a step that takes one gradient.
    fn rate(self, step: u64) -> f64 {
        let epoch = step / EPOCH;
        match self {
            Way::Sgd if epoch < 30 => 0.1,
            Way::Sgd if epoch < 60 => 0.02,
            Way::Sgd => 0.004,
            Way::Entropy { .. } if epoch < 2 * INNER => 1.0,
            Way::Entropy { .. } => 0.1,
        }
    }
}

/// What a training came to.
struct Outcome {
    train_loss: f64,
    test: Evaluation,
    sharpness: f64,
    /// The training loss and the state after each epoch.
    on_the_way: Vec<(f64, State)>,
}

fn network(samples: &Samples) -> Result<Network> {
    let model = Mlp { widths: vec![64, 64], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    Network::new(model, samples.shape())
}

fn digits(setting: &Setting, seed: u64) -> Result<Samples> {
    let options = LoadOptions { test_fraction: 900.0 / 1797.0, seed, normalize: false, ..LoadOptions::default() };
    Samples::of(&setting.dataset("digits", &options)?)
}

fn sharpness(network: &Network, samples: &Samples, state: State) -> Result<f64> {
    let mut curvature = Curvature::new(network, NormMode::Batch, samples.train.clone(), state)?;
    let found = curvature.top_eigenvalues(&LanczosOptions::default())?;
    Ok(found.eigenpairs.first().map_or(f64::NAN, |pair| pair.value))
}

fn trained(setting: &Setting, way: Way, seed: u64) -> Result<Outcome> {
    let samples = digits(setting, seed)?;
    let network = network(&samples)?;
    let start = network.initial_state(Initialization::Uniform, seed);
    let mut trainer = Trainer::new(&network, way.rule(), BATCH, start)?;
    let how = Fit { batch: BATCH, steps: EPOCHS * EPOCH, seed, rate: &|step| way.rate(step) };
    let mut on_the_way = Vec::new();
    study::fit(&mut trainer, &samples.train, &how, |step, _, trainer| {
        if matches!(way, Way::Sgd) && step.is_multiple_of(EPOCH) {
            let state = trainer.state();
            on_the_way.push((study::evaluate(&network, &state, &samples.train, NormMode::Running)?.loss, state));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let state = trainer.state();
    let train_loss = study::evaluate(&network, &state, &samples.train, NormMode::Running)?.loss;
    let test = study::evaluate(&network, &state, &samples.test, NormMode::Running)?;
    Ok(Outcome { train_loss, test, sharpness: sharpness(&network, &samples, state)?, on_the_way })
}

/// The sharpness of SGD where its training loss comes nearest to that of another training with the same seed.
fn sharpness_at(setting: &Setting, sgd: &Outcome, loss: f64, seed: u64) -> Result<f64> {
    let samples = digits(setting, seed)?;
    let network = network(&samples)?;
    let away: Vec<f64> = sgd.on_the_way.iter().map(|(found, _)| (found - loss).abs()).collect();
    match sgd.on_the_way.get(smallest(&away)) {
        Some((_, state)) => sharpness(&network, &samples, state.clone()),
        None => Ok(f64::NAN),
    }
}

pub(super) fn generalization(setting: &Setting) -> Result<Findings> {
    let seeds = seeds(setting);
    let count = seeds.len().max(1);
    let ways: Vec<usize> = (0..WAYS.len()).collect();
    let all = setting.each(pairs(&ways, &seeds), |(way, seed)| trained(setting, WAYS[way].0, seed))?;
    let of = |way: usize| &all[way * count..][..count];
    let errors = |way: usize| of(way).iter().map(|one| 100.0 - 100.0 * one.test.accuracy).collect::<Vec<_>>();
    let losses = |way: usize| of(way).iter().map(|one| one.test.loss).collect::<Vec<_>>();
    let matched = setting.each((0..seeds.len()).collect::<Vec<_>>(), |place| {
        let (sgd, entropy) = (&of(0)[place], &of(1)[place]);
        Ok(entropy.sharpness / sharpness_at(setting, sgd, entropy.train_loss, seeds[place])?)
    })?;
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_most("mean test error, Entropy-SGD − SGD", mean(&errors(1)) - mean(&errors(0)), 0.4)
                .unit(" points"),
        )
        .check(Check::at_most("mean test loss, Entropy-SGD / SGD", mean(&losses(1)) / mean(&losses(0)), 0.98))
        .check(
            Check::below("largest Hessian eigenvalue / SGD's at the same training loss, mean", mean(&matched), 1.0)
                .for_the_record(),
        );
    for (way, (_, name)) in WAYS.iter().enumerate() {
        findings.note(format!(
            "{name}: test error {:.2} ± {:.2} % (standard error), test loss {:.3}, training loss {:.3}, largest Hessian eigenvalue {:.2}.",
            mean(&errors(way)),
            standard_error(&errors(way)),
            mean(&losses(way)),
            mean(&of(way).iter().map(|one| one.train_loss).collect::<Vec<_>>()),
            mean(&of(way).iter().map(|one| one.sharpness).collect::<Vec<_>>())
        ));
    }
    findings.figure(
        Figure::bars("Digits after 700 gradients", &WAYS.map(|way| way.1), "test error (%), test loss × 10 (nats)")
            .heights_over_seeds("error", &by_seed(&[0, 1, 2, 3].map(errors)))
            .heights_over_seeds(
                "loss × 10",
                &by_seed(&[0, 1, 2, 3].map(|way| losses(way).iter().map(|loss| 10.0 * loss).collect::<Vec<_>>())),
            ),
    );
    Ok(findings)
}
