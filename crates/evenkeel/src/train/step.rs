//! One training step as one program: objective, gradient, update and running statistics.

use crate::batch::Batch;
use crate::config::NormMode;
use crate::network::{Network, Noise, State, Tracing};
use crate::nn::{ParameterInfo, Perturbation};
use crate::norm::check_weights;
use crate::optim::{Optimizer, SharpnessAware, Update};
use crate::runner::{Build, Feed, MemoryLimit, Runner};
use crate::work::Work;
use crate::{Error, Result};
use evenkeel_cpu::NonFinite;
use evenkeel_graph::{DType, Graph, Pass, Shape, Tensor, Var};
use std::cell::OnceCell;
use std::rc::Rc;

/// Takes steps. Parameters, what the optimiser keeps, and buffers live in the program's outputs and are updated in place.
pub struct Trainer<'n> {
    network: &'n Network,
    how: TrainerOptions,
    batch: usize,
    /// The program of a step with all terms of the objective, then those of steps in which some of them rest.
    programs: Vec<Step>,
    outputs: Vec<Tensor>,
    slots: Vec<Slot>,
    noise: Noise,
}

/// How steps are taken.
#[derive(Clone)]
pub struct TrainerOptions {
    /// The rule that turns gradients into steps.
    pub optimizer: Rc<dyn Optimizer>,
    /// Where the gradient is taken, if not at the parameters themselves.
    pub perturbation: Option<Rc<dyn Perturbation>>,
    /// Where the gradient that the optimiser is shown is taken, if not where it is told of.
    pub sharpness_aware: Option<SharpnessAware>,
    /// The longest gradient that the optimiser is shown: a longer one is shortened to it, over all parameters together.
    pub clip: Option<f64>,
    /// What a step may take with its state and its batch: what does not fit is computed again in the backward pass, which may change
    /// the last bits of sums.
    pub(crate) memory_limit: Option<MemoryLimit>,
}

impl TrainerOptions {
    /// Steps by this rule, along the gradient at the parameters.
    pub fn new(optimizer: impl Optimizer + 'static) -> Self {
        TrainerOptions {
            optimizer: Rc::new(optimizer),
            perturbation: None,
            sharpness_aware: None,
            clip: None,
            memory_limit: None,
        }
    }

    /// The same with the gradient taken at other values than the parameters.
    #[must_use]
    pub fn perturbed(self, perturbation: impl Perturbation + 'static) -> Self {
        TrainerOptions { perturbation: Some(Rc::new(perturbation)), ..self }
    }

    /// The same with gradients taken where the loss is worst nearby.
    #[must_use]
    pub fn sharpness_aware(self, how: SharpnessAware) -> Self {
        TrainerOptions { sharpness_aware: Some(how), ..self }
    }

    /// The same with gradients of at most this Euclidean norm, see [`TrainerOptions::clip`].
    #[must_use]
    pub fn clipped(self, norm: f64) -> Self {
        TrainerOptions { clip: Some(norm), ..self }
    }
}

/// The program of those steps in which the same terms of the objective are due.
struct Step {
    due: Vec<bool>,
    runner: Runner,
}

/// Something that the optimiser keeps for a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// What checkpoints call it: a velocity as its parameter, everything else `name/path`.
    pub(crate) name: String,
    /// The parameter's.
    pub(crate) shape: Shape,
}

/// What a step found on its batch, before the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Mean loss of the samples.
    pub loss: f64,
    /// The same with all terms of the objective: what is made small.
    pub objective: f64,
    /// Share of labels answered rightly; NaN where there are no classes.
    pub accuracy: f64,
    /// Euclidean norm of the gradient of the objective (without weight decay).
    pub gradient_norm: f64,
}

impl StepResult {
    /// Whether the update was made: objective and gradient were finite.
    pub fn is_finite(&self) -> bool {
        self.objective.is_finite() && self.gradient_norm.is_finite()
    }
}

/// Outputs before the parameters: loss, objective, hits, gradient norm.
const SCALARS: usize = 4;

impl<'n> Trainer<'n> {
    /// Compiles the step for batches of `batch` samples, starting from `state`.
    ///
    /// # Errors
    /// When the network cannot be trained on such batches.
    pub fn new(network: &'n Network, optimizer: impl Optimizer + 'static, batch: usize, state: State) -> Result<Self> {
        Self::with(network, TrainerOptions::new(optimizer), batch, state)
    }

    /// The same with everything chosen.
    ///
    /// # Errors
    /// As [`Trainer::new`], and when a memory limit cannot be kept.
    pub fn with(network: &'n Network, how: TrainerOptions, batch: usize, state: State) -> Result<Self> {
        let slots = optimizer_slots(network, &*how.optimizer);
        let due = vec![true; network.due(0).len()];
        let runner = program(network, &how, batch, &due, Purpose::Train)?;
        let outputs = runner.new_outputs();
        let programs = vec![Step { due, runner }];
        let mut trainer = Trainer { network, how, batch, programs, outputs, slots, noise: Noise::default() };
        trainer.set_state(state, None)?;
        Ok(trainer)
    }

    /// The seed of random numbers and the number of the next step; each step counts on from there. Seed 0 and step 0 unless set.
    pub fn set_noise(&mut self, noise: Noise) {
        self.noise = noise;
    }

    /// Takes one step at the given rate. When loss or gradient are not finite, nothing changes.
    ///
    /// # Errors
    /// When the batch is not shaped as compiled.
    pub fn step(&mut self, batch: &Batch, learning_rate: f64) -> Result<StepResult> {
        let numbers = self.numbers(self.noise, learning_rate);
        let feed = Feed { scalars: &numbers, ..Feed::of(batch) };
        let place = self.program_of(self.network.due(self.noise.step))?;
        let runner = &mut self.programs[place].runner;
        runner.set_noise(self.noise);
        runner.run(&feed, &mut self.outputs)?;
        self.noise.step = self.noise.step.wrapping_add(1);
        let number = |index: usize| self.outputs[index].item().unwrap_or(f64::NAN);
        Ok(StepResult {
            loss: number(0),
            objective: number(1),
            accuracy: self.network.accuracy(number(2), batch.len()),
            gradient_norm: number(3),
        })
    }

    /// The place of the program with these terms; compiled when it is first asked for.
    fn program_of(&mut self, due: Vec<bool>) -> Result<usize> {
        if let Some(place) = self.programs.iter().position(|step| step.due == due) {
            return Ok(place);
        }
        let runner = program(self.network, &self.how, self.batch, &due, Purpose::Train)?;
        self.programs.push(Step { due, runner });
        Ok(self.programs.len() - 1)
    }

    /// What a step is given beside its batch, in the order of tracing.
    pub(crate) fn numbers(&self, noise: Noise, learning_rate: f64) -> Vec<Tensor> {
        let dtype = self.network.dtype();
        let perturbation = self.how.perturbation.iter().filter_map(|perturbation| {
            let numbers = perturbation.at_step(noise);
            Tensor::from_f64([numbers.len()], dtype, &numbers)
        });
        let optimizer = self.how.optimizer.at_step(noise.step).into_iter().map(|number| scalar(number, dtype));
        perturbation.chain([scalar(learning_rate, dtype)]).chain(optimizer).collect()
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &[Tensor] {
        &self.outputs[SCALARS..SCALARS + self.network.parameters().len()]
    }

    /// What the optimiser keeps, parameter after parameter.
    pub fn optimizer_state(&self) -> &[Tensor] {
        let start = SCALARS + self.network.parameters().len();
        &self.outputs[start..start + self.slots.len()]
    }

    /// What [`Trainer::optimizer_state`] is called in checkpoints.
    pub fn optimizer_names(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// The buffers as they are now.
    pub fn buffers(&self) -> &[Tensor] {
        &self.outputs[SCALARS + self.network.parameters().len() + self.slots.len()..]
    }

    /// A copy of parameters and buffers.
    pub fn state(&self) -> State {
        State { parameters: self.parameters().to_vec(), buffers: self.buffers().to_vec() }
    }

    /// Goes on from other numbers; without the optimiser's they start at zero.
    ///
    /// # Errors
    /// When a tensor is not shaped like its parameter, or a weight could never learn ([`check_weights`]).
    pub fn set_state(&mut self, state: State, optimizer: Option<Vec<Tensor>>) -> Result<()> {
        let infos = self.network.parameters();
        let optimizer = optimizer.unwrap_or_else(|| zeros(&self.slots, self.network.dtype()));
        let given: Vec<Tensor> = state.parameters.into_iter().chain(optimizer).chain(state.buffers).collect();
        if given.len() != self.outputs.len() - SCALARS {
            return Err(Error::input("the state has another number of tensors than the network")
                .detail("expected", self.outputs.len() - SCALARS)
                .detail("got", given.len()));
        }
        let kept = self.slots.iter().map(|slot| (&slot.name, &slot.shape));
        let wanted = infos.iter().map(|info| (&info.path, &info.shape)).chain(kept);
        let wanted = wanted.chain(self.network.buffers().iter().map(|info| (&info.path, &info.shape)));
        let dtype = self.network.dtype();
        for ((name, shape), tensor) in wanted.zip(&given) {
            if shape != tensor.shape() || dtype != tensor.dtype() {
                return Err(Error::input(format!("{name} does not have the network's shape"))
                    .detail("layer", name)
                    .detail("expected", format!("{dtype} {shape}"))
                    .detail("got", format!("{} {}", tensor.dtype(), tensor.shape())));
            }
        }
        check_weights(self.network, &given[..infos.len()])?;
        // Moved, not copied: a state may take half of the memory there is.
        self.outputs[SCALARS..].iter_mut().zip(given).for_each(|(slot, tensor)| *slot = tensor);
        Ok(())
    }

    /// Bytes that a step takes beside parameters, what the optimiser keeps, and buffers.
    pub fn arena_bytes(&self) -> usize {
        self.programs.iter().map(|step| step.runner.arena_bytes()).sum()
    }

    /// Bytes of what the optimiser keeps.
    pub(super) fn optimizer_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.shape.elements()).sum::<usize>() * self.network.dtype().bytes()
    }

    /// Gives back the memory of the state, in the place of which another is to be set.
    pub(super) fn forget_state(&mut self) {
        let nothing = Tensor::zeros([0], self.network.dtype());
        self.outputs[SCALARS..].fill(nothing);
    }

    /// Gives back the memory of a step until the next one.
    pub(super) fn release(&mut self) {
        self.programs.iter_mut().for_each(|step| step.runner.release());
    }

    /// Floating-point operations that a step makes a second time to keep a memory limit.
    pub(super) fn again_flops(&self) -> u64 {
        let again = |pass: &Pass| matches!(pass, Pass::Again(_));
        self.whole().steps().iter().filter(|step| again(&step.pass)).map(|step| step.flops).sum()
    }

    /// What a step does, part by part.
    pub(super) fn steps(&self) -> Vec<Work> {
        self.whole().steps().into_iter().map(Work::from).collect()
    }

    /// The program of a step with all terms of the objective.
    fn whole(&self) -> &Runner {
        &self.programs[0].runner
    }

    /// The program of a step with all terms, and its outputs with the state in them.
    pub(crate) fn into_program(mut self) -> (Runner, Vec<Tensor>) {
        (self.programs.swap_remove(0).runner, self.outputs)
    }

    /// Where the numbers of the step that was taken last, on this batch, first stop being finite. Cost: a step without
    /// fusion, compiled anew.
    ///
    /// # Errors
    /// When the batch is not shaped as compiled.
    pub fn diagnose(&self, batch: &Batch) -> Result<Option<NonFinite>> {
        let taken = Noise { step: self.noise.step.wrapping_sub(1), ..self.noise };
        let due = self.network.due(taken.step);
        let mut runner = program(self.network, &self.how, self.batch, &due, Purpose::Inspect)?;
        runner.set_noise(taken);
        let numbers = self.numbers(taken, 0.0);
        let feed =
            Feed { parameters: self.parameters(), buffers: self.buffers(), scalars: &numbers, ..Feed::of(batch) };
        runner.first_non_finite(&feed)
    }
}

/// What the optimiser keeps, parameter after parameter.
pub(crate) fn optimizer_slots(network: &Network, optimizer: &dyn Optimizer) -> Vec<Slot> {
    let of = |info: &ParameterInfo| {
        let name = |kept: &&str| if *kept == "velocity" { info.path.clone() } else { format!("{kept}/{}", info.path) };
        let slot = |kept| Slot { name: name(kept), shape: info.shape.clone() };
        optimizer.slots(&info.path).iter().map(slot).collect::<Vec<_>>()
    };
    network.parameters().iter().flat_map(of).collect()
}

/// What it keeps before the first step.
pub(super) fn zeros(slots: &[Slot], dtype: DType) -> Vec<Tensor> {
    slots.iter().map(|slot| Tensor::zeros(&slot.shape, dtype)).collect()
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
    /// To take steps.
    Train,
    /// To look at the forward and backward pass, value by value.
    Inspect,
}

/// Builds the step.
fn program(network: &Network, how: &TrainerOptions, batch: usize, due: &[bool], purpose: Purpose) -> Result<Runner> {
    let graph = Graph::new();
    let ascended = OnceCell::new();
    let perturbation = how.perturbation.as_deref();
    let tracing = Tracing { noisy: true, perturbation, ..Tracing::quiet(batch, NormMode::Batch) };
    let traced = network.trace(&graph, tracing)?;
    let loss = traced.losses.mean_all();
    let is_due = |term: usize| due.get(term).is_none_or(|due| *due);
    let objective = traced.with_due_terms(loss, &is_due)?;
    let variables = traced.parameters();
    let gradient = graph.vjp(&[objective], &variables, None)?;
    let norm = {
        let _scope = graph.scope("gradient_norm");
        gradient_norm(&gradient).unwrap_or_else(|| loss.like(0.0))
    };
    let scalars = [("loss", loss), ("objective", objective), ("hits", traced.hits.sum_all()), ("gradient_norm", norm)];
    let mut outputs: Vec<(String, Var<'_>)> = scalars.map(|(name, var)| (name.to_string(), var)).into();
    if purpose == Purpose::Inspect {
        let names = network.parameters().iter().map(|info| format!("grad/{}", info.path));
        outputs.extend(names.zip(gradient));
        return Runner::new(&graph, &outputs, &Build { fuse: false, ..Build::default() });
    }
    let (mut gradient, mut shown) = (gradient, norm);
    if let Some(sharpness) = how.sharpness_aware {
        let values: &Vec<Var<'_>> = ascended.get_or_init(|| {
            let _scope = graph.scope("sharpness_aware");
            sharpness.ascended(&variables, &gradient)
        });
        let there = {
            let again = network.trace(&graph, Tracing { values: Some(values), ..tracing })?;
            again.with_due_terms(again.losses.mean_all(), &is_due)?
        };
        gradient = graph.vjp(&[there], values, None)?;
        shown = gradient_norm(&gradient).unwrap_or(norm);
    }
    let dtype = network.dtype();
    let rate = graph.input("learning_rate", [], dtype);
    let numbers: Vec<Var<'_>> =
        (0..how.optimizer.numbers()).map(|n| graph.input(format!("optimizer/{n}"), [], dtype)).collect();
    // Infinity times zero is NaN, and nothing equals NaN: true only where both numbers are finite.
    let sum = objective + norm + if how.sharpness_aware.is_some() { shown } else { norm.like(0.0) };
    let finite = (sum * 0.0).equal(sum.like(0.0));
    let shortened = how.clip.map(|clip| {
        let clip = shown.like(clip);
        shown.greater(clip).select(clip / shown, shown.like(1.0))
    });
    // Parameters, then what the optimiser keeps, then buffers: each is overwritten by what it becomes.
    let mut parameters = Vec::new();
    let mut kept = Vec::new();
    for ((info, &parameter), &gradient) in network.parameters().iter().zip(&variables).zip(&gradient) {
        let names: Vec<String> =
            how.optimizer.slots(&info.path).iter().map(|slot| format!("{slot}/{}", info.path)).collect();
        let state: Vec<Var<'_>> = names.iter().map(|name| graph.input(name, &info.shape, dtype)).collect();
        let _scope = graph.scope("update");
        let gradient = shortened.map_or(gradient, |factor| gradient * factor);
        let at = Update { path: &info.path, parameter, gradient, state: state.clone(), rate, numbers: numbers.clone() };
        let (new, moved) = how.optimizer.update(&at);
        parameters.push((format!("param/{}", info.path), finite.select(new, parameter)));
        kept.extend(names.into_iter().zip(moved).zip(state).map(|((name, new), old)| (name, finite.select(new, old))));
    }
    let buffers = traced.cx.buffers().into_iter().map(|(info, buffer, update)| {
        (format!("buffer/{}", info.path), update.map_or(buffer, |update| finite.select(update, buffer)))
    });
    let updated: Vec<_> = parameters.into_iter().chain(kept).chain(buffers).collect();
    let donations: Vec<_> = updated.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
    outputs.extend(updated);
    Runner::new(&graph, &outputs, &Build { donations, memory_limit: how.memory_limit, ..Build::default() })
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
