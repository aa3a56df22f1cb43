//! Batch entropy: how much of a batch a layer still tells apart, and a term that drives each layer's to a learned target.

use super::Layers;
use crate::batch::Batch;
use crate::config::{BatchEntropyConfig, NormMode};
use crate::network::{Network, State, Trace};
use crate::nn::Initial;
use crate::objective::Term;
use crate::probe::Probe;
use crate::{Error, Result};
use evenkeel_graph::{Tensor, Var};
use std::f64::consts::{E, PI};

/// Below this batch entropy a layer counts as collapsed: its units hardly differ from sample to sample.
pub const COLLAPSED: f64 = 1e-3;

/// Where the learned targets are among the parameters of a network with a [`BatchEntropy`].
pub const ALPHAS: &str = "objective.batch_entropy.alpha";

/// The batch entropy of each unit of a layer, in nats: ½ ln(π e s² + 1) with the unbiased variance s² over the samples.
///
/// * activations `[N, ..]`, result `[..]`: each position of a map or a sequence is a unit of its own
/// * never negative, and 0 (up to the rounding of the mean) where a unit is the same for all samples; its derivative is 0 there, too
/// * cost: two passes over the activations
///
/// # Errors
/// When there are fewer than two samples.
///
/// Source: Peer, Keulen, Stabinger, Piater, Rodríguez-Sánchez 2022, arXiv 2208.01134, and the authors' code; see
/// `docs/methods/batch-entropy.md`.
pub fn of_units(activations: Var<'_>) -> Result<Var<'_>> {
    let samples = activations.shape().first().copied().unwrap_or(0);
    if samples < 2 {
        return Err(Error::input("batch entropy needs a batch of samples")
            .detail("expected", "at least 2 samples")
            .detail("got", samples));
    }
    let squares = (activations - activations.mean(&[0])).square().sum(&[0]);
    Ok((squares * (PI * E / (samples - 1) as f64)).log1p() * 0.5)
}

/// The batch entropy of a layer: the mean over its units, a scalar.
///
/// # Errors
/// As [`of_units`].
pub fn of_layer(activations: Var<'_>) -> Result<Var<'_>> {
    Ok(of_units(activations)?.mean_all())
}

/// Layerwise batch-entropy regularization: the loss times 1 + R, where R = β/L Σₗ (H(aₗ) − tₗ)² draws the batch entropy of each layer to
/// a target tₗ = max(α_min, |αₗ|) with a learned αₗ.
///
/// The term vanishes as the loss does, and the gradient is (1 + R) ∇loss + loss ∇R. The numbers α are one parameter of the network,
/// [`ALPHAS`] `[L]`, learned by the same rule and at the same rate as the weights (weight decay draws them to α_min). With β = 0 the
/// objective is what it was, and there are none.
///
/// * the factor is the objective before this term: the loss alone where this is the first term. It must not be negative, which would
///   turn the term around: the objective is then NaN and the step is not taken.
/// * layers: see [`Layers`]; a residual network's are the outputs of its blocks, a plain network's all of its activations
/// * cost: two passes over these activations forward, and one backward
///
/// Source: as [`of_units`].
#[derive(Clone, Debug, PartialEq)]
pub struct BatchEntropy {
    weight: f64,
    alpha: f64,
    alpha_min: f64,
    layers: Layers,
}

/// A [`BatchEntropy`] worked out for some layers.
#[derive(Clone, Debug)]
pub struct Regularized<'g> {
    /// The objective with the term, a scalar.
    pub total: Var<'g>,
    /// R, a scalar.
    pub penalty: Var<'g>,
    /// The batch entropy of each layer, `[L]`.
    pub entropies: Var<'g>,
    /// What each is drawn to, `[L]`.
    pub targets: Var<'g>,
}

impl BatchEntropy {
    /// With weight β, the number every α starts from, and α_min, over [`Layers::Outputs`].
    ///
    /// # Errors
    /// When a number is not finite, or β or α_min is negative.
    pub fn new(weight: f64, alpha: f64, alpha_min: f64) -> Result<Self> {
        let check = |name: &str, value: f64, least: f64| match value.is_finite() && value >= least {
            true => Ok(()),
            false => Err(Error::input(format!("the {name} of batch entropy is out of range"))
                .detail("expected", if least == 0.0 { "a finite number of at least 0" } else { "a finite number" })
                .detail("got", value)),
        };
        check("weight", weight, 0.0)?;
        check("alpha", alpha, f64::MIN)?;
        check("alpha_min", alpha_min, 0.0)?;
        Ok(BatchEntropy { weight, alpha, alpha_min, layers: Layers::default() })
    }

    /// The same over other layers.
    #[must_use]
    pub fn over(self, layers: Layers) -> Self {
        BatchEntropy { layers, ..self }
    }

    pub(crate) fn of_config(config: &BatchEntropyConfig) -> Result<Self> {
        Ok(Self::new(config.weight, config.alpha, config.alpha_min)?.over(config.layers.parse()?))
    }

    /// The term for these layers, with one number of `alphas` `[L]` for each; numbers beyond them are not used.
    ///
    /// # Errors
    /// When there is no layer or no number for one, or fewer than two samples.
    pub fn of<'g>(&self, objective: Var<'g>, layers: &[Var<'g>], alphas: Var<'g>) -> Result<Regularized<'g>> {
        let numbers = alphas.shape().first().copied().unwrap_or(0);
        if layers.is_empty() || numbers < layers.len() {
            return Err(Error::input("batch entropy needs layers, and a target for each of them")
                .detail("expected", format!("at least {} targets", layers.len().max(1)))
                .detail("got", format!("{numbers} targets for {} layers", layers.len())));
        }
        let graph = objective.graph();
        let entropies = layers.iter().map(|&layer| Ok(of_layer(layer)?.reshape([1]))).collect::<Result<Vec<_>>>()?;
        let entropies = graph.concat(&entropies, 0);
        let targets = self.targets(alphas.slice_along(0, 0..layers.len()));
        let penalty = (entropies - targets).square().mean_all() * self.weight;
        let nan = objective.like(f64::NAN);
        let factor = objective.greater_or_equal(objective.like(0.0)).select(objective, nan);
        let total = if self.weight == 0.0 { objective } else { factor + factor * penalty };
        Ok(Regularized { total, penalty, entropies, targets })
    }

    /// max(α_min, |α|). At α_min itself half of the gradient goes on, so that a target that starts there can leave it.
    fn targets<'g>(&self, alphas: Var<'g>) -> Var<'g> {
        let size = alphas.abs();
        (size + self.alpha_min + (size - self.alpha_min).abs()) * 0.5
    }
}

impl Term for BatchEntropy {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        if self.weight == 0.0 {
            return Ok(objective);
        }
        let layers = self.layers.of(&trace.cx.taps())?;
        let values: Vec<Var<'g>> = layers.iter().map(|layer| layer.value).collect();
        let _scope = trace.cx.scope("batch_entropy");
        let alphas = trace.cx.param("alpha", [values.len()], Initial::Constant(self.alpha));
        let parts = self.of(objective, &values, alphas).map_err(|error| error.detail("layer", &layers[0].path))?;
        Ok(parts.total)
    }
}

/// What comes through a layer of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerFlow {
    /// Where it is.
    pub path: String,
    /// Units: numbers a sample has there.
    pub units: usize,
    /// The batch entropy, the mean over the units in nats.
    pub entropy: f64,
    /// Units that are the same for all samples.
    pub constant: usize,
    /// The largest absolute value.
    pub largest: f64,
    /// What a [`BatchEntropy`] draws the entropy to, where it takes the layer in.
    pub target: Option<f64>,
}

impl LayerFlow {
    /// Whether the batch entropy is below [`COLLAPSED`].
    pub fn collapsed(&self) -> bool {
        self.entropy < COLLAPSED
    }
}

/// What comes through all layers that the network makes known, over samples as one batch; targets are those of `term`, which the network
/// must then have.
///
/// # Errors
/// When there are fewer than two samples or no such layers.
pub fn flow(
    network: &Network,
    state: &State,
    samples: &Batch,
    mode: NormMode,
    term: Option<&BatchEntropy>,
) -> Result<Vec<LayerFlow>> {
    let mut layers = Vec::new();
    let mut probe = Probe::new(network, samples.len(), mode, |trace| {
        let taps = Layers::All.of(&trace.cx.taps())?;
        let mut values = Vec::new();
        for tap in &taps {
            // What all samples share is no part of the entropy; without it, units that are constant have exactly 0.
            let shared = tap.value.slice_along(0, 0..1);
            let entropies = of_units(tap.value - shared).map_err(|error| error.detail("layer", &tap.path))?;
            let constant = entropies.equal(entropies.like(0.0)).cast(entropies.dtype());
            let numbers = [entropies.mean_all(), constant.sum_all(), largest(tap.value)];
            values.extend(numbers.map(|number| (tap.path.clone(), number)));
            layers.push((tap.path.clone(), entropies.shape().elements(), None));
        }
        let alphas = trace.cx.parameters().into_iter().find(|(info, _)| info.path == ALPHAS);
        if let (Some(term), Some((_, alphas))) = (term, alphas) {
            for (index, tap) in term.layers.of(&taps)?.into_iter().enumerate() {
                let place = layers.iter().position(|(path, ..)| *path == tap.path);
                place.into_iter().for_each(|place| layers[place].2 = Some(index));
            }
            values.push((ALPHAS.into(), term.targets(alphas)));
        }
        Ok(values)
    })?;
    let values = probe.at(samples, state)?;
    let number = |index: usize| values.get(index).and_then(Tensor::item).unwrap_or(f64::NAN);
    let target = |index: usize| values.get(3 * layers.len()).and_then(|targets| targets.get(index));
    let flow = layers.iter().enumerate().map(|(place, (path, units, index))| LayerFlow {
        path: path.clone(),
        units: *units,
        entropy: number(3 * place),
        constant: number(3 * place + 1) as usize,
        largest: number(3 * place + 2),
        target: index.and_then(target),
    });
    Ok(flow.collect())
}

/// The largest absolute value, a scalar.
fn largest(values: Var<'_>) -> Var<'_> {
    values.abs().max(&(0..values.shape().len()).collect::<Vec<_>>())
}
