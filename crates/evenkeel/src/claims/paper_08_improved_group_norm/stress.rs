//! Noise and regularization that a training has to bear.

use super::super::setup::{self, Samples, pairs};
use super::super::statistics::{deviation, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::network::{GROUPS, IMPROVED, Net, Norm, Plan, accuracy, images, train};
use super::stability::spread;
use crate::config::{Initialization, NormMode};
use crate::landscape::Band;
use crate::network::Noise;
use crate::nn::GroupNoise;
use crate::{Batch, Network, Probe, Result};
use evenkeel_graph::{DType, Tensor};

const NORMS: [Norm; 3] = [Norm::Group, IMPROVED, Norm::Batch];

pub(super) fn noise(setting: &Setting) -> Result<Findings> {
    const SMALL: GroupNoise = GroupNoise { mean: 0.001, deviation: 1.001, groups: GROUPS };
    const RATE: f64 = 1e-3;
    let samples = images(setting, 3000)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let jobs = pairs(&pairs(&NORMS, &[Some(SMALL), None]), &seeds);
    let found = setting.each(jobs, |((norm, noise), seed)| {
        let network = Net { noise, ..Net::eight(norm) }.network(&samples)?;
        let trained = train(&network, &samples, Plan { steps: 690, ..Plan::usual(RATE, seed) })?;
        let right = accuracy(&network, &samples, &trained.state, norm.tested())?;
        Ok((trained.losses, right))
    })?;
    // By norm; noisy, then clean; by seed.
    let at = |norm: usize, clean: usize| &found[(2 * norm + clean) * seeds.len()..][..seeds.len()];
    let losses = |norm| -> Vec<f64> {
        at(norm, 0).iter().map(|(losses, _)| mean(&losses[losses.len().saturating_sub(20)..])).collect()
    };
    let right = |norm, clean| -> Vec<f64> { at(norm, clean).iter().map(|(_, right)| *right).collect() };
    let [group, improved, batch] = [losses(0), losses(1), losses(2)];
    let gains: Vec<f64> = group.iter().zip(&improved).map(|(group, improved)| group - improved).collect();
    let drops = [0, 1, 2].map(|norm| mean(&right(norm, 1)) - mean(&right(norm, 0)));
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("training loss, group − improved, mean", mean(&gains), 0.14))
        .check(Check::at_least("training loss, group − improved, each seed", &gains, 0.08))
        .check(Check::at_most("training loss, |improved − batch|", (mean(&improved) - mean(&batch)).abs(), 0.1))
        .check(
            Check::at_least("test accuracy, improved − group, mean", mean(&right(1, 0)) - mean(&right(0, 0)), 5.0)
                .unit(" points"),
        )
        .check(
            Check::above("what noise costs in accuracy, group − batch", drops[0] - drops[2], 0.0)
                .unit(" points")
                .for_the_record(),
        );
    examine_noise(&mut findings, setting.seed)?;
    for (norm, kind) in NORMS.iter().enumerate() {
        findings.note(format!(
            "{}: training loss {}, test accuracy {} with noise, {} without",
            kind.name(),
            list(&losses(norm), 3),
            list(&right(norm, 0), 1),
            list(&right(norm, 1), 1)
        ));
    }
    let mut figure = Figure::lines("Training with noise behind every norm", "step", "training loss")
        .caption("Means over 15 steps; mean and deviation over seeds.");
    let steps: Vec<f64> = (0..46).map(|index| f64::from(15 * index)).collect();
    for (norm, kind) in NORMS.iter().enumerate() {
        let seeds: Vec<Vec<f64>> =
            at(norm, 0).iter().map(|(losses, _)| losses.chunks(15).map(mean).collect()).collect();
        figure = figure.over_seeds(kind.name(), &steps, &seeds);
    }
    findings.figure(figure.mark("ln 10: chance", 10.0_f64.ln()));
    Ok(findings)
}

/// Looks at the noise itself: more than 100,000 numbers of it.
fn examine_noise(findings: &mut Findings, seed: u64) -> Result<()> {
    const BIG: GroupNoise = GroupNoise { mean: 0.5, deviation: 1.25, groups: GROUPS };
    const SAMPLES: usize = 1024;
    const SHAPE: [usize; 3] = [2, 2, 8];
    let model = setup::model(|cx, x| cx.head("head", cx.tap("noisy", cx.group_noise("noise", x, BIG)), 2));
    let network = Network::new(model, &SHAPE)?;
    let inputs = Tensor::zeros([&[SAMPLES], &SHAPE[..]].concat(), DType::F32);
    let batch = Batch { inputs, labels: Tensor::zeros([SAMPLES], DType::I32) };
    let state = network.initial_state(Initialization::He, seed);
    let mut probe = Probe::with_noise(&network, SAMPLES, NormMode::Batch, |trace| {
        Ok(trace.cx.taps().into_iter().map(|tap| (tap.path, tap.value)).collect())
    })?;
    let channels = SHAPE[2] / GROUPS;
    let (mut numbers, mut shared) = (Vec::new(), true);
    for step in 0..25 {
        probe.set_noise(Noise { seed, step });
        let values = probe.at(&batch, &state)?[0].to_f64();
        for sample in values.chunks(SHAPE.iter().product()) {
            let of_groups: Vec<f64> = sample.iter().step_by(channels).take(GROUPS).copied().collect();
            let mut places = sample.chunks(channels).zip(of_groups.iter().cycle());
            shared &= places.all(|(group, number)| group.iter().all(|value| value == number));
            numbers.extend(of_groups);
        }
    }
    let quiet = Probe::taps(&network, SAMPLES, NormMode::Running)?.at(&batch, &state)?[0].to_f64();
    let (middle, size) = (mean(&numbers), deviation(&numbers));
    let count = numbers.len();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    findings
        .check(Check::holds("the noise is one number a group, at all positions", shared))
        .check(Check::at_least("share of its numbers that are different", numbers.len() as f64 / count as f64, 0.99))
        .check(Check::within(
            "its mean and deviation over those wanted",
            [middle / BIG.mean, size / BIG.deviation],
            0.98,
            1.02,
        ))
        .check(Check::holds("there is none in an evaluation", quiet.iter().all(|value| *value == 0.0)));
    Ok(())
}

pub(super) fn regularization(setting: &Setting) -> Result<Findings> {
    const RATES: [f64; 3] = [5e-4, 1.5e-3, 2.5e-3];
    let samples = images(setting, 3000)?;
    let [regularized, plain] =
        [(0.3, 5e-5), (0.0, 0.0)].map(|(dropout, decay)| under(setting, &samples, &RATES, dropout, decay));
    let (regularized, plain) = (regularized?, plain?);
    let last = |losses: &[f64]| mean(&losses[losses.len().saturating_sub(60)..]);
    // By norm, then seed, then rate.
    let finals = |runs: &Runs, norm: usize| -> Vec<Vec<f64>> {
        runs[norm].iter().map(|seed| seed.iter().map(|losses| last(losses)).collect()).collect()
    };
    let highest = |norm| -> Vec<f64> { finals(&regularized, norm).iter().map(|rates| rates[2]).collect() };
    let spreads =
        |norm| -> Vec<f64> { finals(&regularized, norm).iter().map(|rates| spread(rates.iter().copied())).collect() };
    // How much wider the band over the rates is in the last third than without regularization, seed after seed.
    let widening = |norm: usize| -> Vec<f64> {
        let width = |seed: &Vec<Vec<f64>>| {
            let steps = seed.first().map_or(0, Vec::len);
            Band::of(seed).mean_width(2 * steps / 3..steps)
        };
        regularized[norm].iter().zip(&plain[norm]).map(|(with, without)| width(with) - width(without)).collect()
    };
    let more: Vec<f64> = widening(0).iter().zip(widening(1)).map(|(group, improved)| group - improved).collect();
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("training loss at 2.5e-3, group, each seed", highest(0), 2.25))
        .check(Check::at_most("training loss at 2.5e-3, improved, each seed", highest(1), 2.1))
        .check(
            Check::at_least(
                "mean spread over the rates, group / improved",
                mean(&spreads(0)) / mean(&spreads(1)),
                1.35,
            )
            .unit("×"),
        )
        .check(Check::above("widening of the loss band, group − improved, each seed", more, 0.0).for_the_record());
    for (norm, kind) in NORMS.iter().enumerate() {
        findings.note(format!(
            "{}: loss at 2.5e-3 {}, spread over the rates {}, widening of the band {}",
            kind.name(),
            list(&highest(norm), 3),
            list(&spreads(norm), 3),
            list(&widening(norm), 3)
        ));
    }
    let mut figure =
        Figure::lines("Training under dropout and L2", "learning rate", "training loss of the last 60 steps")
            .caption("Mean and deviation over seeds.");
    for (norm, kind) in NORMS.iter().enumerate() {
        figure = figure.over_seeds(kind.name(), &RATES, &finals(&regularized, norm));
    }
    findings.figure(figure.mark("ln 10: chance", 10.0_f64.ln()));
    Ok(findings)
}

/// Losses of each step: by norm, then seed, then rate.
type Runs = Vec<Vec<Vec<Vec<f64>>>>;

fn under(setting: &Setting, samples: &Samples, rates: &[f64], dropout: f64, decay: f64) -> Result<Runs> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let losses = setting.each(pairs(&pairs(&NORMS, &seeds), rates), |((norm, seed), rate)| {
        let network = Net { dropout, ..Net::eight(norm) }.network(samples)?;
        Ok(train(&network, samples, Plan { decay, ..Plan::usual(rate, seed) })?.losses)
    })?;
    let by_seed: Vec<Vec<Vec<f64>>> = losses.chunks(rates.len()).map(<[_]>::to_vec).collect();
    Ok(by_seed.chunks(seeds.len().max(1)).map(<[_]>::to_vec).collect())
}

pub(super) fn list(numbers: &[f64], digits: usize) -> String {
    numbers.iter().map(|number| format!("{number:.digits$}")).collect::<Vec<_>>().join(" / ")
}
