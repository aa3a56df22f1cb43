//! Fully connected networks on the digits: how fast they train, and how far that depends on the rate and on the start.

use super::super::setup::{self, Samples, Trained, by_seed, seeds, smallest, triples};
use super::super::statistics::{largest, least, mean, mean_list, median};
use super::super::{Check, Figure, Findings, Setting};
use super::{DEVIATION, digits_network, fitted, lengths, replaced, scaled};
use crate::config::{Initialization, NormKind, NormMode, WeightNorm};
use crate::optim::Sgd;
use crate::study::{self, Fit};
use crate::train::Trainer;
use crate::{Network, Probe, Result, State};
use std::ops::ControlFlow;

const NAMES: [&str; 2] = ["plain", "weight norm"];
const WEIGHTS: [WeightNorm; 2] = [WeightNorm::None, WeightNorm::Normalized];
const RATES: [f64; 5] = [0.01, 0.03, 0.1, 0.3, 1.0];
const WIDTHS: [usize; 4] = [64; 4];
const BATCH: usize = 100;
const STEPS: u64 = 400;
/// The share of plain's loss over the run that counts as a gain.
const GAIN: f64 = 0.85;

/// Small weights, fitted to the data where that is asked for.
fn start(network: &Network, samples: &Samples, seed: u64, fit: bool) -> Result<State> {
    let drawn = network.initial_state(Initialization::Normal(DEVIATION), seed);
    if fit { fitted(network, drawn, &samples.train) } else { Ok(drawn) }
}

/// One training.
struct One {
    /// The mean loss over the run, infinite where it diverged.
    run: f64,
    /// The loss over the training samples at the end, likewise.
    last: f64,
    losses: Vec<f64>,
}

/// Both networks at every rate.
struct Comparison {
    /// By network, rate, then seed: the mean loss over the run, infinite where it diverged.
    run: Vec<Vec<Vec<f64>>>,
    /// The same: the loss over the training samples at the end.
    last: Vec<Vec<Vec<f64>>>,
    /// By network, then seed: the losses at the network's best rate.
    losses: Vec<Vec<Vec<f64>>>,
    /// The best rate of each network by the mean over seeds of the loss over the run.
    best: [usize; 2],
}

fn compare(setting: &Setting, fit: bool) -> Result<Comparison> {
    let samples = setup::digits(setting)?;
    let trained = setting.each(triples(&WEIGHTS, &RATES, &seeds(setting)), |(weights, rate, seed)| {
        let network = digits_network(&WIDTHS, NormKind::None, weights)?;
        let start = start(&network, &samples, seed, fit)?;
        let how = Fit { batch: BATCH, steps: STEPS, seed, rate: &|_| rate };
        let trained = setup::train(&network, Sgd::PLAIN, start, &samples.train, &how)?;
        let last = study::evaluate(&network, &trained.state, &samples.train, NormMode::Running)?.loss;
        let last = if trained.finite { last } else { f64::INFINITY };
        Ok(One { run: over_run(&trained), last, losses: trained.losses })
    })?;
    let count = setting.seeds().count().max(1);
    let table = |of: fn(&One) -> f64| -> Vec<Vec<Vec<f64>>> {
        let all: Vec<f64> = trained.iter().map(of).collect();
        all.chunks(RATES.len() * count).map(|one| one.chunks(count).map(<[f64]>::to_vec).collect()).collect()
    };
    let (run, last) = (table(|one| one.run), table(|one| one.last));
    let best = [0, 1].map(|network| smallest(&run[network].iter().map(|seeds| mean(seeds)).collect::<Vec<_>>()));
    let losses = [0, 1].map(|network| {
        let first = (network * RATES.len() + best[network]) * count;
        trained[first..first + count].iter().map(|one| one.losses.clone()).collect()
    });
    Ok(Comparison { run, last, losses: losses.into(), best })
}

/// The mean loss over all steps; infinite for a training that diverged.
fn over_run(trained: &Trained) -> f64 {
    if trained.finite { mean(&trained.losses) } else { f64::INFINITY }
}

impl Comparison {
    /// The mean loss over the run of each seed at the network's best rate.
    fn at_best(&self, network: usize) -> &[f64] {
        &self.run[network][self.best[network]]
    }

    fn ratio(&self) -> f64 {
        mean(self.at_best(1)) / mean(self.at_best(0))
    }

    /// Where the best rates are.
    fn best_rates(&self) -> String {
        format!("Best rates: plain {}, weight norm {}.", RATES[self.best[0]], RATES[self.best[1]])
    }

    fn figure(&self, title: &str) -> Figure {
        let steps: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
        let mut figure = Figure::lines(title, "step", "training loss (nats)")
            .caption("Loss of each batch at the network's best rate, mean over seeds.")
            .log_y();
        for (name, seeds) in NAMES.iter().zip(&self.losses) {
            figure = figure.series(*name, &steps, &mean_list(seeds.iter().map(Vec::as_slice)));
        }
        figure
    }
}

pub(super) fn faster(setting: &Setting) -> Result<Findings> {
    let found = compare(setting, true)?;
    let pairs: Vec<bool> =
        found.at_best(1).iter().zip(found.at_best(0)).map(|(with, without)| with < without).collect();
    let at_least = (pairs.len() * 4).div_ceil(5);
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("mean loss over the run, weight norm / plain, best rates", found.ratio(), GAIN))
        .check(Check::count("seeds with the lower mean loss over the run", &pairs, at_least))
        .check(Check::at_most(
            "final training loss at rate 0.01, weight norm / plain",
            mean(&found.last[1][0]) / mean(&found.last[0][0]),
            0.1,
        ))
        .note(found.best_rates())
        .figure(found.figure("Training loss from a start that fits the data"));
    Ok(findings)
}

pub(super) fn no_gain_without_data(setting: &Setting) -> Result<Findings> {
    let found = compare(setting, false)?;
    let mut findings = Findings::new();
    findings
        .check(Check::above("mean loss over the run, weight norm / plain, best rates", found.ratio(), GAIN))
        .note(found.best_rates())
        .figure(found.figure("Training loss from weights N(0, 0.05²)"));
    Ok(findings)
}

const SCALES: [f64; 3] = [0.1, 1.0, 10.0];
const MANY_RATES: [f64; 8] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
/// Rounding of a length in f32 that is no fall.
const ROUNDING: f64 = 1e-6;

/// What is left of a length after a step, at the least, over all units and steps; and the final loss.
struct Course {
    kept: f64,
    last: f64,
}

pub(super) fn robust_to_the_rate(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let jobs = triples(&SCALES, &MANY_RATES, &seeds(setting));
    let courses = setting.each(jobs, |(scale, rate, seed)| course(&samples, scale, rate, seed))?;
    let apart = setting.each(seeds(setting), |seed| outputs_apart(&samples, seed))?;
    let count = setting.seeds().count().max(1);
    // By scale, then rate: the median over seeds.
    let last: Vec<Vec<f64>> = courses
        .chunks(MANY_RATES.len() * count)
        .map(|scale| {
            scale.chunks(count).map(|seeds| median(&seeds.iter().map(|one| one.last).collect::<Vec<_>>())).collect()
        })
        .collect();
    let usable = |losses: &Vec<f64>| {
        losses.iter().zip(MANY_RATES).filter(|(loss, _)| **loss < 1.0).map(|(_, rate)| rate).fold(f64::NAN, f64::max)
    };
    let usable: Vec<f64> = last.iter().map(usable).collect();
    let best: Vec<f64> = last.iter().map(|losses| MANY_RATES[smallest(losses)]).collect();
    // NaN, and the check open, where a scale has no usable rate.
    let spread = largest(usable.iter().copied()) / least(usable.iter().copied());
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("outputs at first: largest difference between the scales / largest output", &apart, 1e-4))
        .check(Check::at_least(
            "length of a unit's v after a step / before, the least of all",
            least(courses.iter().map(|one| one.kept)),
            1.0 - ROUNDING,
        ))
        .check(Check::at_most("largest usable rate, largest / smallest over the scales", spread, 30.0).unit(" ×"))
        .check(Check::increasing("best rate, by scale", &best))
        .note(format!(
            "Largest rates with a final loss below 1, by scale: {}. With lengths that stayed they would move by 10⁴.",
            usable.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
        ));
    let mut figure = Figure::lines("Final loss by rate", "learning rate", "training loss after 300 steps (nats)")
        .caption("Median over seeds; v scaled after the initialization, which leaves the function as it is.")
        .log_x()
        .log_y();
    for (scale, losses) in SCALES.iter().zip(&last) {
        let finite: Vec<(f64, f64)> =
            MANY_RATES.iter().copied().zip(losses.iter().copied()).filter(|(_, loss)| loss.is_finite()).collect();
        let (x, y): (Vec<f64>, Vec<f64>) = finite.into_iter().unzip();
        figure = figure.series(format!("v × {scale}"), &x, &y);
    }
    findings.figure(figure.mark("usable", 1.0));
    Ok(findings)
}

fn is_direction(path: &str) -> bool {
    path.ends_with("_v")
}

fn scaled_start(network: &Network, samples: &Samples, scale: f64, seed: u64) -> Result<State> {
    let state = start(network, samples, seed, true)?;
    Ok(replaced(network, state, is_direction, |_, tensor| scaled(tensor, scale)))
}

fn course(samples: &Samples, scale: f64, rate: f64, seed: u64) -> Result<Course> {
    let network = digits_network(&WIDTHS, NormKind::None, WeightNorm::Normalized)?;
    let start = scaled_start(&network, samples, scale, seed)?;
    let directions: Vec<usize> =
        (0..network.parameters().len()).filter(|&index| is_direction(&network.parameters()[index].path)).collect();
    let of = |parameters: &[evenkeel_graph::Tensor]| -> Vec<f64> {
        directions.iter().flat_map(|&index| lengths(&parameters[index])).collect()
    };
    let mut before = of(&start.parameters);
    let mut trainer = Trainer::new(&network, Sgd::PLAIN, BATCH, start)?;
    let how = Fit { batch: BATCH, steps: 300, seed, rate: &|_| rate };
    let (mut kept, mut finite) = (f64::INFINITY, true);
    study::fit(&mut trainer, &samples.train, &how, |_, result, trainer| {
        finite = result.is_finite();
        if !finite {
            return Ok(ControlFlow::Break(()));
        }
        let after = of(trainer.parameters());
        kept = after.iter().zip(&before).map(|(after, before)| after / before).fold(kept, f64::min);
        before = after;
        Ok(ControlFlow::Continue(()))
    })?;
    let last = study::evaluate(&network, &trainer.state(), &samples.train, NormMode::Running)?.loss;
    Ok(Course { kept, last: if finite && last.is_finite() { last } else { f64::INFINITY } })
}

fn outputs_apart(samples: &Samples, seed: u64) -> Result<f64> {
    let network = digits_network(&WIDTHS, NormKind::None, WeightNorm::Normalized)?;
    let batch = samples.test.first(BATCH);
    let mut probe =
        Probe::new(&network, batch.len(), NormMode::Running, |trace| Ok(vec![("logits".to_owned(), trace.logits)]))?;
    let outputs = SCALES
        .iter()
        .map(|&scale| Ok(probe.at(&batch, &scaled_start(&network, samples, scale, seed)?)?[0].to_f64()))
        .collect::<Result<Vec<Vec<f64>>>>()?;
    let size = largest(outputs[1].iter().map(|value| value.abs()));
    let difference = |other: &Vec<f64>| largest(other.iter().zip(&outputs[1]).map(|(a, b)| (a - b).abs()));
    Ok(largest(outputs.iter().map(difference)) / size)
}

/// Steps that are waited for.
const BUDGET: u64 = 600;

/// A network of 14.4: its name, norm, weights, start, and the rates it is tried at.
struct Contender {
    name: &'static str,
    norm: NormKind,
    weights: WeightNorm,
    fit: bool,
    rates: &'static [f64],
}

const CONTENDERS: [Contender; 4] = [
    Contender {
        name: "plain",
        norm: NormKind::None,
        weights: WeightNorm::None,
        fit: false,
        rates: &[0.03, 0.1, 0.2, 0.3, 0.5],
    },
    Contender {
        name: "plain, fitted to data",
        norm: NormKind::None,
        weights: WeightNorm::None,
        fit: true,
        rates: &[0.03, 0.1, 0.2, 0.3, 0.5],
    },
    Contender {
        name: "weight norm, fitted to data",
        norm: NormKind::None,
        weights: WeightNorm::Normalized,
        fit: true,
        rates: &[0.003, 0.01, 0.03, 0.1],
    },
    Contender {
        name: "batch norm",
        norm: NormKind::Batch,
        weights: WeightNorm::None,
        fit: false,
        rates: &[0.1, 0.2, 0.3, 0.5, 1.0],
    },
];

pub(super) fn as_batch_norm(setting: &Setting) -> Result<Findings> {
    let samples = setup::digits(setting)?;
    let jobs: Vec<(usize, f64, u64)> =
        (0..CONTENDERS.len()).flat_map(|which| triples(&[which], CONTENDERS[which].rates, &seeds(setting))).collect();
    let steps = setting.each(jobs.clone(), |(which, rate, seed)| {
        let contender = &CONTENDERS[which];
        let network = digits_network(&[64; 8], contender.norm, contender.weights)?;
        let start = if contender.fit {
            start(&network, &samples, seed, true)?
        } else {
            network.initial_state(Initialization::Glorot, seed)
        };
        let how = Fit { batch: 128, steps: BUDGET, seed, rate: &|_| rate };
        Ok(setup::steps_to_loss(&network, start, &samples.train, &how, 0.3)? as f64)
    })?;
    let count = setting.seeds().count().max(1);
    let mut done = 0;
    let found: Vec<(f64, f64, Vec<f64>)> = CONTENDERS
        .iter()
        .map(|contender| {
            let here = &steps[done..done + contender.rates.len() * count];
            done += contender.rates.len() * count;
            let by_rate: Vec<Vec<f64>> = here.chunks(count).map(<[f64]>::to_vec).collect();
            let best = smallest(&by_rate.iter().map(|seeds| median(seeds)).collect::<Vec<_>>());
            (median(&by_rate[best]), contender.rates[best], by_rate[best].clone())
        })
        .collect();
    let [plain, _, weight, batch] = [0, 1, 2, 3].map(|which| found[which].0);
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("steps, weight norm / plain", weight / plain, 0.4))
        .check(Check::at_most("steps, batch norm / weight norm", batch / weight, 1.0))
        .check(Check::at_least(
            "logarithm of the speed-up, weight norm / batch norm",
            (plain / weight).ln() / (plain / batch).ln(),
            0.5,
        ));
    for (contender, (steps, rate, _)) in CONTENDERS.iter().zip(&found) {
        findings.note(format!("{}: {steps} steps at rate {rate}.", contender.name));
    }
    findings.note("The plain network that is fitted to data shows how much of the gain is the start's.");
    let names = CONTENDERS.map(|contender| contender.name);
    let by_seed = by_seed(&found.iter().map(|(_, _, steps)| steps).collect::<Vec<_>>());
    findings.figure(
        Figure::bars("Steps to a training loss of 0.3", &names, "steps at the best rate")
            .heights_over_seeds("steps", &by_seed)
            .log_y(),
    );
    Ok(findings)
}
