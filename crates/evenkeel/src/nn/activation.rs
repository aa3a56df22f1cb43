//! Functions between layers.

use crate::config::Activation;
use evenkeel_graph::Var;

/// Applies an activation by name.
pub fn activate(kind: Activation, x: Var<'_>) -> Var<'_> {
    match kind {
        Activation::Relu => x.relu(),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => x.sigmoid(),
        Activation::Gelu => x.gelu(),
    }
}
