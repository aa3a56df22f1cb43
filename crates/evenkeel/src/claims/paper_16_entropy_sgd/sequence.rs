//! Entropy-SGD against SGD and Adam on a text, gradient for gradient.

use super::super::setup::{pairs, seeds};
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Initialization, NormMode};
use crate::data::LoadOptions;
use crate::models::{Cell, Recurrent};
use crate::optim::{Adam, EntropySgd, Optimizer, Sgd};
use crate::study::{self, Fit};
use crate::train::{Trainer, TrainerOptions};
use crate::{Batch, Network, Result};
use evenkeel_graph::DType;
use std::ops::ControlFlow;

/// Characters of a sample.
const LENGTH: usize = 32;
const BATCH: usize = 32;
/// Samples to train on, and those that follow to test on: 200,000 and 20,000 characters.
const SAMPLES: [usize; 2] = [200_000 / LENGTH, 20_000 / LENGTH];
const STEPS: u64 = 1500;
const INNER: usize = 5;
/// Steps from one look at the test text to the next.
const LOOK: u64 = 100;

#[derive(Clone, Copy)]
enum Way {
    Sgd,
    Entropy(f64),
    Adam,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Sgd, "SGD"),
    (Way::Entropy(0.75), "Entropy-SGD"),
    (Way::Entropy(0.25), "Entropy-SGD, weight of the newest 0.25"),
    (Way::Adam, "Adam"),
];

impl Way {
    fn rule(self) -> Box<dyn Optimizer> {
        match self {
            Way::Sgd => Box::new(Sgd { momentum: 0.9, nesterov: true, ..Sgd::PLAIN }),
            Way::Entropy(newest) => {
                Box::new(EntropySgd { steps: INNER, inner_rate: 3.0, newest, scope: 1e-3, ..EntropySgd::default() })
            }
            Way::Adam => Box::new(Adam::default()),
        }
    }

    fn rate(self, step: u64) -> f64 {
        let share = match step {
            _ if 10 * step < 6 * STEPS => 1.0,
            _ if 10 * step < 8 * STEPS => 0.2,
            _ => 0.04,
        };
        share * if matches!(self, Way::Adam) { 0.005 } else { 1.0 }
    }
}

/// The test loss after every so many steps.
fn course(train: &Batch, test: &Batch, vocabulary: usize, way: Way, seed: u64) -> Result<Vec<f64>> {
    let model = Recurrent { cell: Cell::Gru, embedding: 32, widths: vec![64], vocabulary };
    let network = Network::new(model, &[LENGTH])?;
    let start = network.initial_state(Initialization::Uniform, seed);
    let mut trainer = Trainer::with(&network, TrainerOptions::new(way.rule()).clipped(1.0), BATCH, start)?;
    let how = Fit { batch: BATCH, steps: STEPS, seed, rate: &|step| way.rate(step) };
    let mut losses = Vec::new();
    study::fit(&mut trainer, train, &how, |step, _, trainer| {
        if step.is_multiple_of(LOOK) {
            losses.push(study::evaluate(&network, &trainer.state(), test, NormMode::Running)?.loss);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(losses)
}

pub(super) fn text(setting: &Setting) -> Result<Findings> {
    let [train, test] = SAMPLES;
    let options =
        LoadOptions { limit: Some(train + test), test_limit: Some(1), tokens: LENGTH, ..LoadOptions::default() };
    let text = setting.dataset("tinyshakespeare", &options)?;
    let (all, vocabulary) = (Batch::of(&text, &text.train, DType::F32)?, text.class_names.len());
    let following: Vec<u32> = (train as u32..(train + test) as u32).collect();
    let (train, test) = (all.first(train), all.take(&following)?);
    let seeds = seeds(setting);
    let count = seeds.len().max(1);
    let mut jobs = pairs(&[0, 1], &seeds);
    jobs.extend(pairs(&[2, 3], &seeds[..1.min(seeds.len())]));
    let all = setting.each(jobs, |(way, seed)| course(&train, &test, vocabulary, WAYS[way].0, seed))?;
    // One seed does for what is not judged.
    let of = |way: usize| match way {
        0 | 1 => &all[way * count..(way + 1) * count],
        _ => &all[2 * count + way - 2..][..1],
    };
    let at = |way: usize, look: u64| -> Vec<f64> {
        of(way).iter().map(|losses| losses.get(look as usize - 1).copied().unwrap_or(f64::NAN)).collect()
    };
    let ends = |way: usize| at(way, STEPS / LOOK);
    let excess: Vec<f64> = ends(1).iter().zip(ends(0)).map(|(entropy, sgd)| entropy - sgd).collect();
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_most("test loss after 1,500 gradients, Entropy-SGD − SGD, by seed", &excess, 0.05).unit(" nats"),
        )
        .check(Check::below("the same, mean over seeds: faster", mean(&excess), 0.0).unit(" nats").for_the_record());
    for (way, (_, name)) in WAYS.iter().enumerate() {
        let shown: Vec<String> = ends(way).iter().map(|loss| format!("{loss:.3}")).collect();
        findings.note(format!(
            "{name}: {} nats at the end by seed, {:.3} after 900 gradients (mean).",
            shown.join(", "),
            mean(&at(way, 9))
        ));
    }
    let steps: Vec<f64> = (1..=STEPS / LOOK).map(|look| (look * LOOK) as f64).collect();
    let mut figure = Figure::lines("Characters of a play", "gradients", "test loss (nats a character)")
        .caption("Mean and deviation over seeds; one gradient is 32 samples of 32 characters.");
    for (way, (_, name)) in WAYS.iter().enumerate() {
        figure = figure.over_seeds(*name, &steps, of(way));
    }
    findings.figure(figure);
    Ok(findings)
}
