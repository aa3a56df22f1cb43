//! Careless weights, saturating functions, and distributions that stay where they are.

use super::super::setup::{self, Samples, by_seed, pairs, seeds};
use super::super::statistics::{mean, median, quantile};
use super::super::{Check, Figure, Findings, Setting};
use super::speed::accuracy;
use super::{NAMES, NORMS, digits_network};
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::init::Scheme;
use crate::nn::Context;
use crate::optim::Sgd;
use crate::study::{self, Fit};
use crate::train::Trainer;
use crate::{Network, Probe, Result};
use evenkeel_graph::{Tensor, Var};
use std::ops::ControlFlow;

pub(super) fn initialization(setting: &Setting) -> Result<Findings> {
    const SCALES: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
    let samples = setup::digits(setting)?;
    let accuracies = grid(setting, &SCALES, |norm, scale, seed| {
        let network = digits_network(&[64; 6], Activation::Relu, norm)?;
        let start = Scheme { rule: Initialization::Glorot, scale };
        accuracy(&network, start, &samples, 300, 0.1, seed)
    })?;
    let [plain, normalized] = accuracies.each_ref().map(|by_scale| means(by_scale));
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("batch norm at scales 0.1, 1, 10", &normalized[1..], 80.0).unit(" %"))
        .check(Check::at_most("plain at scales 0.1 and 10", [plain[1], plain[3]], 30.0).unit(" %"))
        .note(format!("plain at scale 1: {:.1} %", plain[2]))
        .note(format!(
            "at scale 0.01, where ε is no longer small beside the variances, batch norm: {:.1} %",
            normalized[0]
        ))
        .figure(
            shares(
                "Test digits after 300 steps, by the size of the first weights",
                "factor of Glorot weights",
                &SCALES,
                &accuracies,
            )
            .log_x(),
        );
    Ok(findings)
}

pub(super) fn saturation(setting: &Setting) -> Result<Findings> {
    const RATES: [f64; 3] = [0.3, 1.0, 3.0];
    let samples = setup::digits(setting)?;
    let accuracies = grid(setting, &RATES, |norm, rate, seed| {
        let network = digits_network(&[64; 8], Activation::Sigmoid, norm)?;
        accuracy(&network, Initialization::Glorot, &samples, 600, rate, seed)
    })?;
    let [plain, normalized] = accuracies.each_ref().map(|by_rate| means(by_rate));
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("batch norm at rates 0.3, 1, 3", &normalized, 90.0).unit(" %"))
        .check(Check::at_most("plain at rates 0.3, 1, 3", &plain, 25.0).unit(" %"))
        .figure(
            shares("Test digits of 8 sigmoid layers after 600 steps", "learning rate", &RATES, &accuracies).log_x(),
        );
    Ok(findings)
}

/// Percentages for each network, place of `at`, and seed.
fn grid(
    setting: &Setting,
    at: &[f64],
    share: impl Fn(NormKind, f64, u64) -> Result<f64> + Sync,
) -> Result<[Vec<Vec<f64>>; 2]> {
    let seeds = seeds(setting);
    let of_norm = |norm| -> Result<Vec<Vec<f64>>> {
        let found = setting.each(pairs(at, &seeds), |(place, seed)| Ok(100.0 * share(norm, place, seed)?))?;
        Ok(found.chunks(seeds.len().max(1)).map(<[f64]>::to_vec).collect())
    };
    Ok([of_norm(NORMS[0])?, of_norm(NORMS[1])?])
}

fn means(by_place: &[Vec<f64>]) -> Vec<f64> {
    by_place.iter().map(|seeds| mean(seeds)).collect()
}

/// The figure of a grid.
fn shares(title: &str, x: &str, at: &[f64], grid: &[Vec<Vec<f64>>; 2]) -> Figure {
    NAMES.iter().zip(grid).fold(Figure::lines(title, x, "answered rightly, %"), |figure, (name, by_place)| {
        figure.over_seeds(*name, at, &by_seed(by_place))
    })
}

/// Steps between two looks at the inputs of the sigmoids.
const EVERY: u64 = 50;

/// The 15th, 50th and 85th percentile of each unit's input, look after look.
type Percentiles = Vec<Vec<[f64; 3]>>;

pub(super) fn stable_distributions(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds = seeds(setting);
    let of_norm = |norm| setting.each(seeds.clone(), |seed| percentiles(&samples, norm, seed));
    let [plain, normalized] = [of_norm(NORMS[0])?, of_norm(NORMS[1])?];
    let medians = |runs: &[Percentiles], of: fn(&Percentiles) -> Vec<f64>| -> Vec<f64> {
        runs.iter().map(|run| median(&of(run))).collect()
    };
    let drifts = [&plain, &normalized].map(|runs| median(&medians(runs, drift)));
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("drift, batch norm / plain", drifts[1] / drifts[0], 0.3).unit("×"))
        .check(
            Check::at_most("width, largest / smallest, batch norm, each seed", medians(&normalized, stretch), 3.0)
                .unit("×"),
        )
        .check(Check::at_least("width, largest / smallest, plain, each seed", medians(&plain, stretch), 10.0).unit("×"))
        .note(format!("drift: plain {:.3}, batch norm {:.3}", drifts[0], drifts[1]));
    let mut figure = Figure::lines("Input of one sigmoid of the last hidden layer", "step", "input")
        .caption("15th, 50th and 85th percentile over 300 training samples, the first unit of the first seed.");
    for (name, runs) in NAMES.iter().zip([&plain, &normalized]) {
        let Some(run) = runs.first() else { continue };
        let at: Vec<f64> = (0..run.len() as u64).map(|look| (look * EVERY) as f64).collect();
        for (index, share) in ["15 %", "50 %", "85 %"].iter().enumerate() {
            let line: Vec<f64> = run.iter().map(|units| units[0][index]).collect();
            figure = figure.series(format!("{name}, {share}"), &at, &line);
        }
    }
    findings.figure(figure);
    Ok(findings)
}

/// For each unit, how far its median moves, in units of its mean width.
fn drift(looks: &Percentiles) -> Vec<f64> {
    by_unit(looks, |unit| {
        let (low, high) = extremes(unit.iter().map(|[_, middle, _]| *middle));
        (high - low) / mean(&unit.iter().map(|[low, _, high]| high - low).collect::<Vec<_>>())
    })
}

/// For each unit, its largest width over its smallest.
fn stretch(looks: &Percentiles) -> Vec<f64> {
    by_unit(looks, |unit| {
        let (low, high) = extremes(unit.iter().map(|[low, _, high]| high - low));
        high / low
    })
}

fn by_unit(looks: &Percentiles, number: impl Fn(&[[f64; 3]]) -> f64) -> Vec<f64> {
    let units = looks.first().map_or(0, Vec::len);
    (0..units).map(|unit| number(&looks.iter().map(|look| look[unit]).collect::<Vec<_>>())).collect()
}

fn extremes(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (low.min(number), high.max(number)))
}

/// Trains three sigmoid layers and looks at what the last of them reads.
fn percentiles(samples: &Samples, norm: NormKind, seed: u64) -> Result<Percentiles> {
    let network = Network::new(setup::model(move |cx, x| three_layers(cx, x, norm)), samples.shape())?;
    let watched = samples.train.first(300);
    let mut probe = Probe::taps(&network, watched.len(), NormMode::Batch)?;
    let mut look = |parameters: &[Tensor], buffers: &[Tensor]| -> Result<Vec<[f64; 3]>> {
        let inputs = probe.run(&watched, parameters, buffers)?[0].to_f64();
        let unit = |unit: usize| inputs.iter().skip(unit).step_by(WIDTH).copied().collect::<Vec<f64>>();
        Ok((0..WIDTH).map(|number| [0.15, 0.5, 0.85].map(|share| quantile(&unit(number), share))).collect())
    };
    let start = network.initial_state(Initialization::Normal(0.1), seed);
    let mut looks = vec![look(&start.parameters, &start.buffers)?];
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, 60, start)?;
    study::fit(
        &mut trainer,
        &samples.train,
        &Fit { batch: 60, steps: 1500, seed, rate: &|_| 0.5 },
        |step, _, trainer| {
            if step % EVERY == 0 {
                looks.push(look(trainer.parameters(), trainer.buffers())?);
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(looks)
}

const WIDTH: usize = 100;

/// Three sigmoid layers; what the last of them reads is known as `input3`.
fn three_layers<'g>(cx: &Context<'g>, x: Var<'g>, norm: NormKind) -> Var<'g> {
    let layer =
        |number: usize, x| cx.normalize(norm, &format!("norm{number}"), cx.linear(&format!("fc{number}"), x, WIDTH));
    let x = layer(2, layer(1, x).sigmoid()).sigmoid();
    cx.head("head", cx.tap("input3", layer(3, x)).sigmoid(), 10)
}
