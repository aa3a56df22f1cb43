//! Three ways to one number.

use super::recipe;
use crate::batch::Batch;
use crate::claims::{Check, Figure, Findings, Setting, statistics};
use crate::config::{Activation, Initialization, Loss, NormKind, NormMode};
use crate::data::LoadOptions;
use crate::models::Mlp;
use crate::network::{Network, State};
use crate::nn::NormSettings;
use crate::probe::Probe;
use crate::regularize::geometric_complexity::{Along, ComplexityMeter, HowMeasured};
use crate::{Error, Result};
use evenkeel_graph::{DType, Tensor};

const SAMPLES: usize = 500;
const ESTIMATES: usize = 200;
const STEP: f64 = 1e-5;

/// What one seed found.
struct Found {
    exact: f64,
    probed: Vec<f64>,
    differences: f64,
}

pub(super) fn estimates(setting: &Setting) -> Result<Findings> {
    let found = setting.each(setting.seeds(), |seed| one(setting, seed))?;
    let ratios = |of: fn(&Found) -> f64| found.iter().map(|found| of(found) / found.exact).collect::<Vec<_>>();
    let mut findings = Findings::new();
    findings
        .check(Check::within(
            "mean of the probes, over the exact number",
            ratios(|f| statistics::mean(&f.probed)),
            0.99,
            1.01,
        ))
        .check(Check::within(
            "central differences, over the exact number",
            ratios(|f| f.differences),
            1.0 - 1e-4,
            1.0 + 1e-4,
        ));
    for found in &found {
        findings.note(format!(
            "exact {:.4}, probes {:.4} with standard deviation {:.2} each",
            found.exact,
            statistics::mean(&found.probed),
            statistics::deviation(&found.probed)
        ));
    }
    if let Some(found) = found.first() {
        let numbers: Vec<f64> = (1..=ESTIMATES).map(|number| number as f64).collect();
        let running: Vec<f64> = (1..=ESTIMATES).map(|count| statistics::mean(&found.probed[..count])).collect();
        findings.figure(
            Figure::lines("Geometric complexity by random probes", "probes", "geometric complexity")
                .caption("Mean of the first so many probes; the line is the exact number.")
                .series("mean of probes", &numbers, &running)
                .mark("exact", found.exact),
        );
    }
    Ok(findings)
}

fn one(setting: &Setting, seed: u64) -> Result<Found> {
    let options = LoadOptions { seed, normalize: false, limit: Some(SAMPLES), ..LoadOptions::default() };
    let digits = setting.dataset("digits", &options)?;
    let samples = Batch::of(&digits, &digits.train, DType::F64)?;
    let model = Mlp { widths: vec![100, 100], norm: NormKind::None, activation: Some(Activation::Relu), classes: 10 };
    let network =
        Network::with(Box::new(model), &digits.image_shape, DType::F64, Loss::CrossEntropy, NormSettings::default())?;
    let state = network.initial_state(Initialization::He, seed);
    let measured = |how| ComplexityMeter::new(&network, SAMPLES, how)?.at(&samples, &state);
    let exact = measured(HowMeasured::default())?.mean;
    let one = HowMeasured { along: Along::signs(1), ..HowMeasured::default() };
    let probed =
        (0..ESTIMATES as u64).map(|probe| Ok(measured(HowMeasured { seed: recipe::other(seed, probe), ..one })?.mean));
    let probed = probed.collect::<Result<Vec<f64>>>()?;
    Ok(Found { exact, probed, differences: differences(&network, &state, &samples)? })
}

/// The same by central differences of the logits.
fn differences(network: &Network, state: &State, samples: &Batch) -> Result<f64> {
    let count = samples.len();
    let mut answers = Probe::new(network, count, NormMode::Running, |trace| Ok(vec![("logits".into(), trace.logits)]))?;
    let inputs = samples.inputs.to_f64();
    let length = inputs.len() / count;
    let mut total = 0.0;
    for place in 0..length {
        let mut at = |shift: f64| {
            let mut moved = inputs.clone();
            moved.iter_mut().skip(place).step_by(length).for_each(|value| *value += shift);
            let inputs = Tensor::from_f64(samples.inputs.shape(), DType::F64, &moved)
                .ok_or_else(|| Error::input("moved inputs have the shape of the inputs"))?;
            let moved = Batch { inputs, labels: samples.labels.clone() };
            Ok::<_, Error>(answers.at(&moved, state)?[0].to_f64())
        };
        let (ahead, behind) = (at(STEP)?, at(-STEP)?);
        total += ahead.iter().zip(behind).map(|(a, b)| ((a - b) / (2.0 * STEP)).powi(2)).sum::<f64>();
    }
    Ok(total / count as f64)
}
