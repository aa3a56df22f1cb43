//! Geometric complexity through double descent.

use super::meter;
use super::recipe::{by_setting, means, other};
use crate::Result;
use crate::batch::Batch;
use crate::claims::setup::by_seed;
use crate::claims::{Check, Figure, Findings, Setting, statistics};
use crate::config::{Activation, Initialization, NormKind, NormMode};
use crate::data::{LoadOptions, other_class};
use crate::models::Mlp;
use crate::network::Network;
use crate::optim::Sgd;
use crate::study::{Fit, evaluate, fit};
use crate::train::Trainer;
use evenkeel_graph::DType;
use evenkeel_graph::random::Key;
use std::ops::ControlFlow;

const WIDTHS: [f64; 14] = [4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0, 512.0];
const SAMPLES: usize = 200;
const WRONG: usize = 40;
const CLASSES: usize = 10;
const STEPS: u64 = 3000;

struct Trained {
    complexity: f64,
    test_loss: f64,
    train_accuracy: f64,
}

pub(super) fn double_descent(setting: &Setting) -> Result<Findings> {
    let jobs = setting.seeds().flat_map(|seed| WIDTHS.map(|width| (seed, width as usize)));
    let trained = setting.each(jobs, |(seed, width)| one(setting, seed, width))?;
    let of = |which: fn(&Trained) -> f64| by_setting(&trained, WIDTHS.len(), which);
    let (complexities, losses) = (of(|one| one.complexity), of(|one| one.test_loss));
    let (complexity, loss) = (means(&complexities), means(&losses));
    let mut findings = Findings::new();
    findings
        .check(Check::within("width with the largest test loss", peak(&loss), 4.0, 12.0))
        .check(Check::within("width with the largest geometric complexity", peak(&complexity), 4.0, 12.0))
        // From the second width on, which is 6.
        .check(Check::at_least(
            "rank correlation over h ≥ 6",
            statistics::rank_correlation(&complexity[1..], &loss[1..]),
            0.9,
        ));
    for ((width, train), (complexity, loss)) in
        WIDTHS.iter().zip(means(&of(|one| one.train_accuracy))).zip(complexity.iter().zip(&loss))
    {
        findings.note(format!(
            "h = {width}: geometric complexity {complexity:.2e}, test loss {loss:.2}, training accuracy {train:.2}"
        ));
    }
    findings.figure(
        Figure::lines("Test loss and geometric complexity by width", "hidden units h", "relative to the smallest")
            .caption("Means over seeds, each curve divided by its least mean.")
            .log_x()
            .log_y()
            .over_seeds("test loss", &WIDTHS, &scaled(&losses, &loss))
            .over_seeds("geometric complexity", &WIDTHS, &scaled(&complexities, &complexity)),
    );
    Ok(findings)
}

/// The width with the largest number.
fn peak(numbers: &[f64]) -> f64 {
    let largest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    WIDTHS.iter().zip(numbers).find(|(_, number)| **number == largest).map_or(f64::NAN, |(width, _)| *width)
}

/// A list a seed, over the least of the means.
fn scaled(by_width: &[Vec<f64>], means: &[f64]) -> Vec<Vec<f64>> {
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    by_seed(by_width).into_iter().map(|seed| seed.into_iter().map(|value| value / least).collect()).collect()
}

fn one(setting: &Setting, seed: u64, width: usize) -> Result<Trained> {
    let options = LoadOptions { seed, normalize: false, limit: Some(SAMPLES), ..LoadOptions::default() };
    let digits = setting.dataset("digits", &options)?;
    let train = wrong_labels(Batch::of(&digits, &digits.train, DType::F32)?, seed)?;
    let test = Batch::of(&digits, &digits.test, DType::F32)?;
    let model = Mlp { widths: vec![width], norm: NormKind::None, activation: Some(Activation::Relu), classes: CLASSES };
    let network = Network::new(model, &digits.image_shape)?;
    let start = network.initial_state(Initialization::Uniform, other(seed, width as u64));
    let mut trainer = Trainer::new(&network, Sgd { momentum: 0.9, ..Sgd::PLAIN }, 20, start)?;
    let how = Fit { batch: 20, steps: STEPS, seed, rate: &|_| 0.1 };
    fit(&mut trainer, &train, &how, |_, _, _| {
        setting.go_on()?;
        Ok(ControlFlow::Continue(()))
    })?;
    let state = trainer.state();
    let (learned, tested) =
        (evaluate(&network, &state, &train, NormMode::Running)?, evaluate(&network, &state, &test, NormMode::Running)?);
    let complexity = meter(&network, SAMPLES)?.at(&train, &state)?.mean;
    Ok(Trained { complexity, test_loss: tested.loss, train_accuracy: learned.accuracy })
}

/// The first labels become those of other classes: the order of the samples is random already.
fn wrong_labels(samples: Batch, seed: u64) -> Result<Batch> {
    let mut random = Key::new(seed, "claims/labels", 0).random();
    samples.relabelled(|place, label| if place < WRONG { other_class(label, CLASSES, &mut random) } else { label })
}
