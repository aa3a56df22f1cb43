//! What weight decay does to the size of weights, and how much its strength matters.

use super::super::setup::{self, by_seed, pairs, seeds, triples};
use super::super::statistics::{largest, least, mean, median};
use super::super::{Check, Figure, Findings, Setting};
use super::{BATCH, EPOCH, EPOCHS, MATRICES, cosine, digits, lengths, network, place, rescaled};
use crate::Result;
use crate::config::{Initialization, NormMode};
use crate::optim::{Adam, Group, Groups, Optimizer, Sgd};
use crate::study::{self, Fit};
use crate::train::Trainer;
use std::ops::ControlFlow;

const RATE: f64 = 0.05;
const MOMENTUM: f64 = 0.9;
const DECAY: f64 = 1e-2;
const STEPS: u64 = EPOCHS * EPOCH;

/// After each step: the mean length, and the mean effective rate.
struct Course {
    length: Vec<f64>,
    effective: Vec<f64>,
}

/// Momentum, weight decay of the matrices, and that of biases and norms.
type Decay = (f64, f64, f64);

fn course(setting: &Setting, (momentum, weights, others): Decay, seed: u64) -> Result<Course> {
    let samples = digits(setting, seed)?;
    let network = network(&samples)?;
    let rule = |weight_decay| Box::new(Sgd { momentum, weight_decay, ..Sgd::PLAIN });
    let all = Group { parameters: "*".to_owned(), rate: 1.0, weights: rule(weights), others: rule(others) };
    let rule = Groups(vec![all]);
    let mut trainer = Trainer::new(&network, rule, BATCH, network.initial_state(Initialization::He, seed))?;
    let mut course = Course { length: Vec::new(), effective: Vec::new() };
    let second = place(&network, MATRICES[1])?;
    let how = Fit { batch: BATCH, steps: STEPS, seed, rate: &|_| RATE };
    study::fit(&mut trainer, &samples.train, &how, |_, _, trainer| {
        let lengths = lengths(&trainer.parameters()[second]);
        course.length.push(mean(&lengths));
        course.effective.push(mean(&lengths.iter().map(|length| RATE / length.powi(2)).collect::<Vec<_>>()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(course)
}

pub(super) fn effective_rate(setting: &Setting) -> Result<Findings> {
    let cases = [(MOMENTUM, DECAY, DECAY), (MOMENTUM, 0.0, 0.0), (0.0, DECAY, DECAY), (MOMENTUM, DECAY, 0.0)];
    let courses = setting.each(pairs(&cases, &seeds(setting)), |(decay, seed)| course(setting, decay, seed))?;
    let count = setting.seeds().count().max(1);
    let [decayed, kept, slow, matrices] = [0, 1, 2, 3].map(|case| &courses[case * count..][..count]);
    let first = |of: &[f64]| of.first().copied().unwrap_or(f64::NAN);
    let last = |of: &[f64]| of.last().copied().unwrap_or(f64::NAN);
    let by = |courses: &[Course], of: &dyn Fn(&Course) -> f64| courses.iter().map(of).collect::<Vec<f64>>();
    let shrunk = |courses| by(courses, &|one| last(&one.length) / first(&one.length));
    let risen = |courses| by(courses, &|one| last(&one.effective) / first(&one.effective));
    let middle = mean(&by(decayed, &|one| one.length[one.length.len() / 2]));
    let end = mean(&by(decayed, &|one| last(&one.length)));
    let smallest_step = by(kept, &|one| least(one.length.windows(2).map(|pair| pair[1] / pair[0])));
    let mut findings = Findings::new();
    findings
        .check(Check::below("decay: mean ‖w‖ at the end / after step 1, by seed", shrunk(decayed), 0.6))
        .check(Check::below("decay: mean ‖w‖ at the end / half-way, mean over seeds", end / middle, 1.0))
        .check(Check::above("decay: effective rate at the end / after step 1, by seed", risen(decayed), 3.0))
        .check(Check::at_least("no decay: mean ‖w‖ after a step / before, the least of a seed", smallest_step, 1.0 - 1e-6))
        .note(format!(
            "Mean ‖w‖ after step 1, half-way, at the end: {:.2}, {middle:.2}, {end:.2} with decay; {:.2} at the end without.",
            mean(&by(decayed, &|one| first(&one.length))),
            mean(&by(kept, &|one| last(&one.length)))
        ))
        .note(format!(
            "Without momentum decay leaves {:.2} of ‖w‖ and the effective rate × {:.1}: it takes a longer run.",
            mean(&shrunk(slow)),
            mean(&risen(slow))
        ))
        .note(format!(
            "Decay of the matrices alone leaves {:.2} of ‖w‖ and the effective rate × {:.1}: scales of norms that decay make gradients small.",
            mean(&shrunk(matrices)),
            mean(&risen(matrices))
        ));
    let steps: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
    let curves = |courses: &[Course]| courses.iter().map(|one| one.effective.clone()).collect::<Vec<_>>();
    findings.figure(
        Figure::lines("Effective learning rate of the second layer", "step", "rate / ‖w‖²")
            .caption("Mean over units; mean and deviation over seeds.")
            .log_y()
            .over_seeds("weight decay 1e-2", &steps, &curves(decayed))
            .over_seeds("no decay", &steps, &curves(kept))
            .over_seeds("weight decay 1e-2, no momentum", &steps, &curves(slow)),
    );
    Ok(findings)
}

const DECAYS: [f64; 5] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1];

/// An optimizer and how its rate goes.
#[derive(Clone, Copy)]
struct Way {
    adam: bool,
    cosine: bool,
}

const WAYS: [(Way, &str); 4] = [
    (Way { adam: false, cosine: false }, "SGD, constant rate"),
    (Way { adam: false, cosine: true }, "SGD, cosine"),
    (Way { adam: true, cosine: false }, "Adam, constant rate"),
    (Way { adam: true, cosine: true }, "Adam, cosine"),
];

impl Way {
    fn rule(self, weight_decay: f64) -> Box<dyn Optimizer> {
        match self.adam {
            true => Box::new(Adam { weight_decay, ..Adam::default() }),
            false => Box::new(Sgd { momentum: MOMENTUM, weight_decay, ..Sgd::PLAIN }),
        }
    }

    /// Percent of the test samples after training with decay of all parameters, or of all but the rescaled ones.
    fn accuracy(self, setting: &Setting, decay: f64, rescale: bool, seed: u64) -> Result<f64> {
        let samples = digits(setting, seed)?;
        let network = network(&samples)?;
        let rule = if rescale { rescaled(&network, self.rule(decay), self.rule(0.0))? } else { self.rule(decay) };
        let rate = if self.adam { 0.005 } else { RATE };
        let schedule = cosine(rate, EPOCH, EPOCHS);
        let course = |step| if self.cosine { schedule.rate(step) } else { rate };
        let how = Fit { batch: BATCH, steps: STEPS, seed, rate: &course };
        let start = network.initial_state(Initialization::He, seed);
        let state = setup::train(&network, rule, start, &samples.train, &how)?.state;
        Ok(100.0 * study::evaluate(&network, &state, &samples.test, NormMode::Running)?.accuracy)
    }
}

/// By way, then by decay, the accuracies of the seeds.
fn sweep(setting: &Setting, decays: &[f64], rescale: bool) -> Result<Vec<Vec<Vec<f64>>>> {
    let ways: Vec<usize> = (0..WAYS.len()).collect();
    let all = setting.each(triples(&ways, decays, &seeds(setting)), |(way, decay, seed)| {
        WAYS[way].0.accuracy(setting, decay, rescale, seed)
    })?;
    let count = setting.seeds().count().max(1);
    Ok(all.chunks(decays.len() * count).map(|way| way.chunks(count).map(<[f64]>::to_vec).collect()).collect())
}

fn means(by_decay: &[Vec<f64>]) -> Vec<f64> {
    by_decay.iter().map(|seeds| mean(seeds)).collect()
}

fn range(numbers: &[f64]) -> f64 {
    largest(numbers.iter().copied()) - least(numbers.iter().copied())
}

pub(super) fn sensitivity(setting: &Setting) -> Result<Findings> {
    let by_way = sweep(setting, &DECAYS, false)?;
    let mut findings = Findings::new();
    let names = DECAYS.map(|decay| if decay == 0.0 { "0".to_owned() } else { format!("{decay:e}") });
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut figure = Figure::bars("Test accuracy by weight decay", &names, "answered rightly, %");
    for ((way, name), by_decay) in WAYS.iter().zip(&by_way) {
        let means = means(by_decay);
        if !way.cosine {
            let what = format!("{name}: best − worst weight decay, mean test accuracies");
            findings.check(Check::at_least(what, range(&means), 3.0).unit(" points"));
        }
        let shown: Vec<String> = means.iter().map(|mean| format!("{mean:.1}")).collect();
        findings.note(format!(
            "{name}: {} % at decay {}, range {:.1}.",
            shown.join(", "),
            names.join(", "),
            range(&means)
        ));
        figure = figure.heights_over_seeds(*name, &by_seed(by_decay));
    }
    findings.figure(figure);
    Ok(findings)
}

/// Decays of the parameters that are not rescaled.
const OTHER: [f64; 3] = [0.0, 1e-4, 1e-3];

pub(super) fn robustness(setting: &Setting) -> Result<Findings> {
    let (decayed, fixed) = (sweep(setting, &DECAYS, false)?, sweep(setting, &OTHER, true)?);
    let mut findings = Findings::new();
    let (mut middles, mut heights) = (Vec::new(), Vec::new());
    for (((way, name), decayed), fixed) in WAYS.iter().zip(&decayed).zip(&fixed) {
        let (decayed, means) = (means(decayed), means(fixed));
        let narrower = Check::at_most(
            format!("{name}: range over the decays, rescaled / decayed"),
            range(&means) / range(&decayed),
            0.5,
        );
        let gain = mean(&means) - median(&decayed);
        let as_good = Check::at_least(format!("{name}: mean rescaled − median decayed"), gain, -1.0).unit(" points");
        let best = Check::above(
            format!("{name}: mean rescaled − best decayed"),
            mean(&means) - largest(decayed.iter().copied()),
            0.0,
        );
        findings.check(if way.cosine { narrower.for_the_record() } else { narrower });
        findings.check(if way.cosine { as_good } else { as_good.for_the_record() });
        findings.check(best.unit(" points").for_the_record());
        let shown: Vec<String> = means.iter().map(|mean| format!("{mean:.1}")).collect();
        findings.note(format!(
            "{name}: rescaled {} % with the others' decay 0, 1e-4, 1e-3; with decay of all the median is {:.1} %, the range {:.1}.",
            shown.join(", "),
            median(&decayed),
            range(&decayed)
        ));
        middles.push(median(&decayed));
        heights.push(mean(&means));
    }
    findings.figure(
        Figure::bars("Test accuracy over coefficients", &WAYS.map(|way| way.1), "answered rightly, %")
            .heights("rescaled, mean over three decays of the others", &heights)
            .heights("weight decay, median of five", &middles),
    );
    Ok(findings)
}
