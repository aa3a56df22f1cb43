//! The zoo: networks by name, and the building blocks of others. Paths of their parameters are part of the command-line contract.

mod autoencoder;
mod factorized;
mod mlp;
mod plain_conv;
mod recurrent;
mod resnet;
mod transformer;
mod vgg;

pub use autoencoder::{Autoencoder, Vae};
pub use factorized::{DiagonalNet, FactorizedLinear, GroupFactorNet, SecondMoment};
pub use mlp::Mlp;
pub use plain_conv::PlainConv;
pub use recurrent::{Cell, Recurrent, RowRecurrent};
pub use resnet::{Block, ResNet};
pub use transformer::{Encoder, NormPlace, Positions, Transformer};
pub use vgg::Vgg;

use crate::config::{Activation, ModelSpec, NormKind};
use crate::nn::{Context, Model, Reads, Targets};
use evenkeel_graph::Var;

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
            "fully connected, hidden widths 512-512 unless given, 1000x500 for 500 of 1000; `--set activation=..`",
        ),
        info(
            "deep-linear",
            "deep-linear[:WIDTH-WIDTH-..]",
            "a product of matrices, no activation, no bias; 64-64 unless given",
        ),
        info(
            "plain-conv",
            "plain-conv[:CHANNELS-CHANNELS-..]",
            "3×3 convolutions without shortcuts or pools; 8x18 unless given, `--set activation=..`",
        ),
        info("vgg11", "vgg11", "8 convolutions of 3×3 and 5 max pools, for images of 32×32 and larger"),
        info("vgg16", "vgg16", "the same with 13 convolutions"),
        info("vgg19", "vgg19", "the same with 16 convolutions"),
        info("resnet20", "resnet20", "3 stages of 3 residual blocks, widths 16, 32, 64, for small images"),
        info("resnet32", "resnet32", "the same with 5 blocks a stage"),
        info("resnet44", "resnet44", "the same with 7 blocks a stage"),
        info("resnet56", "resnet56", "the same with 9 blocks a stage"),
        info("resnet110", "resnet110", "the same with 18 blocks a stage"),
        info("preresnet20", "preresnet20", "as resnet20, with norm and relu before each convolution"),
        info("preresnet32", "preresnet32", "the same with 5 blocks a stage"),
        info("preresnet44", "preresnet44", "the same with 7 blocks a stage"),
        info("preresnet56", "preresnet56", "the same with 9 blocks a stage"),
        info("preresnet110", "preresnet110", "the same with 18 blocks a stage"),
        info("preresnet164", "preresnet164", "the same with 18 blocks a stage of 1×1, 3×3 and 1×1 convolutions"),
        info(
            "autoencoder",
            "autoencoder[:WIDTH-..-CODE]",
            "gives back its input from a code, the decoder mirrors the encoder; 256-10 unless given",
        ),
        info(
            "vae",
            "vae[:WIDTH-..-LATENT]",
            "variational autoencoder of images with pixels from 0 to 1; 128-8 unless given",
        ),
        info(
            "encoder",
            "encoder[:LAYERS-WIDTH-HEADS-PATCH]",
            "transformer over patches of an image, mean over positions; 4-64-4-4 unless given",
        ),
        info("row-gru", "row-gru[:WIDTH-WIDTH-..]", "gated recurrent units over the rows of an image; 64 unless given"),
        info("row-lstm", "row-lstm[:WIDTH-WIDTH-..]", "the same with long short-term memory"),
        info(
            "transformer",
            "transformer[:LAYERS-WIDTH-HEADS-TOKENS]",
            "decoder-only, over sequences of tokens; 4-128-4-64 unless given",
        ),
        info("gru", "gru[:EMBEDDING-WIDTH-..]", "gated recurrent units over sequences of tokens; 32-128 unless given"),
        info("lstm", "lstm[:EMBEDDING-WIDTH-..]", "the same with long short-term memory"),
    ]
}

/// Builds a network of the zoo.
///
/// * `norm`: the layer under each `norm` path
/// * `activation`: between the layers of an mlp, a plain convolutional network and autoencoders
/// * `classes`: outputs of the last layer, `head`; the vocabulary of a network that reads tokens; autoencoders do not ask
pub fn build(spec: &ModelSpec, norm: NormKind, activation: Activation, classes: usize) -> Box<dyn Model> {
    let sizes = |default: &[usize]| if spec.widths.is_empty() { default.to_vec() } else { spec.widths.clone() };
    // A list with at least one number, and its last one.
    let apart = |default: &[usize]| {
        let mut widths = sizes(default);
        let last = widths.pop().unwrap_or(1);
        (widths, last)
    };
    let resnet = |blocks| ResNet { blocks, norm, classes, ..ResNet::default() };
    let preresnet = |blocks| ResNet { preactivation: true, ..resnet(blocks) };
    let vgg = |stages| Box::new(Vgg { stages, norm, classes });
    let recurrent = |cell| {
        let mut widths = sizes(&[32, 128]);
        let embedding = widths.remove(0);
        without_norm(Recurrent { cell, embedding, widths, vocabulary: classes }, norm)
    };
    let rows = |cell| without_norm(RowRecurrent { cell, widths: sizes(&[64]), classes }, norm);
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
        "encoder" => {
            let usual = Encoder { norm, classes, ..Encoder::default() };
            Box::new(match spec.widths[..] {
                [layers, width, heads, patch] => {
                    let positions = Positions::Patches([patch; 2]);
                    Encoder { layers, width, heads, inner: 4 * width, positions, ..usual }
                }
                _ => usual,
            })
        }
        "gru" => recurrent(Cell::Gru),
        "lstm" => recurrent(Cell::Lstm),
        "row-gru" => rows(Cell::Gru),
        "row-lstm" => rows(Cell::Lstm),
        "autoencoder" => {
            let (widths, code) = apart(&[256, 10]);
            Box::new(Autoencoder { widths, code, norm, activation, output: None })
        }
        "vae" => {
            let (widths, latent) = apart(&[128, 8]);
            Box::new(Vae { widths, latent, norm, activation })
        }
        "plain-conv" => Box::new(PlainConv { channels: sizes(&[8; 18]), norm, activation, classes }),
        "vgg11" => vgg(Vgg::A),
        "vgg16" => vgg(Vgg::D),
        "vgg19" => vgg(Vgg::E),
        "resnet20" => Box::new(resnet(3)),
        "resnet32" => Box::new(resnet(5)),
        "resnet44" => Box::new(resnet(7)),
        "resnet56" => Box::new(resnet(9)),
        "resnet110" => Box::new(resnet(18)),
        "preresnet20" => Box::new(preresnet(3)),
        "preresnet32" => Box::new(preresnet(5)),
        "preresnet44" => Box::new(preresnet(7)),
        "preresnet56" => Box::new(preresnet(9)),
        "preresnet110" => Box::new(preresnet(18)),
        "preresnet164" => Box::new(ResNet { block: Block::Bottleneck, ..preresnet(18) }),
        "deep-linear" => Box::new(Mlp { widths: sizes(&[64, 64]), norm, activation: None, classes }),
        _ => Box::new(Mlp { widths: sizes(&[512, 512]), norm, activation: Some(activation), classes }),
    }
}

/// A network that has no place for a norm; any other than none is refused.
fn without_norm(model: impl Model + 'static, norm: NormKind) -> Box<dyn Model> {
    struct Refusing<M>(M, NormKind);
    impl<M: Model> Model for Refusing<M> {
        fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
            cx.fail(
                crate::Error::input("a recurrent network has no normalization layers")
                    .detail("expected", "norm none")
                    .detail("got", format!("norm {}", self.1))
                    .hint("leave `--norm` out; `--set weight_norm=..` works on its weights"),
            );
            x
        }

        fn reads(&self) -> Reads {
            self.0.reads()
        }

        fn targets(&self) -> Targets {
            self.0.targets()
        }
    }
    if norm == NormKind::None { Box::new(model) } else { Box::new(Refusing(model, norm)) }
}
