//! The largest stable rates and the least stable dampings on linear regressions, where all is known.

use super::super::statistics::{largest, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::{geometric_mean, last_stable, slope, spaced};
use crate::config::{Loss, NormMode};
use crate::curvature::{Curvature, LanczosOptions};
use crate::nn::{Context, NormSettings, Regression};
use crate::optim::{Adam, Optimizer, Sgd};
use crate::train::Trainer;
use crate::{Batch, Error, Network, Result, State};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{DType, Tensor, Var};

const WIDTH: usize = 64;
const SAMPLES: usize = 4096;
const STEPS: usize = 300;
/// Batches whose curvature is looked at.
const LOOKS: u64 = 4;

fn line<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.linear_without_bias("line", x, 1)
}

/// ½ (⟨w, x⟩ − y)², in f64.
fn network() -> Result<Network> {
    let model = Regression(line as for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>);
    Network::with(Box::new(model), &[WIDTH], DType::F64, Loss::Squared, NormSettings::default())
}

fn tensor(shape: &[usize], values: &[f64]) -> Result<Tensor> {
    Tensor::from_f64(shape, DType::F64, values)
        .ok_or_else(|| Error::input("a tensor has as many numbers as its shape says"))
}

fn normal(random: &mut Random, count: usize) -> Vec<f64> {
    (0..count).map(|_| random.normal_f64()).collect()
}

/// A regression of one seed: samples of known weights, and where training starts.
struct Task {
    samples: Batch,
    weights: Vec<f64>,
    start: Vec<f64>,
}

impl Task {
    fn new(seed: u64) -> Result<Task> {
        let mut random = Key::new(seed, "claims/04/regression", 0).random();
        let weights = normal(&mut random, WIDTH);
        let start = normal(&mut random, WIDTH).iter().zip(&weights).map(|(error, weight)| weight + error).collect();
        let inputs = normal(&mut random, SAMPLES * WIDTH);
        let answer = |row: &[f64]| row.iter().zip(&weights).map(|(x, w)| x * w).sum();
        let labels: Vec<f64> = inputs.chunks(WIDTH).map(answer).collect();
        let samples = Batch { inputs: tensor(&[SAMPLES, WIDTH], &inputs)?, labels: tensor(&[SAMPLES, 1], &labels)? };
        Ok(Task { samples, weights, start })
    }

    /// The largest stable rate of a rule on batches with replacement.
    fn largest_rate(&self, rule: impl Optimizer + 'static, batch: usize, seed: u64) -> Result<f64> {
        let network = network()?;
        let start = State { parameters: vec![tensor(&[WIDTH, 1], &self.start)?], buffers: vec![] };
        let mut trainer = Trainer::new(&network, rule, batch, start.clone())?;
        let error = |at: &[f64]| at.iter().zip(&self.weights).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        last_stable(&spaced(1e-3, 10.0, 40), |rate| {
            trainer.set_state(start.clone(), None)?;
            trainer.set_noise(crate::Noise { seed, step: 0 });
            let mut random = Key::new(seed, "claims/04/order", batch as u64).random();
            for _ in 0..STEPS {
                let chosen: Vec<u32> = (0..batch).map(|_| random.below(SAMPLES as u64) as u32).collect();
                if !trainer.step(&self.samples.take(&chosen)?, rate)?.is_finite() {
                    return Ok(false);
                }
            }
            Ok(error(&trainer.parameters()[0].to_f64()) <= error(&self.start))
        })
    }

    /// 2 over the largest eigenvalue of a batch's Hessian, in the mean over some batches.
    fn bound(&self, batch: usize, seed: u64) -> Result<f64> {
        let network = network()?;
        let mut random = Key::new(seed, "claims/04/look", batch as u64).random();
        let mut chosen = || (0..batch).map(|_| random.below(SAMPLES as u64) as u32).collect::<Vec<_>>();
        let state = State { parameters: vec![tensor(&[WIDTH, 1], &self.start)?], buffers: vec![] };
        let mut curvature = Curvature::new(&network, NormMode::Running, self.samples.take(&chosen())?, state)?;
        let mut tops = vec![];
        for _ in 0..LOOKS {
            let found = curvature.top_eigenvalues(&LanczosOptions { seed, ..LanczosOptions::default() })?;
            tops.extend(found.eigenpairs.first().map(|pair| pair.value));
            curvature.move_to_samples(self.samples.take(&chosen())?)?;
        }
        Ok(2.0 / mean(&tops))
    }
}

/// The largest stable rates of a rule: a list a seed, a number a batch.
fn rates<R: Optimizer + Copy + Sync + 'static>(setting: &Setting, rule: R, batches: &[usize]) -> Result<Vec<Vec<f64>>> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let jobs: Vec<(u64, usize)> =
        seeds.iter().flat_map(|&seed| batches.iter().map(move |&batch| (seed, batch))).collect();
    let found = setting.each(jobs, |(seed, batch)| Task::new(seed)?.largest_rate(rule, batch, seed))?;
    Ok(found.chunks(batches.len()).map(<[f64]>::to_vec).collect())
}

/// The mean over seeds, by ratios.
fn over_seeds(by_seed: &[Vec<f64>]) -> Vec<f64> {
    let length = by_seed.first().map_or(0, Vec::len);
    (0..length).map(|at| geometric_mean(&by_seed.iter().map(|one| one[at]).collect::<Vec<_>>())).collect()
}

fn floats(batches: &[usize]) -> Vec<f64> {
    batches.iter().map(|&batch| batch as f64).collect()
}

pub(super) fn sgd(setting: &Setting) -> Result<Findings> {
    let batches: Vec<usize> = (0..11).map(|power| 1 << power).collect();
    let by_seed = rates(setting, Sgd::PLAIN, &batches)?;
    let (x, found) = (floats(&batches), over_seeds(&by_seed));
    // Mean-square stability for normal inputs.
    let theory: Vec<f64> = x.iter().map(|batch| 2.0 * batch / (batch + WIDTH as f64 + 1.0)).collect();
    let bounds = setting.each(batches.clone(), |batch| Task::new(setting.seed)?.bound(batch, setting.seed))?;
    let (few, many) = (0..4, 8..11);
    let mut findings = Findings::new();
    findings
        .check(Check::within(
            "slope of the largest stable rate, batches 1 to 8",
            slope(&x[few.clone()], &found[few.clone()]),
            0.75,
            1.1,
        ))
        .check(Check::below("slope, batches 256 to 1,024", slope(&x[many.clone()], &found[many.clone()]), 0.2))
        .check(Check::at_most(
            "largest |rate / (2B/(B + 65)) − 1|",
            largest(found.iter().zip(&theory).map(|(found, theory)| (found / theory - 1.0).abs())),
            0.35,
        ));
    findings.note(format!(
        "2 / the largest eigenvalue of a batch has the slopes {:.2} and {:.2}.",
        slope(&x[few.clone()], &bounds[few]),
        slope(&x[many.clone()], &bounds[many])
    ));
    findings.figure(
        Figure::lines("The largest stable rate of SGD", "batch", "rate")
            .log_x()
            .log_y()
            .over_seeds("found", &x, &by_seed)
            .dashed("2B / (B + 65)", &x, &theory)
            .dashed("2 / largest eigenvalue of a batch", &x, &bounds),
    );
    Ok(findings)
}

pub(super) fn adam(setting: &Setting) -> Result<Findings> {
    let batches: Vec<usize> = (0..7).map(|power| 1 << power).collect();
    let adam = rates(setting, Adam::default(), &batches)?;
    let sgd = rates(setting, Sgd::PLAIN, &batches)?;
    let x = floats(&batches);
    let few = |by_seed: &[Vec<f64>]| slope(&x[..4], &over_seeds(by_seed)[..4]);
    let mut findings = Findings::new();
    findings
        .check(Check::within("slope of Adam's largest stable rate, batches 1 to 8", few(&adam), 0.25, 0.7))
        .check(Check::at_least("slope of SGD − slope of Adam", few(&sgd) - few(&adam), 0.25));
    findings.figure(
        Figure::lines("The largest stable rates of Adam and SGD", "batch", "rate")
            .log_x()
            .log_y()
            .over_seeds("Adam", &x, &adam)
            .over_seeds("SGD", &x, &sgd),
    );
    Ok(findings)
}

const DAMPED: [usize; 4] = [1, 2, 4, 8];
const RATES: [f64; 2] = [0.5, 1.0];

/// The least stable damping. Steps by (C + d)⁻¹ are plain ones for the weights times its root, whose inputs are divided by it.
fn least_damping(rate: f64, batch: usize, seed: u64) -> Result<f64> {
    let network = network()?;
    let curvature: Vec<f64> = (1..=WIDTH).map(|place| 1.0 / place as f64).collect();
    let mut random = Key::new(seed, "claims/04/damping", 0).random();
    let start = normal(&mut random, WIDTH);
    let mut dampings = spaced(1e-3, 1e2, 40);
    dampings.reverse();
    let risk = |at: &[f64]| at.iter().zip(&curvature).map(|(error, c)| c * error * error).sum::<f64>();
    let zeros = State { parameters: vec![tensor(&[WIDTH, 1], &[0.0; WIDTH])?], buffers: vec![] };
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, batch, zeros)?;
    let labels = tensor(&[batch, 1], &vec![0.0; batch])?;
    last_stable(&dampings, |damping| {
        let roots: Vec<f64> = curvature.iter().map(|c| (c + damping).sqrt()).collect();
        let errors: Vec<f64> = start.iter().zip(&roots).map(|(error, root)| error * root).collect();
        trainer.set_state(State { parameters: vec![tensor(&[WIDTH, 1], &errors)?], buffers: vec![] }, None)?;
        let mut random = Key::new(seed, "claims/04/fresh", batch as u64).random();
        for _ in 0..STEPS {
            let mut inputs = normal(&mut random, batch * WIDTH);
            for row in inputs.chunks_mut(WIDTH) {
                row.iter_mut().zip(&curvature).zip(&roots).for_each(|((x, c), root)| *x *= c.sqrt() / root);
            }
            let batch = Batch { inputs: tensor(&[batch, WIDTH], &inputs)?, labels: labels.clone() };
            if !trainer.step(&batch, rate)?.is_finite() {
                return Ok(false);
            }
        }
        let left = trainer.parameters()[0].to_f64();
        let left: Vec<f64> = left.iter().zip(&roots).map(|(error, root)| error / root).collect();
        Ok(risk(&left) <= risk(&start))
    })
}

pub(super) fn damping(setting: &Setting) -> Result<Findings> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let mut jobs = vec![];
    for rate in RATES {
        seeds.iter().for_each(|&seed| jobs.extend(DAMPED.map(|batch| (rate, batch, seed))));
    }
    let found = setting.each(jobs, |(rate, batch, seed)| least_damping(rate, batch, seed))?;
    let by_rate: Vec<Vec<Vec<f64>>> = found
        .chunks(seeds.len() * DAMPED.len())
        .map(|one| one.chunks(DAMPED.len()).map(<[f64]>::to_vec).collect())
        .collect();
    let (half, one) = (over_seeds(&by_rate[0]), over_seeds(&by_rate[1]));
    let x = floats(&DAMPED);
    let collapse: Vec<f64> = (0..DAMPED.len() - 1).map(|at| one[at + 1] / half[at]).collect();
    let twice: Vec<f64> = one.iter().zip(&half).map(|(one, half)| one / half).collect();
    let mut findings = Findings::new();
    findings
        .check(Check::within("d at (2 rate, 2 batch) / d at (rate, batch), batches 1, 2, 4", &collapse, 0.8, 1.2))
        .check(Check::within(
            "slope of d in the batch, rates 0.5 and 1",
            [slope(&x, &half), slope(&x, &one)],
            -1.7,
            -0.9,
        ))
        .check(Check::within("d at twice the rate, batches 1, 2, 4, 8", &twice, 1.8, 3.6).unit(" ×"));
    findings.figure(
        Figure::lines("The least stable damping", "rate / batch", "damping")
            .log_x()
            .log_y()
            .over_seeds("rate 0.5", &x.iter().map(|batch| 0.5 / batch).collect::<Vec<_>>(), &by_rate[0])
            .over_seeds("rate 1", &x.iter().map(|batch| 1.0 / batch).collect::<Vec<_>>(), &by_rate[1]),
    );
    Ok(findings)
}
