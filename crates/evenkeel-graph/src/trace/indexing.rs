//! Places named by numbers that are known only when the program runs: gather and scatter-add.

use crate::error::Error;
use crate::graph::Var;
use crate::op::Op;
use crate::shape::DType;

impl<'g> Var<'g> {
    /// The places of `axis` that `indices` (`I32`, any shape) name: x `[A, V, B]` along axis 1 at indices `[N, T]` gives
    /// `[A, N, T, B]`. With rows for `axis` this is an embedding.
    ///
    /// An index outside `0..V` reads zeros and gets no derivative, as a product with its one-hot vector would; −1 can so
    /// stand for "nothing". No index ever reads other memory.
    #[track_caller]
    pub fn gather(self, axis: usize, indices: Var<'g>) -> Var<'g> {
        if !self.meets("gather", indices) {
            return self.poison();
        }
        let (own, places) = (self.shape(), indices.shape());
        if axis >= own.len() || indices.dtype() != DType::I32 {
            let problem = format!("needs i32 indices, and axis {axis} of {own}");
            return self.graph().fail(Error::new("gather", problem, vec![self.operand(), indices.operand()]));
        }
        let shape = [&own[..axis], &places[..], &own[axis + 1..]].concat();
        self.graph().push(Op::Gather { axis }, &[self.id(), indices.id()], shape.into(), self.dtype())
    }

    /// The transpose of [`Var::gather`]: zeros with `extent` places along `axis`, and each slice of this value added at the
    /// place its index names. Several slices of one place are added in the order of the indices; an index outside is left
    /// out.
    #[track_caller]
    pub fn scatter_add(self, axis: usize, indices: Var<'g>, extent: usize) -> Var<'g> {
        if !self.meets("scatter-add", indices) {
            return self.poison();
        }
        let (own, places) = (self.shape(), indices.shape());
        let end = axis.saturating_add(places.len());
        let fits = own.get(axis..end) == Some(&places[..]) && indices.dtype() == DType::I32 && self.dtype().is_float();
        if !fits {
            let problem = format!("needs floats with the axes {places} of its i32 indices at axis {axis}");
            return self.graph().fail(Error::new("scatter-add", problem, vec![self.operand(), indices.operand()]));
        }
        let shape = [&own[..axis], &[extent], &own[end..]].concat();
        self.graph().push(Op::ScatterAdd { axis }, &[self.id(), indices.id()], shape.into(), self.dtype())
    }
}
