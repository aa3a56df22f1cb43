//! VGG networks for small images (Simonyan, Zisserman 2014, arXiv 1409.1556, table 1, with one linear layer in place of three).

use crate::config::NormKind;
use crate::nn::{Context, Model};
use evenkeel_graph::Var;

/// `features.conv1` .. with `features.norm1` .., relu after each, a 2×2 max pool after each stage, `head` from 512.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vgg {
    /// 3×3 convolutions in each stage of 64, 128, 256, 512 and 512 channels: [`Vgg::A`], [`Vgg::D`], [`Vgg::E`].
    pub stages: [usize; 5],
    /// The layer after each convolution; convolutions have a bias only without one.
    pub norm: NormKind,
    /// Outputs.
    pub classes: usize,
}

const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

impl Vgg {
    /// VGG-11.
    pub const A: [usize; 5] = [1, 1, 2, 2, 2];
    /// VGG-16.
    pub const D: [usize; 5] = [2, 2, 3, 3, 3];
    /// VGG-19.
    pub const E: [usize; 5] = [2, 2, 4, 4, 4];
}

impl Model for Vgg {
    fn forward<'g>(&self, cx: &Context<'g>, mut x: Var<'g>) -> Var<'g> {
        let given = x.shape();
        {
            let _features = cx.scope("features");
            let mut number = 0;
            for (count, channels) in self.stages.into_iter().zip(WIDTHS) {
                for _ in 0..count {
                    number += 1;
                    let name = format!("conv{number}");
                    x = match self.norm {
                        NormKind::None => cx.conv_with_bias(&name, x, channels, 3, 1, 1),
                        _ => cx.conv(&name, x, channels, 3, 1, 1),
                    };
                    x = cx.normalize(self.norm, &format!("norm{number}"), x).relu();
                    x = cx.tap(&format!("act{number}"), x);
                }
                x = x.max_pool([2, 2], [2, 2], [[0, 0], [0, 0]]);
            }
        }
        if x.shape().contains(&0) {
            // The name counts the paper's three linear layers.
            let layers = self.stages.iter().sum::<usize>() + 3;
            cx.fail(
                crate::Error::input(format!(
                    "the images are too small for vgg{layers}: five pools leave nothing of them"
                ))
                .detail("expected", "at least 32×32 pixels")
                .detail("got", given[1..3].iter().map(usize::to_string).collect::<Vec<_>>().join("×"))
                .hint("use `--model resnet20` or `--model mlp`"),
            );
        }
        cx.head("head", x, self.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    /// The convolutions of torchvision's `vgg11_bn`, `vgg16_bn` and `vgg19_bn` without their biases, and a head from 512.
    #[test]
    fn the_convolutions_are_those_of_the_paper() {
        for (stages, features) in [(Vgg::A, 9_225_984), (Vgg::D, 14_723_136), (Vgg::E, 20_035_392)] {
            let network = Network::new(Vgg { stages, norm: NormKind::Batch, classes: 10 }, &[32, 32, 3]).unwrap();
            let biases: usize = stages.iter().zip(WIDTHS).map(|(count, width)| count * width).sum();
            assert_eq!(network.parameter_count(), features - biases + 5130);
        }
    }
}
