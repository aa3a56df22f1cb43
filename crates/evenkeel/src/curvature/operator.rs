//! The loss over chosen samples as a function of all parameters, with its exact derivatives.

use super::lanczos::{LanczosOptions, Spectrum, SymmetricOperator, largest_eigenvalues};
use super::point::Point;
use super::product::{Operator, Product, ProductCost, Visit};
use crate::batch::Batch;
use crate::config::NormMode;
use crate::network::{Network, Noise, State};
use crate::runner::{MemoryLimit, Runner};
use crate::{Error, Result};
use evenkeel_graph::{Data, Shape, Tensor};

/// Bytes of kept values by default.
const KEPT_BYTES: usize = 2 << 30;

/// The mean loss over some samples at one point, and products with its second derivatives.
///
/// The first product with a matrix computes what belongs to the point (activations, statistics, cotangents) and keeps it;
/// every further product at the point pays for the direction alone. A block of directions is one program, too.
///
/// Vectors over all parameters have one tensor a parameter, in the order of [`Network::parameters`] and of the network's
/// type ([`Curvature::multiply`]), or are flat, each parameter row-major, in f64 ([`Curvature::product`]); the arithmetic is
/// the network's type.
///
/// In [`NormMode::Batch`] the samples are *one* batch, whatever their number: its statistics are taken over all of them and
/// differentiated through. In the other modes samples do not depend on each other and are taken some at a time; the sums
/// are the same.
pub struct Curvature<'n> {
    pub(super) point: Point<'n>,
    gradient: Option<(Runner, Vec<Tensor>)>,
    operators: [Option<Operator>; Product::COUNT],
    kept_bytes: usize,
    /// Directions and products of the flat interface, and the size of their block.
    vectors: Option<(Option<usize>, Vec<Tensor>, Vec<Tensor>)>,
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
        Ok(Self::at(Point::new(network, mode, samples, state, noise, None)?))
    }

    /// The mean over batches of so many samples, taken in order: each has its own statistics in [`NormMode::Batch`] and its own terms of
    /// the objective, as in training. What single batches make of a direction is [`Curvature::batch_products`].
    ///
    /// # Errors
    /// As [`Curvature::new`], and when the samples do not make whole batches.
    pub fn in_batches(
        network: &'n Network,
        mode: NormMode,
        samples: Batch,
        state: State,
        batch: usize,
    ) -> Result<Self> {
        Ok(Self::at(Point::new(network, mode, samples, state, None, Some(batch))?))
    }

    fn at(point: Point<'n>) -> Self {
        Curvature { point, gradient: None, operators: [None, None, None], kept_bytes: KEPT_BYTES, vectors: None }
    }

    /// How many bytes the values kept between products may take, for each matrix. The kept values of as many chunks of
    /// samples as fit are held, at least one; those of the others are computed again for each product.
    #[must_use]
    pub fn with_kept_bytes(mut self, bytes: usize) -> Self {
        self.kept_bytes = bytes;
        self.operators = [None, None, None];
        self
    }

    /// Lets products and gradients take `bytes` in all, `taken` of them by others: what is kept between products is computed
    /// again when there is no room for it, and what a product itself would need beyond the limit as well.
    #[must_use]
    pub(crate) fn with_memory_limit(mut self, bytes: usize, taken: usize) -> Self {
        self.point.memory_limit = Some(MemoryLimit { bytes, taken });
        self.operators = [None, None, None];
        self.gradient = None;
        self
    }

    /// Goes on at another point, with the programs compiled so far.
    ///
    /// # Errors
    /// When the state is not the network's (found at once in [`NormMode::Frozen`], else by what is computed next).
    pub fn move_to(&mut self, state: State) -> Result<()> {
        self.operators.iter_mut().flatten().for_each(Operator::forget);
        self.point.move_to(state)
    }

    /// Goes on with other samples, as many as before, with the programs compiled so far.
    ///
    /// # Errors
    /// When they are more or fewer, or not the network's.
    pub fn move_to_samples(&mut self, samples: Batch) -> Result<()> {
        self.operators.iter_mut().flatten().for_each(Operator::forget);
        self.point.move_to_samples(samples)
    }

    /// How many samples the loss is taken over.
    pub fn samples(&self) -> usize {
        self.point.samples
    }

    /// The loss, with all terms of the objective, and its gradient.
    ///
    /// # Errors
    /// When the state is not the network's.
    pub fn gradient(&mut self) -> Result<(f64, Vec<f64>)> {
        if self.gradient.is_none() {
            self.gradient = Some(self.point.compile(|graph, chunk| {
                let gradient = graph.vjp(&[chunk.objective], &chunk.traced.parameters(), None)?;
                Ok(std::iter::once(chunk.objective).chain(gradient).collect())
            })?);
        }
        let Some((runner, outputs)) = &mut self.gradient else { return Ok((f64::NAN, vec![])) };
        let mut total: Vec<f64> = Vec::new();
        for chunk in 0..self.point.chunks.len() {
            runner.run(&self.point.feed(chunk), outputs)?;
            let values = outputs.iter().flat_map(Tensor::to_f64);
            if total.is_empty() {
                total.extend(values);
            } else {
                total.iter_mut().zip(values).for_each(|(total, value)| *total += value);
            }
        }
        if self.point.memory_limit.is_some() {
            runner.release();
        }
        total.iter_mut().for_each(|value| *value *= self.point.share);
        let gradient = total.split_off(1);
        Ok((total[0], gradient))
    }

    /// The logits of all samples, `[N, classes]`, or `[N, T, classes]` where every position has a label.
    ///
    /// # Errors
    /// When the state is not the network's.
    pub fn logits(&self) -> Result<Tensor> {
        let (mut runner, mut outputs) = self.point.compile(|_, chunk| Ok(vec![chunk.traced.logits]))?;
        let mut values = Vec::new();
        for chunk in 0..self.point.chunks.len() {
            runner.run(&self.point.feed(chunk), &mut outputs)?;
            values.extend(outputs[0].to_f64());
        }
        let mut shape = outputs[0].shape().to_vec();
        shape[0] = self.samples();
        values.truncate(shape.iter().product());
        let dtype = self.point.network.dtype();
        Ok(Tensor::from_f64(&shape[..], dtype, &values).unwrap_or_else(|| Tensor::zeros(shape, dtype)))
    }

    /// Zeros shaped like one vector over all parameters, or like a block of `count` with that leading axis.
    pub fn new_vector(&self, count: Option<usize>) -> Vec<Tensor> {
        let network = self.point.network;
        let shape = |shape: &Shape| count.into_iter().chain(shape.iter().copied()).collect::<Vec<_>>();
        network.parameters().iter().map(|info| Tensor::zeros(shape(&info.shape), network.dtype())).collect()
    }

    /// The product with one direction or a block of them, see [`Curvature::new_vector`]; `products` is overwritten.
    ///
    /// Cost, in units of a gradient: for the first product at a point one unit for the point and two for each direction,
    /// afterwards two for each direction.
    ///
    /// # Errors
    /// When directions or products are not shaped like the parameters, or the matrix does not fit the norm mode.
    pub fn multiply(&mut self, matrix: Product, directions: &[Tensor], products: &mut [Tensor]) -> Result<()> {
        let (point, operator) = self.operator(matrix)?;
        operator.multiply(point, directions, products)
    }

    /// A product with a flat direction. Cost as [`Curvature::multiply`].
    ///
    /// # Errors
    /// When the direction does not have one number a parameter.
    pub fn product(&mut self, matrix: Product, direction: &[f64]) -> Result<Vec<f64>> {
        let mut products = self.flat(matrix, &[direction], None)?;
        Ok(products.pop().unwrap_or_default())
    }

    /// Products with several flat directions as one block. Cost as [`Curvature::multiply`].
    ///
    /// # Errors
    /// When a direction does not have one number a parameter.
    pub fn products(&mut self, matrix: Product, directions: &[&[f64]]) -> Result<Vec<Vec<f64>>> {
        if directions.is_empty() { Ok(vec![]) } else { self.flat(matrix, directions, Some(directions.len())) }
    }

    /// The product of each batch's own matrix with a flat direction, one after the other, of what was made by
    /// [`Curvature::in_batches`]; their mean is the product. Anything else is one batch.
    ///
    /// # Errors
    /// As [`Curvature::product`].
    pub fn batch_products(&mut self, matrix: Product, direction: &[f64], visit: &mut Visit<'_>) -> Result<()> {
        if self.point.share == 1.0 {
            visit(&self.product(matrix, direction)?);
            return Ok(());
        }
        let tensors = self.tensors(direction)?;
        let (point, operator) = self.operator(matrix)?;
        operator.each(point, &tensors, visit)
    }

    /// ∇²L · direction.
    ///
    /// # Errors
    /// As [`Curvature::product`].
    pub fn hessian_product(&mut self, direction: &[f64]) -> Result<Vec<f64>> {
        self.product(Product::Hessian, direction)
    }

    /// A matrix as an operator on flat vectors.
    pub fn operator_of(&mut self, matrix: Product) -> impl SymmetricOperator + use<'_, 'n> {
        MatrixOf { curvature: self, matrix }
    }

    /// The largest eigenvalues of the Hessian by Lanczos.
    ///
    /// # Errors
    /// When a product fails, or is not finite.
    pub fn top_eigenvalues(&mut self, options: &LanczosOptions) -> Result<Spectrum> {
        largest_eigenvalues(&mut self.operator_of(Product::Hessian), options)
    }

    /// What products with a matrix cost here.
    ///
    /// # Errors
    /// When the matrix does not fit the norm mode.
    pub fn cost(&mut self, matrix: Product) -> Result<ProductCost> {
        Ok(self.operator(matrix)?.1.cost())
    }

    fn operator(&mut self, matrix: Product) -> Result<(&Point<'n>, &mut Operator)> {
        let slot = &mut self.operators[matrix as usize];
        let operator = match slot {
            Some(operator) => operator,
            None => slot.insert(Operator::new(&self.point, matrix, self.kept_bytes)?),
        };
        Ok((&self.point, operator))
    }

    /// A flat vector as one tensor a parameter.
    fn tensors(&self, flat: &[f64]) -> Result<Vec<Tensor>> {
        self.check_length(flat)?;
        let mut tensors = self.new_vector(None);
        let mut rest = flat;
        for (tensor, info) in tensors.iter_mut().zip(self.point.network.parameters()) {
            let (head, tail) = rest.split_at(info.shape.elements());
            store(head, tensor, 0);
            rest = tail;
        }
        Ok(tensors)
    }

    fn check_length(&self, flat: &[f64]) -> Result<()> {
        let expected = self.point.network.parameter_count();
        match flat.len() == expected {
            true => Ok(()),
            false => Err(Error::input("the direction does not have one number a parameter")
                .detail("expected", expected)
                .detail("got", flat.len())),
        }
    }

    fn flat(&mut self, matrix: Product, flat: &[&[f64]], count: Option<usize>) -> Result<Vec<Vec<f64>>> {
        flat.iter().try_for_each(|direction| self.check_length(direction))?;
        let (mut directions, mut products) = match self.vectors.take() {
            Some((size, directions, products)) if size == count => (directions, products),
            _ => (self.new_vector(count), self.new_vector(count)),
        };
        for (k, flat) in flat.iter().enumerate() {
            let mut rest = *flat;
            for (direction, info) in directions.iter_mut().zip(self.point.network.parameters()) {
                let (head, tail) = rest.split_at(info.shape.elements());
                store(head, direction, k);
                rest = tail;
            }
        }
        let done = self.multiply(matrix, &directions, &mut products);
        let read = |k: usize| {
            let mut flat = Vec::with_capacity(self.point.network.parameter_count());
            let parameters = self.point.network.parameters();
            products
                .iter()
                .zip(parameters)
                .for_each(|(product, info)| load(product, k, info.shape.elements(), &mut flat));
            flat
        };
        let found = (0..flat.len()).map(read).collect();
        self.vectors = Some((count, directions, products));
        done.map(|()| found)
    }
}

/// Writes a vector into its place in a block, rounded to the tensor's type.
fn store(values: &[f64], block: &mut Tensor, place: usize) {
    let range = place * values.len()..(place + 1) * values.len();
    match block.data_mut() {
        Data::F32(elements) => elements[range].iter_mut().zip(values).for_each(|(to, &value)| *to = value as f32),
        Data::F64(elements) => elements[range].copy_from_slice(values),
        Data::I32(_) | Data::Bool(_) => {}
    }
}

/// Appends a vector of a block to `flat`.
fn load(block: &Tensor, place: usize, count: usize, flat: &mut Vec<f64>) {
    let range = place * count..(place + 1) * count;
    match block.data() {
        Data::F32(elements) => flat.extend(elements[range].iter().map(|&value| f64::from(value))),
        Data::F64(elements) => flat.extend_from_slice(&elements[range]),
        Data::I32(_) | Data::Bool(_) => {}
    }
}

struct MatrixOf<'a, 'n> {
    curvature: &'a mut Curvature<'n>,
    matrix: Product,
}

impl SymmetricOperator for MatrixOf<'_, '_> {
    fn dimension(&self) -> usize {
        self.curvature.point.network.parameter_count()
    }

    fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>> {
        self.curvature.product(self.matrix, vector)
    }
}
