//! The loss surface around networks of paper 19.

use super::super::{Check, Figure, Findings, Setting, statistics};
use super::training::{Deep, TERM};
use super::{Digits, direction};
use crate::config::NormMode;
use crate::graph::{DType, Tensor};
use crate::probe::Probe;
use crate::{Network, Result, State};

/// Points along each direction.
const SIDE: usize = 21;
/// Training samples whose loss is looked at.
const SAMPLES: usize = 512;
/// Losses count as no more than this with the term, or a few corners would decide.
const CLAMP: f64 = 10.0;

/// From −1 to 1.
fn places() -> [f64; SIDE] {
    std::array::from_fn(|place| place as f64 / 10.0 - 1.0)
}

pub(super) fn surface(setting: &Setting) -> Result<Findings> {
    let digits = Digits::standardized(setting, DType::F32)?;
    let jobs = setting.seeds().flat_map(|seed| [(seed, None), (seed, Some(TERM))]);
    let grids = setting.each(jobs, |(seed, term)| {
        let deep = Deep::plain(30);
        let trained = deep.train(setting, &digits, term, 40, seed)?;
        grid(&deep.network(term)?, &trained.state, &digits, seed, setting)
    })?;
    let pick = |offset: usize| -> Vec<&Vec<f64>> { grids.iter().skip(offset).step_by(2).collect() };
    let (plain, with) = (pick(0), pick(1));
    // A loss that is none stays so.
    let clamp = |loss: &f64| if *loss > CLAMP { CLAMP } else { *loss };
    let clamped = |grid: &[f64]| grid.iter().map(clamp).collect::<Vec<f64>>();
    let centre = |grid: &Vec<f64>| grid[SIDE / 2 * SIDE + SIDE / 2];
    let largest = |grid: &Vec<f64>| statistics::largest(grid.iter().copied());
    let each = |grids: &[&Vec<f64>], number: &dyn Fn(&Vec<f64>) -> f64| -> Vec<f64> {
        grids.iter().map(|grid| number(grid)).collect()
    };
    let mut findings = Findings::new();
    findings
        .check(Check::below("deviation over the grid, plain", each(&plain, &|grid| statistics::deviation(grid)), 0.02))
        .check(Check::above(
            "deviation over the grid with the term, clamped at 10",
            each(&with, &|grid| statistics::deviation(&clamped(grid))),
            0.5,
        ))
        .check(Check::below("loss in the centre with the term", each(&with, &centre), 1.0))
        .check(Check::within("smallest and largest loss, plain", range(&plain), 2.29, 2.33).for_the_record())
        .note(format!("largest loss with the term (a pilot: 137 to 164): {:.0?}", each(&with, &largest)));
    // Cuts along the first direction.
    let cut = |grid: &[f64], second: usize| (0..SIDE).map(|first| grid[first * SIDE + second]).collect::<Vec<f64>>();
    let cuts = |grids: &[&Vec<f64>], second| grids.iter().map(|grid| cut(&clamped(grid), second)).collect::<Vec<_>>();
    let mut figure = Figure::lines(
        "Loss around the trained network",
        "along the first direction",
        "loss of 512 samples (nats)",
    )
    .caption("Cuts at three places b of the second direction; mean and standard deviation over seeds, clamped at 10.");
    for (second, name) in [(0, "−1"), (SIDE / 2, "0"), (SIDE - 1, "1")] {
        figure = figure.over_seeds(format!("with batch entropy, b = {name}"), &places(), &cuts(&with, second));
    }
    findings.figure(figure.over_seeds("plain, b = 0", &places(), &cuts(&plain, SIDE / 2)));
    Ok(findings)
}

/// The smallest and the largest of all numbers.
fn range(grids: &[&Vec<f64>]) -> [f64; 2] {
    let all = || grids.iter().flat_map(|grid| grid.iter().copied());
    [statistics::least(all()), statistics::largest(all())]
}

/// The loss at each point of the grid, the second direction fastest.
fn grid(network: &Network, state: &State, digits: &Digits, seed: u64, setting: &Setting) -> Result<Vec<f64>> {
    let samples = digits.train.first(SAMPLES);
    let mut probe = Probe::new(network, samples.len(), NormMode::Running, |trace| {
        Ok(vec![("loss".to_string(), trace.losses.mean_all())])
    })?;
    let infos = network.parameters();
    let directions = [0, 1].map(|which| {
        let pairs = infos.iter().zip(&state.parameters);
        pairs.map(|(info, tensor)| direction(tensor, &info.path, seed, which)).collect::<Vec<_>>()
    });
    let mut losses = Vec::new();
    for first in places() {
        setting.go_on()?;
        for second in places() {
            let moved = |(place, tensor): (usize, &Tensor)| {
                let values = tensor.to_f64().into_iter().zip(&directions[0][place]).zip(&directions[1][place]);
                let values: Vec<f64> = values.map(|((value, a), b)| value + first * a + second * b).collect();
                Tensor::from_f64(tensor.shape(), tensor.dtype(), &values).unwrap_or_else(|| tensor.clone())
            };
            let parameters: Vec<Tensor> = state.parameters.iter().enumerate().map(moved).collect();
            losses.push(probe.run(&samples, &parameters, &state.buffers)?[0].item().unwrap_or(f64::NAN));
        }
    }
    Ok(losses)
}
