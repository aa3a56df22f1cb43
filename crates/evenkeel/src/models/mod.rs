//! The zoo: networks by name. Paths of their parameters are part of the command-line contract.

mod mlp;
mod resnet;
mod transformer;
mod vgg;

pub use mlp::Mlp;
pub use resnet::ResNet;
pub use transformer::Transformer;
pub use vgg::Vgg11;

use crate::config::{Activation, ModelSpec, NormKind};
use crate::nn::Model;

/// A line of the zoo's list.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ModelInfo {
    /// The name.
    pub name: &'static str,
    /// How it is written, with what may be chosen.
    pub form: &'static str,
    /// What it is.
    pub description: &'static str,
}

/// What the zoo holds.
pub fn catalogue() -> Vec<ModelInfo> {
    let info = |name, form, description| ModelInfo { name, form, description };
    vec![
        info(
            "mlp",
            "mlp[:WIDTH-WIDTH-..]",
            "fully connected, hidden widths 512-512 unless given, `--set activation=..`",
        ),
        info(
            "deep-linear",
            "deep-linear[:WIDTH-WIDTH-..]",
            "a product of matrices, no activation, no bias; 64-64 unless given",
        ),
        info("vgg11", "vgg11", "8 convolutions of 3×3 and 5 max pools, for images of 32×32 and larger"),
        info("resnet20", "resnet20", "3 stages of 3 residual blocks, widths 16, 32, 64, for small images"),
        info("resnet32", "resnet32", "the same with 5 blocks a stage"),
        info("resnet44", "resnet44", "the same with 7 blocks a stage"),
        info("resnet56", "resnet56", "the same with 9 blocks a stage"),
        info("resnet110", "resnet110", "the same with 18 blocks a stage"),
        info(
            "transformer",
            "transformer[:LAYERS-WIDTH-HEADS-TOKENS]",
            "decoder-only, over sequences of tokens; 4-128-4-64 unless given",
        ),
    ]
}

/// Builds a network of the zoo.
///
/// * `norm`: the layer under each `norm` path
/// * `activation`: between the layers of an mlp
/// * `classes`: outputs of the last layer, `head`; the vocabulary of a transformer
pub fn build(spec: &ModelSpec, norm: NormKind, activation: Activation, classes: usize) -> Box<dyn Model> {
    let widths = |default: &[usize]| if spec.widths.is_empty() { default.to_vec() } else { spec.widths.clone() };
    match spec.name {
        "transformer" => {
            let size = match spec.widths[..] {
                [layers, width, heads, context] => {
                    Transformer { layers, width, heads, context, vocabulary: classes, norm }
                }
                _ => Transformer { vocabulary: classes, norm, ..Transformer::default() },
            };
            Box::new(size)
        }
        "vgg11" => Box::new(Vgg11 { norm, classes }),
        "resnet20" => Box::new(ResNet { blocks: 3, norm, classes }),
        "resnet32" => Box::new(ResNet { blocks: 5, norm, classes }),
        "resnet44" => Box::new(ResNet { blocks: 7, norm, classes }),
        "resnet56" => Box::new(ResNet { blocks: 9, norm, classes }),
        "resnet110" => Box::new(ResNet { blocks: 18, norm, classes }),
        "deep-linear" => Box::new(Mlp { widths: widths(&[64, 64]), norm, activation: None, classes }),
        _ => Box::new(Mlp { widths: widths(&[512, 512]), norm, activation: Some(activation), classes }),
    }
}
