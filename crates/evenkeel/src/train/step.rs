//! One training step as one program: loss, gradient, update and running statistics.

use crate::config::NormMode;
use crate::network::{Batch, Network, Noise, State};
use crate::norm::check_weights;
use crate::optim::Sgd;
use crate::runner::{Build, Feed, MemoryLimit, Runner};
use crate::work::Work;
use crate::{Error, Result};
use evenkeel_cpu::NonFinite;
use evenkeel_graph::{DType, Graph, Pass, Tensor, Var};

/// Takes steps. Parameters, velocities and buffers live in the program's outputs and are updated in place.
pub struct Trainer<'n> {
    network: &'n Network,
    sgd: Sgd,
    batch: usize,
    runner: Runner,
    outputs: Vec<Tensor>,
    noise: Noise,
}

/// What a step found on its batch, before the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Mean loss.
    pub loss: f64,
    /// Share of samples answered rightly.
    pub accuracy: f64,
    /// Euclidean norm of the gradient of the mean loss (without weight decay).
    pub gradient_norm: f64,
}

impl StepResult {
    /// Whether the update was made: loss and gradient were finite.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.gradient_norm.is_finite()
    }
}

/// Outputs before the parameters: loss, hits, gradient norm.
const SCALARS: usize = 3;

impl<'n> Trainer<'n> {
    /// Compiles the step for batches of `batch` samples, starting from `state`.
    ///
    /// # Errors
    /// When the network cannot be trained on such batches.
    pub fn new(network: &'n Network, sgd: Sgd, batch: usize, state: State) -> Result<Self> {
        Self::within(network, sgd, batch, state, None)
    }

    /// The same within a limit of memory for a step, its state and its batch: what does not fit is computed again in the backward
    /// pass, which may change the last bits of sums.
    ///
    /// # Errors
    /// As [`Trainer::new`], and when the limit cannot be kept.
    pub(crate) fn within(
        network: &'n Network,
        sgd: Sgd,
        batch: usize,
        state: State,
        memory_limit: Option<MemoryLimit>,
    ) -> Result<Self> {
        let runner = program(network, sgd, batch, Purpose::Train { memory_limit })?;
        let outputs = runner.new_outputs();
        let mut trainer = Trainer { network, sgd, batch, runner, outputs, noise: Noise::default() };
        trainer.set_state(state, None)?;
        Ok(trainer)
    }

    /// What the next step draws random numbers with; each step counts on from there. Seed 0 and step 0 unless set.
    pub fn set_noise(&mut self, noise: Noise) {
        self.noise = noise;
    }

    /// Takes one step at the given rate. When loss or gradient are not finite, nothing changes.
    ///
    /// # Errors
    /// When the batch is not shaped as compiled.
    pub fn step(&mut self, batch: &Batch, learning_rate: f64) -> Result<StepResult> {
        let rate = [scalar(learning_rate, self.network.dtype())];
        let feed = Feed { scalars: &rate, ..Feed::of(batch) };
        self.runner.set_noise(self.noise);
        self.runner.run(&feed, &mut self.outputs)?;
        self.noise.step = self.noise.step.wrapping_add(1);
        let number = |index: usize| self.outputs[index].item().unwrap_or(f64::NAN);
        Ok(StepResult { loss: number(0), accuracy: number(1) / batch.len().max(1) as f64, gradient_norm: number(2) })
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &[Tensor] {
        &self.outputs[SCALARS..SCALARS + self.network.parameters().len()]
    }

    /// The optimiser's velocities, one a parameter.
    pub fn velocities(&self) -> &[Tensor] {
        let count = self.network.parameters().len();
        &self.outputs[SCALARS + count..SCALARS + 2 * count]
    }

    /// The buffers as they are now.
    pub fn buffers(&self) -> &[Tensor] {
        &self.outputs[SCALARS + 2 * self.network.parameters().len()..]
    }

    /// A copy of parameters and buffers.
    pub fn state(&self) -> State {
        State { parameters: self.parameters().to_vec(), buffers: self.buffers().to_vec() }
    }

    /// Goes on from other numbers; without velocities they start at zero.
    ///
    /// # Errors
    /// When a tensor is not shaped like its parameter, or a weight could never learn ([`check_weights`]).
    pub fn set_state(&mut self, state: State, velocities: Option<Vec<Tensor>>) -> Result<()> {
        let infos = self.network.parameters();
        let velocities = velocities
            .unwrap_or_else(|| infos.iter().map(|info| Tensor::zeros(&info.shape, self.network.dtype())).collect());
        let given: Vec<Tensor> = state.parameters.into_iter().chain(velocities).chain(state.buffers).collect();
        let slots = &mut self.outputs[SCALARS..];
        if given.len() != slots.len() {
            return Err(Error::input("the state has another number of tensors than the network")
                .detail("expected", slots.len())
                .detail("got", given.len()));
        }
        let names = infos.iter().chain(infos).map(|info| &info.path);
        let names = names.chain(self.network.buffers().iter().map(|info| &info.path));
        for ((slot, tensor), name) in slots.iter().zip(&given).zip(names) {
            if slot.shape() != tensor.shape() || slot.dtype() != tensor.dtype() {
                return Err(Error::input(format!("{name} does not have the network's shape"))
                    .detail("layer", name)
                    .detail("expected", format!("{} {}", slot.dtype(), slot.shape()))
                    .detail("got", format!("{} {}", tensor.dtype(), tensor.shape())));
            }
        }
        check_weights(self.network, &given[..infos.len()])?;
        // Moved, not copied: a state may take half of the memory there is.
        slots.iter_mut().zip(given).for_each(|(slot, tensor)| *slot = tensor);
        Ok(())
    }

    /// Bytes that a step takes beside parameters, velocities and buffers.
    pub fn arena_bytes(&self) -> usize {
        self.runner.arena_bytes()
    }

    /// Gives back the memory of a step until the next one.
    pub(super) fn release(&mut self) {
        self.runner.release();
    }

    /// Floating-point operations that a step makes a second time, see [`Trainer::within`].
    pub(super) fn again_flops(&self) -> u64 {
        let again = |pass: &Pass| matches!(pass, Pass::Again(_));
        self.runner.steps().iter().filter(|step| again(&step.pass)).map(|step| step.flops).sum()
    }

    /// What a step does, part by part.
    pub(super) fn steps(&self) -> Vec<Work> {
        self.runner.steps().into_iter().map(Work::from).collect()
    }

    /// The program of a step, and its outputs with the state in them.
    pub(crate) fn into_program(self) -> (Runner, Vec<Tensor>) {
        (self.runner, self.outputs)
    }

    /// Where the numbers of the step that was taken last, on this batch, first stop being finite. Cost: a step without
    /// fusion, compiled anew.
    ///
    /// # Errors
    /// When the batch is not shaped as compiled.
    pub fn diagnose(&self, batch: &Batch) -> Result<Option<NonFinite>> {
        let mut runner = program(self.network, self.sgd, self.batch, Purpose::Inspect)?;
        runner.set_noise(Noise { step: self.noise.step.wrapping_sub(1), ..self.noise });
        let rate = [scalar(0.0, self.network.dtype())];
        let feed = Feed { parameters: self.parameters(), buffers: self.buffers(), scalars: &rate, ..Feed::of(batch) };
        runner.first_non_finite(&feed)
    }
}

fn scalar(value: f64, dtype: DType) -> Tensor {
    match dtype {
        DType::F64 => Tensor::scalar(value),
        _ => Tensor::scalar(value as f32),
    }
}

/// What a program is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To take steps, within a limit of memory.
    Train { memory_limit: Option<MemoryLimit> },
    /// To look at the forward and backward pass, value by value.
    Inspect,
}

/// Builds the step.
fn program(network: &Network, sgd: Sgd, batch: usize, purpose: Purpose) -> Result<Runner> {
    let graph = Graph::new();
    let traced = network.trace_with(&graph, batch, NormMode::Batch, true)?;
    let loss = traced.losses.mean_all();
    let gradient = graph.vjp(&[loss], &traced.parameters, None)?;
    let norm = gradient_norm(&gradient).unwrap_or_else(|| loss.like(0.0));
    let mut outputs = vec![
        ("loss".to_string(), loss),
        ("hits".to_string(), traced.hits.sum_all()),
        ("gradient_norm".to_string(), norm),
    ];
    let Purpose::Train { memory_limit } = purpose else {
        let names = network.parameters().iter().map(|info| format!("grad/{}", info.path));
        outputs.extend(names.zip(gradient));
        return Runner::new(&graph, &outputs, &Build { fuse: false, ..Build::default() });
    };
    let rate = graph.input("learning_rate", [], network.dtype());
    // Infinity times zero is NaN, and nothing equals NaN: true only where both numbers are finite.
    let sum = loss + norm;
    let finite = (sum * 0.0).equal(sum.like(0.0));
    // Parameters, then velocities, then buffers: each is overwritten by what it becomes.
    let mut parameters = Vec::new();
    let mut velocities = Vec::new();
    for ((info, &parameter), &gradient) in network.parameters().iter().zip(&traced.parameters).zip(&gradient) {
        let velocity = graph.input(format!("velocity/{}", info.path), &info.shape, network.dtype());
        let _scope = graph.scope("update");
        let (new, moved) = sgd.step(parameter, gradient, velocity, rate);
        parameters.push((format!("param/{}", info.path), finite.select(new, parameter)));
        velocities.push((format!("velocity/{}", info.path), finite.select(moved, velocity)));
    }
    let buffers = traced.cx.buffers().into_iter().map(|(info, buffer, update)| {
        (format!("buffer/{}", info.path), update.map_or(buffer, |update| finite.select(update, buffer)))
    });
    let kept: Vec<_> = parameters.into_iter().chain(velocities).chain(buffers).collect();
    let donations: Vec<_> = kept.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
    outputs.extend(kept);
    Runner::new(&graph, &outputs, &Build { donations, memory_limit, ..Build::default() })
}

/// √Σ g² over all parameters.
fn gradient_norm<'g>(gradient: &[Var<'g>]) -> Option<Var<'g>> {
    let squares = gradient.iter().map(|gradient| gradient.square().sum_all());
    squares.reduce(|total, square| total + square).map(|total| total.sqrt())
}

/// How a message names the pass a number went wrong in.
pub(crate) fn pass_name(pass: Pass) -> &'static str {
    match pass {
        Pass::Forward => "forward pass",
        Pass::Backward => "backward pass",
        Pass::Tangent => "tangent pass",
        Pass::Again(_) => "recomputation",
    }
}
