//! Matrix products of operands that are read where they lie.
//!
//! y = A · B for each product of a batch, `[m, k] · [k, n]`. An operand is a [`Layout`]: transposed, broadcast and sliced operands
//! differ from dense ones by their steps alone.
//!
//! The inner loops are the convolutions' (`conv::tile`): some rows × one or two vectors of columns, summed over k. B is packed
//! in blocks of as many columns, A is read in place where its rows are contiguous, else packed in tiles of rows.
//! `cut` decides from the extents alone how the work is cut: an element is summed in the same order whatever the cut, except
//! that long sums are taken in pieces, which are added up in order. Results are the same bits on any number of threads.

mod cut;
mod narrow;
mod own;
mod pack;
#[cfg(test)]
mod tests;

use super::conv::Real;
use super::conv::correlate::{channel_block, channel_blocks};
use super::conv::simd::prefetch;
use super::conv::tile::{Nest, PixelTile};
use super::conv::work::{Shared, add_parts, each, even};
use super::instruction_set::InstructionSet;
use cut::{Cut, Home, Rows};
use std::ops::Range;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Where the elements of a batch of matrices lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The first element.
    pub(crate) start: usize,
    /// Steps along the axes of the batch; 0 where all share a matrix.
    pub(crate) batch: Vec<usize>,
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one column to the next.
    pub(crate) column: usize,
}

/// A batch of products `[m, k] · [k, n]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct MatMul {
    /// Extents of the axes of the batch.
    pub(crate) batch: Vec<usize>,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) lhs: Layout,
    pub(crate) rhs: Layout,
    /// Neighbouring columns of the result lie next to each other.
    pub(crate) result: Layout,
}

impl Layout {
    /// Where a matrix of the batch starts.
    fn at(&self, extents: &[usize], mut number: usize) -> usize {
        let mut start = self.start;
        for (&extent, &step) in extents.iter().zip(&self.batch).rev() {
            start += number % extent * step;
            number /= extent;
        }
        start
    }
}

impl MatMul {
    fn count(&self) -> usize {
        self.batch.iter().product()
    }

    /// Takes axes of the batch whose products share the right side, and whose rows follow each other, as more rows of one product.
    pub(crate) fn fold(&mut self) {
        let rows = |layout: &Layout, axis: usize, m: usize| layout.batch[axis] == layout.row * m;
        while let Some(axis) = self.batch.len().checked_sub(1)
            && self.rhs.batch[axis] == 0
            && rows(&self.lhs, axis, self.m)
            && rows(&self.result, axis, self.m)
        {
            self.m *= self.batch[axis];
            self.batch.pop();
            for layout in [&mut self.lhs, &mut self.rhs, &mut self.result] {
                layout.batch.pop();
            }
        }
    }

    /// Operations: a multiplication and an addition a term.
    pub(crate) fn flops(&self) -> u64 {
        (2 * self.count() * self.m * self.k * self.n) as u64
    }

    /// Elements of scratch that [`MatMul::run`] takes for scalars of `size` bytes.
    pub(crate) fn scratch_elements(&self, size: usize) -> usize {
        if narrow::preferred(self) { 0 } else { Cut::new(self, InstructionSet::detect(), size).scratch() }
    }

    /// Multiplies, overwriting `result`; `scratch` holds `scratch_elements`.
    ///
    /// # Panics
    /// When a layout leads out of its slice or the scratch is too short.
    pub(crate) fn run<T: Real>(&self, lhs: &[T], rhs: &[T], result: &mut [T], scratch: &mut [T]) {
        if self.m == 0 || self.n == 0 || self.count() == 0 {
            return;
        }
        let [rows, columns] = [(self.lhs.row, self.lhs.column), (self.rhs.row, self.rhs.column)];
        let last = |layout: &Layout, step: (usize, usize), extents: [usize; 2]| {
            layout.at(&self.batch, self.count() - 1)
                + extents[0].saturating_sub(1) * step.0
                + extents[1].saturating_sub(1) * step.1
        };
        assert!(
            self.k == 0 || last(&self.lhs, rows, [self.m, self.k]) < lhs.len(),
            "product: the left side is too short"
        );
        assert!(
            self.k == 0 || last(&self.rhs, columns, [self.k, self.n]) < rhs.len(),
            "product: the right side is too short"
        );
        assert!(
            self.result.column == 1 && last(&self.result, (self.result.row, 1), [self.m, self.n]) < result.len(),
            "product: the result is too short"
        );
        if narrow::preferred(self) {
            return narrow::run(self, lhs, rhs, result);
        }
        let cut = Cut::new(self, InstructionSet::detect(), size_of::<T>());
        assert!(scratch.len() >= cut.scratch(), "product: scratch is too short");
        let (partial, packed) = scratch.split_at_mut(cut.partial());
        let run = Run {
            product: self,
            cut: &cut,
            lhs,
            rhs,
            result: Shared::new(result),
            partial: Shared::new(partial),
            packed: Shared::new(packed),
        };
        for step in 0..cut.steps {
            run.step(step);
        }
        if cut.pieces > 1 {
            // One product, whose result is dense.
            add_parts(&mut result[self.result.at(&self.batch, 0)..][..self.m * self.n], partial);
        }
    }
}

/// A product at work.
struct Run<'a, T> {
    product: &'a MatMul,
    cut: &'a Cut,
    lhs: &'a [T],
    rhs: &'a [T],
    result: Shared<T>,
    /// Sums of all pieces of the inner axis but the first.
    partial: Shared<T>,
    packed: Shared<T>,
}

/// A part of the rows and of the columns of one piece of one product, over a stretch of the inner axis.
struct Unit {
    number: usize,
    piece: usize,
    tiles: Range<usize>,
    blocks: Range<usize>,
    depth: Range<usize>,
}

impl<T: Real> Run<'_, T> {
    /// Multiplies one stretch of the inner axis of every piece.
    fn step(&self, step: usize) {
        let (cut, count) = (self.cut, self.product.count());
        if cut.lhs_home() == Home::Shared {
            let depth = cut.depth(0, step);
            let parts = cut.tiles.min(cut::TASKS.div_ceil(count));
            each(count * cut.m * depth.len() * 8, count * parts, |task| {
                let (number, tiles) = (task / parts, even(cut.tiles, parts, task % parts));
                let target = self.packed.at(number * cut.lhs_elements());
                self.pack_tiles(number, tiles, &depth, Shared::from_raw(target), 0);
            });
        }
        if cut.rhs_home() == Home::Shared {
            let (blocks, depth) = (channel_blocks(cut.n, cut.lanes), cut.depth(0, step));
            each(count * cut.n * depth.len() * 8, count * blocks, |task| {
                let (number, block) = (task / blocks, task % blocks);
                let target = self.packed.at(cut.rhs_start() + number * cut.rhs_elements());
                self.pack_block(number, block, &depth, Shared::from_raw(target), 0);
            });
        }
        let parts = cut.rows * cut.columns;
        let units = count * cut.pieces * parts;
        let tasks = units.min(cut::TASKS);
        let stamp = own::stamps(count);
        each(count * cut.m * cut.n * cut.k.div_ceil(cut.steps), tasks, |task| {
            let mut own = own::take();
            for unit in even(units, tasks, task) {
                let (number, part) = (unit / (cut.pieces * parts), unit % parts);
                let unit = Unit {
                    number,
                    piece: unit / parts % cut.pieces,
                    tiles: even(cut.tiles, cut.rows, part / cut.columns),
                    blocks: even(channel_blocks(cut.n, cut.lanes), cut.columns, part % cut.columns),
                    depth: cut.depth(unit / parts % cut.pieces, step),
                };
                let lhs = self.lhs_of(&unit, task, &mut own[0], stamp + number as u64);
                let rhs = self.rhs_of(&unit, task, &mut own[1], stamp + number as u64);
                self.unit(&unit, lhs, rhs, step > 0);
            }
            own::put(own);
        });
    }

    /// Where the packed left side of a unit is, and its first tile; packs what nobody has packed yet.
    fn lhs_of(&self, unit: &Unit, task: usize, own: &mut own::Own, stamp: u64) -> (Shared<T>, usize) {
        let cut = self.cut;
        match cut.lhs_home() {
            Home::InPlace => (self.packed, 0),
            Home::Shared => (Shared::from_raw(self.packed.at(unit.number * cut.lhs_elements())), 0),
            Home::Thread => {
                let (room, new) = own.room(stamp, cut.lhs_elements());
                if new {
                    self.pack_tiles(unit.number, 0..cut.tiles, &unit.depth, Shared::from_raw(room), 0);
                }
                (Shared::from_raw(room), 0)
            }
            Home::Task => {
                let room = Shared::from_raw(self.packed.at(cut.own_start() + task * cut.own_elements()));
                self.pack_tiles(unit.number, unit.tiles.clone(), &unit.depth, room, unit.tiles.start);
                (room, unit.tiles.start)
            }
        }
    }

    /// Where the packed right side of a unit is, and its first block; packs what nobody has packed yet.
    fn rhs_of(&self, unit: &Unit, task: usize, own: &mut own::Own, stamp: u64) -> (Shared<T>, usize) {
        let cut = self.cut;
        let pack = |blocks: Range<usize>, room: Shared<T>| {
            let first = blocks.start;
            blocks.for_each(|block| self.pack_block(unit.number, block, &unit.depth, room, first));
        };
        match cut.rhs_home() {
            Home::InPlace => (self.packed, 0),
            Home::Shared => (Shared::from_raw(self.packed.at(cut.rhs_start() + unit.number * cut.rhs_elements())), 0),
            Home::Thread => {
                let (room, new) = own.room(stamp, cut.rhs_elements());
                if new {
                    pack(0..channel_blocks(cut.n, cut.lanes), Shared::from_raw(room));
                }
                (Shared::from_raw(room), 0)
            }
            Home::Task => {
                let start = cut.own_start() + task * cut.own_elements() + cut.own_lhs();
                let room = Shared::from_raw(self.packed.at(start));
                pack(unit.blocks.clone(), room);
                (room, unit.blocks.start)
            }
        }
    }

    /// Multiplies a unit, with the packed sides and what lies first in them.
    fn unit(
        &self,
        unit: &Unit,
        (lhs, first_tile): (Shared<T>, usize),
        (rhs, first_block): (Shared<T>, usize),
        add: bool,
    ) {
        let (cut, product) = (self.cut, self.product);
        let (depth, tiles) = (&unit.depth, &unit.tiles);
        let (target, target_row) = match unit.piece {
            0 => (self.result.at(product.result.at(&product.batch, unit.number)), product.result.row),
            piece => (self.partial.at((piece - 1) * cut.m * cut.n), cut.n),
        };
        let target = Shared::from_raw(target);
        let [lhs_start, rhs_start] = [&product.lhs, &product.rhs].map(|layout| layout.at(&product.batch, unit.number));
        // Some rows at a time stay in the second-level cache while all blocks pass by.
        for chunk in tiles.clone().step_by(cut.chunk) {
            for index in unit.blocks.clone() {
                let block = channel_block(cut.n, cut.lanes, index);
                let width = block.vectors * cut.lanes;
                let (weights, weights_step) = match cut.rhs_home() {
                    Home::InPlace => {
                        let at = rhs_start + depth.start * product.rhs.row + block.first;
                        (self.rhs.as_ptr().wrapping_add(at), product.rhs.row)
                    }
                    _ => (rhs.at(cut.block_start(index, first_block, depth.len())).cast_const(), width),
                };
                for tile in chunk..(chunk + cut.chunk).min(tiles.end) {
                    let rows = cut.tile(tile);
                    if cut.lhs == Rows::InPlace && index == unit.blocks.start && tile + 1 < tiles.end {
                        self.prefetch_rows(lhs_start, cut.tile(tile + 1), depth);
                    }
                    let packed = || lhs.at(cut.tile_start(tile, first_tile, depth.len())).cast_const();
                    let (x, x_stride, x_step) = match cut.lhs {
                        Rows::Packed => (packed(), 1, rows.len()),
                        Rows::Copied => (packed(), cut.lhs_row(depth.len()), 1),
                        Rows::InPlace => {
                            let at = lhs_start + rows.start * product.lhs.row + depth.start;
                            (self.lhs.as_ptr().wrapping_add(at), product.lhs.row, 1)
                        }
                    };
                    let operands = PixelTile {
                        x,
                        x_stride,
                        weights,
                        nest: Nest::line(depth.len(), x_step, weights_step),
                        y: target.at(rows.start * target_row + block.first),
                        y_stride: target_row,
                        channels: width.min(cut.n - block.first),
                        add,
                    };
                    // SAFETY: `level` was detected on this processor. Packed operands hold every row and column of their tile
                    // and block for the whole depth; those in place were checked at the entry, and blocks read in place are
                    // whole vectors. No other task writes these rows of these columns.
                    unsafe { (T::kernels(cut.level).pixels[block.vectors - 1][rows.len() - 1])(&operands) };
                }
            }
        }
    }

    /// Asks for rows of the left side, which may come from far, before they are needed.
    fn prefetch_rows(&self, start: usize, rows: Range<usize>, depth: &Range<usize>) {
        let line = LINE / size_of::<T>();
        for row in rows {
            let at = self.lhs.as_ptr().wrapping_add(start + row * self.product.lhs.row);
            depth.clone().step_by(line).for_each(|term| prefetch(at.wrapping_add(term)));
        }
    }

    /// Packs or copies some tiles of rows of the left side, behind those from `first` on.
    fn pack_tiles(&self, number: usize, tiles: Range<usize>, depth: &Range<usize>, target: Shared<T>, first: usize) {
        /// Terms of neighbouring tiles that are packed after each other: where rows are next to each other they share lines.
        const STRETCH: usize = 64;
        let (layout, cut) = (&self.product.lhs, self.cut);
        let start = layout.at(&self.product.batch, number) + depth.start * layout.column;
        let stretch = if cut.lhs == Rows::Packed { STRETCH } else { depth.len().max(1) };
        for from in (0..depth.len()).step_by(stretch) {
            let terms = stretch.min(depth.len() - from);
            for tile in tiles.clone() {
                let rows = cut.tile(tile);
                let row = cut.lhs_row(depth.len());
                let (within, length) = if cut.lhs == Rows::Packed { (from * rows.len(), terms) } else { (0, row) };
                // SAFETY: inside the scratch, whose size was checked; each stretch of a tile has a place of its own.
                let target =
                    unsafe { target.slice(cut.tile_start(tile, first, depth.len()) + within, rows.len() * length) };
                let source = &self.lhs[start + rows.start * layout.row + from * layout.column..];
                match cut.lhs {
                    Rows::Packed => {
                        let steps = [layout.column, layout.row];
                        pack::pack(cut.level, source, steps, [terms, rows.len(), rows.len()], target);
                    }
                    _ => pack::pack(cut.level, source, [layout.row, layout.column], [rows.len(), terms, row], target),
                }
            }
        }
    }

    /// Packs one block of columns of the right side as `[k][column]`, behind those from `first` on; zeros fill up vectors.
    fn pack_block(&self, number: usize, index: usize, depth: &Range<usize>, target: Shared<T>, first: usize) {
        let (layout, cut) = (&self.product.rhs, self.cut);
        let block = channel_block(cut.n, cut.lanes, index);
        let width = block.vectors * cut.lanes;
        let start = layout.at(&self.product.batch, number) + depth.start * layout.row + block.first * layout.column;
        // SAFETY: inside the scratch, whose size was checked; each block has a place of its own.
        let target = unsafe { target.slice(cut.block_start(index, first, depth.len()), depth.len() * width) };
        let columns = width.min(cut.n - block.first);
        let steps = [layout.row, layout.column];
        pack::pack(cut.level, &self.rhs[start..], steps, [depth.len(), columns, width], target);
    }
}
