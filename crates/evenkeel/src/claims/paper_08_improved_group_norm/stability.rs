//! How much a training depends on its rate: losses and accuracies of runs that differ in it alone.

use super::super::setup::{Samples, pairs};
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use super::network::{BATCH, IMPROVED, Net, Norm, Plan, STEPS, accuracy, images, start, train};
use super::stress::list;
use crate::config::NormMode;
use crate::data::Batches;
use crate::landscape::{Band, GradientLine, GradientSteps, steps_around};
use crate::train::Trainer;
use crate::{Network, Result};

/// The rates, k × 5e-4.
pub(super) const RATES: [f64; 5] = [5e-4, 1e-3, 1.5e-3, 2e-3, 2.5e-3];
/// The steps whose mean loss is the final one.
const LAST: usize = 30;
/// The steps of the last third.
const LAST_THIRD: std::ops::Range<usize> = 2 * STEPS as usize / 3..STEPS as usize;
const ALL: std::ops::Range<usize> = 0..STEPS as usize;

/// The runs of one network and seed, one a rate.
struct Runs {
    losses: Vec<Vec<f64>>,
    /// Percent of the test samples.
    accuracies: Vec<f64>,
}

impl Runs {
    /// Largest − smallest final loss.
    fn final_spread(&self) -> f64 {
        spread(self.losses.iter().map(|losses| mean(&losses[losses.len().saturating_sub(LAST)..])))
    }

    fn accuracy_spread(&self) -> f64 {
        spread(self.accuracies.iter().copied())
    }

    fn mean_accuracy(&self) -> f64 {
        mean(&self.accuracies)
    }

    fn width(&self, steps: std::ops::Range<usize>) -> f64 {
        Band::of(&self.losses).mean_width(steps)
    }
}

/// Largest − smallest.
pub(super) fn spread(numbers: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    high - low
}

/// All runs with these norms: by norm, then seed.
fn all_runs(setting: &Setting, samples: &Samples, norms: &[Norm]) -> Result<Vec<Vec<Runs>>> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let jobs = pairs(&pairs(norms, &seeds), &RATES);
    let found = setting.each(jobs, |((norm, seed), rate)| {
        let network = Net::eight(norm).network(samples)?;
        let trained = train(&network, samples, Plan::usual(rate, seed))?;
        let right = accuracy(&network, samples, &trained.state, norm.tested())?;
        Ok((trained.losses, right))
    })?;
    let mut runs = found.into_iter();
    let mut of_seed = || {
        let (losses, accuracies) = runs.by_ref().take(RATES.len()).unzip();
        Runs { losses, accuracies }
    };
    Ok(norms.iter().map(|_| seeds.iter().map(|_| of_seed()).collect()).collect())
}

/// A number of two networks' runs, seed after seed, combined.
fn each_seed(a: &[Runs], b: &[Runs], number: impl Fn(&Runs) -> f64, combine: fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| combine(number(a), number(b))).collect()
}

fn over(a: f64, b: f64) -> f64 {
    a / b
}

fn minus(a: f64, b: f64) -> f64 {
    a - b
}

pub(super) fn group_against_batch(setting: &Setting) -> Result<Findings> {
    let samples = images(setting, 3000)?;
    let norms = [Norm::Group, Norm::Batch];
    let runs = all_runs(setting, &samples, &norms)?;
    let [group, batch] = [&runs[0], &runs[1]];
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_least(
                "spread of the final loss, group / batch, each seed",
                each_seed(group, batch, Runs::final_spread, over),
                2.0,
            )
            .unit("×"),
        )
        .check(
            Check::at_least(
                "band in the last third, group / batch, each seed",
                each_seed(group, batch, |runs| runs.width(LAST_THIRD), over),
                1.25,
            )
            .unit("×"),
        )
        .check(
            Check::at_least(
                "spread of test accuracy, group / batch, each seed",
                each_seed(group, batch, Runs::accuracy_spread, over),
                1.6,
            )
            .unit("×"),
        )
        .check(
            Check::at_least(
                "mean test accuracy, batch − group, each seed",
                each_seed(batch, group, Runs::mean_accuracy, minus),
                6.0,
            )
            .unit(" points"),
        )
        .check(
            Check::at_least(
                "band over all steps, group / batch, each seed",
                each_seed(group, batch, |runs| runs.width(ALL), over),
                1.25,
            )
            .unit("×")
            .for_the_record(),
        );
    tell(&mut findings, &norms, &runs);
    Ok(findings)
}

pub(super) fn improved_against_group(setting: &Setting) -> Result<Findings> {
    let samples = images(setting, 3000)?;
    let norms = [Norm::Group, IMPROVED];
    let runs = all_runs(setting, &samples, &norms)?;
    let [group, improved] = [&runs[0], &runs[1]];
    let of_means = |number: fn(&Runs) -> f64| {
        let mean_of = |runs: &[Runs]| mean(&runs.iter().map(number).collect::<Vec<_>>());
        mean_of(improved) / mean_of(group)
    };
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_most(
                "spread of the final loss, improved / group, each seed",
                each_seed(improved, group, Runs::final_spread, over),
                0.8,
            )
            .unit("×"),
        )
        .check(Check::at_most("the same of the means over seeds", of_means(Runs::final_spread), 0.65).unit("×"))
        .check(
            Check::at_most(
                "band in the last third, improved / group, each seed",
                each_seed(improved, group, |runs| runs.width(LAST_THIRD), over),
                0.9,
            )
            .unit("×"),
        )
        .check(
            Check::at_most(
                "spread of test accuracy, improved / group, each seed",
                each_seed(improved, group, Runs::accuracy_spread, over),
                0.7,
            )
            .unit("×"),
        )
        .check(
            Check::at_least(
                "mean test accuracy, improved − group, each seed",
                each_seed(improved, group, Runs::mean_accuracy, minus),
                6.0,
            )
            .unit(" points"),
        );
    let jumps = gradient_jumps(setting, &samples, &norms)?;
    let ratios = jumps[1].iter().zip(&jumps[0]).map(|(improved, group)| improved / group).collect::<Vec<_>>();
    findings.check(
        Check::at_most(
            "largest jump of the last weight's gradient, first half, improved / group, each seed",
            ratios,
            1.0,
        )
        .unit("×")
        .for_the_record(),
    );
    findings.note(
        "where group norm hardly learns its gradients hardly move: such jumps compare networks at equal loss only",
    );
    tell(&mut findings, &norms, &runs);
    Ok(findings)
}

/// Shows bands, and says what they come from.
fn tell(findings: &mut Findings, norms: &[Norm], runs: &[Vec<Runs>]) {
    let mut figure = Figure::lines("Range of the training loss over five rates", "step", "training loss")
        .caption("Means over 10 steps, the first seed.");
    for (norm, runs) in norms.iter().zip(runs) {
        let of = |number: &dyn Fn(&Runs) -> f64| list(&runs.iter().map(number).collect::<Vec<_>>(), 3);
        findings.note(format!(
            "{}: final spread {}, band in the last third {}, over all steps {}, spread of accuracy {}, mean accuracy {}",
            norm.name(),
            of(&Runs::final_spread),
            of(&|runs| runs.width(LAST_THIRD)),
            of(&|runs| runs.width(ALL)),
            of(&Runs::accuracy_spread),
            of(&Runs::mean_accuracy),
        ));
        let Some(first) = runs.first() else { continue };
        let band = Band::of(&first.losses);
        let tens = |line: &[f64]| line.chunks(10).map(mean).collect::<Vec<f64>>();
        let at: Vec<f64> = (0..tens(&band.low).len()).map(|ten| (10 * ten) as f64).collect();
        figure = figure.series(format!("{}, lowest", norm.name()), &at, &tens(&band.low));
        figure = figure.series(format!("{}, highest", norm.name()), &at, &tens(&band.high));
    }
    findings.figure(figure);
}

/// For each norm and seed: the largest jump over the rates of the gradient of the last weight, its mean over the first half of the steps.
fn gradient_jumps(setting: &Setting, samples: &Samples, norms: &[Norm]) -> Result<Vec<Vec<f64>>> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let jobs = pairs(&pairs(norms, &seeds), &RATES);
    let jumps = setting.each(jobs, |((norm, seed), rate)| {
        let network = Net::eight(norm).network(samples)?;
        let mut steps = GradientSteps::new(&network, BATCH, NormMode::Batch, |info| info.path == "head.weight")?;
        let mut jumps = Vec::new();
        walk(&network, samples, Plan { steps: STEPS / 2, ..Plan::usual(rate, seed) }, |_, batch, trainer| {
            jumps.extend(steps.next(batch, trainer.parameters(), trainer.buffers())?);
            Ok(())
        })?;
        Ok(jumps)
    })?;
    let of_seed: Vec<f64> = jumps.chunks(RATES.len()).map(|rates| mean(&Band::of(rates).high)).collect();
    Ok(of_seed.chunks(seeds.len().max(1)).map(<[f64]>::to_vec).collect())
}

/// A training that is looked at before each step, with the batch of the step.
fn walk(
    network: &Network,
    samples: &Samples,
    plan: Plan,
    mut look: impl FnMut(u64, &crate::Batch, &Trainer<'_>) -> Result<()>,
) -> Result<()> {
    let mut trainer = Trainer::new(network, plan.rule(), plan.batch, start(network, plan.seed))?;
    let mut batches = Batches::new(plan.seed, samples.train.len(), plan.batch);
    for step in 0..plan.steps {
        let batch = samples.train.take(batches.indices(step))?;
        look(step, &batch, &trainer)?;
        trainer.step(&batch, plan.rate)?;
    }
    Ok(())
}

pub(super) fn periods(setting: &Setting) -> Result<Findings> {
    /// What counts as a help.
    const HELPS: f64 = 0.05;
    let samples = images(setting, 3000)?;
    let norms = [Norm::None, Norm::Batch, IMPROVED, Norm::Group];
    let runs = all_runs(setting, &samples, &norms)?;
    // The mean over a part of the steps of the loss without − with the norm, rate after rate.
    let helps = |with: &Runs, without: &Runs, parts: usize| -> Vec<Vec<f64>> {
        let size = STEPS as usize / parts;
        with.losses
            .iter()
            .zip(&without.losses)
            .map(|(with, without)| {
                let means = |losses: &[f64]| losses.chunks(size).map(mean).collect::<Vec<f64>>();
                means(with).iter().zip(means(without)).map(|(with, without)| without - with).collect()
            })
            .collect()
    };
    let cells = |norm: usize| -> Vec<f64> {
        let of_seed = |(with, without): (&Runs, &Runs)| {
            helps(with, without, 3).concat().iter().filter(|help| **help > HELPS).count() as f64
        };
        runs[norm].iter().zip(&runs[0]).map(of_seed).collect()
    };
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("batch norm helps in, of 15, each seed", cells(1), 14.0))
        .check(Check::at_least("improved group norm helps in, of 15, each seed", cells(2), 14.0))
        .check(Check::within("group norm helps in, of 15, each seed", cells(3), 1.0, 10.0));
    let mut figure =
        Figure::lines("What a norm takes off the training loss", "sixth of the training", "loss without − with")
            .caption("Means over the rates; mean and deviation over seeds.");
    let at = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    for (index, norm) in norms.iter().enumerate().skip(1) {
        let of_seed = |(with, without): (&Runs, &Runs)| -> Vec<f64> {
            let by_rate = helps(with, without, 6);
            (0..6).map(|part| mean(&by_rate.iter().map(|rate| rate[part]).collect::<Vec<_>>())).collect()
        };
        let by_seed: Vec<Vec<f64>> = runs[index].iter().zip(&runs[0]).map(of_seed).collect();
        figure = figure.over_seeds(norm.name(), &at, &by_seed);
    }
    findings.figure(figure.mark("no help", 0.0));

    let [none, batch, group] = smoothness(setting, &samples)?;
    let ratios = |with: &[f64]| -> Vec<f64> { with.iter().zip(&none).map(|(with, none)| with / none).collect() };
    let (batch, group) = (ratios(&batch), ratios(&group));
    let later: Vec<f64> = batch.iter().zip(&group).map(|(batch, group)| batch / group).collect();
    findings
        .check(Check::below("effective smoothness, batch / none, by thirds", &batch, 1.0).for_the_record())
        .check(Check::below("effective smoothness, batch / group, by thirds", &later, 1.0).for_the_record())
        .note(format!(
            "effective smoothness over that without a norm, by thirds: batch {}, group {}",
            list(&batch, 2),
            list(&group, 2)
        ));
    Ok(findings)
}

/// Mean effective smoothness along the gradient by thirds of a training at the middle rate: without a norm, with batch and group norm.
fn smoothness(setting: &Setting, samples: &Samples) -> Result<[Vec<f64>; 3]> {
    /// Steps between two looks.
    const EVERY: u64 = 12;
    let seeds: Vec<u64> = setting.seeds().collect();
    let norms = [Norm::None, Norm::Batch, Norm::Group];
    let rate = RATES[2];
    let found = setting.each(pairs(&norms, &seeds), |(norm, seed)| {
        let network = Net::eight(norm).network(samples)?;
        let mut line = GradientLine::new(&network, BATCH, NormMode::Batch)?;
        let mut seen = Vec::new();
        walk(&network, samples, Plan::usual(rate, seed), |step, batch, trainer| {
            if step % EVERY == 0 {
                seen.push(line.look(batch, &trainer.state(), &steps_around(rate))?.smoothness());
            }
            Ok(())
        })?;
        Ok(seen.chunks(seen.len().div_ceil(3)).map(mean).collect::<Vec<f64>>())
    })?;
    let of_norm = |index: usize| -> Vec<f64> {
        let seeds = &found[index * seeds.len()..(index + 1) * seeds.len()];
        (0..3).map(|third| mean(&seeds.iter().map(|seed| seed[third]).collect::<Vec<_>>())).collect()
    };
    Ok([of_norm(0), of_norm(1), of_norm(2)])
}
