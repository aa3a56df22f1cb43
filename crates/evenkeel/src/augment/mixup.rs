//! Samples and labels that are mixed in pairs.

use crate::batch::Batch;
use crate::data::permutation;
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{Data, Tensor};

/// Replaces each sample by λ times itself and 1 − λ times its partner, and its label likewise, with one λ ~ Beta(α, α) for the step;
/// partners are a permutation of the batch. Labels must be numbers or shares of classes.
///
/// Cost: a pass over the batch; one row of memory.
///
/// Source: Zhang, Cissé, Dauphin, Lopez-Paz 2018, arXiv 1710.09412, equation 1 and figure 1.
pub(super) fn apply(batch: &mut Batch, alpha: f64, seed: u64, step: u64) {
    let share = beta(alpha, &mut Key::new(seed, "augment/mixup", step).random());
    let partners = permutation(Key::new(seed, "augment/partners", step), batch.len());
    for tensor in [&mut batch.inputs, &mut batch.labels] {
        mix(tensor, &partners, share);
    }
}

/// Row n becomes λ · row n + (1 − λ) · row `partners[n]`, each number computed in f64 and rounded once.
fn mix(tensor: &mut Tensor, partners: &[u32], share: f64) {
    let row = tensor.shape()[1..].iter().product();
    match tensor.data_mut() {
        Data::F32(values) => {
            mix_rows(values, row, partners, |a, b| (share * f64::from(a) + (1.0 - share) * f64::from(b)) as f32);
        }
        Data::F64(values) => mix_rows(values, row, partners, |a, b| share * a + (1.0 - share) * b),
        Data::I32(_) | Data::Bool(_) => {}
    }
}

/// In place: along each cycle of the permutation only its first row is read after it was written.
fn mix_rows<T: Copy>(values: &mut [T], row: usize, partners: &[u32], mixed: impl Fn(T, T) -> T) {
    let mut done = vec![false; partners.len()];
    let mut first = Vec::with_capacity(row);
    for start in 0..partners.len() {
        if done[start] {
            continue;
        }
        first.clear();
        first.extend_from_slice(&values[start * row..(start + 1) * row]);
        let mut at = start;
        loop {
            done[at] = true;
            let partner = partners[at] as usize;
            for place in 0..row {
                let other = if partner == start { first[place] } else { values[partner * row + place] };
                let value = &mut values[at * row + place];
                *value = mixed(*value, other);
            }
            if partner == start {
                break;
            }
            at = partner;
        }
    }
}

/// A number of Beta(α, α), from two of the gamma distribution, by their logarithms: they underflow where α is small.
fn beta(alpha: f64, random: &mut Random) -> f64 {
    let (one, other) = (log_gamma(alpha, random), log_gamma(alpha, random));
    let difference = other - one;
    // So small an α that both are 0: all of the sample, or nothing of it.
    if difference.is_nan() { 1.0 } else { 1.0 / (1.0 + libm::exp(difference)) }
}

/// The logarithm of a number of the gamma distribution with shape α.
///
/// Source: Marsaglia, Tsang 2000, "A simple method for generating gamma variables"; for α < 1 with their remark that
/// Γ(α) = Γ(α + 1) U^(1/α).
fn log_gamma(alpha: f64, random: &mut Random) -> f64 {
    if alpha < 1.0 {
        let larger = log_gamma(alpha + 1.0, random);
        return larger + libm::log(1.0 - random.uniform_f64()) / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = random.normal_f64();
        let root = 1.0 + c * normal;
        let uniform = 1.0 - random.uniform_f64();
        if root <= 0.0 {
            continue;
        }
        let log_v = 3.0 * libm::log(root);
        if libm::log(uniform) < 0.5 * normal * normal + d * (1.0 - root * root * root + log_v) {
            return libm::log(d) + log_v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.1, 0.2, 1.0, 3.0, 50.0] {
            let count = 40_000;
            let mut random = Key::new(1, "beta", 0).random();
            let shares: Vec<f64> = (0..count).map(|_| beta(alpha, &mut random)).collect();
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            let mean = shares.iter().sum::<f64>() / f64::from(count);
            let variance = shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() / f64::from(count);
            // Var = 1 / (4 (2α + 1)); four deviations of the estimates.
            let wanted = 0.25 / (2.0 * alpha + 1.0);
            assert!((mean - 0.5).abs() < 4.0 * (wanted / f64::from(count)).sqrt(), "{alpha}: {mean}");
            assert!((variance / wanted - 1.0).abs() < 0.03, "{alpha}: {variance} for {wanted}");
        }
    }

    #[test]
    fn no_alpha_is_too_small_or_too_large() {
        let mut random = Key::new(2, "beta", 0).random();
        for alpha in [f64::MIN_POSITIVE, 1e-300, 1e-5, 1e5, 1e300, f64::MAX] {
            for _ in 0..100 {
                let share = beta(alpha, &mut random);
                assert!((0.0..=1.0).contains(&share), "{alpha}: {share}");
            }
        }
        assert!((beta(1e12, &mut random) - 0.5).abs() < 1e-5);
    }

    #[test]
    fn rows_are_mixed_with_what_their_partners_were() {
        let values: Vec<f64> = (0..21).map(f64::from).collect();
        let partners = [2, 1, 4, 0, 3, 6, 5];
        let mut tensor = Tensor::new([7, 3], values.clone()).unwrap();
        mix(&mut tensor, &partners, 0.75);
        let mixed = tensor.to_f64();
        for (row, &partner) in partners.iter().enumerate() {
            for column in 0..3 {
                let wanted = 0.75 * values[row * 3 + column] + 0.25 * values[partner as usize * 3 + column];
                assert_eq!(mixed[row * 3 + column], wanted);
            }
        }
    }
}
