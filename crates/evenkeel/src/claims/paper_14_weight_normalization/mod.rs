//! Weight normalization: length and direction apart, from a start that fits the data, in dense, recurrent and convolution layers.

mod catch;
mod digits;
mod exact;
mod images;
mod latent;
mod sequence;

use super::{Claim, Paper};
use crate::config::{Loss, NormKind, WeightNorm};
use crate::init::DataDependent;
use crate::nn::{Model, NormSettings};
use crate::{Batch, Network, Result, State};
use evenkeel_graph::{DType, Tensor};

/// The claims of Salimans, Kingma 2016, arXiv 1602.07868.
pub(super) static PAPER: Paper = Paper {
    number: "14",
    title: "Weight normalization (Salimans, Kingma 2016)",
    claims: &[
        Claim {
            number: "1",
            title: "the length of a weight vector is apart from its direction",
            recipe: "w = g v / ‖v‖: the row v = (3, 4), g = 2 by hand, and every unit of a 64-[32 × 2]-10 network on 50 digits, in f64",
            wanted: "gradients of g and v as by hand, ⟨v, ∂v⟩ = 0 in every unit, ‖v‖ never falls in a step, v → a v leaves w and ∂g and \
                     divides ∂v by a; central differences to 1e-8",
            seeds: 1,
            seconds: 1,
            run: exact::length_and_direction,
        },
        Claim {
            number: "2",
            title: "better conditioning: gradient descent trains faster",
            recipe: "digits, 64-[64 × 4]-10 ReLU, v ~ N(0, 0.05²), data-dependent initialization of both networks, SGD, batch 100, 400 \
                     steps, rates 0.01, 0.03, 0.1, 0.3, 1",
            wanted: "mean training loss over the run at each network's best rate: lower in ≥ 4 of 5 seeds and ≤ 0.85 × plain in the mean; at \
                     rate 0.01 the final loss ≤ 0.1 × plain",
            seeds: 5,
            seconds: 10,
            run: digits::faster,
        },
        Claim {
            number: "2b",
            title: "without data-dependent initialization there is no such gain",
            recipe: "as 14.2, with g = ‖v‖ at first, so that both networks start as the same function",
            wanted: "mean training loss over the run at each network's best rate: not the gain of 14.2, more than 0.85 × plain",
            seeds: 5,
            seconds: 10,
            run: digits::no_gain_without_data,
        },
        Claim {
            number: "3",
            title: "robust to the learning rate: the length of v adapts to it",
            recipe: "as 14.2, v × 0.1, 1, 10 after the initialization (the same function), 300 steps, rates from 0.001 to 3",
            wanted: "outputs at first equal to 1e-4; ‖v‖ of every unit never falls; the largest rate with a final loss below 1 moves ≤ 30 × \
                     between the scales, and the best rate rises with the scale",
            seeds: 3,
            seconds: 15,
            run: digits::robust_to_the_rate,
        },
        Claim {
            number: "4",
            title: "much of the speed-up of batch normalization",
            recipe: "digits, 64-[64 × 8]-10 ReLU, SGD, batch 128; steps until the moving average (0.8) of the training loss is below 0.3, at \
                     the best rate of each network",
            wanted: "steps: batch norm ≤ weight norm with data-dependent initialization ≤ 0.4 × plain Glorot; logarithm of the speed-up ≥ 0.5 \
                     × batch norm's",
            seeds: 3,
            seconds: 15,
            run: digits::as_batch_norm,
        },
        Claim {
            number: "5",
            title: "samples do not depend on each other",
            recipe: "a 64-[32 × 2]-10 network on 20 digits; the first one's output and the gradient at its input, among two sets of others",
            wanted: "the same bits with weight normalization; not with batch norm and mean-only batch norm in training",
            seeds: 1,
            seconds: 1,
            run: exact::independent_samples,
        },
        Claim {
            number: "6",
            title: "it works in recurrent networks",
            recipe: "digits as 8 steps of 8 pixels, LSTM of 64, Adam, batch 64, 250 steps, rates 0.003, 0.01, 0.03; plain U(±1/8) against \
                     weight-normalized input and state weights, v ~ N(0, 0.05²), g = 1",
            wanted: "median over seeds of the mean loss over the run: ≤ 0.92 × plain at the best rates, lower at ≥ 2 of 3 rates",
            seeds: 5,
            seconds: 60,
            run: sequence::lstm,
        },
        Claim {
            number: "7",
            title: "it works in reinforcement learning",
            recipe: "Catch on 10 × 5, deep Q-learning 50-64-64-3, Huber loss, Adam 0.003, discount 0.95, replay of 5,000, batch 32, target \
                     copied every 200 steps, 10,000 steps",
            wanted: "mean return of the last tenth of the episodes: ≥ plain − 0.06 and ≥ 0.8; no divergence. A gain does not show here",
            seeds: 5,
            seconds: 60,
            run: catch::q_learning,
        },
        Claim {
            number: "8",
            title: "it works in generative models",
            recipe: "variational autoencoder 64-128-(8+8)-128-64 on the digits, Bernoulli, Glorot, Adamax, batch 100, 1,000 steps, rates \
                     0.002, 0.01, 0.03; the bound on the test samples, one draw each",
            wanted: "negative bound at the best rate: weight norm ≤ plain + 0.15, with data-dependent initialization ≤ plain + 0.4; at rate \
                     0.01 better than plain with data-dependent initialization in ≥ 3 of 5 seeds. A better bound is known not to show here",
            seeds: 5,
            seconds: 60,
            run: latent::autoencoder,
        },
        Claim {
            number: "9",
            title: "it costs less than batch normalization",
            recipe: "a step of the network of 14.10 at batch 100 on one thread, medians of alternating steps",
            wanted: "≤ 0.95 × batch norm's, ≤ 1.15 × the plain network's",
            seeds: 1,
            seconds: 10,
            run: images::cost,
        },
        Claim {
            number: "10",
            title: "together with mean-only batch normalization it is better than each of them",
            recipe: "CIFAR-10, first 5,000 and 2,000 images at 16 × 16, standardized; 3×3 convolutions 16, 16, pool, 32, 32, pool, 32, mean, \
                     10, leaky ReLU, N(0, 0.05²) and data-dependent initialization, norms on the logits too, Adam 0.003 falling to 0 in the \
                     second half, batch 100, 12 epochs",
            wanted: "test error of weight norm with mean-only batch norm ≥ 1.5 points below each of them, weight norm ≥ 0.5 points below \
                     plain. Better than batch norm is known not to show here",
            seeds: 3,
            seconds: 150,
            run: images::with_mean_only_batch_norm,
        },
    ],
};

/// Deviation of directions at first, as in the authors' code.
const DEVIATION: f64 = 0.05;

/// Samples of the batch that networks are initialized on, as in the authors' code.
const INITIAL_SAMPLES: usize = 500;

/// A network in f32 whose layers make so much of their weights.
fn network(model: impl Model + 'static, shape: &[usize], loss: Loss, weights: WeightNorm) -> Result<Network> {
    let settings = NormSettings { weights, ..NormSettings::default() };
    Network::with(Box::new(model), shape, DType::F32, loss, settings)
}

/// A fully connected network for the ten digits.
fn digits_network(widths: &[usize], norm: NormKind, weights: WeightNorm) -> Result<Network> {
    let model = crate::models::Mlp {
        widths: widths.to_vec(),
        norm,
        activation: Some(crate::config::Activation::Relu),
        classes: 10,
    };
    network(model, &[8, 8, 1], Loss::CrossEntropy, weights)
}

/// A state that fits the first training samples: every unit has mean 0 and deviation 1 on them.
fn fitted(network: &Network, state: State, train: &Batch) -> Result<State> {
    Ok(DataDependent::default().run(network, state, &train.first(INITIAL_SAMPLES))?.state)
}

/// The parameters that `choose` picks by their paths, each made anew.
fn replaced(
    network: &Network,
    mut state: State,
    choose: impl Fn(&str) -> bool,
    new: impl Fn(usize, &Tensor) -> Tensor,
) -> State {
    for (index, info) in network.parameters().iter().enumerate() {
        if let Some(tensor) = state.parameters.get_mut(index).filter(|_| choose(&info.path)) {
            *tensor = new(index, tensor);
        }
    }
    state
}

/// Every number times a factor.
fn scaled(tensor: &Tensor, factor: f64) -> Tensor {
    let values: Vec<f64> = tensor.to_f64().iter().map(|value| value * factor).collect();
    Tensor::from_f64(tensor.shape(), tensor.dtype(), &values).unwrap_or_else(|| tensor.clone())
}

/// The Euclidean length of each unit's numbers, `[.., units]`.
fn lengths(tensor: &Tensor) -> Vec<f64> {
    crate::init::lengths(tensor.shape(), &tensor.to_f64())
}
