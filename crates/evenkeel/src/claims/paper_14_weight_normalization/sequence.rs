//! Weight normalization in a recurrent network.

use super::super::setup::{self, seeds, smallest, triples};
use super::super::statistics::{mean, mean_list, median};
use super::super::{Check, Figure, Findings, Setting};
use super::{DEVIATION, lengths, replaced};
use crate::config::{Initialization, Loss, NormMode, WeightNorm};
use crate::data::LoadOptions;
use crate::nn::{Context, Initial};
use crate::optim::Adam;
use crate::study::{self, Fit};
use crate::{Network, Result, State};
use evenkeel_graph::{Tensor, Var};

const HIDDEN: usize = 64;
const RATES: [f64; 3] = [0.003, 0.01, 0.03];
const STEPS: u64 = 250;

/// What the weights of the recurrent layer start as.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// U(±1/8), as everything else.
    Plain,
    /// The same, with each unit's weights of length 1.
    PlainOfLengthOne,
    /// Directions N(0, 0.05²) of length 1.
    LengthOne,
    /// The same with the length that the directions have.
    OwnLength,
}

const STARTS: [Start; 4] = [Start::Plain, Start::LengthOne, Start::PlainOfLengthOne, Start::OwnLength];
const NAMES: [&str; 4] = ["plain", "weight norm, g = 1", "plain, units of length 1", "weight norm, g = ‖v‖"];

/// Eight rows of eight pixels, one a step; the last state decides. The weights of the last layer are as they are drawn.
fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let samples = x.shape()[0];
    let states = cx.lstm("lstm", x.reshape([samples, 8, 8]), HIDDEN);
    let _scope = cx.scope("head");
    let weight = cx.param("weight", [HIDDEN, 10], Initial::Weight { fan_in: HIDDEN, fan_out: 10 });
    states.at(1, 7).matmul(weight) + cx.param("bias", [10], Initial::Bias { fan_in: HIDDEN })
}

fn start(network: &Network, how: Start, seed: u64) -> State {
    let uniform = network.initial_state(Initialization::Uniform, seed);
    let is_recurrent = |path: &str| path.contains("weight_ih") || path.contains("weight_hh");
    match how {
        Start::Plain => uniform,
        Start::PlainOfLengthOne => replaced(network, uniform, is_recurrent, |_, weights| of_length_one(weights)),
        Start::LengthOne | Start::OwnLength => {
            let drawn = network.initial_state(Initialization::Normal(DEVIATION), seed).parameters;
            let normal = replaced(network, uniform, is_recurrent, |index, _| drawn[index].clone());
            let is_length = |path: &str| how == Start::LengthOne && path.ends_with("_g");
            replaced(network, normal, is_length, |_, lengths| filled(lengths, 1.0))
        }
    }
}

fn filled(like: &Tensor, value: f64) -> Tensor {
    let values = vec![value; like.shape().elements()];
    Tensor::from_f64(like.shape(), like.dtype(), &values).unwrap_or_else(|| like.clone())
}

fn of_length_one(weights: &Tensor) -> Tensor {
    let lengths = lengths(weights);
    let values: Vec<f64> = weights
        .to_f64()
        .chunks(lengths.len().max(1))
        .flat_map(|row| row.iter().zip(&lengths).map(|(w, length)| w / length).collect::<Vec<_>>())
        .collect();
    Tensor::from_f64(weights.shape(), weights.dtype(), &values).unwrap_or_else(|| weights.clone())
}

struct Course {
    losses: Vec<f64>,
    accuracy: f64,
}

pub(super) fn lstm(setting: &Setting) -> Result<Findings> {
    let options = LoadOptions { normalize: false, ..LoadOptions::default() };
    let samples = setup::Samples::of(&setting.dataset("digits", &options)?)?;
    let courses = setting.each(triples(&STARTS, &RATES, &seeds(setting)), |(which, rate, seed)| {
        let weights = match which {
            Start::Plain | Start::PlainOfLengthOne => WeightNorm::None,
            Start::LengthOne | Start::OwnLength => WeightNorm::Normalized,
        };
        let network = super::network(model, &[8, 8, 1], Loss::CrossEntropy, weights)?;
        let start = start(&network, which, seed);
        let how = Fit { batch: 64, steps: STEPS, seed, rate: &|_| rate };
        let trained = setup::train(&network, Adam::default(), start, &samples.train, &how)?;
        let accuracy = study::evaluate(&network, &trained.state, &samples.test, NormMode::Running)?.accuracy;
        Ok(Course { losses: trained.losses, accuracy })
    })?;
    let count = setting.seeds().count().max(1);
    let by = |which: usize, rate: usize| &courses[(which * RATES.len() + rate) * count..][..count];
    let run =
        |which: usize, rate: usize| median(&by(which, rate).iter().map(|one| mean(&one.losses)).collect::<Vec<_>>());
    let best: [usize; 4] = [0, 1, 2, 3].map(|which| smallest(&[0, 1, 2].map(|rate| run(which, rate))));
    let at_best = [0, 1, 2, 3].map(|which| run(which, best[which]));
    let lower = [0, 1, 2].map(|rate| run(1, rate) < run(0, rate));
    let last = |which: usize| {
        median(
            &by(which, best[which])
                .iter()
                .map(|one| mean(&one.losses[one.losses.len().saturating_sub(50)..]))
                .collect::<Vec<_>>(),
        )
    };
    let accuracy = |which: usize| median(&by(which, best[which]).iter().map(|one| one.accuracy).collect::<Vec<_>>());
    let mut findings = Findings::new();
    findings
        .check(Check::at_most("mean loss over the run, weight norm / plain, best rates", at_best[1] / at_best[0], 0.92))
        .check(Check::count("rates at which weight norm is lower", &lower, 2));
    for (which, name) in NAMES.iter().enumerate() {
        findings.note(format!(
            "{name}: rate {}, mean loss over the run {:.3}, over the last 50 steps {:.3}, {:.1} % of the test samples.",
            RATES[best[which]],
            at_best[which],
            last(which),
            100.0 * accuracy(which)
        ));
    }
    findings.note(
        "The control, plain units that start with length 1, shows how much is an effect of the size at the start; with g = ‖v‖ the small \
         directions keep the layer small, since Adam moves g by the rate alone.",
    );
    let steps: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
    let mut figure = Figure::lines("Training loss of the LSTM", "step", "training loss (nats)")
        .caption("At the best rate of each, mean over seeds.")
        .log_y();
    for (which, name) in NAMES.iter().enumerate() {
        let curve = mean_list(by(which, best[which]).iter().map(|one| one.losses.as_slice()));
        figure = figure.series(*name, &steps, &curve);
    }
    findings.figure(figure);
    Ok(findings)
}
