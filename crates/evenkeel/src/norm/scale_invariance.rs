//! Which weights could be longer or shorter without any difference.

use crate::Result;
use crate::batch::Batch;
use crate::config::{Initialization, NormMode};
use crate::network::{Network, Tracing};
use crate::nn::NormSettings;
use crate::runner::{Build, Feed, Runner};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor};
use serde::Serialize;

/// How far the length of a weight means nothing to the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Invariance {
    /// Each unit's weights, the last axis apart, may be longer or shorter by themselves: what goes into batch or instance norm.
    Unit,
    /// All of them together may: what goes into layer or group norm.
    Layer,
}

/// Samples that the loss is taken over.
const SAMPLES: usize = 32;
/// Largest |⟨w, ∇⟩| that counts as 0, relative to the lengths of both.
const TOLERANCE: f64 = 1e-7;

/// The weights, tensors of two axes and more, whose length the loss of the network does not depend on in training, if norms add nothing
/// to their variances.
///
/// L(c w) = L(w) for all c > 0 just where ⟨w, ∇L(w)⟩ = 0 everywhere (Euler's identity), and an analytic function that is 0 at a point
/// drawn at random is 0 everywhere. So no layer is asked for its name: the identity is looked at, unit by unit and for each tensor,
/// at random parameters, inputs and labels in f64. Biases before a norm, weights that are used twice, and sums before the next norm come
/// out as they are.
///
/// Cost: a gradient of 32 samples.
///
/// # Errors
/// When the network cannot be traced so.
pub fn scale_invariant(network: &Network) -> Result<Vec<(String, Invariance)>> {
    let settings = NormSettings { epsilon: 0.0, ghost: None, ..network.norm_settings() };
    let exact = network.in_double(settings)?;
    let mut state = exact.initial_state(Initialization::He, 0);
    let mut random = Key::new(0, "scale_invariance", 0).random();
    let mut normal = |count: usize| -> Vec<f64> { (0..count).map(|_| random.normal_f64()).collect() };
    // Away from points that are special: biases of 0, scales of 1.
    for parameter in &mut state.parameters {
        let values = parameter.to_f64();
        let moved: Vec<f64> = values.iter().zip(normal(values.len())).map(|(p, n)| p + 0.1 * n).collect();
        *parameter = Tensor::from_f64(parameter.shape(), DType::F64, &moved).unwrap_or_else(|| parameter.clone());
    }
    let graph = Graph::new();
    let traced = exact.trace(&graph, Tracing::quiet(SAMPLES, NormMode::Batch))?;
    let loss = traced.losses.mean_all();
    let variables = traced.parameters();
    let gradient = graph.vjp(&[loss], &variables, None)?;
    let outputs: Vec<_> = exact.parameters().iter().map(|info| info.path.clone()).zip(gradient).collect();
    let answers = traced.logits.shape().last().copied().unwrap_or(1);
    let batch = batch(&exact, answers, &mut normal);
    let mut runner = Runner::new(&graph, &outputs, &Build::default())?;
    let mut found = runner.new_outputs();
    runner.run(&Feed { parameters: &state.parameters, buffers: &state.buffers, ..Feed::of(&batch) }, &mut found)?;
    let all: f64 = found.iter().flat_map(Tensor::to_f64).map(|g| g * g).sum::<f64>().sqrt();
    let weights =
        exact.parameters().iter().zip(&state.parameters).zip(&found).filter(|((info, _), _)| info.shape.len() > 1);
    let judged = weights.filter_map(|((info, weight), gradient)| {
        Some((info.path.clone(), invariance(&weight.to_f64(), &gradient.to_f64(), *info.shape.last()?, all)?))
    });
    Ok(judged.collect())
}

/// What the identity says of a weight with so many units, in a network whose whole gradient is as long as `all`.
fn invariance(weight: &[f64], gradient: &[f64], units: usize, all: f64) -> Option<Invariance> {
    let units = units.max(1);
    let of = |unit: usize| {
        let pairs = || weight.iter().zip(gradient).skip(unit).step_by(units);
        let sum = |of: &dyn Fn(f64, f64) -> f64| pairs().map(|(w, g)| of(*w, *g)).sum::<f64>();
        (sum(&|w, g| w * g), sum(&|w, _| w * w), sum(&|_, g| g * g))
    };
    let sums: Vec<(f64, f64, f64)> = (0..units).map(of).collect();
    let length = |part: fn(&(f64, f64, f64)) -> f64| sums.iter().map(part).sum::<f64>().sqrt();
    let (weights, gradients) = (length(|sums| sums.1), length(|sums| sums.2));
    // What the loss does not depend on at all has no direction either.
    if !gradients.is_finite() || gradients <= TOLERANCE * all {
        return None;
    }
    let largest = sums.iter().map(|sums| sums.2.sqrt()).fold(0.0, f64::max);
    if sums.iter().all(|(product, weight, _)| product.abs() <= TOLERANCE * weight.sqrt() * largest) {
        return Some(Invariance::Unit);
    }
    let product: f64 = sums.iter().map(|sums| sums.0).sum();
    (product.abs() <= TOLERANCE * weights * gradients).then_some(Invariance::Layer)
}

/// Random samples of a network.
fn batch(network: &Network, answers: usize, normal: &mut dyn FnMut(usize) -> Vec<f64>) -> Batch {
    let blank = network.blank(SAMPLES);
    let mut fill = |tensor: &Tensor| {
        let drawn = normal(tensor.shape().elements());
        match tensor.dtype() {
            DType::I32 => {
                let below = |n: f64| ((n.abs() * 1e6) as usize % answers.max(1)) as i32;
                Tensor::new(tensor.shape(), drawn.into_iter().map(below).collect::<Vec<i32>>())
            }
            dtype => Tensor::from_f64(tensor.shape(), dtype, &drawn),
        }
        .unwrap_or_else(|| tensor.clone())
    };
    Batch { inputs: fill(&blank.inputs), labels: fill(&blank.labels) }
}
