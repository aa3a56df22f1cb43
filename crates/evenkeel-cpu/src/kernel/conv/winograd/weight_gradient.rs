//! Gradients of weights by minimal filtering: sixteen products summed over tiles, transformed once at the end.

use super::super::correlate::{channel_block, channel_blocks};
use super::super::geometry::ConvShape;
use super::super::kernels::Real;
use super::super::tile::{Nest, WeightTile};
use super::super::work::{FORK, Shared, each, even};
use super::grid::Grid;
use super::transform::{FilterGradient, Gather, PLANES};
use super::{ENOUGH, LINE, aligned, in_parts, spread};
use crate::kernel::instruction_set::InstructionSet;
use crate::kernel::is_alone;

/// Scalars of the planes of a band to aim for.
const BAND: usize = 1 << 15;
/// Fewest tiles in a band, over which adding to the sums is spread: more where the sums are large and lie in a farther cache.
const LEAST_BAND: [usize; 2] = [32, 128];
/// Scalars of large sums.
const LARGE_SUMS: usize = 1 << 15;
/// Scalars of all parts together, unless a single one takes more.
const PARTS: usize = 1 << 20;
/// Most parts.
const MOST_PARTS: usize = 16;
/// Rows of the largest tile.
const MOST_ROWS: usize = 24;
/// Rows of weights that are transformed at a time.
const ROWS: usize = 4;

/// The gradient of a convolution with stride 1 and 3 × 3 taps with respect to its weights.
pub(in super::super) struct FilteringWeights {
    grid: Grid,
    c_in: usize,
    c_out: usize,
    /// Scalars of a vector.
    lanes: usize,
    /// Tiles in a band, bands, and the parts that sum some of the bands each.
    band: usize,
    bands: usize,
    parts: usize,
}

impl FilteringWeights {
    /// A thread that works alone sums into one part.
    pub(in super::super) fn new(shape: &ConvShape, level: InstructionSet, size: usize) -> FilteringWeights {
        let (grid, lanes) = (Grid::forward(shape), level.lanes(size));
        let (c_in, c_out) = (shape.in_channels, shape.out_channels);
        let tile = PLANES * (c_in.next_multiple_of(lanes) + c_out.next_multiple_of(lanes));
        let least = LEAST_BAND[if PLANES * c_in * c_out < LARGE_SUMS { 0 } else { 1 }];
        let band = (BAND / tile.max(1)).max(least).min(grid.count().max(1));
        let bands = grid.count().div_ceil(band);
        let mut filtering = FilteringWeights { grid, c_in, c_out, lanes, band, bands, parts: 1 };
        if !is_alone() {
            filtering.parts = (PARTS / filtering.part().max(1)).clamp(1, MOST_PARTS).min(bands.max(1));
        }
        filtering
    }

    /// Scalars from tile to tile of the inputs, and of all vectors of the output channels.
    fn rows(&self) -> [usize; 2] {
        [self.c_in, self.c_out].map(|channels| channels.next_multiple_of(self.lanes))
    }

    /// Scalars from plane to plane of the inputs, of the gradients, and of the sums.
    fn planes(&self) -> [usize; 3] {
        let [inputs, gradients] = self.rows();
        [spread(self.band * inputs), spread(self.band * gradients), spread(self.c_in * gradients)]
    }

    /// Scalars of a part: the sums, then the planes of a band.
    fn part(&self) -> usize {
        PLANES * self.planes().iter().sum::<usize>()
    }

    /// Scalars of scratch.
    pub(in super::super) fn scratch(&self) -> usize {
        LINE + spread(self.c_in.max(self.c_out)) + self.parts * self.part()
    }

    /// Sums the products of `x` and `gy` into `gw`; the scratch has been checked at the entry.
    pub(in super::super) fn run<T: Real>(
        &self,
        level: InstructionSet,
        x: &[T],
        gy: &[T],
        gw: &mut [T],
        scratch: &mut [T],
    ) {
        if x.is_empty() || gy.is_empty() || gw.is_empty() {
            gw.fill(T::default());
            return;
        }
        let work = PLANES * self.grid.count() * self.c_in * self.c_out;
        let (zeros, parts) = aligned(scratch).split_at_mut(spread(self.c_in.max(self.c_out)));
        zeros.fill(T::default());
        let (zeros, sums) = (&*zeros, Shared::new(parts));
        each(work, self.parts, |part| {
            let sums = Shared::from_raw(sums.at(part * self.part()));
            let planes = Shared::from_raw(sums.at(PLANES * self.planes()[2]));
            let parallel = work >= FORK && self.parts < ENOUGH;
            in_parts(parallel, PLANES, |plane| {
                let plane_sums = self.planes()[2];
                // SAFETY: the plane of sums lies inside the part, which only this task uses.
                unsafe { std::slice::from_raw_parts_mut(sums.at(plane * plane_sums), plane_sums) }.fill(T::default());
            });
            for band in even(self.bands, self.parts, part) {
                let first = band * self.band;
                let count = self.band.min(self.grid.count() - first);
                self.band(&Band { level, x, gy, zeros, sums, planes, first, count }, parallel);
            }
        });
        self.transform_sums(level, sums, gw);
    }

    /// Transforms a band of inputs and gradients, and adds their products to the sums.
    fn band<T: Real>(&self, band: &Band<'_, T>, parallel: bool) {
        let [row_inputs, row_sums] = self.rows();
        let [plane_inputs, plane_gradients, plane_sums] = self.planes();
        let gradients = Shared::from_raw(band.planes.at(PLANES * plane_inputs));
        let blocks = channel_blocks(self.c_out, self.lanes);
        let transforms = T::transforms(band.level);
        let pieces = if parallel { band.count.div_ceil(4) } else { 1 };
        in_parts(parallel, pieces, |piece| {
            let tiles = even(band.count, pieces, piece);
            let inputs = Gather {
                grid: &self.grid,
                first: band.first + tiles.start,
                count: tiles.len(),
                source: band.x.as_ptr(),
                pixel: self.c_in,
                channels: self.c_in,
                zeros: band.zeros.as_ptr(),
                target: band.planes.at(tiles.start * row_inputs),
                row: row_inputs,
                plane: plane_inputs,
            };
            // SAFETY: `level` was detected on this processor; the input holds every pixel of the grid, the planes a row for each
            // tile of the band, and no other piece writes those of these tiles.
            unsafe { (transforms.inputs)(&inputs) };
            for block in (0..blocks).map(|block| channel_block(self.c_out, self.lanes, block)) {
                let width = block.vectors * self.lanes;
                let gradients = Gather {
                    source: band.gy[block.first..].as_ptr(),
                    pixel: self.c_out,
                    channels: width.min(self.c_out - block.first),
                    target: gradients.at(block.first * self.band + tiles.start * width),
                    row: width,
                    plane: plane_gradients,
                    ..inputs
                };
                // SAFETY: as above; a block of channels has its own rows.
                unsafe { (transforms.gradients)(&gradients) };
            }
        });
        in_parts(parallel, PLANES * blocks, |item| {
            let (plane, block) = (item / blocks, channel_block(self.c_out, self.lanes, item % blocks));
            let kernels = T::kernels(band.level).weights[block.vectors - 1];
            let pieces = self.c_in.div_ceil(band.level.tile_rows()[block.vectors - 1]);
            let mut targets = [std::ptr::null_mut(); MOST_ROWS];
            for channels in (0..pieces).map(|piece| even(self.c_in, pieces, piece)) {
                for (channel, target) in channels.clone().zip(&mut targets) {
                    *target = band.sums.at(plane * plane_sums + channel * row_sums + block.first);
                }
                let tile = WeightTile {
                    x: band.planes.at(plane * plane_inputs + channels.start),
                    gradient: gradients.at(plane * plane_gradients + block.first * self.band),
                    nest: Nest::line(band.count, row_inputs, block.vectors * self.lanes),
                    targets: &targets[..channels.len()],
                    channels: block.vectors * self.lanes,
                };
                // SAFETY: `level` was detected on this processor; the planes hold a row for each tile of the band, the sums a row
                // of whole vectors for each channel, and no other item adds to this block of this plane.
                unsafe { kernels[channels.len() - 1](&tile) };
            }
        });
    }

    /// Adds the parts and transforms the sums into gradients of the weights.
    fn transform_sums<T: Real>(&self, level: InstructionSet, sums: Shared<T>, gw: &mut [T]) {
        let transform = T::transforms(level).weight_gradients;
        let source_row = self.rows()[1];
        let gw = Shared::new(gw);
        let items = self.c_in.div_ceil(ROWS);
        each(PLANES * self.parts * self.c_in * self.c_out, items, |item| {
            let first = item * ROWS;
            let filter = FilterGradient {
                source: sums.at(first * source_row),
                source_row,
                plane: self.planes()[2],
                part: self.part(),
                parts: self.parts,
                rows: ROWS.min(self.c_in - first),
                channels: self.c_out,
                target: gw.at(first * self.c_out),
                tap: self.c_in * self.c_out,
                row: self.c_out,
            };
            // SAFETY: `level` was detected on this processor; every part holds all rows of the sums, the weights nine taps of
            // them, and no other task writes these.
            unsafe { transform(&filter) };
        });
    }
}

/// A band and what it needs.
struct Band<'a, T> {
    level: InstructionSet,
    x: &'a [T],
    gy: &'a [T],
    zeros: &'a [T],
    sums: Shared<T>,
    /// The planes of the inputs, then those of the gradients.
    planes: Shared<T>,
    first: usize,
    count: usize,
}
