//! How much smoother local entropy is than the function it is taken of.

use super::super::statistics::{largest, mean, mean_list};
use super::super::{Check, Figure, Findings, Setting};
use super::quadrature::Line;
use crate::Result;
use evenkeel_graph::random::Key;
use std::f64::consts::TAU;

/// Second derivatives of a quadratic function along its axes.
const QUADRATIC: [f64; 4] = [0.5, 1.0, 4.0, 20.0];
const QUADRATIC_SCOPES: [f64; 3] = [10.0, 1.0, 0.1];

/// From the narrowest to the widest.
const SCOPES: [f64; 7] = [1000.0, 300.0, 100.0, 30.0, 10.0, 5.0, 3.0];
const WAVES: usize = 6;
/// Where slopes are looked at.
const REACH: f64 = 4.0;

/// Amplitudes, frequencies and phases of cosines.
type Waves = [[f64; 3]; WAVES];

fn waves(seed: u64) -> Waves {
    let mut random = Key::new(seed, "claims/waves", 0).random();
    let mut between = |low: f64, high: f64| low + (high - low) * random.uniform_f64();
    std::array::from_fn(|_| [between(0.2, 0.6), between(2.0, 8.0), between(0.0, TAU)])
}

/// The largest |slope| and |curvature| of the cosines, then of their local entropy at each scope over the former.
struct Ratios {
    slope: Vec<f64>,
    curvature: Vec<f64>,
}

/// One of the two lists.
type Part = fn(&Ratios) -> &Vec<f64>;

fn ratios(waves: &Waves) -> Ratios {
    let sum = |of: &dyn Fn(f64, f64, f64) -> f64| waves.iter().map(|&[a, w, phase]| of(a, w, phase)).sum::<f64>();
    let line = Line::new(-10.0, 10.0, 0.005, |x| sum(&|a, w, phase| a * (w * x + phase).cos()));
    let places: Vec<f64> = (-400..=400).map(|index| REACH * f64::from(index) / 400.0).collect();
    let steepest = |of: &dyn Fn(f64) -> f64| largest(places.iter().map(|&x| of(x).abs()));
    let slope = steepest(&|x| sum(&|a, w, phase| -a * w * (w * x + phase).sin()));
    let curvature = steepest(&|x| sum(&|a, w, phase| -a * w * w * (w * x + phase).cos()));
    let local = SCOPES.map(|gamma| {
        let found: Vec<_> = places.iter().map(|&x| line.at(x, gamma)).collect();
        let of = |part: fn(&super::quadrature::Local) -> f64| largest(found.iter().map(|local| part(local).abs()));
        (of(|local| local.slope) / slope, of(|local| local.curvature) / curvature)
    });
    Ratios { slope: local.map(|pair| pair.0).into(), curvature: local.map(|pair| pair.1).into() }
}

pub(super) fn smoother(setting: &Setting) -> Result<Findings> {
    let mut findings = Findings::new();
    let (steepest, least) = (20.0, 0.5);
    let mut off = Vec::new();
    for gamma in QUADRATIC_SCOPES {
        let smoothed = QUADRATIC.map(|h| {
            let local = Line::new(-40.0, 40.0, 0.005, |x| 0.5 * h * x * x).at(1.0, gamma);
            off.push((local.curvature / (gamma * h / (gamma + h)) - 1.0).abs());
            local.curvature
        });
        findings.check(Check::at_most(
            format!("quadratic, γ = {gamma}: largest curvature / before, over its bound"),
            largest(smoothed) / steepest * (1.0 + least / gamma),
            1.0,
        ));
    }
    findings.check(Check::at_most(
        "quadratic: curvature against γ h / (γ + h), largest relative error",
        largest(off),
        1e-9,
    ));

    let all = setting.each(setting.seeds(), |seed| Ok(ratios(&waves(seed))))?;
    let at = |of: Part, gamma: f64| -> Vec<f64> {
        let place = SCOPES.iter().position(|&one| one == gamma).unwrap_or(0);
        all.iter().map(|ratios| of(ratios)[place]).collect()
    };
    let (slope, curvature): (Part, Part) = (|all| &all.slope, |all| &all.curvature);
    let falls: Vec<bool> = all.iter().map(|one| one.slope.is_sorted_by(|a, b| a > b)).collect();
    findings
        .check(Check::count("cosines: seeds whose steepest slope falls with γ all the way", &falls, falls.len()))
        .check(Check::within("cosines, γ = 1000: steepest slope / before, mean", mean(&at(slope, 1000.0)), 0.98, 0.99))
        .check(Check::at_most("cosines, γ = 10: steepest slope / before, by seed", at(slope, 10.0), 0.7))
        .check(Check::at_most("cosines, γ = 3: the same", at(slope, 3.0), 0.3))
        .check(Check::at_most("cosines, γ = 10: largest curvature / before", at(curvature, 10.0), 0.6))
        .check(Check::at_most("cosines, γ = 3: the same", at(curvature, 3.0), 0.2))
        .note(
            "At scopes of 30 to 100 the curvature is larger than before: the second derivative comes near −γ there, which the bound of the \
             paper excludes.",
        );
    let curves = |of: Part| all.iter().map(|one| of(one).clone()).collect::<Vec<_>>();
    let middle = mean_list(curves(curvature).iter().map(Vec::as_slice));
    findings.note(format!(
        "Largest curvature / before, mean over seeds: {}.",
        SCOPES
            .iter()
            .zip(middle)
            .map(|(gamma, ratio)| format!("{ratio:.3} at γ = {gamma}"))
            .collect::<Vec<_>>()
            .join(", ")
    ));
    findings.figure(
        Figure::lines("Six cosines and their local entropy", "γ", "ratio to f")
            .caption("Mean and deviation over seeds.")
            .log_x()
            .over_seeds("steepest slope", &SCOPES, &curves(slope))
            .over_seeds("largest curvature", &SCOPES, &curves(curvature))
            .mark("as f", 1.0),
    );
    Ok(findings)
}
