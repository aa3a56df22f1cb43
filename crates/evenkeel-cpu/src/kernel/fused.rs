//! Runs a loop nest: for each tile, the operands are found or gathered, the body runs instruction by instruction over
//! slots in the first-level cache, results are stored or combined.

use super::instruction_set::dispatch;
use super::real::Real;
use super::reduction::{identity, join};
use super::rows::{slice, slice_mut};
use super::{chain, elementwise, reduction, spread};
use crate::chain::Piece;
use crate::loops::{Loop, OutputKind, Tile};
use evenkeel_graph::DType;
use evenkeel_graph::op::Reduction;
use rayon::prelude::*;
use std::cell::RefCell;

/// Memory of one operand or result.
#[derive(Clone, Copy)]
pub(crate) struct Memory(pub(crate) *mut u8);

impl Memory {
    /// Where the elements start. Closures that call this capture the whole value, which may cross threads.
    pub(crate) fn pointer<T>(self) -> *mut T {
        self.0.cast()
    }
}

// SAFETY: threads write disjoint parts; the executor's plan keeps what is read apart from what is written.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Runs `nest` with its leaves' and outputs' memory: all its chunks, then what combines them.
///
/// # Safety
/// Each leaf must be readable at every place its strides reach, each output writable over its whole shape. Outputs
/// overlap no other output, and no leaf unless they are the same dense memory and the store is deferred. `partials` has
/// room for `nest.partial_elements()` of f64.
pub(crate) unsafe fn run(nest: &Loop, leaves: &[Memory], outputs: &[Memory], partials: Memory) {
    // SAFETY: the caller's promise; chunks write disjoint parts.
    let chunk = |chunk: usize| unsafe { run_chunk(nest, leaves, outputs, partials, chunk) };
    match nest.tiling.chunks {
        0 => {}
        1 => chunk(0),
        chunks => (0..chunks).into_par_iter().for_each(chunk),
    }
    // SAFETY: all chunks are done.
    unsafe { finish(nest, outputs, partials) };
}

/// Runs one chunk. All of them, in any order, and then [`finish`] are a run.
///
/// # Safety
/// As [`run`]; no two threads run the same chunk at once.
pub(crate) unsafe fn run_chunk(nest: &Loop, leaves: &[Memory], outputs: &[Memory], partials: Memory, chunk: usize) {
    let per_chunk: usize = nest.outputs.iter().map(|output| output.partial_elements()).sum();
    // SAFETY: the partial results of this chunk lie within those of all chunks and belong to nobody else.
    let partial = unsafe {
        slice_mut::<f64>(Memory(partials.pointer::<f64>().wrapping_add(chunk * per_chunk).cast()), per_chunk)
    };
    match nest.compute {
        DType::F32 => {
            dispatch!(chunk_body::<f32>(nest: &Loop, leaves: &[Memory], outputs: &[Memory], chunk: usize, partial: &mut [f64]));
        }
        _ => {
            dispatch!(chunk_body::<f64>(nest: &Loop, leaves: &[Memory], outputs: &[Memory], chunk: usize, partial: &mut [f64]));
        }
    }
}

/// Combines what the chunks found.
///
/// # Safety
/// As [`run`], after every chunk has run.
pub(crate) unsafe fn finish(nest: &Loop, outputs: &[Memory], partials: Memory) {
    // SAFETY: the caller's promise.
    unsafe {
        let partials = slice::<f64>(partials, nest.partial_elements());
        match nest.compute {
            DType::F32 => combine::<f32>(nest, outputs, partials),
            _ => combine::<f64>(nest, outputs, partials),
        }
    }
}

/// Results whose parts are added up together.
const TOTALS: usize = 512;
/// Parts that are worth a second thread.
const PARALLEL_PARTS: usize = 64 * 1024;

/// Adds up the chunks' parts in their order and stores the results of reductions over the first axis.
unsafe fn combine<T: Real>(nest: &Loop, outputs: &[Memory], partials: &[f64]) {
    let per_chunk: usize = nest.outputs.iter().map(|output| output.partial_elements()).sum();
    let mut offset = 0;
    for (output, memory) in nest.outputs.iter().zip(outputs) {
        let OutputKind::Reduce { kind, elements, .. } = &output.kind else { continue };
        let chunks = nest.tiling.chunks;
        if output.keeps_first_axis() {
            if chunks == 0 {
                let empty = if *kind == Reduction::Sum { T::ZERO } else { T::LOWEST };
                for element in 0..*elements {
                    // SAFETY: within the output's shape.
                    unsafe { memory.0.cast::<T>().add(element).write(empty) };
                }
            }
            continue;
        }
        let memory = *memory;
        let block = |block: usize| {
            let first = block * TOTALS;
            let mut totals = [identity(*kind); TOTALS];
            let totals = &mut totals[..TOTALS.min(elements - first)];
            for chunk in 0..chunks {
                let parts = &partials[chunk * per_chunk + offset + first..][..totals.len()];
                totals.iter_mut().zip(parts).for_each(|(total, &part)| *total = join(*kind, *total, part));
            }
            for (place, &total) in totals.iter().enumerate() {
                // SAFETY: within the output's shape, and blocks are apart.
                unsafe { memory.pointer::<T>().add(first + place).write(T::of(total)) };
            }
        };
        match elements.div_ceil(TOTALS) {
            blocks if elements * chunks < PARALLEL_PARTS => (0..blocks).for_each(block),
            blocks => (0..blocks).into_par_iter().for_each(block),
        }
        offset += elements;
    }
}

thread_local! {
    /// Slots of the tile in work and accumulators of kept rows; grows once and is used again.
    static WORKSPACE: RefCell<Workspace> = const { RefCell::new(Workspace { slots: Vec::new(), sums: Vec::new() }) };
}

#[derive(Default)]
struct Workspace {
    slots: Vec<f64>,
    sums: Vec<f64>,
}

/// How a leaf is found for a tile.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    /// Dense within the tile and of the loop's type: used where it is.
    InPlace,
    /// The same for all tiles: gathered once a chunk.
    Once,
    /// Gathered for each tile.
    Each,
}

#[inline(always)]
unsafe fn chunk_body<T: Real>(nest: &Loop, leaves: &[Memory], outputs: &[Memory], chunk: usize, partial: &mut [f64]) {
    // Taken out and put back rather than borrowed: the body would end up in a closure, which is not compiled for the
    // instruction set of its caller.
    let mut workspace = WORKSPACE.take();
    let Workspace { slots, sums } = &mut workspace;
    // SAFETY: the caller's promise.
    unsafe { chunk_with::<T>(nest, leaves, outputs, chunk, partial, slots, sums) };
    WORKSPACE.set(workspace);
}

#[inline(always)]
unsafe fn chunk_with<T: Real>(
    nest: &Loop,
    leaves: &[Memory],
    outputs: &[Memory],
    chunk: usize,
    partial: &mut [f64],
    slots: &mut Vec<f64>,
    sums: &mut Vec<f64>,
) {
    let (execute, follow, reduce) = (elementwise::compiled::<T>(), chain::compiled::<T>(), reduction::compiled::<T>());
    let spread = spread::compiled::<T>();
    let elements = nest.tiling.slot_elements;
    // f64 elements that hold one slot of T.
    let stride = elements * size_of::<T>() / 8;
    // One cache line more than needed, so that slots can start on one.
    if slots.len() < nest.slots * stride + 8 {
        slots.resize(nest.slots * stride + 8, 0.0);
    }
    let scratch = slots.as_mut_ptr();
    // SAFETY: at most 7 elements further, within the line added above.
    let scratch = unsafe { scratch.add(scratch.align_offset(64).min(7)) };
    // SAFETY: every slot lies within the workspace.
    let slot = |number: usize| unsafe { scratch.add(number * stride).cast::<T>() };
    let mut at: Vec<*mut T> = (0..nest.slots).map(slot).collect();
    let rank = nest.extents.len();
    let (rows, columns) = (nest.extents[rank - 2], nest.extents[rank - 1]);

    let first = chunk * nest.tiling.chunk;
    let last = (first + nest.tiling.chunk).min(nest.tiling.tiles);
    let whole = Tile { outer: 0, row: 0, column: 0, rows: nest.tiling.rows, columns: nest.tiling.columns };

    let access: Vec<Access> = nest
        .leaves
        .iter()
        .map(|leaf| {
            let [row, column] = [leaf.strides[rank - 2], leaf.strides[rank - 1]];
            let dense = (column == 1 || nest.tiling.columns == 1) && (nest.tiling.rows == 1 || row == columns);
            let moves = leaf.strides[..rank - 2].iter().any(|&stride| stride != 0)
                || row != 0
                || (column != 0 && nest.tiling.columns < columns);
            match (dense && leaf.dtype == T::DTYPE, moves) {
                (true, _) => Access::InPlace,
                (_, false) => Access::Once,
                _ => Access::Each,
            }
        })
        .collect();
    for (number, leaf) in nest.leaves.iter().enumerate() {
        if access[number] == Access::Once {
            // SAFETY: the leaf is readable wherever its strides reach.
            unsafe { gather::<T>(leaves[number], leaf.dtype, 0, &leaf.strides[rank - 2..], whole, at[number]) };
        }
    }
    for (place, &value) in nest.splats.iter().enumerate() {
        // SAFETY: the slot holds `elements`.
        unsafe { fill(at[nest.leaves.len() + place], elements, T::of(value)) };
    }
    // Reductions that keep the first axis collect this chunk's part of the result here.
    let regions = regions(nest, first, last);
    sums.clear();
    sums.resize(regions.iter().map(|region| region.1).sum(), 0.0);
    initialise(nest, partial, sums, &regions);

    // Rows that repeat one are the same for every tile that starts there.
    let mut gathered: Vec<Option<(usize, usize, usize)>> = vec![None; nest.leaves.len()];
    for number in first..last {
        let tile = nest.tile(number);
        let count = tile.rows * tile.columns;
        for (number, leaf) in nest.leaves.iter().enumerate() {
            let base = outer_offset(nest, &leaf.strides, tile.outer)
                + tile.row * leaf.strides[rank - 2]
                + tile.column * leaf.strides[rank - 1];
            match access[number] {
                // SAFETY: the leaf is readable at the tile's place.
                Access::InPlace => at[number] = unsafe { leaves[number].0.cast::<T>().add(base) },
                Access::Once => {}
                Access::Each => {
                    let strides = &leaf.strides[rank - 2..];
                    let is_there = |(at, rows, columns): (usize, usize, usize)| {
                        strides[0] == 0 && at == base && columns == tile.columns && rows >= tile.rows
                    };
                    if gathered[number].is_some_and(is_there) {
                        continue;
                    }
                    gathered[number] = Some((base, tile.rows, tile.columns));
                    // SAFETY: the leaf is readable wherever its strides reach, and the slot holds a tile.
                    unsafe {
                        if strides[1] == 0 && leaf.dtype == T::DTYPE {
                            spread(leaves[number].pointer::<T>().add(base), strides[0], tile, at[number]);
                        } else {
                            gather::<T>(leaves[number], leaf.dtype, base, strides, tile, at[number]);
                        }
                    }
                }
            }
        }
        for (place, &axis) in nest.iotas.iter().enumerate() {
            let slot = at[nest.leaves.len() + nest.splats.len() + place];
            // SAFETY: the slot holds a tile.
            unsafe { positions(nest, axis, tile, slot) };
        }
        let dense = tile.outer * rows * columns + tile.row * columns + tile.column;
        for (output, memory) in nest.outputs.iter().zip(outputs) {
            if matches!(output.kind, OutputKind::Store { deferred: false }) && output.dtype == T::DTYPE {
                // SAFETY: the output is writable at the tile's place.
                at[output.slot] = unsafe { memory.0.cast::<T>().add(dense) };
            }
        }
        for piece in &nest.pieces {
            match piece {
                // SAFETY: every slot holds at least `count` elements; slots are apart, but for memory that is read before a
                // deferred store.
                Piece::Chain(links) => unsafe { follow(links, &at, count) },
                Piece::Alone(step) => {
                    let [a, b, c] = step.from;
                    // SAFETY: every slot holds at least `count` elements, and no instruction writes where it reads.
                    unsafe { execute(step.scalar, count, at[step.to], [at[a], at[b], at[c]]) };
                }
            }
        }
        let (mut shared, mut own) = (0, 0);
        for (output, memory) in nest.outputs.iter().zip(outputs) {
            match &output.kind {
                OutputKind::Store { deferred: false } if output.dtype == T::DTYPE => {}
                // SAFETY: the output is writable at the tile's place.
                OutputKind::Store { .. } => unsafe {
                    store::<T>(*memory, output.dtype, dense, at[output.slot], count);
                },
                OutputKind::Reduce { kind, strides, elements } => {
                    let place = outer_offset(nest, strides, tile.outer)
                        + tile.row * strides[rank - 2]
                        + tile.column * strides[rank - 1];
                    let into = if output.keeps_first_axis() {
                        let (start, length, at) = (regions[own].0, regions[own].1, regions[own].2);
                        own += 1;
                        &mut sums[at..at + length][place - start..]
                    } else {
                        shared += elements;
                        &mut partial[shared - elements..shared][place..]
                    };
                    let strides = [strides[rank - 2], strides[rank - 1]];
                    // SAFETY: the slot holds the tile.
                    unsafe { reduce(*kind, strides, tile, at[output.slot], into) };
                }
            }
        }
    }
    let mut own = regions.iter();
    for (output, memory) in nest.outputs.iter().zip(outputs) {
        if output.keeps_first_axis()
            && let Some(&(start, length, at)) = own.next()
        {
            for (element, &sum) in sums[at..at + length].iter().enumerate() {
                // SAFETY: chunks own disjoint parts of the result.
                unsafe { memory.0.cast::<T>().add(start + element).write(T::of(sum)) };
            }
        }
    }
}

/// Start and length of this chunk's part of each result that keeps the first axis, and where its sums lie.
#[inline(always)]
fn regions(nest: &Loop, first: usize, last: usize) -> Vec<(usize, usize, usize)> {
    let rank = nest.extents.len();
    let step = |number: usize| {
        let tile = nest.tile(number);
        if rank == 2 { tile.row } else { tile.outer / nest.extents[1..rank - 2].iter().product::<usize>().max(1) }
    };
    let from = if first < last { step(first) } else { 0 };
    let to = if first >= last {
        0
    } else if rank == 2 {
        let tile = nest.tile(last - 1);
        tile.row + tile.rows
    } else {
        step(last - 1) + 1
    };
    let mut next = 0;
    nest.outputs
        .iter()
        .filter(|output| output.keeps_first_axis())
        .filter_map(|output| match &output.kind {
            OutputKind::Reduce { strides, .. } => {
                let length = (to - from) * strides[0];
                next += length;
                Some((from * strides[0], length, next - length))
            }
            OutputKind::Store { .. } => None,
        })
        .collect()
}

#[inline(always)]
fn initialise(nest: &Loop, partial: &mut [f64], sums: &mut [f64], regions: &[(usize, usize, usize)]) {
    let (mut shared, mut own) = (0, 0);
    for output in &nest.outputs {
        let OutputKind::Reduce { kind, elements, .. } = &output.kind else { continue };
        if output.keeps_first_axis() {
            let (_, length, at) = regions[own];
            sums[at..at + length].fill(identity(*kind));
            own += 1;
        } else {
            partial[shared..shared + elements].fill(identity(*kind));
            shared += elements;
        }
    }
}

/// The offset of a flat position over all axes but the last two.
#[inline(always)]
fn outer_offset(nest: &Loop, strides: &[usize], mut outer: usize) -> usize {
    let mut offset = 0;
    for axis in (0..nest.extents.len() - 2).rev() {
        offset += outer % nest.extents[axis] * strides[axis];
        outer /= nest.extents[axis];
    }
    offset
}

#[inline(always)]
unsafe fn fill<T: Real>(to: *mut T, count: usize, value: T) {
    for element in 0..count {
        // SAFETY: the caller's slot holds `count`.
        unsafe { to.add(element).write(value) };
    }
}

/// Copies a tile of a leaf into a slot, converting its type.
#[inline(always)]
unsafe fn gather<T: Real>(from: Memory, dtype: DType, base: usize, strides: &[usize], tile: Tile, to: *mut T) {
    // SAFETY: the leaf is readable wherever its strides reach, as elements of its type.
    unsafe {
        match dtype {
            DType::F32 => copy(from.0.cast::<f32>().add(base), strides, tile, to, |x| T::of(f64::from(x))),
            DType::F64 => copy(from.0.cast::<f64>().add(base), strides, tile, to, T::of),
            DType::I32 => copy(from.0.cast::<i32>().add(base), strides, tile, to, |x| T::of(f64::from(x))),
            DType::Bool => copy(from.0.add(base), strides, tile, to, |x: u8| if x != 0 { T::ONE } else { T::ZERO }),
        }
    }
}

#[inline(always)]
unsafe fn copy<S: Copy, T: Real>(from: *const S, strides: &[usize], tile: Tile, to: *mut T, convert: impl Fn(S) -> T) {
    for row in 0..tile.rows {
        // SAFETY: within the leaf and the slot, see `gather`.
        unsafe {
            let (source, target) = (from.add(row * strides[0]), to.add(row * tile.columns));
            match strides[1] {
                0 => fill(target, tile.columns, convert(source.read())),
                1 => (0..tile.columns).for_each(|column| target.add(column).write(convert(source.add(column).read()))),
                stride => (0..tile.columns)
                    .for_each(|column| target.add(column).write(convert(source.add(column * stride).read()))),
            }
        }
    }
}

/// Writes a slot into memory of another type.
#[inline(always)]
unsafe fn store<T: Real>(to: Memory, dtype: DType, base: usize, from: *const T, count: usize) {
    // SAFETY: the output is writable at `base..base + count`, the slot holds `count`.
    unsafe {
        match dtype {
            same if same == T::DTYPE => from.copy_to_nonoverlapping(to.0.cast::<T>().add(base), count),
            DType::Bool => (0..count).for_each(|i| to.0.add(base + i).write(u8::from(from.add(i).read() != T::ZERO))),
            DType::I32 => {
                (0..count).for_each(|i| to.0.cast::<i32>().add(base + i).write(from.add(i).read().f64() as i32));
            }
            DType::F32 => {
                (0..count).for_each(|i| to.0.cast::<f32>().add(base + i).write(from.add(i).read().f64() as f32));
            }
            DType::F64 => (0..count).for_each(|i| to.0.cast::<f64>().add(base + i).write(from.add(i).read().f64())),
        }
    }
}

/// Writes the position along an axis of the nest for each place of the tile.
#[inline(always)]
unsafe fn positions<T: Real>(nest: &Loop, axis: usize, tile: Tile, to: *mut T) {
    let rank = nest.extents.len();
    let inner: usize = nest.extents[..rank - 2].iter().skip(axis + 1).product();
    for row in 0..tile.rows {
        for column in 0..tile.columns {
            let position = if axis == rank - 1 {
                tile.column + column
            } else if axis == rank - 2 {
                tile.row + row
            } else {
                tile.outer / inner % nest.extents[axis]
            };
            // SAFETY: the slot holds the tile.
            unsafe { to.add(row * tile.columns + column).write(T::of(position as f64)) };
        }
    }
}
