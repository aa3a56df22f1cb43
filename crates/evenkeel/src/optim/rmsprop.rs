//! Steps divided by a running size of the gradient.

use super::sgd::decayed;
use super::{EffectiveRate, Optimizer, Pace, Update};
use evenkeel_graph::{Shape, Var};

/// g ← ∇ + λ p; v ← α v + (1 − α) g²; s = √v + ε, centered s = √(v − ḡ²) + ε with ḡ ← α ḡ + (1 − α) g; p ← p − η g / s, with momentum
/// b ← μ b + g / s and p ← p − η b. As in PyTorch.
///
/// Source: Tieleman, Hinton 2012, "Lecture 6.5: rmsprop"; centered: Graves 2013, arXiv 1308.0850, section 4.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// α, the share of the running squares that is kept.
    pub smoothing: f64,
    /// ε, added to the root.
    pub epsilon: f64,
    /// μ, the share of the last step that is kept.
    pub momentum: f64,
    /// Whether the gradient is divided by its running deviation in place of its running size.
    pub centered: bool,
    /// λ, the factor of the parameters that is added to the gradient.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    /// α = 0.99, ε = 10⁻⁸, nothing else.
    fn default() -> Self {
        RmsProp { smoothing: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

impl Optimizer for RmsProp {
    fn slots(&self, _path: &str) -> Vec<&'static str> {
        match (self.momentum != 0.0, self.centered) {
            (false, false) => vec!["mean_square"],
            (true, false) => vec!["mean_square", "velocity"],
            (false, true) => vec!["mean_square", "mean"],
            (true, true) => vec!["mean_square", "velocity", "mean"],
        }
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let (Some(&square), Some(&last)) = (at.state.first(), at.state.last()) else {
            return (at.parameter, at.state.clone());
        };
        let gradient = decayed(at, self.weight_decay);
        let moved = |mean: Var<'g>, to: Var<'g>| mean * self.smoothing + to * (1.0 - self.smoothing);
        let square = moved(square, gradient.square());
        let mut kept = vec![square];
        let mean = self.centered.then(|| moved(last, gradient));
        let spread = mean.map_or(square, |mean| square - mean.square());
        let mut step = gradient / (spread.sqrt() + self.epsilon);
        if let (true, Some(&velocity)) = (self.momentum != 0.0, at.state.get(1)) {
            step = velocity * self.momentum + step;
            kept.push(step);
        }
        kept.extend(mean);
        (at.parameter - step * at.rate, kept)
    }

    fn effective_rate(&self, _path: &str, _shape: &Shape, _pace: Pace) -> EffectiveRate {
        EffectiveRate { long_run: 1.0 / (1.0 - self.momentum), ..EffectiveRate::RESCALED }
    }
}
