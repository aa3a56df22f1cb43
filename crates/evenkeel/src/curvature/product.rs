//! The matrices, and products with them through two programs: one for the point, one for the direction.

use super::point::Point;
use crate::config::NormMode;
use crate::network::{Network, Trace};
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::{Data, Function, Graph, InputInfo, Linearized, Tensor, Var};

/// Which matrix a product is taken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// ∇²L, exact: the derivative of the gradient along the direction. L has all terms of the objective; the matrices below are
    /// those of the samples' losses alone.
    Hessian,
    /// Jᵀ (∇²ℓ) J with J the Jacobian of the logits: never negative for convex losses.
    ///
    /// It is also the Fisher matrix of the network's predictive distribution, 1/N Σₙ E_{y ~ p(·|xₙ)} ∇ln p ∇ln pᵀ, for both
    /// losses: cross-entropy and ½|z − y|² are −ln p of a categorical and of a unit normal distribution, whose Fisher
    /// matrix in the logits is ∇²ℓ whatever the label. See [`Product::FISHER`].
    GaussNewton,
    /// 1/N Σₙ gₙ gₙᵀ with gₙ the gradient of sample n's own loss at its own label. Not the Fisher matrix, though often
    /// called so; samples must not depend on each other.
    EmpiricalFisher,
}

impl Product {
    /// The Fisher matrix of the predictive distribution: the Gauss-Newton matrix, see there.
    pub const FISHER: Product = Product::GaussNewton;

    /// How many there are.
    pub(super) const COUNT: usize = 3;
}

/// Is shown flat products, one after the other.
pub type Visit<'v> = dyn FnMut(&[f64]) + 'v;

/// What products with a matrix cost at a point, for all samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductCost {
    /// Floating-point operations of products and convolutions that belong to the point: paid once while its values are
    /// kept.
    pub point_flops: u64,
    /// Those of each direction.
    pub direction_flops: u64,
    /// Bytes of the values kept between products.
    pub kept_bytes: usize,
}

/// Refuses what asks for gradients of single samples where samples depend on each other.
pub(super) fn require_independent_samples(point: &Point<'_>, what: &str) -> Result<()> {
    let (reason, way) = if point.network.couples_samples(NormMode::Running) {
        let reason = "a normalization that takes the statistics of the batch in every norm mode";
        (reason, "use one that keeps running statistics")
    } else if point.network.couples_samples(point.mode) {
        let reason = "batch normalization in norm mode `batch`: each sample's loss depends on all samples";
        (reason, "use norm mode `running` or `frozen`")
    } else if point.noise.is_some() {
        ("noise that was drawn for the batch as a whole", "measure without noise")
    } else if point.network.has_terms() {
        ("terms of the objective that are taken over the batch as a whole", "measure the network without its terms")
    } else {
        return Ok(());
    };
    let problem = format!("{what} needs samples that do not depend on each other");
    Err(Error::input(problem).detail("got", reason).hint(way))
}

/// The programs of one matrix at one point.
pub(super) struct Operator {
    point: Runner,
    /// Takes single directions; mapped for blocks.
    direction: Function,
    /// Where each parameter's product is among the outputs; none for a parameter that the loss does not depend on.
    places: Vec<Option<usize>>,
    /// Programs for single directions (`None`) and for each size of block, with their results.
    compiled: Vec<(Option<usize>, Runner, Vec<Tensor>)>,
    /// Kept values: the n-th of chunk n, the last of all chunks from there on, one after the other.
    kept: Vec<Kept>,
    cost: ProductCost,
}

/// The values that the direction's program needs of the point, for one chunk.
struct Kept {
    /// The chunk they are of; none when they are stale.
    chunk: Option<usize>,
    values: Vec<Tensor>,
}

/// Whether an input of a product is part of its direction.
pub(super) fn is_direction(info: &InputInfo) -> bool {
    info.name.starts_with("direction/")
}

impl Operator {
    /// Traces and splits the product; kept values may take `budget` bytes, and at least what one chunk needs.
    pub(super) fn new(point: &Point<'_>, matrix: Product, budget: usize) -> Result<Operator> {
        if matrix == Product::EmpiricalFisher {
            require_independent_samples(point, "the empirical Fisher matrix")?;
        }
        let whole = whole(point, matrix)?;
        let mut split = whole.linearize(is_direction);
        let mut budget = budget;
        if let Some(limit) = point.memory_limit {
            // Both programs stay, and the first one's outputs are what is kept for the second.
            let runner = |function| Runner::of(function, &Build::default());
            let peak = |function| runner(function).map_or(usize::MAX, |runner| runner.peak_bytes());
            match limit.left().checked_sub(peak(&split.point).saturating_add(peak(&split.direction))) {
                Some(room) => budget = budget.min(split.kept_bytes() + room),
                // Nothing is kept: every product computes what belongs to the point anew.
                None => split = whole.linearize(|_| true),
            }
        }
        let chunks = point.chunks.len();
        let kept_bytes = split.kept_bytes();
        let held = (budget / kept_bytes.max(1)).clamp(1, chunks.max(1));
        let cost = ProductCost {
            point_flops: split.point.flops() * chunks as u64,
            direction_flops: split.direction.flops() * chunks as u64,
            kept_bytes: kept_bytes * held,
        };
        let Linearized { point: at_point, direction, .. } = split;
        let places = (0..point.network.parameters().len()).map(|n| direction.output_index(&n.to_string())).collect();
        let kept = (0..held).map(|_| Kept { chunk: None, values: Vec::new() }).collect();
        Ok(Operator { point: point.runner(&at_point)?, direction, places, compiled: Vec::new(), kept, cost })
    }

    pub(super) fn cost(&self) -> ProductCost {
        self.cost
    }

    /// Forgets what belonged to another point.
    pub(super) fn forget(&mut self) {
        self.kept.iter_mut().for_each(|kept| kept.chunk = None);
    }

    /// Takes the product; directions and products hold one tensor a parameter, all with one leading axis for a block.
    pub(super) fn multiply(&mut self, point: &Point<'_>, directions: &[Tensor], products: &mut [Tensor]) -> Result<()> {
        let count = block(point.network, directions)?;
        if block(point.network, products)? != count {
            return Err(Error::input("products are not shaped like their directions"));
        }
        let place = self.compiled(point, count)?;
        if point.chunks.len() == 1 && self.places.iter().all(Option::is_some) {
            return self.run(point, place, 0, directions, Some(products));
        }
        let mut sum: Vec<Vec<f64>> = Vec::new();
        for chunk in 0..point.chunks.len() {
            self.run(point, place, chunk, directions, None)?;
            let results = &self.compiled[place].2;
            if sum.is_empty() {
                sum = results.iter().map(Tensor::to_f64).collect();
            } else {
                sum.iter_mut().zip(results).for_each(|(sum, result)| add(sum, result));
            }
        }
        if point.share != 1.0 {
            sum.iter_mut().flatten().for_each(|value| *value *= point.share);
        }
        // A product is linear in its direction: where the direction does not enter it is zero.
        for (product, place) in products.iter_mut().zip(&self.places) {
            let found = place.and_then(|place| Tensor::from_f64(product.shape(), product.dtype(), &sum[place]));
            *product = found.unwrap_or_else(|| Tensor::zeros(product.shape(), product.dtype()));
        }
        Ok(())
    }

    /// What each chunk makes of a single direction, flat, one after the other.
    pub(super) fn each(&mut self, point: &Point<'_>, direction: &[Tensor], visit: &mut Visit<'_>) -> Result<()> {
        let place = self.compiled(point, None)?;
        let sizes = point.network.parameters().iter().map(|info| info.shape.elements());
        let sizes: Vec<usize> = sizes.collect();
        for chunk in 0..point.chunks.len() {
            self.run(point, place, chunk, direction, None)?;
            let results = &self.compiled[place].2;
            let parts = self.places.iter().zip(&sizes);
            let flat = parts.flat_map(|(place, size)| place.map_or_else(|| vec![0.0; *size], |n| results[n].to_f64()));
            visit(&flat.collect::<Vec<f64>>());
        }
        Ok(())
    }

    /// The place of the program for blocks of this size.
    fn compiled(&mut self, point: &Point<'_>, count: Option<usize>) -> Result<usize> {
        if let Some(place) = self.compiled.iter().position(|(size, ..)| *size == count) {
            return Ok(place);
        }
        let runner = match count {
            None => point.runner(&self.direction)?,
            Some(count) => point.runner(&self.direction.map(count, is_direction)?)?,
        };
        let results = runner.new_outputs();
        self.compiled.push((count, runner, results));
        Ok(self.compiled.len() - 1)
    }

    /// Runs the program at `place` for one chunk, with what is kept of it, into its own results or `into`.
    fn run(
        &mut self,
        point: &Point<'_>,
        place: usize,
        chunk: usize,
        direction: &[Tensor],
        into: Option<&mut [Tensor]>,
    ) -> Result<()> {
        let last = self.kept.len() - 1;
        let kept = &mut self.kept[chunk.min(last)];
        if kept.chunk != Some(chunk) {
            if kept.values.is_empty() {
                kept.values = self.point.new_outputs();
            }
            kept.chunk = None;
            self.point.run(&point.feed(chunk), &mut kept.values)?;
            kept.chunk = Some(chunk);
        }
        let (_, runner, results) = &mut self.compiled[place];
        runner.run(&Feed { direction, kept: &kept.values, ..point.feed(chunk) }, into.unwrap_or(results))
    }
}

/// The product over one chunk and one direction; outputs are named by the position of their parameter.
pub(super) fn whole(point: &Point<'_>, matrix: Product) -> Result<Function> {
    let graph = Graph::new();
    let chunk = point.trace(&graph)?;
    let products = second_order(&graph, &chunk.traced, chunk.loss, matrix)?;
    let names: Vec<String> = (0..products.len()).map(|n| n.to_string()).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(products).collect();
    Ok(graph.function(&outputs)?)
}

/// Appends the product of a matrix of `loss`, a sum over the traced samples, with the direction `direction/..`: one value a
/// parameter. The Hessian is that of the loss with the terms of the objective; the other matrices are those of the loss alone.
pub(crate) fn second_order<'g>(
    graph: &'g Graph,
    traced: &Trace<'g>,
    loss: Var<'g>,
    matrix: Product,
) -> Result<Vec<Var<'g>>> {
    let objective = traced.with_terms(loss)?;
    let direction: Vec<Var<'g>> = traced
        .cx
        .parameters()
        .into_iter()
        .map(|(info, var)| graph.input(format!("direction/{}", info.path), info.shape, var.dtype()))
        .collect();
    let parameters = &traced.parameters();
    Ok(match matrix {
        Product::Hessian => {
            let gradient = graph.vjp(&[objective], parameters, None)?;
            graph.jvp(&gradient, parameters, &direction)?
        }
        Product::GaussNewton => {
            let moved = graph.jvp(&[traced.logits], parameters, &direction)?;
            let slope = graph.vjp(&[loss], &[traced.logits], None)?;
            let bent = graph.jvp(&slope, &[traced.logits], &moved)?;
            graph.vjp(&[traced.logits], parameters, Some(&bent))?
        }
        Product::EmpiricalFisher => {
            let slopes = graph.jvp(&[traced.losses], parameters, &direction)?[0];
            let weights = graph.vjp(&[loss], &[traced.losses], None)?[0];
            graph.vjp(&[traced.losses], parameters, Some(&[slopes * weights]))?
        }
    })
}

/// The leading extent that all directions share, none for a single direction.
fn block(network: &Network, directions: &[Tensor]) -> Result<Option<usize>> {
    let parameters = network.parameters();
    let count = directions.first().zip(parameters.first()).and_then(|(direction, parameter)| {
        (direction.shape().len() > parameter.shape.len()).then(|| direction.shape()[0])
    });
    let fits = |(info, tensor): (&crate::nn::ParameterInfo, &Tensor)| {
        count.into_iter().chain(info.shape.iter().copied()).eq(tensor.shape().iter().copied())
            && tensor.dtype() == network.dtype()
    };
    if directions.len() != parameters.len() || !parameters.iter().zip(directions).all(fits) {
        return Err(Error::input("a direction has one tensor a parameter, all with one leading axis for a block")
            .detail("expected", format!("{} tensors of {}", parameters.len(), network.dtype()))
            .detail("got", format!("{} tensors", directions.len())));
    }
    Ok(count)
}

fn add(sum: &mut [f64], tensor: &Tensor) {
    match tensor.data() {
        Data::F32(values) => sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value)),
        Data::F64(values) => sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += value),
        Data::I32(_) | Data::Bool(_) => {}
    }
}
