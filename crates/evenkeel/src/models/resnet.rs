//! Residual networks for small images (He, Zhang, Ren, Sun 2016, arXiv 1512.03385, section 4.2; projection shortcuts), and those
//! whose blocks activate before they convolve (the same authors 2016, arXiv 1603.05027).

use crate::config::NormKind;
use crate::nn::{Context, Model};
use evenkeel_graph::Var;

/// `conv1`, `norm1`, relu, stages `layer1` .. `layer3` of residual blocks, mean over space, `head`.
///
/// With [`ResNet::preactivation`] a norm and a relu stand before each convolution of a block instead of after it, nothing stands
/// after the sum, and a last `norm` and relu before the mean in place of `norm1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    /// Blocks in each stage, n: with two convolutions each, the first one and the head that makes 6n + 2 layers, with three 9n + 2.
    pub blocks: usize,
    /// Channels inside the blocks of each stage.
    pub widths: [usize; 3],
    /// What a block adds to its input.
    pub block: Block,
    /// Whether blocks activate before they convolve.
    pub preactivation: bool,
    /// The layer with each convolution; convolutions have no bias.
    pub norm: NormKind,
    /// Outputs.
    pub classes: usize,
}

/// The convolutions of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two of 3×3.
    Basic,
    /// 1×1, 3×3 and 1×1, the last one with four times the channels.
    Bottleneck,
}

/// Channels outside a bottleneck, for each one inside.
const EXPANSION: usize = 4;

impl Default for ResNet {
    /// ResNet-20 with batch norm for ten classes.
    fn default() -> Self {
        ResNet {
            blocks: 3,
            widths: [16, 32, 64],
            block: Block::Basic,
            preactivation: false,
            norm: NormKind::Batch,
            classes: 10,
        }
    }
}

impl Model for ResNet {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let mut x = cx.conv("conv1", x, self.widths[0], 3, 1, 1);
        if !self.preactivation {
            x = self.activate(cx, "1", x);
        }
        for (stage, width) in self.widths.into_iter().enumerate() {
            for block in 0..self.blocks {
                let _scope = cx.scope(&format!("layer{}.{block}", stage + 1));
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = match self.preactivation {
                    true => self.preactivated(cx, x, width, stride, block == 0),
                    false => self.postactivated(cx, x, width, stride),
                };
            }
        }
        if self.preactivation {
            x = self.activate(cx, "", x);
        }
        cx.head("head", x.mean(&[1, 2]), self.classes)
    }
}

impl ResNet {
    /// Kernel, channels and stride of each convolution of a block.
    fn convolutions(&self, width: usize, stride: usize) -> Vec<[usize; 3]> {
        match self.block {
            Block::Basic => vec![[3, width, stride], [3, width, 1]],
            Block::Bottleneck => vec![[1, width, 1], [3, width, stride], [1, EXPANSION * width, 1]],
        }
    }

    /// relu(norm(x)), known by its number.
    fn activate<'g>(&self, cx: &Context<'g>, number: &str, x: Var<'g>) -> Var<'g> {
        cx.tap(&format!("act{number}"), cx.normalize(self.norm, &format!("norm{number}"), x).relu())
    }

    /// relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x)), or the same with three convolutions.
    fn postactivated<'g>(&self, cx: &Context<'g>, x: Var<'g>, width: usize, stride: usize) -> Var<'g> {
        let convolutions = self.convolutions(width, stride);
        let last = convolutions.len();
        let mut inner = x;
        for (number, [kernel, channels, stride]) in (1..).zip(convolutions) {
            inner = cx.conv(&format!("conv{number}"), inner, channels, kernel, stride, kernel / 2);
            inner = match number == last {
                true => cx.normalize(self.norm, &format!("norm{number}"), inner),
                false => self.activate(cx, &number.to_string(), inner),
            };
        }
        let shortcut = if x.shape() == inner.shape() {
            x
        } else {
            let _scope = cx.scope("downsample");
            let projected = cx.conv("conv", x, inner.shape().last().copied().unwrap_or(0), 1, stride, 0);
            cx.normalize(self.norm, "norm", projected)
        };
        cx.tap(&format!("act{last}"), (inner + shortcut).relu())
    }

    /// conv2(relu(norm2(conv1(relu(norm1(x)))))) + x, or the same with three convolutions. The first block of a stage activates before
    /// the ways part, so that a projection, which has no norm of its own, sees what its convolutions see.
    fn preactivated<'g>(&self, cx: &Context<'g>, x: Var<'g>, width: usize, stride: usize, is_first: bool) -> Var<'g> {
        let mut inner = x;
        let mut shortcut = x;
        for (number, [kernel, channels, stride]) in (1..).zip(self.convolutions(width, stride)) {
            inner = self.activate(cx, &number.to_string(), inner);
            if number == 1 && is_first {
                shortcut = inner;
            }
            inner = cx.conv(&format!("conv{number}"), inner, channels, kernel, stride, kernel / 2);
        }
        if shortcut.shape() != inner.shape() {
            let _scope = cx.scope("downsample");
            shortcut = cx.conv("conv", shortcut, inner.shape().last().copied().unwrap_or(0), 1, stride, 0);
        }
        let sum = inner + shortcut;
        cx.observe("out", sum);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    fn layers_and_millions(model: ResNet) -> (usize, f64) {
        let network = Network::new(model, &[32, 32, 3]).unwrap();
        let weights = network.parameters().iter().filter(|info| info.shape.len() > 1);
        let main = weights.filter(|info| !info.path.contains("downsample"));
        (main.count(), network.parameter_count() as f64 / 1e6)
    }

    #[test]
    fn a_network_has_as_many_layers_as_its_name_says_and_the_parameters_of_the_paper() {
        for (blocks, layers, millions) in [(3, 20, 0.27), (5, 32, 0.46), (7, 44, 0.66), (9, 56, 0.85), (18, 110, 1.7)] {
            for preactivation in [false, true] {
                let (found, count) = layers_and_millions(ResNet { blocks, preactivation, ..ResNet::default() });
                assert_eq!(found, layers);
                assert!((count - millions).abs() < 0.04, "{layers} layers: {count} million");
            }
        }
        let bottlenecks = ResNet { blocks: 18, block: Block::Bottleneck, preactivation: true, ..ResNet::default() };
        let (layers, count) = layers_and_millions(bottlenecks);
        assert_eq!(layers, 164);
        assert!((count - 1.7).abs() < 0.04, "{count} million");
    }
}
