//! Whole matrices, for networks that are small enough to have one.

use super::{Curvature, Product};
use crate::{Error, ErrorKind, Result};

/// Directions of a block: enough to fill the kernels' tiles.
const BLOCK: usize = 64;

impl Curvature<'_> {
    /// The whole matrix `[P, P]` for P parameters, row after row, made of its products with the unit vectors.
    ///
    /// The matrix is symmetric; what is returned is so up to rounding. Cost: P products, and 8 P² bytes.
    ///
    /// # Errors
    /// When a product fails, or the matrix does not fit into memory.
    pub fn dense(&mut self, matrix: Product) -> Result<Vec<f64>> {
        let size = self.new_vector(None).iter().map(|tensor| tensor.shape().elements()).sum::<usize>();
        let mut rows: Vec<f64> = Vec::new();
        let elements = size.checked_mul(size).filter(|&elements| rows.try_reserve_exact(elements).is_ok());
        if elements.is_none() {
            return Err(Error::new(ErrorKind::Memory, "there is no memory for a whole matrix")
                .detail("parameters", size)
                .hint("ask for its largest eigenvalues, which needs products alone"));
        }
        for start in (0..size).step_by(BLOCK) {
            let count = BLOCK.min(size - start);
            let mut units = vec![0.0; BLOCK * size];
            (0..count).for_each(|row| units[row * size + start + row] = 1.0);
            // Always as many directions, so that one program does for all.
            let directions: Vec<&[f64]> = units.chunks_exact(size).collect();
            self.products(matrix, &directions)?.iter().take(count).for_each(|row| rows.extend(row));
        }
        Ok(rows)
    }

    /// All eigenvalues, the largest first. Cost: [`Curvature::dense`], and of the order of P³ operations.
    ///
    /// # Errors
    /// As for [`Curvature::dense`], and [`ErrorKind::Numerical`] when the matrix is not finite.
    pub fn all_eigenvalues(&mut self, matrix: Product) -> Result<Vec<f64>> {
        let rows = self.dense(matrix)?;
        if rows.iter().any(|element| !element.is_finite()) {
            return Err(Error::numerical("the matrix has numbers that are not finite"));
        }
        let size = rows.len().isqrt();
        let square = faer::MatRef::from_row_major_slice(&rows, size, size);
        let mut eigenvalues = square
            .self_adjoint_eigenvalues(faer::Side::Lower)
            .map_err(|error| Error::numerical(format!("the eigenproblem has no solution: {error:?}")))?;
        eigenvalues.reverse();
        Ok(eigenvalues)
    }
}
