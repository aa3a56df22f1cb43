//! Programs over a network, fed by what their inputs are called.

use crate::batch::Batch;
use crate::config::Size;
use crate::network::Noise;
use crate::{Error, ErrorKind, Result};
use evenkeel_cpu::{Input, NonFinite, Options, Program, StepInfo};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Function, Graph, Shape, Tensor, Var};
use std::collections::HashMap;

/// A compiled program and what each of its inputs is.
pub(crate) struct Runner {
    program: Program,
    sources: Vec<Source>,
    /// The places that draw random numbers, and the keys they draw with.
    keys: Vec<(String, Tensor)>,
}

/// What an input is, found once from its name.
#[derive(Clone, Debug)]
enum Source {
    Inputs,
    Labels,
    Parameter(usize),
    Iterate(usize),
    Buffer(usize),
    Frozen(usize),
    Direction(usize),
    Kept(usize),
    Scalar(usize),
    Key(usize),
    Donated,
}

/// What a program is fed.
#[derive(Clone, Copy)]
pub(crate) struct Feed<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) parameters: &'a [Tensor],
    /// Where gradients are taken, if not at the parameters; one tensor a parameter.
    pub(crate) iterates: &'a [Tensor],
    pub(crate) buffers: &'a [Tensor],
    /// Statistics of a named batch, in the order of tracing.
    pub(crate) frozen: &'a [Tensor],
    /// One tensor a parameter.
    pub(crate) direction: &'a [Tensor],
    /// What a program of the point has computed, see [`evenkeel_graph::Linearized`].
    pub(crate) kept: &'a [Tensor],
    /// Other inputs in the order of tracing.
    pub(crate) scalars: &'a [Tensor],
}

impl<'a> Feed<'a> {
    /// A batch and nothing else.
    pub(crate) fn of(batch: &'a Batch) -> Self {
        Feed {
            batch,
            parameters: &[],
            iterates: &[],
            buffers: &[],
            frozen: &[],
            direction: &[],
            kept: &[],
            scalars: &[],
        }
    }
}

/// Memory that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// Bytes in all.
    pub(crate) bytes: usize,
    /// Those of them that others take.
    pub(crate) taken: usize,
}

impl MemoryLimit {
    /// Bytes that are left for a program.
    pub(crate) fn left(self) -> usize {
        self.bytes.saturating_sub(self.taken)
    }

    /// The refusal of a program that takes at least so many bytes.
    fn exceeded(self, least: usize) -> Error {
        let shown = |bytes: usize| Size::rounded_up(bytes).to_string();
        Error::new(ErrorKind::Memory, "the memory limit is too small, even when all is computed again that can be")
            .detail("expected", format!("at least {}", shown(self.taken.saturating_add(least))))
            .detail("got", shown(self.bytes))
            .hint("raise `--memory-limit`, or use a smaller `--batch-size`")
    }
}

/// How a program is compiled.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    /// Whether chains of elementwise work run as one loop; without, every value can be looked at.
    pub(crate) fuse: bool,
    /// Inputs that become outputs in place: the input's name, the output's name.
    pub(crate) donations: Vec<(String, String)>,
    /// What a run may take, see [`Runner::peak_bytes`]; where it would take more, values are computed again.
    pub(crate) memory_limit: Option<MemoryLimit>,
}

impl Default for Build {
    fn default() -> Self {
        Build { fuse: true, donations: vec![], memory_limit: None }
    }
}

impl Runner {
    /// Compiles `outputs`.
    pub(crate) fn new(graph: &Graph, outputs: &[(String, Var<'_>)], build: &Build) -> Result<Runner> {
        let named: Vec<(&str, Var<'_>)> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        Self::of(&graph.function(&named)?, build)
    }

    /// Compiles a function.
    pub(crate) fn of(function: &Function, build: &Build) -> Result<Runner> {
        let inputs: HashMap<&str, usize> =
            function.inputs().iter().enumerate().map(|(index, info)| (info.name.as_str(), index)).collect();
        let results: HashMap<&str, usize> =
            function.outputs().iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
        let donations = build
            .donations
            .iter()
            .filter_map(|(input, output)| Some((*inputs.get(input.as_str())?, *results.get(output.as_str())?)))
            .collect::<Vec<_>>();
        let mut counts = [0usize; 7];
        let mut next = |kind: usize| {
            counts[kind] += 1;
            counts[kind] - 1
        };
        let mut sources = Vec::new();
        let mut keys = Vec::new();
        for (index, info) in function.inputs().iter().enumerate() {
            if donations.iter().any(|(input, _)| *input == index) {
                sources.push(Source::Donated);
                continue;
            }
            let source = match info.name.split_once('/') {
                None if info.name == "x" => Source::Inputs,
                None if info.name == "y" => Source::Labels,
                Some(("param", _)) => Source::Parameter(next(0)),
                Some(("iterate", _)) => Source::Iterate(next(6)),
                Some(("buffer", _)) => Source::Buffer(next(1)),
                Some(("frozen", _)) => Source::Frozen(next(2)),
                Some(("direction", _)) => Source::Direction(next(3)),
                Some(("kept", _)) => Source::Kept(next(4)),
                Some(("key", path)) => {
                    keys.push((path.to_string(), Tensor::zeros(&info.shape, info.dtype)));
                    Source::Key(keys.len() - 1)
                }
                _ => Source::Scalar(next(5)),
            };
            sources.push(source);
        }
        let outside = outside_bytes(function, &sources);
        let memory_limit = build.memory_limit.map(|limit| limit.left().saturating_sub(outside));
        let options = Options { fuse: build.fuse, donations, memory_limit };
        let program = Program::compile(function, &options).map_err(|error| match (error, build.memory_limit) {
            (evenkeel_cpu::Error::MemoryLimit { least, .. }, Some(limit)) => {
                limit.exceeded(outside.saturating_add(least))
            }
            (error, _) => error.into(),
        })?;
        let mut runner = Runner { program, sources, keys };
        runner.set_noise(Noise::default());
        Ok(runner)
    }

    /// What the program's random numbers are drawn with from now on.
    pub(crate) fn set_noise(&mut self, noise: Noise) {
        for (path, key) in &mut self.keys {
            *key = Key::new(noise.seed, path, noise.step).tensor();
        }
    }

    pub(crate) fn new_outputs(&self) -> Vec<Tensor> {
        self.program.new_outputs()
    }

    /// Bytes that values between inputs and outputs take.
    pub(crate) fn arena_bytes(&self) -> usize {
        self.program.arena_bytes()
    }

    /// Bytes that a run takes: the arena, the inputs and the outputs; an input that is updated in place counts once.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.program.arena_bytes() + outside_bytes(self.program.function(), &self.sources)
    }

    /// Gives back the memory between inputs and outputs until the next run.
    pub(crate) fn release(&mut self) {
        self.program.release();
    }

    /// Floating-point operations of a run, products and convolutions only.
    pub(crate) fn flops(&self) -> u64 {
        self.program.function().flops()
    }

    /// What a run does, step by step.
    pub(crate) fn steps(&self) -> Vec<StepInfo> {
        self.program.steps()
    }

    /// Seconds of each step in each of some runs.
    pub(crate) fn profile(&mut self, feed: &Feed<'_>, outputs: &mut [Tensor], repeats: usize) -> Result<Vec<Vec<f64>>> {
        let inputs = gather(&self.sources, &self.keys, feed)?;
        Ok(self.program.profile(&inputs, outputs, repeats)?)
    }

    pub(crate) fn run(&mut self, feed: &Feed<'_>, outputs: &mut [Tensor]) -> Result<()> {
        let inputs = gather(&self.sources, &self.keys, feed)?;
        Ok(self.program.run(&inputs, outputs)?)
    }

    /// The first value that is not finite; compile without fusion for this.
    pub(crate) fn first_non_finite(&mut self, feed: &Feed<'_>) -> Result<Option<NonFinite>> {
        let inputs = gather(&self.sources, &self.keys, feed)?;
        let mut outputs = self.program.new_outputs();
        Ok(self.program.first_non_finite(&inputs, &mut outputs)?)
    }
}

/// Bytes of inputs and outputs.
fn outside_bytes(function: &Function, sources: &[Source]) -> usize {
    let bytes = |shape: &Shape, dtype: DType| shape.elements() * dtype.bytes();
    let given = function.inputs().iter().zip(sources).filter(|(_, source)| !matches!(source, Source::Donated));
    let inputs: usize = given.map(|(info, _)| bytes(&info.shape, info.dtype)).sum();
    let results = function.outputs().iter().map(|(_, id)| &function.nodes()[id.index()]);
    inputs + results.map(|node| bytes(&node.shape, node.dtype)).sum::<usize>()
}

fn gather<'a>(sources: &[Source], keys: &'a [(String, Tensor)], feed: &Feed<'a>) -> Result<Vec<Input<'a>>> {
    let find = |tensors: &'a [Tensor], index: usize, what: &str| {
        tensors.get(index).map(Input::Read).ok_or_else(|| {
            Error::input(format!("the program was given too few {what}"))
                .detail("expected", format!("at least {}", index + 1))
                .detail("got", tensors.len())
        })
    };
    sources
        .iter()
        .map(|source| match *source {
            Source::Inputs => Ok(Input::Read(&feed.batch.inputs)),
            Source::Labels => Ok(Input::Read(&feed.batch.labels)),
            Source::Parameter(index) => find(feed.parameters, index, "parameters"),
            Source::Iterate(index) => find(feed.iterates, index, "iterates"),
            Source::Buffer(index) => find(feed.buffers, index, "buffers"),
            Source::Frozen(index) => find(feed.frozen, index, "frozen statistics"),
            Source::Direction(index) => find(feed.direction, index, "directions"),
            Source::Kept(index) => find(feed.kept, index, "kept values"),
            Source::Scalar(index) => find(feed.scalars, index, "scalars"),
            Source::Key(index) => Ok(Input::Read(&keys[index].1)),
            Source::Donated => Ok(Input::Donated),
        })
        .collect()
}
