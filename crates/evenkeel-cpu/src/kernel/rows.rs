//! Functions of whole rows: log-sum-exp and the position of the largest element.

use super::fused::Memory;
use super::real::Real;
use rayon::prelude::*;

/// Elements a chunk of rows should hold.
const CHUNK_ELEMENTS: usize = 16 * 1024;

/// ln Σ eˣ of each row of `[rows, columns]`, shifted by the row's maximum so that nothing overflows.
pub(crate) fn log_sum_exp<T: Real>(x: &[T], columns: usize, y: &mut [T]) {
    each_row(x, columns, y, |row| {
        let largest = row.iter().fold(T::LOWEST, |a, &b| if a > b || a.is_nan() { a } else { b });
        // An infinite or missing maximum is the answer itself.
        if !largest.f64().is_finite() {
            return largest;
        }
        let sum: f64 = row.iter().map(|&x| (x - largest).exp().f64()).sum();
        largest + T::of(libm::log(sum))
    });
}

/// The position of the first largest element of each row; a NaN counts as the largest.
pub(crate) fn argmax<T: Real>(x: &[T], columns: usize, y: &mut [i32]) {
    each_row(x, columns, y, |row| {
        let mut best = 0;
        for (position, value) in row.iter().enumerate() {
            if *value > row[best] || (value.is_nan() && !row[best].is_nan()) {
                best = position;
            }
        }
        best as i32
    });
}

fn each_row<T: Real, R: Send>(x: &[T], columns: usize, y: &mut [R], f: impl Fn(&[T]) -> R + Sync) {
    let rows = (CHUNK_ELEMENTS / columns.max(1)).max(1);
    let chunk = |(x, y): (&[T], &mut [R])| {
        for (row, result) in x.chunks_exact(columns).zip(y) {
            *result = f(row);
        }
    };
    if y.len() <= rows {
        chunk((x, y));
    } else {
        x.par_chunks(rows * columns).zip(y.par_chunks_mut(rows)).for_each(chunk);
    }
}

/// A slice over an operand's memory.
///
/// # Safety
/// `memory` must hold `count` readable elements of `T` that nobody writes while the slice lives.
pub(crate) unsafe fn slice<'a, T>(memory: Memory, count: usize) -> &'a [T] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(memory.0.cast::<T>(), count) }
}

/// A slice over a result's memory.
///
/// # Safety
/// `memory` must hold `count` elements of `T` that nobody else reads or writes while the slice lives.
pub(crate) unsafe fn slice_mut<'a, T>(memory: Memory, count: usize) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(memory.0.cast::<T>(), count) }
}
