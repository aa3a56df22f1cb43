//! The Jacobian of a network's answers by its inputs, seen along many directions at once.

use crate::network::Trace;
use crate::{Error, Result};
use evenkeel_graph::{DType, Shape, Var};

/// The side of the Jacobian that directions are taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Jᵀ v, a reverse pass.
    Outputs,
    /// J v, a forward pass.
    Inputs,
}

/// The Jacobian's size for one sample, and whether samples depend on each other.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Numbers that the network answers with.
    pub(super) outputs: usize,
    /// Numbers that a sample is.
    pub(super) inputs: usize,
    /// The first layer that takes statistics over the batch, where there is one.
    pub(super) over_batch: Option<String>,
}

impl Sizes {
    /// Those of a traced network.
    ///
    /// # Errors
    /// When the network's inputs are no numbers, or its answers are not one row a sample.
    pub(super) fn of(trace: &Trace<'_>) -> Result<Sizes> {
        if !trace.inputs.dtype().is_float() {
            return Err(Error::input("a Jacobian needs inputs that are numbers, and the network reads tokens")
                .detail("layer", "the inputs")
                .detail("got", format!("{} {}", trace.inputs.dtype(), trace.inputs.shape()))
                .hint("a network of one's own can take embedded tokens as its inputs"));
        }
        let (inputs, outputs) = (trace.inputs.shape(), trace.logits.shape());
        if outputs.first() != inputs.first() {
            return Err(Error::input("a Jacobian needs one row of answers for each sample")
                .detail("expected", format!("{} rows", inputs.first().copied().unwrap_or(0)))
                .detail("got", outputs));
        }
        let layer = |path: &str| path.rsplit_once('.').map_or(path, |(layer, _)| layer).to_string();
        Ok(Sizes {
            outputs: outputs[1..].iter().product(),
            inputs: inputs[1..].iter().product(),
            over_batch: match trace.cx.statistics().first() {
                Some(statistic) => Some(layer(&statistic.path)),
                None => {
                    trace.cx.couples_samples().then(|| "a norm whose statistics go over the batch in every mode".into())
                }
            },
        })
    }

    /// The side with fewer directions.
    pub(super) fn narrow_side(&self) -> Side {
        if self.inputs < self.outputs { Side::Inputs } else { Side::Outputs }
    }

    /// Directions of a basis of a side.
    pub(super) fn along(&self, side: Side) -> usize {
        match side {
            Side::Outputs => self.outputs,
            Side::Inputs => self.inputs,
        }
    }
}

/// The shape of a direction: a value for each sample.
pub(super) fn shape_of(trace: &Trace<'_>, side: Side) -> Shape {
    match side {
        Side::Outputs => trace.logits.shape(),
        Side::Inputs => trace.inputs.shape(),
    }
}

/// The squared length of each sample's image of each direction, `[B, N]`, from a stack `[B, N, ..]` of directions.
///
/// Cost: the network once, then a reverse pass (or a forward one) for each direction, as one wide pass.
pub(super) fn squared_images<'g>(trace: &Trace<'g>, side: Side, stack: Var<'g>) -> Result<Var<'g>> {
    let graph = trace.cx.graph();
    let shape = shape_of(trace, side);
    let image = |direction: Var<'g>| match side {
        Side::Outputs => graph.vjp(&[trace.logits], &[trace.inputs], Some(&[direction])),
        Side::Inputs => graph.jvp(&[trace.logits], &[trace.inputs], &[direction]),
    };
    // One direction needs no axis of its own, which would keep its pass from sharing loops with the network's.
    if stack.shape().first() == Some(&1) {
        let squares = squared_lengths(image(stack.reshape(shape))?[0], 1);
        return Ok(squares.reshape([&[1], &squares.shape()[..]].concat()));
    }
    // The place of one direction, which the stack then takes.
    let one = graph.splat(0.0, shape, stack.dtype());
    let images = graph.map(&image(one)?, &[one], &[stack])?;
    Ok(squared_lengths(images[0], 2))
}

/// Σ x² over all but the first `kept` axes.
pub(super) fn squared_lengths(x: Var<'_>, kept: usize) -> Var<'_> {
    let axes: Vec<usize> = (kept..x.shape().len()).collect();
    x.square().sum(&axes)
}

/// The unit vectors of a side for every sample, `[B, N, ..]` with B numbers in each sample's part.
pub(super) fn basis<'g>(like: Var<'g>) -> Var<'g> {
    let shape = like.shape();
    let samples = shape.first().copied().unwrap_or(0);
    let numbers: usize = shape[1..].iter().product();
    let graph = like.graph();
    let all = Shape::from([numbers, samples, numbers]);
    let place = |axis| graph.iota(&all, axis, DType::I32);
    let ones = place(0).equal(place(2)).cast(like.dtype());
    ones.reshape([&[numbers], &shape[..]].concat())
}
