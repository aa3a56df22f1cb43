//! Weight normalization and mean-only batch normalization in a convolution network, and what they cost.

use super::super::setup::{self, Samples, by_seed, pairs, seeds};
use super::super::statistics::{mean, median};
use super::super::{Check, Figure, Findings, Setting};
use super::{DEVIATION, fitted};
use crate::config::{Initialization, Loss, NormKind, NormMode, WeightNorm};
use crate::nn::{Context, Model};
use crate::optim::Adam;
use crate::study::{self, Fit};
use crate::train::Trainer;
use crate::{Batch, Error, Network, Result};
use evenkeel_graph::random::Key;
use evenkeel_graph::{Tensor, Var};
use std::time::Instant;

const SHAPE: [usize; 3] = [16, 16, 3];
const BATCH: usize = 100;
const EPOCHS: u64 = 12;
const RATE: f64 = 0.003;

/// What the layers have.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    norm: NormKind,
    weights: WeightNorm,
}

const CASES: [Case; 5] = [
    Case { name: "plain", norm: NormKind::None, weights: WeightNorm::None },
    Case { name: "weight norm", norm: NormKind::None, weights: WeightNorm::Normalized },
    Case { name: "mean-only batch norm", norm: NormKind::MeanOnly, weights: WeightNorm::None },
    Case { name: "weight norm + mean-only", norm: NormKind::MeanOnly, weights: WeightNorm::Normalized },
    Case { name: "batch norm", norm: NormKind::Batch, weights: WeightNorm::None },
];

/// Convolutions 16, 16, pool, 32, 32, pool, 32, mean over space, and ten logits, each with its norm.
struct Convolutions {
    norm: NormKind,
}

const WIDTHS: [usize; 5] = [16, 16, 32, 32, 32];

impl Model for Convolutions {
    fn forward<'g>(&self, cx: &Context<'g>, mut x: Var<'g>) -> Var<'g> {
        for (index, width) in WIDTHS.into_iter().enumerate() {
            let name = format!("conv{}", index + 1);
            x = match self.norm {
                NormKind::None => cx.conv_with_bias(&name, x, width, 3, 1, 1),
                _ => cx.conv(&name, x, width, 3, 1, 1),
            };
            x = cx.normalize(self.norm, &format!("norm{}", index + 1), x);
            x = x.maximum(x * 0.1);
            if index % 2 == 1 {
                x = x.max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
            }
        }
        let x = x.mean(&[1, 2]);
        match self.norm {
            NormKind::None => cx.head("head", x, 10),
            _ => cx.normalize(self.norm, "norm6", cx.head_without_bias("head", x, 10)),
        }
    }
}

impl Case {
    fn network(self) -> Result<Network> {
        super::network(Convolutions { norm: self.norm }, &SHAPE, Loss::CrossEntropy, self.weights)
    }
}

/// Percent of the test samples that are answered wrongly.
fn error(case: Case, samples: &Samples, seed: u64) -> Result<f64> {
    let network = case.network()?;
    let drawn = network.initial_state(Initialization::Normal(DEVIATION), seed);
    let start = fitted(&network, drawn, &samples.train)?;
    let steps = EPOCHS * (samples.train.len() / BATCH) as u64;
    let falling = |step: u64| RATE * (2.0 * (1.0 - step as f64 / steps as f64)).min(1.0);
    let how = Fit { batch: BATCH, steps, seed, rate: &falling };
    let trained = setup::train(&network, Adam::default(), start, &samples.train, &how)?;
    let accuracy = study::evaluate(&network, &trained.state, &samples.test, NormMode::Running)?.accuracy;
    Ok(100.0 * (1.0 - accuracy))
}

pub(super) fn with_mean_only_batch_norm(setting: &Setting) -> Result<Findings> {
    let samples = setup::first(setting, "cifar10", 5000, 2000)?.halved()?.standardized()?;
    let jobs = pairs(&[0, 1, 2, 3, 4], &seeds(setting));
    let errors = setting.each(jobs, |(case, seed)| error(CASES[case], &samples, seed))?;
    let count = setting.seeds().count().max(1);
    let means: Vec<f64> = errors.chunks(count).map(mean).collect();
    let &[plain, weight, mean_only, both, batch] = &means[..] else {
        return Err(Error::input("five networks are compared"));
    };
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("test error, both − weight norm", both - weight, -1.5).unit(" points"))
        .check(Check::at_most("test error, both − mean-only batch norm", both - mean_only, -1.5).unit(" points"))
        .check(Check::at_most("test error, weight norm − plain", weight - plain, -0.5).unit(" points"))
        .check(Check::below("test error, both − batch norm", both - batch, 0.0).unit(" points").for_the_record());
    let by_seed = by_seed(&errors.chunks(count).collect::<Vec<_>>());
    findings.figure(
        Figure::bars("Test error on CIFAR-10 at 16 × 16", &CASES.map(|case| case.name), "wrong answers (%)")
            .heights_over_seeds("test error", &by_seed),
    );
    Ok(findings)
}

const TIMED: usize = 40;

pub(super) fn cost(setting: &Setting) -> Result<Findings> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| Error::input(format!("cannot start threads: {error}")))?;
    let seconds = pool.install(|| step_seconds(setting))?;
    let [plain, weight, batch] = [0, 1, 2].map(|case| median(&seconds[case]));
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("step, weight norm / batch norm", weight / batch, 0.95))
        .check(Check::at_most("step, weight norm / plain", weight / plain, 1.15))
        .note("Seconds on this machine; run it while nothing else does.");
    findings.figure(
        Figure::bars(
            "A training step at batch 100, one thread",
            &["plain", "weight norm", "batch norm"],
            "milliseconds",
        )
        .heights("median", &[plain * 1e3, weight * 1e3, batch * 1e3]),
    );
    Ok(findings)
}

/// Seconds of steps without a norm, with weight norm and with batch norm, taken in turns.
fn step_seconds(setting: &Setting) -> Result<[Vec<f64>; 3]> {
    let mut random = Key::new(setting.seed, "claims/cost", 0).random();
    let pixels = (0..BATCH * SHAPE.iter().product::<usize>()).map(|_| random.normal_f64() as f32).collect();
    let labels = (0..BATCH).map(|_| random.below(10) as i32).collect();
    let wrong = || Error::input("a batch does not have the shape of its samples");
    let inputs = Tensor::new([&[BATCH], &SHAPE[..]].concat(), pixels).ok_or_else(wrong)?;
    let batch = Batch { inputs, labels: Tensor::new([BATCH], labels).ok_or_else(wrong)? };
    let networks = [CASES[0].network()?, CASES[1].network()?, CASES[4].network()?];
    let mut trainers = Vec::new();
    for network in &networks {
        let state = network.initial_state(Initialization::He, setting.seed);
        trainers.push(Trainer::new(network, Adam::default(), BATCH, state)?);
    }
    let mut seconds = [const { Vec::new() }; 3];
    for round in 0..TIMED + 5 {
        setting.go_on()?;
        for (trainer, seconds) in trainers.iter_mut().zip(&mut seconds) {
            let start = Instant::now();
            trainer.step(&batch, 1e-4)?;
            if round >= 5 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(seconds)
}
