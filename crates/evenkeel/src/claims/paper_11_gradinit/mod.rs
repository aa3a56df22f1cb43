//! GradInit: factors of the weights at the start, learned so that the first step of the optimizer helps.

mod gradient_quotient;
mod networks;
mod sequence;
mod start;
mod training;

use super::{Claim, Paper};

/// The claims of Zhu, Ni, Xu, Kong, Huang, Goldstein 2021, arXiv 2102.08098.
pub(super) static PAPER: Paper = Paper {
    number: "11",
    title: "GradInit (Zhu, Ni, Xu, Kong, Huang, Goldstein 2021)",
    claims: &[
        Claim {
            number: "1",
            title: "the loss after one step falls, and the gradient keeps to its bound",
            recipe: "digits, 10 × 64 ReLU units, He weights × 0.5, 1, 2; GradInit for normalized SGD, 150 iterations, 2 × 32 samples, rate of \
                     the factors 0.01, η = 0.1, γ = 1; the loss after a step over 20 batches",
            wanted: "over the last 20 iterations the median ‖g‖ ≤ γ, and ‖g‖ ≤ γ in ≥ 60 % of them (mean over seeds); the \
                     loss after a step lower in every seed at \
                     × 0.5 and 2, and more than 50 times lower at 2",
            seeds: 5,
            seconds: 10,
            run: start::one_step,
        },
        Claim {
            number: "2",
            title: "it repairs and speeds up training",
            recipe: "the networks of 11.1, then SGD, rate 0.1, momentum 0.9, gradients clipped at 1, batch 64, 10 epochs",
            wanted: "test accuracy: × 0.5: mean ≥ plain + 40 points, every seed ≥ 85 %; × 2: mean ≥ plain + 15, every seed ≥ 88 %; × 1: mean ≥ \
                     plain; after the first epoch ≥ plain + 15 at × 0.5 and 2",
            seeds: 5,
            seconds: 20,
            run: training::repairs,
        },
        Claim {
            number: "3",
            title: "with and without skip connections and normalization",
            recipe: "digits, 20 residual blocks x + W₂ relu(W₁ x) of width 64 without a norm at rates 0.1 and 0.01, and 10 × 64 units with batch \
                     norm at 0.1; training as in 11.2",
            wanted: "residual: ≥ plain + 20 points after the first epoch and + 8 after ten, at both rates; batch norm: ≥ plain − 1 point after \
                     ten. A gain with batch norm after the first epoch is known not to show here",
            seeds: 5,
            seconds: 40,
            run: training::architectures,
        },
        Claim {
            number: "4",
            title: "the optimizer that will train matters",
            recipe: "the networks of 11.1, trained by Adam, rate 0.001, batch 64, 5 epochs; GradInit for Adam, η = 0.001, ‖g‖₁ ≤ 100, against \
                     GradInit for SGD and none",
            wanted: "× 0.5: mean accuracy ≥ plain + 15 points and ≥ that of GradInit for SGD − 1; a factor that \
                     differs by more than 5 % (mean over seeds)",
            seeds: 5,
            seconds: 30,
            run: training::target_optimizer,
        },
        Claim {
            number: "5",
            title: "a transformer without warm-up",
            recipe: "encoder of 6 layers with norms after the sums, width 32, 2 heads, 64 inside; strings of 6 out of 8 tokens backwards; Adam \
                     (0.9, 0.98), rates 0.001 and 0.002, batch 32, 1,200 steps; GradInit for Adam, ‖g‖₁ ≤ 100, 60 iterations",
            wanted: "‖g‖₁ at the start ≤ 150; the share of runs with ≥ 90 % of the tokens right ≥ plain − 0.2. That more runs get there is known \
                     not to show here",
            seeds: 5,
            seconds: 120,
            run: sequence::without_warm_up,
        },
        Claim {
            number: "6",
            title: "a wider range of rates and momenta",
            recipe: "digits, 10 residual blocks without a norm, SGD, gradients clipped at 1, 5 epochs, rates 0.01, 0.03, 0.1, 0.3 × momenta \
                     0.8, 0.9, 0.95",
            wanted: "of the 12 pairs, mean accuracy ≥ 90 % at ≥ 9 with GradInit and at ≤ 4 without",
            seeds: 2,
            seconds: 30,
            run: training::range_of_rates,
        },
        Claim {
            number: "7",
            title: "better than an initialization that makes the gradient quotient small",
            recipe: "the networks of 11.1 and their training of 11.2, after MetaInit (Dauphin, Schoenholz 2019): lengths of weights moved by \
                     the sign of their slope of the gradient quotient on random samples, rate 0.1, momentum 0.9, 100 steps",
            wanted: "mean accuracy after ten epochs above MetaInit's at every scale; a comparison to be told, without a size",
            seeds: 3,
            seconds: 60,
            run: gradient_quotient::against_meta_init,
        },
    ],
};
