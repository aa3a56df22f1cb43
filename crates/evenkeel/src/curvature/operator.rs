//! The loss over chosen samples as a function of all parameters, with its exact derivatives.

use super::lanczos::{LanczosOptions, Spectrum, SymmetricOperator, largest_eigenvalues};
use crate::config::NormMode;
use crate::network::{Batch, Network, Noise, State, Traced};
use crate::runner::{Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::{DType, Graph, Tensor, Var};

/// Samples taken at once where they do not depend on each other.
const CHUNK: usize = 125;

/// Which matrix a product is taken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// ∇²L, exact: the derivative of the gradient along the direction.
    Hessian,
    /// Jᵀ (∇²ℓ) J with J the Jacobian of the logits: never negative for convex losses.
    GaussNewton,
}

/// The mean loss over some samples at one point, and products with its second derivatives.
///
/// Vectors over all parameters are flat, in the order of [`Network::parameters`], each row-major, in f64; the arithmetic is
/// the network's type.
///
/// In [`NormMode::Batch`] the samples are *one* batch, whatever their number: its statistics are taken over all of them and
/// differentiated through. In the other modes samples do not depend on each other and are taken some at a time; the sums
/// are the same.
pub struct Curvature<'n> {
    network: &'n Network,
    mode: NormMode,
    state: State,
    chunks: Vec<Batch>,
    /// 1/N for each sample of a chunk, 0 for what fills the last one up.
    weights: Vec<Tensor>,
    /// Statistics of the samples as one batch, for [`NormMode::Frozen`].
    frozen: Vec<Tensor>,
    noise: Option<Noise>,
    gradient: Option<(Runner, Vec<Tensor>)>,
    products: [Option<(Runner, Vec<Tensor>)>; 2],
}

impl<'n> Curvature<'n> {
    /// The loss over `samples` at `state`.
    ///
    /// # Errors
    /// When there are no samples, or the network cannot be traced on them in this mode.
    pub fn new(network: &'n Network, mode: NormMode, samples: Batch, state: State) -> Result<Self> {
        Self::with_noise(network, mode, samples, state, None)
    }

    /// The loss with the random numbers that layers such as dropout drew in a training step on the same samples: they are
    /// then *one* batch in every mode, since a mask belongs to a sample's place in it.
    ///
    /// # Errors
    /// As [`Curvature::new`].
    pub fn with_noise(
        network: &'n Network,
        mode: NormMode,
        samples: Batch,
        state: State,
        noise: Option<Noise>,
    ) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::input("curvature needs at least one sample"));
        }
        let count = samples.len();
        let together = noise.is_some() || mode == NormMode::Batch && network.has_batch_statistics();
        let size = if together { count } else { count.min(CHUNK) };
        let dtype = network.dtype();
        let mut chunks = Vec::new();
        let mut weights = Vec::new();
        for start in (0..count).step_by(size) {
            let (chunk, filled) = cut(&samples, start, size)?;
            let weight: Vec<f64> = (0..size).map(|n| if n < filled { 1.0 / count as f64 } else { 0.0 }).collect();
            chunks.push(chunk);
            weights.push(Tensor::from_f64([size], dtype, &weight).unwrap_or_else(|| Tensor::zeros([size], dtype)));
        }
        let mut curvature = Curvature {
            network,
            mode,
            state: state.clone(),
            chunks,
            weights,
            frozen: Vec::new(),
            noise,
            gradient: None,
            products: [None, None],
        };
        if mode == NormMode::Frozen {
            curvature.freeze(&samples)?;
        }
        Ok(curvature)
    }

    /// Takes the statistics of the samples as one batch at the current point.
    fn freeze(&mut self, samples: &Batch) -> Result<()> {
        let graph = Graph::new();
        let traced = self.network.trace_with(&graph, samples.len(), NormMode::Batch, self.noise.is_some())?;
        let outputs: Vec<(String, Var<'_>)> = traced
            .cx
            .statistics()
            .into_iter()
            .flat_map(|layer| {
                [(format!("{}.mean", layer.path), layer.mean), (format!("{}.variance", layer.path), layer.variance)]
            })
            .collect();
        if outputs.is_empty() {
            return Ok(());
        }
        let mut runner = Runner::new(&graph, &outputs, &[], true)?;
        runner.set_noise(self.noise.unwrap_or_default());
        self.frozen = runner.new_outputs();
        let feed = Feed {
            batch: samples,
            parameters: &self.state.parameters,
            buffers: &self.state.buffers,
            frozen: &[],
            direction: &[],
            kept: &[],
            scalars: &[],
        };
        runner.run(&feed, &mut self.frozen)
    }

    /// How many samples the loss is taken over.
    pub fn samples(&self) -> usize {
        let size = self.chunks.first().map_or(0, Batch::len);
        let last = self.weights.last().map_or(0, |weights| weights.to_f64().iter().filter(|&&w| w > 0.0).count());
        size * self.chunks.len().saturating_sub(1) + last
    }

    /// The loss and its gradient.
    ///
    /// # Errors
    /// When the state is not the network's.
    pub fn gradient(&mut self) -> Result<(f64, Vec<f64>)> {
        if self.gradient.is_none() {
            self.gradient = Some(self.compile(|_, traced, loss| {
                let gradient = traced.cx.graph().vjp(&[loss], &traced.parameters, None)?;
                Ok(std::iter::once(loss).chain(gradient).collect())
            })?);
        }
        let Some((mut runner, mut outputs)) = self.gradient.take() else { return Ok((f64::NAN, vec![])) };
        let sum = self.accumulate(&mut runner, &mut outputs, &[]);
        self.gradient = Some((runner, outputs));
        let mut sum = sum?;
        let gradient = sum.split_off(1);
        Ok((sum[0], gradient))
    }

    /// The logits of all samples, `[N, classes]`, or `[N, T, classes]` where every position has a label.
    ///
    /// # Errors
    /// When the state is not the network's.
    pub fn logits(&self) -> Result<Tensor> {
        let (mut runner, mut outputs) = self.compile(|_, traced, _| Ok(vec![traced.logits]))?;
        let mut values = Vec::new();
        for batch in &self.chunks {
            self.run(&mut runner, &mut outputs, batch, &self.weights[0], &[])?;
            values.extend(outputs[0].to_f64());
        }
        let mut shape = outputs[0].shape().to_vec();
        shape[0] = self.samples();
        values.truncate(shape.iter().product());
        let dtype = self.network.dtype();
        Ok(Tensor::from_f64(&shape[..], dtype, &values).unwrap_or_else(|| Tensor::zeros(shape, dtype)))
    }

    /// A product with a flat direction. Cost: about three gradients.
    ///
    /// # Errors
    /// When the direction does not have one number a parameter.
    pub fn product(&mut self, matrix: Product, direction: &[f64]) -> Result<Vec<f64>> {
        let direction = self.split(direction)?;
        let slot = matrix as usize;
        if self.products[slot].is_none() {
            self.products[slot] = Some(self.compile(|graph, traced, loss| second_order(graph, traced, loss, matrix))?);
        }
        let Some((mut runner, mut outputs)) = self.products[slot].take() else { return Ok(vec![]) };
        let sum = self.accumulate(&mut runner, &mut outputs, &direction);
        self.products[slot] = Some((runner, outputs));
        sum
    }

    /// ∇²L · direction.
    ///
    /// # Errors
    /// As [`Curvature::product`].
    pub fn hessian_product(&mut self, direction: &[f64]) -> Result<Vec<f64>> {
        self.product(Product::Hessian, direction)
    }

    /// The largest eigenvalues of the Hessian by Lanczos.
    ///
    /// # Errors
    /// When a product fails, or is not finite.
    pub fn top_eigenvalues(&mut self, options: &LanczosOptions) -> Result<Spectrum> {
        largest_eigenvalues(&mut HessianOf(self), options)
    }

    /// Traces the weighted loss of one chunk, lets `build` say what to compute, and compiles it.
    fn compile(
        &self,
        build: impl for<'g> FnOnce(&'g Graph, &Traced<'g>, Var<'g>) -> Result<Vec<Var<'g>>>,
    ) -> Result<(Runner, Vec<Tensor>)> {
        let graph = Graph::new();
        let size = self.chunks.first().map_or(0, Batch::len);
        let traced = self.network.trace_with(&graph, size, self.mode, self.noise.is_some())?;
        let weights = graph.input("weights", [size], self.network.dtype());
        // What fills the last chunk up must not count, even where its loss is infinite.
        let counted = weights.greater(weights.like(0.0)).select(traced.losses, traced.losses.like(0.0));
        let loss = (counted * weights).sum_all();
        let results = build(&graph, &traced, loss)?;
        let outputs: Vec<_> = results.into_iter().enumerate().map(|(n, var)| (format!("{n}"), var)).collect();
        let mut runner = Runner::new(&graph, &outputs, &[], true)?;
        runner.set_noise(self.noise.unwrap_or_default());
        let tensors = runner.new_outputs();
        Ok((runner, tensors))
    }

    /// Runs a program on all chunks and adds up its outputs, flattened, in f64.
    fn accumulate(&self, runner: &mut Runner, outputs: &mut [Tensor], direction: &[Tensor]) -> Result<Vec<f64>> {
        let mut total: Vec<f64> = Vec::new();
        for (batch, weights) in self.chunks.iter().zip(&self.weights) {
            self.run(runner, outputs, batch, weights, direction)?;
            let values = outputs.iter().flat_map(Tensor::to_f64);
            if total.is_empty() {
                total.extend(values);
            } else {
                total.iter_mut().zip(values).for_each(|(total, value)| *total += value);
            }
        }
        Ok(total)
    }

    fn run(
        &self,
        runner: &mut Runner,
        outputs: &mut [Tensor],
        batch: &Batch,
        weights: &Tensor,
        direction: &[Tensor],
    ) -> Result<()> {
        let feed = Feed {
            batch,
            parameters: &self.state.parameters,
            buffers: &self.state.buffers,
            frozen: &self.frozen,
            direction,
            kept: &[],
            scalars: std::slice::from_ref(weights),
        };
        runner.run(&feed, outputs)
    }

    /// A flat vector as one tensor a parameter.
    fn split(&self, flat: &[f64]) -> Result<Vec<Tensor>> {
        let expected = self.network.parameter_count();
        if flat.len() != expected {
            return Err(Error::input("the direction does not have one number a parameter")
                .detail("expected", expected)
                .detail("got", flat.len()));
        }
        let mut rest = flat;
        let mut tensors = Vec::with_capacity(self.network.parameters().len());
        for info in self.network.parameters() {
            let (head, tail) = rest.split_at(info.shape.elements());
            rest = tail;
            tensors.extend(Tensor::from_f64(&info.shape, self.network.dtype(), head));
        }
        Ok(tensors)
    }
}

/// The outputs of a product: jvp of the gradient, or vjp of the loss Hessian's product with the logits' tangent.
pub(crate) fn second_order<'g>(
    graph: &'g Graph,
    traced: &Traced<'g>,
    loss: Var<'g>,
    matrix: Product,
) -> Result<Vec<Var<'g>>> {
    let direction: Vec<Var<'g>> = traced
        .cx
        .parameters()
        .into_iter()
        .map(|(info, var)| graph.input(format!("direction/{}", info.path), info.shape, var.dtype()))
        .collect();
    let parameters = &traced.parameters;
    Ok(match matrix {
        Product::Hessian => {
            let gradient = graph.vjp(&[loss], parameters, None)?;
            graph.jvp(&gradient, parameters, &direction)?
        }
        Product::GaussNewton => {
            let moved = graph.jvp(&[traced.logits], parameters, &direction)?;
            let slope = graph.vjp(&[loss], &[traced.logits], None)?;
            let bent = graph.jvp(&slope, &[traced.logits], &moved)?;
            graph.vjp(&[traced.logits], parameters, Some(&bent))?
        }
    })
}

/// Samples `start..start + size`; missing ones are filled up with the first sample. Returns how many are real.
fn cut(samples: &Batch, start: usize, size: usize) -> Result<(Batch, usize)> {
    let count = samples.len();
    if start == 0 && size == count {
        return Ok((samples.clone(), count));
    }
    let filled = size.min(count - start);
    let rows = |tensor: &Tensor| -> Option<Tensor> {
        let mut shape = tensor.shape().to_vec();
        let row: usize = shape[1..].iter().product();
        shape[0] = size;
        let pick = |n: usize| if n < filled { start + n } else { 0 };
        match tensor.dtype() {
            DType::F32 => gather(tensor.as_slice::<f32>()?, shape, row, size, pick),
            DType::F64 => gather(tensor.as_slice::<f64>()?, shape, row, size, pick),
            DType::I32 => gather(tensor.as_slice::<i32>()?, shape, row, size, pick),
            DType::Bool => None,
        }
    };
    match (rows(&samples.inputs), rows(&samples.labels)) {
        (Some(inputs), Some(labels)) => Ok((Batch { inputs, labels }, filled)),
        _ => Err(Error::input("samples must be floats or integers with integer labels")),
    }
}

fn gather<T: evenkeel_graph::Element>(
    from: &[T],
    shape: Vec<usize>,
    row: usize,
    size: usize,
    pick: impl Fn(usize) -> usize,
) -> Option<Tensor> {
    let elements = (0..size).flat_map(|n| from[pick(n) * row..(pick(n) + 1) * row].iter().copied()).collect();
    Tensor::new(shape, elements)
}

struct HessianOf<'a, 'n>(&'a mut Curvature<'n>);

impl SymmetricOperator for HessianOf<'_, '_> {
    fn dimension(&self) -> usize {
        self.0.network.parameter_count()
    }

    fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>> {
        self.0.hessian_product(vector)
    }
}
