//! Minimal filtering, F(2 × 2, 3 × 3): 16 products in place of 36 for a tile of 2 × 2 outputs and a pair of channels.
//!
//! Every tile of 4 × 4 inputs, and the weights, are transformed by additions so that the convolution of a tile becomes 16 products
//! of numbers, one for each of 16 *planes*. Summed over channels these are 16 small matrix products, `[tiles × c_in] · [c_in ×
//! c_out]`, and a last transform by additions makes outputs of them (`transform` has the formulas). All three directions work
//! this way: the input gradient is a convolution with the mirrored, transposed weights, and the weight gradient sums over tiles
//! instead of channels.
//!
//! The work goes in *bands* of some tens of tiles, so that the planes of a band stay in the cache next to the core; the weights
//! are transformed once a call. Bands are dealt to *slots*, each with its own memory for one band; where a band is so large that
//! there are few slots, its parts run in parallel. Both depend on the shape alone.
//!
//! # Accuracy
//! The transforms add numbers that later cancel, but the sums are shorter. Against exact convolution, over the layers of the zoo,
//! the error of an output or of an input's gradient is 0.6 to 0.8 times that of summing directly, that of a weight's gradient 1.0
//! to 1.6 times (the tests bound both by 2). Only f32 takes this path; f64 is for proofs and always sums directly.
//!
//! Source of the algorithm: Winograd 1980, "Arithmetic complexity of computations"; for convolutional networks Lavin and Gray
//! 2016, arXiv 1509.09308.

mod compiled;
mod correlate;
mod grid;
#[cfg(test)]
mod tests;
mod transform;
mod weight_gradient;

pub(super) use compiled::{transforms_f32, transforms_f64};
pub(super) use correlate::Filtering;
pub(super) use transform::Transforms;
pub(super) use weight_gradient::FilteringWeights;

use crate::kernel::is_alone;
use rayon::prelude::*;

use super::geometry::ConvShape;

/// What a transformed scalar costs, in multiply-adds: loads, additions and stores of its plane.
const TRANSFORM: usize = 4;
/// What transforming the weights costs, in tiles that would be multiplied meanwhile.
const WEIGHTS: usize = 6;
/// Channels fill vectors of this many scalars, on every instruction set, so that the choice does not depend on it.
const VECTOR: usize = 16;
/// Scalars of a cache line, or of two.
const LINE: usize = 16;
/// Slots from which on a band need not be cut to occupy the threads.
const ENOUGH: usize = 16;

/// Whether minimal filtering can do a convolution at all: 3 × 3 neighbouring taps, one step at a time, one group.
fn possible(shape: &ConvShape) -> bool {
    shape.kernel == [3; 2] && shape.stride == [1; 2] && shape.dilation == [1; 2] && shape.groups == 1
}

/// Whether minimal filtering is the faster way for scalars of `size` bytes.
///
/// Counts multiply-adds: those of the products with channels rounded up to vectors, the transforms, and on the other side the
/// direct sum without the taps in the padding.
pub(super) fn preferred(shape: &ConvShape, size: usize) -> bool {
    if size != size_of::<f32>() || !possible(shape) || shape.in_channels.min(shape.out_channels) < VECTOR / 2 {
        return false;
    }
    let [c_in, c_out] = [shape.in_channels, shape.out_channels].map(|channels| channels.next_multiple_of(VECTOR));
    let taps = |axis: usize, size: usize| {
        let before = shape.padding[axis][0];
        let inside = |output: usize| (0..3).filter(|tap| (before..before + size).contains(&(output + tap))).count();
        (0..shape.output()[axis]).map(inside).sum::<usize>()
    };
    let direct = shape.batch * taps(0, shape.height) * taps(1, shape.width) * shape.in_channels * shape.out_channels;
    let pair = c_in * c_out;
    let tiles = grid::Grid::forward(shape).count();
    let filtered = transform::PLANES * (tiles * (pair + TRANSFORM * (c_in + c_out)) + WEIGHTS * pair);
    filtered < direct
}

/// Scalars to leave between planes: more than `len`, and an odd number of cache lines, so that the planes spread over the cache.
fn spread(len: usize) -> usize {
    len.div_ceil(LINE) / 2 * 2 * LINE + LINE
}

/// Does `task` for the parts `0..parts`, in parallel or one after the other.
fn in_parts(parallel: bool, parts: usize, task: impl Fn(usize) + Sync + Send) {
    if parallel && !is_alone() {
        (0..parts).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..parts).for_each(task);
    }
}

/// Drops as few scalars as make the rest begin with a cache line.
fn aligned<T>(scratch: &mut [T]) -> &mut [T] {
    let skip = scratch.as_ptr().align_offset(64).min(LINE).min(scratch.len());
    &mut scratch[skip..]
}
