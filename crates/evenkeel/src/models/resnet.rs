//! ResNet-20 for small images (He, Zhang, Ren, Sun 2016, arXiv 1512.03385, section 4.2; projection shortcuts).

use crate::config::NormKind;
use crate::nn::{Context, Model};
use evenkeel_graph::Var;

/// `conv1`, `norm1`, relu, stages `layer1` .. `layer3` of 3 basic blocks with widths 16, 32, 64, mean over space, `head`.
#[derive(Clone, Debug)]
pub struct ResNet20 {
    /// The layer after each convolution; convolutions have no bias.
    pub norm: NormKind,
    /// Outputs.
    pub classes: usize,
}

const WIDTHS: [usize; 3] = [16, 32, 64];
const BLOCKS: usize = 3;

impl Model for ResNet20 {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let mut x = cx.normalize(self.norm, "norm1", cx.conv("conv1", x, WIDTHS[0], 3, 1, 1)).relu();
        for (stage, width) in WIDTHS.into_iter().enumerate() {
            for block in 0..BLOCKS {
                let _scope = cx.scope(&format!("layer{}.{block}", stage + 1));
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(cx, x, width, stride);
            }
        }
        cx.linear("head", x.mean(&[1, 2]), self.classes)
    }
}

impl ResNet20 {
    /// relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x))
    fn block<'g>(&self, cx: &Context<'g>, x: Var<'g>, width: usize, stride: usize) -> Var<'g> {
        let inner = cx.normalize(self.norm, "norm1", cx.conv("conv1", x, width, 3, stride, 1)).relu();
        let inner = cx.normalize(self.norm, "norm2", cx.conv("conv2", inner, width, 3, 1, 1));
        let shortcut = if x.shape() == inner.shape() {
            x
        } else {
            let _scope = cx.scope("downsample");
            cx.normalize(self.norm, "norm", cx.conv("conv", x, width, 1, stride, 0))
        };
        (inner + shortcut).relu()
    }
}
