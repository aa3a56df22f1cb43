//! Products that memory bounds: with so few rows, columns or terms that each element of an operand or of the result is used a
//! few times at most. They go to the `gemm` crate, which reads them in whatever order they lie.

use super::super::conv::Real;
use super::super::conv::work::{Shared, each, even};
use super::MatMul;
use gemm::Parallelism;

/// Rows or columns up to which tiles are mostly empty.
const FEW: usize = 4;
/// Terms up to which a tile is filled in vain.
const SHORT: usize = 2;
/// Multiply-adds a part should hold at least, and most parts of one batch.
const PART: usize = 200_000;
const PARTS: usize = 32;

/// Whether a product is one of these.
pub(super) fn preferred(product: &MatMul) -> bool {
    product.m <= FEW || product.n <= FEW || product.k <= SHORT
}

/// Multiplies; the layouts were checked against their slices.
pub(super) fn run<T: Real>(product: &MatMul, lhs: &[T], rhs: &[T], result: &mut [T]) {
    let &MatMul { m, k, n, .. } = product;
    let count = product.count();
    let parts = (m * k.max(1) * n / PART).clamp(1, (PARTS / count).max(1)).min(m.max(n));
    let target = Shared::new(result);
    let one = |task: usize| {
        let (number, part) = (task / parts, task % parts);
        let (mut rows, mut columns) = (0..m, 0..n);
        match m >= n {
            true => rows = even(m, parts, part),
            false => columns = even(n, parts, part),
        }
        let start = |layout: &super::Layout| layout.at(&product.batch, number);
        let at = start(&product.result) + rows.start * product.result.row + columns.start * product.result.column;
        // SAFETY: the layouts lie inside their slices, and parts of a result share no element.
        unsafe {
            gemm::gemm(
                rows.len(),
                columns.len(),
                k,
                target.at(at),
                product.result.column as isize,
                product.result.row as isize,
                false,
                lhs.as_ptr().wrapping_add(start(&product.lhs) + rows.start * product.lhs.row),
                product.lhs.column as isize,
                product.lhs.row as isize,
                rhs.as_ptr().wrapping_add(start(&product.rhs) + columns.start * product.rhs.column),
                product.rhs.column as isize,
                product.rhs.row as isize,
                T::default(),
                T::ONE,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    };
    let tasks = count * parts;
    // Small products are taken several at a time.
    let groups = tasks.min(PARTS);
    each(count * m * k * n, groups, |group| even(tasks, groups, group).for_each(one));
}
