//! Deep convolutional networks without shortcuts and without pools.

use crate::config::{Activation, NormKind};
use crate::nn::{Context, Model, activate};
use evenkeel_graph::Var;

/// `conv1`, `norm1`, activation, `conv2`, .., all 3×3 of stride 1 on the whole image, `fc` to two numbers a pixel, `norm`, activation,
/// `head`.
///
/// Source: the plain network of Peer et al. 2022, arXiv 2208.01134, as their code has it: 8 channels, up to 500 layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainConv {
    /// Channels of each convolution.
    pub channels: Vec<usize>,
    /// The layer after each convolution and after `fc`; they have a bias only without one.
    pub norm: NormKind,
    /// The function after it.
    pub activation: Activation,
    /// Outputs.
    pub classes: usize,
}

impl Model for PlainConv {
    fn forward<'g>(&self, cx: &Context<'g>, mut x: Var<'g>) -> Var<'g> {
        let &[_, height, width, _] = &x.shape()[..] else {
            cx.fail(crate::Error::input("a convolutional network needs images [H, W, C]").detail("got", x.shape()));
            return x;
        };
        let finish = |number: &str, x| {
            let x = cx.normalize(self.norm, &format!("norm{number}"), x);
            cx.tap(&format!("act{number}"), activate(self.activation, x))
        };
        for (number, &channels) in (1..).zip(&self.channels) {
            let name = format!("conv{number}");
            x = match self.norm {
                NormKind::None => cx.conv_with_bias(&name, x, channels, 3, 1, 1),
                _ => cx.conv(&name, x, channels, 3, 1, 1),
            };
            x = finish(&number.to_string(), x);
        }
        x = match self.norm {
            NormKind::None => cx.linear("fc", x, 2 * height * width),
            _ => cx.linear_without_bias("fc", x, 2 * height * width),
        };
        cx.head("head", finish("", x), self.classes)
    }
}
