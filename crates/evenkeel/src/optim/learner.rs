//! Learning rate and momentum from the curvature, while training goes on.

use crate::config::{LearnerConfig, LearnerKind, LeastCurvature};
use crate::curvature::Quadrature;

/// Sets rate and momentum from the Ritz values θ of the Hessian along one random vector: with L the largest |θ| and l a small one,
///
/// | kind | rate | momentum |
/// |---|---|---|
/// | `sgd` | 2 / (L + median \|θ\|) | as it is |
/// | `heavy-ball` | 4 / (√L + √l)² | ((√L − √l) / (√L + √l))² |
/// | `nesterov` | 1 / L | (√L − √l) / (√L + √l) |
/// | `authors-mn` | √(l / L) | (√L − √l) / (√L + √l) |
///
/// The first three are the best constants on a quadratic with these extremes. `authors-mn` is what the authors trained with: its rate has no
/// unit of 1 / curvature, so it is right for losses of one scale only.
///
/// Rates are clipped, always: where cross-entropy is almost fitted its curvature vanishes, and 1 / L with it grows until training
/// diverges. Momentum is clipped to 0 to 0.99.
///
/// Source: Granziol, Zohren, Roberts 2022, arXiv 2006.09092, and the authors' code; heavy ball: Polyak 1964.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learner {
    /// Which rate and momentum; none never learns anything.
    pub kind: LearnerKind,
    /// How l is taken from the Ritz values.
    pub least: LeastCurvature,
    /// No rate is below this.
    pub min_rate: f64,
    /// No rate is above this.
    pub max_rate: f64,
}

/// What a learner made of the curvature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// The learning rate, clipped.
    pub rate: f64,
    /// The momentum, clipped; none: as it is.
    pub momentum: Option<f64>,
    /// L
    pub largest: f64,
    /// l, or the median for `sgd`.
    pub least: f64,
    /// Whether a clip was in the way.
    pub clipped: bool,
}

impl Default for Learner {
    /// Heavy ball between 10⁻⁶ and 1.
    fn default() -> Self {
        Learner { kind: LearnerKind::HeavyBall, least: LeastCurvature::BulkRemoved, min_rate: 1e-6, max_rate: 1.0 }
    }
}

impl Learner {
    /// No momentum is above this.
    pub const MAX_MOMENTUM: f64 = 0.99;
    /// A Ritz value with more weight stands for the bulk of eigenvalues near 0.
    const BULK: f64 = 0.5;

    /// The learner of a configuration; none where nothing is learned.
    pub fn of_config(config: &LearnerConfig) -> Option<Learner> {
        let &LearnerConfig { kind, least, min_rate, max_rate, .. } = config;
        (kind != LearnerKind::None).then_some(Learner { kind, least, min_rate, max_rate })
    }

    /// Rate and momentum for a spectrum; nothing where it is flat, which leaves both as they were.
    pub fn learn(&self, spectrum: &Quadrature) -> Option<Learned> {
        let sizes: Vec<f64> = spectrum.nodes.iter().map(|node| node.abs()).collect();
        let largest = sizes.iter().copied().fold(0.0, f64::max);
        if !(largest > 0.0 && largest.is_finite() && sizes.iter().all(|size| size.is_finite())) {
            return None;
        }
        let outside = sizes.iter().zip(&spectrum.weights).filter(|(_, weight)| **weight <= Self::BULK);
        let least = match (self.kind, self.least) {
            (LearnerKind::Sgd, _) | (_, LeastCurvature::Median) => median(&sizes),
            (_, LeastCurvature::BulkRemoved) => {
                outside.map(|(size, _)| *size).reduce(f64::min).unwrap_or_else(|| median(&sizes))
            }
        };
        let (rate, momentum) = self.rule(largest, least)?;
        let clipped_rate = rate.min(self.max_rate).max(self.min_rate);
        let clipped_momentum = momentum.map(|momentum| momentum.clamp(0.0, Self::MAX_MOMENTUM));
        let clipped = clipped_rate != rate || clipped_momentum != momentum;
        Some(Learned { rate: clipped_rate, momentum: clipped_momentum, largest, least, clipped })
    }

    /// Rate and momentum for the extremes L and l, before clipping; nothing for kind none.
    pub fn rule(&self, largest: f64, least: f64) -> Option<(f64, Option<f64>)> {
        let (high, low) = (largest.sqrt(), least.sqrt());
        let ratio = (high - low) / (high + low);
        match self.kind {
            LearnerKind::None => None,
            LearnerKind::Sgd => Some((2.0 / (largest + least), None)),
            LearnerKind::HeavyBall => Some(((2.0 / (high + low)).powi(2), Some(ratio * ratio))),
            LearnerKind::Nesterov => Some((1.0 / largest, Some(ratio))),
            LearnerKind::AuthorsMn => Some(((least / largest).sqrt(), Some(ratio))),
        }
    }
}

/// The middle one, or the mean of the two middle ones.
fn median(sizes: &[f64]) -> f64 {
    let mut sorted = sizes.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learner(kind: LearnerKind) -> Learner {
        Learner { kind, max_rate: 1e9, ..Learner::default() }
    }

    fn spectrum(pairs: &[(f64, f64)]) -> Quadrature {
        let (nodes, weights) = pairs.iter().copied().unzip();
        Quadrature { nodes, weights, invariant: false }
    }

    fn near(got: f64, wanted: f64) {
        assert!((got / wanted - 1.0).abs() < 1e-5, "{got} {wanted}");
    }

    #[test]
    fn the_arithmetic_is_that_of_a_log_of_the_authors() {
        let of_log = spectrum(&[(2.447_878_6, 4e-4), (0.001_447_5, 0.998_211), (-1_448.473_3, 1e-3), (40.0, 3.89e-4)]);
        let learned = learner(LearnerKind::AuthorsMn).learn(&of_log).unwrap();
        near(learned.rate, 0.041_109_3);
        near(learned.momentum.unwrap(), 0.921_028_0);
        assert_eq!((learned.largest, learned.least, learned.clipped), (1_448.473_3, 2.447_878_6, false));
        let learned = learner(LearnerKind::HeavyBall).learn(&of_log).unwrap();
        near(learned.rate, 0.002_547_75);
        near(learned.momentum.unwrap(), 0.848_292_5);
        let learned = learner(LearnerKind::Nesterov).learn(&of_log).unwrap();
        near(learned.rate, 1.0 / 1_448.473_3);
        near(learned.momentum.unwrap(), 0.921_028_0);
        let learned = learner(LearnerKind::Sgd).learn(&of_log).unwrap();
        near(learned.rate, 2.0 / (1_448.473_3 + (2.447_878_6 + 40.0) / 2.0));
        assert_eq!(learned.momentum, None);
    }

    #[test]
    fn the_least_curvature_is_the_median_where_asked_for_or_where_nothing_but_the_bulk_is_left() {
        let three = spectrum(&[(9.0, 0.3), (-4.0, 0.3), (1.0, 0.4)]);
        let by_median = Learner { least: LeastCurvature::Median, ..learner(LearnerKind::HeavyBall) };
        assert_eq!(by_median.learn(&three).unwrap().least, 4.0);
        assert_eq!(learner(LearnerKind::HeavyBall).learn(&three).unwrap().least, 1.0);
        assert_eq!(learner(LearnerKind::HeavyBall).learn(&spectrum(&[(3.0, 1.0)])).unwrap().least, 3.0);
    }

    #[test]
    fn rates_and_momenta_are_clipped_and_it_is_said_so() {
        let flat = spectrum(&[(1e-4, 0.1), (1e-12, 0.4), (0.0, 0.5)]);
        let learned = Learner { max_rate: 0.5, ..learner(LearnerKind::HeavyBall) }.learn(&flat).unwrap();
        assert_eq!((learned.rate, learned.momentum, learned.clipped), (0.5, Some(0.99), true));
        let learned = Learner { min_rate: 0.01, ..learner(LearnerKind::AuthorsMn) }.learn(&flat).unwrap();
        assert_eq!((learned.rate, learned.momentum, learned.clipped), (0.01, Some(0.99), true));
    }

    #[test]
    fn a_flat_spectrum_and_one_with_a_number_that_is_none_teach_nothing() {
        for pairs in [&[(0.0, 1.0)][..], &[(f64::NAN, 0.5), (1.0, 0.5)], &[(f64::INFINITY, 1.0)], &[]] {
            assert_eq!(learner(LearnerKind::HeavyBall).learn(&spectrum(pairs)), None);
        }
        assert_eq!(learner(LearnerKind::None).learn(&spectrum(&[(1.0, 1.0)])), None);
    }

    #[test]
    fn heavy_ball_converges_on_a_quadratic_as_fast_as_its_condition_lets_it() {
        let (rate, momentum) = learner(LearnerKind::HeavyBall).rule(100.0, 1.0).unwrap();
        let momentum = momentum.unwrap();
        let (mut at, mut before) = (vec![1.0_f64; 100], vec![1.0_f64; 100]);
        let mut sizes = vec![];
        for _ in 0..=160 {
            sizes.push(at.iter().map(|x| x * x).sum::<f64>().sqrt());
            let next = (0..100).map(|n| at[n] - rate * (n as f64 + 1.0) * at[n] + momentum * (at[n] - before[n]));
            let next: Vec<f64> = next.collect();
            before = std::mem::replace(&mut at, next);
        }
        let per_step = (sizes[160] / sizes[100]).powf(1.0 / 60.0);
        assert!((per_step - 9.0 / 11.0).abs() < 0.02, "{per_step}");
    }
}
