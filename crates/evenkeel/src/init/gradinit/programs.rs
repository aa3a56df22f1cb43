//! What an iteration computes: a loss with its gradient, and the Hessian's product with one direction at the same point.

use crate::config::NormMode;
use crate::curvature::{Product, second_order};
use crate::network::{Network, Tracing};
use crate::runner::{Build, Feed, Runner};
use crate::{Batch, Error, Result};
use evenkeel_graph::{Function, Graph, InputInfo, Tensor};

/// Both programs, each compiled once: parameters and samples are what they are given.
///
/// The product is cut where the direction comes in, so that what a gradient computes anyway (activations, cotangents) is kept and the
/// product pays for the direction alone.
pub(super) struct Programs {
    point: Runner,
    at_point: Vec<Tensor>,
    product: Runner,
    products: Vec<Tensor>,
    places: Places,
}

/// Where results are among the outputs.
struct Places {
    /// Of the point's program: how many values are kept, then where the loss and each parameter's gradient are.
    kept: usize,
    loss: usize,
    gradient: Vec<usize>,
    /// Of the product's program; none where the direction does not come in, so that the product is zero.
    product: Vec<Option<usize>>,
}

impl Programs {
    /// Traces and compiles for batches of `batch` samples.
    pub(super) fn new(network: &Network, batch: usize) -> Result<Programs> {
        let whole = whole(network, batch)?;
        let split = whole.linearize(|info: &InputInfo| info.name.starts_with("direction/"));
        let count = network.parameters().len();
        let missing = || Error::input("the loss does not depend on the network's parameters");
        let at_point = |name: &str| split.point.output_index(name).ok_or_else(missing);
        let places = Places {
            kept: split.kept,
            loss: at_point("loss")?,
            gradient: (0..count).map(|index| at_point(&format!("gradient/{index}"))).collect::<Result<_>>()?,
            product: (0..count).map(|index| split.direction.output_index(&format!("product/{index}"))).collect(),
        };
        let [point, product] = [&split.point, &split.direction].map(|function| Runner::of(function, &Build::default()));
        let (point, product) = (point?, product?);
        let (at_point, products) = (point.new_outputs(), product.new_outputs());
        Ok(Programs { point, at_point, product, products, places })
    }

    /// The loss at `parameters`; its gradient is then [`Programs::gradient`].
    pub(super) fn run(&mut self, parameters: &[Tensor], buffers: &[Tensor], batch: &Batch) -> Result<f64> {
        let feed = Feed { parameters, buffers, ..Feed::of(batch) };
        self.point.run(&feed, &mut self.at_point)?;
        Ok(self.at_point[self.places.loss].item().unwrap_or(f64::NAN))
    }

    /// The gradient of what was run last.
    pub(super) fn gradient(&self) -> impl Iterator<Item = &Tensor> {
        self.places.gradient.iter().map(|&place| &self.at_point[place])
    }

    /// The Hessian's product with `direction`, where [`Programs::run`] was given the same.
    pub(super) fn product(
        &mut self,
        parameters: &[Tensor],
        buffers: &[Tensor],
        batch: &Batch,
        direction: &[Tensor],
    ) -> Result<impl Iterator<Item = Option<&Tensor>>> {
        let kept = &self.at_point[..self.places.kept];
        let feed = Feed { parameters, buffers, direction, kept, ..Feed::of(batch) };
        self.product.run(&feed, &mut self.products)?;
        Ok(self.places.product.iter().map(|place| place.map(|place| &self.products[place])))
    }
}

/// The loss, its gradient, and the product of its Hessian with a direction.
fn whole(network: &Network, batch: usize) -> Result<Function> {
    let graph = Graph::new();
    let trace = network.trace(&graph, Tracing::quiet(batch, NormMode::Batch))?;
    let loss = trace.objective()?;
    let gradient = graph.vjp(&[loss], &trace.parameters(), None)?;
    let products = second_order(&graph, &trace, trace.losses.mean_all(), Product::Hessian)?;
    let named = |what: &str, values: Vec<_>| -> Vec<_> {
        values.into_iter().enumerate().map(|(index, value)| (format!("{what}/{index}"), value)).collect()
    };
    let mut outputs = vec![("loss".to_string(), loss)];
    outputs.extend(named("gradient", gradient));
    outputs.extend(named("product", products));
    let outputs: Vec<_> = outputs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Ok(graph.function(&outputs)?)
}
