//! Networks that are the average of where training was.

use super::{EffectiveRate, ITERATE, Optimizer, Pace, Update};
use evenkeel_graph::{Shape, Tensor, Var};

/// How the iterates of a rule are averaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighting {
    /// p̄ ← d p̄ + (1 − d) p after each step.
    Exponential {
        /// d, the share of the average that is kept.
        decay: f64,
    },
    /// The plain mean of all.
    Uniform,
}

/// Another rule, whose iterates are averaged: the parameters are the average, gradients are taken at the iterate.
///
/// Until `start` steps are taken, and after the first one from there, the average is the iterate.
///
/// Source: Polyak, Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the plain mean over the end of training:
/// Izmailov, Podoprikhin, Garipov, Vetrov, Wilson 2018, arXiv 1803.05407.
pub struct Averaged<O> {
    /// The rule.
    pub rule: O,
    /// How its iterates are weighted.
    pub weighting: Weighting,
    /// Steps before the average begins.
    pub start: u64,
}

impl<O: Optimizer> Optimizer for Averaged<O> {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        [vec![ITERATE], self.rule.slots(path)].concat()
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let (Some((&iterate, kept)), Some((&share, numbers))) = (at.state.split_first(), at.numbers.split_last())
        else {
            return (at.parameter, at.state.clone());
        };
        let inner = Update { parameter: iterate, state: kept.to_vec(), numbers: numbers.to_vec(), ..at.clone() };
        let (iterate, kept) = self.rule.update(&inner);
        let average = at.parameter * share + iterate * (share.like(1.0) - share);
        (average, [vec![iterate], kept].concat())
    }

    fn numbers(&self) -> usize {
        self.rule.numbers() + 1
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        let averaged = step.saturating_sub(self.start) as f64;
        let share = match self.weighting {
            _ if step <= self.start => 0.0,
            Weighting::Exponential { decay } => decay,
            Weighting::Uniform => averaged / (averaged + 1.0),
        };
        let mut numbers = self.rule.at_step(step, pace);
        numbers.push(share);
        numbers
    }

    fn iterates(&self) -> bool {
        true
    }

    fn effective_rate(&self, path: &str, shape: &Shape, pace: Pace) -> EffectiveRate {
        self.rule.effective_rate(path, shape, pace)
    }

    fn start(&self, path: &str, drawn: Tensor) -> Tensor {
        self.rule.start(path, drawn)
    }
}
