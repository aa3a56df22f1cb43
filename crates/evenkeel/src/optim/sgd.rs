//! Stochastic gradient descent with momentum and weight decay.

use super::{EffectiveRate, Optimizer, Pace, Update};
use evenkeel_graph::{Shape, Var};

/// g ← ∇ + λ p; v ← μ v + (1 − τ) g, in the first step v ← g; p ← p − η v, or p ← p − η (g + μ v) with Nesterov's momentum. As in PyTorch.
///
/// Source: Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and momentum in deep learning", for Nesterov's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// μ, the share of the last step that is kept.
    pub momentum: f64,
    /// Whether μ is a number of each step, [`Pace::momentum`], and [`Sgd::momentum`] where that is none.
    pub paced: bool,
    /// τ, the share of the gradient that momentum does not take up.
    pub dampening: f64,
    /// Whether the step goes where momentum will lead.
    pub nesterov: bool,
    /// λ, the factor of the parameters that is added to the gradient.
    pub weight_decay: f64,
}

impl Sgd {
    /// Steps along the gradient and nothing else.
    pub const PLAIN: Sgd = Sgd { momentum: 0.0, paced: false, dampening: 0.0, nesterov: false, weight_decay: 0.0 };

    /// Whether some of the last step is kept, by a constant or a number of the step.
    fn keeps(&self) -> bool {
        self.momentum != 0.0 || self.paced
    }
}

impl Optimizer for Sgd {
    fn slots(&self, _path: &str) -> Vec<&'static str> {
        vec!["velocity"]
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let gradient = decayed(at, self.weight_decay);
        let mut numbers = at.numbers.iter().copied();
        let momentum = if self.paced { numbers.next() } else { None };
        let kept = |velocity: Var<'g>| momentum.map_or_else(|| velocity * self.momentum, |share| velocity * share);
        let velocity = match at.state.first() {
            Some(&velocity) if self.keeps() => {
                let taken = numbers.next().map_or(gradient, |share| gradient * share);
                kept(velocity) + taken
            }
            _ => gradient,
        };
        let step = match self.nesterov && self.keeps() {
            true => gradient + kept(velocity),
            false => velocity,
        };
        (at.parameter - step * at.rate, vec![velocity])
    }

    fn numbers(&self) -> usize {
        usize::from(self.paced) + usize::from(self.dampening != 0.0)
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        let momentum = self.paced.then(|| pace.momentum.unwrap_or(self.momentum));
        let taken = (self.dampening != 0.0).then_some(if step == 0 { 1.0 } else { 1.0 - self.dampening });
        momentum.into_iter().chain(taken).collect()
    }

    fn effective_rate(&self, _path: &str, _shape: &Shape, pace: Pace) -> EffectiveRate {
        let momentum = pace.momentum.unwrap_or(self.momentum);
        let taken = if momentum == 0.0 { 1.0 } else { 1.0 - self.dampening };
        EffectiveRate { long_run: taken / (1.0 - momentum), ..EffectiveRate::PLAIN }
    }
}

/// The gradient of the objective with ½ λ ‖p‖² added to it.
pub(super) fn decayed<'g>(at: &Update<'g, '_>, weight_decay: f64) -> Var<'g> {
    if weight_decay == 0.0 { at.gradient } else { at.gradient + at.parameter * weight_decay }
}
