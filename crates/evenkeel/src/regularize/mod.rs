//! Regularizers: measures of a function, terms of the objective that keep them small, and steps along gradients taken elsewhere.
//!
//! Every term is traced into the one graph of a step and differentiated there, derivatives of derivatives included.
//!
//! Where to start reading: [`geometric_complexity`] (how much a network varies at its data), then [`bounds`] (why other penalties press
//! on it, too).

pub mod batch_entropy;
pub mod bounds;
mod dropout_explicit;
mod flatness;
pub mod geometric_complexity;
mod input_noise;
mod jacobian;
mod label_smoothing;
mod layers;
mod noise_analysis;
mod noise_injection;
mod parameter_norm;
mod spectral;

pub use batch_entropy::BatchEntropy;
pub use dropout_explicit::{DropoutR1, DropoutR2, condensation, r1, r2};
pub use flatness::Flatness;
pub use geometric_complexity::GeometricComplexity;
pub use input_noise::InputNoise;
pub use label_smoothing::LabelSmoothing;
pub use layers::Layers;
pub use noise_analysis::{
    ExpectedRegularizer, GroupTrace, NoiseVariance, PredictionVariance, TraceEstimate, expected_regularizer,
    noise_variance,
};
pub use noise_injection::NoiseInjection;
pub use parameter_norm::ParameterNorm;
pub use spectral::SpectralNorm;

use crate::Result;
use crate::config::Config;
use crate::nn::Dropout;
use crate::objective::Term;

/// The dropout that a configuration asks for.
pub(crate) fn dropout_of(config: &Config) -> Option<Dropout> {
    let dropout = &config.dropout;
    (dropout.rate > 0.0).then_some(Dropout { rate: dropout.rate, masks: dropout.masks })
}

/// The terms of the objective that a configuration asks for, in the order in which they are applied. Smoothed labels are first, being part of the
/// loss; batch entropy next, because it multiplies the loss alone; then flatness, because it looks at the loss before penalties.
///
/// # Errors
/// When a setting means nothing.
pub(crate) fn terms(config: &Config) -> Result<Vec<Box<dyn Term>>> {
    let mut terms: Vec<Box<dyn Term>> = vec![];
    if config.label_smoothing > 0.0 {
        terms.push(Box::new(LabelSmoothing { share: config.label_smoothing }));
    }
    if config.batch_entropy.weight > 0.0 {
        terms.push(Box::new(BatchEntropy::of_config(&config.batch_entropy)?));
    }
    if config.flatness.weight > 0.0 {
        terms.push(Box::new(Flatness { weight: config.flatness.weight }));
    }
    let dropout = &config.dropout;
    if dropout.rate > 0.0 && dropout.r1 != 0.0 {
        terms.push(Box::new(DropoutR1 { factor: dropout.r1, approximate: dropout.approximate }));
    }
    if dropout.rate > 0.0 && dropout.r2 != 0.0 {
        let learning_rate = config.learning_rate();
        terms.push(Box::new(DropoutR2 { factor: dropout.r2, learning_rate, masks: dropout.r2_masks }));
    }
    if config.geometric_complexity.weight > 0.0 {
        terms.push(Box::new(GeometricComplexity::of_config(&config.geometric_complexity)));
    }
    if config.spectral.weight > 0.0 {
        terms.push(Box::new(SpectralNorm { weight: config.spectral.weight }));
    }
    if config.l2.weight > 0.0 {
        terms.push(Box::new(ParameterNorm { weight: config.l2.weight, parameters: config.l2.parameters.clone() }));
    }
    Ok(terms)
}
