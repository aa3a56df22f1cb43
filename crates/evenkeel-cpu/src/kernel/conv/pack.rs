//! Weights in the order in which the tiles read them.

use super::correlate::{Correlation, channel_block, channel_blocks};
use super::kernels::Real;
use super::simd::Lanes;
use super::work::{Shared, each};
use crate::kernel::instruction_set::InstructionSet;

/// Where the weights of a block of channels lie, and the steps between rows of taps, taps of a row, and reduced channels.
pub(super) struct WeightRows<T> {
    pub(super) data: *const T,
    pub(super) steps: [usize; 3],
}

impl Correlation {
    /// Packs the weights as `[group][channel block][tap][reduction][lane]`, zeros in the lanes beyond the last channel.
    pub(super) fn pack<T: Real>(&self, level: InstructionSet, w: &[T], packed: &mut [T]) {
        let lanes = level.lanes(size_of::<T>());
        let (blocks, depth) = (channel_blocks(self.produce, lanes), self.depth());
        if depth == 0 {
            return;
        }
        let [row_step, column_step, group_step, reduce_step, produce_step] = self.weight_steps;
        let target = Shared::new(packed);
        each(self.groups * self.produce * depth * 16, self.groups * blocks, |task| {
            let (group, block) = (task / blocks, channel_block(self.produce, lanes, task % blocks));
            let width = block.vectors * lanes;
            let channels = width.min(self.produce - block.first);
            for tap in 0..self.taps() {
                let (row, column) = (tap / self.columns.taps, tap % self.columns.taps);
                let start = self.rows.index(row) * row_step + self.columns.index(column) * column_step;
                let source = &w[start + group * group_step + block.first * produce_step..];
                let at = group * self.packed(lanes) + block.first * depth + tap * self.reduce * width;
                // SAFETY: inside the packed weights, whose size has been checked; each tap of a block has a place of its own.
                let target = unsafe { target.slice(at, self.reduce * width) };
                if produce_step == 1 {
                    for (k, target) in target.chunks_exact_mut(width).enumerate() {
                        target[..channels].copy_from_slice(&source[k * reduce_step..][..channels]);
                        target[channels..].fill(T::default());
                    }
                } else {
                    if channels < width {
                        target.fill(T::default());
                    }
                    transpose(level, source, target, [self.reduce, channels], [reduce_step, produce_step, width]);
                }
            }
        });
    }

    /// The weights of a block of channels: in `weights` as packed, or as they are.
    pub(super) fn weight_rows<T>(&self, lanes: usize, weights: &[T], group: usize, index: usize) -> WeightRows<T> {
        let block = channel_block(self.produce, lanes, index);
        let width = block.vectors * lanes;
        let [row, column, group_step, reduce, produce] = self.weight_steps;
        let (start, steps) = if self.weights_in_place(lanes) {
            (group * group_step + block.first * produce, [row, column, reduce])
        } else {
            let tap = self.reduce * width;
            (group * self.packed(lanes) + block.first * self.depth(), [self.columns.taps * tap, tap, width])
        };
        WeightRows { data: weights.as_ptr().wrapping_add(start), steps }
    }
}

/// Writes `target[k · width + lane] = source[k · k_step + lane · lane_step]` for all k below `depth` and lanes below `lanes`.
///
/// Where the source is contiguous along k, in small squares turned round in registers.
pub(in crate::kernel) fn transpose<T: Real>(
    level: InstructionSet,
    source: &[T],
    target: &mut [T],
    [depth, lanes]: [usize; 2],
    [k_step, lane_step, width]: [usize; 3],
) {
    if depth == 0 || lanes == 0 {
        return;
    }
    let whole = if k_step == 1 {
        let last = [(lanes - 1) * lane_step + depth, (depth - 1) * width + lanes];
        assert!(last[0] <= source.len() && last[1] <= target.len(), "convolution: a copy leaves its source or target");
        let turn = Turn { source: source.as_ptr(), target: target.as_mut_ptr(), depth, lanes, lane_step, width };
        let (side, turn_squares) = T::kernels(level).turn;
        // SAFETY: `level` was detected on this processor; the lengths were checked.
        unsafe { turn_squares(&turn) };
        [depth / side * side, lanes / side * side]
    } else {
        [0, 0]
    };
    for k in 0..depth {
        for lane in if k < whole[0] { whole[1]..lanes } else { 0..lanes } {
            target[k * width + lane] = source[k * k_step + lane * lane_step];
        }
    }
}

/// The operands of [`turn_squares`].
pub(super) struct Turn<T> {
    source: *const T,
    target: *mut T,
    depth: usize,
    lanes: usize,
    lane_step: usize,
    width: usize,
}

/// Turns round all whole squares of a [`transpose`]; two of them along a line of the source at a time.
///
/// # Safety
/// The processor has the instruction set of `L`; source and target are valid for all k and lanes.
#[inline(always)]
pub(super) unsafe fn turn_squares<L: Lanes>(turn: &Turn<L::Scalar>) {
    let (deep, wide) = (turn.depth / L::SIDE, turn.lanes / L::SIDE);
    for first in (0..deep).step_by(2) {
        for lane in (0..wide).map(|square| square * L::SIDE) {
            for k in (first..deep.min(first + 2)).map(|square| square * L::SIDE) {
                // SAFETY: the caller's promise; the square lies inside.
                unsafe {
                    let target = turn.target.add(k * turn.width + lane);
                    L::turn(turn.source.add(k + lane * turn.lane_step), turn.lane_step, target, turn.width);
                }
            }
        }
    }
}
