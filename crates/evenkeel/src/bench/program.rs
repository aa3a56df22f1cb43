//! The program of a case, fed and timed.

use super::clock;
use super::profile::Profile;
use super::settings::{Settings, What};
use crate::batch::Batch;
use crate::config::{Config, Initialization};
use crate::curvature::{Product, second_order};
use crate::experiment::dtype;
use crate::models::Transformer;
use crate::network::{Network, Noise, State, Tracing};
use crate::runner::{Build, Feed, MemoryLimit, Runner};
use crate::train::{Trainer, TrainerOptions, available, check_memory, check_state};
use crate::{Error, Result, assemble, models};
use evenkeel_cpu::multiply_add_peak;
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Function, Graph, InputInfo, Shape, Tensor};
use serde::Serialize;
use std::time::Instant;

/// Outputs of a network that reads images.
const CLASSES: usize = 10;
/// The rate of a timed step: so small that a thousand steps on one batch stay where they started and no number underflows.
const LEARNING_RATE: f64 = 1e-6;

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
    kept: Vec<Tensor>,
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
    /// The same for each direction of a block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_ms_per_vector: Option<f64>,
    /// Milliseconds of the fastest run.
    pub min_ms: f64,
    /// Floating-point operations a second of the median run, in 10⁹: products and convolutions only, a multiply-add counted
    /// as two, taps in the padding included.
    pub gflops: f64,
    /// The part of this machine's multiply-add peak that is, measured right after on the same threads.
    pub peak_share: f64,
    /// Bytes that a run takes: the arena of the compiled program, its inputs (what is kept of the point among them), and its
    /// outputs. An input that is updated in place counts once. What the process takes beside them (code, threads, the graph)
    /// does not.
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
        let config = Config { weight_norm: settings.weight_norm, ..settings.config.clone() };
        let model = models::build(&settings.model, settings.norm, config.activation, classes);
        let network = assemble::network(&config, model, &settings.input, dtype)?;
        check_state(&network)?;
        let mut state = network.initial_state(Initialization::He, settings.seed);
        let start = Instant::now();
        let Compiled { timed: (runner, outputs), before, scalars } = compile(&network, &settings, &mut state)?;
        let compile_seconds = start.elapsed().as_secs_f64();
        check_memory(runner.peak_bytes() as u64, available(), "the program", "use a smaller `--batch-size`")?;
        let mut batch = samples(&network, &settings, classes)?;
        if settings.what == What::Step && config.augment.mixup > 0.0 {
            // What mixes samples is no part of a step, but their labels are.
            batch = batch.with_shares(classes)?;
        }
        let direction = if settings.what.is_product() { directions(&network, &settings) } else { vec![] };
        let mut given = Given { batch, state, direction, kept: vec![], scalars };
        if let Some((mut runner, mut kept)) = before {
            runner.run(&given.feed(), &mut kept)?;
            given.kept = kept;
        }
        Ok(Bench { settings, runner, outputs, given, compile_seconds })
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
            median_ms_per_vector: self.settings.block.map(|block| timing.median * 1e3 / block as f64),
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
        let seconds = self.runner.profile(&self.given.feed(), &mut self.outputs, repeats)?;
        Ok(Profile::new(self.runner.steps(), seconds))
    }
}

impl Given {
    fn feed(&self) -> Feed<'_> {
        Feed {
            parameters: &self.state.parameters,
            buffers: &self.state.buffers,
            // Statistics of a batch are shaped as the running ones are; which numbers costs the same.
            frozen: &self.state.buffers,
            direction: &self.direction,
            kept: &self.kept,
            scalars: &self.scalars,
            ..Feed::of(&self.batch)
        }
    }
}

/// What the settings ask for, except a step, as one function; the values of a product are its only outputs.
fn function(network: &Network, settings: &Settings) -> Result<Function> {
    let graph = Graph::new();
    let traced = network.trace(&graph, Tracing::quiet(settings.batch_size, settings.norm_mode))?;
    let loss = traced.objective()?;
    let results = match settings.what {
        What::Forward => vec![traced.logits],
        What::Hvp => second_order(&graph, &traced, loss, Product::Hessian)?,
        What::Ggnvp => second_order(&graph, &traced, loss, Product::GaussNewton)?,
        What::Grad | What::Step => {
            let gradient = graph.vjp(&[loss], &traced.parameters(), None)?;
            std::iter::once(loss).chain(gradient).collect()
        }
    };
    let names: Vec<String> = (0..results.len()).map(|number| number.to_string()).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(results).collect();
    Ok(graph.function(&outputs)?)
}

/// Compiled programs: what is timed, with its outputs, and what is run once before, with what it is to keep.
struct Compiled {
    timed: (Runner, Vec<Tensor>),
    before: Option<(Runner, Vec<Tensor>)>,
    /// What a step is given beside its batch.
    scalars: Vec<Tensor>,
}

/// Traces and compiles what the settings ask for. A step takes the state: it holds it in its outputs.
fn compile(network: &Network, settings: &Settings, state: &mut State) -> Result<Compiled> {
    let whole = |runner: Runner| {
        let outputs = runner.new_outputs();
        (runner, outputs)
    };
    let memory_limit = settings.memory_limit.map(|limit| MemoryLimit { bytes: limit.bytes(), taken: 0 });
    if settings.what == What::Step {
        let how = TrainerOptions { memory_limit, ..assemble::trainer_options(&settings.config, network)? };
        let taken = std::mem::replace(state, State { parameters: vec![], buffers: vec![] });
        let trainer = Trainer::with(network, how, settings.batch_size, taken)?;
        let scalars = trainer.numbers(Noise { seed: settings.seed, step: 0 }, LEARNING_RATE.into(), 1.0);
        return Ok(Compiled { timed: trainer.into_program(), before: None, scalars });
    }
    let build = Build { memory_limit, ..Build::default() };
    let is_direction = |info: &InputInfo| info.name.starts_with("direction/");
    let mut timed = function(network, settings)?;
    let mut before = None;
    if settings.repeated {
        let split = timed.linearize(is_direction);
        before = Some(whole(Runner::of(&split.point, &build)?));
        timed = split.direction;
    }
    if let Some(block) = settings.block {
        timed = timed.map(block, is_direction)?;
    }
    Ok(Compiled { timed: whole(Runner::of(&timed, &build)?), before, scalars: vec![] })
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
    let normal = |stream: &str, shape: &[usize]| {
        let mut random = Key::new(settings.seed, stream, 0).random();
        let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| random.normal_f64()).collect();
        Tensor::from_f64(shape, network.dtype(), &numbers)
    };
    let draw = |stream: &str, shape: &[usize], dtype: DType| {
        if dtype.is_float() { normal(stream, shape) } else { below(stream, shape) }
    };
    let (label_shape, label_dtype) = network.labels();
    let inputs = draw("bench/inputs", &shape, network.input_dtype());
    let labels = draw("bench/labels", &[&shape[..1], &label_shape[..]].concat(), label_dtype);
    match (inputs, labels) {
        (Some(inputs), Some(labels)) => Ok(Batch { inputs, labels }),
        _ => Err(Error::input("a batch has too many elements").detail("got", format!("{count} elements"))),
    }
}

/// A standard normal number a parameter, and for a block as many of them along a leading axis.
fn directions(network: &Network, settings: &Settings) -> Vec<Tensor> {
    let mut random = Key::new(settings.seed, "bench/direction", 0).random();
    let mut draw = |count: usize| (0..count).map(|_| random.normal_f64()).collect::<Vec<f64>>();
    let shapes = network.parameters().iter().map(|info| match settings.block {
        Some(block) => Shape::from([&[block], &info.shape[..]].concat()),
        None => info.shape.clone(),
    });
    shapes.filter_map(|shape| Tensor::from_f64(&shape, network.dtype(), &draw(shape.elements()))).collect()
}
