//! How a batch of products is cut; depends on the extents and the vectors alone.

use super::super::conv::correlate::{channel_block, channel_blocks};
use super::super::conv::work::even;
use super::super::instruction_set::InstructionSet;
use super::MatMul;
use std::ops::Range;

/// Most tasks of one batch.
pub(super) const TASKS: usize = 32;
/// Multiply-adds a task should hold at least: less is not worth a second thread.
const TASK: usize = 1_000_000;
/// Terms of a sum taken at a time: a tile of rows and a block of columns of as many stay in the second-level cache.
const DEPTH: usize = 1024;
/// Terms of a piece of the inner axis at least, where pieces are summed apart.
const PIECE: usize = 1024;
/// Rows at a time for each block of columns, and scalars of them at most: they stay in the second-level cache.
const CHUNK: [usize; 2] = [128, 1 << 16];
/// A left side of up to as many scalars stays in the second-level cache of every thread, whose columns it is multiplied with.
const RESIDENT: usize = 1 << 17;
/// Up to as many rows use an element of the right side too seldom to pay for packing it.
const FEW_ROWS: usize = 28;
/// Rows this many bytes apart, or a multiple of it, fall on few lines of the cache next to the core ..
const ALIAS: usize = 2048;
/// .. which hold up to as many of them.
const ALIASED_ROWS: usize = 6;

/// How the tiles read the left side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Where it lies: its rows are contiguous.
    InPlace,
    /// From a copy of its contiguous rows, which spread over the cache.
    Copied,
    /// From tiles packed as `[k][row]`.
    Packed,
}

/// Who packs an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Nobody.
    InPlace,
    /// Each task what it alone reads.
    Task,
    /// Each thread all of it, because all tasks read it.
    Thread,
    /// All threads together, before the tasks start.
    Shared,
}

/// How a batch of products is cut into tasks, and what they pack.
pub(super) struct Cut {
    pub(super) level: InstructionSet,
    pub(super) lanes: usize,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    count: usize,
    /// Tiles of rows.
    pub(super) tiles: usize,
    /// Tiles at a time for each block of columns.
    pub(super) chunk: usize,
    /// Parts of the tiles, and of the blocks of columns, of one product.
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Pieces of the inner axis that are summed apart.
    pub(super) pieces: usize,
    /// Stretches of the inner axis that are added one after the other.
    pub(super) steps: usize,
    pub(super) lhs: Rows,
    /// Whether the blocks of the right side are packed.
    pub(super) rhs_packed: bool,
}

impl Cut {
    pub(super) fn new(product: &MatMul, level: InstructionSet, size: usize) -> Cut {
        let &MatMul { m, k, n, .. } = product;
        let lanes = level.lanes(size);
        let count = product.count();
        let most = level.tile_rows()[if n > lanes { 1 } else { 0 }];
        let (tiles, blocks) = (m.div_ceil(most), channel_blocks(n, lanes));
        let wanted = (m * n * k * count / TASK).clamp(1, TASKS).div_ceil(count.max(1));
        // Too few tiles for all threads: the inner axis is cut instead, and the pieces' dense sums are added up.
        let pieces = if tiles * blocks < wanted && count == 1 && product.result.row == n {
            wanted.min(k / PIECE).max(1)
        } else {
            1
        };
        let [rows, columns] = if pieces > 1 { [1, 1] } else { parts(m * k.min(DEPTH), tiles, blocks, wanted) };
        let aliased = (product.lhs.row * size).is_multiple_of(ALIAS) && most.min(m) > ALIASED_ROWS;
        let lhs = match product.lhs.column {
            1 if aliased => Rows::Copied,
            1 => Rows::InPlace,
            _ => Rows::Packed,
        };
        let columns_in_place = product.rhs.column == 1 && n.is_multiple_of(lanes) && m <= FEW_ROWS;
        let steps = k.div_ceil(pieces).div_ceil(DEPTH).max(1);
        let depth = k.div_ceil(pieces).div_ceil(steps);
        let chunk = (CHUNK[0].min(CHUNK[1] / depth.max(1)) / most).max(1);
        let rhs_packed = !columns_in_place;
        Cut { level, lanes, m, k, n, count, tiles, chunk, rows, columns, pieces, steps, lhs, rhs_packed }
    }

    /// The rows of a tile.
    pub(super) fn tile(&self, index: usize) -> Range<usize> {
        even(self.m, self.tiles, index)
    }

    /// The terms of a stretch of a piece.
    pub(super) fn depth(&self, piece: usize, step: usize) -> Range<usize> {
        let piece = even(self.k, self.pieces, piece);
        let stretch = even(piece.len(), self.steps, step);
        piece.start + stretch.start..piece.start + stretch.end
    }

    /// The most terms of a stretch.
    fn most_depth(&self) -> usize {
        self.k.div_ceil(self.pieces).div_ceil(self.steps)
    }

    /// Who packs the left side.
    pub(super) fn lhs_home(&self) -> Home {
        match (self.lhs, self.columns) {
            (Rows::InPlace, _) => Home::InPlace,
            (_, 1) => Home::Task,
            _ if self.lhs_elements() <= RESIDENT => Home::Thread,
            _ => Home::Shared,
        }
    }

    /// Who packs the right side.
    pub(super) fn rhs_home(&self) -> Home {
        match self.rows {
            _ if !self.rhs_packed => Home::InPlace,
            1 => Home::Task,
            _ if self.rhs_elements() <= RESIDENT => Home::Thread,
            _ => Home::Shared,
        }
    }

    /// Elements that a row of the left side takes where it is copied or packed: copies are an odd number of vectors apart.
    pub(super) fn lhs_row(&self, depth: usize) -> usize {
        match self.lhs {
            Rows::Copied => depth.div_ceil(self.lanes) / 2 * 2 * self.lanes + self.lanes,
            _ => depth,
        }
    }

    /// Where a tile lies among the packed ones from `first` on.
    pub(super) fn tile_start(&self, tile: usize, first: usize, depth: usize) -> usize {
        (self.tile(tile).start - self.tile(first).start) * self.lhs_row(depth)
    }

    /// Where a block lies among the packed ones from `first` on.
    pub(super) fn block_start(&self, block: usize, first: usize, depth: usize) -> usize {
        let start = |index| channel_block(self.n, self.lanes, index).first;
        (start(block) - start(first)) * depth
    }

    /// Packed elements of the left side of a product.
    pub(super) fn lhs_elements(&self) -> usize {
        if self.lhs == Rows::InPlace { 0 } else { self.m * self.lhs_row(self.most_depth()) }
    }

    /// Packed elements of the right side of a product.
    pub(super) fn rhs_elements(&self) -> usize {
        if self.rhs_packed { self.n.next_multiple_of(self.lanes) * self.most_depth() } else { 0 }
    }

    /// Where the packed right sides start.
    pub(super) fn rhs_start(&self) -> usize {
        if self.lhs_home() == Home::Shared { self.count * self.lhs_elements() } else { 0 }
    }

    /// Where what tasks pack for themselves starts.
    pub(super) fn own_start(&self) -> usize {
        self.rhs_start() + if self.rhs_home() == Home::Shared { self.count * self.rhs_elements() } else { 0 }
    }

    /// Elements of the left side that a task packs for itself.
    pub(super) fn own_lhs(&self) -> usize {
        if self.lhs_home() != Home::Task {
            return 0;
        }
        let rows = |part| {
            let tiles = even(self.tiles, self.rows, part);
            if tiles.is_empty() { 0 } else { self.tile(tiles.end - 1).end - self.tile(tiles.start).start }
        };
        (0..self.rows).map(rows).max().unwrap_or(0) * self.lhs_row(self.most_depth())
    }

    /// Elements that a task packs for itself.
    pub(super) fn own_elements(&self) -> usize {
        let blocks = channel_blocks(self.n, self.lanes).div_ceil(self.columns);
        let columns = (blocks * 2 * self.lanes).min(self.n.next_multiple_of(self.lanes));
        self.own_lhs() + if self.rhs_home() == Home::Task { columns * self.most_depth() } else { 0 }
    }

    /// Elements of the sums of all pieces but the first.
    pub(super) fn partial(&self) -> usize {
        (self.pieces - 1) * self.m * self.n
    }

    /// Elements of scratch.
    pub(super) fn scratch(&self) -> usize {
        let tasks = (self.count * self.pieces * self.rows * self.columns).min(TASKS);
        self.partial() + self.own_start() + tasks * self.own_elements()
    }
}

/// Into how many parts the tiles of rows and the blocks of columns are cut. Columns where every thread can keep the left side:
/// then each packs its columns for itself. Else rows, which all threads multiply with the same packed columns.
fn parts(lhs: usize, tiles: usize, blocks: usize, wanted: usize) -> [usize; 2] {
    const ENOUGH: usize = 8;
    if lhs <= RESIDENT && blocks >= wanted.min(ENOUGH) {
        return [1, wanted.min(blocks).max(1)];
    }
    let rows = wanted.min(tiles).max(1);
    let columns = if rows >= ENOUGH { 1 } else { (wanted / rows).clamp(1, blocks.max(1)) };
    [rows, columns]
}
