//! Steps scaled by running moments of the gradient.

use super::sgd::decayed;
use super::{EffectiveRate, Optimizer, Pace, Update};
use evenkeel_graph::{Shape, Var};

/// m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; p ← p − η m̂ / (√v̂ + ε) with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).
///
/// Weight decay λ adds λ p to the gradient (as in PyTorch's `Adam`) or, decoupled, shrinks p by the factor 1 − η λ first (AdamW).
///
/// Source: Kingma, Ba 2015, arXiv 1412.6980, algorithm 1; Loshchilov, Hutter 2019, arXiv 1711.05101, algorithm 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// β₁, the share of the first moment that is kept.
    pub beta1: f64,
    /// β₂, the share of the second moment that is kept.
    pub beta2: f64,
    /// ε, added to the root of the second moment.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
    /// Whether weight decay is apart from the gradient.
    pub decoupled: bool,
}

impl Default for Adam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, no decay.
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

impl Optimizer for Adam {
    fn slots(&self, _path: &str) -> Vec<&'static str> {
        vec!["first_moment", "second_moment"]
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let gradient = if self.decoupled { at.gradient } else { decayed(at, self.weight_decay) };
        let Some(Moments { first, second, root, first_bias }) = self.moments(at, gradient) else {
            return (at.parameter, at.state.clone());
        };
        let kept = if self.decoupled && self.weight_decay != 0.0 {
            at.parameter * (1.0 - at.rate * self.weight_decay)
        } else {
            at.parameter
        };
        (kept - first / root * (at.rate / first_bias), vec![first, second])
    }

    fn numbers(&self) -> usize {
        2
    }

    fn at_step(&self, step: u64, _pace: Pace) -> Vec<f64> {
        vec![bias(self.beta1, step), bias(self.beta2, step)]
    }

    fn effective_rate(&self, _path: &str, _shape: &Shape, _pace: Pace) -> EffectiveRate {
        EffectiveRate::RESCALED
    }
}

/// What Adam makes of a gradient.
pub(super) struct Moments<'g> {
    pub(super) first: Var<'g>,
    pub(super) second: Var<'g>,
    /// √v̂ + ε
    pub(super) root: Var<'g>,
    /// 1 − β₁ᵗ
    pub(super) first_bias: Var<'g>,
}

impl Adam {
    /// The moments after a gradient; none where what is kept was not given.
    pub(super) fn moments<'g>(&self, at: &Update<'g, '_>, gradient: Var<'g>) -> Option<Moments<'g>> {
        let (&[first, second], &[first_bias, second_bias]) = (&at.state[..], &at.numbers[..]) else { return None };
        let first = first * self.beta1 + gradient * (1.0 - self.beta1);
        let second = second * self.beta2 + gradient.square() * (1.0 - self.beta2);
        let root = second.sqrt() * second_bias.rsqrt() + self.epsilon;
        Some(Moments { first, second, root, first_bias })
    }
}

/// m ← β₁ m + (1 − β₁) g; u ← max(β₂ u, |g| + ε); p ← p − η / (1 − β₁ᵗ) · m / u.
///
/// Source: Kingma, Ba 2015, arXiv 1412.6980, algorithm 2, with ε where PyTorch has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamax {
    /// β₁, the share of the first moment that is kept.
    pub beta1: f64,
    /// β₂, the share of the largest gradient that is kept.
    pub beta2: f64,
    /// ε, added to the gradient's size.
    pub epsilon: f64,
    /// λ, the factor of the parameters that is added to the gradient.
    pub weight_decay: f64,
}

impl Default for Adamax {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, no decay.
    fn default() -> Self {
        Adamax { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Optimizer for Adamax {
    fn slots(&self, _path: &str) -> Vec<&'static str> {
        vec!["first_moment", "largest"]
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let (&[first, largest], &[first_bias]) = (&at.state[..], &at.numbers[..]) else {
            return (at.parameter, at.state.clone());
        };
        let gradient = decayed(at, self.weight_decay);
        let first = first * self.beta1 + gradient * (1.0 - self.beta1);
        let largest = (largest * self.beta2).maximum(gradient.abs() + self.epsilon);
        (at.parameter - first / largest * (at.rate / first_bias), vec![first, largest])
    }

    fn numbers(&self) -> usize {
        1
    }

    fn at_step(&self, step: u64, _pace: Pace) -> Vec<f64> {
        vec![bias(self.beta1, step)]
    }

    fn effective_rate(&self, _path: &str, _shape: &Shape, _pace: Pace) -> EffectiveRate {
        EffectiveRate::RESCALED
    }
}

/// 1 − βᵗ after step `step`, counted from 0: what a running moment that started at 0 has reached of its size.
fn bias(beta: f64, step: u64) -> f64 {
    1.0 - libm::pow(beta, step as f64 + 1.0)
}
