//! Layers, and the context a network is traced in.
//!
//! A [`Model`] is a function from a [`Context`] and its input to its output. The context hands out parameters and buffers
//! by path and says how normalization layers take their statistics; nothing of it lives on between traces.

mod activation;
mod context;
mod linear;

pub use activation::activate;
pub use context::{BatchStatistics, BufferInfo, Context, Initial, NormSettings, ParameterInfo};

use evenkeel_graph::Var;

/// A network: traced anew for every program it takes part in.
pub trait Model {
    /// The output for a batch of inputs. Activations are channels-last: `[N, H, W, C]` or `[N, C]`.
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g>;
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
