//! Closed forms of perturbed eigenvalues against dense matrices.

use super::super::statistics::{largest, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::subset;
use crate::curvature::{BatchNoise, GaussNewtonNoise};
use crate::{Error, Result};
use evenkeel_graph::random::{Key, Random};
use faer::{Mat, Side};

/// Parameters, samples, the deviation of a sample's noise times √P, and the eigenvalues at both edges.
const SIZE: usize = 400;
const SAMPLES: usize = 60;
const DEVIATION: f64 = 3.0;
const EDGE: f64 = 2.0;
const BATCHES: [usize; 4] = [6, 12, 30, 50];
const DRAWS: u64 = 4;
/// So many samples that no batch is a part of them worth speaking of.
const MANY: usize = 1 << 50;

/// Eigenvalues from the least up.
fn eigenvalues(matrix: &Mat<f64>) -> Result<Vec<f64>> {
    matrix
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(|error| Error::numerical(format!("a dense eigenproblem has no solution: {error:?}")))
}

/// A symmetric matrix of normal numbers, the diagonal twice as variable: lower rows, one after the other.
fn symmetric(random: &mut Random, deviation: f64) -> Vec<f64> {
    let row = |row: usize| (0..=row).map(move |column| if row == column { 2f64.sqrt() } else { 1.0 });
    (0..SIZE).flat_map(row).map(|scale| deviation * scale * random.normal_f64()).collect()
}

/// The outliers of batches' matrices, in size, in the mean over draws and both edges: one a batch size.
fn outliers(setting: &Setting, seed: u64) -> Result<Vec<f64>> {
    let mut random = Key::new(seed, "claims/04/noise", 0).random();
    let deviation = DEVIATION / (SIZE as f64).sqrt();
    let mut noise: Vec<Vec<f64>> = (0..SAMPLES).map(|_| symmetric(&mut random, deviation)).collect();
    let mut centre = vec![0.0; noise[0].len()];
    noise.iter().for_each(|one| centre.iter_mut().zip(one).for_each(|(sum, x)| *sum += x / SAMPLES as f64));
    noise.iter_mut().for_each(|one| one.iter_mut().zip(&centre).for_each(|(x, centre)| *x -= centre));
    let mut found = vec![];
    for batch in BATCHES {
        let mut edges = vec![];
        for draw in 0..DRAWS {
            setting.go_on()?;
            let chosen = subset(seed, draw, batch, SAMPLES);
            let mut matrix = Mat::<f64>::zeros(SIZE, SIZE);
            let mut place = 0;
            for row in 0..SIZE {
                for column in 0..=row {
                    let sum: f64 = chosen.iter().map(|&sample| noise[sample as usize][place]).sum();
                    matrix[(row, column)] = sum / batch as f64;
                    place += 1;
                }
            }
            matrix[(0, 0)] += EDGE;
            matrix[(SIZE - 1, SIZE - 1)] -= EDGE;
            let values = eigenvalues(&matrix)?;
            edges.extend([-values[0], values[SIZE - 1]]);
        }
        found.push(mean(&edges));
    }
    Ok(found)
}

pub(super) fn hessian(setting: &Setting) -> Result<Findings> {
    let by_seed = setting.each(setting.seeds(), |seed| outliers(setting, seed))?;
    let predicted = |samples: usize| -> Result<Vec<f64>> {
        let of = |batch| BatchNoise::new(SIZE, DEVIATION * DEVIATION / SIZE as f64, batch, samples);
        BATCHES.iter().map(|&batch| Ok(of(batch)?.largest(EDGE))).collect()
    };
    let (finite, infinite) = (predicted(SAMPLES)?, predicted(MANY)?);
    let measured: Vec<f64> =
        (0..BATCHES.len()).map(|at| mean(&by_seed.iter().map(|one| one[at]).collect::<Vec<_>>())).collect();
    let percent = |of: &[f64]| -> Vec<f64> {
        measured.iter().zip(of).map(|(measured, of)| 100.0 * (measured / of - 1.0)).collect()
    };
    let mut findings = Findings::new();
    findings
        .check(Check::within("λ + t²/λ: error at batches of 6, 12, 30, 50", percent(&finite), -1.5, 1.5).unit(" %"))
        .check(Check::below("the same without the factor 1 − B/N", percent(&infinite), -2.0).unit(" %"));
    let x = BATCHES.map(|batch| batch as f64);
    findings.figure(
        Figure::lines("Outliers of batches among noise", "batch, of 60 samples", "largest eigenvalue")
            .over_seeds("dense eigenvalues", &x, &by_seed)
            .dashed("λ + t²/λ, b = B / (1 − B/N)", &x, &finite)
            .dashed("λ + t²/λ, b = B", &x, &infinite),
    );
    Ok(findings)
}

const WIDE: usize = 800;
const VARIANCE: f64 = 0.5;
/// Batch and eigenvalue.
const CASES: [(usize, f64); 3] = [(400, 4.0), (1600, 2.0), (400, 1.0)];

/// (1/b) Z Zᵀ with Z of `WIDE` × b normal numbers of the variance.
fn covariance(seed: u64, draw: u64, batch: usize) -> Mat<f64> {
    let mut random = Key::new(seed, "claims/04/covariance", draw).random();
    let deviation = (VARIANCE / batch as f64).sqrt();
    let z = Mat::from_fn(WIDE, batch, |_, _| deviation * random.normal_f64());
    &z * z.transpose()
}

/// Both closed forms for Gauss-Newton matrices.
pub(super) fn gauss_newton(setting: &Setting, findings: &mut Findings) -> Result<()> {
    let draws = CASES.len() as u64;
    let jobs: Vec<(usize, u64)> = (0..CASES.len()).flat_map(|case| (0..draws).map(move |draw| (case, draw))).collect();
    let seed = setting.seed;
    let found = setting.each(jobs, |(case, draw)| {
        let (batch, lambda) = CASES[case];
        let noise = covariance(seed, draw, batch);
        let mut added = noise.clone();
        added[(0, 0)] += lambda;
        // Σ^½ W Σ^½ / σ² with Σ = σ² + λ in the first direction.
        let longer = (1.0 + lambda / VARIANCE).sqrt();
        let scaled = Mat::from_fn(WIDE, WIDE, |row, column| {
            let first = [row, column].iter().filter(|place| **place == 0).count() as i32;
            noise[(row, column)] * longer.powi(first)
        });
        Ok([eigenvalues(&added)?[WIDE - 1], eigenvalues(&scaled)?[WIDE - 1]])
    })?;
    let mut errors = [vec![], vec![]];
    for (case, draws) in found.chunks(draws as usize).enumerate() {
        let (batch, lambda) = CASES[case];
        let noise = BatchNoise::new(WIDE, VARIANCE, batch, MANY)?;
        for (model, errors) in
            [GaussNewtonNoise::Added, GaussNewtonNoise::SampleCovariance].into_iter().zip(&mut errors)
        {
            let which = usize::from(model == GaussNewtonNoise::SampleCovariance);
            let measured = mean(&draws.iter().map(|one| one[which]).collect::<Vec<_>>());
            errors.push(100.0 * (measured / noise.gauss_newton(lambda, model) - 1.0));
        }
    }
    let [added, covariance] = errors;
    let worst = largest(added.iter().chain(&covariance).map(|error| error.abs()));
    findings.check(Check::within("closed form, noise added: errors of three cases", &added, -5.0, 5.0).unit(" %"));
    findings.check(Check::within("closed form, sample covariance", &covariance, -5.0, 5.0).unit(" %"));
    findings.figure(
        Figure::bars(
            "Closed forms against dense eigenvalues",
            &["b 400, λ 4", "b 1600, λ 2", "b 400, λ 1"],
            "error, %",
        )
        .caption(format!("Means of three draws; the largest error is {worst:.1} %."))
        .heights("noise added", &added)
        .heights("sample covariance", &covariance),
    );
    Ok(())
}
