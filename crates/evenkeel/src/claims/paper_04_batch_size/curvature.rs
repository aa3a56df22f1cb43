//! The extreme eigenvalues of batches' matrices in a network.

use super::super::statistics::{mean, standard_error};
use super::super::{Check, Figure, Findings, Setting, setup};
use super::{digits, network, perturbation, start, subset};
use crate::config::NormMode;
use crate::curvature::{Curvature, Product, Quadrature, QuadratureOptions};
use crate::optim::Sgd;
use crate::study::Fit;
use crate::{Network, Result, State};

const BATCHES: [usize; 3] = [16, 64, 256];
const DRAWS: u64 = 20;
const STEPS: usize = 30;

/// Ratios of one seed: a list a batch size, a number a draw.
struct Ratios {
    largest: Vec<Vec<f64>>,
    least: Vec<Vec<f64>>,
}

/// The largest and the least Ritz value.
fn extremes(curvature: &mut Curvature<'_>, matrix: Product, seed: u64) -> Result<(f64, f64)> {
    let options = QuadratureOptions { steps: STEPS, seed, ..QuadratureOptions::default() };
    let found = Quadrature::of(&mut curvature.operator_of(matrix), &options)?;
    let at = |place: Option<&f64>| place.copied().unwrap_or(f64::NAN);
    Ok((at(found.nodes.first()), at(found.nodes.last())))
}

/// Eigenvalues of batches over those of all samples.
fn ratios(setting: &Setting, matrix: Product, sizes: &[usize], trained: bool) -> Result<Vec<Ratios>> {
    let samples = digits(setting)?;
    setting.each(setting.seeds(), |seed| {
        let network = network(&samples)?;
        let state = if trained { trained_state(&network, &samples, seed)? } else { start(&network, seed) };
        let at = |batch| Curvature::new(&network, NormMode::Running, batch, state.clone());
        let (most, least) = extremes(&mut at(samples.train.clone())?, matrix, seed)?;
        let mut found = Ratios { largest: vec![], least: vec![] };
        for &size in sizes {
            let mut curvature = at(samples.train.first(size))?;
            let (mut larger, mut smaller) = (vec![], vec![]);
            for draw in 0..DRAWS {
                let chosen = subset(seed, draw, size, samples.train.len());
                curvature.move_to_samples(samples.train.take(&chosen)?)?;
                let (high, low) = extremes(&mut curvature, matrix, seed)?;
                larger.push(high / most);
                smaller.push(low / least);
            }
            found.largest.push(larger);
            found.least.push(smaller);
        }
        Ok(found)
    })
}

fn trained_state(network: &Network, samples: &setup::Samples, seed: u64) -> Result<State> {
    let how = Fit { batch: 64, steps: 300, seed, rate: &|_| 0.1 };
    Ok(setup::train(network, Sgd::PLAIN, start(network, seed), &samples.train, &how)?.state)
}

/// The mean of each seed at a batch size.
fn means(seeds: &[Ratios], of: fn(&Ratios) -> &Vec<Vec<f64>>, size: usize) -> Vec<f64> {
    seeds.iter().map(|one| mean(&of(one)[size])).collect()
}

pub(super) fn hessian(setting: &Setting) -> Result<Findings> {
    let trained = ratios(setting, Product::Hessian, &BATCHES, true)?;
    let at_start = ratios(setting, Product::Hessian, &BATCHES, false)?;
    let [at_16, at_64, at_256] = [0, 1, 2].map(|size| means(&trained, |one| &one.largest, size));
    let [low_16, low_64, low_256] = [0, 1, 2].map(|size| means(&trained, |one| &one.least, size));
    let z: Vec<f64> =
        trained.iter().map(|one| (mean(&one.largest[0]) - 1.0) / standard_error(&one.largest[0])).collect();
    let all = [&at_16, &at_64, &at_256].map(|seeds| mean(seeds));
    let mut findings = Findings::new();
    findings
        .check(Check::above("trained, largest eigenvalue of a batch of 16 / of all, each seed", &at_16, 1.2))
        .check(Check::above("the same, distance from 1 in standard errors", &z, 3.0))
        .check(Check::above("the same with 64, mean over seeds", all[1], 1.05))
        .check(Check::decreasing("the same with 16, 64 and 256, means over seeds", all))
        .check(Check::above("trained, least eigenvalue of a batch of 16 / of all, each seed", &low_16, 2.0))
        .check(Check::above("the same with 64", &low_64, 1.5))
        .check(Check::above("the same with 256", &low_256, 1.1));
    let first = [0, 1, 2].map(|size| mean(&means(&at_start, |one| &one.largest, size)));
    findings.note(format!(
        "At the start the largest eigenvalue of a batch of 16, 64 and 256 is {:.2}, {:.2} and {:.2} times that of all samples.",
        first[0], first[1], first[2]
    ));
    let by_seed = |seeds: &[Ratios], of: fn(&Ratios) -> &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        seeds.iter().map(|one| of(one).iter().map(|draws| mean(draws)).collect()).collect()
    };
    findings.figure(
        Figure::lines("Extreme eigenvalues of batches' Hessians", "batch", "eigenvalue of a batch / of all samples")
            .log_x()
            .log_y()
            .over_seeds("largest, trained", &BATCHES.map(|b| b as f64), &by_seed(&trained, |one| &one.largest))
            .over_seeds("least, trained", &BATCHES.map(|b| b as f64), &by_seed(&trained, |one| &one.least))
            .over_seeds("largest, at the start", &BATCHES.map(|b| b as f64), &by_seed(&at_start, |one| &one.largest))
            .mark("as of all samples", 1.0),
    );
    Ok(findings)
}

pub(super) fn gauss_newton(setting: &Setting) -> Result<Findings> {
    let trained = ratios(setting, Product::GaussNewton, &BATCHES[..2], true)?;
    let at_start = ratios(setting, Product::GaussNewton, &BATCHES[..2], false)?;
    let of = |seeds: &[Ratios], size| means(seeds, |one| &one.largest, size);
    let mut findings = Findings::new();
    findings
        .check(Check::above("trained, largest eigenvalue of a batch of 16 / of all, each seed", of(&trained, 0), 1.2))
        .check(Check::above("the same at the start", of(&at_start, 0), 1.03));
    findings.note(format!(
        "With batches of 64: {:.3} trained, {:.3} at the start.",
        mean(&of(&trained, 1)),
        mean(&of(&at_start, 1))
    ));
    perturbation::gauss_newton(setting, &mut findings)?;
    Ok(findings)
}
