//! The other table: what each primitive becomes when some of its operands have one more axis in front.
//!
//! Three moves are enough. Operations that treat the leading axis of activations as independent (convolutions, windows,
//! products with a shared right side) take the stack *folded* into it. Convolutions whose weights, or whose reduced
//! activations, are stacked take the stack *among the channels*: one wider convolution. All else takes the axis as it is,
//! with the operands that are shared repeated along it.

use super::map::in_front;
use crate::graph::{Node, Var};
use crate::op::{Convolution, Op, Progression, Window};
use crate::shape::DType;

/// An operand of a node that is rebuilt.
#[derive(Clone, Copy)]
pub(super) struct Operand<'g> {
    /// The stack, or the value that all share.
    pub(super) value: Var<'g>,
    pub(super) stacked: bool,
}

/// `node` with `count` values of each stacked operand; at least one is.
pub(super) fn rule<'g>(node: &Node, count: usize, x: &[Operand<'g>]) -> Var<'g> {
    let graph = x[0].value.graph();
    let all = || x.iter().map(|&operand| stack(operand, count)).collect::<Vec<_>>();
    let push = |op: Op, operands: &[Var<'g>], shape: &[usize]| {
        let ids: Vec<_> = operands.iter().map(|var| var.id()).collect();
        graph.push(op, &ids, shape.into(), node.dtype)
    };
    let shape = in_front(count, &node.shape);
    let shifted = |axes: &[usize]| axes.iter().map(|axis| axis + 1).collect::<Vec<_>>();
    let behind = |axes: &[usize]| [vec![0], shifted(axes)].concat();
    match &node.op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::LogSumExp | Op::ArgMax => {
            push(node.op.clone(), &all(), &shape)
        }
        Op::Reshape => push(Op::Reshape, &all(), &shape),
        Op::Reduce { kind, axes } => push(Op::Reduce { kind: *kind, axes: shifted(axes) }, &all(), &shape),
        Op::Transpose { permutation } => push(Op::Transpose { permutation: behind(permutation) }, &all(), &shape),
        Op::Broadcast { axes } => push(Op::Broadcast { axes: behind(axes) }, &all(), &shape),
        Op::Slice(along) => push(Op::Slice(whole_in_front(count, along)), &all(), &shape),
        Op::Pad(along) => push(Op::Pad(whole_in_front(count, along)), &all(), &shape),
        Op::Concat { axis } => push(Op::Concat { axis: axis + 1 }, &all(), &shape),
        Op::Gather { axis } if !x[1].stacked => push(Op::Gather { axis: axis + 1 }, &[x[0].value, x[1].value], &shape),
        Op::ScatterAdd { axis } if !x[1].stacked => {
            push(Op::ScatterAdd { axis: axis + 1 }, &[x[0].value, x[1].value], &shape)
        }
        Op::Gather { axis } if !x[0].stacked => to_front(x[0].value.gather(*axis, x[1].value), *axis),
        // The stack among the places of the axis, each value's indices in its own part.
        Op::Gather { axis } => {
            let places = from_front(x[0].value, *axis);
            let mut merged = places.shape().to_vec();
            let extent = merged.remove(*axis + 1);
            merged[*axis] *= extent;
            to_front(places.reshape(merged).gather(*axis, in_own_part(x[1].value, extent)), *axis)
        }
        Op::ScatterAdd { axis } => {
            let extent = node.shape[*axis];
            let parts = from_front(stack(x[0], count), *axis);
            let sums = parts.scatter_add(*axis, in_own_part(x[1].value, extent), count * extent);
            let mut split = node.shape.to_vec();
            split.insert(*axis, count);
            to_front(sums.reshape(split), *axis)
        }
        // Each key draws for itself.
        Op::Random(_) => {
            let draw = |number| {
                push(node.op.clone(), &[x[0].value.at(0, number)], &node.shape).reshape(in_front(1, &node.shape))
            };
            graph.concat(&(0..count).map(draw).collect::<Vec<_>>(), 0)
        }
        // Rows of a shared right side: one product with `count` times as many.
        Op::MatMul { transpose_lhs: false, transpose_rhs } if !x[1].stacked && node.shape.len() == 2 => {
            fold(x[0].value).matmul_with(x[1].value, false, *transpose_rhs).reshape(shape)
        }
        Op::MatMul { .. } => push(node.op.clone(), &all(), &shape),
        Op::Conv(geometry) | Op::ConvInputGradient(geometry) if x[0].stacked && !x[1].stacked => {
            let wide = Convolution { input: folded(geometry.input, count), ..geometry.clone() };
            let (op, shape_of_all) = match &node.op {
                Op::Conv(_) => (Op::Conv(wide.clone()), wide.output()),
                _ => (Op::ConvInputGradient(wide.clone()), wide.input),
            };
            push(op, &[fold(x[0].value), x[1].value], &shape_of_all).reshape(shape)
        }
        Op::Conv(geometry) | Op::ConvInputGradient(geometry) | Op::ConvWeightGradient(geometry) => {
            among_channels(node, geometry, count, x)
        }
        // A window over each of `count` stacks of samples is a window over all samples.
        Op::WindowSum(window)
        | Op::WindowSpread(window)
        | Op::WindowArgMax(window)
        | Op::WindowTake(window)
        | Op::WindowPut(window) => {
            let wide = Window { input: folded(window.input, count), ..window.clone() };
            let (input, output) = (wide.input, wide.output());
            let (op, shape_of_all) = match &node.op {
                Op::WindowSum(_) => (Op::WindowSum(wide), output),
                Op::WindowSpread(_) => (Op::WindowSpread(wide), input),
                Op::WindowArgMax(_) => (Op::WindowArgMax(wide), output),
                Op::WindowTake(_) => (Op::WindowTake(wide), output),
                _ => (Op::WindowPut(wide), input),
            };
            let operands: Vec<_> = all().into_iter().map(fold).collect();
            push(op, &operands, &shape_of_all).reshape(shape)
        }
        // These have no operands, so nothing of theirs is ever stacked.
        Op::Input(_) | Op::Constant(_) | Op::Iota { .. } => x[0].value,
    }
}

/// The stack of an operand: its own, or the shared value repeated.
fn stack(operand: Operand<'_>, count: usize) -> Var<'_> {
    if operand.stacked { operand.value } else { repeat(operand.value, count) }
}

/// A value `count` times along a new leading axis.
pub(super) fn repeat(value: Var<'_>, count: usize) -> Var<'_> {
    let shape = value.shape();
    value.broadcast_along((1..=shape.len()).collect(), &in_front(count, &shape))
}

/// Positions of each axis behind all of a leading one.
fn whole_in_front(count: usize, along: &[Progression]) -> Vec<Progression> {
    std::iter::once(Progression::whole(count)).chain(along.iter().copied()).collect()
}

/// Moves an axis to the front.
fn to_front(value: Var<'_>, axis: usize) -> Var<'_> {
    let permutation: Vec<usize> =
        std::iter::once(axis).chain((0..value.shape().len()).filter(|&a| a != axis)).collect();
    value.transpose(&permutation)
}

/// Moves the leading axis to a place further back.
fn from_front(value: Var<'_>, axis: usize) -> Var<'_> {
    let permutation: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..value.shape().len()).collect();
    value.transpose(&permutation)
}

/// Indices `[K, ..]` into K axes of `extent` places, one after the other; what was outside its axis stays outside.
fn in_own_part(indices: Var<'_>, extent: usize) -> Var<'_> {
    let number = indices.graph().iota(indices.shape(), 0, DType::I32);
    let moved = indices + number * extent as f64;
    let inside = indices.less(indices.like(extent as f64)).select(moved, indices.like(-1.0));
    indices.less(indices.like(0.0)).select(indices.like(-1.0), inside)
}

/// `[K, N, ..]` as `[K · N, ..]`.
fn fold(stack: Var<'_>) -> Var<'_> {
    let shape = stack.shape();
    let [count, rows, ref rest @ ..] = shape[..] else { return stack };
    stack.reshape(in_front(count * rows, rest))
}

/// Activations `[K · N, H, W, C]`.
fn folded(activations: [usize; 4], count: usize) -> [usize; 4] {
    let [n, h, w, c] = activations;
    [count * n, h, w, c]
}

/// A convolution with the stack among its channels, each group's channels side by side: more output channels where the
/// weights (or the gradient they are taken from) are stacked, more input channels where the input is, more groups where
/// both are.
fn among_channels<'g>(node: &Node, geometry: &Convolution, count: usize, x: &[Operand<'g>]) -> Var<'g> {
    let groups = geometry.groups;
    let mut wide = geometry.clone();
    let (first, second) = (x[0].value, x[1].value);
    let both = x[0].stacked && x[1].stacked;
    if both {
        wide.groups *= count;
        wide.input[3] *= count;
        wide.weight[3] *= count;
        let (first, second) = (interleave(first, groups), interleave(second, groups));
        return separate(reapply(node, &wide, first, second), count, groups);
    }
    match &node.op {
        Op::Conv(_) => {
            wide.weight[3] *= count;
            separate(reapply(node, &wide, first, interleave(second, groups)), count, groups)
        }
        Op::ConvInputGradient(_) => {
            wide.input[3] *= count;
            wide.weight[2] *= count;
            // [K, kh, kw, c, c'] as [kh, kw, K · c, c'].
            let weight = second.transpose(&[1, 2, 0, 3, 4]).reshape(wide.weight);
            separate(reapply(node, &wide, first, weight), count, groups)
        }
        _ if x[1].stacked => {
            wide.weight[3] *= count;
            separate(reapply(node, &wide, first, interleave(second, groups)), count, groups)
        }
        _ => {
            wide.input[3] *= count;
            wide.weight[2] *= count;
            let [kh, kw, c_in, c_out] = geometry.weight;
            let weight = reapply(node, &wide, interleave(first, groups), second);
            weight.reshape([kh, kw, count, c_in, c_out]).transpose(&[2, 0, 1, 3, 4])
        }
    }
}

/// The same bilinear map of a convolution with another geometry.
fn reapply<'g>(node: &Node, geometry: &Convolution, first: Var<'g>, second: Var<'g>) -> Var<'g> {
    match &node.op {
        Op::Conv(_) => super::rules::conv_like(first, second, geometry),
        Op::ConvInputGradient(_) => first.conv_input_gradient(second, geometry),
        _ => first.conv_weight_gradient(second, geometry),
    }
}

/// `[K, .., G · c]` as `[.., G · K · c]`: the stack among the channels of each group.
fn interleave(stack: Var<'_>, groups: usize) -> Var<'_> {
    let shape = stack.shape();
    let [count, ref middle @ .., channels] = shape[..] else { return stack };
    let split: Vec<usize> = [&[count], middle, &[groups, channels / groups.max(1)]].concat();
    let last = split.len() - 1;
    let permutation: Vec<usize> = (1..last).chain([0, last]).collect();
    let wide: Vec<usize> = [middle, &[count * channels]].concat();
    stack.reshape(split).transpose(&permutation).reshape(wide)
}

/// `[.., G · K · c]` as `[K, .., G · c]`: undoes [`interleave`].
fn separate(wide: Var<'_>, count: usize, groups: usize) -> Var<'_> {
    let shape = wide.shape();
    let [ref middle @ .., channels] = shape[..] else { return wide };
    let one = channels / count.max(1);
    let split: Vec<usize> = [middle, &[groups, count, one / groups.max(1)]].concat();
    let last = split.len() - 1;
    let permutation: Vec<usize> = [last - 1].into_iter().chain(0..last - 1).chain([last]).collect();
    let stack: Vec<usize> = [&[count], middle, &[one]].concat();
    wide.reshape(split).transpose(&permutation).reshape(stack)
}
