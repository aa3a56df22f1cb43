//! Random numbers as values: pure functions of a key that the program is given.

use crate::error::Error;
use crate::graph::{Graph, Var};
use crate::op::{Distribution, Op};
use crate::shape::{DType, Shape};

impl Graph {
    /// Numbers uniform on [0, 1), drawn with `key`, a value `[4]` of `I32` made by [`Key::tensor`](crate::random::Key::tensor).
    ///
    /// Element i of an `F64` value is draw i of [`Key::random`](crate::random::Key::random), on any number of threads; an `F32`
    /// value is the same cut off to 24 bits. One key gives the same numbers wherever it is used: a mask that a loss was taken
    /// with comes again in its gradient and its Hessian products. Nothing is differentiated through a draw.
    #[track_caller]
    pub fn uniform<'g>(&'g self, key: Var<'g>, shape: impl Into<Shape>, dtype: DType) -> Var<'g> {
        self.random(Distribution::Uniform, key, shape.into(), dtype)
    }

    /// Standard normal numbers; an `F32` value holds those of an `F64` value, rounded. See [`Graph::uniform`].
    #[track_caller]
    pub fn normal<'g>(&'g self, key: Var<'g>, shape: impl Into<Shape>, dtype: DType) -> Var<'g> {
        self.random(Distribution::Normal, key, shape.into(), dtype)
    }

    #[track_caller]
    fn random<'g>(&'g self, distribution: Distribution, key: Var<'g>, shape: Shape, dtype: DType) -> Var<'g> {
        let op = Op::Random(distribution);
        if let Err(error) = self.owns(op.name(), &[key]) {
            return self.fail(error);
        }
        if key.shape()[..] != [4] || key.dtype() != DType::I32 || !dtype.is_float() {
            let problem = format!("draws {dtype} with a key of type i32 and shape [4] only as floats");
            return self.fail(Error::new(op.name(), problem, vec![key.operand()]));
        }
        self.push(op, &[key.id()], shape, dtype)
    }
}
