//! What GradInit does before anything is trained.

use super::super::setup;
use super::super::statistics::{largest, least, mean, median};
use super::super::{Check, Figure, Findings, Setting};
use super::networks::{SCALES, deep, for_sgd, he};
use crate::Result;
use crate::config::NormKind;
use crate::init::{GradInit, GradInitStep};
use std::ops::ControlFlow;

const BATCHES: usize = 20;
const LAST: usize = 20;
/// From the seed of a search to that of the batches it is judged by.
const FRESH: u64 = 1 << 32;

struct Found {
    trace: Vec<GradInitStep>,
    before: f64,
    after: f64,
    smallest: f64,
    largest: f64,
}

pub(super) fn one_step(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let found = setting.each(setup::pairs(&SCALES, &seeds), |(scale, seed)| {
        let network = deep(NormKind::None)?;
        let start = he(&network, scale, seed);
        let how = for_sgd(seed);
        // Batches that the factors were not fitted to.
        let judge = GradInit { seed: seed.wrapping_add(FRESH), ..how };
        let before = judge.prospect(&network, &start, &samples.train, BATCHES)?.loss_ahead;
        let outcome = how.run(&network, start, &samples.train, &mut |_| ControlFlow::Continue(()))?;
        let after = judge.prospect(&network, &outcome.state, &samples.train, BATCHES)?.loss_ahead;
        let scales: Vec<f64> = outcome.scales.iter().filter(|scale| !scale.zero).map(|scale| scale.scale).collect();
        Ok(Found {
            trace: outcome.trace,
            before,
            after,
            smallest: least(scales.iter().copied()),
            largest: largest(scales),
        })
    })?;
    let by_scale: Vec<&[Found]> = found.chunks(seeds.len().max(1)).collect();
    let last = |one: &Found| -> Vec<f64> {
        one.trace[one.trace.len().saturating_sub(LAST)..].iter().map(|step| step.gradient_norm).collect()
    };
    let medians: Vec<f64> = found.iter().map(|one| median(&last(one))).collect();
    let within: Vec<f64> = found
        .iter()
        .map(|one| mean(&last(one).iter().map(|norm| f64::from(u8::from(*norm <= 1.0))).collect::<Vec<_>>()))
        .collect();
    let ratios = |scale: usize| -> Vec<f64> { by_scale[scale].iter().map(|one| one.after / one.before).collect() };
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("median ‖g‖ of the last 20 iterations, by scale and seed", medians, 1.0))
        .check(Check::at_least("share of them with ‖g‖ ≤ γ, by scale and seed", &within, 0.6))
        .check(
            Check::at_least(
                "the same, mean over seeds, by scale",
                within.chunks(seeds.len().max(1)).map(mean).collect::<Vec<_>>(),
                0.6,
            )
            .for_the_record(),
        )
        .check(Check::below("loss after a step, after / before, × 0.5", ratios(0), 1.0))
        .check(Check::below("loss after a step, after / before, × 2", ratios(2), 1.0 / 50.0))
        .check(Check::below("loss after a step, after / before, × 1", ratios(1), 1.0).for_the_record());
    for (scale, found) in SCALES.iter().zip(&by_scale) {
        let of = |number: fn(&Found) -> f64| mean(&found.iter().map(number).collect::<Vec<_>>());
        findings.note(format!(
            "He × {scale}: loss after a step {:.3} → {:.3}; factors from {:.2} to {:.2} (means over seeds).",
            of(|one| one.before),
            of(|one| one.after),
            of(|one| one.smallest),
            of(|one| one.largest)
        ));
    }
    let mut figure = Figure::lines("The gradient on its way to the bound", "iteration", "‖g‖")
        .caption("First seed; the bound is γ = 1.")
        .log_y();
    for (scale, found) in SCALES.iter().zip(&by_scale) {
        if let Some(one) = found.first() {
            let x: Vec<f64> = one.trace.iter().map(|step| step.iteration as f64).collect();
            let y: Vec<f64> = one.trace.iter().map(|step| step.gradient_norm).collect();
            figure = figure.series(format!("He × {scale}"), &x, &y);
        }
    }
    findings.figure(figure.mark("γ", 1.0));
    Ok(findings)
}
