//! Programs over a network, fed by what their inputs are called.

use crate::network::{Batch, Noise};
use crate::{Error, Result};
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
    pub(crate) buffers: &'a [Tensor],
    /// Statistics of a named batch, two tensors a normalization layer, in the order of tracing.
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
        Feed { batch, parameters: &[], buffers: &[], frozen: &[], direction: &[], kept: &[], scalars: &[] }
    }
}

impl Runner {
    /// Compiles `outputs`; `donations` pairs inputs' names with outputs' names.
    pub(crate) fn new(
        graph: &Graph,
        outputs: &[(String, Var<'_>)],
        donations: &[(String, String)],
        fuse: bool,
    ) -> Result<Runner> {
        let named: Vec<(&str, Var<'_>)> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        Self::of(&graph.function(&named)?, donations, fuse)
    }

    /// Compiles a function; `donations` as in [`Runner::new`].
    pub(crate) fn of(function: &Function, donations: &[(String, String)], fuse: bool) -> Result<Runner> {
        let inputs: HashMap<&str, usize> =
            function.inputs().iter().enumerate().map(|(index, info)| (info.name.as_str(), index)).collect();
        let results: HashMap<&str, usize> =
            function.outputs().iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
        let donations = donations
            .iter()
            .filter_map(|(input, output)| Some((*inputs.get(input.as_str())?, *results.get(output.as_str())?)))
            .collect::<Vec<_>>();
        let mut counts = [0usize; 6];
        let mut next = |kind: usize| {
            counts[kind] += 1;
            counts[kind] - 1
        };
        let mut sources = Vec::new();
        let mut keys = Vec::new();
        for (index, info) in function.inputs().iter().enumerate() {
            let source = match info.name.split_once('/') {
                None if info.name == "x" => Source::Inputs,
                None if info.name == "y" => Source::Labels,
                Some(("param", _)) => Source::Parameter(next(0)),
                Some(("buffer", _)) => Source::Buffer(next(1)),
                Some(("frozen", _)) => Source::Frozen(next(2)),
                Some(("direction", _)) => Source::Direction(next(3)),
                Some(("kept", _)) => Source::Kept(next(4)),
                Some(("velocity", _)) => Source::Donated,
                Some(("key", path)) => {
                    keys.push((path.to_string(), Tensor::zeros(&info.shape, info.dtype)));
                    Source::Key(keys.len() - 1)
                }
                _ => Source::Scalar(next(5)),
            };
            sources.push(if donations.iter().any(|(input, _)| *input == index) { Source::Donated } else { source });
        }
        let program = Program::compile(function, &Options { fuse, donations })?;
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
        let bytes = |shape: &Shape, dtype: DType| shape.elements() * dtype.bytes();
        let function = self.program.function();
        let given =
            function.inputs().iter().zip(&self.sources).filter(|(_, source)| !matches!(source, Source::Donated));
        let inputs: usize = given.map(|(info, _)| bytes(&info.shape, info.dtype)).sum();
        let results = function.outputs().iter().map(|(_, id)| &function.nodes()[id.index()]);
        let outputs: usize = results.map(|node| bytes(&node.shape, node.dtype)).sum();
        self.program.arena_bytes() + inputs + outputs
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
