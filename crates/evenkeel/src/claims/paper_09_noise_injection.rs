//! Noise injection: gradients taken at perturbed weights are gradients of an explicit penalty.

use super::{Check, Claim, Figure, Findings, Paper, Setting, statistics};
use crate::config::{
    Activation, Initialization, Loss, NoiseInjectionConfig, NoiseScaling, NoiseScheme, NormKind, NormMode,
};
use crate::curvature::Curvature;
use crate::data::{LoadOptions, other_class};
use crate::models::{DiagonalNet, FactorizedLinear, GroupFactorNet, Mlp, SecondMoment};
use crate::nn::{Model, NormSettings};
use crate::optim::Sgd;
use crate::regularize::NoiseInjection;
use crate::train::{Trainer, TrainerOptions};
use crate::{Batch, Error, Network, Result, State, study};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Tensor};
use std::ops::ControlFlow;

/// The claims of Orvieto, Raj, Kersting, Bach 2022, arXiv 2206.04613.
pub(super) static PAPER: Paper = Paper {
    number: "09",
    title: "Noise injection before the gradient step (Orvieto, Raj, Kersting, Bach 2022)",
    claims: &[
        Claim {
            number: "1",
            title: "small noise in a diagonal linear network is a weighted lasso",
            recipe: "40 Gaussian samples of 60 inputs, 3 coefficients not 0; φ = w₁² − w₂² from w = 1, rate 0.01, 60,000 full-batch steps, \
                     noise 0, 0.1, 0.2 in all weights; mean of φ over the last half against the lasso with weights 2σ²cⱼ",
            wanted: "within 0.05 of the lasso; at least 5 times nearer to the truth than without noise",
            seeds: 3,
            seconds: 10,
            run: lasso,
        },
        Claim {
            number: "2",
            title: "and a group lasso or a nuclear norm for other factorizations",
            recipe: "rise of the loss under noise against the closed forms, for three factorizations; φ = W₁ W₂ of 8 × 4 with width 8, whitened \
                     inputs, σ = 0.15 in one layer at a time, rate 0.01, 20,000 steps: objective of the mean of φ over the last half",
            wanted: "rises within 2 %; within 10⁻⁴ of the soft-thresholded optimum, where descent without noise is not",
            seeds: 3,
            seconds: 10,
            run: nuclear,
        },
        Claim {
            number: "3",
            title: "noise in all layers at once fails in wide networks",
            recipe: "as 2 with widths 8, 64, 256 and noise in both layers, σ/√2 each",
            wanted: "the perturbed loss is above the optimum by (σ⁴/8) m p tr Σ within 10 %; at width 256 the mean iterate is worse and its \
                     smallest singular value less thresholded than at 8",
            seeds: 3,
            seconds: 10,
            run: explosion,
        },
        Claim {
            number: "4",
            title: "noise in one layer at a time does not",
            recipe: "as 3 with noise in one layer a step, in turn",
            wanted: "objective of the mean iterate at width 256 within 5·10⁻⁵ of width 8; the perturbed loss is flat in the width (5 %)",
            seeds: 3,
            seconds: 10,
            run: layerwise,
        },
        Claim {
            number: "5",
            title: "noise in one layer at a time improves generalization",
            recipe: "200 digits with a fifth of the labels wrong, 64-512-10 ReLU, uniform ±1/√fan-in, rate 0.1, batch 50, 1,500 steps, σ = 0.4 in \
                     one tensor a step, against none",
            wanted: "test loss at least 15 % lower, accuracy at least 3 points higher, trace of the Hessian at most half",
            seeds: 3,
            seconds: 10,
            run: generalization,
        },
        Claim {
            number: "6",
            title: "as much noise in all layers at once hurts the fit",
            recipe: "as 5, all tensors perturbed with σ/√4 each, against one at a time",
            wanted: "training loss at least 1.5 times as high, test loss higher",
            seeds: 3,
            seconds: 10,
            run: hurts,
        },
    ],
};

const PLAIN: Sgd = Sgd::PLAIN;

/// Noise in all weights or in one tensor a step.
fn noise(scheme: NoiseScheme, sigma: f64, scaling: NoiseScaling) -> NoiseInjectionConfig {
    NoiseInjectionConfig { scheme, sigma, scaling, ..NoiseInjectionConfig::default() }
}

/// A linear predictor of numbers, in f64.
fn predictor(model: impl Model + 'static, inputs: usize) -> Result<Network> {
    Network::with(Box::new(model), &[inputs], DType::F64, Loss::Squared, NormSettings::default())
}

fn trainer<'n>(network: &'n Network, how: &NoiseInjectionConfig, batch: usize, state: State) -> Result<Trainer<'n>> {
    let options = TrainerOptions::new(PLAIN).perturbed(NoiseInjection::new(network, how)?);
    Trainer::with(network, options, batch, state)
}

fn tensor(shape: &[usize], values: &[f64]) -> Result<Tensor> {
    Tensor::from_f64(shape, DType::F64, values).ok_or_else(|| Error::input("a tensor has another number of elements"))
}

fn values(tensor: &Tensor) -> &[f64] {
    tensor.as_slice().unwrap_or_default()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

// ---- 1: the lasso ----

const SAMPLES: usize = 40;
const INPUTS: usize = 60;
const LASSO_STEPS: u64 = 60_000;
const SIGMAS: [f64; 3] = [0.0, 0.1, 0.2];

/// What one run of the diagonal network came to.
struct Sparse {
    to_lasso: f64,
    to_truth: f64,
    /// The mean coefficients, largest truth first.
    phi: Vec<f64>,
    lasso: Vec<f64>,
}

fn lasso(setting: &Setting) -> Result<Findings> {
    let jobs = setting.seeds().flat_map(|seed| SIGMAS.map(|sigma| (seed, sigma)));
    let runs = setting.each(jobs, |(seed, sigma)| diagonal(setting, seed, sigma))?;
    let mut findings = Findings::new();
    for (place, sigma) in SIGMAS.iter().enumerate().skip(1) {
        let of = |run: fn(&[Sparse], usize) -> f64| -> Vec<f64> {
            runs.chunks(SIGMAS.len()).map(|seed| run(seed, place)).collect()
        };
        findings.check(Check::at_most(
            format!("distance of mean φ from the lasso, σ = {sigma}"),
            of(|seed, place| seed[place].to_lasso),
            0.05,
        ));
        findings.check(Check::at_least(
            format!("distance of φ from the truth without noise over that with σ = {sigma}"),
            of(|seed, place| seed[0].to_truth / seed[place].to_truth),
            5.0,
        ));
    }
    let coefficients: Vec<f64> = (1..=INPUTS).map(|place| place as f64).collect();
    let last = &runs[..SIGMAS.len()];
    findings.figure(
        Figure::scatter("Coefficients of the diagonal network", "coefficient", "φ")
            .caption("The first three are not 0 in truth; means over the last half of a run, one seed.")
            .series("without noise", &coefficients, &last[0].phi)
            .series("σ = 0.2", &coefficients, &last[2].phi)
            .series("lasso", &coefficients, &last[2].lasso),
    );
    Ok(findings)
}

fn diagonal(setting: &Setting, seed: u64, sigma: f64) -> Result<Sparse> {
    let mut random = Key::new(seed, "claims/09/data", 0).random();
    let x: Vec<f64> = (0..SAMPLES * INPUTS).map(|_| random.normal_f64()).collect();
    let truth: Vec<f64> = (0..INPUTS).map(|place| [2.0, -2.0, 1.0].get(place).copied().unwrap_or(0.0)).collect();
    let y: Vec<f64> = x.chunks(INPUTS).map(|row| row.iter().zip(&truth).map(|(x, phi)| x * phi).sum()).collect();
    let batch = Batch { inputs: tensor(&[SAMPLES, INPUTS], &x)?, labels: tensor(&[SAMPLES, 1], &y)? };
    let network = predictor(DiagonalNet { initial: 1.0 }, INPUTS)?;
    let how = noise(NoiseScheme::All, sigma, NoiseScaling::None);
    let state = network.initial_state(Initialization::He, seed);
    let mut trainer = trainer(&network, &how, SAMPLES, state)?;
    let mut phi = vec![0.0; INPUTS];
    let fit = study::Fit { batch: SAMPLES, steps: LASSO_STEPS, seed, rate: &|_| 0.01 };
    study::fit(&mut trainer, &batch, &fit, |step, _, trainer| {
        if step > LASSO_STEPS / 2 {
            let [w1, w2] = [0, 1].map(|index| values(&trainer.parameters()[index]));
            phi.iter_mut().zip(w1.iter().zip(w2)).for_each(|(phi, (w1, w2))| *phi += w1 * w1 - w2 * w2);
        }
        if step % 10_000 == 0 {
            setting.go_on()?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    phi.iter_mut().for_each(|phi| *phi /= (LASSO_STEPS - LASSO_STEPS / 2) as f64);
    let lasso = soft_thresholding(&x, &y, sigma);
    Ok(Sparse { to_lasso: distance(&phi, &lasso), to_truth: distance(&phi, &truth), phi, lasso })
}

/// The minimum of 1/2n |y − X φ|² + Σ 2σ²cⱼ |φⱼ| by proximal gradient steps (ISTA).
fn soft_thresholding(x: &[f64], y: &[f64], sigma: f64) -> Vec<f64> {
    let samples = y.len() as f64;
    let weights: Vec<f64> = (0..INPUTS)
        .map(|place| x.iter().skip(place).step_by(INPUTS).map(|x| x * x).sum::<f64>() / samples)
        .map(|second| 2.0 * sigma * sigma * second)
        .collect();
    // The trace bounds the largest eigenvalue; ‖X‖² of a Gaussian X is about (√n + √d)².
    let length = samples / (samples.sqrt() + (INPUTS as f64).sqrt()).powi(2) / 1.2;
    let mut phi = vec![0.0; INPUTS];
    for _ in 0..50_000 {
        let mut gradient = vec![0.0; INPUTS];
        for (row, y) in x.chunks(INPUTS).zip(y) {
            let off = row.iter().zip(&phi).map(|(x, phi)| x * phi).sum::<f64>() - y;
            gradient.iter_mut().zip(row).for_each(|(gradient, x)| *gradient += off * x / samples);
        }
        for ((phi, gradient), weight) in phi.iter_mut().zip(&gradient).zip(&weights) {
            let moved = *phi - length * gradient;
            *phi = moved.signum() * (moved.abs() - length * weight).max(0.0);
        }
    }
    phi
}

// ---- 2 to 4: the nuclear norm ----

const ROWS: usize = 8;
const COLUMNS: usize = 4;
const SIGMA: f64 = 0.15;
const NUCLEAR_STEPS: u64 = 20_000;
/// Of the target: the last one is not far above the threshold.
const SINGULAR_VALUES: [f64; COLUMNS] = [2.4, 1.5, 0.835, 0.085];
const WIDTHS: [usize; 3] = [8, 64, 256];

/// What one run of the two layers came to.
struct Factored {
    /// The regularized objective at the mean of φ over the last half.
    objective: f64,
    /// The mean loss at perturbed weights over the last half.
    perturbed: f64,
    /// The smallest singular value of the mean of φ.
    tail: f64,
}

/// The weight of the nuclear norm when σ is in one of two layers at a time: σ²/2 √(p tr Σ).
fn threshold() -> f64 {
    0.5 * SIGMA * SIGMA * ((COLUMNS * ROWS) as f64).sqrt()
}

/// The least of ½ |φ − φ*|² + λ |φ|₊: every singular value of φ* is soft-thresholded.
fn optimum() -> f64 {
    let lambda = threshold();
    SINGULAR_VALUES.iter().map(|s| if *s > lambda { lambda * s - 0.5 * lambda * lambda } else { 0.5 * s * s }).sum()
}

/// Whitened inputs (√8 · 1), and a target with the singular values above and random directions.
fn factored_problem(seed: u64) -> Result<(Batch, Vec<f64>)> {
    let mut random = Key::new(seed, "claims/09/target", 0).random();
    let mut orthonormal = |rows: usize| {
        let normal = faer::Mat::from_fn(rows, COLUMNS, |_, _| random.normal_f64());
        normal.qr().compute_thin_Q()
    };
    let (left, right) = (orthonormal(ROWS), orthonormal(COLUMNS));
    let target: Vec<f64> = (0..ROWS * COLUMNS)
        .map(|place| (place / COLUMNS, place % COLUMNS))
        .map(|(row, column)| {
            (0..COLUMNS).map(|k| left[(row, k)] * SINGULAR_VALUES[k] * right[(column, k)]).sum::<f64>()
        })
        .collect();
    let root = (ROWS as f64).sqrt();
    let x: Vec<f64> = (0..ROWS * ROWS).map(|place| if place % (ROWS + 1) == 0 { root } else { 0.0 }).collect();
    let y: Vec<f64> = target.iter().map(|target| root * target).collect();
    Ok((Batch { inputs: tensor(&[ROWS, ROWS], &x)?, labels: tensor(&[ROWS, COLUMNS], &y)? }, target))
}

fn singular_values(phi: &[f64]) -> Result<Vec<f64>> {
    let matrix = faer::Mat::from_fn(ROWS, COLUMNS, |row, column| phi[row * COLUMNS + column]);
    matrix.singular_values().map_err(|error| Error::numerical(format!("no singular values: {error:?}")))
}

fn factored(setting: &Setting, seed: u64, width: usize, scheme: NoiseScheme) -> Result<Factored> {
    let (batch, target) = factored_problem(seed)?;
    let network = predictor(FactorizedLinear { width, outputs: COLUMNS }, ROWS)?;
    let how = noise(scheme, SIGMA, NoiseScaling::PerGroup);
    let mut trainer = trainer(&network, &how, ROWS, network.initial_state(Initialization::Lecun, seed))?;
    let mut phi = vec![0.0; ROWS * COLUMNS];
    let mut perturbed = 0.0;
    let fit = study::Fit { batch: ROWS, steps: NUCLEAR_STEPS, seed, rate: &|_| 0.01 };
    study::fit(&mut trainer, &batch, &fit, |step, result, trainer| {
        if step > NUCLEAR_STEPS / 2 {
            let [w1, w2] = [0, 1].map(|index| values(&trainer.parameters()[index]));
            for (phi, w1) in phi.chunks_mut(COLUMNS).zip(w1.chunks(width)) {
                for (w1, w2) in w1.iter().zip(w2.chunks(COLUMNS)) {
                    phi.iter_mut().zip(w2).for_each(|(phi, w2)| *phi += w1 * w2);
                }
            }
            perturbed += result.loss;
        }
        if step % 5_000 == 0 {
            setting.go_on()?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    phi.iter_mut().for_each(|phi| *phi /= (NUCLEAR_STEPS / 2) as f64);
    let singular = singular_values(&phi)?;
    let objective = 0.5 * distance(&phi, &target).powi(2) + threshold() * singular.iter().sum::<f64>();
    let tail = singular.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Factored { objective, perturbed: perturbed / (NUCLEAR_STEPS / 2) as f64, tail })
}

/// All widths under one scheme, seed after seed.
fn by_width(setting: &Setting, scheme: NoiseScheme) -> Result<Vec<Vec<Factored>>> {
    let jobs = setting.seeds().flat_map(|seed| WIDTHS.map(|width| (seed, width)));
    let runs = setting.each(jobs, |(seed, width)| factored(setting, seed, width, scheme))?;
    let mut runs = runs.into_iter();
    Ok(setting.seeds().map(|_| runs.by_ref().take(WIDTHS.len()).collect()).collect())
}

fn each_seed(runs: &[Vec<Factored>], value: impl Fn(&[Factored]) -> f64) -> Vec<f64> {
    runs.iter().map(|seed| value(seed)).collect()
}

fn nuclear(setting: &Setting) -> Result<Findings> {
    let schemes = [NoiseScheme::LayerCyclic, NoiseScheme::None];
    let jobs = setting.seeds().flat_map(|seed| schemes.map(|scheme| (seed, scheme)));
    let runs = setting.each(jobs, |(seed, scheme)| factored(setting, seed, 8, scheme))?;
    let rises = setting
        .each(setting.seeds().flat_map(|seed| [0, 1, 2, 3].map(|form| (seed, form))), |(seed, form)| {
            rise(setting, seed, form)
        })?;
    let above = |scheme: usize| -> Vec<f64> { runs.chunks(2).map(|seed| seed[scheme].objective - optimum()).collect() };
    let names = ["lasso", "group lasso", "nuclear norm", "nuclear norm, one layer at a time"];
    let mut findings = Findings::new();
    for (form, name) in names.iter().enumerate() {
        let ratios: Vec<f64> = rises.iter().skip(form).step_by(names.len()).map(|(rise, form)| rise / form).collect();
        findings.check(Check::within(format!("rise under noise over the closed form, {name}"), ratios, 0.98, 1.02));
    }
    findings.check(Check::at_most("objective of the mean iterate above the optimum", above(0), 1e-4));
    findings.check(Check::above("the same without noise", above(1), 1e-4));
    let rows: Vec<Vec<f64>> = runs.chunks(2).map(|seed| vec![seed[0].objective, seed[1].objective]).collect();
    findings.figure(
        Figure::bars("The nuclear norm that noise stands for", &["noise in one layer a step", "no noise"], "objective")
            .caption("½‖φ − φ*‖² + λ‖φ‖₊ at the mean of φ over the last half of a run, mean and deviation over seeds.")
            .heights_over_seeds("mean iterate", &rows)
            .mark("optimum", optimum()),
    );
    Ok(findings)
}

/// The mean rise of the loss under noise that steps of rate 0 see, and its closed form.
fn rise(setting: &Setting, seed: u64, form: usize) -> Result<(f64, f64)> {
    const DRAWS: u64 = 160_000;
    const D: usize = 6;
    let sigma = 0.5;
    let mut random = Key::new(seed, "claims/09/rise", 0).random();
    let mut normal = |count: usize| -> Vec<f64> { (0..count).map(|_| random.normal_f64()).collect() };
    let outputs = if form < 2 { 1 } else { 2 };
    let batch =
        Batch { inputs: tensor(&[10, D], &normal(10 * D))?, labels: tensor(&[10, outputs], &normal(10 * outputs))? };
    let moment = SecondMoment::of(&batch.inputs)?;
    let groups = GroupFactorNet { groups: vec![2, 3, 1], initial: 0.0 };
    let layers = FactorizedLinear { width: 5, outputs };
    let network = match form {
        0 => predictor(DiagonalNet { initial: 0.0 }, D)?,
        1 => predictor(groups.clone(), D)?,
        _ => predictor(layers.clone(), D)?,
    };
    let first = normal(network.parameters()[0].shape.elements());
    let second = normal(network.parameters()[1].shape.elements());
    let state = State {
        parameters: vec![
            tensor(&network.parameters()[0].shape, &first)?,
            tensor(&network.parameters()[1].shape, &second)?,
        ],
        buffers: vec![],
    };
    let wanted = match form {
        0 => DiagonalNet::rise(&moment, &first, &second, sigma),
        1 => groups.rise(&moment, &first, &second, sigma),
        2 => layers.rise(&moment, &first, &second, sigma),
        _ => layers.rise_by_factor(&moment, &first, &second, sigma),
    };
    let scheme = if form == 3 { NoiseScheme::LayerCyclic } else { NoiseScheme::All };
    let clean = study::evaluate(&network, &state, &batch, NormMode::Running)?.loss;
    let mut trainer = trainer(&network, &noise(scheme, sigma, NoiseScaling::None), 10, state)?;
    let mut mean = 0.0;
    let fit = study::Fit { batch: 10, steps: DRAWS, seed, rate: &|_| 0.0 };
    study::fit(&mut trainer, &batch, &fit, |step, result, _| {
        mean += result.loss / DRAWS as f64;
        if step % 10_000 == 0 {
            setting.go_on()?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((mean - clean, wanted))
}

fn explosion(setting: &Setting) -> Result<Findings> {
    let runs = by_width(setting, NoiseScheme::All)?;
    let predicted = WIDTHS.map(|width| SIGMA.powi(4) / 8.0 * (width * COLUMNS * ROWS) as f64);
    let mut findings = Findings::new();
    let last = WIDTHS.len() - 1;
    findings.check(Check::within(
        "perturbed loss above the optimum over (σ⁴/8) m p tr Σ, width 256",
        each_seed(&runs, |seed| (seed[last].perturbed - optimum()) / predicted[last]),
        0.9,
        1.1,
    ));
    findings.check(Check::above(
        "objective of the mean iterate at width 256 minus that at 8",
        each_seed(&runs, |seed| seed[last].objective - seed[0].objective),
        0.0,
    ));
    findings.check(Check::above(
        "smallest singular value at width 256 over that at 8",
        each_seed(&runs, |seed| seed[last].tail / seed[0].tail),
        1.0,
    ));
    findings.figure(perturbed_by_width("Noise in both layers at once", &runs).dashed(
        "optimum + (σ⁴/8) m p tr Σ",
        &WIDTHS.map(|width| width as f64),
        &predicted.map(|predicted| optimum() + predicted),
    ));
    Ok(findings)
}

fn layerwise(setting: &Setting) -> Result<Findings> {
    let runs = by_width(setting, NoiseScheme::LayerCyclic)?;
    let last = WIDTHS.len() - 1;
    let mut findings = Findings::new();
    findings.check(Check::at_most(
        "objective of the mean iterate at width 256 against that at 8",
        each_seed(&runs, |seed| (seed[last].objective - seed[0].objective).abs()),
        5e-5,
    ));
    findings.check(Check::at_most(
        "largest over smallest perturbed loss of the widths",
        each_seed(&runs, |seed| {
            let losses = seed.iter().map(|run| run.perturbed);
            losses.clone().fold(f64::NEG_INFINITY, f64::max) / losses.fold(f64::INFINITY, f64::min)
        }),
        1.05,
    ));
    findings.figure(perturbed_by_width("Noise in one layer at a time", &runs).mark("optimum", optimum()));
    Ok(findings)
}

fn perturbed_by_width(title: &str, runs: &[Vec<Factored>]) -> Figure {
    let widths = WIDTHS.map(|width| width as f64);
    let seeds: Vec<Vec<f64>> = runs.iter().map(|seed| seed.iter().map(|run| run.perturbed).collect()).collect();
    Figure::lines(title, "width", "loss at perturbed weights")
        .caption("Mean over the last half of a run, then over seeds.")
        .log_x()
        .over_seeds("measured", &widths, &seeds)
}

// ---- 5 and 6: digits with wrong labels ----

const WRONG: f64 = 0.2;
const TRACE_PROBES: usize = 100;

/// What one training came to.
struct Trained {
    train_loss: f64,
    test_loss: f64,
    accuracy: f64,
    trace: f64,
}

fn digits(setting: &Setting, schemes: &[NoiseScheme]) -> Result<Vec<Vec<Trained>>> {
    let jobs: Vec<_> = setting.seeds().flat_map(|seed| schemes.iter().map(move |scheme| (seed, *scheme))).collect();
    let runs = setting.each(jobs, |(seed, scheme)| wrong_labels(setting, seed, scheme))?;
    let mut runs = runs.into_iter();
    Ok(setting.seeds().map(|_| runs.by_ref().take(schemes.len()).collect()).collect())
}

fn wrong_labels(setting: &Setting, seed: u64, scheme: NoiseScheme) -> Result<Trained> {
    let options =
        LoadOptions { limit: Some(200), test_fraction: 0.8, seed, normalize: false, ..LoadOptions::default() };
    let digits = setting.dataset("digits", &options)?;
    let mut random = Key::new(seed, "claims/09/labels", 0).random();
    let train = Batch::of(&digits, &digits.train, DType::F32)?.relabelled(|_, label| {
        let other = other_class(label, 10, &mut random);
        if random.uniform_f64() < WRONG { other } else { label }
    })?;
    let test = Batch::of(&digits, &digits.test, DType::F32)?;
    let model = Mlp { widths: vec![512], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    let network = Network::new(model, &digits.image_shape)?;
    let how = noise(scheme, 0.4, NoiseScaling::PerGroup);
    let mut trainer = trainer(&network, &how, 50, network.initial_state(Initialization::Uniform, seed))?;
    let fit = study::Fit { batch: 50, steps: 1500, seed, rate: &|_| 0.1 };
    study::fit(&mut trainer, &train, &fit, |_, _, _| Ok(ControlFlow::Continue(())))?;
    let state = trainer.state();
    let [on_train, on_test] =
        [&train, &test].map(|samples| study::evaluate(&network, &state, samples, NormMode::Running));
    let (on_train, on_test) = (on_train?, on_test?);
    let trace = hessian_trace(&network, state, train, seed)?;
    Ok(Trained { train_loss: on_train.loss, test_loss: on_test.loss, accuracy: on_test.accuracy, trace })
}

/// The trace of the Hessian from products with random signs (Hutchinson).
fn hessian_trace(network: &Network, state: State, samples: Batch, seed: u64) -> Result<f64> {
    let mut curvature = Curvature::new(network, NormMode::Running, samples, state)?;
    let mut random = Key::new(seed, "claims/09/trace", 0).random();
    let mut total = 0.0;
    for _ in 0..TRACE_PROBES {
        let signs: Vec<f64> =
            (0..network.parameter_count()).map(|_| if random.uniform_f64() < 0.5 { 1.0 } else { -1.0 }).collect();
        let product = curvature.hessian_product(&signs)?;
        total += signs.iter().zip(&product).map(|(sign, product)| sign * product).sum::<f64>();
    }
    Ok(total / TRACE_PROBES as f64)
}

fn mean_of(runs: &[Vec<Trained>], scheme: usize, value: fn(&Trained) -> f64) -> f64 {
    statistics::mean(&runs.iter().map(|seed| value(&seed[scheme])).collect::<Vec<_>>())
}

fn generalization(setting: &Setting) -> Result<Findings> {
    let runs = digits(setting, &[NoiseScheme::None, NoiseScheme::LayerCyclic])?;
    let ratio = |value| mean_of(&runs, 1, value) / mean_of(&runs, 0, value);
    let gain = mean_of(&runs, 1, |run| run.accuracy) - mean_of(&runs, 0, |run| run.accuracy);
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("test loss with noise over without", ratio(|run| run.test_loss), 0.85))
        .check(Check::at_least("gain in accuracy", 100.0 * gain, 3.0).unit(" points"))
        .check(Check::at_most("trace of the Hessian with noise over without", ratio(|run| run.trace), 0.5))
        .note(described(&runs, &["none", "one tensor a step"]))
        .figure(losses_by_scheme(&runs, &["none", "one tensor a step"]));
    Ok(findings)
}

fn hurts(setting: &Setting) -> Result<Findings> {
    let runs = digits(setting, &[NoiseScheme::LayerCyclic, NoiseScheme::All])?;
    let ratio = |value| mean_of(&runs, 1, value) / mean_of(&runs, 0, value);
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("training loss, all over one tensor a step", ratio(|run| run.train_loss), 1.5))
        .check(Check::above("test loss, all over one tensor a step", ratio(|run| run.test_loss), 1.0))
        .note(described(&runs, &["one tensor a step", "all"]))
        .figure(losses_by_scheme(&runs, &["one tensor a step", "all"]));
    Ok(findings)
}

fn described(runs: &[Vec<Trained>], names: &[&str]) -> String {
    let one = |(scheme, name): (usize, &&str)| {
        let of = |value| mean_of(runs, scheme, value);
        format!(
            "{name}: training loss {:.3}, test loss {:.3}, accuracy {:.3}, trace {:.0}",
            of(|run| run.train_loss),
            of(|run| run.test_loss),
            of(|run| run.accuracy),
            of(|run| run.trace)
        )
    };
    names.iter().enumerate().map(one).collect::<Vec<_>>().join("; ")
}

fn losses_by_scheme(runs: &[Vec<Trained>], names: &[&str]) -> Figure {
    let seeds = |value: fn(&Trained) -> f64| -> Vec<Vec<f64>> {
        runs.iter().map(|seed| seed.iter().map(value).collect()).collect()
    };
    Figure::bars("200 digits, a fifth of the labels wrong", names, "cross-entropy")
        .caption("Mean and standard deviation over seeds; training labels are the wrong ones, test labels are right.")
        .heights_over_seeds("training", &seeds(|run| run.train_loss))
        .heights_over_seeds("test", &seeds(|run| run.test_loss))
}
