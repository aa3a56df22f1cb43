//! Training in memory, for methods and claims: the same steps and the same order of samples as a run's, without a folder.

use crate::batch::Batch;
use crate::config::NormMode;
use crate::data::Batches;
use crate::network::{Network, Noise, State};
use crate::optim::Pace;
use crate::train::{Evaluation, Evaluator, StepResult, Trainer};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// How many steps are taken, and on what.
pub struct Fit<'f> {
    /// Samples in a step.
    pub batch: usize,
    /// Steps.
    pub steps: u64,
    /// Seed of the order of the samples and of the random numbers of the steps.
    pub seed: u64,
    /// The learning rate of each step, counted from 0.
    pub rate: &'f dyn Fn(u64) -> f64,
}

/// Takes steps on `samples`, and shows each to `watch` with its number, counted from 1; it may stop. A step that is not finite changes
/// nothing ([`StepResult::is_finite`]); whether to go on is for `watch` to say.
///
/// # Errors
/// When the samples do not fill a batch or are not the network's, and what `watch` returns.
pub fn fit<'n>(
    trainer: &mut Trainer<'n>,
    samples: &Batch,
    how: &Fit<'_>,
    watch: impl FnMut(u64, &StepResult, &Trainer<'n>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    fit_paced(trainer, samples, how, |step, _| Ok((how.rate)(step).into()), watch)
}

/// The same at a pace that is asked for before each step, at the state that it starts from, in place of [`Fit::rate`].
///
/// # Errors
/// As [`fit`], and what `pace` returns.
pub fn fit_paced<'n>(
    trainer: &mut Trainer<'n>,
    samples: &Batch,
    how: &Fit<'_>,
    mut pace: impl FnMut(u64, &Trainer<'n>) -> Result<Pace>,
    mut watch: impl FnMut(u64, &StepResult, &Trainer<'n>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut batches = Batches::new(how.seed, samples.len(), how.batch);
    if batches.steps_per_epoch() == 0 {
        return Err(Error::input("the batch is larger than the samples, or empty")
            .detail("expected", format!("1 to {}", samples.len()))
            .detail("got", how.batch));
    }
    trainer.set_noise(Noise { seed: how.seed, step: 0 });
    for step in 0..how.steps {
        let batch = samples.take(batches.indices(step))?;
        let pace = pace(step, trainer)?;
        let result = trainer.step(&batch, pace)?;
        if watch(step + 1, &result, trainer)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Mean loss and accuracy at a state: in [`NormMode::Batch`] with the samples as one batch, else with running statistics.
///
/// # Errors
/// When the samples or the state are not the network's.
pub fn evaluate(network: &Network, state: &State, samples: &Batch, mode: NormMode) -> Result<Evaluation> {
    let together = mode == NormMode::Batch && network.has_batch_statistics();
    let batch = if together { samples.len() } else { samples.len().min(EVALUATED) };
    Evaluator::in_mode(network, batch.max(1), mode)?.evaluate_samples(samples, &state.parameters, &state.buffers)
}

/// Samples evaluated at once where they do not depend on each other.
const EVALUATED: usize = 256;
