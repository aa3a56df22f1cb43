//! Layers, and the context a network is traced in.
//!
//! A [`Model`] is a function from a [`Context`] and its input to its output. The context hands out parameters and buffers
//! by path and says how normalization layers take their statistics; nothing of it lives on between traces.

mod activation;
mod affine;
mod attention;
mod context;
mod dropout;
mod embedding;
mod group_noise;
mod linear;
mod noise;
mod recurrent;
mod weight;

pub use crate::norm::{BatchAxes, Deviation, Draws, Drift, DriftingNoise, GroupForm, ImprovedGroup, Kept};
pub use activation::activate;
pub use affine::Affine;
pub(crate) use affine::{Adapt, Adapting, AffineLayer, rounding};
pub use attention::attention;
pub(crate) use context::Standardized;
pub use context::{
    BatchStatistic, BufferInfo, Context, Initial, LinearMap, NormSettings, ParameterInfo, Perturbation, Tap,
};
pub use dropout::{Dropout, DropoutSite};
pub use group_noise::GroupNoise;

use evenkeel_graph::Var;

/// What a network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Floating-point numbers.
    Numbers,
    /// A sequence of integers below the size of a vocabulary.
    Tokens,
}

/// What the answers of a network are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// A class for each row of the answer, an integer: a row holds a number for every class.
    Classes,
    /// Numbers in the shape of the answer: a regression.
    Numbers,
    /// The inputs themselves: the answer gives them back.
    Inputs,
}

/// A model that is trained on numbers in the shape of its answer, in place of classes.
#[derive(Clone, Copy, Debug)]
pub struct Regression<M>(pub M);

impl<M: Model> Model for Regression<M> {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        self.0.forward(cx, x)
    }

    fn reads(&self) -> Reads {
        self.0.reads()
    }

    fn targets(&self) -> Targets {
        Targets::Numbers
    }
}

impl Model for Box<dyn Model> {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        (**self).forward(cx, x)
    }

    fn reads(&self) -> Reads {
        (**self).reads()
    }

    fn targets(&self) -> Targets {
        (**self).targets()
    }
}

/// A network: traced anew for every program it takes part in.
pub trait Model {
    /// The output for a batch of inputs. Activations are channels-last: `[N, H, W, C]`, `[N, T, C]` or `[N, C]`. The output
    /// holds one row of logits for each label, or a number for each number it is compared with.
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g>;

    /// What the network reads.
    fn reads(&self) -> Reads {
        Reads::Numbers
    }

    /// What its answers are compared with.
    fn targets(&self) -> Targets {
        Targets::Classes
    }
}

/// Any function of the right form is a network.
impl<F> Model for F
where
    F: for<'g> Fn(&Context<'g>, Var<'g>) -> Var<'g>,
{
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        self(cx, x)
    }
}
