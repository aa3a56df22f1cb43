//! Stochastic gradient descent with momentum and weight decay.

use evenkeel_graph::Var;

/// g ← ∇ + λ p; v ← μ v + g; p ← p − η v, as in PyTorch. All parameters decay, norms' and biases' too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// μ, the share of the last step that is kept.
    pub momentum: f64,
    /// λ, the factor of the parameters that is added to the gradient.
    pub weight_decay: f64,
}

impl Sgd {
    /// The parameter and its velocity after one step at the given rate (a scalar).
    pub fn step<'g>(
        &self,
        parameter: Var<'g>,
        gradient: Var<'g>,
        velocity: Var<'g>,
        learning_rate: Var<'g>,
    ) -> (Var<'g>, Var<'g>) {
        let gradient = if self.weight_decay == 0.0 { gradient } else { gradient + parameter * self.weight_decay };
        let velocity = if self.momentum == 0.0 { gradient } else { velocity * self.momentum + gradient };
        (parameter - velocity * learning_rate, velocity)
    }
}
