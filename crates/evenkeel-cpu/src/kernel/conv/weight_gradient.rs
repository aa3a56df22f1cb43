//! The gradient with respect to the weights: for each tap, input rows times output-gradient rows, summed over all pixels.
//!
//! A task owns some pixels and some input channels. For each unit of pixels it copies its channels of the input with padding
//! (so that the columns of the kernel and the channels are one contiguous stretch of weight rows) and one block of channels of
//! the output gradient, then sums tiles of weight rows × output channels over all pixels of the unit. Tasks that own the same
//! weights sum into parts of the scratch, which are added in a fixed order at the end.

use super::copy::{Source, Unit, Units, copy_images, copy_rows};
use super::correlate::{channel_block, channel_blocks};
use super::geometry::{Axis, ConvShape};
use super::tile::{Real, Stretch, WeightTile};
use super::winograd::{self, FilteringWeights};
use super::work::{Shared, each, even};
use crate::kernel::instruction_set::InstructionSet;

/// Output pixels in a unit: the block of the output gradient (two vectors wide) stays in the cache next to the core.
const UNIT_PIXELS: usize = 256;
/// Tasks to aim for.
const TASKS: usize = 16;
/// Most scalars in partial sums.
const PARTIAL: usize = 1 << 18;
/// Input channels below which a slice costs more copies than it gives parallelism.
const LEAST_SLICE: usize = 32;
/// Rows shorter than this are summed over images instead, so that taps in the padding cost nothing.
const SHORT_ROW: usize = 6;
/// Fewest images worth summing over.
const IMAGES: usize = 8;
/// Rows of the largest tile.
const MOST_ROWS: usize = 24;

struct Plan<'a> {
    shape: &'a ConvShape,
    rows: Axis,
    columns: Axis,
    units: Units,
    /// Whether stretches run over images instead of along rows.
    over_images: bool,
    /// Parts of the pixels; all but the first sum into scratch.
    parts: usize,
    /// Parts of the input channels of a group, each of at most `slice` channels.
    slices: usize,
    slice: usize,
    /// Parts of the output channels of a group, each of some blocks.
    outs: usize,
    /// Scalars of the input's copy of one task, and of the output gradient's.
    copied: [usize; 2],
}

impl Plan<'_> {
    fn new(shape: &ConvShape, lanes: usize) -> Plan<'_> {
        let (rows, columns) = (Axis::forward(shape, 0), Axis::forward(shape, 1));
        let pixels = rows.outputs * columns.outputs;
        let over_images = columns.outputs < SHORT_ROW && pixels <= SHORT_ROW * SHORT_ROW && shape.batch >= IMAGES;
        let units = if over_images {
            Units::whole(shape.batch, rows.outputs, (UNIT_PIXELS / pixels.max(1)).clamp(IMAGES, shape.batch))
        } else {
            Units::new(shape.batch, rows.outputs, columns.outputs, UNIT_PIXELS)
        };
        let parts = (PARTIAL / shape.weight_len().max(1)).clamp(1, TASKS).min(units.count().max(1));
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
        let cuts = cuts.min(channels.div_ceil(4)).max(1);
        let slice = channels.div_ceil(cuts).next_multiple_of(4).min(channels).max(1);
        let (images, unit_rows) = units.largest();
        let copied = if over_images {
            images * shape.height * shape.width * slice
        } else {
            images * rows.copy_len(unit_rows) * columns.copy_len(columns.outputs) * slice
        };
        let width = 2 * lanes.min(shape.out_group().next_multiple_of(lanes));
        let gradient = images * unit_rows * columns.outputs * width;
        Plan {
            shape,
            rows,
            columns,
            units,
            over_images,
            parts,
            slices: channels.div_ceil(slice),
            slice,
            outs,
            copied: [copied, gradient],
        }
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
        let (first, others) = (Shared::new(gw), Shared::new(partial));
        let length = self.shape.weight_len();
        let tasks: Vec<_> = copies.chunks_mut(self.copied[0] + self.copied[1]).take(self.tasks()).enumerate().collect();
        each(work, tasks, |(task, copies)| {
            let (part, rest) = (task % self.parts, task / self.parts);
            let target = if part == 0 { first } else { Shared::from_raw(others.at((part - 1) * length)) };
            let (out, rest) = (rest % self.outs, rest / self.outs);
            self.task(level, x, gy, target, copies, [part, out, rest % self.slices, rest / self.slices]);
        });
        if self.parts > 1 {
            let partial = &*partial;
            let pieces: Vec<_> = gw.chunks_mut(4096).enumerate().collect();
            each(length * self.parts, pieces, |(piece, sums)| {
                for part in partial.chunks_exact(length) {
                    for (sum, &value) in sums.iter_mut().zip(&part[piece * 4096..]) {
                        *sum += value;
                    }
                }
            });
        }
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
        let shape = self.shape;
        let from = slice * self.slice;
        let take = self.slice.min(shape.in_group() - from);
        let source = Source {
            data: x,
            height: shape.height,
            width: shape.width,
            channels: shape.in_channels,
            from: group * shape.in_group() + from,
            take,
        };
        let lanes = level.lanes(size_of::<T>());
        let blocks = even(channel_blocks(shape.out_group(), lanes), self.outs, out);
        let owned = blocks.start * 2 * lanes..(blocks.end * 2 * lanes).min(shape.out_group());
        for row in 0..shape.kernel[0] * shape.kernel[1] {
            for channel in from..from + take {
                let at = (row * shape.in_group() + channel) * shape.out_channels + group * shape.out_group();
                for column in owned.clone() {
                    // SAFETY: the element is inside the weights, and only this task writes these channels.
                    unsafe { *target.at(at + column) = T::default() };
                }
            }
        }
        let (x_copy, gradient) = copies.split_at_mut(self.copied[0]);
        let mut stretches = Vec::new();
        for unit in even(self.units.count(), self.parts, part).map(|unit| self.units.get(unit)) {
            if self.over_images {
                let pixel = unit.images * take;
                for (position, target) in x_copy.chunks_mut(pixel).take(shape.height * shape.width).enumerate() {
                    copy_images(source, unit.first_image, unit.images, position, take, target);
                }
            } else {
                copy_rows(source, &self.rows, &self.columns, unit, take, x_copy);
            }
            for index in blocks.clone() {
                let block = channel_block(shape.out_group(), lanes, index);
                let width = block.vectors * lanes;
                let channels = width.min(shape.out_group() - block.first);
                let first = group * shape.out_group() + block.first;
                self.pack_gradient(gy, unit, first, channels, width, gradient);
                let mut sums = Sums { level, target, gradient, x: x_copy, from, take, first, channels };
                for t in 0..self.rows.taps.len() {
                    self.tap_row(unit, t, &mut sums, block.vectors, &mut stretches);
                }
            }
        }
    }

    /// Copies one block of channels of the output gradient of a unit, in the order in which stretches visit the pixels.
    fn pack_gradient<T: Real>(
        &self,
        gy: &[T],
        unit: Unit,
        first: usize,
        channels: usize,
        width: usize,
        gradient: &mut [T],
    ) {
        let (height, columns, all) = (self.rows.outputs, self.columns.outputs, self.shape.out_channels);
        let copy = |target: &mut [T], pixel: usize| {
            let source = &gy[pixel * all + first..][..channels];
            if channels == width {
                // Whole vectors: the compiler sees the multiple and moves vectors.
                target.copy_from_slice(source);
            } else {
                target[..channels].copy_from_slice(source);
                target[channels..].fill(T::default());
            }
        };
        let mut pixels = gradient.chunks_exact_mut(width);
        if self.over_images {
            for position in 0..height * columns {
                for (image, target) in (unit.first_image..unit.first_image + unit.images).zip(&mut pixels) {
                    copy(target, image * height * columns + position);
                }
            }
        } else {
            for image in unit.first_image..unit.first_image + unit.images {
                let start = (image * height + unit.first_row) * columns;
                for (pixel, target) in (start..start + unit.rows * columns).zip(&mut pixels) {
                    copy(target, pixel);
                }
            }
        }
    }

    /// All weight rows of one row of the kernel.
    fn tap_row<T: Real>(
        &self,
        unit: Unit,
        t: usize,
        sums: &mut Sums<'_, T>,
        vectors: usize,
        stretches: &mut Vec<Stretch>,
    ) {
        let (tap, take, columns) = (self.rows.taps[t], sums.take, self.columns.outputs);
        let taps = self.columns.taps.len();
        if self.over_images {
            for u in 0..taps {
                stretches.clear();
                for row in 0..self.rows.outputs {
                    let Some(input_row) = self.rows.input(row, tap) else { continue };
                    for column in 0..columns {
                        let Some(input) = self.columns.input(column, self.columns.taps[u]) else { continue };
                        stretches.push(Stretch {
                            x: (input_row * self.shape.width + input) * unit.images * take,
                            pixel: (row * columns + column) * unit.images,
                        });
                    }
                }
                self.rows_of_tap(sums, vectors, stretches, (unit.images, take), (t, u, 1));
            }
            return;
        }
        let (height, width) = (self.rows.copy_len(unit.rows), self.columns.copy_len(columns));
        let x_stride = self.columns.copy_stride() * take;
        let merged = self.columns.consecutive();
        for u in 0..if merged { taps.min(1) } else { taps } {
            let before = (self.columns.taps[u].offset - self.columns.first()) as usize;
            stretches.clear();
            for image in 0..unit.images {
                for row in 0..unit.rows {
                    if self.rows.input(unit.first_row + row, tap).is_none() {
                        continue;
                    }
                    let line = row * self.rows.copy_stride() + (tap.offset - self.rows.first()) as usize;
                    stretches.push(Stretch {
                        x: ((image * height + line) * width + before) * take,
                        pixel: (image * unit.rows + row) * columns,
                    });
                }
            }
            self.rows_of_tap(sums, vectors, stretches, (columns, x_stride), (t, u, if merged { taps } else { 1 }));
        }
    }

    /// The weight rows of `taps` neighbouring taps from tap (t, u), summed over the stretches and added to the target.
    fn rows_of_tap<T: Real>(
        &self,
        sums: &mut Sums<'_, T>,
        vectors: usize,
        stretches: &[Stretch],
        (pixels, x_stride): (usize, usize),
        (t, u, taps): (usize, usize, usize),
    ) {
        if stretches.is_empty() {
            return;
        }
        let shape = self.shape;
        let kernels = T::kernels(sums.level).weights[vectors - 1];
        let most = sums.level.tile_rows()[vectors - 1];
        let rows = taps * sums.take;
        let tiles = rows.div_ceil(most);
        let mut targets = [std::ptr::null_mut(); MOST_ROWS];
        for range in (0..tiles).map(|tile| even(rows, tiles, tile)) {
            for (row, target) in range.clone().zip(&mut targets) {
                let (tap, channel) = (u + row / sums.take, row % sums.take);
                let tap = self.rows.taps[t].index * shape.kernel[1] + self.columns.taps[tap].index;
                let at = (tap * shape.in_group() + sums.from + channel) * shape.out_channels + sums.first;
                *target = sums.target.at(at);
            }
            let tile = WeightTile {
                x: sums.x.as_ptr().wrapping_add(range.start),
                x_stride,
                gradient: sums.gradient.as_ptr(),
                stretches,
                pixels,
                targets: &targets[..range.len()],
                channels: sums.channels,
            };
            // SAFETY: `level` was detected on this processor; the stretches stay inside the copies for every pixel and row of
            // the tile; the targets lie inside the weights, and only this task writes these channels.
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

/// Elements of scratch that [`weight_gradient`] needs for scalars of `size` bytes: partial sums (1 MiB of f32 at most) and for
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
    Plan::new(shape, level.lanes(size_of::<T>())).run(level, x, gy, gw, scratch);
}

pub(super) fn scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if winograd::preferred(shape, size) {
        return FilteringWeights::new(shape, level, size).scratch();
    }
    sum_scratch_at(level, shape, size)
}

pub(super) fn sum_scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    Plan::new(shape, level.lanes(size)).scratch()
}
