//! What linear and convolution layers have in common: a linear map by learned weights, and a bias.

use super::{Context, Initial};
use evenkeel_graph::{Shape, Var};

/// A layer whose output units are sums of inputs times weights.
pub(super) struct Affine {
    /// Of the weights, `[.., units]`.
    pub(super) shape: Shape,
    /// Numbers that are added up for one output.
    pub(super) fan_in: usize,
    /// Outputs that one input goes to.
    pub(super) fan_out: usize,
    /// Whether it is the last layer, whose output nothing normalizes.
    pub(super) last: bool,
    /// Whether each unit has a bias.
    pub(super) biased: bool,
}

impl<'g> Context<'g> {
    /// `apply` of the `weight` of the current place, plus its `bias` if it has one; the units are the last axis of what `apply` gives.
    pub(super) fn affine(&self, layer: Affine, apply: impl FnOnce(Var<'g>) -> Var<'g>) -> Var<'g> {
        let Affine { shape, fan_in, fan_out, last, biased } = layer;
        let units = shape.last().copied().unwrap_or(0);
        let initial = Initial::Weight { fan_in, fan_out };
        let weight = match last {
            true => self.output_weight("weight", shape, initial),
            false => self.weight("weight", shape, initial),
        };
        let response = apply(weight);
        if !biased {
            return response;
        }
        response + self.param("bias", [units], Initial::Bias { fan_in })
    }
}
