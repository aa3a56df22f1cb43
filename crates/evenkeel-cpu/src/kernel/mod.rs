//! The loops that do the arithmetic. `unsafe` lives here and nowhere else.

pub mod conv;
pub(crate) mod fused;
pub(crate) mod instruction_set;
mod math;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod peak;
pub(crate) mod random;
pub(crate) mod real;
pub(crate) mod rows;
pub(crate) mod window;
