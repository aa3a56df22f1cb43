//! The gradient with respect to the weights: for each tap, input rows times output-gradient rows, summed over all pixels.
//!
//! A task owns some pixels and some input channels. For each unit of pixels it copies its channels of the input with padding,
//! in strips of a few channels (so that the columns of the kernel and the channels are one contiguous stretch of weight rows)
//! and one block of channels of the output gradient. Then it sums tiles of weight rows × output channels, pass by pass over
//! as many pixels of the unit as the cache next to the core holds. Tasks that own the same weights sum into parts of the
//! scratch, which are added in a fixed order at the end.

use std::ops::Range;

use super::copy::{Source, Unit, Units, copy_all, copy_images, copy_rows};
use super::correlate::{channel_block, channel_blocks};
use super::depthwise;
use super::geometry::{Axis, ConvShape};
use super::kernels::Real;
use super::tile::{Nest, WeightTile};
use super::winograd::{self, FilteringWeights};
use super::work::{Shared, add_parts, each, even};
use crate::kernel::instruction_set::InstructionSet;

/// Output pixels in a unit: rows enough that the copy of those around them does not weigh much.
const UNIT_PIXELS: usize = 256;
/// Output pixels in a pass.
const PASS_PIXELS: usize = 128;
/// Input channels in a strip: the inputs of neighbouring pixels, two lines of the cache apart, spread over all of it.
const STRIP: usize = 32;
/// Tasks to aim for.
const TASKS: usize = 16;
/// Most scalars in partial sums, and fewest pixels in a part, so that adding the parts up does not weigh much.
const PARTIAL: usize = 1 << 20;
const PART_PIXELS: usize = 1024;
/// Input channels below which a slice costs more copies than it gives parallelism.
const LEAST_SLICE: usize = 32;
/// Rows shorter than this are summed over images instead, so that taps in the padding cost nothing.
const SHORT_ROW: usize = 6;
/// Fewest images worth summing over.
const IMAGES: usize = 8;
/// Weight rows that any tile of two vectors takes at once.
const ONE_TILE: usize = 14;
/// Rows of the largest tile.
const MOST_ROWS: usize = 24;

struct Plan {
    shape: ConvShape,
    rows: Axis,
    columns: Axis,
    units: Units,
    /// Whether the innermost sum runs over images instead of along rows.
    over_images: bool,
    /// Whether the output gradient is read as it is.
    in_place: bool,
    /// Parts of the pixels; all but the first sum into scratch.
    parts: usize,
    /// Parts of the input channels of a group.
    slices: usize,
    /// Parts of the output channels of a group, each of some blocks.
    outs: usize,
    /// Scalars of the input's copy of one task, and of the output gradient's.
    copied: [usize; 2],
}

impl Plan {
    fn new(shape: &ConvShape, lanes: usize) -> Plan {
        let shape = shape.flattened().unwrap_or_else(|| shape.clone());
        let (rows, columns) = (Axis::forward(&shape, 0), Axis::forward(&shape, 1));
        let pixels = rows.outputs * columns.outputs;
        let over_images = columns.outputs < SHORT_ROW && pixels <= SHORT_ROW * SHORT_ROW && shape.batch >= IMAGES;
        let units = if over_images {
            Units::whole(shape.batch, rows.outputs, (UNIT_PIXELS / pixels.max(1)).clamp(IMAGES, shape.batch))
        } else {
            Units::new(shape.batch, rows.outputs, columns.outputs, UNIT_PIXELS)
        };
        let parts = (PARTIAL / shape.weight_len().max(1)).min(shape.batch * pixels / PART_PIXELS).clamp(1, TASKS);
        let parts = parts.min(units.count().max(1));
        let channels = shape.in_group();
        // Every slice of input channels reads the whole output gradient and every block of output channels the whole input:
        // cut both, input channels first, as long as their slices stay large.
        let blocks = channel_blocks(shape.out_group(), lanes);
        let wanted = (TASKS / (parts * shape.groups)).max(1);
        let (mut cuts, mut outs) = (wanted, 1);
        while cuts > 1 && channels < cuts * LEAST_SLICE && outs * 2 <= blocks {
            outs *= 2;
            cuts = wanted.div_ceil(outs);
        }
        let slices = cuts.min(channels.div_ceil(4)).max(1);
        let slice = channels.div_ceil(slices);
        let (images, unit_rows) = units.largest();
        let copied = if over_images {
            images * shape.height * shape.width * slice
        } else {
            images * rows.copy_len(unit_rows) * columns.copy_len(columns.outputs) * slice
        };
        let width = 2 * lanes.min(shape.out_group().next_multiple_of(lanes));
        // Whole vectors, next to each other or read by a single tile.
        let once = shape.kernel[1] * slice <= ONE_TILE && shape.out_channels <= 4 * lanes;
        let in_place = shape.groups == 1 && !over_images && shape.out_channels.is_multiple_of(lanes);
        let in_place = in_place && (once || shape.out_channels <= 2 * lanes);
        let gradient = if in_place { 0 } else { images * unit_rows * columns.outputs * width };
        let copied = [copied, gradient];
        Plan { rows, columns, units, over_images, in_place, parts, slices, outs, copied, shape }
    }

    fn tasks(&self) -> usize {
        self.parts * self.slices * self.outs * self.shape.groups
    }

    fn scratch(&self) -> usize {
        (self.parts - 1) * self.shape.weight_len() + self.tasks() * (self.copied[0] + self.copied[1])
    }

    fn run<T: Real>(&self, level: InstructionSet, x: &[T], gy: &[T], gw: &mut [T], scratch: &mut [T]) {
        if x.is_empty() || gy.is_empty() || gw.is_empty() {
            gw.fill(T::default());
            return;
        }
        let work = self.shape.batch * self.rows.outputs * self.columns.outputs * gw.len();
        let (partial, copies) = scratch.split_at_mut((self.parts - 1) * gw.len());
        let (first, others, copies) = (Shared::new(gw), Shared::new(partial), Shared::new(copies));
        let (length, size) = (self.shape.weight_len(), self.copied[0] + self.copied[1]);
        each(work, self.tasks(), |task| {
            let (part, rest) = (task % self.parts, task / self.parts);
            let target = if part == 0 { first } else { Shared::from_raw(others.at((part - 1) * length)) };
            let (out, rest) = (rest % self.outs, rest / self.outs);
            // SAFETY: inside the scratch, whose size has been checked; each task has copies of its own.
            let copies = unsafe { copies.slice(task * size, size) };
            self.task(level, x, gy, target, copies, [part, out, rest % self.slices, rest / self.slices]);
        });
        add_parts(gw, partial);
    }

    /// The pixels of one part, for one slice of input channels and some blocks of output channels of a group.
    fn task<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        gy: &[T],
        target: Shared<T>,
        copies: &mut [T],
        [part, out, slice, group]: [usize; 4],
    ) {
        let shape = &self.shape;
        let slice = even(shape.in_group(), self.slices, slice);
        let strips = slice.len().div_ceil(STRIP);
        let lanes = level.lanes(size_of::<T>());
        let blocks = even(channel_blocks(shape.out_group(), lanes), self.outs, out);
        let owned = blocks.start * 2 * lanes..(blocks.end * 2 * lanes).min(shape.out_group());
        for row in 0..shape.kernel[0] * shape.kernel[1] {
            for channel in slice.clone() {
                let at = (row * shape.in_group() + channel) * shape.out_channels + group * shape.out_group();
                // SAFETY: inside the weights, and only this task writes these channels.
                unsafe { target.slice(at + owned.start, owned.len()) }.fill(T::default());
            }
        }
        let (x_copy, gradient) = copies.split_at_mut(self.copied[0]);
        let strip_size = |take: usize| self.copied[0] / slice.len().max(1) * take;
        for unit in even(self.units.count(), self.parts, part).map(|unit| self.units.get(unit)) {
            for strip in (0..strips).map(|strip| even(slice.len(), strips, strip)) {
                let take = strip.len();
                let from = group * shape.in_group() + slice.start + strip.start;
                let source = Source {
                    data: x,
                    height: shape.height,
                    width: shape.width,
                    channels: shape.in_channels,
                    from,
                    take,
                };
                let x_copy = &mut x_copy[strip_size(strip.start)..][..strip_size(take)];
                if self.over_images {
                    let images = unit.first_image..unit.first_image + unit.images;
                    let positions = x_copy.chunks_mut(unit.images * take).take(shape.height * shape.width);
                    for (position, target) in positions.enumerate() {
                        copy_images(level, source, images.clone(), position, take, target);
                    }
                } else {
                    copy_rows(level, source, &self.rows, &self.columns, unit, take, x_copy);
                }
            }
            for index in blocks.clone() {
                let block = channel_block(shape.out_group(), lanes, index);
                let width = block.vectors * lanes;
                let channels = width.min(shape.out_group() - block.first);
                let first = group * shape.out_group() + block.first;
                let (gradient, width) = if self.in_place {
                    let start = (unit.first_image * self.rows.outputs + unit.first_row) * self.columns.outputs;
                    (&gy[start * shape.out_channels + first..], shape.out_channels)
                } else {
                    self.pack_gradient(level, gy, unit, (first, channels), width, gradient);
                    (&*gradient, width)
                };
                for strip in (0..strips).map(|strip| even(slice.len(), strips, strip)) {
                    let take = strip.len();
                    let x = &x_copy[strip_size(strip.start)..][..strip_size(take)];
                    let from = slice.start + strip.start;
                    let sums =
                        Sums { level, target, gradient, x, from, take, first, channels, vectors: block.vectors, width };
                    if self.over_images {
                        self.sum_images(unit, &sums);
                    } else {
                        self.sum_rows(unit, &sums);
                    }
                }
            }
        }
    }

    /// Copies one block of channels of the output gradient of a unit, in the order in which the sums visit the pixels.
    fn pack_gradient<T: Real>(
        &self,
        level: InstructionSet,
        gy: &[T],
        unit: Unit,
        (first, channels): (usize, usize),
        width: usize,
        gradient: &mut [T],
    ) {
        let (height, columns, all) = (self.rows.outputs, self.columns.outputs, self.shape.out_channels);
        if self.over_images {
            for position in 0..height * columns {
                let start = (unit.first_image * height * columns + position) * all + first;
                let target = &mut gradient[position * unit.images * width..][..unit.images * width];
                copy_all(level, &gy[start..], height * columns * all, target, width, channels);
            }
        } else {
            // A unit of several images has all their rows.
            let start = (unit.first_image * height + unit.first_row) * columns;
            let pixels = unit.images * unit.rows * columns;
            copy_all(level, &gy[start * all + first..], all, &mut gradient[..pixels * width], width, channels);
        }
    }

    /// All weight rows of a strip, summed over the images at each position.
    fn sum_images<T: Real>(&self, unit: Unit, sums: &Sums<'_, T>) {
        let (rows, columns, width) = (&self.rows, &self.columns, self.shape.width);
        let (images, pixel) = (unit.images, unit.images * sums.take);
        for t in 0..rows.taps {
            for u in 0..columns.taps {
                let (down, right) = (rows.outputs_of(t), columns.outputs_of(u));
                if down.is_empty() || right.is_empty() {
                    continue;
                }
                let nest = Nest {
                    counts: [down.len(), right.len(), images],
                    first: [rows.stride * width * pixel, columns.stride * pixel, sums.take],
                    second: [columns.outputs * images * sums.width, images * sums.width, sums.width],
                };
                let x = (rows.input(down.start, t) * width + columns.input(right.start, u)) * pixel;
                let gradient = (down.start * columns.outputs + right.start) * images * sums.width;
                self.sum(sums, nest, [x, gradient], t, u..u + 1);
            }
        }
    }

    /// All weight rows of a strip, summed along the rows of a unit.
    fn sum_rows<T: Real>(&self, unit: Unit, sums: &Sums<'_, T>) {
        let (rows, columns, take) = (&self.rows, &self.columns, sums.take);
        let (height, width) = (rows.copy_len(unit.rows), columns.copy_len(columns.outputs));
        // Neighbouring columns and their channels are one contiguous stretch of weight rows.
        let taps = if columns.consecutive() { columns.taps } else { 1 };
        let passes = Units::new(unit.images, unit.rows, columns.outputs, PASS_PIXELS);
        for pass in (0..passes.count()).map(|pass| passes.get(pass)) {
            for t in 0..rows.taps {
                let valid = rows.outputs_of(t);
                let start = (unit.first_row + pass.first_row).max(valid.start);
                let end = (unit.first_row + pass.first_row + pass.rows).min(valid.end);
                if start >= end {
                    continue;
                }
                let row = start - unit.first_row;
                let line = pass.first_image * height + row * rows.copy_stride() + t * rows.spread;
                let (line_size, pixel) = (columns.outputs * sums.width, sums.width);
                let nest = Nest {
                    counts: [pass.images, end - start, columns.outputs],
                    first: [height * width * take, rows.copy_stride() * width * take, columns.copy_stride() * take],
                    second: [unit.rows * line_size, line_size, pixel],
                };
                let gradient = (pass.first_image * unit.rows + row) * columns.outputs * sums.width;
                for u in (0..columns.taps).step_by(taps.max(1)) {
                    let x = (line * width + u * columns.spread) * take;
                    self.sum(sums, nest, [x, gradient], t, u..u + taps);
                }
            }
        }
    }

    /// The weight rows of neighbouring taps of tap row `t`, summed over the pixels of the nest and added to the target.
    fn sum<T: Real>(&self, sums: &Sums<'_, T>, nest: Nest, [x, gradient]: [usize; 2], t: usize, taps: Range<usize>) {
        let shape = &self.shape;
        let kernels = T::kernels(sums.level).weights[sums.vectors - 1];
        let most = sums.level.tile_rows()[sums.vectors - 1];
        let rows = taps.len() * sums.take;
        let tiles = rows.div_ceil(most);
        let mut targets = [std::ptr::null_mut(); MOST_ROWS];
        let (mut tap, mut channel) = (taps.start, 0);
        for range in (0..tiles).map(|tile| even(rows, tiles, tile)) {
            for target in &mut targets[..range.len()] {
                let row = (t * shape.kernel[1] + tap) * shape.in_group() + sums.from + channel;
                *target = sums.target.at(row * shape.out_channels + sums.first);
                channel += 1;
                if channel == sums.take {
                    (tap, channel) = (tap + 1, 0);
                }
            }
            let tile = WeightTile {
                x: sums.x.as_ptr().wrapping_add(x + range.start),
                gradient: sums.gradient.as_ptr().wrapping_add(gradient),
                nest,
                targets: &targets[..range.len()],
                channels: sums.channels,
            };
            // SAFETY: `level` was detected on this processor; the nest stays inside the copies for every pixel and row of the
            // tile; the targets lie inside the weights, and only this task writes these channels.
            unsafe { kernels[range.len() - 1](&tile) };
        }
    }
}

/// What a task sums: the copies it reads and the weights it owns.
struct Sums<'a, T> {
    level: InstructionSet,
    target: Shared<T>,
    gradient: &'a [T],
    x: &'a [T],
    /// Input channels within the group.
    from: usize,
    take: usize,
    /// Output channels among all.
    first: usize,
    channels: usize,
    /// Vectors of the block.
    vectors: usize,
    /// From one pixel of the output gradient to the next.
    width: usize,
}

/// Gradient of a convolution with respect to its weights, overwriting `gw`: the transpose of [`forward`](super::forward) in w.
///
/// * `x`: `[N, H, W, c_in]`, `gy`: `[N, oh, ow, c_out]`, `gw`: `[kh, kw, c_in / groups, c_out]`
/// * `scratch`: at least [`weight_gradient_scratch`] elements, of any content
/// * cost: as [`forward`](super::forward)
///
/// # Panics
/// When a slice does not have the length of the shape, or the scratch is too short.
pub fn weight_gradient<T: Real>(shape: &ConvShape, x: &[T], gy: &[T], gw: &mut [T], scratch: &mut [T]) {
    weight_gradient_at(InstructionSet::detect(), shape, x, gy, gw, scratch);
}

/// Elements of scratch that [`weight_gradient`] needs for scalars of `size` bytes: partial sums (4 MiB of f32 at most) and for
/// each of about 16 tasks a few rows of the input and of the output gradient.
pub fn weight_gradient_scratch(shape: &ConvShape, size: usize) -> usize {
    scratch_at(InstructionSet::detect(), shape, size)
}

pub(super) fn weight_gradient_at<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    x: &[T],
    gy: &[T],
    gw: &mut [T],
    scratch: &mut [T],
) {
    shape.check();
    assert_eq!(x.len(), shape.input_len(), "convolution: length of the input");
    assert_eq!(gy.len(), shape.output_len(), "convolution: length of the output gradient");
    assert_eq!(gw.len(), shape.weight_len(), "convolution: length of the weight gradient");
    assert!(scratch.len() >= scratch_at(level, shape, size_of::<T>()), "convolution: scratch is too short");
    if winograd::preferred(shape, size_of::<T>()) {
        return FilteringWeights::new(shape, level, size_of::<T>()).run(level, x, gy, gw, scratch);
    }
    sum_at(level, shape, x, gy, gw, scratch);
}

/// The direct sums, whatever the shape; lengths have been checked.
pub(super) fn sum_at<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    x: &[T],
    gy: &[T],
    gw: &mut [T],
    scratch: &mut [T],
) {
    if shape.depthwise() {
        depthwise::weight_gradient(level, shape, x, gy, gw, scratch);
    } else {
        Plan::new(shape, level.lanes(size_of::<T>())).run(level, x, gy, gw, scratch);
    }
}

pub(super) fn scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if winograd::preferred(shape, size) {
        return FilteringWeights::new(shape, level, size).scratch();
    }
    sum_scratch_at(level, shape, size)
}

pub(super) fn sum_scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if shape.depthwise() {
        return depthwise::weight_gradient_scratch(shape);
    }
    Plan::new(shape, level.lanes(size)).scratch()
}
