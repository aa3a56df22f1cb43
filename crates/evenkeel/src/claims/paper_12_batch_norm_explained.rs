//! Batch normalization as geometry: what of it is worth something before the first step.

use super::setup::{self, Samples, pairs};
use super::statistics::{deviation, mean};
use super::{Check, Claim, Figure, Findings, Paper, Setting};
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::data::LoadOptions;
use crate::init::DataDependent;
use crate::models::Mlp;
use crate::optim::Sgd;
use crate::study::{self, Fit};
use crate::train::Trainer;
use crate::{Network, Result, State};
use evenkeel_graph::Tensor;
use evenkeel_graph::random::Key;
use std::ops::ControlFlow;

/// The claims of Balestriero, Baraniuk 2022, arXiv 2209.14778.
pub(super) static PAPER: Paper = Paper {
    number: "12",
    title: "Batch normalization explained (Balestriero, Baraniuk 2022)",
    claims: &[Claim {
        number: "5",
        title: "an initialization that takes the place of batch norm's statistics helps learning",
        recipe: "digits / 16, 1,000 to train on and 797 to test, 64-[64 × 5]-10 ReLU, He weights, SGD, batch 32, 3 epochs, rates 0.03, 0.1, 0.3; \
                 hidden biases 0, N(0, 1), means folded in, means and deviations folded in (smart), batch norm itself",
        wanted: "mean test accuracy at each one's best rate: smart ≥ zero + 4.5 and ≥ random + 10 points after three epochs, + 14 and + 20 \
                 after one; its deviation over seeds ≤ half of zero's; batch norm ≥ smart",
        seeds: 15,
        seconds: 20,
        run: smart_initialization,
    }],
};

/// How the hidden layers start.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Zero,
    Random,
    Translation,
    Smart,
    BatchNorm,
}

const STARTS: [(Start, &str); 5] = [
    (Start::Zero, "zero biases"),
    (Start::Random, "random biases"),
    (Start::Translation, "means alone"),
    (Start::Smart, "smart"),
    (Start::BatchNorm, "batch norm"),
];
const RATES: [f64; 3] = [0.03, 0.1, 0.3];
const TEST: f64 = 797.0;
const ALL: f64 = 1797.0;
const BATCH: usize = 32;
const EPOCHS: u64 = 3;

fn started(start: Start, network: &Network, samples: &Samples, seed: u64) -> Result<State> {
    let mut state = network.initial_state(Initialization::He, seed);
    let fitted = |how: DataDependent, state| Ok(how.run(network, state, &samples.train)?.state);
    match start {
        Start::Zero | Start::BatchNorm => Ok(state),
        Start::Smart => fitted(DataDependent::smart(), state),
        Start::Translation => fitted(DataDependent::translation(), state),
        Start::Random => {
            for (info, tensor) in network.parameters().iter().zip(&mut state.parameters) {
                if info.path.starts_with("fc") && info.path.ends_with("bias") {
                    let mut random = Key::new(seed, &format!("claims/{}", info.path), 0).random();
                    let values: Vec<f64> = (0..info.shape.elements()).map(|_| random.normal_f64()).collect();
                    *tensor = Tensor::from_f64(&info.shape, tensor.dtype(), &values).unwrap_or_else(|| tensor.clone());
                }
            }
            Ok(state)
        }
    }
}

/// Percent of the test samples after each epoch.
fn course(samples: &Samples, start: Start, rate: f64, seed: u64) -> Result<Vec<f64>> {
    let norm = if start == Start::BatchNorm { NormKind::Batch } else { NormKind::None };
    let network = Network::new(
        Mlp { widths: vec![64; 5], norm, activation: Some(Activation::Relu), classes: 10 },
        samples.shape(),
    )?;
    let state = started(start, &network, samples, seed)?;
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, BATCH, state)?;
    let epoch = (samples.train.len() / BATCH) as u64;
    let mut accuracies = Vec::new();
    let how = Fit { batch: BATCH, steps: EPOCHS * epoch, seed, rate: &|_| rate };
    study::fit(&mut trainer, &samples.train, &how, |step, _, trainer| {
        if step.is_multiple_of(epoch) {
            let found = study::evaluate(&network, &trainer.state(), &samples.test, NormMode::Running)?;
            accuracies.push(100.0 * found.accuracy);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(accuracies)
}

fn smart_initialization(setting: &Setting) -> Result<Findings> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let count = seeds.len().max(1);
    let samples = setting.each(seeds.clone(), |seed| {
        let options = LoadOptions { normalize: false, test_fraction: TEST / ALL, seed, ..LoadOptions::default() };
        setup::Samples::of(&setting.dataset("digits", &options)?)
    })?;
    let jobs: Vec<(Start, f64, usize)> = STARTS
        .iter()
        .flat_map(|(start, _)| {
            pairs(&RATES, &(0..count).collect::<Vec<_>>()).into_iter().map(move |(rate, seed)| (*start, rate, seed))
        })
        .collect();
    let courses = setting.each(jobs, |(start, rate, seed)| course(&samples[seed], start, rate, seeds[seed]))?;
    let by = |start: usize, rate: usize| &courses[(start * RATES.len() + rate) * count..][..count];
    let after = |start: usize, rate: usize, epoch: usize| -> Vec<f64> {
        by(start, rate).iter().map(|course| course.get(epoch).copied().unwrap_or(f64::NAN)).collect()
    };
    let last = EPOCHS as usize - 1;
    let best: Vec<usize> = (0..STARTS.len())
        .map(|start| setup::smallest(&[0, 1, 2].map(|rate| -mean(&after(start, rate, last)))))
        .collect();
    let at_best = |start: usize, epoch: usize| mean(&after(start, best[start], epoch));
    let spread = |start: usize| deviation(&after(start, best[start], last));
    let gain = |over: usize, epoch: usize| at_best(3, epoch) - at_best(over, epoch);
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("after three epochs, smart − zero", gain(0, last), 4.5).unit(" points"))
        .check(Check::at_least("after three epochs, smart − random", gain(1, last), 10.0).unit(" points"))
        .check(Check::at_least("after one epoch, smart − zero", gain(0, 0), 14.0).unit(" points"))
        .check(Check::at_least("after one epoch, smart − random", gain(1, 0), 20.0).unit(" points"))
        .check(Check::at_most("deviation over seeds, smart / zero", spread(3) / spread(0), 0.5))
        .check(Check::at_least("after three epochs, batch norm − smart", -gain(4, last), 0.0).unit(" points"));
    for (start, (_, name)) in STARTS.iter().enumerate() {
        findings.note(format!(
            "{name}: rate {}, {:.1} % after one epoch, {:.1} ± {:.1} % after three.",
            RATES[best[start]],
            at_best(start, 0),
            at_best(start, last),
            spread(start)
        ));
    }
    let epochs: Vec<f64> = (1..=EPOCHS).map(|epoch| epoch as f64).collect();
    let mut figure = Figure::lines("Test accuracy", "epoch", "accuracy (%)")
        .caption("At the best rate of each; mean and deviation over seeds.");
    for (start, (_, name)) in STARTS.iter().enumerate() {
        figure = figure.over_seeds(*name, &epochs, by(start, best[start]));
    }
    findings.figure(figure);
    Ok(findings)
}
