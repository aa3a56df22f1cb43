//! What combines the elements of a tile into the sums of its rows or columns.

use super::instruction_set::InstructionSet;
use super::real::Real;
use crate::loops::Tile;
use evenkeel_graph::op::{Binary, Reduction};

/// Combines a tile into results, whose strides along rows and columns are given (0 where they vanish).
///
/// # Safety
/// The processor has the instruction set, and the tile's elements are readable.
pub(crate) type Reduce<T> = unsafe fn(Reduction, [usize; 2], Tile, *const T, &mut [f64]);

/// Sums held side by side, so that additions do not wait for each other.
const LANES: usize = 128;

/// The function for the best instruction set of this machine.
pub(crate) fn compiled<T: Real>() -> Reduce<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        unsafe fn avx512<T: Real>(kind: Reduction, s: [usize; 2], tile: Tile, from: *const T, into: &mut [f64]) {
            // SAFETY: the caller's promise.
            unsafe { reduce(kind, s, tile, from, into) }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<T: Real>(kind: Reduction, s: [usize; 2], tile: Tile, from: *const T, into: &mut [f64]) {
            // SAFETY: the caller's promise.
            unsafe { reduce(kind, s, tile, from, into) }
        }
        match InstructionSet::detect() {
            InstructionSet::Avx512 => return avx512::<T>,
            InstructionSet::Avx2 => return avx2::<T>,
            InstructionSet::Portable => {}
        }
    }
    reduce::<T>
}

/// What combining starts from.
pub(crate) fn identity(kind: Reduction) -> f64 {
    match kind {
        Reduction::Sum => 0.0,
        Reduction::Maximum => f64::NEG_INFINITY,
    }
}

/// Two results combined.
#[inline(always)]
pub(crate) fn join(kind: Reduction, a: f64, b: f64) -> f64 {
    match kind {
        Reduction::Sum => a + b,
        Reduction::Maximum => Binary::Maximum.evaluate(a, b),
    }
}

#[inline(always)]
unsafe fn reduce<T: Real>(kind: Reduction, strides: [usize; 2], tile: Tile, from: *const T, into: &mut [f64]) {
    let [row_stride, column_stride] = strides;
    // SAFETY: the tile's elements are readable.
    let elements = unsafe { std::slice::from_raw_parts(from, tile.rows * tile.columns) };
    let rows = || elements.chunks_exact(tile.columns.max(1)).take(tile.rows);
    if column_stride == 0 {
        for (row, line) in rows().enumerate() {
            let total = match kind {
                Reduction::Sum => sum_of(line),
                Reduction::Maximum => line.iter().fold(identity(kind), |total, x| join(kind, total, x.f64())),
            };
            let place = &mut into[row * row_stride];
            *place = join(kind, *place, total);
        }
    } else if row_stride == 0 && kind == Reduction::Sum {
        sum_columns(elements, tile.columns, column_stride, into);
    } else {
        for (row, line) in rows().enumerate() {
            for (column, x) in line.iter().enumerate() {
                let place = &mut into[row * row_stride + column * column_stride];
                *place = join(kind, *place, x.f64());
            }
        }
    }
}

/// The sum of a row: lanes in the row's own type, then exact ones.
#[inline(always)]
fn sum_of<T: Real>(line: &[T]) -> f64 {
    const LANES: usize = 32;
    let mut sums = [T::ZERO; LANES];
    let mut whole = line.chunks_exact(LANES);
    for part in &mut whole {
        for (sum, &x) in sums.iter_mut().zip(part) {
            *sum += x;
        }
    }
    let total = if line.len() >= LANES { sums.iter().map(|sum| sum.f64()).sum() } else { 0.0 };
    whole.remainder().iter().fold(total, |total, x| total + x.f64())
}

/// Adds the rows of a tile up: short sums in the tile's own type, tiles in f64.
#[inline(always)]
fn sum_columns<T: Real>(elements: &[T], columns: usize, stride: usize, into: &mut [f64]) {
    let mut add = |column: usize, sum: T| into[column * stride] += sum.f64();
    if columns == 0 {
        return;
    }
    if columns > LANES {
        for start in (0..columns).step_by(LANES) {
            let width = LANES.min(columns - start);
            let mut sums = [T::ZERO; LANES];
            for line in elements.chunks_exact(columns) {
                for (sum, &x) in sums.iter_mut().zip(&line[start..start + width]) {
                    *sum += x;
                }
            }
            sums[..width].iter().enumerate().for_each(|(column, &sum)| add(start + column, sum));
        }
        return;
    }
    // Several rows side by side fill the lanes.
    let width = LANES / columns * columns;
    let mut sums = [T::ZERO; LANES];
    let mut whole = elements.chunks_exact(width);
    if width == LANES {
        for part in &mut whole {
            for (sum, &x) in sums.iter_mut().zip(part) {
                *sum += x;
            }
        }
    } else {
        for part in &mut whole {
            for (sum, &x) in sums[..width].iter_mut().zip(part) {
                *sum += x;
            }
        }
    }
    for line in whole.remainder().chunks_exact(columns) {
        for (sum, &x) in sums.iter_mut().zip(line) {
            *sum += x;
        }
    }
    let (first, others) = sums[..width].split_at_mut(columns);
    for line in others.chunks_exact(columns) {
        for (sum, &x) in first.iter_mut().zip(line) {
            *sum += x;
        }
    }
    first.iter().enumerate().for_each(|(column, &sum)| add(column, sum));
}
