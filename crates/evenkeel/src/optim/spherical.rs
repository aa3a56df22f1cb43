//! Steps on the unit sphere, for weights whose length means nothing.

use super::{Optimizer, Pace, Update};
use evenkeel_graph::{Shape, Var};
use std::collections::BTreeSet;

/// How fast a step on the sphere goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SphericalRate {
    /// As fast as the step's rate says.
    Given,
    /// η / (√v + ε) with η the step's rate; then v ← β v + (1 − β) ‖∇L(θ)‖². v is ‖∇L(θ)‖² at first.
    QuasiRmsprop {
        /// β, the share of v that is kept.
        beta: f64,
        /// ε
        epsilon: f64,
    },
}

/// θ ← (θ − h ∇L(θ)) / ‖θ − h ∇L(θ)‖, for all scale-invariant weights w together as one vector of direction θ = w / ‖w‖; all other
/// parameters take the steps of another rule.
///
/// With ∇L(θ) = ‖w‖ ∇L(w), from weights of any length. Gradient descent at rate h with weight decay λ is this rule at the effective rate
/// h / ((1 − hλ) ‖w‖²), exactly; and quasi-RMSprop with η = √(2hλ), β = (1 − hλ)⁴ up to terms of hλ: weight decay is a second moment.
///
/// Source: Lyu, Li, Arora 2022, arXiv 2206.07085, section 4.
pub struct Spherical<O> {
    /// The paths of the weights on the sphere, which must be scale-invariant; see [`crate::norm::scale_invariant`].
    pub weights: BTreeSet<String>,
    /// h
    pub rate: SphericalRate,
    /// The rule of all others.
    pub others: O,
}

impl<O: Optimizer> Optimizer for Spherical<O> {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        let mut slots = self.others.slots(path);
        if self.rate != SphericalRate::Given {
            slots.push(SECOND_MOMENT);
        }
        slots
    }

    fn slot_shape(&self, slot: &str, parameter: &Shape) -> Shape {
        if slot == SECOND_MOMENT { Shape::from([]) } else { parameter.clone() }
    }

    /// ‖w‖², ‖∇‖² and ⟨w, ∇⟩.
    fn parts<'g>(&self, at: &Update<'g, '_>) -> Vec<Var<'g>> {
        if !self.weights.contains(at.path) {
            return vec![];
        }
        let product = |a: Var<'g>, b: Var<'g>| (a * b).sum_all();
        vec![product(at.parameter, at.parameter), product(at.gradient, at.gradient), product(at.parameter, at.gradient)]
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let Some((&first, numbers)) = at.numbers.split_last() else { return (at.parameter, at.state.clone()) };
        let mut kept = at.state.clone();
        let (true, &[square, slopes, along]) = (self.weights.contains(at.path), &at.totals[..]) else {
            let own = self.others.slots(at.path).len();
            let inner = Update { numbers: numbers.to_vec(), state: kept[..own].to_vec(), ..at.clone() };
            let (moved, others) = self.others.update(&inner);
            kept.splice(..own, others);
            return (moved, kept);
        };
        let length = square.sqrt();
        let steepness = square * slopes;
        let rate = match (self.rate, kept.last_mut()) {
            (SphericalRate::QuasiRmsprop { beta, epsilon }, Some(last)) => {
                let moment = first.equal(first.like(1.0)).select(steepness, *last);
                *last = moment * beta + steepness * (1.0 - beta);
                at.rate / (moment.sqrt() + epsilon)
            }
            _ => at.rate,
        };
        let new_length = (rate.square() * steepness - rate * along * 2.0 + 1.0).sqrt();
        let moved = (at.parameter / length - at.gradient * (rate * length)) / new_length;
        // A vector of length 0 has no direction.
        (square.greater(square.like(0.0)).broadcast_to(&moved.shape()).select(moved, at.parameter), kept)
    }

    fn numbers(&self) -> usize {
        self.others.numbers() + 1
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        let mut numbers = self.others.at_step(step, pace);
        numbers.push(if step == 0 { 1.0 } else { 0.0 });
        numbers
    }
}

const SECOND_MOMENT: &str = "second_moment";
