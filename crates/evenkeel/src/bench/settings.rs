//! What can be timed, and the table that is timed when nothing is said.

use crate::config::{Config, ModelSpec, NormKind, NormMode, Precision, Size, WeightNorm};
use crate::{Error, Result};
use serde::Serialize;
use std::fmt;

/// Which program is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The outputs of a batch.
    Forward,
    /// The mean loss of a batch and its gradient.
    Grad,
    /// A training step: loss, gradient, gradient norm, momentum and update, running statistics.
    Step,
    /// The product of the loss Hessian with a direction, everything from the inputs on.
    Hvp,
    /// The product of the Gauss-Newton matrix with a direction, everything from the inputs on.
    Ggnvp,
}

impl What {
    /// Every program, in the order in which they are listed.
    pub const ALL: &[What] = &[What::Forward, What::Grad, What::Step, What::Hvp, What::Ggnvp];

    /// The word for it on the command line and in results.
    pub fn word(self) -> &'static str {
        match self {
            What::Forward => "forward",
            What::Grad => "grad",
            What::Step => "step",
            What::Hvp => "hvp",
            What::Ggnvp => "ggnvp",
        }
    }

    /// Whether it is a product with a direction.
    pub fn is_product(self) -> bool {
        matches!(self, What::Hvp | What::Ggnvp)
    }

    /// Where normalization layers take their statistics from unless said otherwise: the batch, as in training; the running
    /// ones where nothing but the outputs is asked for, as when a trained network is used.
    pub fn norm_mode(self) -> NormMode {
        if self == What::Forward { NormMode::Running } else { NormMode::Batch }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One thing to time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The network.
    pub model: ModelSpec,
    /// Its normalization layers.
    pub norm: NormKind,
    /// What its layers make of their weights.
    pub weight_norm: WeightNorm,
    /// One sample's shape.
    pub input: Vec<usize>,
    /// Samples at once.
    pub batch_size: usize,
    /// The program.
    pub what: What,
    /// Products only: at a fixed point, where what depends on the point alone was computed before and is kept.
    pub repeated: bool,
    /// Products only: directions at once, along a leading axis; without a number a single one, without the axis.
    pub block: Option<usize>,
    /// Where normalization layers take their statistics from.
    pub norm_mode: NormMode,
    /// The type of parameters and activations.
    pub dtype: Precision,
    /// Bytes that a run may take; what would take more is computed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Size>,
    /// Draws parameters, samples and directions.
    pub seed: u64,
    /// All else that makes the network and its steps what they are: regularizers, dropout, noise, the optimizer.
    #[serde(skip)]
    pub config: Config,
    /// What was set of it, as it is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

impl Settings {
    /// Everything but the network and the program as it is unless said otherwise: no norm but a
    /// transformer's, 128 images or 32 texts at once
    /// in the shape that the network is usually shown, f32, seed 0.
    pub fn new(model: ModelSpec, what: What) -> Settings {
        Settings {
            input: usual_input(&model),
            batch_size: if model.reads_tokens() { 32 } else { 128 },
            norm: if model.name == TRANSFORMER { NormKind::Layer } else { NormKind::None },
            weight_norm: WeightNorm::None,
            config: Config { loss: model.usual_loss(), ..Config::default() },
            set: vec![],
            model,
            what,
            repeated: false,
            block: None,
            norm_mode: what.norm_mode(),
            dtype: Precision::F32,
            memory_limit: None,
            seed: 0,
        }
    }

    pub(super) fn reads_tokens(&self) -> bool {
        self.model.reads_tokens()
    }

    /// Refuses what cannot be timed together.
    pub(super) fn check(&self) -> Result<()> {
        if !self.what.is_product() && (self.repeated || self.block.is_some()) {
            let flag = if self.repeated { "repeated" } else { "block" };
            return Err(Error::input(format!("{flag} is for products with a direction"))
                .detail("expected", format!("{} or {}", What::Hvp, What::Ggnvp))
                .detail("got", self.what)
                .hint(format!("leave `--{flag}` out, or take `--what hvp`")));
        }
        if self.what == What::Step && self.norm_mode != NormMode::Batch {
            return Err(Error::input("a training step takes the statistics of its batch")
                .detail("expected", format!("norm mode {}", NormMode::Batch))
                .detail("got", format!("norm mode {}", self.norm_mode))
                .hint("use `--what grad` to time other norm modes"));
        }
        Ok(())
    }
}

const TRANSFORMER: &str = "transformer";
/// What a network without a limit of its own is shown of a text.
const TOKENS: usize = 64;

/// What the network is usually shown: digits of 28×28 pixels, photographs of 32×32, or as many tokens as it takes.
fn usual_input(model: &ModelSpec) -> Vec<usize> {
    match model.name {
        _ if model.reads_tokens() => vec![model.context().unwrap_or(TOKENS)],
        "mlp" | "deep-linear" | "plain-conv" | "autoencoder" | "vae" | "encoder" | "row-gru" | "row-lstm" => {
            vec![28, 28, 1]
        }
        _ => vec![32, 32, 3],
    }
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What a reader calls it.
    pub name: &'static str,
    /// What it is.
    pub settings: Settings,
}

/// The table that is timed when nothing is said. In f32; images 128 at once where nothing else is said, texts 32.
pub fn standard() -> Vec<Case> {
    let batch = |settings: Settings| Settings { norm: NormKind::Batch, ..settings };
    let repeated = |settings: Settings| Settings { repeated: true, ..settings };
    let block = |settings: Settings| Settings { repeated: true, block: Some(8), ..settings };
    let new = |name, what| Settings::new(ModelSpec { name, widths: vec![] }, what);
    let case = |name, settings| Case { name, settings };
    let small = ModelSpec { name: "mlp", widths: vec![64] };
    let small = Settings { input: vec![8, 8, 1], batch_size: 32, ..Settings::new(small, What::Step) };
    vec![
        case("step, MLP 784-512-512-10", new("mlp", What::Step)),
        case("step, MLP 784-512-512-10, batch norm", batch(new("mlp", What::Step))),
        case("step, MLP 64-64-10, batch 32", small),
        case("step, ResNet-20", batch(new("resnet20", What::Step))),
        case("forward, ResNet-20", batch(new("resnet20", What::Forward))),
        case("step, VGG-11, batch norm", batch(new("vgg11", What::Step))),
        case("step, transformer 4-128-4, 64 tokens", new(TRANSFORMER, What::Step)),
        case("hvp, MLP 784-512-512-10", new("mlp", What::Hvp)),
        case("hvp repeated, MLP 784-512-512-10", repeated(new("mlp", What::Hvp))),
        case("hvp of 8 directions, MLP 784-512-512-10", block(new("mlp", What::Hvp))),
        case("hvp, ResNet-20", batch(new("resnet20", What::Hvp))),
        case("hvp repeated, ResNet-20", repeated(batch(new("resnet20", What::Hvp)))),
        case("hvp of 8 directions, ResNet-20", block(batch(new("resnet20", What::Hvp)))),
        case("ggnvp, ResNet-20", batch(new("resnet20", What::Ggnvp))),
        case("ggnvp repeated, ResNet-20", repeated(batch(new("resnet20", What::Ggnvp)))),
    ]
}
