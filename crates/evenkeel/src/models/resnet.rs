//! Residual networks for small images (He, Zhang, Ren, Sun 2016, arXiv 1512.03385, section 4.2; projection shortcuts).

use crate::config::NormKind;
use crate::nn::{Context, Model};
use evenkeel_graph::Var;

/// `conv1`, `norm1`, relu, stages `layer1` .. `layer3` of basic blocks with widths 16, 32, 64, mean over space, `head`.
#[derive(Clone, Debug)]
pub struct ResNet {
    /// Basic blocks in each stage, n: with two convolutions each, the first one and the head that makes 6n + 2 layers.
    pub blocks: usize,
    /// The layer after each convolution; convolutions have no bias.
    pub norm: NormKind,
    /// Outputs.
    pub classes: usize,
}

const WIDTHS: [usize; 3] = [16, 32, 64];

impl Model for ResNet {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let mut x = cx.normalize(self.norm, "norm1", cx.conv("conv1", x, WIDTHS[0], 3, 1, 1)).relu();
        x = cx.tap("act1", x);
        for (stage, width) in WIDTHS.into_iter().enumerate() {
            for block in 0..self.blocks {
                let _scope = cx.scope(&format!("layer{}.{block}", stage + 1));
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(cx, x, width, stride);
            }
        }
        cx.head("head", x.mean(&[1, 2]), self.classes)
    }
}

impl ResNet {
    /// relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x))
    fn block<'g>(&self, cx: &Context<'g>, x: Var<'g>, width: usize, stride: usize) -> Var<'g> {
        let inner = cx.normalize(self.norm, "norm1", cx.conv("conv1", x, width, 3, stride, 1)).relu();
        let inner = cx.tap("act1", inner);
        let inner = cx.normalize(self.norm, "norm2", cx.conv("conv2", inner, width, 3, 1, 1));
        let shortcut = if x.shape() == inner.shape() {
            x
        } else {
            let _scope = cx.scope("downsample");
            cx.normalize(self.norm, "norm", cx.conv("conv", x, width, 1, stride, 0))
        };
        cx.tap("act2", (inner + shortcut).relu())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    #[test]
    fn a_network_has_as_many_layers_as_its_name_says_and_the_parameters_of_the_paper() {
        for (blocks, layers, millions) in [(3, 20, 0.27), (5, 32, 0.46), (7, 44, 0.66), (9, 56, 0.85), (18, 110, 1.7)] {
            let network = Network::new(ResNet { blocks, norm: NormKind::Batch, classes: 10 }, &[32, 32, 3]).unwrap();
            let weights = network.parameters().iter().filter(|info| info.shape.len() > 1);
            let main = weights.filter(|info| !info.path.contains("downsample"));
            assert_eq!(main.count(), layers);
            let count = network.parameter_count() as f64 / 1e6;
            assert!((count - millions).abs() < 0.04, "{layers} layers: {count} million");
        }
    }
}
