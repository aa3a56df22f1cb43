//! Entropy-SGD: what local entropy favours, and what going up it is worth.

mod digits;
mod quadrature;
mod sequence;
mod smoothness;
mod spectrum;
mod wells;

use super::{Claim, Paper};

/// The claims of Chaudhari, Choromanska, Soatto, LeCun, Baldassi, Borgs, Chayes, Sagun, Zecchina 2017, arXiv 1611.01838.
pub(super) static PAPER: Paper = Paper {
    number: "16",
    title: "Entropy-SGD (Chaudhari, Choromanska, Soatto, LeCun et al. 2017)",
    claims: &[
        Claim {
            number: "1",
            title: "of a trained network's Hessian most eigenvalues are near 0, few are large, and those below 0 are small",
            recipe: "digits / 16, 64-24-24-10 ReLU (2,410 parameters), uniform ±1/√fan-in, SGD 0.05 with Nesterov's momentum 0.9, batch 50, 40 \
                     epochs; all eigenvalues on 600 training samples, in f64",
            wanted: "trained: ≥ 93 % within 1 % of the largest, ≤ 20 above 5 % of it, the least above −5 %, none below −1 %; at the start: ≤ \
                     85 % within 1 %, the least below −40 %",
            seeds: 4,
            seconds: 60,
            run: spectrum::near_zero,
        },
        Claim {
            number: "2",
            title: "local entropy is largest in a wide valley, although a narrow one is deeper",
            recipe: "f = 0.02 x² less Gaussian wells of depth 4 and width 0.1 at −1.5, and of depth 3 and width 0.6 at 1; F by quadrature on \
                     [−12, 12], x on [−3, 3]",
            wanted: "f is least at −1.50; F is largest within 0.0025 of 0.310, 0.920, 0.995 for γ = 0.1, 1, 10, in the wide well below γ = 42.81 and at −1.500 \
                     above",
            seeds: 1,
            seconds: 2,
            run: wells::wide_valley,
        },
        Claim {
            number: "2b",
            title: "inner steps of Entropy-SGD sample the local Gibbs distribution: their mean gives the gradient of the local entropy",
            recipe: "the function of 16.2; 4,000 chains of 6,000 inner steps of Entropy-SGD, rate 5e-4, temperature 1, no momentum; γ (x − mean) at \
                     (x, γ) = (0.3, 3), (−1, 10), (−1.3, 10) against quadrature",
            wanted: "by quadrature −1.1646, 3.4100, 1.6830; by sampling within 3 standard errors of it",
            seeds: 1,
            seconds: 5,
            run: wells::sampler,
        },
        Claim {
            number: "3",
            title: "local entropy is smoother than the function",
            recipe: "a quadratic function with second derivatives 0.5, 1, 4, 20; the sum of 6 cosines of amplitudes 0.2 to 0.6 and frequencies \
                     2 to 8; by quadrature",
            wanted: "quadratic: largest γ h / (γ + h) ≤ largest h / (1 + c/γ); cosines: steepest slope falls with γ, 0.98 to 0.99 of that before \
                     at γ = 1000, ≤ 0.7 at 10, ≤ 0.3 at 3; largest curvature ≤ 0.6 at 10, ≤ 0.2 at 3",
            seeds: 5,
            seconds: 2,
            run: smoothness::smoother,
        },
        Claim {
            number: "4",
            title: "for the same number of gradients it generalizes as well or better",
            recipe: "digits / 16, 897 to train on and 900 to test, 64-64-64-10 ReLU, uniform ±1/√fan-in, batch 128, 700 gradients; Entropy-SGD with \
                     20 inner steps, γ 1e-4, noise 1e-4, inner rate 0.1, rate 1 for 2 and 0.1 for 3 outer epochs; SGD 0.1 with Nesterov's \
                     momentum 0.9, × 0.2 after 30 and 60 epochs",
            wanted: "mean test error ≤ SGD's + 0.4 points, mean test loss ≤ 0.98 × SGD's. A flatter minimum at the same training loss is known not \
                     to show here",
            seeds: 5,
            seconds: 10,
            run: digits::generalization,
        },
        Claim {
            number: "5",
            title: "for the same number of gradients a recurrent network learns a text about as fast",
            recipe: "200,000 characters of tinyshakespeare and the next 20,000 to test on; characters in 32 numbers, GRU of 64, batch 32 × 32, gradients of \
                     length ≤ 1, 1,500 of them, rate × 0.2 after 60 % and 0.04 after 80 %; Entropy-SGD 1 with 5 inner steps, γ 1e-3, inner rate \
                     3, weight of the newest 0.75; SGD 1 with Nesterov's momentum 0.9; Adam 0.005",
            wanted: "test loss at the end ≤ SGD's + 0.05 nats in every seed. Faster than SGD is known not to show here",
            seeds: 3,
            seconds: 60,
            run: sequence::text,
        },
        Claim {
            number: "6",
            title: "a scope that narrows finds the wide minimum, and its place",
            recipe: "the function of 16.2, x to the exact local mean 400 times from −2.2, −1.5 and 2.5; γ = 0.1 · 1.02ᵗ up to 300, or 0.1, or 60",
            wanted: "growing γ ends within 0.01 of 0.995 from everywhere; γ = 0.1 ends at 0.31, where f is larger; γ = 60 stays in the narrow well \
                     from −2.2 and −1.5",
            seeds: 1,
            seconds: 2,
            run: wells::scoping,
        },
    ],
};
