//! Linear and convolution layers.

use super::Context;
use super::affine::Affine;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// y = x W + b with `weight` `[in, out]` (see [`Context::weight`]) and `bias` `[out]`; an input `[N, H, W, C]` is flattened first.
    pub fn linear(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        self.dense(name, x, out, false, true)
    }

    /// The last linear layer, whose outputs nothing normalizes: its weights are never standardized.
    pub fn head(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        self.dense(name, x, out, true, true)
    }

    /// The last linear layer without a bias.
    pub fn head_without_bias(&self, name: &str, x: Var<'g>, out: usize) -> Var<'g> {
        self.dense(name, x, out, true, false)
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
        self.dense(name, x, out, false, false)
    }

    /// Two-dimensional convolution without a bias: `weight` `[k, k, in, out]`, the same stride and padding both ways.
    pub fn conv(&self, name: &str, x: Var<'g>, out: usize, kernel: usize, stride: usize, padding: usize) -> Var<'g> {
        self.convolution(name, x, out, [kernel, stride, padding], false)
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
        self.convolution(name, x, out, [kernel, stride, padding], true)
    }

    fn dense(&self, name: &str, x: Var<'g>, out: usize, last: bool, biased: bool) -> Var<'g> {
        let _scope = self.scope(name);
        let x = if x.shape().len() > 2 { x.flatten() } else { x };
        let inputs = x.shape().last().copied().unwrap_or(0);
        let layer = Affine { shape: [inputs, out].into(), fan_in: inputs, fan_out: out, last, biased };
        self.affine(layer, |weight| self.record_linear_map(x, weight, x.matmul(weight)))
    }

    fn convolution(
        &self,
        name: &str,
        x: Var<'g>,
        out: usize,
        [kernel, stride, padding]: [usize; 3],
        biased: bool,
    ) -> Var<'g> {
        let _scope = self.scope(name);
        let inputs = x.shape().last().copied().unwrap_or(0);
        let area = kernel * kernel;
        let shape = [kernel, kernel, inputs, out].into();
        let layer = Affine { shape, fan_in: inputs * area, fan_out: out * area, last: false, biased };
        self.affine(layer, |weight| self.record_linear_map(x, weight, x.conv(weight, [stride; 2], [[padding; 2]; 2])))
    }
}

/// Applies a layer to every position.
fn by_position<'g>(x: Var<'g>, out: usize, layer: impl FnOnce(Var<'g>) -> Var<'g>) -> Var<'g> {
    let mut shape = x.shape().to_vec();
    let inputs = shape.pop().unwrap_or(0);
    let positions = shape.iter().product::<usize>();
    shape.push(out);
    layer(x.reshape([positions, inputs])).reshape(shape)
}
