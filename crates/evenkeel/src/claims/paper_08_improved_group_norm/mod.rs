//! Improved group normalization: what a statistic over the batch adds to one over groups of channels.

mod accuracy;
mod network;
mod stability;
mod stress;

use super::{Claim, Paper};

/// The claims of Gunawan, Yin, Zhang 2022, arXiv 2207.01972.
pub(super) static PAPER: Paper = Paper {
    number: "08",
    title: "Improved group normalization (Gunawan, Yin, Zhang 2022)",
    claims: &[
        Claim {
            number: "1",
            title: "group norm falls behind batch norm because training with it is less stable",
            recipe: "CIFAR-10, 3,000 training and 1,000 test images at 16×16, 8 convolutions with 4 groups, Adam at rates 1 to 5 × 5e-4, \
                     batch 64, 276 steps, the same start and order at all rates; the spread over the rates",
            wanted: "in each seed, group norm's spread of the final loss ≥ 2 × batch norm's, width of the loss band in the last third ≥ \
                     1.25 ×, spread of test accuracy ≥ 1.6 ×, mean accuracy ≥ 6 points below",
            seeds: 3,
            seconds: 60,
            run: stability::group_against_batch,
        },
        Claim {
            number: "2",
            title: "improved group norm stabilizes training",
            recipe: "the runs of 08.1 with group norm and its improved form (groups first, statistics per position)",
            wanted: "improved against plain group norm, in each seed: spread of the final loss ≤ 0.8 × (mean ≤ 0.65 ×), width of the loss band \
                     in the last third ≤ 0.9 ×, spread of test accuracy ≤ 0.7 ×, mean accuracy ≥ 6 points above",
            seeds: 3,
            seconds: 120,
            run: stability::improved_against_group,
        },
        Claim {
            number: "3",
            title: "group norm is more sensitive to noise from outside",
            recipe: "the network of 08.1, Adam at 1e-3, 690 steps, a number from N(0.001, 1.001²) added to each group of each sample behind \
                     every norm",
            wanted: "training loss of the last 20 steps: group norm − improved ≥ 0.08 in each seed and ≥ 0.14 in the mean; improved within \
                     0.1 of batch norm; mean accuracy of improved ≥ group norm + 5 points",
            seeds: 3,
            seconds: 80,
            run: stress::noise,
        },
        Claim {
            number: "4",
            title: "group norm is more sensitive to regularization",
            recipe: "the network of 08.1 with dropout 0.3 after each pool and L2 5e-5, Adam at 0.5, 1.5, 2.5e-3, 276 steps; loss of the last 60",
            wanted: "at 2.5e-3 group norm ≥ 2.25 and improved ≤ 2.1 in each seed; mean spread over the rates of group norm ≥ 1.35 × improved",
            seeds: 3,
            seconds: 120,
            run: stress::regularization,
        },
        Claim {
            number: "5",
            title: "group norm helps in some period only, batch norm throughout",
            recipe: "the runs of 08.1 with no norm as well: training loss without − with a norm, for each rate and third of the steps",
            wanted: "of 15 rates × thirds, gains above 0.05: batch and improved group norm ≥ 14 in each seed, group norm 1 to 10",
            seeds: 3,
            seconds: 200,
            run: stability::periods,
        },
        Claim {
            number: "6",
            title: "improved group norm beats group norm at every batch size",
            recipe: "CIFAR-10, 1,500 training and 1,000 test images at 16×16, 4 convolutions with 4 groups, Adam at 2e-3 √(B/64), 4 epochs, \
                     batches of 2 to 128",
            wanted: "mean gains in test accuracy: the paper's form (statistics of test batches of 100) > 0 at ≥ 5 of the sizes 4 to 128, \
                     mean ≥ 1.8; statistics over positions as well, kept running: > 0 at ≥ 6 of all 7, mean ≥ 1.4; the paper's form at size \
                     2: ≤ −4, its limit",
            seeds: 3,
            seconds: 80,
            run: accuracy::batch_sizes,
        },
        Claim {
            number: "7",
            title: "all forms of the blend work, and its gate is used",
            recipe: "the network of 08.1, Adam at 1e-3, 276 steps; groups first, batch first, parallel; gates after training at rates 1 to 5 × \
                     5e-4",
            wanted: "each form ≥ group norm + 5 points in each seed; an open gate is group norm; some layer's gate moves by more than 0.01 \
                     at every rate",
            seeds: 2,
            seconds: 60,
            run: accuracy::forms,
        },
    ],
};
