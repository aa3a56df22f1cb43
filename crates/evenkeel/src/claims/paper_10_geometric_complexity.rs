//! Geometric complexity: how much a network's outputs vary with its inputs, squared, over the data.

mod estimates;
mod implicit;
mod initialization;
mod penalties;
mod recipe;
mod width;

use super::{Claim, Paper};
use crate::regularize::geometric_complexity::{ComplexityMeter, HowMeasured};
use crate::{Network, Result};

/// The claims of Dherin, Munn, Rosca, Barrett 2022, arXiv 2209.13083.
pub(super) static PAPER: Paper = Paper {
    number: "10",
    title: "Geometric complexity (Dherin, Munn, Rosca, Barrett 2022)",
    claims: &[
        Claim {
            number: "1",
            title: "geometric complexity is a discrete Dirichlet energy that random probes estimate",
            recipe: "64-100-100-10 ReLU network at the start, 500 digits; 200 single-probe estimates, and central differences in f64",
            wanted: "mean of the probes within 1 % of the exact number, central differences within 10⁻⁴ of it",
            seeds: 1,
            seconds: 1,
            run: estimates::estimates,
        },
        Claim {
            number: "2",
            title: "a penalty on the norm of the parameters lowers geometric complexity",
            recipe: "digits, 64-100-100-10 ReLU, He weights, SGD 0.1, batch 64, 1500 steps; weight decay 0, 1e-3, 5e-3, 1e-2",
            wanted: "strictly decreasing; at 1e-2 at most 0.35 of none; never above the product of squared Frobenius norms",
            seeds: 3,
            seconds: 4,
            run: penalties::parameter_norm,
        },
        Claim {
            number: "3",
            title: "a penalty on the spectral norms of the weights lowers geometric complexity",
            recipe: "the same with ½ λ Σ s_max², one power iteration a step, λ = 0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1",
            wanted: "strictly decreasing; at 1e-2 at most 0.8 and at 0.1 at most 0.55 of none; test accuracy at most 1 and 3 points lower; \
                     never above min(d, k) times the product of s_max²",
            seeds: 3,
            seconds: 6,
            run: penalties::spectral_norm,
        },
        Claim {
            number: "4",
            title: "a penalty on the squared loss gradient lowers geometric complexity, and what flatness of the loss transfers is bounded",
            recipe: "the same with α ‖∂L/∂θ‖², α = 0, 0.01, 0.03, 0.1, when the training loss is first below 0.1 and 0.05 (looked at every 25 \
                     steps); the transfer inequality on 200 random networks in f64",
            wanted: "strictly decreasing at both losses; at 0.1 at most 0.88 of none; ‖∂f/∂θ‖² at least what the inequality says",
            seeds: 3,
            seconds: 3,
            run: penalties::flatness,
        },
        Claim {
            number: "5",
            title: "smaller batches end in lower geometric complexity at the same loss",
            recipe: "digits, 64-100-100-10 ReLU, SGD 0.2, until the training loss is below 0.05; batch 8, 32, 128, 1000",
            wanted: "batch 8 at most 0.85 of batch 128",
            seeds: 3,
            seconds: 3,
            run: implicit::batch_size,
        },
        Claim {
            number: "6",
            title: "larger learning rates end in lower geometric complexity at the same loss",
            recipe: "digits, 64-100-100-10 ReLU, SGD with batch 8, until the training loss is below 0.02; rates 0.02, 0.05, 0.1, 0.2, 0.3",
            wanted: "rate 0.2 at most 0.85 of rate 0.02",
            seeds: 4,
            seconds: 4,
            run: implicit::learning_rate,
        },
        Claim {
            number: "7",
            title: "noise on the inputs lowers geometric complexity",
            recipe: "digits, 64-100-100-10 ReLU, He weights, SGD 0.1, batch 64, 1500 steps; input noise 0, 0.1, 0.2, 0.4",
            wanted: "strictly decreasing; at 0.4 at most 0.4 of none",
            seeds: 3,
            seconds: 4,
            run: penalties::input_noise,
        },
        Claim {
            number: "8",
            title: "at the start, geometric complexity halves with each layer for LeCun weights and stays for He weights",
            recipe: "64-[128 × L]-10 ReLU networks at the start, L = 1, 2, 4, 8, 16, on 64 digits; squared input-to-logits Jacobian, mean over \
                 seeds, against its expectation over weights",
            wanted: "LeCun within 25 % of 10 · 2⁻ᴸ, He within 25 % of 20 at every depth; Glorot decays",
            seeds: 20,
            seconds: 2,
            run: initialization::initialization,
        },
        Claim {
            number: "9",
            title: "geometric complexity of trained networks follows the test loss through double descent",
            recipe: "200 digits with 20 % of labels wrong, 64-h-10 ReLU, weights and biases uniform in ±1/√fan-in, SGD 0.1, momentum 0.9, batch \
                     20, 3000 steps; h from 4 to 512",
            wanted: "test loss and geometric complexity both peak at h from 4 to 12; rank correlation over h ≥ 6 at least 0.9",
            seeds: 2,
            seconds: 3,
            run: width::double_descent,
        },
    ],
};

/// The exact measurement over so many samples.
fn meter(network: &Network, samples: usize) -> Result<ComplexityMeter> {
    ComplexityMeter::new(network, samples, HowMeasured::default())
}
