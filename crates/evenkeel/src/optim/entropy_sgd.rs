//! Descent of the local entropy, which is large where a valley is wide.

use super::{EffectiveRate, ITERATE, Optimizer, Pace, Update};
use crate::config::EntropyVariant;
use evenkeel_graph::{DType, Shape, Var};

/// Gradients of the local entropy −ln ∫ exp(−f(y) − γ/2 ‖x − y‖²) dy, estimated by Langevin dynamics around x.
///
/// An outer step takes `steps` inner ones, each a gradient g of its own batch at y, from y = μ = x and v = 0 on:
///
/// * v ← m v + (1 − τ) g; d = g + m v with Nesterov's momentum, else v
/// * y ← y − η′ (d + γ (y − x) + λ y) + ε √(2 η′) n with n standard normal
/// * μ ← (1 − α) μ + α y
///
/// and then makes x ← x − η (x − μ), with η the rate of the run. γ = γ₀ (1 + s)ᵗ in outer step t, counted from 1. The parameters are x;
/// gradients are taken at y. How the variants differ: [`EntropyVariant`].
///
/// With `steps` = 1 and neither noise nor momentum this is gradient descent with rate η α η′.
///
/// Source: Chaudhari, Choromanska, Soatto, LeCun, Baldassi, Borgs, Chayes, Sagun, Zecchina 2017, arXiv 1611.01838, algorithm 1, and the
/// authors' code. There batches are drawn with replacement; here they are those of the epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntropySgd {
    /// Which form.
    pub variant: EntropyVariant,
    /// L, inner steps of an outer one, at least 1.
    pub steps: usize,
    /// η′, the rate of inner steps.
    pub inner_rate: f64,
    /// γ₀, how strongly y is pulled to x.
    pub scope: f64,
    /// s, what γ grows by in an outer step.
    pub scoping: f64,
    /// What γ may grow to.
    pub largest_scope: f64,
    /// ε, the root of the temperature.
    pub noise: f64,
    /// α, the share of the newest y in the average.
    pub newest: f64,
    /// m, in the paper's form not used.
    pub momentum: f64,
    /// τ, the share of the gradient that momentum does not take up.
    pub dampening: f64,
    /// Whether momentum is Nesterov's.
    pub nesterov: bool,
    /// λ.
    pub weight_decay: f64,
}

impl Default for EntropySgd {
    /// The numbers of the authors' first code: L = 20, η′ = 0.1, γ₀ = 10⁻⁴, s = 10⁻³, ε = 10⁻⁴, α = 1/4, Nesterov's momentum of 0.9.
    fn default() -> Self {
        EntropySgd {
            variant: EntropyVariant::Reference,
            steps: 20,
            inner_rate: 0.1,
            scope: 1e-4,
            scoping: 1e-3,
            largest_scope: 10.0,
            noise: 1e-4,
            newest: 0.25,
            momentum: 0.9,
            dampening: 0.0,
            nesterov: true,
            weight_decay: 0.0,
        }
    }
}

impl EntropySgd {
    /// γ in an outer step, counted from 1.
    pub fn scope_at(&self, outer: u64) -> f64 {
        (self.scope * libm::pow(1.0 + self.scoping, outer as f64)).min(self.largest_scope)
    }

    fn has_momentum(&self) -> bool {
        self.momentum != 0.0 && self.variant != EntropyVariant::Paper
    }

    fn outer_momentum(&self) -> bool {
        self.has_momentum() && self.variant == EntropyVariant::Port
    }

    /// The velocity after a gradient, and the direction of the step.
    fn directed<'g>(&self, velocity: Var<'g>, gradient: Var<'g>) -> (Var<'g>, Var<'g>) {
        let velocity = velocity * self.momentum + gradient * (1.0 - self.dampening);
        (velocity, if self.nesterov { gradient + velocity * self.momentum } else { velocity })
    }
}

impl Optimizer for EntropySgd {
    fn slots(&self, _path: &str) -> Vec<&'static str> {
        let mut slots = vec![ITERATE, "average"];
        slots.extend(self.has_momentum().then_some("velocity"));
        slots.extend(self.outer_momentum().then_some("outer_velocity"));
        slots
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let (&[y, average, ..], &[scope, starts, ends, first]) = (&at.state[..], &at.numbers[..]) else {
            return (at.parameter, at.state.clone());
        };
        let is = |number: Var<'g>| number.equal(number.like(1.0));
        let (x, starts, ends, first) = (at.parameter, is(starts), is(ends), is(first));
        let decayed = |gradient: Var<'g>, weights: Var<'g>| match self.weight_decay {
            0.0 => gradient,
            decay => gradient + weights * decay,
        };
        // The inner step.
        let port = self.variant == EntropyVariant::Port;
        let gradient = if port { decayed(at.gradient, y) } else { at.gradient };
        let velocity = at.state.get(2).map(|&velocity| {
            let velocity = starts.select(velocity.like(0.0), velocity);
            self.directed(velocity, gradient)
        });
        let along = velocity.map_or(gradient, |(_, along)| along) + (y - x) * scope;
        let along = if port { along } else { decayed(along, y) };
        let mut moved = y - along * self.inner_rate;
        if self.noise != 0.0 {
            let times = if self.variant == EntropyVariant::Paper { 1.0 } else { 2.0 };
            let graph = y.graph();
            let key = graph.shared_input(format!("key/optimizer/{}", at.path), [4], DType::I32);
            let normal = graph.normal(key, y.shape(), y.dtype());
            moved = moved + normal * (self.noise * (times * self.inner_rate).sqrt());
        }
        let average = starts.select(y, average);
        let average = average * (1.0 - self.newest) + moved * self.newest;
        // The outer step.
        let away = x - average;
        let mut kept = vec![average];
        kept.extend(velocity.map(|(velocity, _)| velocity));
        let outer = match (self.variant, at.state.get(3)) {
            (EntropyVariant::Reference, _) => away,
            (EntropyVariant::Paper, _) => away * scope,
            (EntropyVariant::Port, None) => decayed(away, x),
            (EntropyVariant::Port, Some(&before)) => {
                // Its momentum begins with the first gradient.
                let before = first.select(at.gradient, before);
                let (velocity, along) = self.directed(before, decayed(away, x));
                kept.push(ends.select(velocity, before));
                along
            }
        };
        let x = ends.select(x - outer * at.rate, x);
        kept.insert(0, ends.select(x, moved));
        (x, kept)
    }

    fn numbers(&self) -> usize {
        4
    }

    fn at_step(&self, step: u64, _pace: Pace) -> Vec<f64> {
        let (steps, flag) = (self.steps.max(1) as u64, |is: bool| if is { 1.0 } else { 0.0 });
        let inner = step % steps;
        vec![self.scope_at(step / steps + 1), flag(inner == 0), flag(inner + 1 == steps), flag(step == 0)]
    }

    fn iterates(&self) -> bool {
        true
    }

    /// Of the inner steps.
    fn effective_rate(&self, _path: &str, _shape: &Shape, _pace: Pace) -> EffectiveRate {
        let long_run = if self.has_momentum() { (1.0 - self.dampening) / (1.0 - self.momentum) } else { 1.0 };
        EffectiveRate { own: Some(self.inner_rate), long_run, ..EffectiveRate::PLAIN }
    }
}
