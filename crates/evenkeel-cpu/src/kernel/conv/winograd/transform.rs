//! The transforms around the products, compiled once for each instruction set.
//!
//! Along one axis, with d four inputs, w three weights, m four products and g two gradients of outputs:
//!
//! * inputs: (d₀ − d₂, d₁ + d₂, d₂ − d₁, d₁ − d₃)
//! * weights: (w₀, (w₀ + w₁ + w₂) / 2, (w₀ − w₁ + w₂) / 2, w₂)
//! * outputs: (m₀ + m₁ + m₂, m₁ − m₂ − m₃)
//! * gradient of the outputs: the transpose, (g₀, g₀ + g₁, g₀ − g₁, −g₁); the last is kept as g₁, and the sign made up for below
//! * gradient of the weights: (s₀ + (s₁ + s₂) / 2, (s₁ − s₂) / 2, (s₁ + s₂) / 2 − s₃)
//!
//! Two axes are one after the other. Halves are exact, so rounding comes from sums and products only.

use super::super::simd::Lanes;
use super::grid::{Grid, Place, SIDE};

/// Products along both axes.
pub(super) const PLANES: usize = 16;

/// Tiles of 4 × 4 inputs, or of 2 × 2 gradients of outputs, to be transformed into [`PLANES`] planes of `[tile][channel]`.
pub(super) struct Gather<'a, T> {
    pub(super) grid: &'a Grid,
    /// Tiles, of the grid's list.
    pub(super) first: usize,
    pub(super) count: usize,
    /// First wanted channel of the first pixel of the first image.
    pub(super) source: *const T,
    /// From one pixel to the next.
    pub(super) pixel: usize,
    /// Channels to transform; the planes get zeros up to the next whole vector.
    pub(super) channels: usize,
    /// As many zeros as there are channels: what a pixel of the padding holds.
    pub(super) zeros: *const T,
    /// Where the first tile goes in the first plane.
    pub(super) target: *mut T,
    /// From one tile to the next.
    pub(super) row: usize,
    /// From one plane to the next.
    pub(super) plane: usize,
}

/// Tiles of [`PLANES`] products, to be transformed into 2 × 2 outputs.
pub(super) struct Scatter<'a, T> {
    pub(super) grid: &'a Grid,
    pub(super) first: usize,
    pub(super) count: usize,
    /// The first tile in the first plane; the planes hold whole vectors.
    pub(super) source: *const T,
    pub(super) row: usize,
    pub(super) plane: usize,
    /// First channel of the first pixel of the first image.
    pub(super) target: *mut T,
    pub(super) channels: usize,
}

/// Weights of 3 × 3 taps, to be transformed into [`PLANES`] planes of packed rows.
pub(super) struct Filter<T> {
    /// First channel of the first row of the first tap.
    pub(super) source: *const T,
    /// From tap to tap, modulo 2^64: taps may run backwards.
    pub(super) tap: usize,
    /// From row to row.
    pub(super) row: usize,
    /// Rows, one for each channel that is summed over.
    pub(super) rows: usize,
    /// Channels of a row, of which the packed one has as many vectors as they need.
    pub(super) channels: usize,
    pub(super) target: *mut T,
    pub(super) target_row: usize,
    pub(super) plane: usize,
}

/// Sums of [`PLANES`] products, to be transformed into gradients of 3 × 3 weights.
pub(super) struct FilterGradient<T> {
    /// The first row of the first plane of the first part; rows hold whole vectors.
    pub(super) source: *const T,
    pub(super) source_row: usize,
    pub(super) plane: usize,
    /// The sums come in parts, added in this order, each so far from the one before.
    pub(super) part: usize,
    pub(super) parts: usize,
    pub(super) rows: usize,
    pub(super) channels: usize,
    pub(super) target: *mut T,
    pub(super) tap: usize,
    pub(super) row: usize,
}

/// The transforms of one instruction set and scalar.
///
/// # Safety
/// To call one, the processor must have the instruction set, and the pointers must be valid for everything that the counts and
/// steps name.
pub(in super::super) struct Transforms<T: 'static> {
    pub(super) inputs: unsafe fn(&Gather<'_, T>),
    pub(super) gradients: unsafe fn(&Gather<'_, T>),
    pub(super) outputs: unsafe fn(&Scatter<'_, T>),
    pub(super) weights: unsafe fn(&Filter<T>),
    pub(super) weight_gradients: unsafe fn(&FilterGradient<T>),
}

/// Four vectors from four inputs.
#[inline(always)]
unsafe fn inputs_axis<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 4] {
    // SAFETY: the caller's promise.
    unsafe { [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)] }
}

/// Four vectors from two gradients of outputs, the last with the other sign.
#[inline(always)]
unsafe fn gradients_axis<L: Lanes>([a, b]: [L; 2]) -> [L; 4] {
    // SAFETY: the caller's promise.
    unsafe { [a, a.add(b), a.subtract(b), b] }
}

/// Two outputs from four products.
#[inline(always)]
unsafe fn outputs_axis<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 2] {
    // SAFETY: the caller's promise.
    unsafe { [a.add(b.add(c)), b.subtract(c).subtract(d)] }
}

/// Four vectors from three weights.
#[inline(always)]
unsafe fn weights_axis<L: Lanes>([a, b, c]: [L; 3]) -> [L; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (outer, inner) = (a.add(c).half(), b.half());
        [a, outer.add(inner), outer.subtract(inner), c]
    }
}

/// Three gradients of weights from four sums.
#[inline(always)]
unsafe fn weight_gradients_axis<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 3] {
    // SAFETY: the caller's promise.
    unsafe {
        let both = b.add(c).half();
        [a.add(both), b.subtract(c).half(), both.subtract(d)]
    }
}

/// Transforms the rows of a square, then its columns.
#[inline(always)]
unsafe fn both_axes<L: Lanes, const A: usize, const B: usize>(
    square: [[L; A]; A],
    axis: impl Fn([L; A]) -> [L; B],
) -> [[L; B]; B] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[L::zero(); B]; A];
        for a in 0..A {
            rows[a] = axis(square[a]);
        }
        let mut result = [[L::zero(); B]; B];
        for b in 0..B {
            let mut column = [L::zero(); A];
            for a in 0..A {
                column[a] = rows[a][b];
            }
            let column = axis(column);
            for a in 0..B {
                result[a][b] = column[a];
            }
        }
        result
    }
}

/// Loads a vector of `take` scalars, at most as many as it has.
#[inline(always)]
unsafe fn load<L: Lanes>(at: *const L::Scalar, take: usize) -> L {
    // SAFETY: the caller's promise.
    unsafe { if take >= L::N { L::load(at) } else { L::load_first(at, take) } }
}

/// Stores the first `take` scalars of a vector, at most as many as it has.
#[inline(always)]
unsafe fn store<L: Lanes>(vector: L, at: *mut L::Scalar, take: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if take >= L::N {
            vector.store(at);
        } else {
            vector.store_first(at, take);
        }
    }
}

/// Transforms the tile whose pixel (r, c) lies at `pixel(r, c)`, `A` pixels along a side.
#[inline(always)]
unsafe fn gather_tile<L: Lanes, const A: usize>(
    gather: &Gather<'_, L::Scalar>,
    target: *mut L::Scalar,
    pixel: impl Fn(usize, usize) -> *const L::Scalar,
    axis: impl Fn([L; A]) -> [L; 4],
) {
    for channel in (0..gather.channels).step_by(L::N) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut square = [[L::zero(); A]; A];
            if gather.channels - channel >= L::N {
                for (r, row) in square.iter_mut().enumerate() {
                    for (c, value) in row.iter_mut().enumerate() {
                        *value = L::load(pixel(r, c).add(channel));
                    }
                }
            } else {
                for (r, row) in square.iter_mut().enumerate() {
                    for (c, value) in row.iter_mut().enumerate() {
                        *value = L::load_first(pixel(r, c).add(channel), gather.channels - channel);
                    }
                }
            }
            let planes = both_axes(square, &axis);
            for (r, row) in planes.iter().enumerate() {
                for (c, value) in row.iter().enumerate() {
                    value.store(target.add((4 * r + c) * gather.plane + channel));
                }
            }
        }
    }
}

/// Transforms tiles of `A` × `A` pixels of images of the given size; the first begins at minus `before`.
#[inline(always)]
unsafe fn gather<L: Lanes, const A: usize>(
    gather: &Gather<'_, L::Scalar>,
    size: [usize; 2],
    before: [isize; 2],
    axis: impl Fn([L; A]) -> [L; 4],
) {
    let mut place = gather.grid.place(gather.first);
    for tile in 0..gather.count {
        let Place { image, tile: [row, column] } = place;
        let (top, left) = ((row * SIDE) as isize - before[0], (column * SIDE) as isize - before[1]);
        let at = |r: isize, c: isize| {
            let line = (image * size[0]) as isize + r;
            gather.source.wrapping_offset((line * size[1] as isize + c) * gather.pixel as isize)
        };
        // SAFETY: the caller's promise; pixels outside the image are taken from the zeros.
        unsafe {
            let target = gather.target.add(tile * gather.row);
            let inside = |r: isize, c: isize| (r as usize) < size[0] && (c as usize) < size[1];
            let last = A as isize - 1;
            if inside(top, left) && inside(top + last, left + last) {
                let (corner, line) = (at(top, left), size[1] * gather.pixel);
                gather_tile(gather, target, |r, c| corner.wrapping_add(r * line + c * gather.pixel), &axis);
            } else {
                let mut pixels = [[gather.zeros; A]; A];
                for (r, pixels) in pixels.iter_mut().enumerate() {
                    for (c, pixel) in pixels.iter_mut().enumerate() {
                        let (r, c) = (top + r as isize, left + c as isize);
                        if inside(r, c) {
                            *pixel = at(r, c);
                        }
                    }
                }
                gather_tile(gather, target, |r, c| pixels[r][c], &axis);
            }
        }
        place = gather.grid.next(place);
    }
}

#[inline(always)]
pub(super) unsafe fn inputs<L: Lanes>(operands: &Gather<'_, L::Scalar>) {
    let grid = operands.grid;
    // SAFETY: the caller's promise.
    unsafe { gather::<L, 4>(operands, grid.inputs, grid.before, |values| inputs_axis(values)) }
}

#[inline(always)]
pub(super) unsafe fn gradients<L: Lanes>(operands: &Gather<'_, L::Scalar>) {
    // SAFETY: the caller's promise.
    unsafe { gather::<L, SIDE>(operands, operands.grid.outputs, [0; 2], |values| gradients_axis(values)) }
}

#[inline(always)]
pub(super) unsafe fn outputs<L: Lanes>(scatter: &Scatter<'_, L::Scalar>) {
    let grid = scatter.grid;
    let [height, width] = grid.outputs;
    let mut place = grid.place(scatter.first);
    for tile in 0..scatter.count {
        let Place { image, tile: [row, column] } = place;
        let (row, column) = (row * SIDE, column * SIDE);
        // Outputs of the tile that exist.
        let (below, right) = (row + 1 < height, column + 1 < width);
        // SAFETY: the caller's promise.
        unsafe {
            let source = scatter.source.add(tile * scatter.row);
            let target = scatter.target.add(((image * height + row) * width + column) * scatter.channels);
            for channel in (0..scatter.channels).step_by(L::N) {
                let mut square = [[L::zero(); 4]; 4];
                for (r, row) in square.iter_mut().enumerate() {
                    for (c, value) in row.iter_mut().enumerate() {
                        *value = L::load(source.add((4 * r + c) * scatter.plane + channel));
                    }
                }
                let [[a, b], [c, d]] = both_axes(square, |values| outputs_axis(values));
                let (take, target) = (scatter.channels - channel, target.add(channel));
                store(a, target, take);
                if right {
                    store(b, target.add(scatter.channels), take);
                }
                if below {
                    let target = target.add(width * scatter.channels);
                    store(c, target, take);
                    if right {
                        store(d, target.add(scatter.channels), take);
                    }
                }
            }
        }
        place = grid.next(place);
    }
}

#[inline(always)]
pub(super) unsafe fn weights<L: Lanes>(filter: &Filter<L::Scalar>) {
    for row in 0..filter.rows {
        for channel in (0..filter.channels).step_by(L::N) {
            // SAFETY: the caller's promise.
            unsafe {
                let source = filter.source.add(row * filter.row + channel);
                let target = filter.target.add(row * filter.target_row + channel);
                let mut square = [[L::zero(); 3]; 3];
                for (r, row) in square.iter_mut().enumerate() {
                    for (c, value) in row.iter_mut().enumerate() {
                        let tap = source.wrapping_add((3 * r + c).wrapping_mul(filter.tap));
                        *value = load(tap, filter.channels - channel);
                    }
                }
                let planes = both_axes(square, |values| weights_axis(values));
                for (r, row) in planes.iter().enumerate() {
                    for (c, value) in row.iter().enumerate() {
                        value.store(target.add((4 * r + c) * filter.plane));
                    }
                }
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn weight_gradients<L: Lanes>(filter: &FilterGradient<L::Scalar>) {
    for row in 0..filter.rows {
        for channel in (0..filter.channels).step_by(L::N) {
            // SAFETY: the caller's promise.
            unsafe {
                let source = filter.source.add(row * filter.source_row + channel);
                let target = filter.target.add(row * filter.row + channel);
                let mut square = [[L::zero(); 4]; 4];
                for part in 0..filter.parts {
                    for (r, row) in square.iter_mut().enumerate() {
                        for (c, value) in row.iter_mut().enumerate() {
                            let at = source.add(part * filter.part + (4 * r + c) * filter.plane);
                            *value = value.add(L::load(at));
                        }
                    }
                }
                let taps = both_axes(square, |values| weight_gradients_axis(values));
                for (r, row) in taps.iter().enumerate() {
                    for (c, &value) in row.iter().enumerate() {
                        store(value, target.add((3 * r + c) * filter.tap), filter.channels - channel);
                    }
                }
            }
        }
    }
}
