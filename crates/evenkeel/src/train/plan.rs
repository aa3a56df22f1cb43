//! What training will take, known before the first step.

use super::evaluate::Evaluator;
use super::learning;
use super::memory;
use super::step::{Trainer, TrainerOptions};
use super::supply::batches_ahead;
use crate::augment::transforms;
use crate::config::{LearnerKind, Size};
use crate::experiment::Experiment;
use crate::network::Network;
use crate::norm::Invariance;
use crate::optim::{Learner, rescaled_weights};
use crate::runner::MemoryLimit;
use crate::work::Work;
use crate::{Error, ErrorKind, Result};
use evenkeel_cpu::return_freed_memory;
use serde::Serialize;
use std::collections::BTreeMap;

/// Evaluation may take this part of a memory limit: it is fast in small batches, too.
const EVALUATION_SHARE: usize = 8;
/// Learning rates that are told.
const RATES: u64 = 60;
/// Single steps of the program that are told.
const DEAREST: usize = 5;

/// The memory that training takes, and where in the network it goes. Measurements on the way, and the looks of a learner,
/// are not part of it: what does not fit is left out, and it is said so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingPlan {
    /// Numbers that are learned.
    pub parameters: usize,
    /// Their bytes.
    pub parameter_bytes: usize,
    /// Bytes of what the network keeps beside them, such as running statistics.
    pub buffer_bytes: usize,
    /// Bytes of what the optimiser keeps.
    pub optimizer_bytes: usize,
    /// Bytes of the samples, which stay in memory.
    pub data_bytes: usize,
    /// Bytes of the values between inputs and outputs of a step: activations, cotangents, scratch.
    pub activation_bytes: usize,
    /// The same of an evaluation.
    pub evaluation_bytes: usize,
    /// Bytes of one batch, of a step or of an evaluation, and of the next one where a thread makes it meanwhile.
    pub batch_bytes: usize,
    /// Bytes that it takes to read a checkpoint, in the place of the first state: its largest tensor once more. To write one takes none.
    pub checkpoint_bytes: usize,
    /// All of it together.
    pub peak_bytes: usize,
    /// Bytes that can be had now, as far as the system tells.
    pub available_bytes: Option<u64>,
    /// Bytes that may be taken, if the configuration says so.
    pub memory_limit: Option<u64>,
    /// Floating-point operations of a step, products and convolutions only.
    pub step_flops: u64,
    /// Those of them that the memory limit asks for, to compute again what it leaves no room for.
    pub again_flops: u64,
    /// The five parts of a step that read and write most, the dearest first.
    pub most_bytes: Vec<Work>,
    /// The five parts of a step that compute most, the dearest first.
    pub most_flops: Vec<Work>,
    /// What happens to the training samples before a step sees them, in words and in order.
    pub transforms: Vec<String>,
    /// Steps of the run.
    pub steps: u64,
    /// The weights that are rescaled, and whether each unit's or a layer's together.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rescaled: BTreeMap<String, Invariance>,
    /// The learning rate over the run: at the first step, at the last, and evenly between. With a learner, the most it can be.
    pub learning_rates: Vec<Rate>,
    /// What a learner of rate and momentum will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learner: Option<PlannedLearner>,
}

/// When a learner looks at the curvature, and at how much.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedLearner {
    /// Which rule.
    pub kind: LearnerKind,
    /// The step before the first look; none where the run is over before.
    pub first: Option<u64>,
    /// How often it looks.
    pub looks: u64,
    /// Samples of each look.
    pub samples: usize,
    /// Hessian products of each look.
    pub products: usize,
    /// No learned rate is above this.
    pub max_rate: f64,
}

/// The learning rate of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Steps taken before.
    pub step: u64,
    /// The rate.
    pub rate: f64,
}

impl TrainingPlan {
    /// Compiles what training would run, and runs nothing.
    ///
    /// # Errors
    /// When the network cannot be trained on such batches, or its state alone does not fit into memory, or there are fewer
    /// samples than a batch takes.
    pub fn new(experiment: &Experiment) -> Result<TrainingPlan> {
        check_batch(experiment)?;
        let (trainer, evaluator) = compile(experiment)?;
        let rescaled = rescaled_weights(&experiment.config, &experiment.network)?;
        Ok(TrainingPlan { rescaled, ..Self::of(experiment, &trainer, &evaluator) })
    }

    pub(super) fn of(experiment: &Experiment, trainer: &Trainer<'_>, evaluator: &Evaluator<'_>) -> TrainingPlan {
        let (network, dataset) = (&experiment.network, &experiment.dataset);
        let parameters = network.parameter_count();
        let parameter_bytes = parameters * network.dtype().bytes();
        let buffer_bytes = network.buffer_bytes();
        let optimizer_bytes = trainer.optimizer_bytes();
        let data_bytes = dataset.train.bytes() + dataset.test.bytes();
        let training_batch = experiment.config.batch_size * training_sample_bytes(experiment);
        let evaluation_batch = evaluator.batch() * sample_bytes(experiment);
        let batch_bytes = training_batch.max(evaluation_batch) + waiting_bytes(experiment);
        let (activation_bytes, evaluation_bytes) = (trainer.arena_bytes(), evaluator.arena_bytes());
        let checkpoint_bytes = checkpoint_bytes(network);
        let state_bytes = parameter_bytes + buffer_bytes + optimizer_bytes;
        let steps: Vec<Work> = trainer.steps();
        let all = experiment.steps();
        TrainingPlan {
            parameters,
            parameter_bytes,
            buffer_bytes,
            optimizer_bytes,
            data_bytes,
            activation_bytes,
            evaluation_bytes,
            batch_bytes,
            checkpoint_bytes,
            peak_bytes: state_bytes + data_bytes + activation_bytes + evaluation_bytes + batch_bytes + checkpoint_bytes,
            available_bytes: memory::available(),
            memory_limit: experiment.config.memory_limit.map(|limit| limit.0),
            step_flops: steps.iter().map(|step| step.flops).fold(0, u64::saturating_add),
            again_flops: trainer.again_flops(),
            most_bytes: dearest(&steps, |step| step.bytes),
            most_flops: dearest(&steps, |step| step.flops),
            transforms: transforms(&experiment.config),
            steps: all,
            rescaled: BTreeMap::new(),
            learning_rates: rates(experiment, all),
            learner: learner(experiment, all),
        }
    }

    /// Bytes that are still to be taken once the data is read and the state is made.
    pub fn bytes_to_come(&self) -> usize {
        self.activation_bytes + self.evaluation_bytes + self.batch_bytes + self.checkpoint_bytes
    }

    /// Refuses what does not fit into memory: an allocation that fails ends a process without a word.
    ///
    /// # Errors
    /// When the memory that is available is known, and too little.
    pub fn check(&self) -> Result<()> {
        let hint = "use a smaller `--batch-size`, or a `--memory-limit` that fits, which is slower; `evenkeel train --plan` shows what \
                    takes how much";
        memory::check(self.bytes_to_come() as u64, self.available_bytes, "training", hint)
    }
}

/// Refuses a batch that the training data cannot fill.
pub(super) fn check_batch(experiment: &Experiment) -> Result<()> {
    let (samples, batch) = (experiment.dataset.train.len(), experiment.config.batch_size);
    if batch <= samples {
        return Ok(());
    }
    Err(Error::input("the batch is larger than the training data")
        .detail("key", "batch_size")
        .detail("expected", format!("at most {samples}"))
        .detail("got", batch)
        .hint(format!("use `--batch-size {}`", samples.min(64))))
}

/// Compiles the step and the evaluation, together within the memory limit of the configuration.
///
/// # Errors
/// When the network cannot be trained on such batches, or its state alone does not fit into memory, or the limit cannot be
/// kept.
pub(super) fn compile(experiment: &Experiment) -> Result<(Trainer<'_>, Evaluator<'_>)> {
    let compiled = within_limit(experiment)?;
    // What compilation took is not part of the plan.
    return_freed_memory();
    Ok(compiled)
}

fn within_limit(experiment: &Experiment) -> Result<(Trainer<'_>, Evaluator<'_>)> {
    let (network, config) = (&experiment.network, &experiment.config);
    memory::check_state(network)?;
    let trainer = |memory_limit| {
        let how = TrainerOptions { memory_limit, ..experiment.trainer_options()? };
        Trainer::with(network, how, config.batch_size, experiment.initial_state())
    };
    let mut evaluator = Evaluator::new(network)?;
    let Some(limit) = config.memory_limit.map(Size::bytes) else { return Ok((trainer(None)?, evaluator)) };
    let bytes = |evaluator: &Evaluator<'_>| evaluator.arena_bytes() + evaluator.batch() * sample_bytes(experiment);
    while bytes(&evaluator) > limit / EVALUATION_SHARE && evaluator.batch() > 1 {
        evaluator = Evaluator::with_batch(network, evaluator.batch() / 2)?;
    }
    let data = experiment.dataset.train.bytes() + experiment.dataset.test.bytes() + waiting_bytes(experiment);
    let beside = |evaluator: &Evaluator<'_>| {
        let taken = data + checkpoint_bytes(network) + bytes(evaluator);
        trainer(Some(MemoryLimit { bytes: limit, taken }))
    };
    match beside(&evaluator) {
        Err(error) if error.kind() == ErrorKind::Memory => {
            evaluator = Evaluator::with_batch(network, 1)?;
            Ok((beside(&evaluator)?, evaluator))
        }
        trainer => Ok((trainer?, evaluator)),
    }
}

fn sample_bytes(experiment: &Experiment) -> usize {
    let (network, values) = (&experiment.network, experiment.dataset.train.image_len());
    let input = network.input_dtype();
    let labels = match experiment.dataset.train.target_width() {
        Some(numbers) => numbers * network.dtype().bytes(),
        None => network.labels().0.elements().min(values) * size_of::<i32>(),
    };
    values * input.bytes() + labels
}

/// The same in training, where labels may be shares of classes.
fn training_sample_bytes(experiment: &Experiment) -> usize {
    let network = &experiment.network;
    match network.classes() {
        Some(classes) if experiment.config.augment.mixup > 0.0 => {
            sample_bytes(experiment) - size_of::<i32>() + classes * network.dtype().bytes()
        }
        _ => sample_bytes(experiment),
    }
}

/// Batches that are made while another one is in the step.
fn waiting_bytes(experiment: &Experiment) -> usize {
    batches_ahead(experiment) * experiment.config.batch_size * training_sample_bytes(experiment)
}

/// What the learner will do in a run of `steps`.
fn learner(experiment: &Experiment, steps: u64) -> Option<PlannedLearner> {
    let config = &experiment.config;
    let Learner { kind, max_rate, .. } = Learner::of_config(&config.learner)?;
    let length = experiment.steps_per_epoch().max(1);
    let due = (0..config.epochs as u64).map(|epoch| epoch.saturating_mul(length));
    let due = due.filter(|step| *step < steps && learning::is_due(config, length, *step));
    let products = config.learner.steps.min(experiment.network.parameter_count());
    Some(PlannedLearner {
        kind,
        first: due.clone().next(),
        looks: due.count() as u64,
        samples: learning::looked_at(experiment),
        products,
        max_rate,
    })
}

/// Up to [`RATES`] rates of a run of `steps`; with a learner, the largest.
fn rates(experiment: &Experiment, steps: u64) -> Vec<Rate> {
    let config = &experiment.config;
    let schedule = experiment.schedule();
    let most = |step| match Learner::of_config(&config.learner) {
        None => config.learning_rate(),
        Some(_) if step < (config.learner.from_epoch as u64).saturating_mul(experiment.steps_per_epoch()) => {
            config.learning_rate()
        }
        Some(learner) => learner.max_rate,
    };
    let count = steps.min(RATES);
    let at = |place: u64| (u128::from(place) * u128::from(steps - 1) / u128::from(count - 1).max(1)) as u64;
    (0..count).map(at).map(|step| Rate { step, rate: most(step) * schedule.factor(step) }).collect()
}

/// The largest tensor, which is there as bytes and as numbers when it is read.
fn checkpoint_bytes(network: &Network) -> usize {
    let parameters = network.parameters().iter().map(|info| info.shape.elements());
    let buffers = network.buffers().iter().map(|info| info.shape.elements());
    parameters.chain(buffers).max().unwrap_or(0) * network.dtype().bytes()
}

fn dearest(steps: &[Work], price: impl Fn(&Work) -> u64) -> Vec<Work> {
    let mut steps: Vec<Work> = steps.iter().filter(|step| price(step) > 0).cloned().collect();
    steps.sort_by_key(|step| std::cmp::Reverse(price(step)));
    steps.truncate(DEAREST);
    steps
}
