//! Fewer steps, and higher rates.

use super::super::setup::{self, Samples, by_seed, pairs, seeds, smallest};
use super::super::statistics::{mean, median};
use super::super::{Check, Figure, Findings, Setting};
use super::{NAMES, NORMS, digits_network};
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::optim::Sgd;
use crate::study::{self, Fit};
use crate::train::Evaluator;
use crate::{Network, Result};

/// Steps to a goal for each network, rate and seed.
struct Race {
    rates: Vec<f64>,
    budget: u64,
    /// By network, then rate, then seed.
    steps: [Vec<Vec<f64>>; 2],
}

impl Race {
    fn run(
        setting: &Setting,
        rates: &[f64],
        budget: u64,
        steps: impl Fn(NormKind, f64, u64) -> Result<u64> + Sync,
    ) -> Result<Race> {
        let seeds = seeds(setting);
        let of_norm = |norm| -> Result<Vec<Vec<f64>>> {
            let taken = setting.each(pairs(rates, &seeds), |(rate, seed)| steps(norm, rate, seed))?;
            let taken: Vec<f64> = taken.into_iter().map(|steps| steps as f64).collect();
            Ok(taken.chunks(seeds.len().max(1)).map(<[f64]>::to_vec).collect())
        };
        Ok(Race { rates: rates.to_vec(), budget, steps: [of_norm(NORMS[0])?, of_norm(NORMS[1])?] })
    }

    /// The rate with the fewest steps of a network, by its median over the seeds, and that median.
    fn best(&self, network: usize) -> (f64, f64) {
        let medians: Vec<f64> = self.steps[network].iter().map(|seeds| median(seeds)).collect();
        let best = smallest(&medians);
        (self.rates[best], medians[best])
    }

    /// Compares the best medians, and shows all rates.
    fn findings(&self, least: f64, figure: Figure) -> Findings {
        let [plain, normalized] = [self.best(0), self.best(1)];
        let mut findings = Findings::new();
        findings.check(Check::at_least("median steps, plain / batch norm", plain.1 / normalized.1, least).unit("×"));
        for (name, (rate, steps)) in NAMES.iter().zip([plain, normalized]) {
            findings.note(format!("{name}: {steps} steps at the rate {rate}"));
        }
        if plain.1 >= self.budget as f64 {
            findings.note("the plain network never got there: its steps are the budget, the ratio is a lower bound");
        }
        let mut figure = figure.log_x().log_y().mark("budget", self.budget as f64);
        for (name, steps) in NAMES.iter().zip(&self.steps) {
            figure = figure.series(*name, &self.rates, &steps.iter().map(|seeds| median(seeds)).collect::<Vec<_>>());
        }
        findings.figure(figure);
        findings
    }
}

pub(super) fn fewer_steps(setting: &Setting) -> Result<Findings> {
    const BUDGET: u64 = 2000;
    const EVERY: u64 = 10;
    let samples = setup::digits(setting)?;
    let race = Race::run(setting, &[0.1, 0.5, 2.0, 5.0], BUDGET, |norm, rate, seed| {
        let network = digits_network(&[100; 3], Activation::Sigmoid, norm)?;
        let start = network.initial_state(Initialization::Normal(0.1), seed);
        let mut evaluator = Evaluator::in_mode(&network, samples.test.len(), NormMode::Running)?;
        let how = Fit { batch: 60, steps: BUDGET, seed, rate: &|_| rate };
        setup::steps_until(&network, Sgd::PLAIN, start, &samples.train, &how, |step, _, trainer| {
            if step % EVERY != 0 {
                return Ok(false);
            }
            let found = evaluator.evaluate_samples(&samples.test, trainer.parameters(), trainer.buffers())?;
            Ok(found.accuracy >= 0.9)
        })
    })?;
    let figure = Figure::lines("Steps to 90 % of the test digits", "learning rate", "steps, median over seeds");
    Ok(race.findings(10.0, figure))
}

pub(super) fn fewer_steps_with_relu(setting: &Setting) -> Result<Findings> {
    const BUDGET: u64 = 600;
    let samples = setup::digits(setting)?;
    let race = Race::run(setting, &[0.03, 0.1, 0.2, 0.3, 0.5, 1.0], BUDGET, |norm, rate, seed| {
        let network = digits_network(&[64; 8], Activation::Relu, norm)?;
        let start = network.initial_state(Initialization::Glorot, seed);
        let how = Fit { batch: 128, steps: BUDGET, seed, rate: &|_| rate };
        setup::steps_to_loss(&network, start, &samples.train, &how, 0.3)
    })?;
    let figure = Figure::lines("Steps to a training loss of 0.3", "learning rate", "steps, median over seeds");
    Ok(race.findings(4.0, figure))
}

pub(super) fn higher_rates(setting: &Setting) -> Result<Findings> {
    const RATES: [f64; 5] = [0.03, 0.1, 0.3, 1.0, 3.0];
    const GOOD: f64 = 0.95;
    let samples = setup::digits(setting)?;
    let seeds = seeds(setting);
    // By network, then rate, then seed.
    let of_norm = |norm| -> Result<Vec<Vec<f64>>> {
        let found = setting.each(pairs(&RATES, &seeds), |(rate, seed)| {
            let network = digits_network(&[64; 6], Activation::Relu, norm)?;
            accuracy(&network, Initialization::Glorot, &samples, 600, rate, seed)
        })?;
        Ok(found.chunks(seeds.len().max(1)).map(<[f64]>::to_vec).collect())
    };
    let [plain, normalized] = [of_norm(NORMS[0])?, of_norm(NORMS[1])?];
    let means = |accuracies: &[Vec<f64>]| -> Vec<f64> { accuracies.iter().map(|seeds| mean(seeds)).collect() };
    let usable = |accuracies: &[Vec<f64>]| {
        let good = means(accuracies).into_iter().zip(RATES).filter(|(accuracy, _)| *accuracy >= GOOD);
        good.map(|(_, rate)| rate).fold(f64::NAN, f64::max)
    };
    let at_high =
        |accuracies: &[Vec<f64>]| means(&accuracies[3..]).iter().map(|share| 100.0 * share).collect::<Vec<_>>();
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("batch norm at rates 1 and 3", at_high(&normalized), 95.0).unit(" %"))
        .check(Check::at_most("plain at rates 1 and 3", at_high(&plain), 25.0).unit(" %"))
        .check(
            Check::at_least("largest usable rate, batch norm / plain", usable(&normalized) / usable(&plain), 5.0)
                .unit("×"),
        )
        .note(format!("largest usable rates: {} with batch norm, {} without", usable(&normalized), usable(&plain)));
    let mut figure = Figure::lines("Test digits answered rightly after 600 steps", "learning rate", "share").log_x();
    for (name, accuracies) in NAMES.iter().zip([&plain, &normalized]) {
        figure = figure.over_seeds(*name, &RATES, &by_seed(accuracies));
    }
    findings.figure(figure.mark("usable", GOOD));
    Ok(findings)
}

/// The share of test samples that are answered rightly after some steps of plain SGD with batches of 60.
pub(super) fn accuracy(
    network: &Network,
    start: impl Into<crate::init::Scheme>,
    samples: &Samples,
    steps: u64,
    rate: f64,
    seed: u64,
) -> Result<f64> {
    let how = Fit { batch: 60, steps, seed, rate: &|_| rate };
    let trained = setup::train(network, Sgd::PLAIN, network.initial_state(start, seed), &samples.train, &how)?;
    Ok(study::evaluate(network, &trained.state, &samples.test, NormMode::Running)?.accuracy)
}
