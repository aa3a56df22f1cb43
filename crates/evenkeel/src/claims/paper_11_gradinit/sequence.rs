//! A transformer that writes strings backwards, trained without a warm-up.

use super::super::setup::pairs;
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Initialization, LookAhead, Loss, NormMode};
use crate::init::GradInit;
use crate::nn::{Context, Model, NormSettings, Reads, Targets};
use crate::optim::Adam;
use crate::study::{self, Fit};
use crate::train::Trainer;
use crate::{Batch, Error, Network, Result};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Tensor, Var};
use std::ops::ControlFlow;

const LENGTH: usize = 6;
const TOKENS: usize = 8;
const WIDTH: usize = 32;
const LAYERS: usize = 6;
const BATCH: usize = 32;
const STEPS: u64 = 1200;
const RATES: [f64; 2] = [0.001, 0.002];
const EVERY: u64 = 100;
const TESTED: usize = 512;

/// An encoder with layer norm after each sum (Vaswani et al. 2017).
struct Encoder;

impl Model for Encoder {
    fn forward<'g>(&self, cx: &Context<'g>, tokens: Var<'g>) -> Var<'g> {
        let shape = tokens.shape();
        let rows = shape.elements();
        let mut x = cx.embedding("tokens", tokens, TOKENS, WIDTH, 1.0);
        x = x + cx.embedding("positions", cx.graph().iota(&shape, 1, DType::I32), LENGTH, WIDTH, 1.0);
        let norm = |name: &str, x: Var<'g>| {
            let shape = x.shape();
            cx.layer_norm(name, x.reshape([rows, WIDTH])).reshape(shape)
        };
        for layer in 0..LAYERS {
            let _scope = cx.scope(&format!("blocks.{layer}"));
            x = norm("norm1", x + cx.self_attention("attention", x, 2, false));
            let inner = cx.linear_last("fc1", x, 2 * WIDTH).relu();
            x = norm("norm2", x + cx.linear_last("fc2", inner, WIDTH));
        }
        cx.head_last("head", x, TOKENS)
    }

    fn reads(&self) -> Reads {
        Reads::Tokens
    }

    fn targets(&self) -> Targets {
        Targets::Classes
    }
}

/// Random strings, and the same backwards.
fn strings(count: usize, seed: u64, name: &str) -> Result<Batch> {
    let mut random = Key::new(seed, name, 0).random();
    let tokens: Vec<i32> = (0..count * LENGTH).map(|_| random.below(TOKENS as u64) as i32).collect();
    let backwards: Vec<i32> = tokens.chunks(LENGTH).flat_map(|string| string.iter().rev().copied()).collect();
    match (Tensor::new([count, LENGTH], tokens), Tensor::new([count, LENGTH], backwards)) {
        (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
        _ => Err(Error::input("a batch does not have the shape of its samples")),
    }
}

/// Shares of the tokens that are right, every so many steps; and the norm of the gradient at the start.
struct Course {
    shares: Vec<f64>,
    norm: f64,
}

fn course(with: bool, rate: f64, seed: u64) -> Result<Course> {
    let network = Network::with(Box::new(Encoder), &[LENGTH], DType::F32, Loss::CrossEntropy, NormSettings::default())?;
    let samples = strings(BATCH * STEPS as usize, seed, "claims/strings")?;
    let test = strings(TESTED, seed, "claims/strings/test")?;
    let how = GradInit {
        look_ahead: LookAhead::Adam,
        learning_rate: 1e-3,
        gradient_bound: 100.0,
        scale_rate: 1e-2,
        iterations: 60,
        batch: BATCH,
        seed,
        ..GradInit::default()
    };
    let drawn = network.initial_state(Initialization::Glorot, seed);
    let start =
        if with { how.run(&network, drawn, &samples, &mut |_| ControlFlow::Continue(()))?.state } else { drawn };
    let norm = how.prospect(&network, &start, &samples, 10)?.gradient_norm;
    let mut trainer = Trainer::new(&network, Adam { beta2: 0.98, ..Adam::default() }, BATCH, start)?;
    let mut shares = Vec::new();
    let fit = Fit { batch: BATCH, steps: STEPS, seed, rate: &|_| rate };
    study::fit(&mut trainer, &samples, &fit, |step, _, trainer| {
        if step.is_multiple_of(EVERY) {
            shares.push(study::evaluate(&network, &trainer.state(), &test, NormMode::Running)?.accuracy);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Course { shares, norm })
}

pub(super) fn without_warm_up(setting: &Setting) -> Result<Findings> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let runs = pairs(&RATES, &seeds);
    let jobs: Vec<(bool, f64, u64)> =
        [false, true].into_iter().flat_map(|with| runs.iter().map(move |&(rate, seed)| (with, rate, seed))).collect();
    let all = setting.each(jobs, |(with, rate, seed)| course(with, rate, seed))?;
    let (plain, with) = all.split_at(runs.len());
    let there = |courses: &[Course]| {
        mean(
            &courses
                .iter()
                .map(|one| f64::from(u8::from(one.shares.last().is_some_and(|share| *share >= 0.9))))
                .collect::<Vec<_>>(),
        )
    };
    let norms = |courses: &[Course]| courses.iter().map(|one| one.norm).collect::<Vec<_>>();
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("‖g‖₁ at the start, GradInit, by run", norms(with), 150.0))
        .check(Check::at_least(
            "share of runs with ≥ 90 % of the tokens, GradInit − plain",
            there(with) - there(plain),
            -0.2,
        ))
        .check(
            Check::above(
                "share of runs with ≥ 90 % of the tokens, GradInit − plain: more",
                there(with) - there(plain),
                0.0,
            )
            .for_the_record(),
        )
        .note(format!(
            "Plain: ‖g‖₁ {:.0} at the start (mean), {:.2} of the runs; GradInit: {:.0}, {:.2}.",
            mean(&norms(plain)),
            there(plain),
            mean(&norms(with)),
            there(with)
        ));
    let steps: Vec<f64> = (1..=STEPS / EVERY).map(|index| (index * EVERY) as f64).collect();
    let mut figure = Figure::lines("Tokens that are right", "step", "share of the test tokens")
        .caption("Mean and deviation over seeds.");
    for (name, courses) in [("plain", plain), ("GradInit", with)] {
        for (index, rate) in RATES.iter().enumerate() {
            let shares: Vec<Vec<f64>> =
                courses[index * seeds.len()..(index + 1) * seeds.len()].iter().map(|one| one.shares.clone()).collect();
            figure = figure.over_seeds(format!("{name}, rate {rate}"), &steps, &shares);
        }
    }
    findings.figure(figure);
    Ok(findings)
}
