//! Output pixels from input pixels: the correlation that both the forward pass and the input gradient are made of.
//!
//! Two layouts of the work. *Rows*: a unit is some output rows; its input rows are copied with their padding, and a tile runs
//! along a row. *Images*: where a row is too short to fill a tile, some whole images are copied as `[row][column][image]`, and
//! a tile runs over images at one position, so that taps in the padding cost nothing.

use std::ops::Range;

use rayon::prelude::*;

use super::copy::{Source, Unit, Units, copy_images, copy_rows};
use super::geometry::Axis;
use super::tile::{PixelTile, Real, Run};
use super::work::{Shared, each, even};
use crate::kernel::instruction_set::InstructionSet;

/// Output pixels in a unit: enough to reuse the weights of a block from the cache next to the core.
const UNIT_PIXELS: usize = 128;
/// Most tasks of one call.
const TASKS: usize = 32;
/// Rows shorter than this leave a tile half empty: images are tiled instead.
const SHORT_ROW: usize = 6;
/// Fewest images worth tiling, and most images copied at once.
const IMAGES: [usize; 2] = [8, 64];

/// A correlation over all groups, with everything known that does not depend on the scalar.
pub(super) struct Correlation {
    pub(super) batch: usize,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) groups: usize,
    /// Input channels of a group (the reduction).
    pub(super) reduce: usize,
    /// Output channels of a group.
    pub(super) produce: usize,
    /// Where output (0, 0) of image 0 lies, and the steps between images, rows and columns of outputs, in scalars.
    pub(super) origin: usize,
    pub(super) steps: [usize; 3],
    /// Scalars between weights: kernel positions `[row, column]`, groups, reduction, output channels.
    pub(super) weight_steps: [usize; 5],
}

/// A block of output channels of one group, one or two vectors wide.
#[derive(Clone, Copy)]
pub(super) struct ChannelBlock {
    pub(super) first: usize,
    pub(super) vectors: usize,
}

/// The block `index` of `channels` channels: two vectors wide, the last one vector where that is enough.
pub(super) fn channel_block(channels: usize, lanes: usize, index: usize) -> ChannelBlock {
    let first = index * 2 * lanes;
    ChannelBlock { first, vectors: if channels - first > lanes { 2 } else { 1 } }
}

/// Blocks of `channels` channels.
pub(super) fn channel_blocks(channels: usize, lanes: usize) -> usize {
    channels.div_ceil(2 * lanes)
}

/// How the work is laid out.
enum Layout {
    /// Tiles along rows, with `units` split over `tasks`; `copied` is the size of the copy of one task.
    Rows { units: Units, tasks: usize, copied: usize },
    /// Tiles over images, `images` at a time.
    Images { images: usize },
}

impl Correlation {
    fn taps(&self) -> usize {
        self.rows.taps.len() * self.columns.taps.len()
    }

    /// Terms of the sum behind one output, padding included.
    fn depth(&self) -> usize {
        self.taps() * self.reduce
    }

    /// Scalars of packed weights for one group.
    fn packed(&self, lanes: usize) -> usize {
        self.produce.next_multiple_of(lanes) * self.depth()
    }

    /// Scalars from one pixel to the next in an image copy: an odd number of vectors, so that pixels spread over the cache.
    fn image_pixel(&self, lanes: usize) -> usize {
        if self.reduce <= lanes { self.reduce } else { self.reduce.div_ceil(lanes) / 2 * 2 * lanes + lanes }
    }

    fn layout(&self) -> Layout {
        let (rows, columns) = (self.rows.outputs, self.columns.outputs);
        if columns < SHORT_ROW && rows * columns <= SHORT_ROW * SHORT_ROW && self.batch >= IMAGES[0] {
            return Layout::Images { images: self.batch.min(IMAGES[1]) };
        }
        // Small batches still make enough units for a few threads.
        let pixels = (self.batch * rows * columns / TASKS).clamp(16, UNIT_PIXELS);
        let units = Units::new(self.batch, rows, columns, pixels);
        let (images, unit_rows) = units.largest();
        let copied = images * self.rows.copy_len(unit_rows) * self.columns.copy_len(columns) * self.reduce;
        let padded = self.taps() > 0 && !(self.rows.inside() && self.columns.inside());
        let copied = if padded { copied } else { 0 };
        Layout::Rows { units, tasks: units.count().min(TASKS), copied }
    }

    /// Scratch in scalars.
    pub(super) fn scratch(&self, lanes: usize) -> usize {
        let copied = match self.layout() {
            Layout::Rows { tasks, copied, .. } => tasks * copied,
            Layout::Images { images } => self.rows.inputs * self.columns.inputs * images * self.image_pixel(lanes),
        };
        self.groups * self.packed(lanes) + copied
    }

    /// Runs the correlation.
    ///
    /// The lengths of the slices, scratch included, have been checked at the entry; `y` is valid for every output pixel.
    pub(super) fn run<T: Real>(&self, level: InstructionSet, x: &[T], w: &[T], y: Shared<T>, scratch: &mut [T]) {
        if self.batch * self.rows.outputs * self.columns.outputs * self.produce == 0 {
            return;
        }
        let lanes = level.lanes(size_of::<T>());
        let (packed, copies) = scratch.split_at_mut(self.groups * self.packed(lanes));
        self.pack(lanes, w, packed);
        match self.layout() {
            Layout::Rows { units, tasks, copied } => self.run_rows(level, x, packed, y, copies, (units, tasks, copied)),
            Layout::Images { images } => self.run_images(level, x, packed, y, copies, images),
        }
    }

    fn multiply_adds(&self) -> usize {
        self.batch * self.rows.outputs * self.columns.outputs * self.taps() * self.reduce * self.produce * self.groups
    }

    /// Packs the weights as `[group][channel block][tap][reduction][lane]`, zeros in the lanes beyond the last channel.
    fn pack<T: Real>(&self, lanes: usize, w: &[T], packed: &mut [T]) {
        let blocks = channel_blocks(self.produce, lanes);
        let depth = self.depth();
        let width = 2 * lanes * depth;
        if depth == 0 {
            return;
        }
        let [row_step, column_step, group_step, reduce_step, produce_step] = self.weight_steps;
        let pack_block = |group: usize, index: usize, target: &mut [T]| {
            let block = channel_block(self.produce, lanes, index);
            let width = block.vectors * lanes;
            let channels = width.min(self.produce - block.first);
            let taps = self.rows.taps.iter().flat_map(|row| self.columns.taps.iter().map(move |column| (row, column)));
            for ((row, column), target) in taps.zip(target.chunks_exact_mut(self.reduce * width)) {
                let start = row.index * row_step + column.index * column_step + group * group_step;
                let start = start + block.first * produce_step;
                if produce_step == 1 {
                    for (k, target) in target.chunks_exact_mut(width).enumerate() {
                        target[..channels].copy_from_slice(&w[start + k * reduce_step..][..channels]);
                        target[channels..].fill(T::default());
                    }
                } else {
                    if channels < width {
                        target.fill(T::default());
                    }
                    transpose(&w[start..], target, [self.reduce, channels], [reduce_step, produce_step, width]);
                }
            }
        };
        let work = self.groups * self.produce * depth * 16;
        each(work, packed.chunks_mut(self.packed(lanes)).enumerate().collect::<Vec<_>>(), |(group, target)| {
            let target: Vec<_> = target.chunks_mut(width).enumerate().collect();
            debug_assert_eq!(target.len(), blocks);
            each(work / self.groups, target, |(index, target)| pack_block(group, index, target));
        });
    }

    /// Tiles along rows; without padding straight from the input, otherwise from a copy.
    fn run_rows<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        packed: &[T],
        y: Shared<T>,
        copies: &mut [T],
        (units, tasks, copied): (Units, usize, usize),
    ) {
        let lanes = level.lanes(size_of::<T>());
        let blocks = channel_blocks(self.produce, lanes);
        // Few units: split the channels of a group over tasks too.
        let parts = if tasks < TASKS / 2 { blocks.min((TASKS / 2).div_ceil(tasks)) } else { 1 };
        let count = units.count();
        let task = |index: usize, copy: &mut [T]| {
            let mut runs = Vec::with_capacity(self.taps());
            for unit in even(count, tasks, index).map(|unit| units.get(unit)) {
                for group in 0..self.groups {
                    let source = self.source(x, group);
                    if copied > 0 {
                        copy_rows(source, &self.rows, &self.columns, unit, self.reduce, copy);
                    }
                    let copy = &*copy;
                    let part = |part: usize, runs: &mut Vec<Run>| {
                        for block in even(blocks, parts, part) {
                            self.unit_rows(
                                level,
                                if copied > 0 { copy } else { x },
                                packed,
                                y,
                                (unit, group, block),
                                copied > 0,
                                runs,
                            );
                        }
                    };
                    if parts == 1 {
                        part(0, &mut runs);
                    } else {
                        (0..parts).into_par_iter().for_each(|index| part(index, &mut Vec::with_capacity(self.taps())));
                    }
                }
            }
        };
        let work = self.multiply_adds();
        if copied == 0 {
            each(work, (0..tasks).collect::<Vec<_>>(), |index| task(index, &mut []));
        } else {
            each(work, copies.chunks_mut(copied).take(tasks).enumerate().collect::<Vec<_>>(), |(index, copy)| {
                task(index, copy)
            });
        }
    }

    fn source<'a, T>(&self, x: &'a [T], group: usize) -> Source<'a, T> {
        Source {
            data: x,
            height: self.rows.inputs,
            width: self.columns.inputs,
            channels: self.reduce * self.groups,
            from: group * self.reduce,
            take: self.reduce,
        }
    }

    /// One block of channels of the rows of a unit.
    #[allow(clippy::too_many_arguments)]
    fn unit_rows<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        packed: &[T],
        y: Shared<T>,
        (unit, group, index): (Unit, usize, usize),
        copied: bool,
        runs: &mut Vec<Run>,
    ) {
        let lanes = level.lanes(size_of::<T>());
        let block = channel_block(self.produce, lanes, index);
        let channels = (block.vectors * lanes).min(self.produce - block.first);
        let kernels = T::kernels(level).pixels[block.vectors - 1];
        let weights = &packed[group * self.packed(lanes) + block.first * self.depth()..];
        let columns = self.columns.outputs;
        // Geometry of what is read: the copy, or the input itself.
        let (pixel, height, width) = if copied {
            (self.reduce, self.rows.copy_len(unit.rows), self.columns.copy_len(columns))
        } else {
            (self.reduce * self.groups, self.rows.inputs, self.columns.inputs)
        };
        let x_stride = pixel * if copied { self.columns.copy_stride() } else { self.columns.stride };
        let merged = self.columns.consecutive() && pixel == self.reduce;
        for image in 0..unit.images {
            for row in unit.first_row..unit.first_row + unit.rows {
                runs.clear();
                let taps = if self.depth() == 0 { &[] } else { &self.rows.taps[..] };
                for (t, tap) in taps.iter().enumerate() {
                    let Some(input) = self.rows.input(row, *tap) else { continue };
                    let line = if copied {
                        let above = (tap.offset - self.rows.first()) as usize;
                        image * height + (row - unit.first_row) * self.rows.copy_stride() + above
                    } else {
                        (unit.first_image + image) * height + input
                    };
                    let start = |offset: isize| {
                        let column = if copied { offset - self.columns.first() } else { offset } as usize;
                        (line * width + column) * pixel + if copied { 0 } else { group * self.reduce }
                    };
                    let first = t * self.columns.taps.len() * self.reduce;
                    if merged {
                        let len = self.columns.taps.len() * self.reduce;
                        runs.push(Run { x: start(self.columns.first()), row: first, len });
                    } else {
                        runs.extend(self.columns.taps.iter().enumerate().map(|(u, tap)| Run {
                            x: start(tap.offset),
                            row: first + u * self.reduce,
                            len: self.reduce,
                        }));
                    }
                }
                let line = self.origin
                    + (unit.first_image + image) * self.steps[0]
                    + row * self.steps[1]
                    + group * self.produce
                    + block.first;
                let rows = level.tile_rows()[block.vectors - 1];
                let tiles = columns.div_ceil(rows);
                for range in (0..tiles).map(|tile| even(columns, tiles, tile)) {
                    let tile = PixelTile {
                        x: x.as_ptr().wrapping_add(range.start * x_stride),
                        x_stride,
                        weights: weights.as_ptr(),
                        runs,
                        y: y.at(line + range.start * self.steps[2]),
                        y_stride: self.steps[2],
                        channels,
                    };
                    // SAFETY: `level` was detected on this processor. The runs stay inside the copy (or the input, when no
                    // tap leaves it) for every pixel of the row, `weights` holds a row for every tap and reduced channel, and
                    // no other task writes these channels of these pixels.
                    unsafe { kernels[range.len() - 1](&tile) };
                }
            }
        }
    }

    /// Tiles over images: for each few images, all of them copied, then all their outputs.
    fn run_images<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        packed: &[T],
        y: Shared<T>,
        copy: &mut [T],
        each_images: usize,
    ) {
        let lanes = level.lanes(size_of::<T>());
        let pixel = self.image_pixel(lanes);
        let blocks = channel_blocks(self.produce, lanes);
        let work = self.multiply_adds();
        for first in (0..self.batch).step_by(each_images) {
            let images = each_images.min(self.batch - first);
            for group in 0..self.groups {
                let source = self.source(x, group);
                let copies: Vec<_> = copy
                    .chunks_mut((images * pixel).max(1))
                    .take(self.rows.inputs * self.columns.inputs)
                    .enumerate()
                    .collect();
                each(work, copies, |(position, target)| copy_images(source, first, images, position, pixel, target));
                // Tasks: blocks of channels, and halves of the images where there are few blocks.
                let parts = 16usize.div_ceil(blocks).min(images.div_ceil(8));
                let copy = &*copy;
                each(work, (0..blocks * parts).collect::<Vec<_>>(), |task| {
                    let range = even(images, parts, task % parts);
                    self.block_images(level, copy, packed, y, (first, range, images * pixel), (group, task / parts));
                });
            }
        }
    }

    /// One block of channels of some of the copied images, of which the first is image `first_image` of the batch; in the copy
    /// positions are `position_step` apart.
    fn block_images<T: Real>(
        &self,
        level: InstructionSet,
        copy: &[T],
        packed: &[T],
        y: Shared<T>,
        (first_image, images, position_step): (usize, Range<usize>, usize),
        (group, index): (usize, usize),
    ) {
        let lanes = level.lanes(size_of::<T>());
        let pixel = self.image_pixel(lanes);
        let block = channel_block(self.produce, lanes, index);
        let channels = (block.vectors * lanes).min(self.produce - block.first);
        let kernels = T::kernels(level).pixels[block.vectors - 1];
        let weights = &packed[group * self.packed(lanes) + block.first * self.depth()..];
        let rows = level.tile_rows()[block.vectors - 1];
        let tiles = images.len().div_ceil(rows);
        let mut runs = Vec::with_capacity(self.taps());
        for row in 0..self.rows.outputs {
            for column in 0..self.columns.outputs {
                runs.clear();
                let taps = if self.depth() == 0 { &[] } else { &self.rows.taps[..] };
                for (t, tap) in taps.iter().enumerate() {
                    let Some(input_row) = self.rows.input(row, *tap) else { continue };
                    for (u, tap) in self.columns.taps.iter().enumerate() {
                        let Some(input_column) = self.columns.input(column, *tap) else { continue };
                        runs.push(Run {
                            x: (input_row * self.columns.inputs + input_column) * position_step,
                            row: (t * self.columns.taps.len() + u) * self.reduce,
                            len: self.reduce,
                        });
                    }
                }
                let at =
                    self.origin + row * self.steps[1] + column * self.steps[2] + group * self.produce + block.first;
                for range in (0..tiles).map(|tile| even(images.len(), tiles, tile)) {
                    let first = images.start + range.start;
                    let tile = PixelTile {
                        x: copy.as_ptr().wrapping_add(first * pixel),
                        x_stride: pixel,
                        weights: weights.as_ptr(),
                        runs: &runs,
                        y: y.at(at + (first_image + first) * self.steps[0]),
                        y_stride: self.steps[0],
                        channels,
                    };
                    // SAFETY: `level` was detected on this processor. The runs name positions inside the image, copied for
                    // every image of the range; `weights` holds a row for every tap and reduced channel, and no other task
                    // writes these channels of these images.
                    unsafe { kernels[range.len() - 1](&tile) };
                }
            }
        }
    }
}

/// Writes `target[k · width + lane] = source[k · k_step + lane · lane_step]`, in squares that fit into registers and cache lines.
fn transpose<T: Real>(
    source: &[T],
    target: &mut [T],
    [depth, lanes]: [usize; 2],
    [k_step, lane_step, width]: [usize; 3],
) {
    const SIDE: usize = 16;
    for first in (0..depth).step_by(SIDE) {
        for lane in (0..lanes).step_by(SIDE) {
            let (ks, ls) = (SIDE.min(depth - first), SIDE.min(lanes - lane));
            let source = &source[first * k_step + lane * lane_step..];
            let target = &mut target[first * width + lane..];
            if k_step == 1 && ks == SIDE && ls == SIDE {
                // Through a small square: reads and writes are whole lines, and the shuffle never leaves the first cache.
                let mut square = [[T::default(); SIDE]; SIDE];
                for (l, line) in square.iter_mut().enumerate() {
                    line.copy_from_slice(&source[l * lane_step..][..SIDE]);
                }
                for (k, line) in target.chunks_mut(width).take(SIDE).enumerate() {
                    for (value, row) in line[..SIDE].iter_mut().zip(&square) {
                        *value = row[k];
                    }
                }
            } else {
                for k in 0..ks {
                    for l in 0..ls {
                        target[k * width + l] = source[k * k_step + l * lane_step];
                    }
                }
            }
        }
    }
}
