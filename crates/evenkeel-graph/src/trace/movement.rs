//! Reshape, transpose and broadcast.

use crate::error::Error;
use crate::graph::Var;
use crate::op::Op;
use crate::shape::Shape;

impl<'g> Var<'g> {
    /// The same elements in the same order under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Var<'g> {
        let shape = shape.into();
        if self.is_poison() || shape == self.shape() {
            return self;
        }
        if shape.checked_elements() != Some(self.shape().elements()) {
            let problem = format!("{} elements do not fill {shape}", self.shape().elements());
            return self.graph().fail(Error::new("reshape", problem, vec![self.operand()]));
        }
        self.graph().push(Op::Reshape, &[self.id()], shape, self.dtype())
    }

    /// Keeps the first axis and merges all others: `[N, H, W, C]` becomes `[N, H·W·C]`.
    #[track_caller]
    pub fn flatten(self) -> Var<'g> {
        let shape = self.shape();
        let Some((&first, rest)) = shape.split_first() else { return self };
        self.reshape([first, rest.iter().product()])
    }

    /// Axis `i` of the result is axis `permutation[i]` of this value.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        let mut seen = permutation.to_vec();
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..shape.len()) {
            let problem = format!("{permutation:?} is not a permutation of its {} axes", shape.len());
            return self.graph().fail(Error::new("transpose", problem, vec![self.operand()]));
        }
        let result = permutation.iter().map(|&axis| shape[axis]).collect::<Vec<_>>();
        self.graph().push(
            Op::Transpose { permutation: permutation.to_vec() },
            &[self.id()],
            result.into(),
            self.dtype(),
        )
    }

    /// Repeats the value to a larger shape, aligned at the right; extents of 1 repeat.
    #[track_caller]
    pub fn broadcast_to(self, shape: &Shape) -> Var<'g> {
        if self.is_poison() || self.shape() == *shape {
            return self;
        }
        let own = self.shape();
        let offset = shape.len().checked_sub(own.len());
        let fits = offset.is_some_and(|offset| {
            own.iter().enumerate().all(|(axis, &extent)| extent == 1 || extent == shape[axis + offset])
        });
        let Some(offset) = offset.filter(|_| fits) else {
            let problem = format!("{own} does not repeat to {shape}");
            return self.graph().fail(Error::new("broadcast", problem, vec![self.operand()]));
        };
        // Axes of extent 1 that grow are dropped first, so that a broadcast only ever adds axes.
        let kept: Vec<usize> = (0..own.len()).filter(|&axis| own[axis] == shape[axis + offset]).collect();
        let squeezed = self.reshape(kept.iter().map(|&axis| own[axis]).collect::<Vec<_>>());
        let axes = kept.iter().map(|&axis| axis + offset).collect();
        squeezed.broadcast_along(axes, shape)
    }

    /// Axis `i` of this value becomes axis `axes[i]` of the result (ascending); the other axes repeat it.
    #[track_caller]
    pub fn broadcast_along(self, axes: Vec<usize>, shape: &Shape) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let own = self.shape();
        let fits = axes.len() == own.len()
            && axes.windows(2).all(|pair| pair[0] < pair[1])
            && axes.iter().zip(own.iter()).all(|(&axis, &extent)| shape.get(axis) == Some(&extent));
        if !fits {
            let problem = format!("{own} does not lie along axes {axes:?} of {shape}");
            return self.graph().fail(Error::new("broadcast", problem, vec![self.operand()]));
        }
        if own == *shape {
            return self;
        }
        self.graph().push(Op::Broadcast { axes }, &[self.id()], shape.clone(), self.dtype())
    }
}
