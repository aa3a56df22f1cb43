//! The table: what kind of function each primitive is, and the transposes of the linear ones.

use crate::graph::{Node, Var};
use crate::op::{Binary, Op, Reduction, Unary};

/// How a primitive answers to a small change of its operands.
pub(super) enum Rule<'g> {
    /// Elementwise: one partial derivative an operand.
    Local(Vec<Partial<'g>>),
    /// Linear in each of the operands listed, the others held fixed.
    Linear(&'static [usize]),
    /// Linear in all operands together: what does not move counts as zero.
    Joint,
    /// ẏ = Σ weight · ẋ over the axes that vanish.
    Weighted(Var<'g>),
    /// The derivative is zero wherever it exists.
    Flat,
}

/// The partial derivative of an elementwise function.
#[derive(Clone, Copy)]
pub(super) enum Partial<'g> {
    Zero,
    One,
    MinusOne,
    /// Multiply by it.
    Factor(Var<'g>),
    /// Keep where the mask is true (or, when `false` is given, where it is false).
    Where(Var<'g>, bool),
    /// The operand has another floating-point type.
    Cast,
}

/// The kind of `node`, whose value is `out` and whose operands are `x`.
pub(super) fn rule<'g>(node: &Node, out: Var<'g>, x: &[Var<'g>]) -> Rule<'g> {
    use Partial::{Cast, Factor, MinusOne, One, Where, Zero};
    let local = match &node.op {
        Op::Unary(unary) => vec![match *unary {
            Unary::Negate => MinusOne,
            Unary::Exp => Factor(out),
            Unary::Expm1 => Factor(out + 1.0),
            Unary::Log => Factor(1.0 / x[0]),
            Unary::Log1p => Factor(1.0 / (x[0] + 1.0)),
            Unary::Sqrt => Factor(0.5 / out),
            Unary::Rsqrt => Factor(out * out * out * -0.5),
            Unary::Tanh => Factor(1.0 - out * out),
            Unary::Sigmoid => Factor(out * (1.0 - out)),
            Unary::Erf => Factor((-(x[0] * x[0])).exp() * std::f64::consts::FRAC_2_SQRT_PI),
            Unary::Abs => Factor(x[0].sign()),
            Unary::Sign => Zero,
            Unary::Sin => Factor(x[0].cos()),
            Unary::Cos => Factor(-x[0].sin()),
            Unary::Power(0.0) => Zero,
            Unary::Power(1.0) => One,
            Unary::Power(2.0) => Factor(x[0] * 2.0),
            Unary::Power(exponent) => Factor(x[0].power(exponent - 1.0) * exponent),
        }],
        Op::Binary(Binary::Add) => vec![One, One],
        Op::Binary(Binary::Subtract) => vec![One, MinusOne],
        Op::Binary(Binary::Multiply) => vec![Factor(x[1]), Factor(x[0])],
        Op::Binary(Binary::Divide) => vec![Factor(1.0 / x[1]), Factor(-(out / x[1]))],
        // out > b says the same as a > b and reads the value that is kept anyway.
        Op::Binary(Binary::Maximum) => {
            let first = out.greater(x[1]);
            vec![Where(first, true), Where(first, false)]
        }
        Op::Binary(Binary::Minimum) => {
            let first = out.less(x[1]);
            vec![Where(first, true), Where(first, false)]
        }
        // Where the base is 0, ln 0 is taken as 0: 0ᵇ does not move with b > 0. And b · 0ᵇ⁻¹ is 0 for b = 0.
        Op::Binary(Binary::Power) => {
            let (zero, one) = (x[0].like(0.0), x[0].like(1.0));
            let base = x[0].equal(zero).select(one, x[0]);
            let exponent = (x[0].equal(zero) & x[1].equal(zero)).select(one, x[1] - 1.0);
            vec![Factor(x[0].raised_to(exponent) * x[1]), Factor(out * base.log())]
        }
        Op::Select => vec![Zero, Where(x[0], true), Where(x[0], false)],
        Op::Cast if node.dtype.is_float() && x[0].dtype().is_float() => vec![Cast],
        Op::Reduce { kind: Reduction::Sum, .. }
        | Op::Reshape
        | Op::Transpose { .. }
        | Op::Broadcast { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::WindowSum(_)
        | Op::WindowSpread(_)
        | Op::WindowTake(_)
        | Op::WindowPut(_) => return Rule::Linear(&[0]),
        Op::MatMul { .. } | Op::Conv(_) | Op::ConvInputGradient(_) | Op::ConvWeightGradient(_) => {
            return Rule::Linear(&[0, 1]);
        }
        Op::Concat { .. } => return Rule::Joint,
        // d/dx ln Σ eˣ = softmax(x); in closed form, so that no exponential is differentiated again.
        Op::LogSumExp => return Rule::Weighted((x[0] - out.along_rows_of(x[0])).exp()),
        Op::Reduce { kind: Reduction::Maximum, axes } => {
            let largest = x[0].equal(keep_axes(out, x[0], axes)).cast(node.dtype);
            let count = keep_axes(largest.sum(axes), x[0], axes);
            return Rule::Weighted(largest / count);
        }
        Op::Cast
        | Op::Input(_)
        | Op::Constant(_)
        | Op::Iota { .. }
        | Op::Random(_)
        | Op::Compare(_)
        | Op::ArgMax
        | Op::WindowArgMax(_) => return Rule::Flat,
    };
    Rule::Local(local)
}

/// Repeats a reduced value along the axes that vanished from `like`.
pub(super) fn keep_axes<'g>(reduced: Var<'g>, like: Var<'g>, axes: &[usize]) -> Var<'g> {
    let shape = like.shape();
    let kept = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    reduced.broadcast_along(kept, &shape)
}

/// The axes that a reduction removes.
pub(super) fn reduced_axes(node: &Node, operand: Var<'_>) -> Vec<usize> {
    match &node.op {
        Op::Reduce { axes, .. } => axes.clone(),
        _ => vec![operand.shape().len().saturating_sub(1)],
    }
}

/// A factor applied to a tangent or a cotangent; `None` where nothing flows.
pub(super) fn apply<'g>(partial: Partial<'g>, flow: Var<'g>, to: crate::DType) -> Option<Var<'g>> {
    Some(match partial {
        Partial::Zero => return None,
        Partial::One => flow,
        Partial::MinusOne => -flow,
        Partial::Factor(factor) => flow * factor,
        Partial::Where(mask, true) => mask.select(flow, flow.like(0.0)),
        Partial::Where(mask, false) => mask.select(flow.like(0.0), flow),
        Partial::Cast => flow.cast(to),
    })
}

/// A linear operation on `x` with operand `which` replaced by `tangent`.
pub(super) fn reapply<'g>(node: &Node, x: &[Var<'g>], which: usize, tangent: Var<'g>) -> Var<'g> {
    let mut ids: Vec<_> = x.iter().map(|var| var.id()).collect();
    ids[which] = tangent.id();
    tangent.graph().push(node.op.clone(), &ids, node.shape.clone(), node.dtype)
}

/// A jointly linear operation on the operands' tangents, zero where there is none.
pub(super) fn reapply_joint<'g>(node: &Node, x: &[Var<'g>], tangents: &[Option<Var<'g>>]) -> Option<Var<'g>> {
    let graph = x.first()?.graph();
    let tangent = |(&x, tangent): (&Var<'g>, &Option<Var<'g>>)| tangent.unwrap_or_else(|| x.like(0.0)).id();
    let ids: Vec<_> = x.iter().zip(tangents).map(tangent).collect();
    Some(graph.push(node.op.clone(), &ids, node.shape.clone(), node.dtype))
}

/// The transpose of a linear operation in operand `which`, applied to the cotangent `g`.
pub(super) fn transpose<'g>(node: &Node, x: &[Var<'g>], which: usize, g: Var<'g>) -> Var<'g> {
    match &node.op {
        Op::Reduce { axes, .. } => keep_axes(g, x[0], axes),
        Op::Reshape => g.reshape(x[0].shape()),
        Op::Transpose { permutation } => {
            let mut inverse = vec![0; permutation.len()];
            for (to, &from) in permutation.iter().enumerate() {
                inverse[from] = to;
            }
            g.transpose(&inverse)
        }
        Op::Broadcast { axes } => {
            let added: Vec<usize> = (0..node.shape.len()).filter(|axis| !axes.contains(axis)).collect();
            g.sum(&added)
        }
        Op::Slice(along) => g.pad_at(along.clone(), &x[0].shape()),
        Op::Pad(along) => g.slice_at(along.clone()),
        Op::Concat { axis } => {
            let extent = |part: &Var<'g>| part.shape()[*axis];
            let start: usize = x[..which].iter().map(extent).sum();
            g.slice_along(*axis, start..start + extent(&x[which]))
        }
        Op::Gather { axis } => g.scatter_add(*axis, x[1], x[0].shape()[*axis]),
        Op::ScatterAdd { axis } => g.gather(*axis, x[1]),
        // y = op(A) op(B): Ā = ȳ op(B)ᵀ and B̄ = op(A)ᵀ ȳ, each read transposed where its side was.
        &Op::MatMul { transpose_lhs, transpose_rhs } => match (which, transpose_lhs, transpose_rhs) {
            (0, false, flag) => g.matmul_with(x[1], false, !flag),
            (0, true, flag) => x[1].matmul_with(g, flag, true),
            (_, flag, false) => x[0].matmul_with(g, !flag, false),
            (_, flag, true) => g.matmul_with(x[0], true, flag),
        },
        Op::Conv(geometry) => match which {
            0 => g.conv_input_gradient(x[1], geometry),
            _ => x[0].conv_weight_gradient(g, geometry),
        },
        Op::ConvInputGradient(geometry) => match which {
            0 => conv_like(g, x[1], geometry),
            _ => g.conv_weight_gradient(x[0], geometry),
        },
        Op::ConvWeightGradient(geometry) => match which {
            0 => x[1].conv_input_gradient(g, geometry),
            _ => conv_like(x[0], g, geometry),
        },
        Op::WindowSum(window) => g.window_spread(window),
        Op::WindowSpread(window) => g.window_sum_with(window),
        Op::WindowTake(window) => g.window_put(x[1], window),
        Op::WindowPut(window) => g.window_take(x[1], window),
        // No other operation is listed as linear.
        _ => g,
    }
}

/// The convolution of `x` with `w` by the same steps, padding and groups.
pub(super) fn conv_like<'g>(x: Var<'g>, w: Var<'g>, geometry: &crate::op::Convolution) -> Var<'g> {
    x.conv_general(w, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
}
