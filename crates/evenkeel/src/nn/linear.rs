//! Linear and convolution layers.

use super::{Context, Initial};
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// y = x W + b with `weight` `[in, out]` (see [`Context::weight`]) and `bias` `[out]`; an input `[N, H, W, C]` is flattened first.
    pub fn linear(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let _scope = self.scope(name);
        let (x, inputs) = rows(x);
        let y = x.matmul(self.weight("weight", [inputs, out], linear_initial(inputs, out)));
        y + self.param("bias", [out], Initial::Constant(0.0))
    }

    /// The last linear layer, whose outputs nothing normalizes: its weights are never standardized.
    pub fn head(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let y = self.head_without_bias(name, x, out);
        let _scope = self.scope(name);
        y + self.param("bias", [out], Initial::Constant(0.0))
    }

    /// The last linear layer without a bias.
    pub fn head_without_bias(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let _scope = self.scope(name);
        let (x, inputs) = rows(x);
        x.matmul(self.output_weight("weight", [inputs, out], linear_initial(inputs, out)))
    }

    /// y = x W + b over the last axis at every position: `[.., in]` becomes `[.., out]`.
    pub fn linear_last(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        by_position(x, out, |x| self.linear(name, x, out))
    }

    /// As [`Context::linear_last`] for the last layer, see [`Context::head`].
    pub fn head_last(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        by_position(x, out, |x| self.head(name, x, out))
    }

    /// y = x W without a bias.
    pub fn linear_without_bias(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let _scope = self.scope(name);
        let (x, inputs) = rows(x);
        x.matmul(self.weight("weight", [inputs, out], linear_initial(inputs, out)))
    }

    /// Two-dimensional convolution without a bias: `weight` `[k, k, in, out]`, the same stride and padding both ways.
    pub fn conv(&self, name: &str, x: Var<'g>, out: usize, kernel: usize, stride: usize, padding: usize) -> Var<'g> {
        let _scope = self.scope(name);
        let inputs = x.shape().last().copied().unwrap_or(0);
        let area = kernel * kernel;
        let initial = Initial::Weight { fan_in: inputs * area, fan_out: out * area };
        let weight = self.weight("weight", [kernel, kernel, inputs, out], initial);
        x.conv(weight, [stride; 2], [[padding; 2]; 2])
    }

    /// Two-dimensional convolution with a bias `[out]` a channel.
    pub fn conv_with_bias(
        &self,
        name: &str,
        x: Var<'g>,
        out: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Var<'g> {
        let y = self.conv(name, x, out, kernel, stride, padding);
        let _scope = self.scope(name);
        y + self.param("bias", [out], Initial::Constant(0.0))
    }
}

/// The samples as rows, and how long they are.
fn rows(x: Var<'_>) -> (Var<'_>, usize) {
    let x = if x.shape().len() > 2 { x.flatten() } else { x };
    (x, x.shape().last().copied().unwrap_or(0))
}

fn linear_initial(inputs: usize, out: usize) -> Initial {
    Initial::Weight { fan_in: inputs, fan_out: out }
}

/// Applies a layer to every position.
fn by_position<'g>(x: Var<'g>, out: usize, layer: impl FnOnce(Var<'g>) -> Var<'g>) -> Var<'g> {
    let mut shape = x.shape().to_vec();
    let inputs = shape.pop().unwrap_or(0);
    let positions = shape.iter().product::<usize>();
    shape.push(out);
    layer(x.reshape([positions, inputs])).reshape(shape)
}
