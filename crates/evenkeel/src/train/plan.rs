//! What training will take, known before the first step.

use super::evaluate::Evaluator;
use super::memory;
use super::step::Trainer;
use crate::Result;
use crate::experiment::Experiment;
use crate::optim::Sgd;
use crate::work::Work;
use serde::Serialize;

/// Single steps of the program that are told.
const DEAREST: usize = 5;

/// The memory that training takes, and where in the network it goes. Measurements on the way are not part of it.
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
    /// Bytes of one batch, of a step or of an evaluation.
    pub batch_bytes: usize,
    /// Bytes of the copies that are made of the state while it is written to a checkpoint.
    pub checkpoint_bytes: usize,
    /// All of it together.
    pub peak_bytes: usize,
    /// Bytes that can be had now, as far as the system tells.
    pub available_bytes: Option<u64>,
    /// Floating-point operations of a step, products and convolutions only.
    pub step_flops: u64,
    /// The five parts of a step that read and write most, the dearest first.
    pub most_bytes: Vec<Work>,
    /// The five parts of a step that compute most, the dearest first.
    pub most_flops: Vec<Work>,
}

impl TrainingPlan {
    /// Compiles what training would run, and runs nothing.
    ///
    /// # Errors
    /// When the network cannot be trained on such batches, or its state alone does not fit into memory.
    pub fn new(experiment: &Experiment) -> Result<TrainingPlan> {
        memory::check_state(&experiment.network)?;
        let optimizer = &experiment.config.optimizer;
        let sgd = Sgd { momentum: optimizer.momentum, weight_decay: optimizer.weight_decay };
        let state = experiment.initial_state();
        let trainer = Trainer::new(&experiment.network, sgd, experiment.config.batch_size, state)?;
        Ok(Self::of(experiment, &trainer, &Evaluator::new(&experiment.network)?))
    }

    pub(super) fn of(experiment: &Experiment, trainer: &Trainer<'_>, evaluator: &Evaluator<'_>) -> TrainingPlan {
        let (network, dataset) = (&experiment.network, &experiment.dataset);
        let size = network.dtype().bytes();
        let parameters = network.parameter_count();
        let buffers: usize = network.buffers().iter().map(|info| info.shape.elements()).sum();
        let (parameter_bytes, buffer_bytes) = (parameters * size, buffers * size);
        let optimizer_bytes = parameter_bytes;
        let data_bytes = dataset.train.bytes() + dataset.test.bytes();
        let sample = dataset.train.image_len() * size + size_of::<i32>();
        let batch_bytes = experiment.config.batch_size.max(evaluator.batch()) * sample;
        let (activation_bytes, evaluation_bytes) = (trainer.arena_bytes(), evaluator.arena_bytes());
        // Parameters and buffers are copied once, and then as bytes together with the velocities.
        let checkpoint_bytes = 2 * (parameter_bytes + buffer_bytes) + optimizer_bytes;
        let state_bytes = parameter_bytes + buffer_bytes + optimizer_bytes;
        let steps: Vec<Work> = trainer.steps();
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
            step_flops: steps.iter().map(|step| step.flops).fold(0, u64::saturating_add),
            most_bytes: dearest(&steps, |step| step.bytes),
            most_flops: dearest(&steps, |step| step.flops),
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
        let hint = "use a smaller `--batch-size`; `evenkeel train --plan` shows what takes how much";
        memory::check(self.bytes_to_come() as u64, self.available_bytes, "training", hint)
    }
}

fn dearest(steps: &[Work], price: impl Fn(&Work) -> u64) -> Vec<Work> {
    let mut steps: Vec<Work> = steps.iter().filter(|step| price(step) > 0).cloned().collect();
    steps.sort_by_key(|step| std::cmp::Reverse(price(step)));
    steps.truncate(DEAREST);
    steps
}
