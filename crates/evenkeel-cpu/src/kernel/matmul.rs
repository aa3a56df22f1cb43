//! Matrix products: fixed blocks of the result, or of the inner axis when the result is small, each given to `gemm`.

use super::fused::Memory;
use super::real::Real;
use gemm::Parallelism;
use rayon::prelude::*;

/// A batch of products `[m, k] · [k, n]`, either side stored transposed.
#[derive(Clone, Debug)]
pub(crate) struct MatMul {
    pub(crate) batch: usize,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) transpose_lhs: bool,
    pub(crate) transpose_rhs: bool,
}

/// Floating-point operations a block should hold at least: less is not worth a second thread.
const BLOCK_FLOPS: usize = 2_000_000;
/// Blocks one product is cut into at most.
const MAXIMAL_BLOCKS: usize = 32;
/// A block of rows or columns is not cut below this: packing the other side must pay.
const MINIMAL_SIDE: usize = 32;
/// A piece of the inner axis is not cut below this.
const MINIMAL_INNER: usize = 512;

/// How one product is cut; depends on the shape alone, so that results do not depend on the number of threads.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Rows(usize),
    Columns(usize),
    /// Pieces of the inner axis are multiplied apart and added up in order.
    Inner(usize),
}

impl MatMul {
    fn cut(&self) -> Cut {
        let wanted = (2 * self.m * self.n * self.k / BLOCK_FLOPS).clamp(1, MAXIMAL_BLOCKS);
        let wanted = wanted.min((MAXIMAL_BLOCKS / self.batch.max(1)).max(1));
        let side = self.m.max(self.n);
        let by_side = wanted.min((side / MINIMAL_SIDE).max(1));
        if by_side * 2 < wanted && self.k >= 2 * MINIMAL_INNER {
            return Cut::Inner(wanted.min(self.k / MINIMAL_INNER));
        }
        if self.m >= self.n { Cut::Rows(by_side) } else { Cut::Columns(by_side) }
    }

    /// Elements of scratch that [`MatMul::run`] takes.
    pub(crate) fn scratch_elements(&self) -> usize {
        match self.cut() {
            Cut::Inner(pieces) if pieces > 1 => self.batch * pieces * self.m * self.n,
            _ => 0,
        }
    }

    /// Multiplies. `lhs`, `rhs` and `dst` hold dense batches; `scratch` holds `scratch_elements`.
    pub(crate) fn run<T: Real>(&self, lhs: &[T], rhs: &[T], dst: &mut [T], scratch: &mut [T]) {
        let (m, k, n) = (self.m, self.k, self.n);
        if m == 0 || n == 0 || self.batch == 0 {
            return;
        }
        if k == 0 {
            dst.fill(T::ZERO);
            return;
        }
        let cut = self.cut();
        let blocks = match cut {
            Cut::Rows(blocks) | Cut::Columns(blocks) | Cut::Inner(blocks) => blocks,
        };
        let inner = matches!(cut, Cut::Inner(pieces) if pieces > 1);
        let target = Memory(if inner { scratch.as_mut_ptr() } else { dst.as_mut_ptr() }.cast());
        let block = |task: usize| {
            let (batch, piece) = (task / blocks, task % blocks);
            let range = |extent: usize| (extent * piece / blocks, extent * (piece + 1) / blocks);
            let (mut rows, mut columns, mut depth) = ((0, m), (0, n), (0, k));
            match cut {
                Cut::Rows(_) => rows = range(m),
                Cut::Columns(_) => columns = range(n),
                Cut::Inner(_) => depth = range(k),
            }
            let product = if inner { task } else { batch };
            let (lhs_row, lhs_column) = if self.transpose_lhs { (1, m) } else { (k, 1) };
            let (rhs_row, rhs_column) = if self.transpose_rhs { (1, k) } else { (n, 1) };
            // SAFETY: the operands are dense batches of the extents above and every block lies inside; blocks of one
            // product write disjoint parts of it, pieces of the inner axis disjoint products in the scratch.
            unsafe {
                gemm::gemm(
                    rows.1 - rows.0,
                    columns.1 - columns.0,
                    depth.1 - depth.0,
                    target.pointer::<T>().add(product * m * n + rows.0 * n + columns.0),
                    1,
                    n as isize,
                    false,
                    lhs.as_ptr().add(batch * m * k + rows.0 * lhs_row + depth.0 * lhs_column),
                    lhs_column as isize,
                    lhs_row as isize,
                    rhs.as_ptr().add(batch * k * n + depth.0 * rhs_row + columns.0 * rhs_column),
                    rhs_column as isize,
                    rhs_row as isize,
                    T::ZERO,
                    T::ONE,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        };
        let tasks = self.batch * blocks;
        // Small batched products are taken several at a time.
        let group = (BLOCK_FLOPS / (2 * m * n * k / blocks).max(1)).clamp(1, tasks);
        if group >= tasks {
            (0..tasks).for_each(block);
        } else {
            (0..tasks.div_ceil(group))
                .into_par_iter()
                .for_each(|first| (first * group..((first + 1) * group).min(tasks)).for_each(block));
        }
        if inner {
            for (batch, sum) in dst.chunks_exact_mut(m * n).enumerate() {
                let mut pieces = scratch[batch * blocks * m * n..].chunks_exact(m * n).take(blocks);
                if let Some(first) = pieces.next() {
                    sum.copy_from_slice(first);
                }
                for piece in pieces {
                    for (sum, &part) in sum.iter_mut().zip(piece) {
                        *sum += part;
                    }
                }
            }
        }
    }
}
