//! What a batch's curvature has more than that of all samples, and which learning rates and dampings follow from it.
//!
//! The Hessian of a batch is that of all N samples and noise: for P parameters and a variance σ² of the entries over single samples, the
//! noise of a batch of B drawn without replacement is a random matrix with the semicircle [−2t, 2t] for spectrum,
//!
//! t² = P σ² / b, b = B / (1 − B/N),
//!
//! and pushes eigenvalues outward. [`Curvature::noise`] estimates P σ² from products, [`BatchNoise`] says what follows.
//!
//! Source: Granziol, Zohren, Roberts 2022, arXiv 2006.09092; the map of outliers: Benaych-Georges, Nadakuditi 2011, "The eigenvalues and
//! eigenvectors of finite, low rank perturbations of large random matrices".

use super::{Curvature, Product, Visit};
use crate::config::BatchLaw;
use crate::{Error, Result};
use evenkeel_graph::random::Key;

/// The noise in the curvature of batches of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNoise {
    /// P
    parameters: f64,
    /// σ²
    variance: f64,
    /// 1/b
    inverse: f64,
}

/// How the noise of a Gauss-Newton matrix, which is never negative, is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaussNewtonNoise {
    /// What is added is a covariance of b vectors with independent entries of variance σ².
    Added,
    /// The matrix of the batch is a covariance of b vectors whose own covariance has the eigenvalue λ + σ² among those of σ².
    SampleCovariance,
}

impl BatchNoise {
    /// For batches of `batch` of `samples` samples, with `parameters` parameters and the variance σ² of one entry of one sample's matrix.
    ///
    /// # Errors
    /// When there are no parameters, the batch is empty or larger than the samples, or the variance is negative or not finite.
    pub fn new(parameters: usize, variance: f64, batch: usize, samples: usize) -> Result<BatchNoise> {
        if parameters == 0 {
            return Err(Error::input("noise of curvature needs at least one parameter").detail("got", parameters));
        }
        if batch == 0 || batch > samples {
            return Err(Error::input("there are no such batches")
                .detail("expected", format!("1 to {samples} samples in a batch"))
                .detail("got", batch));
        }
        if !(variance >= 0.0 && variance.is_finite()) {
            return Err(Error::input("a variance is a number from 0 on").detail("got", variance));
        }
        let inverse = (samples - batch) as f64 / (batch as f64 * samples as f64);
        Ok(BatchNoise { parameters: parameters as f64, variance, inverse })
    }

    /// b = B / (1 − B/N): how many samples drawn with replacement are as noisy. Infinite for a batch of all samples.
    pub fn effective_batch(&self) -> f64 {
        1.0 / self.inverse
    }

    /// t = √(P/b) σ: the noise alone has its eigenvalues from −2t to 2t.
    pub fn radius(&self) -> f64 {
        (self.parameters * self.inverse * self.variance).sqrt()
    }

    /// What the largest eigenvalue λ of all samples' Hessian is for a batch: λ + t²/λ above t, and else the edge 2t.
    pub fn largest(&self, lambda: f64) -> f64 {
        let radius = self.radius();
        if lambda > radius { lambda + radius * radius / lambda } else { 2.0 * radius }
    }

    /// What the least eigenvalue is for a batch: the mirror image of [`BatchNoise::largest`].
    pub fn least(&self, lambda: f64) -> f64 {
        -self.largest(-lambda)
    }

    /// The squared cosine of the batch's eigenvector with that of all samples: 1 − t²/λ², and 0 where |λ| does not reach t.
    pub fn overlap(&self, lambda: f64) -> f64 {
        let radius = self.radius();
        if lambda.abs() > radius { 1.0 - (radius / lambda).powi(2) } else { 0.0 }
    }

    /// What an eigenvalue λ of all samples' Gauss-Newton matrix is for a batch, with g = P/b:
    ///
    /// * added: λ + σ²/(1 − gσ²/λ) above σ²(g + √g)
    /// * sample covariance: (λ + σ²)(1 + gσ²/λ) above σ²√g
    ///
    /// and else the edge σ²(1 + √g)². A batch of all samples has no noise: λ itself.
    pub fn gauss_newton(&self, lambda: f64, model: GaussNewtonNoise) -> f64 {
        let (ratio, variance) = (self.parameters * self.inverse, self.variance);
        if ratio == 0.0 {
            return lambda;
        }
        let spread = ratio * variance / lambda;
        match model {
            GaussNewtonNoise::Added if lambda > variance * (ratio + ratio.sqrt()) => lambda + variance / (1.0 - spread),
            GaussNewtonNoise::SampleCovariance if lambda > variance * ratio.sqrt() => {
                (lambda + variance) * (1.0 + spread)
            }
            _ => variance * (1.0 + ratio.sqrt()).powi(2),
        }
    }

    /// The largest stable rate of gradient descent on a batch's quadratic, 2 over [`BatchNoise::largest`]: it goes from 2/λ for large
    /// batches with √b for small ones, where the noise is all there is. Infinite where there is neither curvature nor noise.
    pub fn max_rate(&self, lambda: f64) -> f64 {
        2.0 / self.largest(lambda)
    }

    /// What the largest stable rate of methods that divide by the root of a curvature, such as Adam, goes with: 1 over the root of
    /// [`BatchNoise::largest`]. A scale, to be compared between batches; a heuristic.
    pub fn adam_rate_scale(&self, lambda: f64) -> f64 {
        1.0 / self.largest(lambda).sqrt()
    }

    /// The least damping with which steps of `rate` by a damped inverse curvature are stable: rate · t²/(2λ), what the batch has more than λ.
    /// It goes with rate / B.
    pub fn min_damping(&self, rate: f64, lambda: f64) -> f64 {
        rate * (self.largest(lambda) - lambda).max(0.0) / 2.0
    }

    /// B* = P σ²/λ²: batches much larger have no noise worth speaking of, and rates stop growing with the batch.
    pub fn critical_batch(&self, lambda: f64) -> f64 {
        self.parameters * self.variance / (lambda * lambda)
    }
}

/// The rate in proportion to the batch, from one that is good at another batch, and never above 2/λ, where it stops growing.
///
/// # Errors
/// As [`scaled_rate`].
pub fn max_rate_linear(rate: f64, reference: usize, batch: usize, lambda: f64) -> Result<f64> {
    Ok(scaled_rate(BatchLaw::Linear, rate, reference, batch)?.min(2.0 / lambda.max(0.0)))
}

/// The rate for batches of `batch` samples by a law, from one for batches of `reference`.
///
/// # Errors
/// When a batch is empty.
pub fn scaled_rate(law: BatchLaw, rate: f64, reference: usize, batch: usize) -> Result<f64> {
    Ok(rate * law.factor(times(batch, reference)?))
}

/// The damping that goes with rate / batch, from one that is good for another rate and batch.
///
/// # Errors
/// When a batch is empty, or the other rate is not above 0.
pub fn scaled_damping(damping: f64, from: (f64, usize), to: (f64, usize)) -> Result<f64> {
    let ((rate, batch), (new_rate, new_batch)) = (from, to);
    if !(rate > 0.0 && rate.is_finite()) {
        return Err(Error::input("damping is scaled from a rate above 0").detail("got", rate));
    }
    Ok(damping * (new_rate / rate) / times(new_batch, batch)?)
}

fn times(batch: usize, reference: usize) -> Result<f64> {
    match batch == 0 || reference == 0 {
        true => Err(Error::input("a batch has at least one sample").detail("got", 0)),
        false => Ok(batch as f64 / reference as f64),
    }
}

/// How much the curvature of samples differs, from products with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvatureNoise {
    /// P σ²: P times the variance, over single samples, of an entry of the matrix, in the mean over entries. It is ‖(Hₙ − H) z‖² in the mean
    /// over samples and unit vectors z.
    pub scale: f64,
    /// Its standard error over the directions; NaN for one.
    pub standard_error: f64,
    /// zᵀ H z in the mean over directions: the mean eigenvalue.
    pub mean: f64,
    /// How much of H's distance from a multiple of the identity is no noise: 1 − v / (n ‖Hz − (zᵀHz) z‖²), not below 0, with the variance v
    /// over the n batches, in the mean over directions.
    pub confidence: f64,
    /// Directions.
    pub probes: usize,
}

impl CurvatureNoise {
    /// What it comes to in batches of `batch` of `samples` samples of a network with so many parameters.
    ///
    /// # Errors
    /// As [`BatchNoise::new`].
    pub fn of_batch(&self, parameters: usize, batch: usize, samples: usize) -> Result<BatchNoise> {
        BatchNoise::new(parameters, self.scale / parameters.max(1) as f64, batch, samples)
    }

    /// Estimates it from matrices of batches of `batch` samples each: `products` gives the product of every one with a direction.
    ///
    /// Along a unit vector z drawn from the sphere, mean ‖Hᵢ z‖² − ‖mean Hᵢ z‖², times n/(n − 1) for n batches, has the mean P σ² / batch.
    ///
    /// # Errors
    /// When there are no directions or no dimensions, fewer than two batches, or a product fails or is not finite.
    pub fn estimate(
        dimension: usize,
        batch: usize,
        probes: usize,
        seed: u64,
        products: &mut dyn FnMut(&[f64], &mut Visit<'_>) -> Result<()>,
    ) -> Result<CurvatureNoise> {
        if dimension == 0 || probes == 0 || batch == 0 {
            return Err(Error::input("noise of curvature is looked at along at least one direction")
                .detail("expected", "parameters, directions and samples in a batch, at least 1 each")
                .detail("got", format!("{dimension}, {probes} and {batch}")));
        }
        let (mut scales, mut mean, mut confidence) = (Vec::with_capacity(probes), 0.0, 0.0);
        for probe in 0..probes {
            let mut random = Key::new(seed, "curvature/noise", probe as u64).random();
            let mut direction: Vec<f64> = (0..dimension).map(|_| random.normal_f64()).collect();
            let length = square(&direction).sqrt();
            direction.iter_mut().for_each(|value| *value /= length);
            let (mut sum, mut squares, mut count) = (vec![0.0; dimension], 0.0, 0usize);
            products(&direction, &mut |product| {
                sum.iter_mut().zip(product).for_each(|(sum, value)| *sum += value);
                squares += square(product);
                count += 1;
            })?;
            if count < 2 {
                return Err(Error::input("the noise of curvature is that between batches")
                    .detail("expected", "at least 2 batches")
                    .detail("got", count)
                    .hint("take more samples, or smaller batches"));
            }
            let batches = count as f64;
            sum.iter_mut().for_each(|value| *value /= batches);
            let variance = ((squares / batches - square(&sum)) * batches / (batches - 1.0)).max(0.0);
            if !(squares.is_finite() && variance.is_finite()) {
                return Err(Error::numerical("a product with the curvature of a batch is not finite")
                    .hint("the loss overflows at this point: try another state or f64"));
            }
            let along: f64 = direction.iter().zip(&sum).map(|(z, h)| z * h).sum();
            let across = square(&sum) - along * along;
            scales.push(variance * batch as f64);
            mean += along / probes as f64;
            let certain = if across > 0.0 { (1.0 - variance / (batches * across)).max(0.0) } else { 0.0 };
            confidence += certain / probes as f64;
        }
        let scale = scales.iter().sum::<f64>() / probes as f64;
        let apart: f64 = scales.iter().map(|one| (one - scale).powi(2)).sum();
        let standard_error = (apart / (probes as f64 * (probes as f64 - 1.0))).sqrt();
        Ok(CurvatureNoise { scale, standard_error, mean, confidence, probes })
    }
}

impl Curvature<'_> {
    /// How much the curvature of samples differs, between the batches of what was made by [`Curvature::in_batches`]; 4 directions and more
    /// are usual. Cost: a product with each batch a direction; batches of one sample tell most and take longest.
    ///
    /// # Errors
    /// As [`CurvatureNoise::estimate`].
    pub fn noise(&mut self, matrix: Product, probes: usize, seed: u64) -> Result<CurvatureNoise> {
        let (dimension, batch) = (self.point.network.parameter_count(), self.point.size());
        CurvatureNoise::estimate(dimension, batch, probes, seed, &mut |direction, visit| {
            self.batch_products(matrix, direction, visit)
        })
    }
}

fn square(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N so large that b is B.
    const MANY: usize = 1 << 50;

    fn noise(parameters: usize, variance: f64, batch: usize) -> BatchNoise {
        BatchNoise::new(parameters, variance, batch, MANY).unwrap()
    }

    fn near(got: f64, wanted: f64, within: f64) {
        assert!((got - wanted).abs() <= within, "{got} {wanted}");
    }

    #[test]
    fn outliers_are_pushed_outward_by_t_square_over_lambda_and_the_others_are_the_edge() {
        // P σ² / b = 1
        let noise = noise(1000, 0.1, 100);
        near(noise.radius(), 1.0, 1e-12);
        for (lambda, wanted) in [(3.0, 10.0 / 3.0), (2.0, 2.5), (1.0, 2.0), (0.5, 2.0), (0.0, 2.0), (-3.0, 2.0)] {
            near(noise.largest(lambda), wanted, 1e-10);
            near(noise.least(-lambda), -wanted, 1e-10);
        }
        near(noise.overlap(2.0), 0.75, 1e-10);
        near(noise.overlap(-2.0), 0.75, 1e-10);
        assert_eq!(noise.overlap(0.5), 0.0);
    }

    #[test]
    fn batches_of_a_finite_set_are_less_noisy_and_the_whole_set_not_at_all() {
        for (batch, wanted) in [(6, 2.675), (12, 2.300), (30, 2.075), (50, 2.015)] {
            near(BatchNoise::new(400, 9.0 / 400.0, batch, 60).unwrap().largest(2.0), wanted, 5e-4);
        }
        let whole = BatchNoise::new(400, 9.0 / 400.0, 60, 60).unwrap();
        assert_eq!((whole.radius(), whole.largest(2.0), whole.least(-2.0)), (0.0, 2.0, -2.0));
        assert_eq!((whole.effective_batch(), whole.max_rate(2.0)), (f64::INFINITY, 1.0));
        for model in [GaussNewtonNoise::Added, GaussNewtonNoise::SampleCovariance] {
            assert_eq!(whole.gauss_newton(2.0, model), 2.0);
        }
        near(BatchNoise::new(1, 1.0, 30, 60).unwrap().effective_batch(), 60.0, 1e-12);
    }

    #[test]
    fn gauss_newton_outliers_follow_both_closed_forms() {
        for (batch, lambda, added, covariance) in
            [(400, 4.0, 14.0 / 3.0, 5.625), (1600, 2.0, 18.0 / 7.0, 2.8125), (400, 1.0, 2.914_213_562, 3.0)]
        {
            let noise = noise(800, 0.5, batch);
            near(noise.gauss_newton(lambda, GaussNewtonNoise::Added), added, 1e-8);
            near(noise.gauss_newton(lambda, GaussNewtonNoise::SampleCovariance), covariance, 1e-8);
        }
        near(noise(800, 0.5, 400).gauss_newton(0.0, GaussNewtonNoise::SampleCovariance), 2.914_213_562, 1e-8);
    }

    #[test]
    fn rates_and_dampings_go_with_the_batch_as_the_map_says() {
        // Below the threshold with √B, far above it not at all.
        near(noise(1000, 0.1, 4).max_rate(0.1) / noise(1000, 0.1, 1).max_rate(0.1), 2.0, 1e-9);
        near(noise(1000, 0.1, 1 << 30).max_rate(3.0), 2.0 / 3.0, 1e-6);
        near(noise(1000, 0.1, 100).max_rate(2.0), 0.8, 1e-9);
        near(noise(1000, 0.1, 100).adam_rate_scale(2.0), 0.4_f64.sqrt(), 1e-9);
        near(noise(1000, 0.1, 100).critical_batch(2.0), 25.0, 1e-12);
        // t²/(2λ) with the rate and 1/B, where λ is an outlier.
        let damping = noise(1000, 0.1, 100).min_damping(0.5, 2.0);
        near(damping, 0.125, 1e-10);
        near(noise(1000, 0.1, 200).min_damping(1.0, 2.0), damping, 1e-10);
        near(scaled_damping(damping, (0.5, 100), (1.0, 400)).unwrap(), damping / 2.0, 1e-15);
        near(scaled_rate(BatchLaw::SquareRoot, 4e-4, 128, 256).unwrap(), 4e-4 * 2f64.sqrt(), 1e-18);
        assert_eq!(scaled_rate(BatchLaw::Linear, 0.1, 128, 512).unwrap(), 0.4);
        assert_eq!(scaled_rate(BatchLaw::None, 0.1, 128, 512).unwrap(), 0.1);
        assert_eq!(max_rate_linear(0.1, 128, 256, 4.0).unwrap(), 0.2);
        assert_eq!(max_rate_linear(0.1, 128, 4096, 4.0).unwrap(), 0.5);
        assert_eq!(max_rate_linear(0.1, 1, 2, -1.0).unwrap(), 0.2);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for (parameters, variance, batch, samples) in
            [(0, 1.0, 1, 1), (1, 1.0, 0, 1), (1, 1.0, 2, 1), (1, -1.0, 1, 1), (1, f64::NAN, 1, 1)]
        {
            assert!(BatchNoise::new(parameters, variance, batch, samples).is_err());
        }
        assert!(scaled_rate(BatchLaw::Linear, 0.1, 0, 1).is_err());
        assert!(scaled_damping(1.0, (0.0, 1), (1.0, 1)).is_err() && scaled_damping(1.0, (1.0, 1), (1.0, 0)).is_err());
        assert_eq!(noise(10, 0.0, 1).max_rate(0.0), f64::INFINITY);
    }

    #[test]
    fn matrices_that_differ_by_a_factor_alone_have_its_variance_times_the_square_of_the_product() {
        let matrix = |direction: &[f64]| -> Vec<f64> {
            direction.iter().enumerate().map(|(n, value)| (n as f64 - 1.5) * value).collect()
        };
        let factors = [1.0, 2.0, 4.0, 9.0];
        let mut seen = vec![];
        let found = CurvatureNoise::estimate(5, 3, 2, 7, &mut |direction, visit| {
            seen.push(square(&matrix(direction)));
            factors.iter().for_each(|f| visit(&matrix(direction).iter().map(|h| f * h).collect::<Vec<_>>()));
            Ok(())
        })
        .unwrap();
        // The sample variance of the factors is 38/3.
        let wanted: Vec<f64> = seen.iter().map(|square| 3.0 * 38.0 / 3.0 * square).collect();
        near(found.scale, (wanted[0] + wanted[1]) / 2.0, 1e-9);
        near(found.standard_error, (wanted[0] - wanted[1]).abs() / 2.0, 1e-9);
    }

    #[test]
    fn fewer_than_two_batches_and_no_directions_are_refused() {
        let mut one = |direction: &[f64], visit: &mut Visit<'_>| {
            visit(direction);
            Ok(())
        };
        assert!(CurvatureNoise::estimate(3, 1, 1, 0, &mut one).is_err());
        assert!(CurvatureNoise::estimate(3, 1, 0, 0, &mut one).is_err());
        assert!(CurvatureNoise::estimate(0, 1, 1, 0, &mut one).is_err());
    }
}
