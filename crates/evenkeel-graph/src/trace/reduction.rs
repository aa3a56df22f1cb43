//! Sums, means, maxima, log-sum-exp and softmax.

use crate::error::Error;
use crate::graph::Var;
use crate::op::{Op, Reduction};
use crate::shape::DType;

impl<'g> Var<'g> {
    /// The sum over some axes, which vanish.
    #[track_caller]
    pub fn sum(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Reduction::Sum, axes)
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum_all(self) -> Var<'g> {
        self.sum(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// The largest element over some axes, which vanish. The derivative is shared equally by equal largest elements.
    #[track_caller]
    pub fn max(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Reduction::Maximum, axes)
    }

    /// The smallest element over some axes, which vanish; see [`Var::max`].
    #[track_caller]
    pub fn min(self, axes: &[usize]) -> Var<'g> {
        -(-self).max(axes)
    }

    /// The mean over some axes, which vanish.
    #[track_caller]
    pub fn mean(self, axes: &[usize]) -> Var<'g> {
        let shape = self.shape();
        let count: f64 = axes.iter().filter_map(|&axis| shape.get(axis)).map(|&extent| extent as f64).product();
        self.sum(axes) / count
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean_all(self) -> Var<'g> {
        self.mean(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// ln Σ eˣ over the last axis, which vanishes.
    #[track_caller]
    pub fn log_sum_exp(self) -> Var<'g> {
        self.over_last_axis(Op::LogSumExp, self.dtype())
    }

    /// The position of the first largest element along the last axis, which vanishes.
    #[track_caller]
    pub fn argmax(self) -> Var<'g> {
        self.over_last_axis(Op::ArgMax, DType::I32)
    }

    /// The position of the first largest element over some axes, which vanish: counted row by row over them, in the order
    /// they are given.
    #[track_caller]
    pub fn argmax_over(self, axes: &[usize]) -> Var<'g> {
        let shape = self.shape();
        let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let moved = self.transpose(&[&kept[..], axes].concat());
        if moved.is_poison() {
            return moved;
        }
        let count = axes.iter().map(|&axis| shape[axis]).product();
        let rows: Vec<usize> = kept.iter().map(|&axis| shape[axis]).chain([count]).collect();
        moved.reshape(rows).argmax()
    }

    /// The position of the first smallest element over some axes; see [`Var::argmax_over`].
    #[track_caller]
    pub fn argmin_over(self, axes: &[usize]) -> Var<'g> {
        (-self).argmax_over(axes)
    }

    /// eˣ / Σ eˣ over the last axis. Its derivative comes out in the closed form p ⊙ (ẋ − ⟨p, ẋ⟩).
    #[track_caller]
    pub fn softmax(self) -> Var<'g> {
        (self - self.log_sum_exp().along_rows_of(self)).exp()
    }

    /// ln softmax over the last axis.
    #[track_caller]
    pub fn log_softmax(self) -> Var<'g> {
        self - self.log_sum_exp().along_rows_of(self)
    }

    /// Repeats a value that lacks `rows`' last axis along it.
    #[track_caller]
    pub(crate) fn along_rows_of(self, rows: Var<'g>) -> Var<'g> {
        self.broadcast_along((0..self.shape().len()).collect(), &rows.shape())
    }

    #[track_caller]
    pub(crate) fn reduce(self, kind: Reduction, axes: &[usize]) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let op = Op::Reduce { kind, axes: sorted.clone() };
        if sorted.len() != axes.len() || sorted.iter().any(|&axis| axis >= shape.len()) {
            let problem = format!("axes {axes:?} are not distinct axes of {shape}");
            return self.graph().fail(Error::new(op.name(), problem, vec![self.operand()]));
        }
        if !self.dtype().is_float() {
            return self.graph().fail(Error::new(op.name(), "needs floating-point numbers", vec![self.operand()]));
        }
        if sorted.is_empty() {
            return self;
        }
        self.graph().push(op, &[self.id()], shape.without(&sorted), self.dtype())
    }

    #[track_caller]
    fn over_last_axis(self, op: Op, dtype: DType) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        if !self.dtype().is_float() {
            return self.graph().fail(Error::new(op.name(), "needs floating-point numbers", vec![self.operand()]));
        }
        let shape = self.shape();
        match shape.split_last() {
            Some((&extent, rest)) if extent > 0 => self.graph().push(op, &[self.id()], rest.into(), dtype),
            _ => {
                let problem = "needs a last axis with at least one element";
                self.graph().fail(Error::new(op.name(), problem, vec![self.operand()]))
            }
        }
    }
}
