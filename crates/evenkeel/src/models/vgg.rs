//! VGG-11 for small images (Simonyan, Zisserman 2014, arXiv 1409.1556, configuration A, one linear layer).

use crate::config::NormKind;
use crate::nn::{Context, Model};
use evenkeel_graph::Var;

/// `features.conv1` .. `conv8` with `features.norm1` .. `norm8`, relu after each, 2×2 max pools in between, `head` from 512.
#[derive(Clone, Debug)]
pub struct Vgg11 {
    /// The layer after each convolution; convolutions have a bias only without one.
    pub norm: NormKind,
    /// Outputs.
    pub classes: usize,
}

/// Output channels of each convolution, and whether a pool follows.
const LAYERS: [(usize, bool); 8] =
    [(64, true), (128, true), (256, false), (256, true), (512, false), (512, true), (512, false), (512, true)];

impl Model for Vgg11 {
    fn forward<'g>(&self, cx: &Context<'g>, mut x: Var<'g>) -> Var<'g> {
        let given = x.shape();
        {
            let _features = cx.scope("features");
            for (index, (channels, pool)) in LAYERS.into_iter().enumerate() {
                let name = format!("conv{}", index + 1);
                x = match self.norm {
                    NormKind::None => cx.conv_with_bias(&name, x, channels, 3, 1, 1),
                    _ => cx.conv(&name, x, channels, 3, 1, 1),
                };
                x = cx.normalize(self.norm, &format!("norm{}", index + 1), x).relu();
                x = cx.tap(&format!("act{}", index + 1), x);
                if pool {
                    x = x.max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
                }
            }
        }
        if x.shape().contains(&0) {
            cx.fail(
                crate::Error::input("the images are too small for vgg11: five pools leave nothing of them")
                    .detail("expected", "at least 32×32 pixels")
                    .detail("got", given[1..3].iter().map(usize::to_string).collect::<Vec<_>>().join("×"))
                    .hint("use `--model resnet20` or `--model mlp`"),
            );
        }
        cx.head("head", x, self.classes)
    }
}
