//! Output pixels from input pixels: the correlation that both the forward pass and the input gradient are made of.
//!
//! Three layouts of the work. *Rows*: a unit is some output rows; its input rows are copied with their padding, and a tile runs
//! along a row. *Images*: where a row is too short to fill a tile, some whole images are copied as `[row][column][image]`, and
//! a tile runs over images at one position, so that taps in the padding cost nothing. *Planes* (`planes.rs`): where the output
//! channels fill less than half a vector, pixels take the place of channels in it.

use std::ops::Range;

use super::copy::{Source, Unit, Units, copy_images, copy_rows};
use super::geometry::Axis;
use super::kernels::Real;
use super::planes::Planes;
use super::tile::{Nest, PixelTile};
use super::work::{Shared, apart, each, even};
use crate::kernel::instruction_set::InstructionSet;

/// Output pixels in a unit: enough to reuse the weights of a block from the cache next to the core.
const UNIT_PIXELS: usize = 128;
/// Most scalars of input in a unit, so that the copy stays in the second-level cache.
const UNIT_SCALARS: usize = 1 << 16;
/// Most tasks of one call.
pub(super) const TASKS: usize = 32;
/// Rows shorter than this leave a tile half empty: images are tiled instead.
const SHORT_ROW: usize = 6;
/// Fewest images worth tiling, and most images copied at once.
const IMAGES: [usize; 2] = [8, 64];
/// Up to this many output pixels use a weight too seldom to pay for packing it.
const FEW_PIXELS: usize = 64;

/// A correlation over all groups, with everything known that does not depend on the scalar.
#[derive(Clone, Copy)]
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
pub(in crate::kernel) struct ChannelBlock {
    pub(in crate::kernel) first: usize,
    pub(in crate::kernel) vectors: usize,
}

/// The block `index` of `channels` channels: two vectors wide, the last one vector where that is enough.
pub(in crate::kernel) fn channel_block(channels: usize, lanes: usize, index: usize) -> ChannelBlock {
    let first = index * 2 * lanes;
    ChannelBlock { first, vectors: if channels - first > lanes { 2 } else { 1 } }
}

/// Blocks of `channels` channels.
pub(in crate::kernel) fn channel_blocks(channels: usize, lanes: usize) -> usize {
    channels.div_ceil(2 * lanes)
}

/// How the work is laid out.
enum Layout {
    /// Tiles along rows.
    Rows(Rows),
    /// Tiles over images, `images` at a time.
    Images { images: usize },
    /// Tiles of planes.
    Planes(Planes),
}

/// Units of rows, split over tasks.
struct Rows {
    units: Units,
    tasks: usize,
    /// Into how many parts each unit's blocks of channels are split, where there are few units.
    parts: usize,
    /// The size of the copy of one task.
    copied: usize,
}

impl Correlation {
    pub(super) fn taps(&self) -> usize {
        self.rows.taps * self.columns.taps
    }

    /// Terms of the sum behind one output, padding included.
    pub(super) fn depth(&self) -> usize {
        self.taps() * self.reduce
    }

    /// Output pixels of one group.
    fn pixels(&self) -> usize {
        self.batch * self.rows.outputs * self.columns.outputs
    }

    /// Scalars of packed weights for one group.
    pub(super) fn packed(&self, lanes: usize) -> usize {
        self.produce.next_multiple_of(lanes) * self.depth()
    }

    /// Whether the weights are read as they are: in the order of the kernel, rows of whole vectors, and too few pixels to pay
    /// for packing.
    pub(super) fn weights_in_place(&self, lanes: usize) -> bool {
        let in_order = self.rows.index_step() == 1 && self.columns.index_step() == 1 && self.weight_steps[4] == 1;
        in_order && self.produce.is_multiple_of(lanes) && self.pixels() <= FEW_PIXELS
    }

    /// Scalars from one pixel to the next in a copy whose pixels are summed one by one: an odd number of vectors, so that they
    /// spread over the cache.
    fn spread_pixel(&self, lanes: usize) -> usize {
        if self.reduce <= lanes { self.reduce } else { self.reduce.div_ceil(lanes) / 2 * 2 * lanes + lanes }
    }

    /// Scalars from one pixel to the next in a copy of rows: dense where neighbouring columns are one contiguous sum.
    fn row_pixel(&self, lanes: usize) -> usize {
        if self.columns.taps > 1 { self.reduce } else { self.spread_pixel(lanes) }
    }

    /// Whether tiles along rows read the input as it is: a copy would be the same, and is read for one block only.
    fn input_in_place(&self, lanes: usize) -> bool {
        let same = |axis: &Axis| axis.taps == 1 && axis.stride == 1 && axis.offset == 0 && axis.outputs == axis.inputs;
        same(&self.rows) && same(&self.columns) && self.groups == 1 && self.produce <= 2 * lanes
    }

    fn layout(&self, lanes: usize) -> Layout {
        let (rows, columns) = (self.rows.outputs, self.columns.outputs);
        if let Some(planes) = Planes::new(self, lanes) {
            return Layout::Planes(planes);
        }
        if columns < SHORT_ROW && rows * columns <= SHORT_ROW * SHORT_ROW && self.batch >= IMAGES[0] {
            return Layout::Images { images: self.batch.min(IMAGES[1]) };
        }
        // Small batches still make enough units for a few threads.
        let pixels = (self.pixels() / TASKS).clamp(16, UNIT_PIXELS).min((UNIT_SCALARS / self.reduce.max(1)).max(1));
        let units = Units::new(self.batch, rows, columns, pixels);
        let tasks = units.count().min(TASKS);
        let blocks = channel_blocks(self.produce, lanes);
        let parts = if tasks < TASKS / 2 { blocks.min((TASKS / 2).div_ceil(tasks.max(1))) } else { 1 };
        let (images, unit_rows) = units.largest();
        // Without a tap (some phases of an input gradient) the outputs are zeros and nothing is read.
        let read = if self.depth() == 0 || self.input_in_place(lanes) { 0 } else { self.row_pixel(lanes) };
        let copied = images * self.rows.copy_len(unit_rows) * self.columns.copy_len(columns) * read;
        Layout::Rows(Rows { units, tasks, parts, copied })
    }

    /// Scratch in scalars.
    pub(super) fn scratch(&self, lanes: usize) -> usize {
        let packed = if self.weights_in_place(lanes) { 0 } else { self.groups * self.packed(lanes) };
        match self.layout(lanes) {
            Layout::Rows(rows) => packed + rows.tasks * rows.copied,
            Layout::Images { images } => {
                packed + self.rows.inputs * self.columns.inputs * images * self.spread_pixel(lanes)
            }
            Layout::Planes(planes) => planes.scratch(self, lanes),
        }
    }

    /// Runs the correlation.
    ///
    /// The lengths of the slices, scratch included, have been checked at the entry; `y` is valid for every output pixel.
    pub(super) fn run<T: Real>(&self, level: InstructionSet, x: &[T], w: &[T], y: Shared<T>, scratch: &mut [T]) {
        if self.pixels() * self.produce == 0 {
            return;
        }
        let lanes = level.lanes(size_of::<T>());
        let layout = self.layout(lanes);
        if let Layout::Planes(planes) = layout {
            return planes.run(self, level, x, w, y, scratch);
        }
        let in_place = self.weights_in_place(lanes);
        let (packed, copies) = scratch.split_at_mut(if in_place { 0 } else { self.groups * self.packed(lanes) });
        if !in_place {
            self.pack(level, w, packed);
        }
        let weights = if in_place { w } else { packed };
        match layout {
            Layout::Rows(rows) => self.run_rows(level, x, weights, y, copies, &rows),
            Layout::Images { images } => self.run_images(level, x, weights, y, copies, images),
            Layout::Planes(_) => {}
        }
    }

    pub(super) fn multiply_adds(&self) -> usize {
        self.pixels() * self.depth() * self.produce * self.groups
    }

    /// Tiles along rows, from a copy of the rows of a unit.
    fn run_rows<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        weights: &[T],
        y: Shared<T>,
        copies: &mut [T],
        &Rows { ref units, tasks, parts, copied }: &Rows,
    ) {
        let lanes = level.lanes(size_of::<T>());
        let blocks = channel_blocks(self.produce, lanes);
        let in_place = self.input_in_place(lanes);
        let pixel = if in_place { self.reduce } else { self.row_pixel(lanes) };
        let (work, count) = (self.multiply_adds(), units.count());
        let (copies, apart) = (Shared::new(copies), apart());
        each(work, tasks, |task| {
            // SAFETY: inside the scratch, whose size has been checked; tasks that run at once have copies of their own.
            let copy = unsafe { copies.slice(task * apart * copied, copied) };
            for unit in even(count, tasks, task).map(|unit| units.get(unit)) {
                for group in 0..self.groups {
                    if copied > 0 {
                        copy_rows(level, self.source(x, group), &self.rows, &self.columns, unit, pixel, copy);
                    }
                    let line = unit.first_image * self.rows.inputs + unit.first_row;
                    let copy = if in_place { &x[line * self.columns.inputs * pixel..] } else { &*copy };
                    each(work / count, parts, |part| {
                        for block in even(blocks, parts, part) {
                            self.unit_rows(level, copy, pixel, weights, y, (unit, group, block));
                        }
                    });
                }
            }
        });
    }

    pub(super) fn source<'a, T>(&self, x: &'a [T], group: usize) -> Source<'a, T> {
        Source {
            data: x,
            height: self.rows.inputs,
            width: self.columns.inputs,
            channels: self.reduce * self.groups,
            from: group * self.reduce,
            take: self.reduce,
        }
    }

    /// One block of channels of the rows of a unit, from a copy in which a pixel takes `pixel` scalars.
    fn unit_rows<T: Real>(
        &self,
        level: InstructionSet,
        copy: &[T],
        pixel: usize,
        weights: &[T],
        y: Shared<T>,
        (unit, group, index): (Unit, usize, usize),
    ) {
        let lanes = level.lanes(size_of::<T>());
        let block = channel_block(self.produce, lanes, index);
        let channels = (block.vectors * lanes).min(self.produce - block.first);
        let kernels = T::kernels(level).pixels[block.vectors - 1];
        let weights = self.weight_rows(lanes, weights, group, index);
        let columns = self.columns.outputs;
        let (height, width) = (self.rows.copy_len(unit.rows), self.columns.copy_len(columns));
        let x_stride = self.columns.copy_stride() * pixel;
        // Neighbouring columns and their channels are one contiguous stretch of the input and of the weights.
        let merged = self.columns.taps > 1 && self.columns.consecutive();
        let reduce = self.reduce;
        let [taps, len] = if merged { [1, self.columns.taps * reduce] } else { [self.columns.taps, reduce] };
        let most = level.tile_rows()[block.vectors - 1];
        let tiles = columns.div_ceil(most);
        for image in 0..unit.images {
            for row in 0..unit.rows {
                let down = self.rows.taps_at(unit.first_row + row);
                let line = image * height + row * self.rows.copy_stride() + down.start * self.rows.spread;
                let nest = Nest {
                    counts: [down.len(), taps, len],
                    first: [self.rows.spread * width * pixel, self.columns.spread * pixel, 1],
                    second: weights.steps,
                };
                let at = self.origin
                    + (unit.first_image + image) * self.steps[0]
                    + (unit.first_row + row) * self.steps[1]
                    + group * self.produce
                    + block.first;
                for range in (0..tiles).map(|tile| even(columns, tiles, tile)) {
                    let tile = PixelTile {
                        x: copy.as_ptr().wrapping_add(line * width * pixel + range.start * x_stride),
                        x_stride,
                        weights: weights.data.wrapping_add(down.start * weights.steps[0]),
                        nest,
                        y: y.at(at + range.start * self.steps[2]),
                        y_stride: self.steps[2],
                        channels,
                        add: false,
                    };
                    // SAFETY: `level` was detected on this processor. The copy holds every input of the row's pixels, the
                    // weights a row for every tap and reduced channel, and no other task writes these channels of these
                    // pixels.
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
        weights: &[T],
        y: Shared<T>,
        copy: &mut [T],
        each_images: usize,
    ) {
        let lanes = level.lanes(size_of::<T>());
        let pixel = self.spread_pixel(lanes);
        let blocks = channel_blocks(self.produce, lanes);
        let work = self.multiply_adds();
        for first in (0..self.batch).step_by(each_images) {
            let images = each_images.min(self.batch - first);
            for group in 0..self.groups {
                let source = self.source(x, group);
                let shared = Shared::new(copy);
                each(work, self.rows.inputs * self.columns.inputs, |position| {
                    // SAFETY: inside the scratch, whose size has been checked; each position has a place of its own.
                    let target = unsafe { shared.slice(position * images * pixel, images * pixel) };
                    copy_images(level, source, first..first + images, position, pixel, target);
                });
                // Tasks: blocks of channels, and halves of the images where there are few blocks.
                let parts = 16usize.div_ceil(blocks).min(images.div_ceil(8));
                let copy = &*copy;
                each(work, blocks * parts, |task| {
                    let range = even(images, parts, task % parts);
                    self.block_images(level, copy, weights, y, (first, range, images * pixel), (group, task / parts));
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
        weights: &[T],
        y: Shared<T>,
        (first_image, images, position_step): (usize, Range<usize>, usize),
        (group, index): (usize, usize),
    ) {
        let lanes = level.lanes(size_of::<T>());
        let pixel = self.spread_pixel(lanes);
        let block = channel_block(self.produce, lanes, index);
        let channels = (block.vectors * lanes).min(self.produce - block.first);
        let kernels = T::kernels(level).pixels[block.vectors - 1];
        let weights = self.weight_rows(lanes, weights, group, index);
        let most = level.tile_rows()[block.vectors - 1];
        let tiles = images.len().div_ceil(most);
        for (row, column) in
            (0..self.rows.outputs).flat_map(|row| (0..self.columns.outputs).map(move |column| (row, column)))
        {
            let (down, right) = (self.rows.taps_at(row), self.columns.taps_at(column));
            let nest = Nest {
                counts: [down.len(), right.len(), self.reduce],
                first: [self.rows.spread * self.columns.inputs * position_step, self.columns.spread * position_step, 1],
                second: weights.steps,
            };
            // Where no tap reads an input, the nest is empty and the place does not matter.
            let [input_row, input_column] = [self.rows.input(row, down.start), self.columns.input(column, right.start)];
            let position = input_row * self.columns.inputs + input_column;
            let at = self.origin + row * self.steps[1] + column * self.steps[2] + group * self.produce + block.first;
            for range in (0..tiles).map(|tile| even(images.len(), tiles, tile)) {
                let first = images.start + range.start;
                let tile = PixelTile {
                    x: copy.as_ptr().wrapping_add(position * position_step + first * pixel),
                    x_stride: pixel,
                    weights: weights.data.wrapping_add(down.start * weights.steps[0] + right.start * weights.steps[1]),
                    nest,
                    y: y.at(at + (first_image + first) * self.steps[0]),
                    y_stride: self.steps[0],
                    channels,
                    add: false,
                };
                // SAFETY: `level` was detected on this processor. The nest leads to positions inside the image, copied for
                // every image of the range; the weights hold a row for every tap and reduced channel, and no other task
                // writes these channels of these images.
                unsafe { kernels[range.len() - 1](&tile) };
            }
        }
    }
}
