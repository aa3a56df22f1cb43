//! Local entropy of functions of one number, exactly.

use super::super::setup::smallest;

/// A function at even places of a line.
pub(super) struct Line {
    places: Vec<f64>,
    values: Vec<f64>,
    spacing: f64,
}

/// The Gibbs distribution p(x′) ∝ exp(−f(x′) − γ/2 (x − x′)²) around a place x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Local {
    /// F(x, γ) = ln ∫ exp(−f(x′) − γ/2 (x − x′)²) dx′.
    pub(super) entropy: f64,
    /// ⟨x′⟩
    pub(super) mean: f64,
    /// −∂F/∂x = γ (x − ⟨x′⟩): what Entropy-SGD goes down.
    pub(super) slope: f64,
    /// −∂²F/∂x² = γ − γ² (⟨x′²⟩ − ⟨x′⟩²)
    pub(super) curvature: f64,
}

impl Line {
    /// f from `low` to `high`, at places `spacing` apart.
    pub(super) fn new(low: f64, high: f64, spacing: f64, f: impl Fn(f64) -> f64) -> Line {
        let count = ((high - low) / spacing).round() as usize;
        let places: Vec<f64> = (0..=count).map(|index| low + index as f64 * spacing).collect();
        let values = places.iter().map(|&place| f(place)).collect();
        Line { places, values, spacing }
    }

    /// The distribution around `x` at scope `gamma`, by the trapezoidal rule: for smooth functions its error falls faster than any power
    /// of the spacing, as long as next to nothing of the distribution lies beyond the ends.
    pub(super) fn at(&self, x: f64, gamma: f64) -> Local {
        let energy = |(place, value): (&f64, &f64)| value + 0.5 * gamma * (x - place).powi(2);
        let energies = || self.places.iter().zip(&self.values).map(energy);
        let lowest = energies().fold(f64::INFINITY, f64::min);
        let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
        for (energy, place) in energies().zip(&self.places) {
            let (weight, away) = ((lowest - energy).exp(), place - x);
            total += weight;
            first += weight * away;
            second += weight * away * away;
        }
        let (away, square) = (first / total, second / total);
        Local {
            entropy: (total * self.spacing).ln() - lowest,
            mean: x + away,
            slope: -gamma * away,
            curvature: gamma - gamma * gamma * (square - away * away),
        }
    }

    /// The place of the largest local entropy from `low` to `high`, sought around the best of places a hundredth apart.
    pub(super) fn peak(&self, low: f64, high: f64, gamma: f64) -> f64 {
        const STEP: f64 = 0.01;
        let place = |index: usize| low + index as f64 * STEP;
        let count = ((high - low) / STEP).round() as usize;
        let entropies: Vec<f64> = (0..=count).map(|index| -self.at(place(index), gamma).entropy).collect();
        let best = place(smallest(&entropies));
        self.summit(best - STEP, best + STEP, gamma)
    }

    /// The place of the largest local entropy of a single hill from `low` to `high`, by halves.
    pub(super) fn summit(&self, mut low: f64, mut high: f64, gamma: f64) -> f64 {
        while high - low > 1e-9 {
            let middle = 0.5 * (low + high);
            // Where the hill rises, −F falls.
            if self.at(middle, gamma).slope < 0.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_has_the_local_entropy_of_the_closed_form() {
        let (h, gamma, x) = (2.0, 0.5, 1.0);
        let local = Line::new(-15.0, 15.0, 0.01, |x| 0.5 * h * x * x).at(x, gamma);
        let entropy = 0.5 * (std::f64::consts::TAU / (h + gamma)).ln() - 0.5 * gamma * h / (gamma + h) * x * x;
        assert!((local.entropy - entropy).abs() < 1e-12);
        assert!((local.mean - gamma * x / (gamma + h)).abs() < 1e-12);
        assert!((local.slope - gamma * h / (gamma + h) * x).abs() < 1e-12);
        assert!((local.curvature - gamma * h / (gamma + h)).abs() < 1e-12);
    }

    #[test]
    fn slope_and_curvature_are_the_derivatives_of_the_entropy() {
        let line = Line::new(-6.0, 6.0, 0.01, |x| 0.25 * x.powi(4) - 0.5 * x * x);
        for (x, gamma) in [(0.3, 1.0), (-1.2, 4.0), (1.5, 0.1)] {
            let (step, here) = (1e-4, line.at(x, gamma));
            let (left, right) = (line.at(x - step, gamma), line.at(x + step, gamma));
            assert!((here.slope - (left.entropy - right.entropy) / (2.0 * step)).abs() < 1e-7);
            assert!((here.curvature - (right.slope - left.slope) / (2.0 * step)).abs() < 1e-6);
        }
    }

    #[test]
    fn a_wide_scope_leaves_the_pull_and_a_narrow_one_the_function() {
        let line = Line::new(-20.0, 20.0, 0.001, |x| 1.5 * x * x);
        assert!((line.at(1.0, 1e5).slope - 3.0).abs() < 1e-3);
        assert!((line.at(1.0, 1e-4).slope - 1e-4).abs() < 1e-7);
    }

    #[test]
    fn the_peak_of_a_shifted_quadratic_is_its_minimum() {
        let line = Line::new(-8.0, 8.0, 0.01, |x| (x - 0.37).powi(2));
        assert!((line.peak(-3.0, 3.0, 1.0) - 0.37).abs() < 1e-8);
    }
}
