//! Training steps: a state, and what moves it.

use super::layer_statistics::{self, WeightStatistics};
use super::program::{Purpose, SCALARS, program};
use crate::batch::Batch;
use crate::network::{Network, Noise, State};
use crate::nn::{ParameterInfo, Perturbation};
use crate::norm::check_weights;
use crate::optim::{ITERATE, Optimizer, Pace, SharpnessAware};
use crate::runner::{Feed, MemoryLimit, Runner};
use crate::work::Work;
use crate::{Error, Result};
use evenkeel_cpu::NonFinite;
use evenkeel_graph::{DType, Pass, Shape, Tensor};
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

/// Takes steps. Parameters, what the optimiser keeps, and buffers live in the program's outputs and are updated in place.
pub struct Trainer<'n> {
    network: &'n Network,
    how: TrainerOptions,
    batch: usize,
    /// Micro-batches that a batch is taken in.
    parts: usize,
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
    /// Samples whose gradient is taken at once, a part of the batch; without a number all of it. See [`Trainer::step`].
    pub micro_batch: Option<usize>,
    /// Whether labels are shares of classes ([`Batch::with_shares`]) in the place of classes.
    pub shares: bool,
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
            micro_batch: None,
            shares: false,
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

    /// The same for labels that are shares of classes, as those of mixed samples.
    #[must_use]
    pub fn with_shares(self) -> Self {
        TrainerOptions { shares: true, ..self }
    }

    /// The same with gradients of at most this Euclidean norm, see [`TrainerOptions::clip`].
    #[must_use]
    pub fn clipped(self, norm: f64) -> Self {
        TrainerOptions { clip: Some(norm), ..self }
    }

    /// The same with gradients taken of so many samples at once and added up over the batch.
    #[must_use]
    pub fn in_micro_batches(self, samples: usize) -> Self {
        TrainerOptions { micro_batch: Some(samples), ..self }
    }
}

/// The program of those steps in which the same terms of the objective are due.
struct Step {
    due: Vec<bool>,
    /// Whether it looks at each weight.
    looks: bool,
    runner: Runner,
}

/// Something that the optimiser keeps for a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// What checkpoints call it: a velocity as its parameter, everything else `name/path`.
    pub(crate) name: String,
    /// The parameter's, or what the rule keeps of it.
    pub(crate) shape: Shape,
    /// The number of the parameter that it is at first; else it is 0.
    parameter: Option<usize>,
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
    /// Euclidean norm of the gradient of the objective (without weight decay), at the parameters; where the batch is taken in parts, of
    /// what the optimiser is shown.
    pub gradient_norm: f64,
}

impl StepResult {
    /// Whether the update was made: objective and gradient were finite.
    pub fn is_finite(&self) -> bool {
        self.objective.is_finite() && self.gradient_norm.is_finite()
    }
}

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
        let parts = parts(&how, batch)?;
        let slots = optimizer_slots(network, &*how.optimizer);
        let due = vec![true; network.due(0).len()];
        let runner = program(network, &how, (batch / parts, parts), &due, Purpose::Train)?;
        let outputs = runner.new_outputs();
        let programs = vec![Step { due, looks: false, runner }];
        let mut trainer = Trainer { network, how, batch, parts, programs, outputs, slots, noise: Noise::default() };
        trainer.set_state(state, None)?;
        Ok(trainer)
    }

    /// The seed of random numbers and the number of the next step; each step counts on from there. Seed 0 and step 0 unless set.
    pub fn set_noise(&mut self, noise: Noise) {
        self.noise = noise;
    }

    /// Takes one step at the given pace, which may be a rate alone. When loss or gradient are not finite, nothing changes.
    ///
    /// In micro-batches the rule is shown the mean of their gradients, which is that of the batch where samples do not depend on each
    /// other. Batch norm takes the statistics of each micro-batch, and running statistics move once for each; sharpness-aware steps look
    /// around once for each.
    ///
    /// # Errors
    /// When the batch is not shaped as compiled.
    pub fn step(&mut self, batch: &Batch, pace: impl Into<Pace>) -> Result<StepResult> {
        self.take(batch, pace.into(), false)
    }

    /// The same, and what it did to each weight (a parameter of two axes and more): the same step to the last bit. Cost: two sums over
    /// each weight and its update, one over its gradient; when first asked for, another program is compiled, and its memory is only taken
    /// while that of ordinary steps is not.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_with_statistics(
        &mut self,
        batch: &Batch,
        pace: impl Into<Pace>,
    ) -> Result<(StepResult, Vec<WeightStatistics>)> {
        let pace = pace.into();
        self.release();
        let state = self.outputs.len();
        self.outputs.extend(layer_statistics::outputs(self.network));
        let result = self.take(batch, pace, true);
        let found = self.outputs.split_off(state);
        self.release();
        Ok((result?, layer_statistics::read(self.network, &*self.how.optimizer, pace, &found)))
    }

    /// Takes a step, with a program that looks at each weight or one that does not.
    fn take(&mut self, batch: &Batch, pace: Pace, looks: bool) -> Result<StepResult> {
        self.check_labels(batch)?;
        let place = self.program_of(self.network.due(self.noise.step), looks)?;
        // Whatever happens in one part, a step that fails leaves everything as it was.
        let before = (self.parts > 1).then(|| self.buffers().to_vec());
        let mut told = [0.0_f64; SCALARS];
        for part in 0..self.parts {
            let last = part + 1 == self.parts;
            let update = match told.iter().all(|number| number.is_finite()) {
                true if last => 1.0,
                _ if last => -1.0,
                _ => 0.0,
            };
            let numbers = self.numbers(self.noise, pace, update);
            let samples = self.part(batch, part)?;
            let runner = &mut self.programs[place].runner;
            runner.set_noise(part_noise(self.noise, part, self.parts));
            runner.run(&Feed { scalars: &numbers, ..Feed::of(&samples) }, &mut self.outputs)?;
            for (told, output) in told.iter_mut().zip(&self.outputs) {
                *told += output.item().unwrap_or(f64::NAN);
            }
        }
        self.noise.step = self.noise.step.wrapping_add(1);
        let [loss, objective, hits, _] = told;
        let parts = self.parts as f64;
        let result = StepResult {
            loss: loss / parts,
            objective: objective / parts,
            accuracy: self.network.accuracy(hits, batch.len()),
            gradient_norm: self.outputs[SCALARS - 1].item().unwrap_or(f64::NAN),
        };
        if let (Some(before), false) = (before, result.is_finite()) {
            let buffers = self.buffer_range();
            self.outputs[buffers].iter_mut().zip(before).for_each(|(slot, tensor)| *slot = tensor);
        }
        Ok(result)
    }

    /// Samples of a micro-batch, and how many of them make the batch.
    fn sizes(&self) -> (usize, usize) {
        (self.batch / self.parts, self.parts)
    }

    /// The samples of a micro-batch.
    fn part<'b>(&self, batch: &'b Batch, part: usize) -> Result<Cow<'b, Batch>> {
        if self.parts == 1 {
            return Ok(Cow::Borrowed(batch));
        }
        if batch.len() != self.batch {
            return Err(Error::input("the batch is not the one the step was compiled for")
                .detail("expected", format!("{} samples", self.batch))
                .detail("got", batch.len()));
        }
        let size = (self.batch / self.parts) as u32;
        let indices: Vec<u32> = (part as u32 * size..(part as u32 + 1) * size).collect();
        batch.take(&indices).map(Cow::Owned)
    }

    /// Refuses classes where shares of them are learned, and the other way about.
    fn check_labels(&self, batch: &Batch) -> Result<()> {
        if self.network.classes().is_none() || batch.labels.dtype().is_float() == self.how.shares {
            return Ok(());
        }
        let (expected, hint) = match self.how.shares {
            true => ("shares of classes", "`Batch::with_shares` makes them of classes"),
            false => ("classes", "`TrainerOptions::with_shares` is for labels that are shares of classes"),
        };
        Err(Error::input("the labels of a batch are not what the trainer learns")
            .detail("expected", expected)
            .detail("got", format!("{} {}", batch.labels.dtype(), batch.labels.shape()))
            .hint(hint))
    }

    /// The place of the program with these terms; compiled when it is first asked for.
    fn program_of(&mut self, due: Vec<bool>, looks: bool) -> Result<usize> {
        if let Some(place) = self.programs.iter().position(|step| step.due == due && step.looks == looks) {
            return Ok(place);
        }
        let purpose = if looks { Purpose::Look } else { Purpose::Train };
        let runner = program(self.network, &self.how, self.sizes(), &due, purpose)?;
        self.programs.push(Step { due, looks, runner });
        Ok(self.programs.len() - 1)
    }

    /// What a step is given beside its batch, in the order of tracing. `update`, for micro-batches: 1 makes the update, 0 adds to the sum
    /// of gradients, -1 forgets it.
    pub(crate) fn numbers(&self, noise: Noise, pace: Pace, update: f64) -> Vec<Tensor> {
        let dtype = self.network.dtype();
        let perturbation = self.how.perturbation.iter().filter_map(|perturbation| {
            let numbers = perturbation.at_step(noise);
            Tensor::from_f64([numbers.len()], dtype, &numbers)
        });
        let optimizer = self.how.optimizer.at_step(noise.step, pace).into_iter().map(|number| scalar(number, dtype));
        let update = (self.parts > 1).then(|| scalar(update, dtype));
        perturbation.chain([scalar(pace.rate, dtype)]).chain(optimizer).chain(update).collect()
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &[Tensor] {
        &self.outputs[SCALARS..SCALARS + self.network.parameters().len()]
    }

    /// What the optimiser keeps, parameter after parameter.
    pub fn optimizer_state(&self) -> &[Tensor] {
        &self.outputs[self.optimizer_range()]
    }

    fn optimizer_range(&self) -> Range<usize> {
        let start = SCALARS + self.network.parameters().len();
        start..start + self.slots.len()
    }

    fn buffer_range(&self) -> Range<usize> {
        let start = self.optimizer_range().end;
        start..start + self.network.buffers().len()
    }

    /// What [`Trainer::optimizer_state`] is called in checkpoints.
    pub fn optimizer_names(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// The buffers as they are now.
    pub fn buffers(&self) -> &[Tensor] {
        &self.outputs[self.buffer_range()]
    }

    /// Whether running statistics have to be taken anew before the network is evaluated ([`Optimizer::stale_statistics`]).
    pub(super) fn has_stale_statistics(&self) -> bool {
        self.network.has_batch_statistics() && self.how.optimizer.stale_statistics()
    }

    /// Goes on with other buffers: running statistics that were taken anew.
    ///
    /// # Errors
    /// When they are not the network's.
    pub(super) fn set_buffers(&mut self, buffers: Vec<Tensor>) -> Result<()> {
        let start = self.buffer_range().start;
        let infos = self.network.buffers().iter().map(|info| (&info.path, &info.shape));
        check_tensors(infos, &buffers, self.network.dtype())?;
        self.outputs[start..].iter_mut().zip(buffers).for_each(|(slot, tensor)| *slot = tensor);
        Ok(())
    }

    /// A copy of parameters and buffers.
    pub fn state(&self) -> State {
        State { parameters: self.parameters().to_vec(), buffers: self.buffers().to_vec() }
    }

    /// Goes on from other numbers; without the optimiser's it starts anew, from the parameters as it starts them ([`Optimizer::start`]).
    ///
    /// # Errors
    /// When a tensor is not shaped like its parameter, or a weight could never learn ([`check_weights`]).
    pub fn set_state(&mut self, state: State, optimizer: Option<Vec<Tensor>>) -> Result<()> {
        let (network, dtype) = (self.network, self.network.dtype());
        let infos = || network.parameters().iter().map(|info| (&info.path, &info.shape));
        check_tensors(infos(), &state.parameters, dtype)?;
        let State { mut parameters, buffers } = state;
        let optimizer = optimizer.unwrap_or_else(|| {
            parameters = started(network, &*self.how.optimizer, std::mem::take(&mut parameters));
            kept_at_first(&self.slots, &parameters, dtype)
        });
        let given: Vec<Tensor> = parameters.into_iter().chain(optimizer).chain(buffers).collect();
        let kept = self.slots.iter().map(|slot| (&slot.name, &slot.shape));
        let wanted = infos().chain(kept).chain(network.buffers().iter().map(|info| (&info.path, &info.shape)));
        check_tensors(wanted, &given, dtype)?;
        check_weights(network, &given[..network.parameters().len()])?;
        // Moved, not copied: a state may take half of the memory there is.
        self.outputs[SCALARS..].iter_mut().zip(given).for_each(|(slot, tensor)| *slot = tensor);
        let sums = self.buffer_range().end;
        for slot in &mut self.outputs[sums..] {
            *slot = Tensor::zeros(slot.shape(), dtype);
        }
        Ok(())
    }

    /// Bytes that a step takes beside parameters, what the optimiser keeps, and buffers.
    pub fn arena_bytes(&self) -> usize {
        self.programs.iter().map(|step| step.runner.arena_bytes()).sum()
    }

    /// Bytes of what the optimiser keeps, and of the sum of gradients where a batch is taken in parts.
    pub(super) fn optimizer_bytes(&self) -> usize {
        let kept: usize = self.slots.iter().map(|slot| slot.shape.elements()).sum();
        let sums = if self.parts > 1 { self.network.parameter_count() } else { 0 };
        (kept + sums) * self.network.dtype().bytes()
    }

    /// Gives back the memory of the state, in the place of which another is to be set.
    pub(super) fn forget_state(&mut self) {
        let nothing = Tensor::zeros([0], self.network.dtype());
        let end = self.buffer_range().end;
        self.outputs[SCALARS..end].fill(nothing);
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
        let mut runner = program(self.network, &self.how, self.sizes(), &due, Purpose::Inspect)?;
        let numbers = self.numbers(taken, 0.0.into(), 0.0);
        let iterates = self.iterates();
        for part in 0..self.parts {
            let samples = self.part(batch, part)?;
            runner.set_noise(part_noise(taken, part, self.parts));
            let (parameters, buffers) = (self.parameters(), self.buffers());
            let feed = Feed { parameters, iterates: &iterates, buffers, scalars: &numbers, ..Feed::of(&samples) };
            if let Some(found) = runner.first_non_finite(&feed)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What the next step computes with first: samples of the batch, or of its first part, what they draw with, and weights.
    pub(super) fn first_pass<'b>(&self, batch: &'b Batch) -> Result<(Cow<'b, Batch>, Noise, Cow<'_, [Tensor]>)> {
        let weights = match self.how.optimizer.iterates() {
            true => Cow::Owned(self.iterates()),
            false => Cow::Borrowed(self.parameters()),
        };
        Ok((self.part(batch, 0)?, part_noise(self.noise, 0, self.parts), weights))
    }

    /// A copy of where gradients are taken, and the buffers.
    pub(super) fn walker(&self) -> State {
        let iterates = self.iterates();
        let parameters = if iterates.is_empty() { self.parameters().to_vec() } else { iterates };
        State { parameters, buffers: self.buffers().to_vec() }
    }

    /// Where gradients are taken, if not at the parameters.
    fn iterates(&self) -> Vec<Tensor> {
        let kept = self.slots.iter().zip(self.optimizer_state());
        kept.filter(|(slot, _)| slot.parameter.is_some()).map(|(_, tensor)| tensor.clone()).collect()
    }
}

/// How many micro-batches a batch is taken in.
fn parts(how: &TrainerOptions, batch: usize) -> Result<usize> {
    match how.micro_batch {
        None => Ok(1),
        Some(micro) if micro > 0 && batch.is_multiple_of(micro) && batch > 0 => Ok(batch / micro),
        Some(micro) => Err(Error::input("a batch does not come apart into micro-batches of that size")
            .detail("key", "micro_batch_size")
            .detail("expected", format!("a number that divides batch_size, {batch}"))
            .detail("got", micro)),
    }
}

/// What a micro-batch draws with; a batch in one part draws with the step's own.
fn part_noise(noise: Noise, part: usize, parts: usize) -> Noise {
    Noise { step: noise.step.wrapping_mul(parts as u64).wrapping_add(part as u64), ..noise }
}

/// Requires tensors of these shapes, one each.
fn check_tensors<'i>(
    wanted: impl Iterator<Item = (&'i String, &'i Shape)>,
    given: &[Tensor],
    dtype: DType,
) -> Result<()> {
    let wanted: Vec<_> = wanted.collect();
    if wanted.len() != given.len() {
        return Err(Error::input("the state has another number of tensors than the network")
            .detail("expected", wanted.len())
            .detail("got", given.len()));
    }
    for ((name, shape), tensor) in wanted.into_iter().zip(given) {
        if shape != tensor.shape() || dtype != tensor.dtype() {
            return Err(Error::input(format!("{name} does not have the network's shape"))
                .detail("layer", name)
                .detail("expected", format!("{dtype} {shape}"))
                .detail("got", format!("{} {}", tensor.dtype(), tensor.shape())));
        }
    }
    Ok(())
}

/// The parameters as the rule starts them.
pub(super) fn started(network: &Network, optimizer: &dyn Optimizer, drawn: Vec<Tensor>) -> Vec<Tensor> {
    network.parameters().iter().zip(drawn).map(|(info, drawn)| optimizer.start(&info.path, drawn)).collect()
}

/// What the optimiser keeps, parameter after parameter.
pub(crate) fn optimizer_slots(network: &Network, optimizer: &dyn Optimizer) -> Vec<Slot> {
    let of = |(number, info): (usize, &ParameterInfo)| {
        let slot = |kept: &str| Slot {
            name: if kept == "velocity" { info.path.clone() } else { format!("{kept}/{}", info.path) },
            shape: optimizer.slot_shape(kept, &info.shape),
            parameter: (kept == ITERATE).then_some(number),
        };
        optimizer.slots(&info.path).into_iter().map(slot).collect::<Vec<_>>()
    };
    network.parameters().iter().enumerate().flat_map(of).collect()
}

/// What it keeps before the first step from these parameters.
pub(super) fn kept_at_first(slots: &[Slot], parameters: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let zero = |slot: &Slot| Tensor::zeros(&slot.shape, dtype);
    let first = |slot: &Slot| slot.parameter.and_then(|number| parameters.get(number).cloned());
    slots.iter().map(|slot| first(slot).unwrap_or_else(|| zero(slot))).collect()
}

fn scalar(value: f64, dtype: DType) -> Tensor {
    match dtype {
        DType::F64 => Tensor::scalar(value),
        _ => Tensor::scalar(value as f32),
    }
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
