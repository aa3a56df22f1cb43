//! Geometric complexity before the first step.

use super::meter;
use crate::batch::Batch;
use crate::claims::{Check, Figure, Findings, Setting, statistics};
use crate::config::{Activation, Initialization, NormKind};
use crate::data::{Dataset, LoadOptions};
use crate::models::Mlp;
use crate::{Network, Result};

const DEPTHS: [usize; 5] = [1, 2, 4, 8, 16];
const WIDTH: usize = 128;
const CLASSES: usize = 10;
const SAMPLES: usize = 64;

pub(super) fn initialization(setting: &Setting) -> Result<Findings> {
    let digits = setting.dataset("digits", &LoadOptions { limit: Some(SAMPLES), ..LoadOptions::default() })?;
    let inputs = digits.image_shape.iter().product();
    let jobs = setting.seeds().flat_map(|seed| DEPTHS.map(|depth| (seed, depth)));
    let measured = setting.each(jobs, |(seed, depth)| at_start(&digits, depth, seed))?;
    let schemes = ["LeCun", "He", "Glorot"];
    // By scheme, then seed, then depth.
    let series = |scheme: usize| -> Vec<Vec<f64>> {
        measured.chunks(DEPTHS.len()).map(|depths| depths.iter().map(|all| all[scheme]).collect()).collect()
    };
    let means = |scheme: usize| -> Vec<f64> {
        let seeds = series(scheme);
        (0..DEPTHS.len())
            .map(|depth| statistics::mean(&seeds.iter().map(|seed| seed[depth]).collect::<Vec<_>>()))
            .collect()
    };
    let expected = |scheme: usize| DEPTHS.map(|depth| expectation(scheme, depth, inputs));
    let over = |scheme: usize| -> Vec<f64> { means(scheme).iter().zip(expected(scheme)).map(|(a, b)| a / b).collect() };
    let mut findings = Findings::new();
    findings
        .check(Check::within("LeCun over 10 · 2⁻ᴸ, by depth", over(0), 0.75, 1.25))
        .check(Check::within("He over 20, by depth", over(1), 0.75, 1.25))
        .check(Check::decreasing("Glorot, by depth", means(2)));
    let depths = DEPTHS.map(|depth| depth as f64);
    let mut figure = Figure::lines("Geometric complexity at the start", "hidden layers L", "geometric complexity")
        .caption("Mean and standard deviation over seeds; dashed: the expectation over weights.")
        .log_y();
    for (index, name) in schemes.into_iter().enumerate() {
        figure = figure.over_seeds(name, &depths, &series(index));
        figure = figure.dashed(format!("{name}, expected"), &depths, &expected(index));
    }
    findings.figure(figure);
    Ok(findings)
}

/// The expectation over weights of LeCun, He and Glorot: by symmetry each ReLU lets half of the squared signal through.
fn expectation(scheme: usize, depth: usize, inputs: usize) -> f64 {
    let lecun = CLASSES as f64 * 0.5_f64.powi(depth as i32);
    let glorot = |fan_in: usize, fan_out: usize| 2.0 * fan_in as f64 / (fan_in + fan_out) as f64;
    match scheme {
        0 => lecun,
        1 => 2.0 * CLASSES as f64,
        _ => lecun * glorot(inputs, WIDTH) * glorot(WIDTH, CLASSES),
    }
}

/// Geometric complexity of new LeCun, He and Glorot networks.
fn at_start(digits: &Dataset, depth: usize, seed: u64) -> Result<[f64; 3]> {
    let widths = vec![WIDTH; depth];
    let model = Mlp { widths, norm: NormKind::None, activation: Some(Activation::Relu), classes: CLASSES };
    let network = Network::new(model, &digits.image_shape)?;
    let batch = Batch::of(digits, &digits.train, network.dtype())?;
    let mut meter = meter(&network, batch.len())?;
    let mut of = |rule: Initialization, seed: u64| -> Result<f64> {
        Ok(meter.at(&batch, &network.initial_state(rule, seed))?.mean)
    };
    // Rules draw the same normal numbers from one seed, which would make two of the three one.
    let other = seed.wrapping_add(1 << 32);
    Ok([of(Initialization::Lecun, other)?, of(Initialization::He, seed)?, of(Initialization::Glorot, seed)?])
}
