//! Weight rescaling, and what it is compared with.

use super::setup::{self, pairs, smallest};
use super::statistics::mean;
use super::{Check, Claim, Figure, Findings, Paper, Setting};
use crate::config::{Initialization, Loss, NormMode, ScheduleConfig, ScheduleKind, WeightNorm};
use crate::nn::NormSettings;
use crate::optim::{Schedule, Sgd};
use crate::study::{self, Fit};
use crate::{Network, Result};
use evenkeel_graph::DType;

/// The claims of Liu, Cui, Wan, Mao, Chan 2021, arXiv 2102.03497.
pub(super) static PAPER: Paper = Paper {
    number: "07",
    title: "Weight rescaling (Liu, Cui, Wan, Mao, Chan 2021)",
    claims: &[Claim {
        number: "6b",
        title: "standardized weights, an implicit rescaling, do better than tuned weight decay alone",
        recipe: "CIFAR-10, first 2,000 training and test images at 16×16, standardized; 3 convolutions of 16, 32, 64 channels with batch \
                 norm, ReLU and pool, mean over space; SGD, momentum 0.9, batch 50, 6 epochs, cosine from 0.05 or 0.2; weight decay 1e-3 or \
                 1e-2 without, 1e-3 with weight standardization",
        wanted: "mean test accuracy at the best rate: standardized ≥ 1 point above the best weight decay",
        seeds: 2,
        seconds: 30,
        run: standardization,
    }],
};

const SAMPLES: usize = 2000;
const BATCH: usize = 50;
const EPOCHS: u64 = 6;
const RATES: [f64; 2] = [0.05, 0.2];
/// What is made of the weights, and their decay.
const WAYS: [(WeightNorm, f64, &str); 3] = [
    (WeightNorm::None, 1e-3, "decay 1e-3"),
    (WeightNorm::None, 1e-2, "decay 1e-2"),
    (WeightNorm::Standardized, 1e-3, "standardized, decay 1e-3"),
];

fn standardization(setting: &Setting) -> Result<Findings> {
    let samples = setup::first(setting, "cifar10", SAMPLES, SAMPLES)?.halved()?.standardized()?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let right = setting.each(pairs(&pairs(&WAYS, &RATES), &seeds), |(((weights, weight_decay, _), rate), seed)| {
        let model = setup::model(|cx, mut x| {
            for (index, channels) in [16, 32, 64].into_iter().enumerate() {
                let number = index + 1;
                let y = cx.conv(&format!("conv{number}"), x, channels, 3, 1, 1);
                x = cx.batch_norm(&format!("norm{number}"), y).relu().max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
            }
            cx.head("head", x.mean(&[1, 2]), 10)
        });
        let norm = NormSettings { weights, ..NormSettings::default() };
        let network = Network::with(Box::new(model), samples.shape(), DType::F32, Loss::CrossEntropy, norm)?;
        let cosine = ScheduleConfig { name: ScheduleKind::Cosine, final_fraction: 0.0, ..ScheduleConfig::default() };
        let epoch = (SAMPLES / BATCH) as u64;
        let schedule = Schedule::new(rate, &cosine, epoch, EPOCHS);
        let how = Fit { batch: BATCH, steps: EPOCHS * epoch, seed, rate: &|step| schedule.rate(step) };
        let start = network.initial_state(Initialization::He, seed);
        let state =
            setup::train(&network, Sgd { momentum: 0.9, weight_decay, ..Sgd::PLAIN }, start, &samples.train, &how)?
                .state;
        Ok(100.0 * study::evaluate(&network, &state, &samples.test, NormMode::Running)?.accuracy)
    })?;
    let means: Vec<f64> = right.chunks(seeds.len().max(1)).map(mean).collect();
    // The best rate of each way.
    let best: Vec<f64> = means
        .chunks(RATES.len())
        .map(|rates| rates[smallest(&rates.iter().map(|right| -right).collect::<Vec<_>>())])
        .collect();
    let mut findings = Findings::new();
    findings.check(Check::at_least("standardized − tuned decay", best[2] - best[0].max(best[1]), 1.0).unit(" points"));
    for ((_, _, name), rates) in WAYS.iter().zip(means.chunks(RATES.len())) {
        findings.note(format!("{name}: {:.1} % at the rate 0.05, {:.1} % at 0.2", rates[0], rates[1]));
    }
    let mut figure =
        Figure::bars("Test accuracy after six epochs", &WAYS.map(|(.., name)| name), "answered rightly, %");
    for (index, rate) in RATES.iter().enumerate() {
        let at_rate = |seed: usize| {
            (0..WAYS.len()).map(|way| right[(way * RATES.len() + index) * seeds.len() + seed]).collect::<Vec<f64>>()
        };
        figure = figure.heights_over_seeds(format!("rate {rate}"), &(0..seeds.len()).map(at_rate).collect::<Vec<_>>());
    }
    findings.figure(figure);
    Ok(findings)
}
