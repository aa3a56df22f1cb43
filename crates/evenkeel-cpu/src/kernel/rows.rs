//! Functions of whole rows: log-sum-exp and the position of the largest element.

use super::fused::Memory;
use super::instruction_set::dispatch;
use super::real::Real;
use rayon::prelude::*;

/// Elements a chunk of rows should hold.
const CHUNK_ELEMENTS: usize = 16 * 1024;

/// Elements handled at once. Element n of a row is added up in lane n modulo this, lanes at the end: the same order everywhere.
const LANES: usize = 16;

/// ln Σ eˣ of each row of `[rows, columns]`, shifted by the row's maximum so that nothing overflows.
pub(crate) fn log_sum_exp<T: Real>(x: &[T], columns: usize, y: &mut [T]) {
    each_chunk(x, columns, y, |x, y| {
        dispatch!(log_sum_exp_of_rows::<T>(x: &[T], columns: usize, y: &mut [T]));
    });
}

/// The position of the first largest element of each row; a NaN counts as the largest.
pub(crate) fn argmax<T: Real>(x: &[T], columns: usize, y: &mut [i32]) {
    each_chunk(x, columns, y, |x, y| {
        dispatch!(argmax_of_rows::<T>(x: &[T], columns: usize, y: &mut [i32]));
    });
}

/// Calls `f` with rows and their results.
fn each_chunk<T: Real, R: Send>(x: &[T], columns: usize, y: &mut [R], f: impl Fn(&[T], &mut [R]) + Sync) {
    let rows = (CHUNK_ELEMENTS / columns.max(1)).max(1);
    if y.len() <= rows || columns == 0 {
        f(x, y);
    } else {
        x.par_chunks(rows * columns).zip(y.par_chunks_mut(rows)).for_each(|(x, y)| f(x, y));
    }
}

/// # Safety
/// None is needed; `unsafe` is what `dispatch!` expects.
#[inline(always)]
unsafe fn log_sum_exp_of_rows<T: Real>(x: &[T], columns: usize, y: &mut [T]) {
    for (row, result) in y.iter_mut().enumerate() {
        let row = &x[row * columns..(row + 1) * columns];
        let largest = largest(row);
        // An infinite or missing maximum is the answer itself.
        if !largest.f64().is_finite() {
            *result = largest;
            continue;
        }
        let mut sums = [0.0; LANES];
        for start in (0..columns).step_by(LANES) {
            let mut line = line(row, start);
            for x in &mut line {
                *x = *x - largest;
            }
            let powers = T::exp(line);
            for lane in 0..LANES {
                sums[lane] += powers[lane].f64();
            }
        }
        let [log] = <f64 as Real>::log([sums.iter().sum()]);
        *result = largest + T::of(log);
    }
}

/// # Safety
/// None is needed; `unsafe` is what `dispatch!` expects.
#[inline(always)]
unsafe fn argmax_of_rows<T: Real>(x: &[T], columns: usize, y: &mut [i32]) {
    for (row, result) in y.iter_mut().enumerate() {
        let row = &x[row * columns..(row + 1) * columns];
        if columns < LANES {
            *result = argmax_of_few(row);
            continue;
        }
        let largest = largest(row);
        let found = |value: T| value == largest || value.is_nan();
        // Only the line that has it is looked at element by element.
        let has_it = |line: &[T]| line.iter().fold(false, |any, &value| any | found(value));
        let line = row.chunks(LANES).position(has_it).unwrap_or(0) * LANES;
        let place = row[line..].iter().position(|&value| found(value)).unwrap_or(0);
        *result = (line + place) as i32;
    }
}

/// The position of the first largest element, one by one: faster than lanes that are mostly empty.
#[inline(always)]
fn argmax_of_few<T: Real>(row: &[T]) -> i32 {
    let mut best = 0;
    for (position, value) in row.iter().enumerate() {
        if *value > row[best] || (value.is_nan() && !row[best].is_nan()) {
            best = position;
        }
    }
    best as i32
}

/// The largest element, NaN if there is one, −∞ of nothing.
#[inline(always)]
fn largest<T: Real>(row: &[T]) -> T {
    #[inline(always)]
    fn larger<T: Real>(a: T, b: T) -> T {
        if a > b || a.is_nan() { a } else { b }
    }
    let mut most = [T::LOWEST; LANES];
    for start in (0..row.len()).step_by(LANES) {
        let line = line(row, start);
        for lane in 0..LANES {
            most[lane] = larger(most[lane], line[lane]);
        }
    }
    most.into_iter().fold(T::LOWEST, larger)
}

/// `LANES` elements from `start`, filled up with −∞ behind the end.
#[inline(always)]
fn line<T: Real>(row: &[T], start: usize) -> [T; LANES] {
    let rest = &row[start..];
    match rest.first_chunk() {
        Some(whole) => *whole,
        None => {
            let mut line = [T::LOWEST; LANES];
            // No copy of slices, which would call for so few elements.
            for (lane, &element) in line.iter_mut().zip(rest) {
                *lane = element;
            }
            line
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Row lengths below, at and above whole lines.
    const COLUMNS: [usize; 9] = [1, 2, 10, 15, 16, 17, 100, 1000, 40_000];

    fn numbers(count: usize) -> Vec<f64> {
        (0..count).map(|i| ((i * 7919 + 13) % 1009) as f64 / 50.0 - 10.0).collect()
    }

    #[test]
    fn log_sum_exp_is_that_of_a_plain_sum() {
        for columns in COLUMNS {
            let x = numbers(3 * columns);
            let mut y = [0.0; 3];
            log_sum_exp(&x, columns, &mut y);
            for (row, y) in x.chunks(columns).zip(y) {
                let expected = row.iter().map(|x| x.exp()).sum::<f64>().ln();
                assert!((y - expected).abs() < 1e-13 * expected.abs().max(1.0), "{columns}: {y} {expected}");
            }
            let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
            let mut y = [0.0f32; 3];
            log_sum_exp(&x, columns, &mut y);
            for (row, y) in x.chunks(columns).zip(y) {
                let expected = row.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
                assert!((f64::from(y) - expected).abs() < 4e-7 * expected.abs().max(4.0), "{columns}: {y} {expected}");
            }
        }
    }

    #[test]
    fn log_sum_exp_of_infinities_and_nan_is_the_largest() {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        let x = [-infinity, -infinity, -infinity, 1.0, infinity, 2.0, nan, infinity, 0.0, -infinity, 3.0, -infinity];
        let mut y = [0.0f32; 4];
        log_sum_exp(&x, 3, &mut y);
        assert_eq!((y[0], y[1], y[2].is_nan(), y[3]), (-infinity, infinity, true, 3.0));
    }

    #[test]
    fn argmax_finds_the_first_largest_and_nan_before_all() {
        for columns in COLUMNS {
            let mut x = numbers(4 * columns);
            let slow =
                |row: &[f64]| (0..columns).fold(0, |best, at| if row[at] > row[best] { at } else { best }) as i32;
            let mut expected: Vec<i32> = x.chunks(columns).map(slow).collect();
            // The last rows: a NaN, twice, and nothing but −∞.
            x[2 * columns + columns / 2] = f64::NAN;
            x[3 * columns - 1] = f64::NAN;
            x[3 * columns..].fill(f64::NEG_INFINITY);
            (expected[2], expected[3]) = ((columns / 2) as i32, 0);
            let mut y = [0; 4];
            argmax(&x, columns, &mut y);
            assert_eq!(y[..], expected, "{columns}");
        }
    }

    #[test]
    fn rows_of_nothing_have_the_sum_of_nothing() {
        let mut y = [0.0; 2];
        log_sum_exp::<f64>(&[], 0, &mut y);
        assert_eq!(y, [f64::NEG_INFINITY; 2]);
    }
}
