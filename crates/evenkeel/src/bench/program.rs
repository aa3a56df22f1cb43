//! The program of a case, fed and timed.

use super::clock;
use super::profile::Profile;
use super::settings::{Settings, What};
use crate::config::{Activation, Initialization, Loss};
use crate::curvature::{Product, second_order};
use crate::experiment::dtype;
use crate::models::Transformer;
use crate::network::{Batch, Network, State};
use crate::nn::{NormSettings, Reads};
use crate::optim::Sgd;
use crate::runner::{Feed, Runner};
use crate::train::{Trainer, check_state};
use crate::{Error, Result, models};
use evenkeel_cpu::multiply_add_peak;
use evenkeel_graph::random::Key;
use evenkeel_graph::{Graph, Tensor};
use serde::Serialize;
use std::time::Instant;

/// Outputs of a network that reads images.
const CLASSES: usize = 10;
/// The rate of a timed step: so small that a thousand steps on one batch stay where they started and no number underflows.
const LEARNING_RATE: f64 = 1e-6;
/// The momentum of a timed step.
const MOMENTUM: f64 = 0.9;

/// A program with the memory it runs in and inputs that are ready.
pub struct Bench {
    settings: Settings,
    runner: Runner,
    outputs: Vec<Tensor>,
    given: Given,
    compile_seconds: f64,
}

/// What the program is given at each run.
struct Given {
    batch: Batch,
    state: State,
    direction: Vec<Tensor>,
    scalars: Vec<Tensor>,
}

/// What was found, with the settings it was found under.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// What was timed.
    #[serde(flatten)]
    pub settings: Settings,
    /// Threads it ran on.
    pub threads: usize,
    /// Runs that were timed, after some that were not.
    pub runs: usize,
    /// Milliseconds of the run in the middle.
    pub median_ms: f64,
    /// Milliseconds of the fastest run.
    pub min_ms: f64,
    /// Floating-point operations a second of the median run, in 10⁹: products and convolutions only, a multiply-add counted
    /// as two, taps in the padding included.
    pub gflops: f64,
    /// The part of this machine's multiply-add peak that is, measured right after on the same threads.
    pub peak_share: f64,
    /// Bytes that a run takes: the arena of the compiled program, its inputs, and its outputs. An input that is updated in
    /// place counts once. What the process takes beside them (code, threads, the graph) does not.
    pub peak_bytes: usize,
    /// Milliseconds from nothing but the network to a program that can run: tracing, derivation, simplification, compilation.
    pub compile_ms: f64,
}

impl Bench {
    /// Builds and compiles the program, and draws what it is fed.
    ///
    /// # Errors
    /// When the settings do not go together, or the network does not take such samples.
    pub fn new(settings: Settings) -> Result<Bench> {
        settings.check()?;
        let dtype = dtype(settings.dtype);
        let classes = if settings.reads_tokens() { Transformer::default().vocabulary } else { CLASSES };
        let model = models::build(&settings.model, settings.norm, Activation::Relu, classes);
        let network = Network::with(model, &settings.input, dtype, Loss::CrossEntropy, NormSettings::default())?;
        check_state(&network)?;
        let state = network.initial_state(Initialization::He, settings.seed);
        let start = Instant::now();
        let (runner, outputs) = compile(&network, &settings, &state)?;
        let compile_seconds = start.elapsed().as_secs_f64();
        let batch = samples(&network, &settings, classes)?;
        let direction = if settings.what.is_product() { direction(&network, settings.seed) } else { vec![] };
        // A step holds its state in its outputs.
        let (state, scalars) = match settings.what {
            What::Step => {
                (State { parameters: vec![], buffers: vec![] }, vec![Tensor::scalar(LEARNING_RATE).cast(dtype)])
            }
            _ => (state, vec![]),
        };
        Ok(Bench { settings, runner, outputs, given: Given { batch, state, direction, scalars }, compile_seconds })
    }

    /// Runs the program some times, then `repeats` times against the clock, or without a number for about a second; then
    /// measures the peak it is compared with.
    ///
    /// # Errors
    /// When the program refuses its inputs.
    pub fn measure(&mut self, repeats: Option<usize>) -> Result<Measured> {
        let feed = self.given.feed();
        let timing = clock::time(repeats, || self.runner.run(&feed, &mut self.outputs))?;
        let gflops = self.runner.flops() as f64 / timing.median / 1e9;
        Ok(Measured {
            settings: self.settings.clone(),
            threads: rayon::current_num_threads(),
            runs: timing.runs,
            median_ms: timing.median * 1e3,
            min_ms: timing.min * 1e3,
            gflops,
            peak_share: gflops / multiply_add_peak(dtype(self.settings.dtype)),
            peak_bytes: self.runner.peak_bytes(),
            compile_ms: self.compile_seconds * 1e3,
        })
    }

    /// Times each step of the program, over `repeats` runs.
    ///
    /// # Errors
    /// As [`Bench::measure`].
    pub fn profile(&mut self, repeats: usize) -> Result<Profile> {
        Ok(Profile::new(self.runner.profile(&self.given.feed(), &mut self.outputs, repeats)?))
    }
}

impl Given {
    fn feed(&self) -> Feed<'_> {
        Feed {
            batch: &self.batch,
            parameters: &self.state.parameters,
            buffers: &self.state.buffers,
            // Statistics of a batch are two tensors a layer, as the running ones are; which numbers costs the same.
            frozen: &self.state.buffers,
            direction: &self.direction,
            scalars: &self.scalars,
        }
    }
}

/// Traces and compiles what the settings ask for.
fn compile(network: &Network, settings: &Settings, state: &State) -> Result<(Runner, Vec<Tensor>)> {
    if settings.what == What::Step {
        let sgd = Sgd { momentum: MOMENTUM, weight_decay: 0.0 };
        return Ok(Trainer::new(network, sgd, settings.batch_size, state.clone())?.into_program());
    }
    let graph = Graph::new();
    let traced = network.trace(&graph, settings.batch_size, settings.norm_mode)?;
    let loss = traced.losses.mean_all();
    let results = match settings.what {
        What::Forward => vec![traced.logits],
        What::Hvp => second_order(&graph, &traced, loss, Product::Hessian)?,
        What::Ggnvp => second_order(&graph, &traced, loss, Product::GaussNewton)?,
        What::Grad | What::Step => {
            let gradient = graph.vjp(&[loss], &traced.parameters, None)?;
            std::iter::once(loss).chain(gradient).collect()
        }
    };
    let outputs: Vec<_> = results.into_iter().enumerate().map(|(number, var)| (number.to_string(), var)).collect();
    let runner = Runner::new(&graph, &outputs, &[], true)?;
    let outputs = runner.new_outputs();
    Ok((runner, outputs))
}

/// Standard normal numbers with a label a sample, or tokens with a label each; tokens and labels are drawn evenly.
fn samples(network: &Network, settings: &Settings, classes: usize) -> Result<Batch> {
    let shape = [&[settings.batch_size], network.input_shape()].concat();
    let count: usize = shape.iter().product();
    let below = |stream: &str, shape: &[usize]| {
        let mut random = Key::new(settings.seed, stream, 0).random();
        let drawn = (0..shape.iter().product()).map(|_| random.below(classes as u64) as i32).collect();
        Tensor::new::<i32>(shape, drawn)
    };
    let (inputs, labels) = match network.reads() {
        Reads::Numbers => {
            let mut random = Key::new(settings.seed, "bench/inputs", 0).random();
            let numbers: Vec<f64> = (0..count).map(|_| random.normal_f64()).collect();
            (Tensor::from_f64(&shape[..], network.dtype(), &numbers), below("bench/labels", &shape[..1]))
        }
        Reads::Tokens => (below("bench/inputs", &shape), below("bench/labels", &shape)),
    };
    match (inputs, labels) {
        (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
        _ => Err(Error::input("a batch has too many elements").detail("got", format!("{count} elements"))),
    }
}

/// A standard normal number a parameter.
fn direction(network: &Network, seed: u64) -> Vec<Tensor> {
    let mut random = Key::new(seed, "bench/direction", 0).random();
    let mut draw = |count: usize| (0..count).map(|_| random.normal_f64()).collect::<Vec<f64>>();
    let shapes = network.parameters().iter().map(|info| &info.shape);
    shapes.filter_map(|shape| Tensor::from_f64(shape, network.dtype(), &draw(shape.elements()))).collect()
}
