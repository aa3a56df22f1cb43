//! Weight rescaling: weights whose size a norm takes away, and what their size is to the learning rate.

mod decay;
mod images;
mod maps;
mod size;

use super::setup::Samples;
use super::{Claim, Paper, Setting};
use crate::config::{Activation, NormKind, ScheduleConfig, ScheduleKind};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::norm::scale_invariant;
use crate::optim::{Optimizer, Rescaled, Schedule};
use crate::{Error, Network, Result};
use evenkeel_graph::Tensor;
use evenkeel_graph::random::Key;

/// The claims of Liu, Cui, Wan, Mao, Chan 2021, arXiv 2102.03497.
pub(super) static PAPER: Paper = Paper {
    number: "07",
    title: "Weight rescaling (Liu, Cui, Wan, Mao, Chan 2021)",
    claims: &[
        Claim {
            number: "1",
            title: "under momentum and weight decay the effective learning rate keeps rising",
            recipe: "400 digits with a fifth of the labels drawn at random, 64-64-64-10 with batch norm, He weights, SGD 0.05 constant, momentum 0.9, batch \
                     50, 60 epochs, weight decay 1e-2 on all parameters or none; ‖w‖ of the units of the second layer, effective rate 0.05 / ‖w‖²",
            wanted: "with decay the mean ‖w‖ at the end < 0.6 × that of step 1 and < that half-way, the effective rate × more than 3; without \
                     decay it never falls",
            seeds: 5,
            seconds: 2,
            run: decay::effective_rate,
        },
        Claim {
            number: "2",
            title: "how strong weight decay is matters much, to SGD with momentum and to Adam",
            recipe: "as 07.1 with decay 0, 1e-4, 1e-3, 1e-2, 1e-1 added to the gradient of all parameters, SGD 0.05 with momentum 0.9 and Adam \
                     0.005, rate constant or cosine",
            wanted: "constant rate: mean test accuracies over the decays ≥ 3 points apart, for each optimizer",
            seeds: 5,
            seconds: 10,
            run: decay::sensitivity,
        },
        Claim {
            number: "3",
            title: "rescaling needs no coefficient, and decay of the other parameters matters little to it",
            recipe: "as 07.2 with the weights of both hidden layers rescaled after each step, decay 0, 1e-4, 1e-3 of the other parameters",
            wanted: "constant rate: mean test accuracies over the other decays at most half as far apart as those of 07.2, for each optimizer; \
                     cosine: their mean ≥ the median over the decays of 07.2 − 1 point. Better than the best decay is known not to show here",
            seeds: 5,
            seconds: 15,
            run: decay::robustness,
        },
        Claim {
            number: "4",
            title: "rescaling keeps gradients from growing",
            recipe: "as 07.1, decay 1e-2 against rescaling; ‖∇‖ of the weights of both hidden layers on each batch, mean over the last and the \
                     first quarter of the steps",
            wanted: "in every seed: last / first quarter > 1.2 with decay, < 0.6 rescaled; decay / rescaled > 2.5 in the last quarter, 0.8 to \
                     1.25 in the first; without momentum ‖w‖ ≥ 1 − 1e-6 before each rescaling",
            seeds: 5,
            seconds: 5,
            run: size::gradients,
        },
        Claim {
            number: "5",
            title: "rescaling keeps the effective learning rate on the schedule",
            recipe: "as 07.3, cosine, no decay, SGD 0.05 with momentum 0.9 and Adam 0.005; ‖w‖ of each unit of both layers before each step",
            wanted: "|effective rate / rate − 1| < 1e-5 for every unit at every step",
            seeds: 5,
            seconds: 5,
            run: size::on_schedule,
        },
        Claim {
            number: "6",
            title: "rescaling is as good as tuned weight decay and AdamP",
            recipe: "CIFAR-10, first 2,000 training and test images at 16×16, standardized; 3 convolutions of 16, 32, 64 channels with batch \
                     norm, ReLU and pool, mean over space; batch 50, 6 epochs, cosine; SGD with momentum 0.9 from 0.05 or 0.2 rescaled, with \
                     decay 1e-3 or 1e-2, or standardized with decay 1e-3; AdamP 0.003, decay 1e-2",
            wanted: "mean test accuracy at the best rate: rescaled ≥ the best decay − 1 and ≥ AdamP − 1 point; filters of length 1 at the end. As \
                     good as standardized weights is known not to show here",
            seeds: 2,
            seconds: 30,
            run: images::comparison,
        },
        Claim {
            number: "6b",
            title: "standardized weights, an implicit rescaling, do better than tuned weight decay alone",
            recipe: "CIFAR-10, first 2,000 training and test images at 16×16, standardized; 3 convolutions of 16, 32, 64 channels with batch \
                     norm, ReLU and pool, mean over space; SGD, momentum 0.9, batch 50, 6 epochs, cosine from 0.05 or 0.2; weight decay 1e-3 or \
                     1e-2 without, 1e-3 with weight standardization",
            wanted: "mean test accuracy at the best rate: standardized ≥ 1 point above the best weight decay",
            seeds: 2,
            seconds: 30,
            run: images::standardization,
        },
        Claim {
            number: "7",
            title: "rescaling works where every pixel is asked: segmentation and counting",
            recipe: "300 + 300 drawn images of 16×16: a disc of waves among crossing waves, noise 0.7, intersection over union; 1 to 8 Gaussian \
                     dots, noise 0.3, a map of their density, loss 10 × mean square, error of the count; 3 convolutions of 8 channels with batch \
                     norm and ReLU, linear at each pixel; SGD, momentum 0.9, batch 25, 10 epochs, cosine; decay 1e-4 at the rate 0.05, rescaled \
                     at the best of 0.02, 0.05, 0.1",
            wanted: "means over seeds: intersection over union ≥ decay's − 2 points; error of the count ≤ 1.05 × decay's",
            seeds: 3,
            seconds: 30,
            run: maps::tasks,
        },
    ],
};

/// Samples of a step on the digits.
const BATCH: usize = 50;
/// Epochs on the digits.
const EPOCHS: u64 = 60;
/// Steps of an epoch on the digits.
const EPOCH: u64 = (TRAIN / BATCH) as u64;
const TRAIN: usize = 400;
/// Those of them whose label is drawn: the first, since their order is random.
const RANDOM: usize = TRAIN / 5;

/// 400 digits, a fifth of which have random labels, and all the others to test on.
fn digits(setting: &Setting, seed: u64) -> Result<Samples> {
    let options = LoadOptions { test_fraction: 1397.0 / 1797.0, seed, normalize: false, ..LoadOptions::default() };
    let mut samples = Samples::of(&setting.dataset("digits", &options)?)?;
    let mut random = Key::new(seed, "claims/07/labels", 0).random();
    let drawn = |place, label| if place < RANDOM { random.below(10) as i32 } else { label };
    samples.train = samples.train.relabelled(drawn)?;
    Ok(samples)
}

/// Two hidden layers of 64 with batch norm. The weights of both are scale-invariant.
fn network(samples: &Samples) -> Result<Network> {
    let model = Mlp { widths: vec![64, 64], norm: NormKind::Batch, activation: Some(Activation::Relu), classes: 10 };
    Network::new(model, samples.shape())
}

/// The weights of both.
const MATRICES: [&str; 2] = ["fc1.weight", "fc2.weight"];

/// Which parameter has this path.
fn place(network: &Network, path: &str) -> Result<usize> {
    let found = network.parameters().iter().position(|info| info.path == path);
    found.ok_or_else(|| Error::input("the network has no such parameter").detail("layer", path))
}

/// A rule after whose steps every unit of the scale-invariant weights has length 1; `undecayed` is the rule of those.
fn rescaled(network: &Network, rule: Box<dyn Optimizer>, undecayed: Box<dyn Optimizer>) -> Result<Box<dyn Optimizer>> {
    let weights = scale_invariant(network)?.into_iter().collect();
    Ok(Box::new(Rescaled { rule, undecayed, weights, every: 1, length: 1.0, rescale_state: false }))
}

/// The Euclidean length of each unit's weights, `[.., units]`.
fn lengths(weights: &Tensor) -> Vec<f64> {
    crate::init::lengths(weights.shape(), &weights.to_f64())
}

/// From `rate` to 0 on half a cosine.
fn cosine(rate: f64, steps_per_epoch: u64, epochs: u64) -> Schedule {
    let cosine = ScheduleConfig { name: ScheduleKind::Cosine, final_fraction: 0.0, ..ScheduleConfig::default() };
    Schedule::new(rate, &cosine, steps_per_epoch, epochs)
}
