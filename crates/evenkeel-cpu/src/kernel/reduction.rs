//! What combines the elements of a tile into the sums of its rows or columns.

use super::arithmetic::Arithmetic;
use super::instruction_set::InstructionSet;
use super::real::Real;
use crate::loops::Tile;
use evenkeel_graph::op::{Binary, Reduction};

/// Combines a tile into results, whose strides along rows and columns are given (0 where they vanish).
///
/// # Safety
/// The processor has the instruction set, and the tile's elements are readable.
pub(crate) type Reduce<T> = unsafe fn(Reduction, [usize; 2], Tile, *const T, &mut [f64]);

/// Results held side by side, so that operations do not wait for each other.
const LANES: usize = 128;

/// The function for the best instruction set of this machine.
pub(crate) fn compiled<T: Real>() -> Reduce<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        unsafe fn avx512<T: Real>(kind: Reduction, s: [usize; 2], tile: Tile, from: *const T, into: &mut [f64]) {
            // SAFETY: the caller's promise.
            unsafe { reduce::<T::Avx512>(kind, s, tile, from, into) }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<T: Real>(kind: Reduction, s: [usize; 2], tile: Tile, from: *const T, into: &mut [f64]) {
            // SAFETY: the caller's promise.
            unsafe { reduce::<T::Avx2>(kind, s, tile, from, into) }
        }
        match InstructionSet::detect() {
            InstructionSet::Avx512 => return avx512::<T>,
            InstructionSet::Avx2 => return avx2::<T>,
            InstructionSet::Portable => {}
        }
    }
    reduce::<T::Portable>
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

/// A way to combine elements, known when a loop is compiled.
trait Combine {
    /// What changes nothing.
    fn start<T: Real>() -> T;
    /// Two elements combined.
    fn of<T: Real>(a: T, b: T) -> T;
}

struct Sum;

impl Combine for Sum {
    #[inline(always)]
    fn start<T: Real>() -> T {
        T::ZERO
    }

    #[inline(always)]
    fn of<T: Real>(a: T, b: T) -> T {
        a + b
    }
}

struct Maximum;

impl Combine for Maximum {
    #[inline(always)]
    fn start<T: Real>() -> T {
        T::LOWEST
    }

    /// NaN if either is: once there, nothing is larger.
    #[inline(always)]
    fn of<T: Real>(a: T, b: T) -> T {
        if b > a || b.is_nan() { b } else { a }
    }
}

/// Rows of as many elements are added up in vectors.
const ROW: usize = 16;
/// The same in more vectors, so that additions do not wait for each other.
const LONG_ROW: usize = 64;

#[inline(always)]
unsafe fn reduce<L: Arithmetic>(
    kind: Reduction,
    strides: [usize; 2],
    tile: Tile,
    from: *const L::Scalar,
    into: &mut [f64],
) where
    L::Scalar: Real,
{
    let columns = tile.columns;
    // SAFETY: the tile's elements are readable.
    let elements = unsafe { std::slice::from_raw_parts(from, tile.rows * columns) };
    match (kind, strides) {
        // SAFETY: the processor has the instructions.
        (Reduction::Sum, [stride, 0]) if columns >= LONG_ROW => unsafe {
            sum_rows::<L, LONG_ROW>(elements, columns, stride, into);
        },
        // SAFETY: as above.
        (Reduction::Sum, [stride, 0]) if columns >= ROW => unsafe {
            sum_rows::<L, ROW>(elements, columns, stride, into);
        },
        (Reduction::Sum, _) => combine::<L::Scalar, Sum>(strides, columns, elements, into),
        (Reduction::Maximum, _) => combine::<L::Scalar, Maximum>(strides, columns, elements, into),
    }
}

/// Adds up rows of at least `WIDTH` elements: in so many lanes and those in halves, which is the same sum on every instruction set.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn sum_rows<L: Arithmetic, const WIDTH: usize>(
    elements: &[L::Scalar],
    columns: usize,
    stride: usize,
    into: &mut [f64],
) where
    L::Scalar: Real,
{
    for (row, line) in elements.chunks_exact(columns).enumerate() {
        // As many as the narrowest vectors need.
        // SAFETY: the processor has the instructions.
        let mut lanes = [unsafe { L::zero() }; LONG_ROW / 4];
        let mut vectors = WIDTH / L::N;
        let mut whole = line.chunks_exact(WIDTH);
        for part in &mut whole {
            for (vector, lanes) in lanes[..vectors].iter_mut().enumerate() {
                // SAFETY: within the part.
                *lanes = unsafe { lanes.add(L::load(part.as_ptr().add(vector * L::N))) };
            }
        }
        while vectors > 1 {
            vectors /= 2;
            for vector in 0..vectors {
                // SAFETY: the processor has the instructions.
                lanes[vector] = unsafe { lanes[vector].add(lanes[vector + vectors]) };
            }
        }
        // SAFETY: as above.
        let total = unsafe { lanes[0].total() }.f64();
        into[row * stride] += whole.remainder().iter().fold(total, |total, x| total + x.f64());
    }
}

/// Combines rows of `columns` elements.
#[inline(always)]
fn combine<T: Real, C: Combine>(strides: [usize; 2], columns: usize, elements: &[T], into: &mut [f64]) {
    let [row_stride, column_stride] = strides;
    if columns == 0 {
        return;
    }
    if column_stride == 0 {
        for (row, line) in elements.chunks_exact(columns).enumerate() {
            let place = &mut into[row * row_stride];
            *place = C::of(*place, row_of::<T, C>(line));
        }
    } else if row_stride == 0 {
        combine_columns::<T, C>(elements, columns, column_stride, into);
    } else {
        for (row, line) in elements.chunks_exact(columns).enumerate() {
            for (column, x) in line.iter().enumerate() {
                let place = &mut into[row * row_stride + column * column_stride];
                *place = C::of(*place, x.f64());
            }
        }
    }
}

/// Combines other elements into lanes of the same number.
#[inline(always)]
fn put<T: Real, C: Combine>(lanes: &mut [T], part: &[T]) {
    for (lane, &x) in lanes.iter_mut().zip(part) {
        *lane = C::of(*lane, x);
    }
}

/// A row combined in f64.
#[inline(always)]
fn row_of<T: Real, C: Combine>(line: &[T]) -> f64 {
    line.iter().fold(C::start(), |total, x| C::of(total, x.f64()))
}

/// Combines the rows of a tile: a tile in its own type, tiles in f64.
#[inline(always)]
fn combine_columns<T: Real, C: Combine>(elements: &[T], columns: usize, stride: usize, into: &mut [f64]) {
    // Results side by side are added to in vectors.
    let mut add = |first: usize, lanes: &[T]| match stride {
        1 => into[first..].iter_mut().zip(lanes).for_each(|(place, x)| *place = C::of(*place, x.f64())),
        _ => lanes.iter().enumerate().for_each(|(column, x)| {
            let place = &mut into[(first + column) * stride];
            *place = C::of(*place, x.f64());
        }),
    };
    let mut lanes = [C::start::<T>(); LANES];
    if columns > LANES {
        for start in (0..columns).step_by(LANES) {
            let width = LANES.min(columns - start);
            lanes.fill(C::start());
            for line in elements.chunks_exact(columns) {
                put::<T, C>(&mut lanes, &line[start..start + width]);
            }
            add(start, &lanes[..width]);
        }
        return;
    }
    // Several rows side by side fill the lanes.
    let width = LANES / columns * columns;
    let mut whole = elements.chunks_exact(width);
    if width == LANES {
        for part in &mut whole {
            put::<T, C>(&mut lanes, part);
        }
    } else {
        for part in &mut whole {
            put::<T, C>(&mut lanes[..width], part);
        }
    }
    for line in whole.remainder().chunks_exact(columns) {
        put::<T, C>(&mut lanes, line);
    }
    let (first, others) = lanes[..width].split_at_mut(columns);
    for line in others.chunks_exact(columns) {
        put::<T, C>(first, line);
    }
    add(0, first);
}

#[cfg(test)]
mod tests {
    use super::super::arithmetic::Vectors;
    use super::*;
    use evenkeel_graph::random::Key;

    /// Rows (or columns) of a tile combined by the best instructions and by the portable code.
    fn both(kind: Reduction, values: &[f32], columns: usize, over_rows: bool) -> [Vec<f64>; 2] {
        let rows = values.len() / columns;
        let tile = Tile { outer: 0, row: 0, column: 0, rows, columns };
        let (strides, results) = if over_rows { ([0, 1], columns) } else { ([1, 0], rows) };
        [compiled::<f32>(), reduce::<<f32 as Vectors>::Portable>].map(|reduce: Reduce<f32>| {
            let mut into = vec![identity(kind); results];
            // SAFETY: the tile is all of the values; the instructions were found on this machine.
            unsafe { reduce(kind, strides, tile, values.as_ptr(), &mut into) };
            into
        })
    }

    fn drawn(count: usize) -> Vec<f32> {
        let mut random = Key::new(7, "test", 0).random();
        (0..count).map(|_| random.normal_f64() as f32).collect()
    }

    #[test]
    fn every_instruction_set_combines_rows_and_columns_of_any_length_to_the_same_bits() {
        for columns in (1..70).chain([127, 128, 129, 200, 512]) {
            for over_rows in [false, true] {
                let values = drawn(9 * columns);
                let [best, portable] = both(Reduction::Sum, &values, columns, over_rows);
                assert_eq!(best, portable, "{columns} columns");
                let [largest, portable] = both(Reduction::Maximum, &values, columns, over_rows);
                assert_eq!(largest, portable, "{columns} columns");
                for (number, (sum, largest)) in best.iter().zip(&largest).enumerate() {
                    let place = |at: usize| if over_rows { at % columns } else { at / columns };
                    let own =
                        values.iter().enumerate().filter(|(at, _)| place(*at) == number).map(|(_, x)| f64::from(*x));
                    let size: f64 = own.clone().map(f64::abs).sum();
                    assert!((sum - own.clone().sum::<f64>()).abs() <= 1e-6 * size, "{columns} columns");
                    assert_eq!(*largest, own.fold(f64::NEG_INFINITY, f64::max), "{columns} columns");
                }
            }
        }
    }

    #[test]
    fn a_nan_anywhere_is_the_largest() {
        for at in [0, 1, 130, 255] {
            let mut values = drawn(256);
            values[at] = f32::NAN;
            for found in both(Reduction::Maximum, &values, 16, true) {
                let nan: Vec<usize> = (0..16).filter(|column| found[*column].is_nan()).collect();
                assert_eq!(nan, [at % 16]);
            }
            for found in both(Reduction::Maximum, &values, 16, false) {
                assert!(found[at / 16].is_nan() && found.iter().filter(|largest| largest.is_nan()).count() == 1);
            }
        }
    }
}
