//! Adam without the part of a step that only makes scale-invariant weights longer.

use super::adam::{Adam, Moments};
use super::{EffectiveRate, Optimizer, Pace, Update};
use evenkeel_graph::{Shape, Var};

/// [`Adam`] with decoupled decay whose step has no part along weights that are scale-invariant as far as their gradient tells.
///
/// p = m / (√v / √(1 − β₂ᵗ) + ε). Taken unit by unit, and if that does not hold as a whole: where the largest |cos(g, w)| of a view's rows
/// is below δ / √(their length), p ← p − ŵ ⟨ŵ, p⟩ with ŵ = w / (‖w‖ + ε), and decay is multiplied by `decay_ratio`. Then
/// w ← (1 − η λ) w − η / (1 − β₁ᵗ) p. Tensors of one axis are Adam's.
///
/// Source: Heo, Chun, Oh, Han, Yun, Kim, Uh, Ha 2021, arXiv 2006.08217, algorithm 2, and the authors' code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamP {
    /// Moments, ε and decay; decay is decoupled whatever it says.
    pub adam: Adam,
    /// δ, what cosines are compared with.
    pub delta: f64,
    /// The share of decay that is left where a step was projected.
    pub decay_ratio: f64,
    /// Whether the step goes where momentum will lead.
    pub nesterov: bool,
}

impl Default for AdamP {
    /// Adam's own numbers, δ = 0.1, a tenth of the decay.
    fn default() -> Self {
        AdamP { adam: Adam::default(), delta: 0.1, decay_ratio: 0.1, nesterov: false }
    }
}

impl Optimizer for AdamP {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        self.adam.slots(path)
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let Some(Moments { first, second, root, first_bias }) = self.adam.moments(at, at.gradient) else {
            return (at.parameter, at.state.clone());
        };
        let towards = match self.nesterov {
            true => first * self.adam.beta1 + at.gradient * (1.0 - self.adam.beta1),
            false => first,
        };
        let step = towards / root;
        let mut ratio = at.rate.like(1.0);
        let mut projected = step;
        let axes = at.parameter.shape().len();
        if axes > 1 {
            let rows: Vec<usize> = (0..axes - 1).collect();
            let all: Vec<usize> = (0..axes).collect();
            // The first view that holds is the one that is taken.
            for view in [&all, &rows] {
                let (holds, without) = self.view(at, step, view);
                projected = holds.broadcast_to(&step.shape()).select(without, projected);
                ratio = holds.select(ratio.like(self.decay_ratio), ratio);
            }
        }
        let decay = self.adam.weight_decay;
        let kept = if decay == 0.0 { at.parameter } else { at.parameter * (1.0 - at.rate * ratio * decay) };
        (kept - projected * (at.rate / first_bias), vec![first, second])
    }

    fn numbers(&self) -> usize {
        self.adam.numbers()
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        self.adam.at_step(step, pace)
    }

    fn effective_rate(&self, path: &str, shape: &Shape, pace: Pace) -> EffectiveRate {
        self.adam.effective_rate(path, shape, pace)
    }
}

impl AdamP {
    /// Whether weights and gradient look orthogonal in rows that go over `axes`, and the step without its part along the weights.
    fn view<'g>(&self, at: &Update<'g, '_>, step: Var<'g>, axes: &[usize]) -> (Var<'g>, Var<'g>) {
        let shape = at.parameter.shape();
        let length: usize = axes.iter().map(|&axis| shape[axis]).product();
        let norm = |x: Var<'g>| x.square().sum(axes).sqrt() + self.adam.epsilon;
        let sizes = norm(at.parameter);
        let cosines = ((at.parameter * at.gradient).sum(axes) / norm(at.gradient) / sizes).abs();
        let largest = cosines.max(&(0..cosines.shape().len()).collect::<Vec<_>>());
        let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let direction = at.parameter / sizes.broadcast_along(kept.clone(), &shape);
        let along = (direction * step).sum(axes).broadcast_along(kept, &shape);
        (largest.less(largest.like(self.delta / (length as f64).sqrt())), step - direction * along)
    }
}
