//! Weights whose length means nothing, brought back to one length.

use super::{EffectiveRate, Optimizer, Pace, Update};
use crate::norm::Invariance;
use evenkeel_graph::{Shape, Tensor, Var};
use std::collections::BTreeMap;

/// Another rule, after whose steps scale-invariant weights are rescaled: w ← r w / ‖w‖, for each unit or the layer together.
///
/// What the network computes stays the same, and the rate on the direction of a weight is the schedule's, η / r², whatever happened
/// before. Rescaled weights need no decay: theirs is the rule `undecayed`.
///
/// Source: Liu, Cui, Wan, Mao, Chan 2021, arXiv 2102.03497.
pub struct Rescaled<O> {
    /// The rule of all other parameters.
    pub rule: O,
    /// The rule of rescaled weights: the same without decay.
    pub undecayed: O,
    /// Which weights, and how far they are invariant; see [`crate::norm::scale_invariant`].
    pub weights: BTreeMap<String, Invariance>,
    /// Steps from one rescaling to the next, at least 1.
    pub every: u64,
    /// r, the length that weights get.
    pub length: f64,
    /// Whether what the rule keeps of a weight is rescaled with it: gradients grow as weights shrink.
    pub rescale_state: bool,
}

/// Shorter weights are left as they are.
const SHORTEST: f64 = 1e-12;

impl<O: Optimizer> Rescaled<O> {
    fn rule_of(&self, path: &str) -> &O {
        if self.weights.contains_key(path) { &self.undecayed } else { &self.rule }
    }
}

impl<O: Optimizer> Optimizer for Rescaled<O> {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        self.rule_of(path).slots(path)
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let Some((&due, numbers)) = at.numbers.split_last() else { return (at.parameter, at.state.clone()) };
        let inner = Update { numbers: numbers.to_vec(), ..at.clone() };
        let (weight, mut kept) = self.rule_of(at.path).update(&inner);
        let Some(&invariance) = self.weights.get(at.path) else { return (weight, kept) };
        let last = weight.shape().len().saturating_sub(1);
        let axes: Vec<usize> = (0..last + usize::from(invariance == Invariance::Layer)).collect();
        let length = weight.square().sum(&axes).sqrt();
        let rescales = due.equal(due.like(1.0)).broadcast_to(&length.shape());
        let long = length.greater(length.like(SHORTEST));
        let same = length.like(1.0);
        let factor = rescales.select(long.select(length.like(self.length) / length, same), same);
        let kept_axes: Vec<usize> = (axes.len()..last + 1).collect();
        let spread = |factor: Var<'g>| factor.broadcast_along(kept_axes.clone(), &weight.shape());
        if self.rescale_state {
            let inverse = same / factor;
            for (name, value) in self.slots(at.path).into_iter().zip(&mut kept) {
                *value = *value * spread(if is_square(name) { inverse.square() } else { inverse });
            }
        }
        (weight * spread(factor), kept)
    }

    fn numbers(&self) -> usize {
        self.rule.numbers() + 1
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        let mut numbers = self.rule.at_step(step, pace);
        numbers.push(if (step + 1).is_multiple_of(self.every.max(1)) { 1.0 } else { 0.0 });
        numbers
    }

    fn effective_rate(&self, path: &str, shape: &Shape, pace: Pace) -> EffectiveRate {
        self.rule_of(path).effective_rate(path, shape, pace)
    }

    fn stale_statistics(&self) -> bool {
        // Those of a step are of the weights before it: where lengths change now and then, of others than the next steps'.
        self.every > 1 || self.rule.stale_statistics()
    }

    fn start(&self, path: &str, drawn: Tensor) -> Tensor {
        let drawn = self.rule_of(path).start(path, drawn);
        match self.weights.get(path) {
            Some(&invariance) => rescaled(&drawn, invariance, self.length).unwrap_or(drawn),
            None => drawn,
        }
    }
}

/// What goes with the square of the gradient.
fn is_square(slot: &str) -> bool {
    matches!(slot, "second_moment" | "mean_square")
}

/// A weight whose units, or that as a whole, have one length.
fn rescaled(weight: &Tensor, invariance: Invariance, length: f64) -> Option<Tensor> {
    let units = match invariance {
        Invariance::Unit => weight.shape().last().copied().unwrap_or(1).max(1),
        Invariance::Layer => 1,
    };
    let mut values = weight.to_f64();
    for unit in 0..units {
        let norm = values.iter().skip(unit).step_by(units).map(|value| value * value).sum::<f64>().sqrt();
        if norm > SHORTEST {
            values.iter_mut().skip(unit).step_by(units).for_each(|value| *value *= length / norm);
        }
    }
    Tensor::from_f64(weight.shape(), weight.dtype(), &values)
}
