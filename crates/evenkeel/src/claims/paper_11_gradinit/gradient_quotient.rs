//! The initialization that GradInit is compared with: lengths of weights that make the gradient quotient small.

use super::super::setup::{self, by_seed, triples};
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use super::networks::{BATCH, SCALES, deep, for_sgd, he, improved, train};
use crate::config::{NormKind, NormMode};
use crate::optim::Sgd;
use crate::train::TrainerOptions;
use crate::{Batch, Error, Network, Probe, Result, State, Trace};
use evenkeel_graph::random::Key;
use evenkeel_graph::{Tensor, Var};

const STEPS: u64 = 100;
const RATE: f64 = 0.1;
const MOMENTUM: f64 = 0.9;
const EPSILON: f64 = 1e-5;

/// The mean over all parameters of |(g − H g) / (g + ε sign g) − 1|, with g the gradient and H the Hessian: small where a step along the
/// gradient changes it little.
///
/// Source: Dauphin, Schoenholz 2019, "MetaInit", section 3.
fn quotient<'g>(trace: &Trace<'g>) -> Result<Var<'g>> {
    let graph = trace.cx.graph();
    let (loss, parameters) = (trace.losses.mean_all(), trace.parameters());
    let gradient = graph.vjp(&[loss], &parameters, None)?;
    let squares = gradient.iter().fold(loss.like(0.0), |sum, g| sum + g.square().sum_all() * 0.5);
    let product = graph.vjp(&[squares], &parameters, None)?;
    let count: usize = parameters.iter().map(|parameter| parameter.shape().elements()).sum();
    let total = gradient.iter().zip(product).fold(loss.like(0.0), |sum, (&g, product)| {
        let side = g.greater_or_equal(g.like(0.0)).select(g.like(EPSILON), g.like(-EPSILON));
        sum + ((g - product) / (g + side) - 1.0).abs().sum_all()
    });
    Ok(total / count as f64)
}

/// Moves the length of each weight matrix against the sign of its slope of the quotient, on random samples.
fn meta_init(setting: &Setting, network: &Network, mut state: State, seed: u64) -> Result<State> {
    let mut slopes = Probe::new(network, BATCH, NormMode::Running, |trace| {
        let parameters = trace.parameters();
        let slopes = trace.cx.graph().vjp(&[quotient(trace)?], &parameters, None)?;
        let along = parameters.iter().zip(slopes).enumerate();
        Ok(along.map(|(index, (parameter, slope))| (index.to_string(), (*parameter * slope).sum_all())).collect())
    })?;
    let weights: Vec<usize> =
        (0..network.parameters().len()).filter(|&index| network.parameters()[index].shape.len() > 1).collect();
    let mut velocities = vec![0.0; weights.len()];
    for step in 0..STEPS {
        setting.go_on()?;
        let mut random = Key::new(seed, "claims/meta-init", step).random();
        let pixels = (0..BATCH * 64).map(|_| random.normal_f64() as f32).collect();
        let labels = (0..BATCH).map(|_| random.below(10) as i32).collect();
        let (Some(inputs), Some(labels)) = (Tensor::new([BATCH, 8, 8, 1], pixels), Tensor::new([BATCH], labels)) else {
            return Err(Error::input("a batch does not have the shape of its samples"));
        };
        let found: Vec<f64> = slopes
            .at(&Batch { inputs, labels }, &state)?
            .iter()
            .map(|slope| slope.item().unwrap_or(f64::NAN))
            .collect();
        for (&index, velocity) in weights.iter().zip(&mut velocities) {
            let values = state.parameters[index].to_f64();
            let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
            let sign = if found[index] > 0.0 {
                1.0
            } else if found[index] < 0.0 {
                -1.0
            } else {
                0.0
            };
            *velocity = MOMENTUM * *velocity - RATE * sign;
            let factor = (length + *velocity) / length;
            let moved: Vec<f64> = values.iter().map(|value| value * factor).collect();
            let tensor = &mut state.parameters[index];
            *tensor = Tensor::from_f64(tensor.shape(), tensor.dtype(), &moved).unwrap_or_else(|| tensor.clone());
        }
    }
    Ok(state)
}

const STARTS: [&str; 3] = ["plain", "MetaInit", "GradInit"];

pub(super) fn against_meta_init(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let count = seeds.len().max(1);
    let all = setting.each(triples(&[0, 1, 2], &SCALES, &seeds), |(which, scale, seed)| {
        let network = deep(NormKind::None)?;
        let drawn = he(&network, scale, seed);
        let start = match which {
            0 => drawn,
            1 => meta_init(setting, &network, drawn, seed)?,
            _ => improved(setting, &for_sgd(seed), &network, drawn, &samples)?,
        };
        let how = TrainerOptions::new(Sgd { momentum: 0.9, ..Sgd::PLAIN }).clipped(1.0);
        Ok(train(&network, how, start, &samples, (0.1, 10, seed))?.last)
    })?;
    let means: Vec<f64> = all.chunks(count).map(mean).collect();
    let by_start: Vec<&[f64]> = means.chunks(SCALES.len()).collect();
    let gains: Vec<f64> = by_start[2].iter().zip(by_start[1]).map(|(with, other)| with - other).collect();
    let mut findings = Findings::new();
    findings.check(
        Check::above("mean accuracy, GradInit − MetaInit, × 0.5, 1 and 2", gains, 0.0).unit(" points").for_the_record(),
    );
    for (name, means) in STARTS.iter().zip(&by_start) {
        findings.note(format!("{name}: {:.1}, {:.1} and {:.1} % at He × 0.5, 1 and 2.", means[0], means[1], means[2]));
    }
    let mut figure = Figure::bars("Test accuracy after ten epochs", &["He × 0.5", "He × 1", "He × 2"], "accuracy (%)");
    for (start, name) in STARTS.iter().enumerate() {
        let of_start: Vec<&[f64]> = all.chunks(count).skip(start * SCALES.len()).take(SCALES.len()).collect();
        figure = figure.heights_over_seeds(*name, &by_seed(&of_start));
    }
    findings.figure(figure);
    Ok(findings)
}
