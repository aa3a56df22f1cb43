//! Gradients of single samples: the gradient of one sample's loss, mapped over samples.

use super::operator::Curvature;
use super::product::require_independent_samples;
use crate::Result;
use crate::batch::Batch;
use crate::network::Tracing;
use crate::runner::{Build, Feed, Runner};
use evenkeel_graph::{Data, Element, Graph, Shape, Tensor, Var};

impl Curvature<'_> {
    /// The gradient of each sample's own loss: for each parameter a tensor with the samples in front, `[N, ..]`.
    ///
    /// Their mean is the gradient of the mean loss. Memory: N times the parameters.
    ///
    /// # Errors
    /// Where samples depend on each other: with batch normalization in norm mode `batch`, or with noise.
    pub fn sample_gradients(&self) -> Result<Vec<Tensor>> {
        let mut found = self.new_vector(Some(self.samples()));
        self.each_sample(
            |_, gradient| gradient.to_vec(),
            |first, filled, results| {
                for (all, part) in found.iter_mut().zip(results) {
                    match (all.data_mut(), part.data()) {
                        (Data::F32(all), Data::F32(part)) => copy_rows(all, part, first, filled, self.samples()),
                        (Data::F64(all), Data::F64(part)) => copy_rows(all, part, first, filled, self.samples()),
                        _ => {}
                    }
                }
            },
        )?;
        Ok(found)
    }

    /// The Euclidean norm of each sample's gradient over all parameters.
    ///
    /// Cost: about a gradient. No sample's gradient of a weight is formed where the squares of its elements come cheaper
    /// from the two sides of the product that it is.
    ///
    /// # Errors
    /// As [`Curvature::sample_gradients`].
    pub fn sample_gradient_norms(&self) -> Result<Vec<f64>> {
        let mut norms = Vec::with_capacity(self.samples());
        self.each_sample(
            |loss, gradient| {
                let squares = gradient.iter().map(|gradient| gradient.square().sum_all());
                vec![squares.fold(loss.like(0.0), |sum, square| sum + square).sqrt()]
            },
            |_, filled, results| norms.extend(results[0].to_f64().into_iter().take(filled)),
        )?;
        Ok(norms)
    }

    /// Maps what `build` makes of one sample's loss and gradient over all samples, and gives it to `visit` a chunk at a
    /// time: the first sample's number, how many samples there are, and their values along a leading axis.
    fn each_sample(
        &self,
        build: impl for<'g> FnOnce(Var<'g>, &[Var<'g>]) -> Vec<Var<'g>>,
        mut visit: impl FnMut(usize, usize, &[Tensor]),
    ) -> Result<()> {
        let point = &self.point;
        require_independent_samples(point, "the gradient of a single sample")?;
        let graph = Graph::new();
        let traced = point.network.trace(&graph, Tracing::quiet(1, point.mode))?;
        let loss = traced.losses.sum_all();
        let gradient = graph.vjp(&[loss], &traced.parameters(), None)?;
        let names: Vec<String> = (0..=gradient.len()).map(|n| n.to_string()).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(build(loss, &gradient)).collect();
        let one = graph.function(&outputs)?;
        let mut runner =
            Runner::of(&one.map(point.size(), |info| ["x", "y"].contains(&&info.name[..]))?, &Build::default())?;
        let mut results = runner.new_outputs();
        for (chunk, batch) in point.chunks.iter().enumerate() {
            let batches_of_one = Batch { inputs: apart(&batch.inputs), labels: apart(&batch.labels) };
            runner.run(&Feed { batch: &batches_of_one, scalars: &[], ..point.feed(chunk) }, &mut results)?;
            visit(chunk * point.size(), point.filled(chunk), &results);
        }
        Ok(())
    }
}

/// `[N, ..]` as `[N, 1, ..]`: N batches of one sample.
fn apart(samples: &Tensor) -> Tensor {
    let mut shape = samples.shape().to_vec();
    shape.insert(1, 1);
    samples.clone().reshaped(Shape::from(shape))
}

/// Copies the first `filled` rows of `part` behind row `first` of `all`.
fn copy_rows<T: Element>(all: &mut [T], part: &[T], first: usize, filled: usize, rows: usize) {
    let row = all.len() / rows.max(1);
    all[first * row..(first + filled) * row].copy_from_slice(&part[..filled * row]);
}
