//! Why penalties on parameters press on geometric complexity: inequalities, with both of their sides.
//!
//! They hold for chains f = g ∘ (W · + b) ∘ h of linear and convolution layers with functions in between that do not stretch (relu, tanh,
//! sigmoid, max pooling), without shortcuts and without normalization layers. What is no chain is refused.

use super::jacobian::{Side, Sizes, basis, shape_of, squared_images, squared_lengths};
use super::spectral::{OneSample, distinct};
use crate::batch::Batch;
use crate::config::NormMode;
use crate::curvature::{LanczosOptions, SymmetricOperator, largest_eigenvalues};
use crate::network::{Network, State, Trace, Tracing};
use crate::nn::LinearMap;
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::{DType, Graph, NodeId, Shape, Tensor, Var};

/// The norms of one layer's linear map.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorms {
    /// Where the layer is.
    pub path: String,
    /// The Frobenius norm.
    pub frobenius: f64,
    /// The largest singular value.
    pub spectral: f64,
}

/// What geometric complexity cannot exceed.
#[derive(Clone, Debug, PartialEq)]
pub struct NormBounds {
    /// Layer after layer.
    pub layers: Vec<LayerNorms>,
    /// Π ‖W‖²_F.
    pub frobenius: f64,
    /// min(d, k) · Π s_max(W)².
    pub spectral: f64,
}

/// The norms of a chain's layers, and the bounds on its geometric complexity that follow.
///
/// Largest singular values are found by Lanczos on Wᵀ W, of a convolution as the map that it is.
///
/// # Errors
/// When the network is no chain; the message names the layer or parameter that is in the way.
pub fn norm_bounds(network: &Network, state: &State) -> Result<NormBounds> {
    let count = {
        let graph = Graph::new();
        chain(&network.trace(&graph, Tracing::quiet(1, NormMode::Running))?)?.len()
    };
    let batch = network.blank(1);
    let mut layers = Vec::new();
    let mut narrow = 0;
    for layer in 0..count {
        let graph = Graph::new();
        let trace = network.trace(&graph, Tracing::quiet(1, NormMode::Running))?;
        let sizes = Sizes::of(&trace)?;
        narrow = sizes.inputs.min(sizes.outputs);
        let map = chain(&trace)?.swap_remove(layer);
        let one = OneSample::of(&map);
        let vector = graph.input("vector", &one.input, network.dtype());
        let product = one.transpose(map.weight, one.apply(map.weight, vector));
        let frobenius = one.squared_frobenius(map.weight);
        let mut gram = Gram::new(&trace, &one.input, product, &[frobenius])?;
        let spectral = gram.largest_singular_value(&batch, state)?;
        layers.push(LayerNorms { path: map.path, frobenius: gram.others()[0].sqrt(), spectral });
    }
    let product = |of: fn(&LayerNorms) -> f64| layers.iter().map(|layer| of(layer).powi(2)).product::<f64>();
    let (frobenius, spectral) = (product(|layer| layer.frobenius), product(|layer| layer.spectral));
    Ok(NormBounds { frobenius, spectral: narrow as f64 * spectral, layers })
}

/// Both sides of ‖∂f/∂θ‖²_F ≥ ‖∂f/∂x‖²_F · Σ T for one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferBound {
    /// ‖∂f/∂θ‖²_F over all parameters and outputs.
    pub left: f64,
    /// ‖∂f/∂x‖²_F · Σ T.
    pub right: f64,
    /// Each layer with its T = (1 + ‖h‖²) / (s_max(W)² · s_max(∂h/∂x)²), where h is the layer's input and the 1 its bias, if it has
    /// one; 0 where a denominator is.
    pub layers: Vec<(String, f64)>,
}

/// The transfer of flatness to the inputs, sample by sample: a gradient by the parameters is at least so large as the Jacobian by the
/// inputs and the layers' T allow.
///
/// Cost: k reverse passes a sample, and some tens of products with each layer's Jacobian.
///
/// # Errors
/// When the network is no chain of linear layers (convolutions share their weights over positions), or the numbers do not fit.
///
/// Source: Dherin, Munn, Rosca, Barrett 2022, arXiv 2209.13083, section 4.
pub fn transfer_bound(network: &Network, state: &State, samples: &Batch) -> Result<Vec<TransferBound>> {
    let norms = norm_bounds(network, state)?.layers;
    let mut jacobians = (0..norms.len()).map(|layer| jacobian(network, layer)).collect::<Result<Vec<_>>>()?;
    let (mut sides, mut results) = sides(network)?;
    let mut bounds = Vec::with_capacity(samples.len());
    for sample in 0..samples.len() {
        let batch = samples.take(&[sample as u32])?;
        let feed = Feed { parameters: &state.parameters, buffers: &state.buffers, ..Feed::of(&batch) };
        sides.run(&feed, &mut results)?;
        let found: Vec<f64> = results.iter().map(|result| result.item().unwrap_or(f64::NAN)).collect();
        let mut layers = Vec::with_capacity(norms.len());
        for ((norms, jacobian), square) in norms.iter().zip(&mut jacobians).zip(&found[2..]) {
            let reach = norms.spectral * jacobian.largest_singular_value(&batch, state)?;
            layers.push((norms.path.clone(), if reach > 0.0 { square / (reach * reach) } else { 0.0 }));
        }
        let transfer: f64 = layers.iter().map(|(_, value)| value).sum();
        bounds.push(TransferBound { left: found[0], right: found[1] * transfer, layers });
    }
    Ok(bounds)
}

/// ‖∂f/∂θ‖², ‖∂f/∂x‖², then for each layer ‖h‖² with 1 for a bias: a program for one sample.
fn sides(network: &Network) -> Result<(Runner, Vec<Tensor>)> {
    let graph = Graph::new();
    let trace = network.trace(&graph, Tracing::quiet(1, NormMode::Running))?;
    let maps = chain(&trace)?;
    if let Some(map) = maps.iter().find(|map| OneSample::of(map).is_convolution() || map.input.shape()[0] != 1) {
        return Err(Error::input(
            "the transfer inequality is one of linear layers, and this one shares its weights over positions",
        )
        .detail("layer", &map.path)
        .detail("expected", "one row for a sample")
        .detail("got", map.input.shape()));
    }
    let one = graph.splat(0.0, shape_of(&trace, Side::Outputs), network.dtype());
    let gradient = graph.vjp(&[trace.logits], &trace.parameters(), Some(&[one]))?;
    let gradients = graph.map(&gradient, &[one], &[basis(trace.logits)])?;
    let squares = gradients.iter().map(|gradient| squared_lengths(*gradient, 0));
    let left = squares.fold(graph.splat(0.0, [], network.dtype()), |sum, square| sum + square);
    let right = squared_images(&trace, Side::Outputs, basis(trace.logits))?.sum_all();
    let parameters = trace.cx.parameters();
    let inputs = maps.iter().map(|map| {
        let bias = format!("{}.bias", map.path);
        let has_bias = parameters.iter().any(|(info, _)| info.path == bias);
        map.input.square().sum_all() + f64::from(u8::from(has_bias))
    });
    let values: Vec<(String, Var<'_>)> = [left, right]
        .into_iter()
        .chain(inputs)
        .enumerate()
        .map(|(number, value)| (number.to_string(), value))
        .collect();
    trace.cx.check()?;
    let runner = Runner::new(&graph, &values, &Build::default())?;
    let results = runner.new_outputs();
    Ok((runner, results))
}

/// The Jacobian of a layer's input by the network's.
fn jacobian(network: &Network, layer: usize) -> Result<Gram> {
    let graph = Graph::new();
    let trace = network.trace(&graph, Tracing::quiet(1, NormMode::Running))?;
    let hidden = chain(&trace)?.swap_remove(layer).input;
    let shape = trace.inputs.shape();
    let vector = graph.input("vector", &shape, network.dtype());
    let image = graph.jvp(&[hidden], &[trace.inputs], &[vector])?;
    let product = graph.vjp(&[hidden], &[trace.inputs], Some(&image))?;
    Gram::new(&trace, &shape, product[0], &[])
}

/// The linear maps of a chain.
fn chain<'g>(trace: &Trace<'g>) -> Result<Vec<LinearMap<'g>>> {
    let refuse = |what: &str, layer: &str| {
        Err(Error::input(format!("the bounds are those of a chain of layers: {what}")).detail("layer", layer).detail(
            "expected",
            "linear and convolution layers one after the other, with functions that do not stretch in between",
        ))
    };
    let maps = distinct(trace)?;
    for (info, _) in trace.cx.parameters() {
        let layer = info.path.rsplit_once('.').map_or("", |(layer, _)| layer);
        if maps.iter().all(|map| map.path != layer) {
            return refuse("this parameter is of another kind of layer", &info.path);
        }
    }
    match maps.iter().find(|map| passes_by(trace, map)) {
        Some(map) => refuse("the answers depend on the inputs beside this layer", &map.path),
        None => Ok(maps),
    }
}

/// Whether the answers depend on the inputs on a way that does not go through the map.
fn passes_by(trace: &Trace<'_>, map: &LinearMap<'_>) -> bool {
    let graph = trace.cx.graph();
    let mut seen = vec![false; graph.len()];
    let mut open: Vec<NodeId> = vec![trace.logits.id()];
    while let Some(id) = open.pop() {
        if id == map.output.id() || std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        if id == trace.inputs.id() {
            return true;
        }
        open.extend(graph.node(id).into_iter().flat_map(|node| node.inputs));
    }
    false
}

/// Aᵀ A for a linear map A that a program applies, at a state and samples.
struct Gram {
    runner: Runner,
    results: Vec<Tensor>,
    shape: Shape,
    dtype: DType,
}

impl Gram {
    /// The program of `product`, linear in the graph's input `vector` of this shape, and of some numbers beside it.
    fn new<'g>(trace: &Trace<'g>, shape: &Shape, product: Var<'g>, numbers: &[Var<'g>]) -> Result<Gram> {
        trace.cx.check()?;
        let values = std::iter::once(&product).chain(numbers).enumerate();
        let outputs: Vec<_> = values.map(|(number, value)| (number.to_string(), *value)).collect();
        let runner = Runner::new(trace.cx.graph(), &outputs, &Build::default())?;
        let results = runner.new_outputs();
        Ok(Gram { runner, results, shape: shape.clone(), dtype: product.dtype() })
    }

    /// The largest singular value of A.
    fn largest_singular_value(&mut self, batch: &Batch, state: &State) -> Result<f64> {
        let tolerance = if self.dtype == DType::F64 { 1e-8 } else { 1e-4 };
        let options = LanczosOptions { tolerance, max_iterations: 1000, ..LanczosOptions::default() };
        let spectrum = largest_eigenvalues(&mut At { gram: self, batch, state }, &options)?;
        Ok(spectrum.eigenpairs.first().map_or(0.0, |pair| pair.value.max(0.0).sqrt()))
    }

    /// The numbers beside the product, as of the last run.
    fn others(&self) -> Vec<f64> {
        self.results[1..].iter().map(|result| result.item().unwrap_or(f64::NAN)).collect()
    }
}

/// A [`Gram`] at a state and samples.
struct At<'a> {
    gram: &'a mut Gram,
    batch: &'a Batch,
    state: &'a State,
}

impl SymmetricOperator for At<'_> {
    fn dimension(&self) -> usize {
        self.gram.shape.elements()
    }

    fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>> {
        let given: Vec<Tensor> = Tensor::from_f64(&self.gram.shape, self.gram.dtype, vector).into_iter().collect();
        let (parameters, buffers) = (&self.state.parameters, &self.state.buffers);
        let feed = Feed { parameters, buffers, scalars: &given, ..Feed::of(self.batch) };
        self.gram.runner.run(&feed, &mut self.gram.results)?;
        Ok(self.gram.results[0].to_f64())
    }
}
