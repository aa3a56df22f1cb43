//! What GradInit is worth in the training that follows.

use super::super::setup::{self, by_seed, pairs, triples};
use super::super::statistics::{largest, least, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::networks::{Accuracies, BATCH, SCALES, deep, for_sgd, he, improved, residual, train};
use crate::config::{LookAhead, NormKind};
use crate::init::GradInit;
use crate::optim::{Adam, Sgd};
use crate::train::TrainerOptions;
use crate::{Network, Result};
use std::ops::ControlFlow;

const EPOCHS: u64 = 10;

fn sgd(momentum: f64) -> TrainerOptions {
    TrainerOptions::new(Sgd { momentum, ..Sgd::PLAIN }).clipped(1.0)
}

fn firsts(all: &[Accuracies]) -> Vec<f64> {
    all.iter().map(|one| one.first).collect()
}

fn lasts(all: &[Accuracies]) -> Vec<f64> {
    all.iter().map(|one| one.last).collect()
}

pub(super) fn repairs(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let count = seeds.len().max(1);
    let all = setting.each(triples(&[false, true], &SCALES, &seeds), |(with, scale, seed)| {
        let network = deep(NormKind::None)?;
        let start = he(&network, scale, seed);
        let start = if with { improved(setting, &for_sgd(seed), &network, start, &samples)? } else { start };
        train(&network, sgd(0.9), start, &samples, (0.1, EPOCHS, seed))
    })?;
    let of = |with: usize, scale: usize| &all[(with * SCALES.len() + scale) * count..][..count];
    let gain = |scale: usize| mean(&lasts(of(1, scale))) - mean(&lasts(of(0, scale)));
    let first_gain = |scale: usize| mean(&firsts(of(1, scale))) - mean(&firsts(of(0, scale)));
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("× 0.5: mean accuracy after ten epochs − plain's", gain(0), 40.0).unit(" points"))
        .check(Check::at_least("× 0.5: the worst seed", least(lasts(of(1, 0))), 85.0).unit(" %"))
        .check(Check::at_least("× 2: mean accuracy after ten epochs − plain's", gain(2), 15.0).unit(" points"))
        .check(Check::at_least("× 2: the worst seed", least(lasts(of(1, 2))), 88.0).unit(" %"))
        .check(Check::at_least("× 1: mean accuracy after ten epochs − plain's", gain(1), 0.0).unit(" points"))
        .check(
            Check::at_least("first epoch − plain's, × 0.5 and 2", [first_gain(0), first_gain(2)], 15.0).unit(" points"),
        );
    for (index, scale) in SCALES.iter().enumerate() {
        findings.note(format!(
            "He × {scale}, plain / GradInit: first epoch {:.1} / {:.1} %, tenth {:.1} / {:.1} %.",
            mean(&firsts(of(0, index))),
            mean(&firsts(of(1, index))),
            mean(&lasts(of(0, index))),
            mean(&lasts(of(1, index)))
        ));
    }
    let by_seed = |with: usize| by_seed(&[0, 1, 2].map(|scale| lasts(of(with, scale))));
    findings.figure(
        Figure::bars("Test accuracy after ten epochs", &["He × 0.5", "He × 1", "He × 2"], "accuracy (%)")
            .heights_over_seeds("plain", &by_seed(0))
            .heights_over_seeds("GradInit", &by_seed(1)),
    );
    Ok(findings)
}

/// A network and a rate of 11.3.
#[derive(Clone, Copy)]
enum Case {
    Residual(f64),
    BatchNorm,
}

const CASES: [(Case, &str); 3] = [
    (Case::Residual(0.1), "residual, rate 0.1"),
    (Case::Residual(0.01), "residual, rate 0.01"),
    (Case::BatchNorm, "batch norm, rate 0.1"),
];

impl Case {
    fn network(self) -> Result<Network> {
        match self {
            Case::Residual(_) => residual(20),
            Case::BatchNorm => deep(NormKind::Batch),
        }
    }

    fn rate(self) -> f64 {
        match self {
            Case::Residual(rate) => rate,
            Case::BatchNorm => 0.1,
        }
    }
}

pub(super) fn architectures(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let count = seeds.len().max(1);
    let all = setting.each(triples(&[false, true], &CASES, &seeds), |(with, (case, _), seed)| {
        let network = case.network()?;
        let start = he(&network, 1.0, seed);
        let start = if with { improved(setting, &for_sgd(seed), &network, start, &samples)? } else { start };
        train(&network, sgd(0.9), start, &samples, (case.rate(), EPOCHS, seed))
    })?;
    let of = |with: usize, case: usize| &all[(with * CASES.len() + case) * count..][..count];
    let first = |case: usize| mean(&firsts(of(1, case))) - mean(&firsts(of(0, case)));
    let last = |case: usize| mean(&lasts(of(1, case))) - mean(&lasts(of(0, case)));
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_least("residual, first epoch − plain's, rates 0.1 and 0.01", [first(0), first(1)], 20.0)
                .unit(" points"),
        )
        .check(
            Check::at_least("residual, tenth epoch − plain's, rates 0.1 and 0.01", [last(0), last(1)], 8.0)
                .unit(" points"),
        )
        .check(Check::at_least("batch norm, tenth epoch − plain's", last(2), -1.0).unit(" points"))
        .check(Check::above("batch norm, first epoch − plain's", first(2), 0.0).unit(" points").for_the_record());
    for (case, (_, name)) in CASES.iter().enumerate() {
        findings.note(format!(
            "{name}, plain / GradInit: first epoch {:.1} / {:.1} %, tenth {:.1} / {:.1} %.",
            mean(&firsts(of(0, case))),
            mean(&firsts(of(1, case))),
            mean(&lasts(of(0, case))),
            mean(&lasts(of(1, case)))
        ));
    }
    let by_seed =
        |with: usize, epoch: fn(&[Accuracies]) -> Vec<f64>| by_seed(&[0, 1, 2].map(|case| epoch(of(with, case))));
    findings.figure(
        Figure::bars("Test accuracy", &CASES.map(|case| case.1), "accuracy (%)")
            .heights_over_seeds("plain, first epoch", &by_seed(0, firsts))
            .heights_over_seeds("GradInit, first epoch", &by_seed(1, firsts))
            .heights_over_seeds("plain, tenth epoch", &by_seed(0, lasts))
            .heights_over_seeds("GradInit, tenth epoch", &by_seed(1, lasts)),
    );
    Ok(findings)
}

const STARTS: [&str; 3] = ["plain", "GradInit for SGD", "GradInit for Adam"];

/// GradInit for Adam as in 11.4.
fn for_adam(seed: u64) -> GradInit {
    GradInit { look_ahead: LookAhead::Adam, learning_rate: 1e-3, gradient_bound: 100.0, ..for_sgd(seed) }
}

struct Adapted {
    accuracies: Accuracies,
    /// The factors, in the order of the parameters; none without GradInit.
    scales: Vec<f64>,
}

pub(super) fn target_optimizer(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let count = seeds.len().max(1);
    let all = setting.each(triples(&[0, 1, 2], &SCALES, &seeds), |(which, scale, seed)| {
        let network = deep(NormKind::None)?;
        let drawn = he(&network, scale, seed);
        let how = if which == 1 { for_sgd(seed) } else { for_adam(seed) };
        let (start, scales) = if which == 0 {
            (drawn, vec![])
        } else {
            let found = how.run(&network, drawn, &samples.train, &mut |_| ControlFlow::Continue(()))?;
            (found.state, found.scales.iter().map(|scale| scale.scale).collect())
        };
        let accuracies = train(&network, TrainerOptions::new(Adam::default()), start, &samples, (1e-3, 5, seed))?;
        Ok(Adapted { accuracies, scales })
    })?;
    let of = |start: usize, scale: usize| &all[(start * SCALES.len() + scale) * count..][..count];
    let accuracy =
        |start: usize, scale: usize| mean(&of(start, scale).iter().map(|one| one.accuracies.last).collect::<Vec<_>>());
    let differences: Vec<f64> = of(1, 0)
        .iter()
        .zip(of(2, 0))
        .map(|(sgd, adam)| largest(sgd.scales.iter().zip(&adam.scales).map(|(a, b)| (a / b - 1.0).abs())))
        .collect();
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_least("× 0.5: mean accuracy, GradInit for Adam − plain", accuracy(2, 0) - accuracy(0, 0), 15.0)
                .unit(" points"),
        )
        .check(
            Check::at_least("× 0.5: mean accuracy, GradInit for Adam − for SGD", accuracy(2, 0) - accuracy(1, 0), -1.0)
                .unit(" points"),
        )
        .check(Check::above("× 0.5: largest relative difference of a factor, by seed", &differences, 0.05))
        .check(Check::above("the same, mean over seeds", mean(&differences), 0.05).for_the_record());
    for (index, scale) in SCALES.iter().enumerate() {
        findings.note(format!(
            "He × {scale}: plain {:.1} %, GradInit for SGD {:.1} %, for Adam {:.1} %.",
            accuracy(0, index),
            accuracy(1, index),
            accuracy(2, index)
        ));
    }
    let mut figure =
        Figure::bars("Test accuracy after five epochs of Adam", &["He × 0.5", "He × 1", "He × 2"], "accuracy (%)");
    for (start, name) in STARTS.iter().enumerate() {
        let last = |scale| of(start, scale).iter().map(|one| one.accuracies.last).collect::<Vec<_>>();
        figure = figure.heights_over_seeds(*name, &by_seed(&[0, 1, 2].map(last)));
    }
    findings.figure(figure);
    Ok(findings)
}

const RATES: [f64; 4] = [0.01, 0.03, 0.1, 0.3];
const MOMENTA: [f64; 3] = [0.8, 0.9, 0.95];

pub(super) fn range_of_rates(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let count = seeds.len().max(1);
    let cells = pairs(&RATES, &MOMENTA);
    let starts = setting.each(pairs(&[false, true], &seeds), |(with, seed)| {
        let network = residual(10)?;
        let start = he(&network, 1.0, seed);
        if with { improved(setting, &for_sgd(seed), &network, start, &samples) } else { Ok(start) }
    })?;
    let jobs = triples(&[0, 1], &cells, &(0..count).collect::<Vec<_>>());
    let all = setting.each(jobs, |(with, (rate, momentum), seed)| {
        let network = residual(10)?;
        let start = starts[with * count + seed].clone();
        Ok(train(&network, sgd(momentum), start, &samples, (rate, 5, seeds[seed]))?.last)
    })?;
    let means: Vec<f64> = all.chunks(count).map(mean).collect();
    let (plain, with) = means.split_at(cells.len());
    let good = |means: &[f64]| means.iter().filter(|mean| **mean >= 90.0).count() as f64;
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("pairs with ≥ 90 %, GradInit", good(with), 9.0).unit(" of 12"))
        .check(Check::at_most("pairs with ≥ 90 %, plain", good(plain), 4.0).unit(" of 12"));
    let mut figure = Figure::lines("Test accuracy after five epochs", "learning rate", "accuracy (%)")
        .caption("Mean over seeds.")
        .log_x();
    for (name, means) in [("plain", plain), ("GradInit", with)] {
        for (index, momentum) in MOMENTA.iter().enumerate() {
            let y: Vec<f64> = means.iter().skip(index).step_by(MOMENTA.len()).copied().collect();
            figure = figure.series(format!("{name}, momentum {momentum}"), &RATES, &y);
        }
    }
    findings.note(format!(
        "Batch {BATCH}; lowest mean with GradInit {:.1} %, highest without {:.1} %.",
        least(with.iter().copied()),
        largest(plain.iter().copied())
    ));
    findings.figure(figure.mark("90 %", 90.0));
    Ok(findings)
}
