//! Regularizers: terms of the objective, and steps along gradients taken elsewhere.

pub mod batch_entropy;
mod dropout_explicit;
mod layers;
mod noise_analysis;
mod noise_injection;

pub use batch_entropy::BatchEntropy;
pub use dropout_explicit::{DropoutR1, DropoutR2, condensation, r1, r2};
pub use layers::Layers;
pub use noise_analysis::{
    ExpectedRegularizer, GroupTrace, NoiseVariance, PredictionVariance, TraceEstimate, expected_regularizer,
    noise_variance,
};
pub use noise_injection::NoiseInjection;

use crate::Result;
use crate::config::Config;
use crate::nn::Dropout;
use crate::objective::Term;

/// The dropout that a configuration asks for.
pub(crate) fn dropout_of(config: &Config) -> Option<Dropout> {
    let dropout = &config.dropout;
    (dropout.rate > 0.0).then_some(Dropout { rate: dropout.rate, masks: dropout.masks })
}

/// The terms of the objective that a configuration asks for, in the order in which they are applied. Batch entropy is first, because it
/// multiplies the loss alone.
///
/// # Errors
/// When a setting means nothing.
pub(crate) fn terms(config: &Config) -> Result<Vec<Box<dyn Term>>> {
    let mut terms: Vec<Box<dyn Term>> = vec![];
    if config.batch_entropy.weight > 0.0 {
        terms.push(Box::new(BatchEntropy::of_config(&config.batch_entropy)?));
    }
    let dropout = &config.dropout;
    if dropout.rate > 0.0 && dropout.r1 != 0.0 {
        terms.push(Box::new(DropoutR1 { factor: dropout.r1, approximate: dropout.approximate }));
    }
    if dropout.rate > 0.0 && dropout.r2 != 0.0 {
        let learning_rate = config.optimizer.learning_rate;
        terms.push(Box::new(DropoutR2 { factor: dropout.r2, learning_rate, masks: dropout.r2_masks }));
    }
    Ok(terms)
}
