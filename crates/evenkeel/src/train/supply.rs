//! The batches of a run's steps.

use crate::augment::Augmentation;
use crate::batch::Batch;
use crate::data::{Batches, Dataset};
use crate::experiment::Experiment;
use crate::{Result, ahead};
use evenkeel_graph::DType;

/// A batch of so many values, 64 digits of MNIST, takes longer to make than to hand over.
const WORTH_A_THREAD: usize = 48 << 10;

/// Makes the batch of any step: chosen, gathered, normalized and augmented, as a pure function of the step.
#[derive(Clone)]
pub(super) struct Supply<'e> {
    dataset: &'e Dataset,
    dtype: DType,
    order: Batches,
    augmentation: Augmentation,
}

impl<'e> Supply<'e> {
    /// The batches of an experiment.
    pub(super) fn of(experiment: &'e Experiment) -> Result<Self> {
        let (dataset, config) = (&experiment.dataset, &experiment.config);
        Ok(Supply {
            dataset,
            dtype: experiment.network.dtype(),
            order: Batches::new(config.seed, dataset.train.len(), config.batch_size),
            augmentation: experiment.augmentation()?,
        })
    }

    /// The batch of a step, counted from 0.
    pub(super) fn batch(&mut self, step: u64) -> Result<Batch> {
        let epoch = step.checked_div(self.order.steps_per_epoch()).unwrap_or(0);
        let samples = self.order.indices(step);
        let batch = Batch::some_of(self.dataset, &self.dataset.train, samples, self.dtype)?;
        self.augmentation.apply(batch, samples, epoch, step)
    }
}

/// Batches that are made ahead of the one in the step.
pub(super) fn batches_ahead(experiment: &Experiment) -> usize {
    let values = experiment.config.batch_size.saturating_mul(experiment.dataset.train.image_len());
    usize::from(values >= WORTH_A_THREAD && ahead::has_a_thread())
}
