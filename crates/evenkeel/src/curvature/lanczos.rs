//! The largest eigenvalues of a symmetric operator known by its products alone.
//!
//! Lanczos with full reorthogonalisation: every new vector is made orthogonal to all kept ones, twice, in f64. The small
//! projected matrix is filled with the inner products that this needs anyway, so that a restart (when the basis has grown
//! to its limit) only has to keep the wanted Ritz vectors: thick-restart Lanczos (Wu, Simon 2000).

use crate::{Error, Result};
use evenkeel_graph::random::Key;
use rayon::prelude::*;

/// A symmetric matrix, known by its products.
pub trait SymmetricOperator {
    /// The length of vectors.
    fn dimension(&self) -> usize;

    /// The product with a vector.
    ///
    /// # Errors
    /// Whatever keeps the product from being computed.
    fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>>;
}

/// What to find and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct LanczosOptions {
    /// How many of the largest eigenvalues.
    pub top: usize,
    /// An eigenvalue counts as found when ‖A v − λ v‖ ≤ tolerance · |λ|.
    pub tolerance: f64,
    /// Products at most.
    pub max_iterations: usize,
    /// Draws the first vector.
    pub seed: u64,
    /// Bytes the basis may take; beyond it Lanczos restarts.
    pub basis_bytes: usize,
}

impl Default for LanczosOptions {
    fn default() -> Self {
        LanczosOptions { top: 1, tolerance: 1e-3, max_iterations: 100, seed: 0, basis_bytes: 2 << 30 }
    }
}

/// An eigenvalue with what is known about its error.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigenpair {
    /// The eigenvalue λ.
    pub value: f64,
    /// ‖A v − λ v‖ / |λ| for the unit Ritz vector v.
    pub residual: f64,
    /// Whether the residual met the tolerance.
    pub converged: bool,
    /// The Ritz vector v.
    pub vector: Vec<f64>,
}

/// What Lanczos found.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// The largest eigenvalues, the largest first.
    pub eigenpairs: Vec<Eigenpair>,
    /// Products taken.
    pub products: usize,
}

/// Finds the algebraically largest eigenvalues of `operator`.
///
/// Deterministic: the same operator and options give the same bits on any number of threads. An operator with fewer
/// dimensions than `top` gives all its eigenvalues.
///
/// # Errors
/// When a product fails or is not finite.
pub fn largest_eigenvalues(operator: &mut impl SymmetricOperator, options: &LanczosOptions) -> Result<Spectrum> {
    let dimension = operator.dimension();
    let wanted = options.top.min(dimension);
    if wanted == 0 {
        return Ok(Spectrum { eigenpairs: Vec::new(), products: 0 });
    }
    let room = options.basis_bytes / (8 * dimension.max(1));
    let limit = room.max(2 * wanted + 10).min(dimension);
    let mut random = Key::new(options.seed, "lanczos", 0).random();
    let mut fresh = |basis: &[Vec<f64>]| loop {
        let mut vector: Vec<f64> = (0..dimension).map(|_| random.normal_f64()).collect();
        let before = norm(&vector);
        orthogonalize(&mut vector, basis);
        let after = norm(&vector);
        if after > 1e-6 * before {
            scale(&mut vector, 1.0 / after);
            return vector;
        }
    };
    let mut basis: Vec<Vec<f64>> = vec![fresh(&[])];
    let mut projected: Vec<Vec<f64>> = Vec::new();
    let mut products = 0;
    loop {
        let mut next = finite_product(operator, &basis[basis.len() - 1])?;
        products += 1;
        let length = norm(&next);
        projected.push(orthogonalize(&mut next, &basis));
        let beta = norm(&next);
        let (values, vectors) = eigen(&projected)?;
        let size = values.len();
        let invariant = beta <= 1e-12 * length.max(f64::MIN_POSITIVE) || size == dimension;
        let residual = |index: usize| {
            let error = if invariant && size == dimension { 0.0 } else { beta * vectors[index][size - 1].abs() };
            if error == 0.0 { 0.0 } else { error / values[index].abs().max(f64::MIN_POSITIVE) }
        };
        let done = size >= wanted && (0..wanted).all(|index| residual(index) <= options.tolerance);
        // A first vector without a part along the top would converge to something smaller: look beyond an invariant space.
        if size == dimension || products >= options.max_iterations.max(wanted) || (done && !invariant) {
            let found = wanted.min(size);
            let eigenpairs = (0..found)
                .map(|index| Eigenpair {
                    value: values[index],
                    residual: residual(index),
                    converged: residual(index) <= options.tolerance,
                    vector: combine(&basis, &vectors[index]),
                })
                .collect();
            return Ok(Spectrum { eigenpairs, products });
        }
        if invariant {
            next = fresh(&basis);
        } else {
            scale(&mut next, 1.0 / beta);
        }
        if size >= limit {
            let kept = (wanted + 5).min(size - 1);
            let ritz: Vec<Vec<f64>> = vectors[..kept].par_iter().map(|vector| combine(&basis, vector)).collect();
            basis = ritz;
            projected = (0..kept)
                .map(|row| (0..=row).map(|column| if row == column { values[row] } else { 0.0 }).collect())
                .collect();
            // Rounding in the combinations must not grow from restart to restart.
            orthogonalize(&mut next, &basis);
            let length = norm(&next);
            scale(&mut next, 1.0 / length);
        }
        basis.push(next);
    }
}

/// A product that is finite.
pub(super) fn finite_product(operator: &mut impl SymmetricOperator, vector: &[f64]) -> Result<Vec<f64>> {
    let product = operator.apply(vector)?;
    match product.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::numerical("a Hessian product is not finite")
            .detail("got", value)
            .hint("the loss overflows at this point: try another checkpoint or f64")),
        None => Ok(product),
    }
}

/// Removes from `vector` its parts along an orthonormal basis, twice; returns those parts (inner products).
pub(super) fn orthogonalize(vector: &mut [f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut parts = vec![0.0; basis.len()];
    for _ in 0..2 {
        let found: Vec<f64> = basis.par_iter().map(|direction| dot(vector, direction)).collect();
        subtract(vector, basis, &found);
        parts.iter_mut().zip(&found).for_each(|(part, found)| *part += found);
    }
    parts
}

/// Elements handled by one thread at once.
const PIECE: usize = 1 << 14;

fn subtract(vector: &mut [f64], basis: &[Vec<f64>], parts: &[f64]) {
    vector.par_chunks_mut(PIECE).enumerate().for_each(|(piece, vector)| {
        for (direction, part) in basis.iter().zip(parts) {
            let direction = &direction[piece * PIECE..][..vector.len()];
            vector.iter_mut().zip(direction).for_each(|(value, direction)| *value -= part * direction);
        }
    });
}

/// Σ weight · vector
fn combine(basis: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut result = vec![0.0; basis.first().map_or(0, Vec::len)];
    let negated: Vec<f64> = weights.iter().map(|weight| -weight).collect();
    subtract(&mut result, basis, &negated);
    result
}

/// Inner product in a fixed order: eight running sums, then their sum.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

pub(super) fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

pub(super) fn scale(vector: &mut [f64], factor: f64) {
    vector.iter_mut().for_each(|value| *value *= factor);
}

/// Eigenvalues, the largest first, and eigenvectors of the symmetric matrix whose lower rows are given.
pub(super) fn eigen(lower: &[Vec<f64>]) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let size = lower.len();
    let matrix = faer::Mat::from_fn(size, size, |row, column| lower[row.max(column)][row.min(column)]);
    let decomposition = matrix
        .self_adjoint_eigen(faer::Side::Lower)
        .map_err(|error| Error::numerical(format!("the projected eigenproblem has no solution: {error:?}")))?;
    let (values, vectors) = (decomposition.S(), decomposition.U());
    let order = (0..size).rev();
    Ok((
        order.clone().map(|index| values.column_vector()[index]).collect(),
        order.map(|index| (0..size).map(|row| vectors[(row, index)]).collect()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A symmetric matrix with a chosen spectrum: Q diag(values) Qᵀ with Q a product of reflections.
    struct Dense {
        rows: Vec<Vec<f64>>,
    }

    impl Dense {
        fn with_spectrum(values: &[f64], seed: u64) -> Dense {
            let n = values.len();
            let mut rows: Vec<Vec<f64>> =
                (0..n).map(|i| (0..n).map(|j| if i == j { values[i] } else { 0.0 }).collect()).collect();
            for round in 0..3 {
                let mut random = Key::new(seed, "reflection", round).random();
                let mut u: Vec<f64> = (0..n).map(|_| random.normal_f64()).collect();
                let length = norm(&u);
                scale(&mut u, 1.0 / length);
                let au: Vec<f64> = rows.iter().map(|row| dot(row, &u)).collect();
                let uau = dot(&u, &au);
                for i in 0..n {
                    for j in 0..n {
                        rows[i][j] += -2.0 * u[i] * au[j] - 2.0 * au[i] * u[j] + 4.0 * uau * u[i] * u[j];
                    }
                }
            }
            Dense { rows }
        }
    }

    impl SymmetricOperator for Dense {
        fn dimension(&self) -> usize {
            self.rows.len()
        }
        fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>> {
            Ok(self.rows.iter().map(|row| dot(row, vector)).collect())
        }
    }

    fn options(top: usize) -> LanczosOptions {
        LanczosOptions { top, tolerance: 1e-9, max_iterations: 400, ..LanczosOptions::default() }
    }

    fn check(operator: &mut Dense, found: &Spectrum, expected: &[f64]) {
        assert_eq!(found.eigenpairs.len(), expected.len());
        for (pair, expected) in found.eigenpairs.iter().zip(expected) {
            assert!(pair.converged, "{} not converged: {}", pair.value, pair.residual);
            assert!((pair.value - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{} {expected}", pair.value);
            let product = operator.apply(&pair.vector).unwrap();
            let off: Vec<f64> = product.iter().zip(&pair.vector).map(|(av, v)| av - pair.value * v).collect();
            assert!(norm(&off) <= 2e-9 * expected.abs().max(1.0), "true residual {}", norm(&off));
        }
    }

    #[test]
    fn the_top_of_a_known_spectrum_is_found_with_honest_residuals() {
        let values: Vec<f64> =
            (0..120).map(|n| if n < 5 { 50.0 - 7.0 * n as f64 } else { (n as f64 * 0.37).sin() }).collect();
        let mut operator = Dense::with_spectrum(&values, 1);
        let found = largest_eigenvalues(&mut operator, &options(5)).unwrap();
        check(&mut operator, &found, &[50.0, 43.0, 36.0, 29.0, 22.0]);
    }

    #[test]
    fn a_basis_that_may_not_grow_restarts_and_finds_the_same() {
        let values: Vec<f64> = (0..200).map(|n| 10.0 / (1.0 + n as f64)).collect();
        let mut operator = Dense::with_spectrum(&values, 2);
        let tight = LanczosOptions { basis_bytes: 16 * 200 * 8, ..options(3) };
        let found = largest_eigenvalues(&mut operator, &tight).unwrap();
        check(&mut operator, &found, &[10.0, 5.0, 10.0 / 3.0]);
    }

    #[test]
    fn repeated_eigenvalues_and_a_zero_matrix_are_found_whole() {
        let mut operator = Dense::with_spectrum(&[4.0, 4.0, 4.0, 1.0, 1.0, -3.0], 3);
        let found = largest_eigenvalues(&mut operator, &options(4)).unwrap();
        check(&mut operator, &found, &[4.0, 4.0, 4.0, 1.0]);
        let mut zero = Dense { rows: vec![vec![0.0; 4]; 4] };
        let found = largest_eigenvalues(&mut zero, &options(2)).unwrap();
        assert!(found.eigenpairs.iter().all(|pair| pair.value == 0.0 && pair.converged));
    }

    #[test]
    fn negative_definite_operators_give_their_least_negative_eigenvalue() {
        let mut operator = Dense::with_spectrum(&[-1.0, -2.0, -3.0, -10.0, -20.0], 4);
        let found = largest_eigenvalues(&mut operator, &options(1)).unwrap();
        check(&mut operator, &found, &[-1.0]);
    }

    #[test]
    fn more_eigenvalues_than_dimensions_gives_all_of_them() {
        let mut operator = Dense::with_spectrum(&[3.0, 2.0], 5);
        let found = largest_eigenvalues(&mut operator, &options(10)).unwrap();
        check(&mut operator, &found, &[3.0, 2.0]);
    }
}
