//! Settings that are one word of a fixed list.

use super::fault::{Fault, Shown, suggest};
use super::setting::{Kind, Setting, quoted};
use super::table::Key;
use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use toml::de::DeValue;

/// Declares enums whose variants are words; the quoted noun names them in errors.
macro_rules! choices {
    ($(
        $(#[$about:meta])*
        $name:ident $noun:literal { $( $(#[$about_variant:meta])* $variant:ident = $word:literal, )+ }
    )+) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $( $(#[$about_variant])* #[serde(rename = $word)] $variant, )+
        }

        impl $name {
            /// Every choice, in the order in which they are listed.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The words of [`Self::ALL`].
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word for this choice in files, on the command line and in reports.
            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }

            fn read_word(text: &str) -> Result<Self, Fault> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(Fault::value(
                        format!(concat!("unknown ", $noun, " '{}'"), Shown(text)),
                        suggest(text, Self::WORDS),
                    )),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> crate::Result<Self> {
                Self::read_word(text).map_err(Fault::without_place)
            }
        }

        impl Setting for $name {
            const KIND: Kind = Kind::Choice(Self::WORDS);

            fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
                match value.as_str() {
                    Some(text) => Self::read_word(text),
                    None => Err(key.wrong_type(value)),
                }
            }

            fn write(&self) -> Option<String> {
                Some(quoted(self.word()))
            }
        }
    )+};
}

choices! {
    /// What layers make of their weights before they use them.
    WeightNorm "weight norm" {
        /// Nothing.
        None = "none",
        /// A learned length and a direction for each unit: weight normalisation (Salimans and Kingma 2016).
        Normalized = "normalized",
        /// Mean 0 and deviation 1 for each unit: weight standardisation (Qiao et al. 2019).
        Standardized = "standardized",
    }

    /// Which statistics a normalisation layer uses while something is measured.
    NormMode "norm mode" {
        /// Those of the batch, differentiated through.
        Batch = "batch",
        /// The running ones, as constants.
        Running = "running",
        /// Those of a named batch, as constants.
        Frozen = "frozen",
    }

    /// The function between two layers.
    Activation "activation" {
        /// max(0, x)
        Relu = "relu",
        /// tanh(x)
        Tanh = "tanh",
        /// 1 / (1 + exp(−x))
        Sigmoid = "sigmoid",
        /// x · Φ(x), with Φ the standard normal distribution function
        Gelu = "gelu",
    }

    /// What adapts the drawn weights to the data before the first step.
    InitMethod "init method" {
        /// Nothing.
        None = "none",
        /// Mean 0 and one deviation for every unit on a batch (Salimans and Kingma 2016).
        DataDependent = "data-dependent",
        /// The statistics of batch normalization, folded into weights and biases (Balestriero and Baraniuk 2022).
        Smart = "smart",
        /// A learned factor for each parameter tensor (Zhu et al. 2021).
        GradInit = "gradinit",
    }

    /// The first step that gradinit looks ahead.
    LookAhead "step" {
        /// η times the gradient.
        Sgd = "sgd",
        /// η along the gradient, whatever its length.
        NormalizedSgd = "normalized-sgd",
        /// η times the signs of the gradient, which is Adam's first step.
        Adam = "adam",
    }

    /// What the batch that gradinit judges a step by has in common with the one it was taken on.
    Overlap "overlap" {
        /// Half of its samples.
        Half = "half",
        /// None of them.
        None = "none",
    }

    /// Whether gradinit's slopes of the loss and of the gradient's norm share their second moment.
    SecondMoment "second moment" {
        /// They do, as in the authors' code for images.
        Shared = "shared",
        /// They do not, as in the authors' code for transformers.
        Separate = "separate",
    }

    /// What the samples of a user's own data are labelled with.
    DataTargets "kind of targets" {
        /// The name or number of a class.
        Classes = "classes",
        /// Numbers to be predicted: a regression.
        Numbers = "numbers",
    }

    /// What training makes small.
    Loss "loss" {
        /// Mean softmax cross-entropy.
        CrossEntropy = "cross-entropy",
        /// Half the squared distance to the one-hot label, or to what else the answer is compared with.
        Squared = "squared",
        /// Cross-entropy of a yes or no for each number of the answer, with probability σ(z).
        Bernoulli = "bernoulli",
    }

    /// The floating-point type of parameters and activations.
    Precision "dtype" {
        /// 32 bits.
        F32 = "f32",
        /// 64 bits.
        F64 = "f64",
    }

    /// The rule that turns gradients into steps.
    OptimizerKind "optimizer" {
        /// Stochastic gradient descent, with momentum and weight decay where they are not 0.
        Sgd = "sgd",
        /// Moments of the gradient and of its square, decay as part of the gradient (Kingma and Ba 2015).
        Adam = "adam",
        /// The same with decay apart from the gradient (Loshchilov and Hutter 2019).
        AdamW = "adamw",
        /// The same without the part of steps that only makes scale-invariant weights longer (Heo et al. 2021).
        AdamP = "adamp",
        /// Adam with the largest gradient in place of the mean square (Kingma and Ba 2015).
        Adamax = "adamax",
        /// Division by a running size of the gradient (Tieleman and Hinton 2012).
        RmsProp = "rmsprop",
        /// Descent of the local entropy, which is large where a valley is wide (Chaudhari et al. 2017); see entropy_sgd.
        EntropySgd = "entropy-sgd",
        /// Gradient descent on the unit sphere, for all scale-invariant weights as one vector (Lyu, Li, Arora 2022).
        SphericalSgd = "spherical-sgd",
        /// The same with a rate divided by a running size of the gradient there, which is what weight decay amounts to.
        QuasiRmsprop = "quasi-rmsprop",
    }

    /// The forms in which Entropy-SGD was published.
    EntropyVariant "form of Entropy-SGD" {
        /// The authors' first code, which the paper's numbers come from.
        Reference = "reference",
        /// The text of the paper: no momentum, decay and pull in one gradient, √η′ before the noise, γ before the outer step.
        Paper = "paper",
        /// The authors' later code: decay goes into momentum, and outer steps have momentum and decay, too. There γ stays as it is by mistake;
        /// here it grows.
        Port = "port",
    }

    /// How the iterates of training are averaged.
    AveragingKind "average" {
        /// They are not.
        None = "none",
        /// Older ones count less and less.
        Exponential = "exponential",
        /// All alike.
        Uniform = "uniform",
    }

    /// What is brought to one length where weights are rescaled.
    RescalingOf "choice" {
        /// Each unit's weights, where each may have its own length; else the layer's.
        Units = "units",
        /// A layer's weights together.
        Layers = "layers",
    }

    /// Which parameters decay.
    Decays "choice" {
        /// All of them.
        All = "all",
        /// Those with two axes and more: neither biases nor what norms have.
        Weights = "weights",
    }

    /// How the learning rate changes while training goes on.
    ScheduleKind "schedule" {
        /// It stays as it is.
        Constant = "constant",
        /// It is multiplied by a factor every so many epochs.
        Step = "step",
        /// It falls along half a cosine to a fraction of its first value.
        Cosine = "cosine",
        /// It falls along a line to a fraction of its first value.
        Linear = "linear",
        /// It rises along half a cosine and falls along another one.
        OneCycle = "one-cycle",
    }

    /// How the learning rate goes with the size of a batch.
    BatchLaw "law" {
        /// Not at all.
        None = "none",
        /// In proportion, as for sgd.
        Linear = "linear",
        /// By the square root, as for adam.
        SquareRoot = "square-root",
    }

    /// How rate and momentum are learned from the curvature.
    LearnerKind "learner" {
        /// Not at all.
        None = "none",
        /// The rate alone, 2 / (largest + median).
        Sgd = "sgd",
        /// Both, the best for momentum on a quadratic (Polyak 1964).
        HeavyBall = "heavy-ball",
        /// Both, for Nesterov's momentum.
        Nesterov = "nesterov",
        /// Both, as in the authors' runs (Granziol, Zohren, Roberts 2022).
        AuthorsMn = "authors-mn",
    }

    /// What counts as the least curvature.
    LeastCurvature "least curvature" {
        /// The least of the Ritz values, without one that has more than half of the weight.
        BulkRemoved = "bulk-removed",
        /// The median of the Ritz values.
        Median = "median",
    }

    /// Which parameters have noise while the gradient of a step is taken.
    NoiseScheme "noise scheme" {
        /// None.
        None = "none",
        /// All of them.
        All = "all",
        /// One group a step, in turn.
        LayerCyclic = "layer-cyclic",
        /// One group a step, drawn anew.
        LayerRandom = "layer-random",
    }

    /// Which parameters are perturbed together.
    NoiseGroups "noise group" {
        /// Each tensor for itself.
        Tensor = "tensor",
        /// The tensors of a layer, such as its weight and its bias.
        Layer = "layer",
        /// Each weight for itself: tensors of two axes and more. The others have no noise.
        Weights = "weights",
    }

    /// How noise in all M groups at once is made smaller.
    NoiseScaling "noise scaling" {
        /// By √M, so that it has the penalty of one group at a time.
        PerGroup = "per-group",
        /// Not at all.
        None = "none",
    }

    /// What noise is drawn from.
    NoiseDistribution "noise distribution" {
        /// The standard normal distribution.
        Normal = "normal",
        /// +1 and −1: the same penalty, and cheaper to draw.
        Sign = "sign",
    }

    /// What surrounds an image that is cropped.
    Padding "padding" {
        /// Zeros: the mean of each channel where inputs are normalized, black where they are not.
        Zero = "zero",
        /// The image itself, reflected at its border pixels.
        Reflect = "reflect",
    }

    /// How samples share what dropout drops.
    DropoutMasks "dropout mask" {
        /// Each sample has a mask of its own.
        PerSample = "per-sample",
        /// One mask for all samples of a step.
        PerStep = "per-step",
        /// None is drawn: the explicit penalties alone.
        None = "none",
    }

    /// Which hidden values are dropped.
    DropoutLayers "dropout layers" {
        /// Those after every activation.
        All = "all",
        /// Those before the last layer.
        Last = "last",
    }

    /// Which number of an epoch says that it is the best one so far.
    BestBy "number to judge by" {
        /// The accuracy over the test samples where there are classes, else the loss.
        Auto = "auto",
        /// The largest accuracy over the test samples.
        TestAccuracy = "test_accuracy",
        /// The smallest loss over the test samples.
        TestLoss = "test_loss",
        /// The largest mean accuracy of the epoch's steps.
        TrainAccuracy = "train_accuracy",
        /// The smallest mean loss of the epoch's steps.
        TrainLoss = "train_loss",
        /// None does: no epoch is the best.
        None = "none",
    }
}

impl OptimizerKind {
    /// Whether scale-invariant weights stay on the unit sphere.
    pub fn is_spherical(self) -> bool {
        matches!(self, OptimizerKind::SphericalSgd | OptimizerKind::QuasiRmsprop)
    }
}
