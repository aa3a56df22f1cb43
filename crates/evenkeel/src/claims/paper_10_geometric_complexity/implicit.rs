//! What gradient descent does to geometric complexity by itself.

use super::recipe::{Digits, Training, by_setting, means, network};
use crate::Result;
use crate::claims::setup::by_seed;
use crate::claims::{Check, Figure, Findings, Setting};

/// Steps at most; an end that is not reached leaves a claim open.
const STEPS: u64 = 40_000;

pub(super) fn batch_size(setting: &Setting) -> Result<Findings> {
    let sizes = [8.0, 32.0, 128.0, 1000.0];
    let complexities =
        at_loss(setting, &sizes, 0.05, |size, seed| Training { rate: 0.2, batch: size as usize, steps: STEPS, seed })?;
    let mean = means(&complexities);
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("batch 8 over batch 128", mean[0] / mean[2], 0.85))
        .note(format!("geometric complexity by batch {}", list(&sizes, &mean)))
        .figure(figure("batch", &sizes, &complexities));
    Ok(findings)
}

pub(super) fn learning_rate(setting: &Setting) -> Result<Findings> {
    let rates = [0.02, 0.05, 0.1, 0.2, 0.3];
    let complexities = at_loss(setting, &rates, 0.02, |rate, seed| Training { rate, batch: 8, steps: STEPS, seed })?;
    let mean = means(&complexities);
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("rate 0.2 over rate 0.02", mean[3] / mean[0], 0.85))
        .note(format!("geometric complexity by rate {}", list(&rates, &mean)))
        .figure(figure("learning rate", &rates, &complexities));
    Ok(findings)
}

/// Geometric complexity when the training loss is first seen below `level`: for each of `places` the numbers of its seeds.
fn at_loss(
    setting: &Setting,
    places: &[f64],
    level: f64,
    how: impl Fn(f64, u64) -> Training + Sync,
) -> Result<Vec<Vec<f64>>> {
    let jobs = setting.seeds().flat_map(|seed| places.iter().map(move |&place| (seed, place)));
    let found = setting.each(jobs, |(seed, place)| {
        let (network, digits) = (network(0.0, vec![])?, Digits::new(setting, seed)?);
        Ok(how(place, seed).until(setting, &network, &digits, &[level])?.0[0])
    })?;
    Ok(by_setting(&found, places.len(), |complexity| *complexity))
}

fn list(places: &[f64], mean: &[f64]) -> String {
    let parts: Vec<String> = places.iter().zip(mean).map(|(place, mean)| format!("{place}: {mean:.0}")).collect();
    parts.join(", ")
}

fn figure(what: &str, places: &[f64], complexities: &[Vec<f64>]) -> Figure {
    Figure::lines("Geometric complexity at the same training loss", what, "geometric complexity")
        .caption("Mean and standard deviation over seeds, on the training samples.")
        .log_x()
        .over_seeds("trained", places, &by_seed(complexities))
}
