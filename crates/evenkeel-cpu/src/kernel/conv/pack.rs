//! Weights in the order in which the tiles read them.

use super::correlate::{Correlation, channel_block, channel_blocks};
use super::kernels::Real;
use super::work::{Shared, each};

/// Where the weights of a block of channels lie, and the steps between rows of taps, taps of a row, and reduced channels.
pub(super) struct WeightRows<T> {
    pub(super) data: *const T,
    pub(super) steps: [usize; 3],
}

impl Correlation {
    /// Packs the weights as `[group][channel block][tap][reduction][lane]`, zeros in the lanes beyond the last channel.
    pub(super) fn pack<T: Real>(&self, lanes: usize, w: &[T], packed: &mut [T]) {
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
                    transpose(source, target, [self.reduce, channels], [reduce_step, produce_step, width]);
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

/// Writes `target[k · width + lane] = source[k · k_step + lane · lane_step]`.
///
/// Where the source is contiguous along k, in small squares that the compiler turns round in registers, and in an order that
/// fills a line of the target before the next.
pub(super) fn transpose<T: Real>(
    source: &[T],
    target: &mut [T],
    [depth, lanes]: [usize; 2],
    [k_step, lane_step, width]: [usize; 3],
) {
    const SIDE: usize = 4;
    let whole = if k_step == 1 { [depth / SIDE * SIDE, lanes / SIDE * SIDE] } else { [0, 0] };
    for k in (0..whole[0]).step_by(SIDE) {
        for lane in (0..whole[1]).step_by(SIDE) {
            let mut square = [[T::default(); SIDE]; SIDE];
            for (l, line) in square.iter_mut().enumerate() {
                line.copy_from_slice(&source[k + (lane + l) * lane_step..][..SIDE]);
            }
            for i in 0..SIDE {
                let turned: [T; SIDE] = std::array::from_fn(|l| square[l][i]);
                target[(k + i) * width + lane..][..SIDE].copy_from_slice(&turned);
            }
        }
    }
    for k in 0..depth {
        for lane in if k < whole[0] { whole[1]..lanes } else { 0..lanes } {
            target[k * width + lane] = source[k * k_step + lane * lane_step];
        }
    }
}
