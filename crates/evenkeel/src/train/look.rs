//! Which steps are looked at layer by layer, and what is found in them?

use super::event::{Event, Observer};
use super::layer_statistics::WeightStatistics;
use super::step::{StepResult, Trainer};
use crate::batch::Batch;
use crate::experiment::Experiment;
use crate::optim::Pace;
use crate::probe::{ActivationStatistics, Activations};
use crate::store::layer_metrics;
use crate::{ErrorKind, Result};

/// Looks at every layer in some steps of a run.
///
/// Weights are looked at in the step itself. Activations take a pass forward of their own on the same batch: as part of the step they
/// would change which of its values are kept and which of its sums are taken together, and with that the bits of what is learned.
pub(super) struct Look<'e> {
    experiment: &'e Experiment,
    /// Steps from one look to the next; 0: none.
    every: u64,
    /// Compiled when it is first needed.
    activations: Option<Activations>,
}

impl<'e> Look<'e> {
    pub(super) fn new(experiment: &'e Experiment) -> Self {
        let every = experiment.config.measure.layers_every.unwrap_or(0) as u64;
        Look { experiment, every, activations: None }
    }

    /// Takes the step after `step` others; what was found of its layers is none where it was not looked at.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub(super) fn step(
        &mut self,
        trainer: &mut Trainer<'_>,
        step: u64,
        batch: &Batch,
        pace: Pace,
        observer: &mut dyn Observer,
    ) -> Result<(StepResult, Vec<(String, f64)>)> {
        if self.every == 0 || !step.is_multiple_of(self.every) {
            return Ok((trainer.step(batch, pace)?, vec![]));
        }
        let layers = self.activations(trainer, batch)?;
        match trainer.step_with_statistics(batch, pace) {
            // Training may fit a memory limit that looking does not; nothing was done yet.
            Err(why) if why.kind() == ErrorKind::Memory => {
                observer.event(&Event::NotMeasured { what: "layers", step, why });
                self.every = 0;
                Ok((trainer.step(batch, pace)?, vec![]))
            }
            looked => {
                let (result, weights) = looked?;
                let weights = weights.iter().flat_map(of_weight);
                Ok((result, weights.chain(layers.iter().flat_map(of_activations)).collect()))
            }
        }
    }

    fn activations(&mut self, trainer: &mut Trainer<'_>, batch: &Batch) -> Result<Vec<ActivationStatistics>> {
        // Both are rarely run at once, and their memory need not be there at once.
        trainer.release();
        let (samples, noise, weights) = trainer.first_pass(batch)?;
        let activations = match &mut self.activations {
            Some(activations) => activations,
            none => none.insert(Activations::new(&self.experiment.network, &samples)?),
        };
        let found = activations.at(&samples, noise, &weights, trainer.buffers());
        activations.release();
        found
    }
}

fn of_weight(found: &WeightStatistics) -> [(String, f64); 5] {
    let named = |quantity, value| (layer_metrics::name(quantity, &found.path), value);
    [
        named(layer_metrics::WEIGHT_NORM, found.weight_norm),
        named(layer_metrics::GRADIENT_NORM, found.gradient_norm),
        named(layer_metrics::UPDATE_NORM, found.update_norm),
        named(layer_metrics::UPDATE_RATIO, found.update_ratio()),
        named(layer_metrics::EFFECTIVE_RATE, found.effective_rate),
    ]
}

fn of_activations(found: &ActivationStatistics) -> [(String, f64); 5] {
    let named = |quantity, value| (layer_metrics::name(quantity, &found.path), value);
    [
        named(layer_metrics::ACTIVATION_MEAN, found.mean),
        named(layer_metrics::ACTIVATION_DEVIATION, found.deviation),
        named(layer_metrics::ACTIVATION_ZEROS, found.zeros),
        named(layer_metrics::ACTIVATION_DEAD, found.dead),
        named(layer_metrics::ACTIVATION_LARGEST, found.largest),
    ]
}
