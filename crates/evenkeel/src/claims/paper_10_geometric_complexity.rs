//! Geometric complexity: how much a network's outputs vary with its inputs, squared, over the data.

use super::{Check, Claim, Figure, Findings, Paper, Setting, statistics};
use crate::batch::Batch;
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::data::{Dataset, LoadOptions};
use crate::models::Mlp;
use crate::network::Trace;
use crate::probe::Probe;
use crate::{Error, Network, Result};
use evenkeel_graph::{Shape, Var};

/// The claims of Dherin, Munn, Rosca, Barrett 2022, arXiv 2209.13083.
pub(super) static PAPER: Paper = Paper {
    number: "10",
    title: "Geometric complexity (Dherin, Munn, Rosca, Barrett 2022)",
    claims: &[Claim {
        number: "8",
        title: "at the start, geometric complexity halves with each layer for LeCun weights and stays for He weights",
        recipe: "64-[128 × L]-10 ReLU networks at the start, L = 1, 2, 4, 8, 16, on 64 digits; squared input-to-logits Jacobian, mean over \
                 seeds, against its expectation over weights",
        wanted: "LeCun within 25 % of 10 · 2⁻ᴸ, He within 25 % of 20 at every depth; Glorot decays",
        seeds: 20,
        seconds: 2,
        run: initialization,
    }],
};

const DEPTHS: [usize; 5] = [1, 2, 4, 8, 16];
const WIDTH: usize = 128;
const CLASSES: usize = 10;
const SAMPLES: usize = 64;

fn initialization(setting: &Setting) -> Result<Findings> {
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
    let mut program = Probe::new(&network, batch.len(), NormMode::Running, complexity)?;
    let mut of = |rule: Initialization, seed: u64| -> Result<f64> {
        let values = program.at(&batch, &network.initial_state(rule, seed))?;
        values[0].item().ok_or_else(|| Error::input("a geometric complexity is one number"))
    };
    // Rules draw the same normal numbers from one seed, which would make two of the three one.
    let other = seed.wrapping_add(1 << 32);
    Ok([of(Initialization::Lecun, other)?, of(Initialization::He, seed)?, of(Initialization::Glorot, seed)?])
}

/// 1/N Σ ‖∂ logits / ∂ x‖², all classes pulled back at once.
fn complexity<'g>(trace: &Trace<'g>) -> Result<Vec<(String, Var<'g>)>> {
    let (graph, logits) = (trace.cx.graph(), trace.logits);
    let weight = logits.like(1.0);
    let pulled = graph.vjp(&[logits], &[trace.inputs], Some(&[weight]))?;
    // Direction k is class k of every sample.
    let stack = Shape::from([CLASSES, logits.shape()[0], CLASSES]);
    let one_hot = graph.iota(&stack, 0, logits.dtype()).equal(graph.iota(&stack, 2, logits.dtype()));
    let rows = graph.map(&pulled, &[weight], &[one_hot.cast(logits.dtype())])?;
    let total = rows[0].square().sum_all() * (1.0 / logits.shape()[0] as f64);
    Ok(vec![("geometric complexity".to_owned(), total)])
}
