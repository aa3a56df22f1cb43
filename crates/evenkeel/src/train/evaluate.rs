//! Loss and accuracy over many samples.

use crate::batch::Batch;
use crate::config::NormMode;
use crate::data::{Dataset, Split};
use crate::network::{Network, Tracing};
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::{Graph, Tensor};

/// Mean loss and accuracy over a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Share of labels answered rightly; NaN where there are no classes.
    pub accuracy: f64,
}

/// Evaluates a network on any number of samples, a batch at a time; the last batch is filled up with samples of weight 0.
pub struct Evaluator<'n> {
    network: &'n Network,
    batch: usize,
    runner: Runner,
    outputs: Vec<Tensor>,
}

/// Samples evaluated at once.
pub(super) const BATCH: usize = 256;

impl<'n> Evaluator<'n> {
    /// Compiles the evaluation.
    ///
    /// # Errors
    /// When the network cannot be traced.
    pub fn new(network: &'n Network) -> Result<Self> {
        Self::with_batch(network, BATCH)
    }

    /// Compiles the evaluation of `batch` samples at once.
    ///
    /// # Errors
    /// When the network cannot be traced.
    pub fn with_batch(network: &'n Network, batch: usize) -> Result<Self> {
        Self::in_mode(network, batch, NormMode::Running)
    }

    /// The same with statistics of the batch ([`NormMode::Batch`]) or the running ones; with those of the batch, what is evaluated
    /// should be a multiple of `batch` samples, since what fills the last one up counts in its statistics.
    ///
    /// # Errors
    /// When the network cannot be traced, or the mode is [`NormMode::Frozen`].
    pub fn in_mode(network: &'n Network, batch: usize, mode: NormMode) -> Result<Self> {
        if mode == NormMode::Frozen {
            return Err(Error::input("an evaluation has norm mode batch or running").detail("got", mode.word()));
        }
        let graph = Graph::new();
        let traced = network.trace(&graph, Tracing::quiet(batch, mode))?;
        let weights = graph.input("weights", [batch], network.dtype());
        // A sample of weight 0 must not count even where its loss is infinite.
        let counts = weights.greater(weights.like(0.0));
        let outputs = [("loss", traced.losses), ("hits", traced.hits)]
            .map(|(name, values)| (name.to_string(), counts.select(values, values.like(0.0)).sum_all()));
        let runner = Runner::new(&graph, &outputs, &Build::default())?;
        let outputs = runner.new_outputs();
        Ok(Evaluator { network, batch, runner, outputs })
    }

    /// Samples evaluated at once.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes that an evaluation takes beside parameters and buffers.
    pub(super) fn arena_bytes(&self) -> usize {
        self.runner.arena_bytes()
    }

    /// Gives back the memory of an evaluation until the next one.
    pub(super) fn release(&mut self) {
        self.runner.release();
    }

    /// Evaluates all samples of a split.
    ///
    /// # Errors
    /// When parameters or samples are not the network's.
    pub fn evaluate(
        &mut self,
        dataset: &Dataset,
        split: &Split,
        parameters: &[Tensor],
        buffers: &[Tensor],
    ) -> Result<Evaluation> {
        let dtype = self.network.dtype();
        self.in_parts(split.len(), parameters, buffers, |indices| Batch::some_of(dataset, split, indices, dtype))
    }

    /// Evaluates samples in memory.
    ///
    /// # Errors
    /// When parameters or samples are not the network's.
    pub fn evaluate_samples(
        &mut self,
        samples: &Batch,
        parameters: &[Tensor],
        buffers: &[Tensor],
    ) -> Result<Evaluation> {
        self.in_parts(samples.len(), parameters, buffers, |indices| samples.take(indices))
    }

    fn in_parts(
        &mut self,
        samples: usize,
        parameters: &[Tensor],
        buffers: &[Tensor],
        take: impl Fn(&[u32]) -> Result<Batch>,
    ) -> Result<Evaluation> {
        let (mut loss, mut hits) = (0.0, 0.0);
        for start in (0..samples).step_by(self.batch) {
            let count = self.batch.min(samples - start);
            let indices: Vec<u32> = (0..self.batch).map(|n| (start + n.min(count - 1)) as u32).collect();
            let batch = take(&indices)?;
            let weights: Vec<f64> = (0..self.batch).map(|n| f64::from(u8::from(n < count))).collect();
            let weights = Tensor::from_f64([self.batch], self.network.dtype(), &weights);
            let weights = [weights.unwrap_or_else(|| Tensor::zeros([self.batch], self.network.dtype()))];
            let feed = Feed { parameters, buffers, scalars: &weights, ..Feed::of(&batch) };
            self.runner.run(&feed, &mut self.outputs)?;
            loss += self.outputs[0].item().unwrap_or(f64::NAN);
            hits += self.outputs[1].item().unwrap_or(f64::NAN);
        }
        Ok(Evaluation { loss: loss / samples.max(1) as f64, accuracy: self.network.accuracy(hits, samples) })
    }
}
