//! Outputs, and gradients of inputs, by minimal filtering.

use super::super::correlate::{channel_block, channel_blocks};
use super::super::geometry::ConvShape;
use super::super::kernels::Real;
use super::super::tile::{Nest, PixelTile};
use super::super::work::{FORK, Shared, apart, each, even};
use super::grid::Grid;
use super::transform::{Filter, Gather, PLANES, Scatter};
use super::{ENOUGH, LINE, aligned, in_parts, spread};
use crate::kernel::instruction_set::InstructionSet;

/// Scalars of a band to aim for.
const BAND: usize = 1 << 14;
/// Scalars of all slots together, unless a single one takes more.
const SLOTS: usize = 1 << 20;
/// Most slots.
const MOST_SLOTS: usize = 32;
/// Rows of weights transformed at a time where they must be transposed before, and the most lanes of a row.
const ROWS: usize = 16;
const LANES: usize = 32;

/// A convolution with stride 1 and 3 × 3 taps, in either direction.
pub(in super::super) struct Filtering {
    grid: Grid,
    /// Channels that are summed over.
    reduce: usize,
    /// Channels that come out.
    produce: usize,
    /// Where the first tap lies, and the scalars between taps (modulo 2^64), summed channels, and channels that come out.
    first_tap: usize,
    weight_steps: [usize; 3],
    /// Scalars of a vector.
    lanes: usize,
    /// Tiles in a band, bands, and the slots to which they are dealt.
    band: usize,
    bands: usize,
    slots: usize,
}

impl Filtering {
    /// The convolution itself.
    pub(in super::super) fn forward(shape: &ConvShape, level: InstructionSet, size: usize) -> Filtering {
        let tap = shape.in_channels * shape.out_channels;
        let channels = [shape.in_channels, shape.out_channels];
        Filtering::new(Grid::forward(shape), channels, 0, [tap, shape.out_channels, 1], level, size)
    }

    /// The gradient of its input.
    pub(in super::super) fn backward(shape: &ConvShape, level: InstructionSet, size: usize) -> Filtering {
        let tap = shape.in_channels * shape.out_channels;
        let channels = [shape.out_channels, shape.in_channels];
        let steps = [tap.wrapping_neg(), 1, shape.out_channels];
        Filtering::new(Grid::backward(shape), channels, 8 * tap, steps, level, size)
    }

    fn new(
        grid: Grid,
        [reduce, produce]: [usize; 2],
        first_tap: usize,
        weight_steps: [usize; 3],
        level: InstructionSet,
        size: usize,
    ) -> Filtering {
        let lanes = level.lanes(size);
        let rows = level.tile_rows()[if produce > lanes { 1 } else { 0 }];
        let tile = PLANES * (reduce.next_multiple_of(lanes) + produce.next_multiple_of(lanes));
        let band = (BAND / (tile * rows).max(1)).clamp(1, 8) * rows;
        let bands = grid.count().div_ceil(band);
        let mut filtering = Filtering { grid, reduce, produce, first_tap, weight_steps, lanes, band, bands, slots: 1 };
        filtering.slots = (SLOTS / filtering.slot().max(1)).clamp(1, MOST_SLOTS).min(bands.max(1));
        filtering
    }

    /// Scalars from tile to tile before and after the products.
    fn rows(&self) -> [usize; 2] {
        [self.reduce, self.produce].map(|channels| channels.next_multiple_of(self.lanes))
    }

    /// Scalars from plane to plane before and after the products, and of the weights.
    fn planes(&self) -> [usize; 3] {
        let [before, after] = self.rows();
        [spread(self.band * before), spread(self.band * after), spread(self.reduce * after)]
    }

    /// Scalars of a slot.
    fn slot(&self) -> usize {
        let [before, after, _] = self.planes();
        PLANES * (before + after)
    }

    /// Scalars of scratch.
    pub(in super::super) fn scratch(&self) -> usize {
        LINE + spread(self.reduce) + PLANES * self.planes()[2] + self.slots * self.slot()
    }

    /// Filters `x` with `w` into `y`, which is valid for every output; the scratch has been checked at the entry.
    pub(in super::super) fn run<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        w: &[T],
        y: Shared<T>,
        scratch: &mut [T],
    ) {
        if self.grid.count() * self.produce == 0 {
            return;
        }
        let work = PLANES * self.grid.count() * self.reduce * self.produce;
        let (zeros, scratch) = aligned(scratch).split_at_mut(spread(self.reduce));
        zeros.fill(T::default());
        let (weights, slots) = scratch.split_at_mut(PLANES * self.planes()[2]);
        self.transform_weights(level, w, weights);
        let (zeros, weights) = (&*zeros, &*weights);
        let (slots, apart) = (Shared::new(slots), apart());
        each(work, self.slots, |index| {
            let slot = Shared::from_raw(slots.at(index * apart * self.slot()));
            for band in even(self.bands, self.slots, index) {
                let first = band * self.band;
                let count = self.band.min(self.grid.count() - first);
                let band = Band { level, x, zeros, weights, y, slot, first, count };
                self.band(&band, work);
            }
        });
    }

    /// Transforms and packs the weights as `[plane][channel block][summed channel][lane]`.
    fn transform_weights<T: Real>(&self, level: InstructionSet, w: &[T], weights: &mut [T]) {
        let plane = self.planes()[2];
        let weights = Shared::new(weights);
        let chunks = self.reduce.div_ceil(ROWS);
        let items = channel_blocks(self.produce, self.lanes) * chunks;
        let [tap, row, lane] = self.weight_steps;
        let transform = T::transforms(level).weights;
        each(self.reduce * self.produce * PLANES, items, |item| {
            let block = channel_block(self.produce, self.lanes, item / chunks);
            let width = block.vectors * self.lanes;
            let channels = width.min(self.produce - block.first);
            let first = item % chunks * ROWS;
            let rows = ROWS.min(self.reduce - first);
            let target = weights.at(block.first * self.reduce + first * width);
            let at = self.first_tap + first * row + block.first * lane;
            let mut filter =
                Filter { source: w[at..].as_ptr(), tap, row, rows, channels, target, target_row: width, plane };
            let mut square = [T::default(); 9 * ROWS * LANES];
            if lane != 1 {
                for (index, square) in square.chunks_exact_mut(ROWS * LANES).enumerate() {
                    let at = at.wrapping_add(index.wrapping_mul(tap));
                    for channel in 0..channels {
                        let source = &w[at + channel * lane..][..rows];
                        for (&weight, square) in source.iter().zip(square[channel..].iter_mut().step_by(LANES)) {
                            *square = weight;
                        }
                    }
                }
                filter = Filter { source: square.as_ptr(), tap: ROWS * LANES, row: LANES, ..filter };
            }
            // SAFETY: `level` was detected on this processor. The source holds nine taps of these rows and channels, the planes
            // of the weights these rows of this block, which no other task writes.
            unsafe { transform(&filter) };
        });
    }

    /// The outputs of a band.
    fn band<T: Real>(&self, band: &Band<'_, T>, work: usize) {
        let [before, after] = self.rows();
        let [plane_before, plane_after, plane_weights] = self.planes();
        let products = Shared::from_raw(band.slot.at(PLANES * plane_before));
        let parallel = work >= FORK && self.slots < ENOUGH;
        let parts = if parallel { band.count.div_ceil(4) } else { 1 };
        let transforms = T::transforms(band.level);
        in_parts(parallel, parts, |part| {
            let tiles = even(band.count, parts, part);
            let gather = Gather {
                grid: &self.grid,
                first: band.first + tiles.start,
                count: tiles.len(),
                source: band.x.as_ptr(),
                pixel: self.reduce,
                channels: self.reduce,
                zeros: band.zeros.as_ptr(),
                target: band.slot.at(tiles.start * before),
                row: before,
                plane: plane_before,
            };
            // SAFETY: `level` was detected on this processor; the input holds every pixel of the grid, the slot a row of every
            // plane for each tile of the band, and no other part writes those of these tiles.
            unsafe { (transforms.inputs)(&gather) };
        });
        let blocks = channel_blocks(self.produce, self.lanes);
        in_parts(parallel, PLANES * blocks, |item| {
            let (plane, block) = (item / blocks, channel_block(self.produce, self.lanes, item % blocks));
            let kernels = T::kernels(band.level).pixels[block.vectors - 1];
            let most = band.level.tile_rows()[block.vectors - 1];
            let pieces = band.count.div_ceil(most);
            for piece in 0..pieces {
                let tiles = even(band.count, pieces, piece);
                let tile = PixelTile {
                    x: band.slot.at(plane * plane_before + tiles.start * before),
                    x_stride: before,
                    weights: band.weights[plane * plane_weights + block.first * self.reduce..].as_ptr(),
                    nest: Nest::line(self.reduce, 1, block.vectors * self.lanes),
                    y: products.at(plane * plane_after + tiles.start * after + block.first),
                    y_stride: after,
                    channels: block.vectors * self.lanes,
                    add: false,
                };
                // SAFETY: `level` was detected on this processor; the planes hold these rows and channels in whole vectors, and
                // no other item writes this block of this plane.
                unsafe { kernels[tiles.len() - 1](&tile) };
            }
        });
        in_parts(parallel, parts, |part| {
            let tiles = even(band.count, parts, part);
            let scatter = Scatter {
                grid: &self.grid,
                first: band.first + tiles.start,
                count: tiles.len(),
                source: products.at(tiles.start * after),
                row: after,
                plane: plane_after,
                target: band.y.at(0),
                channels: self.produce,
            };
            // SAFETY: as for the inputs; a tile owns its outputs, and those outside the image are not written.
            unsafe { (transforms.outputs)(&scatter) };
        });
    }
}

/// A band and what it needs.
struct Band<'a, T> {
    level: InstructionSet,
    x: &'a [T],
    zeros: &'a [T],
    weights: &'a [T],
    y: Shared<T>,
    /// The planes before the products, then those after.
    slot: Shared<T>,
    first: usize,
    count: usize,
}
