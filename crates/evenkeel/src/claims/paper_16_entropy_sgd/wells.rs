//! A narrow and deep well beside a wide one: which of them local entropy favours, and what scoping is for.

use super::super::setup::{pairs, smallest};
use super::super::statistics::{least, mean, standard_error};
use super::super::{Check, Figure, Findings, Setting};
use super::quadrature::Line;
use crate::config::{Initialization, Loss};
use crate::nn::{Context, Initial, NormSettings};
use crate::optim::{EntropySgd, ITERATE};
use crate::train::Trainer;
use crate::{Batch, Error, Network, Noise, Result};
use evenkeel_graph::{DType, Tensor, Var};

/// A depth, a place and a width.
type Well = (f64, f64, f64);
const NARROW: Well = (4.0, -1.5, 0.1);
const WIDE: Well = (3.0, 1.0, 0.6);
/// Half the curvature of the bowl around both.
const BOWL: f64 = 0.02;

/// 0.02 x² less a Gaussian for each well.
fn loss(x: f64) -> f64 {
    let well = |(depth, place, width): Well| depth * (-((x - place) / width).powi(2) / 2.0).exp();
    BOWL * x * x - well(NARROW) - well(WIDE)
}

fn line() -> Line {
    Line::new(-12.0, 12.0, 0.004, loss)
}

/// Where the peak of the local entropy is sought, and the loss drawn.
const SEEN: [f64; 2] = [-3.0, 3.0];
/// Scopes, and where the peak of the local entropy is at each, of places 0.005 apart.
const PEAKS: [(f64, f64); 3] = [(0.1, 0.310), (1.0, 0.920), (10.0, 0.995)];
/// The scope at which both wells have the same local entropy.
const EVEN: f64 = 42.81;

pub(super) fn wide_valley(_: &Setting) -> Result<Findings> {
    let line = line();
    let peak = |gamma: f64| line.peak(SEEN[0], SEEN[1], gamma);
    let places: Vec<f64> = (0..=600).map(|index| SEEN[0] + 0.01 * f64::from(index)).collect();
    let values: Vec<f64> = places.iter().map(|&place| loss(place)).collect();
    let lowest = places[smallest(&values)];
    let mut findings = Findings::new();
    findings.check(Check::within("lowest place of f", lowest, -1.505, -1.495));
    for (gamma, place) in PEAKS {
        let what = format!("largest local entropy at γ = {gamma}");
        findings.check(Check::within(what, peak(gamma), place - 0.0025, place + 0.0025));
    }
    // Where the two wells change places, by halves.
    let (mut low, mut high) = (30.0, 50.0);
    findings.check(Check::above("largest local entropy at γ = 30", peak(low), 0.5)).check(Check::within(
        "largest local entropy at γ = 50",
        peak(high),
        -1.501,
        -1.499,
    ));
    while high - low > 1e-4 {
        let middle: f64 = 0.5 * (low + high);
        let entropy = |[low, high]: [f64; 2]| line.at(line.summit(low, high, middle), middle).entropy;
        if entropy([0.5, 1.5]) > entropy([-1.7, -1.3]) { low = middle } else { high = middle }
    }
    findings.check(Check::within("γ above which it is in the narrow well", low, EVEN - 0.005, EVEN + 0.005));
    let mut figure = Figure::lines("Local entropy of a narrow and a wide well", "x", "f, and −F less its least value")
        .dashed("f", &places, &values);
    for gamma in [1.0, 10.0, 30.0, 50.0] {
        let smoothed: Vec<f64> = places.iter().map(|&place| -line.at(place, gamma).entropy).collect();
        let lowest = least(smoothed.iter().copied());
        let above: Vec<f64> = smoothed.iter().map(|value| value - lowest).collect();
        figure = figure.series(format!("γ = {gamma}"), &places, &above);
    }
    findings.figure(figure);
    Ok(findings)
}

const CHAINS: usize = 4000;
const CHAIN_STEPS: usize = 6000;
/// Where and at which scope the gradient is sampled, and what it is by quadrature.
const SAMPLED: [(f64, f64, f64); 3] = [(0.3, 3.0, -1.1646), (-1.0, 10.0, 3.4100), (-1.3, 10.0, 1.6830)];

/// As [`loss`], of every chain, added up.
fn chains<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let places = cx.param("chains", [CHAINS], Initial::Constant(0.0));
    let well = |(depth, place, width): Well| (((places - place) / width).square() * -0.5).exp() * depth;
    let losses = places.square() * BOWL - well(NARROW) - well(WIDE);
    let samples = x.shape()[0];
    cx.add_loss(losses.sum_all() + cx.graph().splat(0.0, [samples], x.dtype()));
    // No labels are learned: the logits are constants.
    cx.graph().splat(0.0, [samples, 2], x.dtype())
}

/// Where the chains are after their steps, all from `x`.
fn sampled(x: f64, scope: f64, seed: u64) -> Result<Vec<f64>> {
    let network = Network::with(Box::new(chains), &[1], DType::F64, Loss::CrossEntropy, NormSettings::default())?;
    let mut start = network.initial_state(Initialization::He, seed);
    start.parameters =
        vec![Tensor::new([CHAINS], vec![x; CHAINS]).ok_or_else(|| Error::input("a place for each chain"))?];
    // One inner step more than is taken: the outer one never comes, and the chains stay where they are.
    let rule = EntropySgd {
        steps: CHAIN_STEPS + 1,
        inner_rate: 5e-4,
        scope,
        scoping: 0.0,
        noise: 1.0,
        momentum: 0.0,
        ..EntropySgd::default()
    };
    let mut trainer = Trainer::new(&network, rule, 1, start)?;
    trainer.set_noise(Noise { seed, step: 0 });
    let batch = Batch { inputs: Tensor::zeros([1, 1], DType::F64), labels: Tensor::zeros([1], DType::I32) };
    for _ in 0..CHAIN_STEPS {
        trainer.step(&batch, 1.0)?;
    }
    let names = trainer.optimizer_names();
    let place = names.iter().position(|name| name.starts_with(ITERATE));
    let found = place.and_then(|place| trainer.optimizer_state().get(place));
    found.map(Tensor::to_f64).ok_or_else(|| Error::input("Entropy-SGD keeps where its inner steps are"))
}

pub(super) fn sampler(setting: &Setting) -> Result<Findings> {
    let line = line();
    let jobs = pairs(&SAMPLED, &super::super::setup::seeds(setting));
    let all = setting.each(jobs, |((x, scope, _), seed)| sampled(x, scope, seed))?;
    let count = setting.seeds().count().max(1);
    let mut findings = Findings::new();
    let mut bars = [Vec::new(), Vec::new()];
    for ((x, scope, wanted), chains) in SAMPLED.iter().zip(all.chunks(count)) {
        let exact = line.at(*x, *scope).slope;
        let slopes: Vec<f64> = chains.iter().map(|places| scope * (x - mean(places))).collect();
        let errors: Vec<f64> = chains.iter().map(|places| scope * standard_error(places)).collect();
        let away: Vec<f64> = slopes.iter().zip(&errors).map(|(slope, error)| (slope - exact) / error).collect();
        findings
            .check(Check::within(
                format!("slope of −F at ({x}, {scope}) by quadrature"),
                exact,
                wanted - 5e-5,
                wanted + 5e-5,
            ))
            .check(Check::within("by sampling: standard errors from there", away, -3.0, 3.0))
            .note(format!(
                "At ({x}, {scope}): {exact:.4} by quadrature, {:.4} ± {:.4} by sampling.",
                mean(&slopes),
                mean(&errors)
            ));
        bars[0].push(exact);
        bars[1].push(mean(&slopes));
    }
    findings.figure(
        Figure::bars("Gradient of the local entropy", &["(0.3, 3)", "(−1, 10)", "(−1.3, 10)"], "slope of −F")
            .caption("At (x, γ).")
            .heights("quadrature", &bars[0])
            .heights("inner steps of Entropy-SGD", &bars[1]),
    );
    Ok(findings)
}

/// How the scope goes over the steps.
#[derive(Clone, Copy)]
enum Scope {
    Fixed(f64),
    /// A start, a factor a step and a cap.
    Growing(f64, f64, f64),
}

impl Scope {
    fn at(self, step: i32) -> f64 {
        match self {
            Scope::Fixed(gamma) => gamma,
            Scope::Growing(start, factor, cap) => (start * factor.powi(step)).min(cap),
        }
    }
}

const SCOPES: [(Scope, &str); 3] =
    [(Scope::Growing(0.1, 1.02, 300.0), "0.1 · 1.02ᵗ"), (Scope::Fixed(0.1), "0.1"), (Scope::Fixed(60.0), "60")];
const STARTS: [f64; 3] = [-2.2, -1.5, 2.5];
const STEPS: i32 = 400;

pub(super) fn scoping(setting: &Setting) -> Result<Findings> {
    let line = line();
    let paths = setting.each(pairs(&[0, 1, 2], &STARTS), |(scope, start)| {
        let scope: Scope = SCOPES[scope].0;
        let mut path = vec![start];
        let mut x = start;
        for step in 0..STEPS {
            x = line.at(x, scope.at(step)).mean;
            path.push(x);
        }
        Ok(path)
    })?;
    let ends: Vec<f64> = paths.iter().map(|path| path.last().copied().unwrap_or(f64::NAN)).collect();
    let wide = line.peak(0.0, 2.0, 300.0);
    let mut findings = Findings::new();
    findings
        .check(Check::within("scoping: where it ends, from −2.2, −1.5 and 2.5", &ends[..3], 0.985, 1.005))
        .check(Check::within("γ = 0.1: where it ends", &ends[3..6], 0.302, 0.322))
        .check(Check::above("γ = 0.1: f there", ends[3..6].iter().map(|&x| loss(x)).collect::<Vec<_>>(), -1.7))
        .check(Check::within("γ = 60: where it ends, from −2.2 and −1.5", &ends[6..8], -1.51, -1.49))
        .note(format!(
            "f is {:.3} at its wide minimum, {wide:.4}, {:.3} where γ = 0.1 ends, {:.3} in the narrow well.",
            loss(wide),
            loss(ends[3]),
            loss(ends[6])
        ))
        .note("x moves to the exact mean ⟨x′⟩ in each step. Networks trained at a temperature near 0 have no bias that scoping could remove.");
    let steps: Vec<f64> = (0..=STEPS).map(f64::from).collect();
    let mut figure = Figure::lines("Where steps to the local mean lead", "step", "x");
    for ((_, name), paths) in SCOPES.iter().zip(paths.chunks(STARTS.len())) {
        for (start, path) in STARTS.iter().zip(paths) {
            figure = figure.series(format!("γ = {name}, from {start}"), &steps, path);
        }
    }
    findings.figure(figure);
    Ok(findings)
}
