//! The convolution itself.

use super::correlate::Correlation;
use super::depthwise;
use super::geometry::{Axis, ConvShape};
use super::kernels::Real;
use super::winograd::{self, Filtering};
use super::work::Shared;
use crate::kernel::instruction_set::InstructionSet;

fn correlation(shape: &ConvShape) -> Correlation {
    let flattened = shape.flattened();
    let shape = flattened.as_ref().unwrap_or(shape);
    let [height, width] = shape.output();
    let row = width * shape.out_channels;
    let tap = shape.in_group() * shape.out_channels;
    Correlation {
        batch: shape.batch,
        rows: Axis::forward(shape, 0),
        columns: Axis::forward(shape, 1),
        groups: shape.groups,
        reduce: shape.in_group(),
        produce: shape.out_group(),
        origin: 0,
        steps: [height * row, row, shape.out_channels],
        weight_steps: [shape.kernel[1] * tap, tap, shape.out_group(), shape.out_channels, 1],
    }
}

/// Convolution: y = x ⋆ w (cross-correlation, as in deep learning), overwriting `y`.
///
/// * `x`: `[N, H, W, c_in]`, `w`: `[kh, kw, c_in / groups, c_out]`, `y`: `[N, oh, ow, c_out]`
/// * `scratch`: at least [`forward_scratch`] elements, of any content
/// * cost: one multiply-add for each weight and output pixel
///
/// # Panics
/// When a slice does not have the length of the shape, or the scratch is too short.
pub fn forward<T: Real>(shape: &ConvShape, x: &[T], w: &[T], y: &mut [T], scratch: &mut [T]) {
    forward_at(InstructionSet::detect(), shape, x, w, y, scratch);
}

/// Elements of scratch that [`forward`] needs for scalars of `size` bytes: the packed weights and a few padded rows.
pub fn forward_scratch(shape: &ConvShape, size: usize) -> usize {
    scratch_at(InstructionSet::detect(), shape, size)
}

pub(super) fn forward_at<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    x: &[T],
    w: &[T],
    y: &mut [T],
    scratch: &mut [T],
) {
    shape.check();
    assert_eq!(x.len(), shape.input_len(), "convolution: length of the input");
    assert_eq!(w.len(), shape.weight_len(), "convolution: length of the weights");
    assert_eq!(y.len(), shape.output_len(), "convolution: length of the output");
    assert!(scratch.len() >= scratch_at(level, shape, size_of::<T>()), "convolution: scratch is too short");
    if winograd::preferred(shape, size_of::<T>()) {
        return Filtering::forward(shape, level, size_of::<T>()).run(level, x, w, Shared::new(y), scratch);
    }
    sum_at(level, shape, x, w, y, scratch);
}

/// The direct sums, whatever the shape; lengths have been checked.
pub(super) fn sum_at<T: Real>(
    level: InstructionSet,
    shape: &ConvShape,
    x: &[T],
    w: &[T],
    y: &mut [T],
    scratch: &mut [T],
) {
    let correlation = correlation(shape);
    if shape.depthwise() {
        depthwise::correlate(&correlation, level, x, w, Shared::new(y));
    } else {
        correlation.run(level, x, w, Shared::new(y), scratch);
    }
}

pub(super) fn scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if winograd::preferred(shape, size) {
        return Filtering::forward(shape, level, size).scratch();
    }
    sum_scratch_at(level, shape, size)
}

pub(super) fn sum_scratch_at(level: InstructionSet, shape: &ConvShape, size: usize) -> usize {
    if shape.depthwise() { 0 } else { correlation(shape).scratch(level.lanes(size)) }
}
