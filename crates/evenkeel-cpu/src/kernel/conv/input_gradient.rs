//! The gradient with respect to the input: correlations of the output's gradient with the transposed weights.

use super::correlate::Correlation;
use super::depthwise;
use super::geometry::{Axis, ConvShape};
use super::kernels::Real;
use super::winograd::{self, Filtering};
use super::work::Shared;
use crate::kernel::instruction_set::InstructionSet;

/// One correlation for each phase of the input positions; phases that no tap reaches come out as zeros.
fn phases(shape: &ConvShape) -> impl Iterator<Item = Correlation> {
    let shape = shape.flattened().unwrap_or_else(|| shape.clone());
    let (pixel, row) = (shape.in_channels, shape.width * shape.in_channels);
    let tap = shape.in_group() * shape.out_channels;
    let [down, right] = shape.stride;
    (0..down * right).map(move |phase| (phase / right, phase % right)).map(move |(a, b)| Correlation {
        batch: shape.batch,
        rows: Axis::phase(&shape, 0, a),
        columns: Axis::phase(&shape, 1, b),
        groups: shape.groups,
        reduce: shape.out_group(),
        produce: shape.in_group(),
        origin: a * row + b * pixel,
        steps: [shape.height * row, down * row, right * pixel],
        weight_steps: [shape.kernel[1] * tap, tap, shape.out_group(), 1, shape.out_channels],
    })
}

/// Gradient of a convolution with respect to its input, overwriting `gx`: the transpose of [`forward`](super::forward) in x.
///
/// * `gy`: `[N, oh, ow, c_out]`, `w`: `[kh, kw, c_in / groups, c_out]`, `gx`: `[N, H, W, c_in]`
/// * `scratch`: at least [`input_gradient_scratch`] elements, of any content
/// * cost: as [`forward`](super::forward)
///
/// # Panics
/// When a slice does not have the length of the shape, or the scratch is too short.
pub fn input_gradient<T: Real>(shape: &ConvShape, gy: &[T], w: &[T], gx: &mut [T], scratch: &mut [T]) {
    input_gradient_at(InstructionSet::detect(), shape, gy, w, gx, scratch);
}

/// Elements of scratch that [`input_gradient`] needs for scalars of `size` bytes: packed weights and a few padded rows.
pub fn input_gradient_scratch(shape: &ConvShape, size: usize) -> usize {
    scratch_at(InstructionSet::detect(), shape, size)
}

pub(super) fn input_gradient_at<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    gy: &[T],
    w: &[T],
    gx: &mut [T],
    scratch: &mut [T],
) {
    shape.check();
    assert_eq!(gy.len(), shape.output_len(), "convolution: length of the output gradient");
    assert_eq!(w.len(), shape.weight_len(), "convolution: length of the weights");
    assert_eq!(gx.len(), shape.input_len(), "convolution: length of the input gradient");
    assert!(scratch.len() >= scratch_at(level, shape, size_of::<T>()), "convolution: scratch is too short");
    if winograd::preferred(shape, size_of::<T>()) {
        return Filtering::backward(shape, level, size_of::<T>()).run(level, gy, w, Shared::new(gx), scratch);
    }
    sum_at(level, shape, gy, w, gx, scratch);
}

/// The direct sums, whatever the shape; lengths have been checked.
pub(super) fn sum_at<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    gy: &[T],
    w: &[T],
    gx: &mut [T],
    scratch: &mut [T],
) {
    let gx = Shared::new(gx);
    for phase in phases(shape) {
        if shape.depthwise() {
            depthwise::correlate(&phase, level, gy, w, gx);
        } else {
            phase.run(level, gy, w, gx, scratch);
        }
    }
}

pub(super) fn scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if winograd::preferred(shape, size) {
        return Filtering::backward(shape, level, size).scratch();
    }
    sum_scratch_at(level, shape, size)
}

pub(super) fn sum_scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if shape.depthwise() {
        return 0;
    }
    phases(shape).map(|phase| phase.scratch(level.lanes(size))).max().unwrap_or(0)
}
