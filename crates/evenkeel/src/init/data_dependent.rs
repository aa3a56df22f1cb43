//! Weights and biases from what one batch makes of every layer.

use crate::config::NormMode;
use crate::network::{Network, State, Tracing};
use crate::nn::{Adapt, Adapting, AffineLayer, Initial, rounding};
use crate::runner::{Build, Feed, Runner};
use crate::{Batch, Error, Result};
use evenkeel_graph::{Data, Graph, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Gives every unit of linear and convolution layers mean 0 and one deviation on a batch of samples, layer after layer: each sees what
/// the layers before it have become.
///
/// With t = w · x the response of a unit before its bias, μ and s its mean and deviation over samples and positions,
/// w ← w · (d / s) and b ← −μ · d / s, where d is the wanted [`DataDependent::deviation`] and s² = variance + ε.
///
/// * weights as they are: each unit's are scaled; weights normalized to a length: the length is; standardized weights have no size to
///   change, so only the bias is set
/// * a unit that does not vary on the batch keeps its size, and is told ([`AdaptedLayer::constant`])
/// * a layer without a bias keeps its mean; so does one whose output is centred over the batch anyway (mean-only batch norm), and one
///   whose output is standardized over the batch (batch norm) is left as it is
/// * recurrent layers are left as they are: their units have no one batch of inputs
/// * no noise is drawn; nothing but weights and biases changes
/// * labels play no part
/// * cost: one pass forward over the batch, in the memory of an evaluation
///
/// Sources: Salimans, Kingma 2016, arXiv 1602.07868, section 3; see `docs/methods/data-dependent-initialization.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataDependent {
    /// Each unit's deviation afterwards; none: its size stays, and only the bias is set.
    pub deviation: Option<f64>,
    /// Added to the variance of a unit.
    pub epsilon: f64,
    /// Whether the last layer takes part.
    pub last_layer: bool,
}

impl Default for DataDependent {
    fn default() -> Self {
        DataDependent { deviation: Some(1.0), epsilon: 0.0, last_layer: true }
    }
}

impl DataDependent {
    /// The smart initialization of Balestriero and Baraniuk: the statistics that batch normalization would have taken on the samples,
    /// folded into weights and biases of all layers but the last. The network then starts as the same with batch normalization, and
    /// trains without it.
    ///
    /// Source: Balestriero, Baraniuk 2022, arXiv 2209.14778; see `docs/methods/smart-initialization.md`.
    pub fn smart() -> Self {
        DataDependent { epsilon: 1e-5, last_layer: false, ..DataDependent::default() }
    }

    /// The part of [`DataDependent::smart`] that moves: every unit's hyperplane goes through the mean of its inputs, and no weight
    /// changes.
    pub fn translation() -> Self {
        DataDependent { deviation: None, ..DataDependent::smart() }
    }
}

/// A layer that was adapted: numbers of each unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdaptedLayer {
    /// Its path.
    pub layer: String,
    /// The mean of each unit on the batch, before the bias.
    pub mean: Vec<f64>,
    /// Its deviation.
    pub deviation: Vec<f64>,
    /// What its weights were multiplied by.
    pub factor: Vec<f64>,
    /// Whether the bias was set.
    pub centered: bool,
    /// Units that do not vary on the batch.
    pub constant: Vec<usize>,
}

/// Weights that were left as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untouched {
    /// The layer's path, or the parameter's where it belongs to no affine layer.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What data-dependent initialization made of a state.
#[derive(Clone, Debug)]
pub struct DataDependentOutcome {
    /// The state with other weights and biases.
    pub state: State,
    /// What was found, in the order of the layers.
    pub layers: Vec<AdaptedLayer>,
    /// What was left as it is.
    pub untouched: Vec<Untouched>,
}

const STANDARDIZED: &str = "its output is standardized over the batch";
const LAST: &str = "it is the last layer";
const FIXED: &str = "its weights have a fixed size, and it has no bias";
const RECURRENT: &str = "it is part of a recurrent layer";
const OTHER: &str = "it is not part of a linear or convolution layer";

impl DataDependent {
    /// Adapts `state` to `samples`, which are taken as one batch.
    ///
    /// # Errors
    /// When there are fewer than two samples, the wanted deviation is not a number above 0, the samples or the state are not the
    /// network's, or a number is not finite.
    pub fn run(&self, network: &Network, state: State, samples: &Batch) -> Result<DataDependentOutcome> {
        self.check(samples)?;
        let (adapting, untouched) = self.plan(network, samples.len())?;
        let graph = Graph::new();
        let how = Tracing { adapting: Some(&adapting), ..Tracing::quiet(samples.len(), NormMode::Batch) };
        let trace = network.trace(&graph, how)?;
        let found: Vec<_> = first_uses(trace.cx.affine_layers())
            .filter_map(|layer| Some((*adapting.layers.get(&layer.place)?, layer.adapted?, layer)))
            .collect();
        let values = found.iter().flat_map(|(_, adapted, _)| [adapted.mean, adapted.deviation, adapted.factor]);
        let outputs: Vec<_> = values.enumerate().map(|(n, value)| (n.to_string(), value)).collect();
        // What terms of the objective learn is a parameter, too.
        trace.objective()?;
        let mut runner = Runner::new(&graph, &outputs, &Build::default())?;
        let mut results = runner.new_outputs();
        let feed = Feed { parameters: &state.parameters, buffers: &state.buffers, ..Feed::of(samples) };
        runner.run(&feed, &mut results)?;

        let mut state = state;
        let place = |path: &String| network.parameters().iter().position(|info| info.path == *path);
        let mut layers = Vec::with_capacity(found.len());
        for ((how, _, layer), results) in found.iter().zip(results.chunks_exact(3)) {
            let [mean, deviation, factor] = [0, 1, 2].map(|which| results[which].to_f64());
            if !mean.iter().chain(&factor).all(|value| value.is_finite()) {
                return Err(Error::numerical("a layer's outputs on the samples are not finite")
                    .detail("layer", &layer.place)
                    .hint("start from smaller weights, e.g. `initialization_scale=0.1`, and check the samples"));
            }
            if let Some(size) = layer.size.as_ref().filter(|_| how.deviation.is_some()).and_then(place) {
                multiply(&mut state.parameters[size], &factor);
            }
            if let Some(bias) = layer.bias.as_ref().filter(|_| how.centered).and_then(place) {
                let shift: Vec<f64> = mean.iter().zip(&factor).map(|(mean, factor)| -mean * factor).collect();
                let bias = &mut state.parameters[bias];
                *bias = Tensor::from_f64(bias.shape(), bias.dtype(), &shift).unwrap_or_else(|| bias.clone());
            }
            let constant = |unit: &usize| deviation[*unit] <= rounding(network.dtype()) * mean[*unit].abs();
            layers.push(AdaptedLayer {
                layer: layer.place.clone(),
                constant: (0..mean.len()).filter(constant).collect(),
                mean,
                deviation,
                factor,
                centered: how.centered,
            });
        }
        Ok(DataDependentOutcome { state, layers, untouched })
    }

    fn check(&self, samples: &Batch) -> Result<()> {
        if samples.len() < 2 {
            return Err(Error::input("data-dependent initialization needs more than one sample: one has no deviation")
                .detail("got", samples.len()));
        }
        match self.deviation {
            Some(deviation) if !(deviation > 0.0 && deviation.is_finite()) => {
                Err(Error::input("data-dependent initialization cannot give units this deviation")
                    .detail("expected", "a finite number above 0")
                    .detail("got", deviation))
            }
            _ => Ok(()),
        }
    }

    /// What becomes of each affine layer, and of which weights nothing does.
    fn plan(&self, network: &Network, samples: usize) -> Result<(Adapting, Vec<Untouched>)> {
        let graph = Graph::new();
        let trace = network.trace(&graph, Tracing::quiet(samples, NormMode::Batch))?;
        let standardized = trace.cx.standardized_values();
        let mut layers = BTreeMap::new();
        let mut untouched = Vec::new();
        let mut weights = Vec::new();
        for layer in first_uses(trace.cx.affine_layers()) {
            let follower = standardized.iter().find(|follower| follower.input.id() == layer.output.id());
            let deviation = self.deviation.filter(|_| layer.size.is_some());
            let centered = layer.bias.is_some() && follower.is_none_or(|follower| !follower.centered);
            let reason = match follower {
                Some(follower) if follower.scaled => Some(STANDARDIZED),
                _ if layer.last && !self.last_layer => Some(LAST),
                _ if deviation.is_none() && !centered => Some(FIXED),
                _ => None,
            };
            weights.push(layer.weights);
            match reason {
                Some(reason) => untouched.push(Untouched { path: layer.place, reason: reason.into() }),
                None => {
                    layers.insert(layer.place, Adapt { deviation, centered });
                }
            }
        }
        for info in network.parameters().iter().filter(|info| !weights.contains(&info.path)) {
            let reason = match info.initial {
                Initial::Recurrent { .. } => RECURRENT,
                Initial::Weight { .. } => OTHER,
                _ => continue,
            };
            untouched.push(Untouched { path: info.path.clone(), reason: reason.into() });
        }
        Ok((Adapting { layers, epsilon: self.epsilon }, untouched))
    }
}

/// The layers without further uses of one that came before.
fn first_uses(layers: Vec<AffineLayer<'_>>) -> impl Iterator<Item = AffineLayer<'_>> {
    let mut known = BTreeSet::new();
    layers.into_iter().filter(move |layer| known.insert(layer.place.clone()))
}

/// Multiplies the numbers of each unit, `[.., units]`, by its factor.
fn multiply(weights: &mut Tensor, factors: &[f64]) {
    let of_units = factors.iter().cycle();
    match weights.data_mut() {
        Data::F32(values) => {
            values.iter_mut().zip(of_units).for_each(|(value, factor)| *value = (f64::from(*value) * factor) as f32);
        }
        Data::F64(values) => values.iter_mut().zip(of_units).for_each(|(value, factor)| *value *= factor),
        Data::I32(_) | Data::Bool(_) => {}
    }
}
