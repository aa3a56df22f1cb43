//! Stochastic gradient descent with momentum and weight decay.

use super::{Optimizer, Update};
use evenkeel_graph::Var;

/// g ← ∇ + λ p; v ← μ v + g; p ← p − η v, as in PyTorch. All parameters decay, norms' and biases' too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// μ, the share of the last step that is kept.
    pub momentum: f64,
    /// λ, the factor of the parameters that is added to the gradient.
    pub weight_decay: f64,
}

impl Optimizer for Sgd {
    fn slots(&self, _path: &str) -> &'static [&'static str] {
        &["velocity"]
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let gradient = decayed(at, self.weight_decay);
        let velocity = match at.state.first() {
            Some(&velocity) if self.momentum != 0.0 => velocity * self.momentum + gradient,
            _ => gradient,
        };
        (at.parameter - velocity * at.rate, vec![velocity])
    }
}

/// The gradient of the objective with ½ λ ‖p‖² added to it.
pub(super) fn decayed<'g>(at: &Update<'g, '_>, weight_decay: f64) -> Var<'g> {
    if weight_decay == 0.0 { at.gradient } else { at.gradient + at.parameter * weight_decay }
}
