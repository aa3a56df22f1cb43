//! Batch normalization: faster training, higher rates, careless weights, regularization, and what stays of it in use.

mod inference;
mod regularization;
mod robustness;
mod speed;

use super::{Claim, Paper};
use crate::config::{Activation, NormKind};
use crate::models::Mlp;
use crate::{Network, Result};

/// The claims of Ioffe, Szegedy 2015, arXiv 1502.03167.
pub(super) static PAPER: Paper = Paper {
    number: "03",
    title: "Batch normalization (Ioffe, Szegedy 2015)",
    claims: &[
        Claim {
            number: "1",
            title: "the same accuracy is reached in many times fewer steps",
            recipe: "digits, 3 × 100 sigmoid units, weights N(0, 0.1²), SGD, batch 60; steps to 90 % of the test samples, looked at every \
                     10 steps up to 2,000, at the best of the rates 0.1, 0.5, 2, 5 for each network",
            wanted: "median steps without batch norm ≥ 10 × those with it",
            seeds: 5,
            seconds: 30,
            run: speed::fewer_steps,
        },
        Claim {
            number: "2",
            title: "much higher learning rates can be used",
            recipe: "digits, 6 × 64 ReLU units, Glorot weights, SGD, batch 60, 600 steps at rates from 0.03 to 3",
            wanted: "mean over seeds of the test samples answered rightly: ≥ 95 % with batch norm at rates 1 and 3, where the plain network does \
                     not train (≤ 25 %); largest usable rate (≥ 95 %) ≥ 5 × the plain network's",
            seeds: 3,
            seconds: 10,
            run: speed::higher_rates,
        },
        Claim {
            number: "2b",
            title: "fewer steps with ReLU as well",
            recipe: "digits, 8 × 64 ReLU units, Glorot weights, SGD, batch 128; steps until the training loss (moving average, weight 0.2) is \
                     0.3, at the best of the rates 0.03, 0.1, 0.2, 0.3, 0.5, 1 for each network",
            wanted: "median steps without batch norm ≥ 4 × those with it",
            seeds: 3,
            seconds: 10,
            run: speed::fewer_steps_with_relu,
        },
        Claim {
            number: "3",
            title: "weights need less careful initialization",
            recipe: "digits, 6 × 64 ReLU units, Glorot weights × 0.1, 1, 10, SGD, rate 0.1, batch 60, 300 steps",
            wanted: "mean over seeds of the test samples answered rightly: ≥ 80 % with batch norm at all three scales, ≤ 30 % without it at \
                     0.1 and 10",
            seeds: 3,
            seconds: 5,
            run: robustness::initialization,
        },
        Claim {
            number: "4",
            title: "networks with saturating functions train",
            recipe: "digits, 8 × 64 sigmoid units, Glorot weights, SGD, rates 0.3, 1, 3, batch 60, 600 steps",
            wanted: "at every rate, mean over seeds of the test samples answered rightly: ≥ 90 % with batch norm, ≤ 25 % without",
            seeds: 3,
            seconds: 5,
            run: robustness::saturation,
        },
        Claim {
            number: "5",
            title: "it regularizes, and can take the place of dropout",
            recipe: "MNIST and Fashion-MNIST, first 1,000 samples to train on and 2,000 to test, 2 × 128 ReLU units, He weights, SGD, rate \
                     0.1, batch 50, 500 steps; nothing, dropout 0.5, batch norm, both",
            wanted: "on both data sets dropout adds ≤ 1 point to batch norm, which is ≥ nothing − 1 point; that batch norm beats nothing by \
                     itself is known not to show at this scale",
            seeds: 6,
            seconds: 30,
            run: regularization::in_place_of_dropout,
        },
        Claim {
            number: "6",
            title: "ensembles of networks with batch norm are better than each of them",
            recipe: "the batch norm networks of 03.5, one a seed; the ensemble answers with the mean of their probabilities",
            wanted: "on both data sets the ensemble's error ≤ the mean error − 1 deviation, ≤ the best one's, and ≥ 0.7 points below the mean",
            seeds: 6,
            seconds: 20,
            run: regularization::ensembles,
        },
        Claim {
            number: "7",
            title: "the distributions of the inputs of sigmoids are more stable",
            recipe: "the networks of 03.1 at rate 0.5, 1,500 steps; 15th, 50th and 85th percentiles of each input of the last hidden layer's \
                     sigmoids over 300 training samples, every 50 steps",
            wanted: "range of the median over time / mean width (85th − 15th): batch norm ≤ 0.3 × plain; largest / smallest width over time: \
                     batch norm ≤ 3, plain ≥ 10 (medians over the units)",
            seeds: 5,
            seconds: 20,
            run: robustness::stable_distributions,
        },
        Claim {
            number: "8",
            title: "answers in use are deterministic, and the layer can be folded into the one before it",
            recipe: "a fully connected and a residual network with batch norm, 60 steps on the digits, in f32 and f64; 100 test samples with \
                     and without the layers, and one sample among different others",
            wanted: "largest difference / largest output < 1e-5 (f32) and < 1e-12 (f64); the same bits in other company with running \
                     statistics, not with those of the batch",
            seeds: 1,
            seconds: 5,
            run: inference::folded_and_alone,
        },
    ],
};

/// The networks that are compared, in the order of results and figures.
const NORMS: [NormKind; 2] = [NormKind::None, NormKind::Batch];
const NAMES: [&str; 2] = ["plain", "batch norm"];

/// A fully connected network for the ten digits.
fn digits_network(widths: &[usize], activation: Activation, norm: NormKind) -> Result<Network> {
    Network::new(Mlp { widths: widths.to_vec(), norm, activation: Some(activation), classes: 10 }, &[8, 8, 1])
}
