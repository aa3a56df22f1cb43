//! How large are the hidden values of a network on a batch, and which units say nothing?

use super::Probe;
use crate::Result;
use crate::batch::Batch;
use crate::config::NormMode;
use crate::network::{Network, Noise, Tracing};
use evenkeel_graph::{DType, Tensor, Var};

/// The hidden values of one layer on a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationStatistics {
    /// Where they are.
    pub path: String,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation around it, over samples, positions and units together.
    pub deviation: f64,
    /// The share of values that are 0.
    pub zeros: f64,
    /// The share of units that are 0 for every sample and at every position. A unit is one number of the last axis: a channel of a map.
    pub dead: f64,
    /// The largest absolute value.
    pub largest: f64,
}

/// A program that looks at the hidden values a network makes known ([`crate::nn::Context::tap`]), in norm mode `batch` and with the
/// random numbers of a training step.
///
/// Cost: a pass forward, and three passes over the hidden values.
pub struct Activations {
    probe: Probe,
    paths: Vec<String>,
}

/// Numbers of a layer in the order of tracing.
const NUMBERS: usize = 5;

impl Activations {
    /// Compiles it for batches like this one.
    ///
    /// # Errors
    /// When the network cannot be traced on such batches.
    pub fn new(network: &Network, like: &Batch) -> Result<Activations> {
        let mut paths = Vec::new();
        let shares = network.classes().is_some() && like.labels.dtype().is_float();
        let how = Tracing { noisy: true, shares, ..Tracing::quiet(like.len(), NormMode::Batch) };
        let probe = Probe::compile(network, how, |trace| {
            let mut values = Vec::new();
            for tap in trace.cx.taps() {
                // A layer that is used again is known by its first use.
                if !paths.contains(&tap.path) {
                    values.extend(numbers(tap.value).map(|number| (tap.path.clone(), number)));
                    paths.push(tap.path);
                }
            }
            Ok(values)
        })?;
        Ok(Activations { probe, paths })
    }

    /// The layers on a batch, from the input on.
    ///
    /// # Errors
    /// When the batch or the state are not shaped as compiled.
    pub fn at(
        &mut self,
        batch: &Batch,
        noise: Noise,
        parameters: &[Tensor],
        buffers: &[Tensor],
    ) -> Result<Vec<ActivationStatistics>> {
        if self.paths.is_empty() {
            return Ok(vec![]);
        }
        self.probe.set_noise(noise);
        let values = self.probe.run(batch, parameters, buffers)?;
        let layers = self.paths.iter().zip(values.chunks(NUMBERS)).map(|(path, values)| {
            let number = |place: usize| values.get(place).and_then(Tensor::item).unwrap_or(f64::NAN);
            ActivationStatistics {
                path: path.clone(),
                mean: number(0),
                deviation: number(1),
                zeros: number(2),
                dead: number(3),
                largest: number(4),
            }
        });
        Ok(layers.collect())
    }

    /// Gives back the memory of a run until the next one.
    pub(crate) fn release(&mut self) {
        self.probe.release();
    }
}

/// Mean, deviation, shares of zeros and of dead units, largest absolute value; sums in f64, where squares of small values do not vanish.
fn numbers(values: Var<'_>) -> [Var<'_>; NUMBERS] {
    let axes = values.shape().len();
    let all: Vec<usize> = (0..axes).collect();
    let wide = values.cast(DType::F64);
    let mean = wide.mean(&all);
    let deviation = (wide - mean).square().mean_all().sqrt();
    let largest = values.abs().max(&all[..axes.saturating_sub(1)]);
    let top: Vec<usize> = (0..largest.shape().len()).collect();
    [mean, deviation, share_of_zeros(values), share_of_zeros(largest), largest.max(&top)]
}

fn share_of_zeros(values: Var<'_>) -> Var<'_> {
    values.equal(values.like(0.0)).cast(DType::F64).mean_all()
}
