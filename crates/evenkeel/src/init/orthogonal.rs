//! Weights with orthonormal rows or columns.

use evenkeel_graph::Shape;
use evenkeel_graph::random::Random;
use faer::Mat;

/// Weights `[.., units]` as one matrix with a column a unit.
pub(super) fn whole(random: &mut Random, shape: &Shape, scale: f64) -> Vec<f64> {
    let units = shape.last().copied().unwrap_or(0);
    matrix(random, shape.elements().checked_div(units).unwrap_or(0), units, scale)
}

/// Weights `[in, blocks · width]`: each block of columns by itself, as each gate of a recurrent layer is a map of its own.
pub(super) fn blocks(random: &mut Random, shape: &Shape, width: usize, scale: f64) -> Vec<f64> {
    let columns = shape.last().copied().unwrap_or(0);
    if width == 0 || !columns.is_multiple_of(width) {
        return whole(random, shape, scale);
    }
    let rows = shape.elements().checked_div(columns).unwrap_or(0);
    let blocks: Vec<Vec<f64>> = (0..columns / width).map(|_| matrix(random, rows, width, scale)).collect();
    (0..rows).flat_map(|row| blocks.iter().flat_map(move |block| block[row * width..][..width].to_vec())).collect()
}

/// A kernel `[k, k, in, out]` that is zero but in its middle; anything else as one matrix.
pub(super) fn delta(random: &mut Random, shape: &Shape, scale: f64) -> Vec<f64> {
    let &[height, width, inputs, out] = &shape[..] else { return whole(random, shape, scale) };
    let mut kernel = vec![0.0; shape.elements()];
    let middle = (height.saturating_sub(1) / 2) * width + width.saturating_sub(1) / 2;
    let tap = matrix(random, inputs, out, scale);
    if let Some(place) = kernel.get_mut(middle * inputs * out..).and_then(|rest| rest.get_mut(..tap.len())) {
        place.copy_from_slice(&tap);
    }
    kernel
}

/// A matrix, row-major, whose columns (or rows, where they are fewer) are orthonormal, times `scale`; uniform among all such.
///
/// Q of a matrix of normal numbers, with the signs that make the diagonal of R positive: without them it would depend on how the
/// decomposition chooses signs, and not be uniform (Mezzadri 2007).
fn matrix(random: &mut Random, rows: usize, columns: usize, scale: f64) -> Vec<f64> {
    let (long, short) = (rows.max(columns), rows.min(columns));
    if short == 0 {
        return Vec::new();
    }
    let drawn: Vec<f64> = (0..long * short).map(|_| random.normal_f64()).collect();
    let decomposed = Mat::from_fn(long, short, |row, column| drawn[row * short + column]).qr();
    let (q, r) = (decomposed.compute_thin_Q(), decomposed.thin_R());
    let entry = |at: usize, of: usize| scale * if r[(of, of)] < 0.0 { -q[(at, of)] } else { q[(at, of)] };
    let place = |index: usize| (index / columns, index % columns);
    let transposed = rows < columns;
    (0..rows * columns)
        .map(place)
        .map(|(row, column)| if transposed { entry(column, row) } else { entry(row, column) })
        .collect()
}
