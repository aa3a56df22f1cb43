//! A group of nodes lowered to a loop nest: axes merged where every operand allows it, values in slots, work in chunks.
//!
//! The nest has at least two axes. It is walked in *tiles*: some rows of the last axis, or a piece of one row when rows
//! are long, small enough that every slot of a tile stays in the first-level cache. Tiles are handed out in *chunks*
//! whose borders depend on the shape alone, never on the number of threads.

use crate::chain::{Piece, pieces};
use crate::fuse::{Group, Scalar, Sink, Source};
use evenkeel_graph::op::Reduction;
use evenkeel_graph::{DType, Node};

/// Bytes of one slot of a tile.
const TILE_BYTES: usize = 2048;
/// Elements a chunk should hold at least: less is not worth a second thread.
const CHUNK_ELEMENTS: usize = 32 * 1024;
/// Chunks a loop is cut into at most.
const MAXIMAL_CHUNKS: usize = 64;
/// Partial results of a reduction may take this many elements in all.
const MAXIMAL_PARTIALS: usize = 1 << 20;

/// A value read from memory.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) node: usize,
    pub(crate) dtype: DType,
    /// One stride an axis of the nest.
    pub(crate) strides: Vec<usize>,
    /// Whether position n of the first axis reads the n-th of equal blocks of the memory and no other.
    pub(crate) local: bool,
}

/// One step of the loop body: `slots[to] = scalar(slots[from[0]], ..)`.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) scalar: Scalar,
    pub(crate) to: usize,
    pub(crate) from: [usize; 3],
}

/// A value that leaves the loop.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) node: usize,
    pub(crate) dtype: DType,
    pub(crate) slot: usize,
    pub(crate) kind: OutputKind,
}

/// How a value leaves the loop.
#[derive(Clone, Debug)]
pub(crate) enum OutputKind {
    /// Stored at the same place; `deferred` when its memory is also read by this loop, so that it is written last.
    Store { deferred: bool },
    /// Combined; strides are 0 along the axes that vanish.
    Reduce { kind: Reduction, strides: Vec<usize>, elements: usize },
}

/// A loop nest over dense values.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) compute: DType,
    /// The loop space before axes were merged.
    pub(crate) space: Vec<usize>,
    pub(crate) extents: Vec<usize>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) splats: Vec<f64>,
    /// Axes of the nest whose position is a value.
    pub(crate) iotas: Vec<usize>,
    pub(crate) body: Vec<Instruction>,
    /// The body as it runs.
    pub(crate) pieces: Vec<Piece>,
    /// Slots in all: leaves, numbers, positions, then scratch.
    pub(crate) slots: usize,
    pub(crate) outputs: Vec<Output>,
    pub(crate) tiling: Tiling,
}

/// How the nest is cut.
#[derive(Clone, Debug)]
pub(crate) struct Tiling {
    /// Elements of a slot.
    pub(crate) slot_elements: usize,
    /// Rows a tile holds; 1 when rows are cut.
    pub(crate) rows: usize,
    /// Columns a tile holds.
    pub(crate) columns: usize,
    /// Tiles for one step of the first axis (when rows of a two-axis nest are not cut: for `rows` steps).
    pub(crate) tiles: usize,
    /// Tiles a chunk holds.
    pub(crate) chunk: usize,
    /// Chunks there are.
    pub(crate) chunks: usize,
}

/// The place of one tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Flat position over all axes but the last two.
    pub(crate) outer: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Loop {
    /// Lowers a group; `stored` nodes of it may later be marked as sharing memory with what they read.
    pub(crate) fn new(group: &Group, nodes: &[Node]) -> Loop {
        let mut nest = Nest::new(group, nodes);
        nest.merge(group.leaves.len());
        let mut reductions = nest.walks.split_off(group.leaves.len()).into_iter();
        let (splats, iotas) = (splats(group), nest.iotas.clone());
        let leaves: Vec<Leaf> = group
            .leaves
            .iter()
            .zip(&nest.walks)
            .map(|(view, strides)| Leaf {
                node: view.base,
                dtype: nodes[view.base].dtype,
                strides: strides.clone(),
                local: is_local(&view.strides, &group.space, nodes[view.base].shape.elements()),
            })
            .collect();
        let mut slots =
            Slots { leaves: leaves.len(), splats: &splats, iotas: group_iotas(group), body: vec![], next: 0 };
        let (body, output_slots, count) = slots.allocate(group);
        let outputs: Vec<Output> = group
            .outputs
            .iter()
            .enumerate()
            .map(|(position, (node, _, sink))| Output {
                node: *node,
                dtype: nodes[*node].dtype,
                slot: output_slots[position],
                kind: match sink {
                    Sink::Store => OutputKind::Store { deferred: false },
                    Sink::Reduce(kind, _) => OutputKind::Reduce {
                        kind: *kind,
                        strides: reductions.next().unwrap_or_default(),
                        elements: nodes[*node].shape.elements(),
                    },
                },
            })
            .collect();
        let mut result = Loop {
            compute: group.compute,
            space: group.space.clone(),
            tiling: Tiling { slot_elements: 0, rows: 0, columns: 0, tiles: 0, chunk: 1, chunks: 0 },
            extents: nest.extents,
            leaves,
            splats,
            iotas,
            pieces: pieces(&body, &outputs),
            body,
            slots: count,
            outputs,
        };
        result.tiling = result.cut();
        result
    }

    fn cut(&self) -> Tiling {
        let slot_elements = TILE_BYTES / self.compute.bytes();
        let rank = self.extents.len();
        let (rows, columns) = (self.extents[rank - 2], self.extents[rank - 1]);
        let outer: usize = self.extents[..rank - 2].iter().product();
        let (tile_rows, tile_columns) = if columns >= slot_elements {
            (1, slot_elements)
        } else {
            ((slot_elements / columns.max(1)).clamp(1, rows.max(1)), columns)
        };
        let per_outer = rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns.max(1));
        let total = outer * per_outer;
        // A reduction that keeps the first axis writes its own part of the result: chunks must not share a step of it.
        let aligned = self.outputs.iter().any(Output::keeps_first_axis);
        let unit = if aligned { self.unit(per_outer, tile_columns) } else { 1 };
        let elements: usize = self.extents.iter().product();
        let partial: usize = self.outputs.iter().map(Output::partial_elements).sum();
        let chunks = (elements / CHUNK_ELEMENTS).min(MAXIMAL_CHUNKS);
        let chunks = chunks.min(MAXIMAL_PARTIALS.checked_div(partial).unwrap_or(chunks)).max(1);
        let chunk = total.div_ceil(chunks).next_multiple_of(unit.max(1)).max(1);
        Tiling {
            slot_elements,
            rows: tile_rows,
            columns: tile_columns,
            tiles: total,
            chunk,
            chunks: total.div_ceil(chunk),
        }
    }

    /// The same nest cut into `bands` chunks of equal parts of the first axis of the loop space; `None` where tiles would not
    /// fit into them well.
    pub(crate) fn cut_into(&self, bands: usize) -> Option<Tiling> {
        let rank = self.extents.len();
        let (rows, columns) = (self.extents[rank - 2], self.extents[rank - 1]);
        let outer: usize = self.extents[..rank - 2].iter().product();
        if bands == 0 || !self.space.first()?.is_multiple_of(bands) || columns == 0 || rows == 0 || outer == 0 {
            return None;
        }
        let slot_elements = self.tiling.slot_elements;
        // Elements of a band, and the largest divisor of `extent` that `most` allows.
        let band = outer * rows * columns / bands;
        let divisor =
            |extent: usize, most: usize| (1..=most.min(extent)).rev().find(|&part| extent.is_multiple_of(part));
        let (tile_rows, tile_columns) = if columns >= slot_elements {
            // Bands hold whole rows, or rows hold whole bands.
            let piece = if band.is_multiple_of(columns) { slot_elements } else { divisor(band, slot_elements)? };
            if !band.is_multiple_of(columns) && !columns.is_multiple_of(band) {
                return None;
            }
            (1, piece)
        } else {
            let band_rows = if band.is_multiple_of(columns) { band / columns } else { return None };
            // Where a band holds whole outer steps, tiles may end with their rows.
            let most = (slot_elements / columns).max(1);
            (if band_rows.is_multiple_of(rows) { most.min(rows) } else { divisor(band_rows, most)? }, columns)
        };
        if tile_rows * tile_columns * 4 < slot_elements.min(band) {
            return None;
        }
        let per_outer = rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns);
        let tiles = outer * per_outer;
        let aligned = self.outputs.iter().any(Output::keeps_first_axis);
        let chunk = tiles.is_multiple_of(bands).then_some(tiles / bands)?;
        if aligned && !chunk.is_multiple_of(self.unit(per_outer, tile_columns)) {
            return None;
        }
        let partial: usize = self.outputs.iter().map(Output::partial_elements).sum();
        if partial * bands > MAXIMAL_PARTIALS {
            return None;
        }
        Some(Tiling { slot_elements, rows: tile_rows, columns: tile_columns, tiles, chunk, chunks: bands })
    }

    /// Tiles that make up one step of the first axis of the nest.
    fn unit(&self, per_outer: usize, tile_columns: usize) -> usize {
        match self.extents.len() {
            2 => self.extents[1].div_ceil(tile_columns.max(1)),
            rank => per_outer * self.extents[1..rank - 2].iter().product::<usize>(),
        }
    }

    /// The place of the n-th tile.
    pub(crate) fn tile(&self, number: usize) -> Tile {
        let rank = self.extents.len();
        let (rows, columns) = (self.extents[rank - 2], self.extents[rank - 1]);
        let pieces = columns.div_ceil(self.tiling.columns);
        let bands = rows.div_ceil(self.tiling.rows);
        let (outer, rest) = (number / (bands * pieces), number % (bands * pieces));
        let (row, column) = (rest / pieces * self.tiling.rows, rest % pieces * self.tiling.columns);
        Tile {
            outer,
            row,
            column,
            rows: self.tiling.rows.min(rows - row),
            columns: self.tiling.columns.min(columns - column),
        }
    }

    /// f64 elements of partial results that running the loop takes.
    pub(crate) fn partial_elements(&self) -> usize {
        self.outputs.iter().map(Output::partial_elements).sum::<usize>() * self.tiling.chunks
    }
}

/// Whether position n of the first axis of `space` reads the n-th of equal blocks of `elements`, and no other.
fn is_local(strides: &[usize], space: &[usize], elements: usize) -> bool {
    let (Some((&samples, inner)), Some((&step, rest))) = (space.split_first(), strides.split_first()) else {
        return false;
    };
    let reach: usize = inner.iter().zip(rest).map(|(&extent, &stride)| extent.saturating_sub(1) * stride).sum();
    samples > 0 && step * samples == elements && reach < step.max(1)
}

impl Output {
    /// Whether elements are combined on their way out.
    pub(crate) fn is_reduction(&self) -> bool {
        matches!(self.kind, OutputKind::Reduce { .. })
    }

    /// Whether it is a reduction each step of the first axis has a part of its own in.
    pub(crate) fn keeps_first_axis(&self) -> bool {
        matches!(&self.kind, OutputKind::Reduce { strides, .. } if strides[0] != 0)
    }

    /// f64 elements of one chunk's partial result when chunks share the whole of it.
    pub(crate) fn partial_elements(&self) -> usize {
        match &self.kind {
            OutputKind::Reduce { strides, elements, .. } if strides[0] == 0 => *elements,
            _ => 0,
        }
    }
}

/// Strides of everything along the axes of the nest, while axes are being merged.
struct Nest {
    extents: Vec<usize>,
    /// Strides of the leaves, then of the reductions' results (0 along vanishing axes). Stores are dense and need none.
    walks: Vec<Vec<usize>>,
    iotas: Vec<usize>,
}

impl Nest {
    fn new(group: &Group, nodes: &[Node]) -> Nest {
        let mut walks: Vec<Vec<usize>> = group.leaves.iter().map(|view| view.strides.clone()).collect();
        for (node, _, sink) in &group.outputs {
            if let Sink::Reduce(_, axes) = sink {
                let mut kept = nodes[*node].shape.strides().into_iter();
                let stride = |axis: usize| if axes.contains(&axis) { 0 } else { kept.next().unwrap_or(0) };
                walks.push((0..group.space.len()).map(stride).collect());
            }
        }
        Nest { extents: group.space.clone(), walks, iotas: group_iotas(group) }
    }

    /// Drops axes of extent 1 and merges neighbours that every operand walks through as one; then pads to two axes.
    fn merge(&mut self, leaves: usize) {
        for axis in (0..self.extents.len()).rev() {
            if self.extents[axis] == 1 && !self.iotas.contains(&axis) {
                self.remove(axis);
            }
        }
        for axis in (1..self.extents.len()).rev() {
            let extent = self.extents[axis];
            let fixed = self.iotas.iter().any(|&iota| iota == axis || iota == axis - 1);
            if !fixed && self.walks.iter().all(|strides| strides[axis - 1] == strides[axis] * extent) {
                self.extents[axis - 1] *= extent;
                for strides in &mut self.walks {
                    strides[axis - 1] = strides[axis];
                }
                self.remove(axis);
            }
        }
        while self.extents.len() < 2 {
            // A kept axis of a reduction must not be the last one of two: it gets an inner axis of extent 1.
            let kept = |strides: &Vec<usize>| strides.first().is_some_and(|&stride| stride != 0);
            let place = if self.walks[leaves..].iter().any(kept) { self.extents.len() } else { 0 };
            self.extents.insert(place, 1);
            for strides in &mut self.walks {
                strides.insert(place, 0);
            }
            for iota in self.iotas.iter_mut().filter(|iota| **iota >= place) {
                *iota += 1;
            }
        }
    }

    fn remove(&mut self, axis: usize) {
        self.extents.remove(axis);
        for strides in &mut self.walks {
            strides.remove(axis);
        }
        for iota in self.iotas.iter_mut().filter(|iota| **iota > axis) {
            *iota -= 1;
        }
    }
}

/// The numbers a body uses, each once.
fn splats(group: &Group) -> Vec<f64> {
    let mut found: Vec<f64> = Vec::new();
    for source in sources(group) {
        if let Source::Splat(value) = source
            && !found.iter().any(|known| known.to_bits() == value.to_bits())
        {
            found.push(*value);
        }
    }
    found
}

/// The axes whose position a body uses, each once.
fn group_iotas(group: &Group) -> Vec<usize> {
    let mut found = Vec::new();
    for source in sources(group) {
        if let Source::Iota(axis) = source
            && !found.contains(axis)
        {
            found.push(*axis);
        }
    }
    found
}

fn sources(group: &Group) -> impl Iterator<Item = &Source> {
    let operands = group.body.iter().flat_map(|(_, operands)| operands);
    operands.chain(group.outputs.iter().map(|(_, value, _)| value))
}

/// Assigns slots to values, reusing those whose value nobody reads any more.
struct Slots<'a> {
    leaves: usize,
    splats: &'a [f64],
    iotas: Vec<usize>,
    body: Vec<Instruction>,
    next: usize,
}

impl Slots<'_> {
    /// The slot of a value; `at` holds those of instructions.
    fn slot(&self, source: &Source, at: &[usize]) -> usize {
        match source {
            Source::Leaf(leaf) => *leaf,
            Source::Splat(value) => {
                let place = self.splats.iter().position(|splat| splat.to_bits() == value.to_bits()).unwrap_or(0);
                self.leaves + place
            }
            Source::Iota(axis) => {
                let place = self.iotas.iter().position(|iota| iota == axis).unwrap_or(0);
                self.leaves + self.splats.len() + place
            }
            Source::Instruction(number) => at[*number],
        }
    }

    fn allocate(&mut self, group: &Group) -> (Vec<Instruction>, Vec<usize>, usize) {
        self.next = self.leaves + self.splats.len() + self.iotas.len();
        let count = group.body.len();
        let mut last_use = vec![0usize; count];
        for (number, (_, operands)) in group.body.iter().enumerate() {
            for source in operands {
                if let Source::Instruction(operand) = source {
                    last_use[*operand] = number;
                }
            }
        }
        // What leaves the loop keeps its slot to the end.
        for (_, value, _) in &group.outputs {
            if let Source::Instruction(number) = value {
                last_use[*number] = usize::MAX;
            }
        }
        let mut at = vec![0usize; count];
        let mut free: Vec<usize> = Vec::new();
        for (number, (scalar, operands)) in group.body.iter().enumerate() {
            let mut from = [0usize; 3];
            for (place, source) in operands.iter().enumerate() {
                from[place] = self.slot(source, &at);
            }
            at[number] =
                if last_use[number] == usize::MAX { self.fresh() } else { free.pop().unwrap_or_else(|| self.fresh()) };
            // Operands nobody reads any more are free from the next instruction on: none writes where it reads, which lets
            // the compiler take many elements at once.
            for (place, source) in operands.iter().enumerate() {
                if let Source::Instruction(operand) = source
                    && last_use[*operand] == number
                    && !operands[..place].contains(source)
                {
                    free.push(at[*operand]);
                }
            }
            self.body.push(Instruction { scalar: *scalar, to: at[number], from });
        }
        let mut taken: Vec<usize> = Vec::new();
        let outputs = group
            .outputs
            .iter()
            .map(|(_, value, sink)| {
                let slot = self.slot(value, &at);
                // A stored slot is the output's own memory; anything else that is stored is copied into one.
                let own = matches!(value, Source::Instruction(_)) && !taken.contains(&slot);
                let slot = if matches!(sink, Sink::Reduce(..)) || own {
                    slot
                } else {
                    let fresh = self.fresh();
                    self.body.push(Instruction { scalar: Scalar::Copy, to: fresh, from: [slot, 0, 0] });
                    fresh
                };
                if matches!(sink, Sink::Store) {
                    taken.push(slot);
                }
                slot
            })
            .collect();
        (std::mem::take(&mut self.body), outputs, self.next)
    }

    fn fresh(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }
}
