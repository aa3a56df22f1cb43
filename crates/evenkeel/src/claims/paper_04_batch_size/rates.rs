//! The largest stable rate of SGD in a network, and the curvature of its batches.

use super::super::statistics::{mean, rank_correlation};
use super::super::{Check, Figure, Findings, Setting};
use super::{digits, geometric_mean, last_stable, slope, spaced, start, subset};
use crate::config::NormMode;
use crate::curvature::{Curvature, LanczosOptions};
use crate::optim::Sgd;
use crate::study::{self, Fit};
use crate::train::Trainer;
use crate::{Result, claims::setup};
use std::ops::ControlFlow;

const STEPS: u64 = 200;
const RATES: usize = 26;
const LOOKS: u64 = 20;

fn rates(setting: &Setting, batches: &[usize]) -> Result<Vec<Vec<f64>>> {
    let samples = digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let found = setting.each(setup::pairs(&seeds, batches), |(seed, batch)| {
        let network = super::network(&samples)?;
        let from = start(&network, seed);
        let before = study::evaluate(&network, &from, &samples.train, NormMode::Running)?.loss;
        let mut trainer = Trainer::new(&network, Sgd::PLAIN, batch, from.clone())?;
        last_stable(&spaced(1e-3, 1e2, RATES), |rate| {
            trainer.set_state(from.clone(), None)?;
            let mut finite = true;
            let how = Fit { batch, steps: STEPS, seed, rate: &|_| rate };
            study::fit(&mut trainer, &samples.train, &how, |_, result, _| {
                finite = result.is_finite();
                Ok(if finite { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            let after = study::evaluate(&network, &trainer.state(), &samples.train, NormMode::Running)?.loss;
            Ok(finite && after <= before)
        })
    })?;
    Ok(found.chunks(batches.len()).map(<[f64]>::to_vec).collect())
}

/// 2 over the largest eigenvalue of a batch's Hessian at the start, in the mean over batches: a list a seed.
fn bounds(setting: &Setting, batches: &[usize]) -> Result<Vec<Vec<f64>>> {
    let samples = digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let found = setting.each(setup::pairs(&seeds, batches), |(seed, batch)| {
        let network = super::network(&samples)?;
        let state = start(&network, seed);
        let mut curvature = Curvature::new(&network, NormMode::Running, samples.train.first(batch), state)?;
        let mut tops = vec![];
        for look in 0..LOOKS {
            let chosen = subset(seed, look, batch, samples.train.len());
            curvature.move_to_samples(samples.train.take(&chosen)?)?;
            let found = curvature.top_eigenvalues(&LanczosOptions { seed, ..LanczosOptions::default() })?;
            tops.extend(found.eigenpairs.first().map(|pair| pair.value));
        }
        Ok(2.0 / mean(&tops))
    })?;
    Ok(found.chunks(batches.len()).map(<[f64]>::to_vec).collect())
}

pub(super) fn network(setting: &Setting) -> Result<Findings> {
    let batches: Vec<usize> = (0..10).map(|power| 1 << power).collect();
    let (rates, bounds) = (rates(setting, &batches)?, bounds(setting, &batches)?);
    let over_seeds = |by_seed: &[Vec<f64>]| -> Vec<f64> {
        (0..batches.len()).map(|at| geometric_mean(&by_seed.iter().map(|one| one[at]).collect::<Vec<_>>())).collect()
    };
    let (rate, bound) = (over_seeds(&rates), over_seeds(&bounds));
    let x: Vec<f64> = batches.iter().map(|&batch| batch as f64).collect();
    let few = |y: &[f64]| slope(&x[..4], &y[..4]);
    let many = |y: &[f64]| slope(&x[7..], &y[7..]);
    let mut findings = Findings::new();
    findings
        .check(Check::within(
            "slopes of the largest stable rate and of 2/λ, batches 1 to 8",
            [few(&rate), few(&bound)],
            0.3,
            0.85,
        ))
        .check(Check::below("slope of 2/λ, batches 128 to 512", many(&bound), 0.2))
        .check(Check::at_least("rank correlation of both", rank_correlation(&rate, &bound), 0.9))
        .check(
            Check::at_least("slope of the largest stable rate, batches 1 to 8: linear", few(&rate), 0.85)
                .for_the_record(),
        )
        .check(
            Check::below("slope of the largest stable rate, batches 128 to 512: flat", many(&rate), 0.2)
                .for_the_record(),
        );
    findings.figure(
        Figure::lines("The largest stable rate in a network", "batch", "rate")
            .log_x()
            .log_y()
            .over_seeds("largest stable rate", &x, &rates)
            .over_seeds("2 / largest eigenvalue of a batch", &x, &bounds),
    );
    Ok(findings)
}
