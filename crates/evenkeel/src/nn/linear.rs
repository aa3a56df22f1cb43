//! Linear and convolution layers.

use super::{Context, Initial};
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// y = x W + b with `weight` `[in, out]` and `bias` `[out]`; an input `[N, H, W, C]` is flattened first.
    pub fn linear(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let _scope = self.scope(name);
        let y = self.product(x, out);
        y + self.param("bias", [out], Initial::Constant(0.0))
    }

    /// y = x W + b over the last axis at every position: `[.., in]` becomes `[.., out]`.
    pub fn linear_last(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let mut shape = x.shape().to_vec();
        let inputs = shape.pop().unwrap_or(0);
        let positions = shape.iter().product::<usize>();
        shape.push(out);
        self.linear(name, x.reshape([positions, inputs]), out).reshape(shape)
    }

    /// y = x W without a bias.
    pub fn linear_without_bias(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        let _scope = self.scope(name);
        self.product(x, out)
    }

    fn product(&self, x: Var<'g>, out: usize) -> Var<'g> {
        let x = if x.shape().len() > 2 { x.flatten() } else { x };
        let inputs = x.shape().last().copied().unwrap_or(0);
        let weight = self.param("weight", [inputs, out], Initial::Weight { fan_in: inputs, fan_out: out });
        x.matmul(weight)
    }

    /// Two-dimensional convolution without a bias: `weight` `[k, k, in, out]`, the same stride and padding both ways.
    pub fn conv(&self, name: &str, x: Var<'g>, out: usize, kernel: usize, stride: usize, padding: usize) -> Var<'g> {
        let _scope = self.scope(name);
        let inputs = x.shape().last().copied().unwrap_or(0);
        let area = kernel * kernel;
        let initial = Initial::Weight { fan_in: inputs * area, fan_out: out * area };
        let weight = self.param("weight", [kernel, kernel, inputs, out], initial);
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
