//! Convolutions in which every channel is alone: the lanes of a vector are channels, read and written where they lie.
//!
//! A product needs a load of its own here, so these run at the speed of the caches, or of the memory when a batch is large.

use super::correlate::{Correlation, TASKS};
use super::geometry::{Axis, ConvShape};
use super::kernels::Real;
use super::simd::{Lanes, prefetch};
use super::tile::Nest;
use super::work::{Shared, add_parts, each, even};
use crate::kernel::instruction_set::InstructionSet;

/// Most parts of a weight gradient.
const PARTS: usize = 16;

/// The operands of a few output pixels, all channels.
pub(super) struct ChannelTile<T> {
    /// First pixel of the input.
    x: *const T,
    /// From the input of one output pixel to that of the next.
    x_stride: usize,
    weights: *const T,
    /// Once, rows of taps, taps of a row: over the input and over the weights.
    nest: Nest,
    y: *mut T,
    y_stride: usize,
    channels: usize,
}

/// Computes `P` output pixels.
///
/// # Safety
/// The processor has the instruction set of `L`; `x`, `weights` and `y` are valid for all that nest, pixels and channels name.
#[inline(always)]
pub(super) unsafe fn channel_tile<L: Lanes, const P: usize>(tile: &ChannelTile<L::Scalar>) {
    for first in (0..tile.channels).step_by(L::N) {
        let count = L::N.min(tile.channels - first);
        // SAFETY: the caller's promise; the last vector keeps to the channels that are left.
        unsafe {
            let mut sums = [L::zero(); P];
            let (x, weights) = (tile.x.wrapping_add(first), tile.weights.wrapping_add(first));
            // The lines of the output, and the last input row of the pixels after these.
            let last = (tile.nest.counts[1].wrapping_sub(1)).wrapping_mul(tile.nest.first[1]);
            for p in 0..P {
                prefetch(tile.y.wrapping_add(first + p * tile.y_stride));
                prefetch(x.wrapping_add(last).wrapping_add((P + p + 1) * tile.x_stride));
            }
            if count == L::N {
                tile.nest.walk(x, weights, |x, weights| {
                    let weight = L::load(weights);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = L::load(x.add(p * tile.x_stride)).multiply_add(weight, *sum);
                    }
                });
            } else {
                tile.nest.walk(x, weights, |x, weights| {
                    let weight = L::load_first(weights, count);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = L::load_first(x.add(p * tile.x_stride), count).multiply_add(weight, *sum);
                    }
                });
            }
            for (p, sum) in sums.iter().enumerate() {
                let y = tile.y.add(first + p * tile.y_stride);
                if count == L::N { sum.store(y) } else { sum.store_first(y, count) }
            }
        }
    }
}

/// The operands of one tap of a weight gradient over a run of pixels, all channels.
pub(super) struct ChannelSum<T> {
    x: *const T,
    x_stride: usize,
    gradient: *const T,
    gradient_stride: usize,
    pixels: usize,
    target: *mut T,
    channels: usize,
}

/// Adds the sum over pixels of input times output gradient to the target.
///
/// # Safety
/// As [`channel_tile`].
#[inline(always)]
pub(super) unsafe fn channel_sum<L: Lanes>(sum: &ChannelSum<L::Scalar>) {
    const CHAINS: usize = 4;
    for first in (0..sum.channels).step_by(L::N) {
        let count = L::N.min(sum.channels - first);
        // SAFETY: the caller's promise; the last vector keeps to the channels that are left.
        unsafe {
            // Several sums at once, so that one addition need not wait for the last.
            let mut sums = [L::zero(); CHAINS];
            let mut add = |chain: usize, pixel: usize| {
                let x = sum.x.add(first + pixel * sum.x_stride);
                let gradient = sum.gradient.add(first + pixel * sum.gradient_stride);
                sums[chain] = if count == L::N {
                    L::load(x).multiply_add(L::load(gradient), sums[chain])
                } else {
                    L::load_first(x, count).multiply_add(L::load_first(gradient, count), sums[chain])
                };
            };
            let whole = sum.pixels / CHAINS * CHAINS;
            for pixel in (0..whole).step_by(CHAINS) {
                for chain in 0..CHAINS {
                    add(chain, pixel + chain);
                }
            }
            for pixel in whole..sum.pixels {
                add(0, pixel);
            }
            let [a, b, c, d] = sums;
            let target = sum.target.add(first);
            L::load_first(target, count).add(a.add(b).add(c.add(d))).store_first(target, count);
        }
    }
}

/// Runs a correlation with one channel in and one out for each group.
///
/// The lengths of the slices have been checked at the entry; `y` is valid for every output pixel.
pub(super) fn correlate<T: Real>(of: &Correlation, level: InstructionSet, x: &[T], w: &[T], y: Shared<T>) {
    let lines = of.batch * of.rows.outputs;
    let tasks = lines.min(TASKS);
    each(of.multiply_adds(), tasks, |task| {
        for line in even(lines, tasks, task) {
            correlate_row(of, level, x, w, y, [line / of.rows.outputs, line % of.rows.outputs]);
        }
    });
}

/// One row of outputs: several columns at a time where all taps read inputs for each of them, otherwise one.
fn correlate_row<T: Real>(
    of: &Correlation,
    level: InstructionSet,
    x: &[T],
    w: &[T],
    y: Shared<T>,
    [image, row]: [usize; 2],
) {
    let (rows, columns, channels) = (&of.rows, &of.columns, of.groups);
    let kernels = T::kernels(level).channels;
    let inside = columns.outputs_of(0).start..columns.outputs_of(columns.taps.saturating_sub(1)).end;
    let [row_step, column_step, ..] = of.weight_steps;
    let backwards = |step: usize, axis: &Axis| (step as isize * axis.index_step()) as usize;
    let down = rows.taps_at(row);
    let mut column = 0;
    while column < columns.outputs {
        let many = if inside.contains(&column) { (inside.end - column).min(kernels.len()) } else { 1 };
        let right = columns.taps_at(column);
        let empty = down.is_empty() || right.is_empty();
        // Where no tap reads an input, the nest is empty and the places do not matter.
        let [line, pixel] = [rows.input(row, down.start), columns.input(column, right.start)];
        let weight =
            if empty { 0 } else { rows.index(down.start) * row_step + columns.index(right.start) * column_step };
        let tile = ChannelTile {
            x: x.as_ptr().wrapping_add(((image * rows.inputs + line) * columns.inputs + pixel) * channels),
            x_stride: columns.stride * channels,
            weights: w.as_ptr().wrapping_add(weight),
            nest: Nest {
                counts: [1, down.len(), right.len()],
                first: [0, rows.spread * columns.inputs * channels, columns.spread * channels],
                second: [0, backwards(row_step, rows), backwards(column_step, columns)],
            },
            y: y.at(of.origin + image * of.steps[0] + row * of.steps[1] + column * of.steps[2]),
            y_stride: of.steps[2],
            channels,
        };
        // SAFETY: `level` was detected on this processor. The nest takes the taps that read inputs for this row and for the
        // first of `many` columns; with more than one, all taps do for each of them. No other task writes this row.
        unsafe { kernels[many - 1](&tile) };
        column += many;
    }
}

/// The parts of a depthwise weight gradient: rows of outputs that are summed apart.
fn parts(shape: &ConvShape) -> usize {
    (shape.batch * shape.output()[0]).clamp(1, PARTS)
}

/// Scratch of [`weight_gradient`] in scalars.
pub(super) fn weight_gradient_scratch(shape: &ConvShape) -> usize {
    (parts(shape) - 1) * shape.weight_len()
}

/// The gradient with respect to the weights. The lengths of the slices have been checked at the entry.
pub(super) fn weight_gradient<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    x: &[T],
    gy: &[T],
    gw: &mut [T],
    scratch: &mut [T],
) {
    let (rows, columns, channels) = (Axis::forward(shape, 0), Axis::forward(shape, 1), shape.in_channels);
    let (lines, parts, length) = (shape.batch * rows.outputs, parts(shape), gw.len());
    let partial = &mut scratch[..(parts - 1) * length];
    gw.fill(T::default());
    partial.fill(T::default());
    let (first, others) = (Shared::new(gw), Shared::new(partial));
    each(lines * columns.outputs * length, parts, |part| {
        let target = if part == 0 { first } else { Shared::from_raw(others.at((part - 1) * length)) };
        for line in even(lines, parts, part) {
            let (image, row) = (line / rows.outputs, line % rows.outputs);
            for t in rows.taps_at(row) {
                for u in 0..columns.taps {
                    let run = columns.outputs_of(u);
                    if run.is_empty() {
                        continue;
                    }
                    let at = (image * shape.height + rows.input(row, t)) * shape.width + columns.input(run.start, u);
                    let sum = ChannelSum {
                        x: x.as_ptr().wrapping_add(at * channels),
                        x_stride: columns.stride * channels,
                        gradient: gy.as_ptr().wrapping_add((line * columns.outputs + run.start) * channels),
                        gradient_stride: channels,
                        pixels: run.len(),
                        target: target.at((rows.index(t) * columns.taps + columns.index(u)) * channels),
                        channels,
                    };
                    // SAFETY: `level` was detected on this processor; both runs of pixels lie inside their arrays, and only
                    // this task adds to this part.
                    unsafe { (T::kernels(level).sum)(&sum) };
                }
            }
        }
    });
    add_parts(gw, partial);
}
