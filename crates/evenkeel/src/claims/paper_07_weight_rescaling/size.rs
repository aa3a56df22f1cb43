//! What a fixed size of the weights does to gradients and to the effective learning rate.

use super::super::setup::{pairs, seeds};
use super::super::statistics::{largest, least, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::{BATCH, EPOCH, EPOCHS, MATRICES, cosine, digits, lengths, network, place, rescaled};
use crate::config::{Initialization, NormMode};
use crate::data::Batches;
use crate::optim::{Adam, Optimizer, Sgd};
use crate::train::Trainer;
use crate::{Error, Noise, Probe, Result};
use evenkeel_graph::Tensor;

const RATE: f64 = 0.05;
const STEPS: u64 = EPOCHS * EPOCH;

/// A training, step after step.
struct Course {
    /// The Euclidean norm of the gradient by both matrices.
    gradient: Vec<f64>,
    /// The loss of the batch.
    losses: Vec<f64>,
    /// The lengths of all units' weights before each step.
    lengths: Vec<Vec<f64>>,
    /// The least length of a unit after a step of plain SGD before it is rescaled: ‖w − η ∇‖.
    moved: f64,
}

/// Trains, with the gradient of each step looked at before it is taken.
fn course(setting: &Setting, momentum: f64, weight_decay: f64, rescale: bool, seed: u64) -> Result<Course> {
    let rule = move || -> Box<dyn Optimizer> { Box::new(Sgd { momentum, weight_decay, ..Sgd::PLAIN }) };
    trained(setting, &rule, rescale, &|_| RATE, seed)
}

fn trained(
    setting: &Setting,
    rule: &dyn Fn() -> Box<dyn Optimizer>,
    rescale: bool,
    rate: &dyn Fn(u64) -> f64,
    seed: u64,
) -> Result<Course> {
    let samples = digits(setting, seed)?;
    let network = network(&samples)?;
    let rule = if rescale { rescaled(&network, rule(), rule())? } else { rule() };
    let places = MATRICES.map(|path| place(&network, path));
    let places = places.into_iter().collect::<Result<Vec<usize>>>()?;
    let mut probe = Probe::new(&network, BATCH, NormMode::Batch, |trace| {
        let parameters = trace.parameters();
        let matrices: Vec<_> = places.iter().filter_map(|&place| parameters.get(place).copied()).collect();
        let gradients = trace.cx.graph().vjp(&[trace.losses.mean_all()], &matrices, None)?;
        Ok(MATRICES.iter().map(|path| (*path).to_owned()).zip(gradients).collect())
    })?;
    let mut trainer = Trainer::new(&network, rule, BATCH, network.initial_state(Initialization::He, seed))?;
    trainer.set_noise(Noise { seed, step: 0 });
    let mut batches = Batches::new(seed, samples.train.len(), BATCH);
    let mut course = Course { gradient: vec![], losses: vec![], lengths: vec![], moved: f64::INFINITY };
    for step in 0..STEPS {
        let batch = samples.train.take(batches.indices(step))?;
        let gradients = probe.run(&batch, trainer.parameters(), trainer.buffers())?;
        let squares = gradients.iter().flat_map(Tensor::to_f64).map(|element| element * element).sum::<f64>();
        course.gradient.push(squares.sqrt());
        let mut units = Vec::new();
        for (&place, gradient) in places.iter().zip(gradients) {
            let weights = &trainer.parameters()[place];
            units.extend(lengths(weights));
            let moved: Vec<f64> =
                weights.to_f64().iter().zip(gradient.to_f64()).map(|(w, slope)| w - rate(step) * slope).collect();
            let moved = least(crate::init::lengths(weights.shape(), &moved));
            course.moved = course.moved.min(moved);
        }
        course.lengths.push(units);
        let result = trainer.step(&batch, rate(step))?;
        if !result.is_finite() {
            return Err(Error::numerical("the loss is not finite").detail("step", step + 1));
        }
        course.losses.push(result.loss);
    }
    Ok(course)
}

/// Means over the first and the last quarter.
fn quarters(numbers: &[f64]) -> (f64, f64) {
    let quarter = numbers.len() / 4;
    (mean(&numbers[..quarter]), mean(&numbers[numbers.len() - quarter..]))
}

pub(super) fn gradients(setting: &Setting) -> Result<Findings> {
    // Momentum, weight decay, rescaling.
    let cases = [(0.9, 1e-2, false), (0.9, 0.0, true), (0.0, 1e-2, false), (0.0, 0.0, true)];
    let courses = setting.each(pairs(&cases, &seeds(setting)), |((momentum, decay, rescale), seed)| {
        course(setting, momentum, decay, rescale, seed)
    })?;
    let count = setting.seeds().count().max(1);
    let [decayed, fixed, slow_decayed, slow_fixed] = [0, 1, 2, 3].map(|case| &courses[case * count..][..count]);
    let early = |courses: &[Course]| courses.iter().map(|one| quarters(&one.gradient).0).collect::<Vec<_>>();
    let late = |courses: &[Course]| courses.iter().map(|one| quarters(&one.gradient).1).collect::<Vec<_>>();
    let over = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<f64>>();
    let last_loss = |courses: &[Course]| mean(&courses.iter().map(|one| quarters(&one.losses).1).collect::<Vec<_>>());
    let mut findings = Findings::new();
    findings
        .check(Check::above("decay: gradient, last / first quarter, by seed", over(late(decayed), early(decayed)), 1.2))
        .check(Check::below("rescaled: gradient, last / first quarter, by seed", over(late(fixed), early(fixed)), 0.6))
        .check(Check::above(
            "last quarter: gradient with decay / rescaled, by seed",
            over(late(decayed), late(fixed)),
            2.5,
        ))
        .check(Check::within("first quarter: the same", over(early(decayed), early(fixed)), 0.8, 1.25))
        .check(Check::at_least(
            "rescaled, no momentum: least ‖w‖ of a unit before it is rescaled, by seed",
            slow_fixed.iter().map(|one| one.moved).collect::<Vec<_>>(),
            1.0 - 1e-6,
        ))
        .note(format!(
            "Not at the same training loss: {:.3} with decay, {:.3} rescaled (mean over the last quarter).",
            last_loss(decayed),
            last_loss(fixed)
        ))
        .note(format!(
            "Without momentum the gradient with decay is {:.2} of that rescaled in the last quarter (mean).",
            mean(&over(late(slow_decayed), late(slow_fixed)))
        ));
    let steps: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
    let curves = |courses: &[Course]| courses.iter().map(|one| one.gradient.clone()).collect::<Vec<_>>();
    findings.figure(
        Figure::lines("Gradient of the two hidden matrices", "step", "‖∇‖ of both")
            .caption("SGD 0.05 with momentum 0.9; mean and deviation over seeds.")
            .log_y()
            .over_seeds("weight decay 1e-2", &steps, &curves(decayed))
            .over_seeds("rescaled", &steps, &curves(fixed)),
    );
    Ok(findings)
}

pub(super) fn on_schedule(setting: &Setting) -> Result<Findings> {
    let schedule = cosine(RATE, EPOCH, EPOCHS);
    let courses = setting.each(pairs(&[false, true], &seeds(setting)), |(adam, seed)| {
        let rule = move || -> Box<dyn Optimizer> {
            if adam { Box::new(Adam::default()) } else { Box::new(Sgd { momentum: 0.9, ..Sgd::PLAIN }) }
        };
        let rate = |step| schedule.rate(step) * if adam { 0.1 } else { 1.0 };
        trained(setting, &rule, true, &rate, seed)
    })?;
    let count = setting.seeds().count().max(1);
    let off = |courses: &[Course], power: i32| {
        largest(courses.iter().flat_map(|one| &one.lengths).flatten().map(|length| (length.powi(-power) - 1.0).abs()))
    };
    let mut findings = Findings::new();
    findings
        .check(Check::below(
            "SGD: |1 / ‖w‖² − 1|, the largest of all units, steps and seeds",
            off(&courses[..count], 2),
            1e-5,
        ))
        .check(Check::below("Adam: |1 / ‖w‖ − 1|, likewise", off(&courses[count..], 1), 1e-5));
    if let Some(one) = courses.first() {
        let steps: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
        let rates: Vec<f64> = (0..STEPS).map(|step| schedule.rate(step)).collect();
        let effective: Vec<f64> = one
            .lengths
            .iter()
            .zip(&rates)
            .map(|(lengths, rate)| mean(&lengths.iter().map(|length| rate / length.powi(2)).collect::<Vec<_>>()))
            .collect();
        findings.figure(
            Figure::lines("Effective learning rate under rescaling", "step", "rate / ‖w‖²")
                .caption("SGD with momentum, mean over the units of both layers, one seed.")
                .series("effective rate", &steps, &effective)
                .dashed("schedule", &steps, &rates),
        );
    }
    Ok(findings)
}
