//! The run that most claims of this paper share: digits, a small network, plain gradient descent.

use super::meter;
use crate::batch::Batch;
use crate::claims::{Setting, statistics};
use crate::config::{Activation, Initialization, Loss, NormKind};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::network::{Network, State};
use crate::nn::NormSettings;
use crate::objective::Term;
use crate::optim::Sgd;
use crate::regularize::InputNoise;
use crate::study::{Fit, fit};
use crate::train::{Evaluator, Trainer};
use crate::{Error, Result};
use evenkeel_graph::DType;
use std::ops::ControlFlow;

/// Numbers of a digit.
const IMAGE: [usize; 3] = [8, 8, 1];
/// Digits held back.
const TESTED: f64 = 797.0 / 1797.0;
/// Steps from one look at the training loss to the next.
const LOOK: u64 = 25;
/// Samples evaluated at once.
const EVALUATED: usize = 250;

/// 1000 digits to learn from and 797 to test on, pixels in 0 ..= 1.
pub(super) struct Digits {
    pub(super) train: Batch,
    pub(super) test: Batch,
}

impl Digits {
    /// Split by this seed.
    pub(super) fn new(setting: &Setting, seed: u64) -> Result<Digits> {
        let options = LoadOptions { test_fraction: TESTED, seed, normalize: false, ..LoadOptions::default() };
        let digits = setting.dataset("digits", &options)?;
        let of = |split| Batch::of(&digits, split, DType::F32);
        Ok(Digits { train: of(&digits.train)?, test: of(&digits.test)? })
    }
}

/// 64-100-100-10 with relu, noise on its inputs in training, and terms in its objective.
pub(super) fn network(noise: f64, terms: Vec<Box<dyn Term>>) -> Result<Network> {
    let model = Mlp { widths: vec![100, 100], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    let model = Box::new(InputNoise { model: Box::new(model), deviation: noise });
    Network::with(model, &IMAGE, DType::F32, Loss::CrossEntropy, NormSettings::default())?.with_terms(terms)
}

/// How it is trained.
#[derive(Clone, Copy)]
pub(super) struct Training {
    pub(super) rate: f64,
    pub(super) batch: usize,
    /// At most.
    pub(super) steps: u64,
    /// Of weights, order and noise.
    pub(super) seed: u64,
}

impl Training {
    /// 1500 steps of rate 0.1 on batches of 64.
    pub(super) fn usual(seed: u64) -> Training {
        Training { rate: 0.1, batch: 64, steps: 1500, seed }
    }

    /// Trains from He weights and shows the trainer every 25 steps, and at the end.
    pub(super) fn run(
        self,
        setting: &Setting,
        network: &Network,
        digits: &Digits,
        mut watch: impl FnMut(u64, &Trainer<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<State> {
        let start = network.initial_state(Initialization::He, self.seed);
        let mut trainer = Trainer::new(network, Sgd::PLAIN, self.batch, start)?;
        let how = Fit { batch: self.batch, steps: self.steps, seed: self.seed, rate: &|_| self.rate };
        fit(&mut trainer, &digits.train, &how, |step, result, trainer| {
            setting.go_on()?;
            if !result.is_finite() {
                return Err(Error::numerical("the loss is not finite").detail("step", step));
            }
            if step % LOOK == 0 || step == self.steps { watch(step, trainer) } else { Ok(ControlFlow::Continue(())) }
        })?;
        Ok(trainer.state())
    }

    /// The geometric complexity on the training samples when their mean loss is first seen below each of `levels`, the highest first,
    /// and the steps it took to the last; NaN for what was not reached.
    pub(super) fn until(
        self,
        setting: &Setting,
        network: &Network,
        digits: &Digits,
        levels: &[f64],
    ) -> Result<(Vec<f64>, u64)> {
        let mut evaluator = Evaluator::with_batch(network, EVALUATED)?;
        let mut meter = meter(network, digits.train.len())?;
        let (mut found, mut steps) = (Vec::new(), 0);
        self.run(setting, network, digits, |step, trainer| {
            steps = step;
            let loss = evaluator.evaluate_samples(&digits.train, trainer.parameters(), trainer.buffers())?.loss;
            while levels.get(found.len()).is_some_and(|level| loss < *level) {
                found.push(meter.run(&digits.train, trainer.parameters(), trainer.buffers())?.mean);
            }
            Ok(if found.len() == levels.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        found.resize(levels.len(), f64::NAN);
        Ok((found, steps))
    }
}

/// Mean loss and share of right answers.
pub(super) fn evaluated(network: &Network, state: &State, samples: &Batch) -> Result<(f64, f64)> {
    let mut evaluator = Evaluator::with_batch(network, EVALUATED)?;
    let found = evaluator.evaluate_samples(samples, &state.parameters, &state.buffers)?;
    Ok((found.loss, found.accuracy))
}

/// Results of jobs that go over seeds, and for each over settings: for each setting the numbers of its seeds.
pub(super) fn by_setting<T>(results: &[T], settings: usize, of: impl Fn(&T) -> f64) -> Vec<Vec<f64>> {
    (0..settings).map(|place| results.iter().skip(place).step_by(settings).map(&of).collect()).collect()
}

/// The means over seeds.
pub(super) fn means(by_setting: &[Vec<f64>]) -> Vec<f64> {
    by_setting.iter().map(|seeds| statistics::mean(seeds)).collect()
}

/// A seed for a part of a job that must not draw the numbers of the others.
pub(super) fn other(seed: u64, part: u64) -> u64 {
    seed.wrapping_mul(1 << 16).wrapping_add(part)
}
