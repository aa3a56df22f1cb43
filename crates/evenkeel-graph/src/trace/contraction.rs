//! Matrix products and convolutions.

use crate::error::Error;
use crate::graph::Var;
use crate::op::{Convolution, Op, matmul_extents};
use crate::shape::Shape;

impl<'g> Var<'g> {
    /// The matrix product over the last two axes, `[.., M, K] · [.., K, N]`; the leading axes must agree.
    #[track_caller]
    pub fn matmul(self, other: Var<'g>) -> Var<'g> {
        self.matmul_with(other, false, false)
    }

    /// The matrix product with either side read transposed in its last two axes.
    #[track_caller]
    pub fn matmul_with(self, other: Var<'g>, transpose_lhs: bool, transpose_rhs: bool) -> Var<'g> {
        if !self.meets("matmul", other) {
            return self.poison();
        }
        let (left, right) = (self.shape(), other.shape());
        let extents = matmul_extents(&left, &right, transpose_lhs, transpose_rhs);
        let (Some([_, m, _, n]), true) = (extents, self.dtype() == other.dtype() && self.dtype().is_float()) else {
            let turned = |flag: bool| if flag { " transposed" } else { "" };
            let problem =
                format!("{left}{} and {right}{} do not multiply", turned(transpose_lhs), turned(transpose_rhs));
            return self.graph().fail(Error::new("matmul", problem, vec![self.operand(), other.operand()]));
        };
        let mut shape = left[..left.len() - 2].to_vec();
        shape.extend([m, n]);
        let op = Op::MatMul { transpose_lhs, transpose_rhs };
        self.graph().push(op, &[self.id(), other.id()], shape.into(), self.dtype())
    }

    /// Two-dimensional convolution (cross-correlation): activations `[N, H, W, C]`, weights `[kh, kw, C / groups, C']`.
    #[track_caller]
    pub fn conv(self, weight: Var<'g>, stride: [usize; 2], padding: [[usize; 2]; 2]) -> Var<'g> {
        self.conv_general(weight, stride, padding, [1, 1], 1)
    }

    /// Convolution with dilation and groups as well.
    #[track_caller]
    pub fn conv_general(
        self,
        weight: Var<'g>,
        stride: [usize; 2],
        padding: [[usize; 2]; 2],
        dilation: [usize; 2],
        groups: usize,
    ) -> Var<'g> {
        if !self.meets("convolution", weight) {
            return self.poison();
        }
        let (x, w) = (self.shape(), weight.shape());
        let fail = |problem: String| {
            self.graph().fail(Error::new("convolution", problem, vec![self.operand(), weight.operand()]))
        };
        let (&[n, h, width, c], &[kh, kw, c_in, c_out]) = (&x[..], &w[..]) else {
            return fail("needs activations [N, H, W, C] and weights [kh, kw, C / groups, C']".into());
        };
        if self.dtype() != weight.dtype() || !self.dtype().is_float() {
            return fail("needs floats of one type".into());
        }
        let geometry =
            Convolution { input: [n, h, width, c], weight: [kh, kw, c_in, c_out], stride, padding, dilation, groups };
        if let Some(fault) = fault(&geometry) {
            return fail(fault);
        }
        let output = Shape::from(geometry.output());
        self.graph().push(Op::Conv(geometry), &[self.id(), weight.id()], output, self.dtype())
    }

    /// The transpose of a convolution in its activations: `self` is shaped like its output.
    #[track_caller]
    pub fn conv_input_gradient(self, weight: Var<'g>, geometry: &Convolution) -> Var<'g> {
        let op = Op::ConvInputGradient(geometry.clone());
        let expected = || [Shape::from(geometry.output()), Shape::from(geometry.weight)];
        self.conv_transpose(weight, geometry, expected, op, geometry.input.into())
    }

    /// The transpose of a convolution in its weights: `self` is shaped like its input, `gradient` like its output.
    #[track_caller]
    pub fn conv_weight_gradient(self, gradient: Var<'g>, geometry: &Convolution) -> Var<'g> {
        let op = Op::ConvWeightGradient(geometry.clone());
        let expected = || [Shape::from(geometry.input), Shape::from(geometry.output())];
        self.conv_transpose(gradient, geometry, expected, op, geometry.weight.into())
    }

    #[track_caller]
    fn conv_transpose(
        self,
        other: Var<'g>,
        geometry: &Convolution,
        expected: impl Fn() -> [Shape; 2],
        op: Op,
        shape: Shape,
    ) -> Var<'g> {
        if !self.meets(op.name(), other) {
            return self.poison();
        }
        let fault = fault(geometry).or_else(|| {
            let [left, right] = expected();
            let fits = self.shape() == left && other.shape() == right;
            let floats = self.dtype() == other.dtype() && self.dtype().is_float();
            (!fits || !floats).then(|| format!("expected floats of one type, {left} and {right}"))
        });
        if let Some(fault) = fault {
            return self.graph().fail(Error::new(op.name(), fault, vec![self.operand(), other.operand()]));
        }
        self.graph().push(op, &[self.id(), other.id()], shape, self.dtype())
    }
}

/// Why there is no such convolution, if there is none.
fn fault(geometry: &Convolution) -> Option<String> {
    let Convolution { input, weight: [kh, kw, c_in, c_out], stride, padding, dilation, groups } = *geometry;
    let channels = input[3];
    if groups == 0 || c_in.checked_mul(groups) != Some(channels) || c_out % groups != 0 {
        Some(format!("{channels} channels in {groups} groups do not meet weights of {c_in} → {c_out}"))
    } else if kh == 0 || kw == 0 || stride.contains(&0) || dilation.contains(&0) {
        Some("kernel extents, strides and dilations must be at least 1".into())
    } else if !fits_padding(&input, padding) || !fits_reach([kh, kw], dilation) {
        Some(format!("padding {padding:?} or dilation {dilation:?} is too large"))
    } else {
        None
    }
}

/// Whether padded extents stay far from overflow.
pub(super) fn fits_padding(input: &[usize; 4], padding: [[usize; 2]; 2]) -> bool {
    const LIMIT: usize = 1 << 31;
    input.iter().chain(padding.iter().flatten()).all(|&extent| extent < LIMIT)
}

/// Whether the reach of a window stays far from overflow.
pub(super) fn fits_reach(size: [usize; 2], dilation: [usize; 2]) -> bool {
    const LIMIT: usize = 1 << 31;
    size.iter().zip(&dilation).all(|(&size, &dilation)| size.checked_mul(dilation).is_some_and(|reach| reach < LIMIT))
}
