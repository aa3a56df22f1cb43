//! Answers at every pixel: a disc of another texture found, and dots counted. Samples are drawn.

use super::super::setup::{self, seeds, smallest, triples};
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use super::{cosine, rescaled};
use crate::config::{Initialization, Loss, NormMode};
use crate::nn::{Context, Model, NormSettings, Regression};
use crate::objective::Term;
use crate::optim::{Optimizer, Sgd};
use crate::study::Fit;
use crate::{Batch, Error, Network, Probe, Result, Trace};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{DType, Tensor, Var};
use std::f64::consts::TAU;

const SIDE: usize = 16;
const PIXELS: usize = SIDE * SIDE;
const SAMPLES: usize = 300;
const BATCH: usize = 25;
const EPOCHS: u64 = 10;

/// What is asked at every pixel.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    /// Whether it is in the disc.
    Segmentation,
    /// How much of a dot is there: the sum is the number of dots.
    Counting,
}

/// A sample: its pixels, and what is asked of them.
type Sample = ([f32; PIXELS], [f32; PIXELS]);

fn between(random: &mut Random, low: f64, high: f64) -> f64 {
    low + (high - low) * random.uniform_f64()
}

/// The pixels with their places, row by row.
fn pixels() -> impl Iterator<Item = (usize, f64, f64)> {
    (0..PIXELS).map(|pixel| (pixel, (pixel / SIDE) as f64, (pixel % SIDE) as f64))
}

impl Task {
    fn sample(self, random: &mut Random) -> Sample {
        match self {
            Task::Segmentation => disc(random),
            Task::Counting => dots(random),
        }
    }

    fn samples(self, seed: u64, part: u64) -> Result<Batch> {
        let name = if self == Task::Segmentation { "claims/07/discs" } else { "claims/07/dots" };
        let mut random = Key::new(seed, name, part).random();
        let all: Vec<Sample> = (0..SAMPLES).map(|_| self.sample(&mut random)).collect();
        let inputs: Vec<f32> = all.iter().flat_map(|sample| sample.0).collect();
        let answers = all.iter().flat_map(|sample| sample.1);
        let labels = match self {
            Task::Segmentation => Tensor::new([SAMPLES, SIDE, SIDE], answers.map(|inside| inside as i32).collect()),
            Task::Counting => Tensor::new([SAMPLES, SIDE, SIDE, 1], answers.collect::<Vec<f32>>()),
        };
        match (Tensor::new([SAMPLES, SIDE, SIDE, 1], inputs), labels) {
            (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
            _ => Err(Error::input("drawn samples have the shape of images")),
        }
    }

    fn network(self) -> Result<Network> {
        let shape = [SIDE, SIDE, 1];
        let with =
            |model: Box<dyn Model>, loss| Network::with(model, &shape, DType::F32, loss, NormSettings::default());
        match self {
            Task::Segmentation => with(Box::new(setup::model(|cx, x| maps(cx, x, 2))), Loss::CrossEntropy),
            Task::Counting => {
                let model = Regression(setup::model(|cx, x| maps(cx, x, 1)));
                // Half the sum of squares becomes ten times the mean of squares.
                with(Box::new(model), Loss::Squared)?
                    .with_terms([Box::new(Times(20.0 / PIXELS as f64)) as Box<dyn Term>])
            }
        }
    }

    /// Percent of the union of what is the disc and what is taken for it that is both; or the mean error of the count.
    fn score(self, logits: &[f64], test: &Batch) -> f64 {
        let answers = test.labels.to_f64();
        match self {
            Task::Segmentation => {
                let found = logits.chunks_exact(2).map(|pair| pair[1] > pair[0]);
                let (mut both, mut either) = (0.0, 0.0);
                for (found, inside) in found.zip(answers.iter().map(|&answer| answer == 1.0)) {
                    both += f64::from(u8::from(found && inside));
                    either += f64::from(u8::from(found || inside));
                }
                100.0 * both / either
            }
            Task::Counting => {
                let counts =
                    |of: &[f64]| of.chunks_exact(PIXELS).map(|map| map.iter().sum::<f64>()).collect::<Vec<_>>();
                let errors: Vec<f64> =
                    counts(logits).iter().zip(counts(&answers)).map(|(found, there)| (found - there).abs()).collect();
                mean(&errors)
            }
        }
    }
}

/// Three convolutions of 8 channels with batch norm, and a linear map at each pixel.
fn maps<'g>(cx: &Context<'g>, x: Var<'g>, outputs: usize) -> Var<'g> {
    let layer = |x, number: usize| {
        let y = cx.conv(&format!("conv{number}"), x, 8, 3, 1, 1);
        cx.batch_norm(&format!("norm{number}"), y).relu()
    };
    cx.head_last("head", (1..=3).fold(x, layer), outputs)
}

/// The objective times a number.
struct Times(f64);

impl Term for Times {
    fn apply<'g>(&self, _: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        Ok(objective * self.0)
    }
}

/// A disc of waves along one axis among waves along the other, and noise of deviation 0.7.
fn disc(random: &mut Random) -> Sample {
    let (row, column) = (between(random, 4.0, 11.0), between(random, 4.0, 11.0));
    let radius = between(random, 2.5, 5.0);
    let phases = [between(random, 0.0, TAU), between(random, 0.0, TAU)];
    let mut sample = ([0.0; PIXELS], [0.0; PIXELS]);
    for (pixel, down, right) in pixels() {
        let inside = (down - row).powi(2) + (right - column).powi(2) < radius * radius;
        let wave = if inside { TAU * down / 4.0 + phases[0] } else { TAU * right / 4.0 + phases[1] };
        sample.0[pixel] = (wave.sin() + 0.7 * random.normal_f64()) as f32;
        sample.1[pixel] = f32::from(u8::from(inside));
    }
    sample
}

/// One to eight Gaussian dots of deviation 1 and noise of deviation 0.3; the answer has a sum of 1 for each dot.
fn dots(random: &mut Random) -> Sample {
    let mut sample = ([0.0; PIXELS], [0.0; PIXELS]);
    for _ in 0..=random.below(8) {
        let (row, column) = (between(random, 2.0, 13.0), between(random, 2.0, 13.0));
        let height =
            |(_, down, right): (usize, f64, f64)| (-((down - row).powi(2) + (right - column).powi(2)) / 2.0).exp();
        let total: f64 = pixels().map(height).sum();
        for (pixel, down, right) in pixels() {
            let height = height((pixel, down, right));
            sample.0[pixel] += height as f32;
            sample.1[pixel] += (height / total) as f32;
        }
    }
    sample.0.iter_mut().for_each(|pixel| *pixel += 0.3 * random.normal_f64() as f32);
    sample
}

/// How the weights are kept small, or one.
#[derive(Clone, Copy)]
enum Way {
    Decay,
    Rescaled,
}

/// A way and its rate; that of decay was chosen for it.
const WAYS: [(Way, f64); 4] = [(Way::Decay, 0.05), (Way::Rescaled, 0.02), (Way::Rescaled, 0.05), (Way::Rescaled, 0.1)];
const NAMES: [&str; 4] = ["decay, rate 0.05", "rescaled, rate 0.02", "rescaled, rate 0.05", "rescaled, rate 0.1"];

/// Trains, and scores the test samples; nothing where training diverges.
fn once(task: Task, way: usize, seed: u64) -> Result<Option<f64>> {
    let (train, test) = (task.samples(seed, 0)?, task.samples(seed, 1)?);
    let network = task.network()?;
    let (way, rate) = WAYS[way];
    let sgd = |weight_decay| -> Box<dyn Optimizer> { Box::new(Sgd { momentum: 0.9, weight_decay, ..Sgd::PLAIN }) };
    let rule = match way {
        Way::Decay => sgd(1e-4),
        Way::Rescaled => rescaled(&network, sgd(0.0), sgd(0.0))?,
    };
    let epoch = (SAMPLES / BATCH) as u64;
    let schedule = cosine(rate, epoch, EPOCHS);
    let how = Fit { batch: BATCH, steps: EPOCHS * epoch, seed, rate: &|step| schedule.rate(step) };
    let trained = setup::train(&network, rule, network.initial_state(Initialization::He, seed), &train, &how)?;
    if !trained.finite {
        return Ok(None);
    }
    let mut probe =
        Probe::new(&network, SAMPLES, NormMode::Running, |trace| Ok(vec![("answers".to_owned(), trace.logits)]))?;
    let answers = probe.at(&test, &trained.state)?.first().map(Tensor::to_f64).unwrap_or_default();
    Ok(Some(task.score(&answers, &test)))
}

pub(super) fn tasks(setting: &Setting) -> Result<Findings> {
    let seeds = seeds(setting);
    let count = seeds.len().max(1);
    let ways: Vec<usize> = (0..WAYS.len()).collect();
    let all = setting.each(triples(&[Task::Segmentation, Task::Counting], &ways, &seeds), |(task, way, seed)| {
        once(task, way, seed)
    })?;
    let of = |task: usize, way: usize| &all[(task * WAYS.len() + way) * count..][..count];
    // A rate at which a seed diverges is not the best one.
    let score = |task: usize, way: usize| -> f64 {
        let scores: Option<Vec<f64>> = of(task, way).iter().copied().collect();
        scores.map_or(f64::NAN, |scores| mean(&scores))
    };
    let [overlap, error] =
        [0, 1].map(|task| WAYS.iter().enumerate().map(|(way, _)| score(task, way)).collect::<Vec<_>>());
    let best_overlap = 1 + smallest(&overlap[1..].iter().map(|overlap| -overlap).collect::<Vec<_>>());
    let best_error = 1 + smallest(&error[1..]);
    let mut findings = Findings::new();
    findings
        .check(
            Check::at_least(
                "discs: intersection over union, rescaled − decay",
                overlap[best_overlap] - overlap[0],
                -2.0,
            )
            .unit(" points"),
        )
        .check(Check::at_most("dots: mean error of the count, rescaled / decay", error[best_error] / error[0], 1.05));
    for (task, name) in [(0, "Discs, intersection over union (%)"), (1, "Dots, mean error of the count")] {
        let shown: Vec<String> = (0..WAYS.len())
            .map(|way| {
                let one = |score: &Option<f64>| score.map_or("diverged".to_owned(), |score| format!("{score:.2}"));
                format!("{}: {}", NAMES[way], of(task, way).iter().map(one).collect::<Vec<_>>().join(", "))
            })
            .collect();
        findings.note(format!("{name}, by seed. {}.", shown.join("; ")));
    }
    findings.note("At large rates it is the last layer that diverges on the dots, which is linear and not rescaled.");
    let heights = |task: usize, factor: f64| {
        (0..count)
            .map(|seed| {
                (0..WAYS.len()).map(|way| of(task, way)[seed].map_or(f64::NAN, |score| factor * score)).collect()
            })
            .collect::<Vec<Vec<f64>>>()
    };
    findings.figure(
        Figure::bars("Discs and dots", &NAMES, "intersection over union (%), error of the count × 10")
            .heights_over_seeds("discs: overlap", &heights(0, 1.0))
            .heights_over_seeds("dots: error × 10", &heights(1, 10.0)),
    );
    Ok(findings)
}
