//! Learning rates and batches: what noise adds to the curvature of a batch, which rates and dampings that allows, and rates learned from
//! the curvature.

mod curvature;
mod learner;
mod perturbation;
mod rates;
mod regression;

use super::{Claim, Paper, Setting};
use crate::claims::setup::Samples;
use crate::config::{Activation, Initialization, Loss, NormKind};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::nn::NormSettings;
use crate::{Network, Result, State};
use evenkeel_graph::DType;
use evenkeel_graph::random::Key;

/// The claims of Granziol, Zohren, Roberts 2022, arXiv 2006.09092.
pub(super) static PAPER: Paper = Paper {
    number: "04",
    title: "Learning rates as a function of batch size (Granziol, Zohren, Roberts 2022)",
    claims: &[
        Claim {
            number: "1",
            title: "the extreme eigenvalues of a batch's Hessian are larger in size than those of all samples'",
            recipe: "1,024 digits, 64-32-10 ReLU, uniform ±1/√fan-in, and after 300 SGD steps at rate 0.1, batch 64; 30 Lanczos steps; 20 \
                     batches of 16, 64 and 256",
            wanted: "trained, largest eigenvalue of a batch / of all: > 1.2 at 16 (z > 3 in every seed), > 1.05 at 64 in the mean, falling in the \
                     batch; least: > 2 at 16, > 1.5 at 64, > 1.1 at 256",
            seeds: 4,
            seconds: 20,
            run: curvature::hessian,
        },
        Claim {
            number: "2",
            title: "the excess is t²/λ, with the batch B / (1 − B/N)",
            recipe: "H = diag(2, 0, .., 0, −2) of 400 and 60 samples' symmetric noise of deviation 3/√400, centered; batches of 6, 12, 30 and 50, 4 \
                     of each, both edges, dense eigenvalues",
            wanted: "relative error of the mean over seeds < 1.5 % at every batch; without the factor 1 − B/N it is > 2 %",
            seeds: 5,
            seconds: 20,
            run: perturbation::hessian,
        },
        Claim {
            number: "3",
            title: "the same holds for the Gauss-Newton matrix",
            recipe: "as 04.1 with the Gauss-Newton matrix, batch 16; and noise of 800 parameters, variance 0.5, on a matrix with one eigenvalue: \
                     both closed forms against dense eigenvalues, 3 draws",
            wanted: "largest eigenvalue of a batch / of all, trained > 1.2, at the start > 1.03; closed forms < 5 %",
            seeds: 4,
            seconds: 20,
            run: curvature::gauss_newton,
        },
        Claim {
            number: "4",
            title: "the largest stable rate of SGD is linear in a small batch, and flat in a large one",
            recipe: "linear regression without noise, 4,096 standard normal samples of 64, batches of 1 to 1,024 with replacement, 300 steps, 40 \
                     rates from 1e-3 to 10; stable: the error ends no longer than it starts",
            wanted: "slope of log rate in log batch 0.75 to 1.1 at 1 to 8, < 0.2 at 256 to 1,024; every rate within 35 % of 2B/(B + 65)",
            seeds: 4,
            seconds: 60,
            run: regression::sgd,
        },
        Claim {
            number: "4n",
            title: "the same in a network: by the root of a small batch, as where noise is all there is",
            recipe: "1,024 digits, 64-32-10 ReLU from the start, SGD, 26 rates from 1e-3 to 1e2, 200 steps, batches of 1 to 512; stable: the loss \
                     over all samples ends no higher; 2/λ of a batch's Hessian, 20 batches",
            wanted: "slopes of both 0.3 to 0.85 at 1 to 8 (linear is known not to show here); that of 2/λ < 0.2 at 128 to 512; rank correlation of \
                     both ≥ 0.9",
            seeds: 3,
            seconds: 60,
            run: rates::network,
        },
        Claim {
            number: "5",
            title: "the largest stable rate of Adam goes with the root of the batch, that of SGD more steeply",
            recipe: "as 04.4, Adam 0.9, 0.999, 1e-8, batches of 1 to 64",
            wanted: "slope at 1 to 8 within 0.25 to 0.7, and at least 0.25 below that of SGD",
            seeds: 4,
            seconds: 30,
            run: regression::adam,
        },
        Claim {
            number: "6",
            title: "the least damping depends on rate / batch",
            recipe: "linear regression, inputs N(0, diag(1/i)) of 64, fresh batches of 1, 2, 4, 8, steps by (C + d)⁻¹ with the exact C, rates 0.5 and \
                     1, 300 steps, 40 dampings from 1e-3 to 1e2; stable: the excess risk ends no higher",
            wanted: "d at (2 rate, 2 batch) / d at (rate, batch) within 20 % of 1 for batches 1, 2, 4; slope in the batch −1.7 to −0.9; 1.8 to 3.6 \
                     times for twice the rate",
            seeds: 4,
            seconds: 20,
            run: regression::damping,
        },
        Claim {
            number: "7",
            title: "rate and momentum learned from the curvature save the search for a rate",
            recipe: "1,024 digits, 64-32-10 ReLU, batch 64, 20 epochs, rates 0.003 to 1 with momentum 0.9; the learner with 20 steps over all \
                     samples every 20 and every 5 epochs",
            wanted: "authors-mn, unclipped: final training loss below the grid's median in every run, mean test accuracy at most 1 point below the \
                     grid's best. Within 1.3 × of the best loss is known not to show; the other rules need their clip",
            seeds: 3,
            seconds: 30,
            run: learner::saves_the_search,
        },
    ],
};

const TEST: f64 = 773.0;
const ALL: f64 = 1797.0;

/// 1,024 digits to train on and 773 to test on, with one mean and deviation.
fn digits(setting: &Setting) -> Result<Samples> {
    let options = LoadOptions { test_fraction: TEST / ALL, ..LoadOptions::default() };
    Samples::of(&setting.dataset("digits", &options)?)
}

fn network(samples: &Samples) -> Result<Network> {
    let model = Mlp { widths: vec![32], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    Network::with(Box::new(model), samples.shape(), DType::F32, Loss::CrossEntropy, NormSettings::default())
}

fn start(network: &Network, seed: u64) -> State {
    network.initial_state(Initialization::Uniform, seed)
}

/// The batch of this number and size: each sample at most once.
fn subset(seed: u64, number: u64, size: usize, of: usize) -> Vec<u32> {
    let mut random = Key::new(seed, "claims/04/batch", number).random();
    let mut all: Vec<u32> = (0..of as u32).collect();
    for place in 0..size.min(of) {
        let other = place + random.below((of - place) as u64) as usize;
        all.swap(place, other);
    }
    all.truncate(size);
    all
}

/// Numbers with equal ratios from `low` to `high`.
fn spaced(low: f64, high: f64, count: usize) -> Vec<f64> {
    let ratio = (high / low).ln() / (count - 1) as f64;
    (0..count).map(|n| low * (ratio * n as f64).exp()).collect()
}

/// The slope of log y in log x.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let logs = |numbers: &[f64]| numbers.iter().map(|number| number.ln()).collect::<Vec<_>>();
    super::statistics::linear_fit(&logs(x), &logs(y)).slope
}

/// The mean by ratios.
fn geometric_mean(numbers: &[f64]) -> f64 {
    (numbers.iter().map(|number| number.ln()).sum::<f64>() / numbers.len() as f64).exp()
}

/// The last of the numbers before the first that is not stable; NaN where the first is not.
fn last_stable(numbers: &[f64], mut stable: impl FnMut(f64) -> Result<bool>) -> Result<f64> {
    let mut last = f64::NAN;
    for &number in numbers {
        if !stable(number)? {
            break;
        }
        last = number;
    }
    Ok(last)
}
