//! Values of a network on a batch: whatever can be traced from it, compiled once and looked at as often as wanted.

mod activations;

pub use activations::{ActivationStatistics, Activations};

use crate::batch::Batch;
use crate::config::NormMode;
use crate::network::{Network, Noise, State, Trace, Tracing};
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::{Graph, Tensor, Var};

/// A program that computes values of a network on batches of one size.
pub struct Probe {
    runner: Runner,
    names: Vec<String>,
    outputs: Vec<Tensor>,
}

impl Probe {
    /// Compiles what `build` traces: names and values.
    ///
    /// # Errors
    /// When the network or the values cannot be traced on such batches; in [`NormMode::Frozen`], which has no batch of its own here.
    pub fn new(
        network: &Network,
        batch: usize,
        mode: NormMode,
        build: impl for<'g> FnOnce(&Trace<'g>) -> Result<Vec<(String, Var<'g>)>>,
    ) -> Result<Probe> {
        Self::compile(network, Tracing::quiet(batch, mode), build)
    }

    /// The same with the random numbers of a training step, those of step 0 and seed 0 unless [`Probe::set_noise`] says otherwise.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn with_noise(
        network: &Network,
        batch: usize,
        mode: NormMode,
        build: impl for<'g> FnOnce(&Trace<'g>) -> Result<Vec<(String, Var<'g>)>>,
    ) -> Result<Probe> {
        Self::compile(network, Tracing { noisy: true, ..Tracing::quiet(batch, mode) }, build)
    }

    fn compile(
        network: &Network,
        how: Tracing<'_>,
        build: impl for<'g> FnOnce(&Trace<'g>) -> Result<Vec<(String, Var<'g>)>>,
    ) -> Result<Probe> {
        if how.mode == NormMode::Frozen {
            return Err(Error::input("a probe has norm mode batch or running").detail("got", how.mode.word()));
        }
        let graph = Graph::new();
        let trace = network.trace(&graph, Tracing { perturbation: None, ..how })?;
        // Parameters of terms are inputs, too.
        trace.objective()?;
        let outputs = build(&trace)?;
        trace.cx.check()?;
        let runner = Runner::new(&graph, &outputs, &Build::default())?;
        let names = outputs.into_iter().map(|(name, _)| name).collect();
        let outputs = runner.new_outputs();
        Ok(Probe { runner, names, outputs })
    }

    /// The hidden values that the network makes known, see [`crate::nn::Context::tap`].
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn taps(network: &Network, batch: usize, mode: NormMode) -> Result<Probe> {
        Self::new(network, batch, mode, |trace| {
            Ok(trace.cx.taps().into_iter().map(|tap| (tap.path, tap.value)).collect())
        })
    }

    /// What the values are called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Gives back the memory of a run until the next one.
    pub(crate) fn release(&mut self) {
        self.runner.release();
    }

    /// The random numbers of the next runs.
    pub fn set_noise(&mut self, noise: Noise) {
        self.runner.set_noise(noise);
    }

    /// The values on a batch, in the order they were traced.
    ///
    /// # Errors
    /// When the batch or the state are not shaped as compiled.
    pub fn run(&mut self, batch: &Batch, parameters: &[Tensor], buffers: &[Tensor]) -> Result<&[Tensor]> {
        let feed = Feed { parameters, buffers, ..Feed::of(batch) };
        self.runner.run(&feed, &mut self.outputs)?;
        Ok(&self.outputs)
    }

    /// The same for a state.
    ///
    /// # Errors
    /// As [`Probe::run`].
    pub fn at(&mut self, batch: &Batch, state: &State) -> Result<&[Tensor]> {
        self.run(batch, &state.parameters, &state.buffers)
    }
}
