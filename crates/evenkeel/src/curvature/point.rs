//! Where curvature is measured: the samples, cut into pieces that programs take at once, and the network's numbers.

use crate::Batch;
use crate::config::NormMode;
use crate::network::{Network, Noise, State, Trace, Tracing};
use crate::runner::{Build, Feed, MemoryLimit, Runner};
use crate::{Error, Result};
use evenkeel_graph::{Function, Graph, Tensor, Var};

/// Samples taken at once where they do not depend on each other.
const CHUNK: usize = 125;

pub(super) struct Point<'n> {
    pub(super) network: &'n Network,
    pub(super) mode: NormMode,
    pub(super) state: State,
    /// All of one size, the last one filled up.
    pub(super) chunks: Vec<Batch>,
    /// The weight of each sample of a chunk in its loss, 0 for what fills the last one up.
    pub(super) weights: Vec<Tensor>,
    /// How many samples there are.
    pub(super) samples: usize,
    /// What the result of a chunk counts: 1 where chunks are shares of one mean, and else one over the number of batches.
    pub(super) share: f64,
    /// The random numbers of a training step, if the loss is taken with them.
    pub(super) noise: Option<Noise>,
    /// What each program may take.
    pub(super) memory_limit: Option<MemoryLimit>,
    /// Statistics of the samples as one batch, for [`NormMode::Frozen`].
    frozen: Vec<Tensor>,
    /// The samples as one batch and the program of their statistics, for [`NormMode::Frozen`].
    statistics: Option<(Batch, Runner)>,
}

impl<'n> Point<'n> {
    pub(super) fn new(
        network: &'n Network,
        mode: NormMode,
        samples: Batch,
        state: State,
        noise: Option<Noise>,
        batch: Option<usize>,
    ) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::input("curvature needs at least one sample"));
        }
        let count = samples.len();
        if let Some(batch) = batch.filter(|&batch| batch == 0 || !count.is_multiple_of(batch)) {
            return Err(Error::input("the samples do not make whole batches")
                .detail("expected", format!("a batch size that divides {count}"))
                .detail("got", batch)
                .hint("leave the last samples out"));
        }
        let together = noise.is_some() || network.couples_samples(mode) || network.has_terms();
        let size = batch.unwrap_or(if together { count } else { count.min(CHUNK) });
        // A batch has a mean of its own; else each chunk has its share of the mean over all samples.
        let (mean_over, share) = batch.map_or((count, 1.0), |batch| (batch, batch as f64 / count as f64));
        let dtype = network.dtype();
        let mut chunks = Vec::new();
        let mut weights = Vec::new();
        for start in (0..count).step_by(size) {
            let (chunk, filled) = cut(&samples, start, size)?;
            let weight: Vec<f64> = (0..size).map(|n| if n < filled { 1.0 / mean_over as f64 } else { 0.0 }).collect();
            chunks.push(chunk);
            weights.push(Tensor::from_f64([size], dtype, &weight).unwrap_or_else(|| Tensor::zeros([size], dtype)));
        }
        let frozen = mode == NormMode::Frozen && network.has_batch_statistics();
        let statistics = if frozen { Some(statistics(network, samples, noise)?) } else { None };
        let frozen = Vec::new();
        let memory_limit = None;
        let mut point = Point {
            network,
            mode,
            state: state.clone(),
            chunks,
            weights,
            samples: count,
            share,
            noise,
            memory_limit,
            frozen,
            statistics,
        };
        point.move_to(state)?;
        Ok(point)
    }

    /// Takes other numbers for the network, with the statistics that follow from them.
    pub(super) fn move_to(&mut self, state: State) -> Result<()> {
        self.state = state;
        let Some((samples, runner)) = &mut self.statistics else { return Ok(()) };
        self.frozen = runner.new_outputs();
        let feed = Feed { parameters: &self.state.parameters, buffers: &self.state.buffers, ..Feed::of(samples) };
        runner.run(&feed, &mut self.frozen)
    }

    /// Takes other samples, as many as before.
    pub(super) fn move_to_samples(&mut self, samples: Batch) -> Result<()> {
        if samples.len() != self.samples {
            return Err(Error::input("other samples must be as many as those before")
                .detail("expected", self.samples)
                .detail("got", samples.len()));
        }
        let size = self.size();
        for (chunk, start) in self.chunks.iter_mut().zip((0..self.samples).step_by(size.max(1))) {
            *chunk = cut(&samples, start, size)?.0;
        }
        if let Some((named, _)) = &mut self.statistics {
            *named = samples;
        }
        self.move_to(self.state.clone())
    }

    /// Samples in a chunk.
    pub(super) fn size(&self) -> usize {
        self.chunks.first().map_or(0, Batch::len)
    }

    /// Samples of a chunk that are no filling.
    pub(super) fn filled(&self, chunk: usize) -> usize {
        self.size().min(self.samples - chunk * self.size())
    }

    /// Traces the network and the weighted loss of one chunk.
    pub(super) fn trace<'g>(&'g self, graph: &'g Graph) -> Result<Chunk<'g>> {
        let size = self.size();
        let how = Tracing { noisy: self.noise.is_some(), ..Tracing::quiet(size, self.mode) };
        let traced = self.network.trace(graph, how)?;
        let weights = graph.input("weights", [size], self.network.dtype());
        // What fills the last chunk up must not count, even where its loss is infinite.
        let losses = weights.greater(weights.like(0.0)).select(traced.losses, traced.losses.like(0.0));
        let loss = (losses * weights).sum_all();
        let objective = traced.with_terms(loss)?;
        Ok(Chunk { traced, loss, objective })
    }

    /// Compiles what `build` traces over one chunk.
    pub(super) fn compile(
        &self,
        build: impl for<'g> FnOnce(&'g Graph, &Chunk<'g>) -> Result<Vec<Var<'g>>>,
    ) -> Result<(Runner, Vec<Tensor>)> {
        let graph = Graph::new();
        let chunk = self.trace(&graph)?;
        let results = build(&graph, &chunk)?;
        let names: Vec<String> = (0..results.len()).map(|n| n.to_string()).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(results).collect();
        let runner = self.runner(&graph.function(&outputs)?)?;
        let results = runner.new_outputs();
        Ok((runner, results))
    }

    /// Compiles a function that draws the point's random numbers.
    pub(super) fn runner(&self, function: &Function) -> Result<Runner> {
        let mut runner = Runner::of(function, &Build { memory_limit: self.memory_limit, ..Build::default() })?;
        runner.set_noise(self.noise.unwrap_or_default());
        Ok(runner)
    }

    /// What a program over one chunk is fed.
    pub(super) fn feed(&self, chunk: usize) -> Feed<'_> {
        Feed {
            parameters: &self.state.parameters,
            buffers: &self.state.buffers,
            frozen: &self.frozen,
            scalars: std::slice::from_ref(&self.weights[chunk]),
            ..Feed::of(&self.chunks[chunk])
        }
    }
}

/// A traced chunk.
pub(super) struct Chunk<'g> {
    pub(super) traced: Trace<'g>,
    /// The chunk's share of the mean loss, or the mean loss of a batch.
    pub(super) loss: Var<'g>,
    /// The same with the terms of the objective.
    pub(super) objective: Var<'g>,
}

/// The program of the statistics of all samples as one batch.
fn statistics(network: &Network, samples: Batch, noise: Option<Noise>) -> Result<(Batch, Runner)> {
    let graph = Graph::new();
    let how = Tracing { noisy: noise.is_some(), ..Tracing::quiet(samples.len(), NormMode::Batch) };
    let traced = network.trace(&graph, how)?;
    let outputs: Vec<(String, Var<'_>)> =
        traced.cx.statistics().into_iter().map(|statistic| (statistic.path, statistic.value)).collect();
    if let Some(path) =
        frozen_paths(network, samples.len())?.iter().find(|path| !outputs.iter().any(|(has, _)| has == *path))
    {
        return Err(Error::input("a layer takes no statistics of so few samples, so that there are none to freeze")
            .detail("layer", path)
            .detail("expected", "at least 2 samples")
            .detail("got", samples.len())
            .hint("measure over more samples, or use norm mode `running`"));
    }
    let mut runner = Runner::new(&graph, &outputs, &Build::default())?;
    runner.set_noise(noise.unwrap_or_default());
    Ok((samples, runner))
}

/// The statistics that layers ask for in norm mode [`NormMode::Frozen`].
fn frozen_paths(network: &Network, samples: usize) -> Result<Vec<String>> {
    let graph = Graph::new();
    let traced = network.trace(&graph, Tracing::quiet(samples, NormMode::Frozen))?;
    let function = graph.function(&[("logits", traced.logits)])?;
    let asked = function.inputs().iter().filter_map(|input| input.name.strip_prefix("frozen/"));
    Ok(asked.map(String::from).collect())
}

/// Samples `start..start + size`; missing ones are filled up with the first sample. Returns how many are real.
fn cut(samples: &Batch, start: usize, size: usize) -> Result<(Batch, usize)> {
    let count = samples.len();
    if start == 0 && size == count {
        return Ok((samples.clone(), count));
    }
    let filled = size.min(count - start);
    let indices: Vec<u32> = (0..size).map(|n| if n < filled { (start + n) as u32 } else { 0 }).collect();
    Ok((samples.take(&indices)?, filled))
}
