//! What can go wrong when a program is compiled or run.

use evenkeel_graph::{DType, Shape};

/// A program that cannot be compiled, or a call that does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The number of inputs or outputs is not the program's.
    #[error("the program takes {expected} {what}, got {got}")]
    Count {
        /// `inputs` or `outputs`.
        what: &'static str,
        /// How many the program has.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// A tensor is not shaped as the program was compiled for.
    #[error("{name} is {expected_dtype} {expected}, got {got_dtype} {got}")]
    Shape {
        /// The input's or output's name.
        name: String,
        /// The shape it was compiled for.
        expected: Shape,
        /// The type it was compiled for.
        expected_dtype: DType,
        /// The shape given.
        got: Shape,
        /// The type given.
        got_dtype: DType,
    },
    /// The outputs and the values between them and the inputs do not fit the machine.
    #[error("a run takes {bytes} bytes of memory beside its inputs, which this machine does not have")]
    Memory {
        /// The bytes of the arena and the outputs.
        bytes: usize,
    },
    /// The values between inputs and outputs take more than was allowed, even when they are computed again where they can be.
    #[error("a run takes at least {least} bytes of memory between inputs and outputs, more than the {limit} allowed")]
    MemoryLimit {
        /// The bytes allowed.
        limit: usize,
        /// The fewest that were reached.
        least: usize,
    },
    /// An input is handed over although the program was not compiled so, or the other way round.
    #[error("input {name} {problem}")]
    Donation {
        /// The input's name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The result of compiling and running.
pub type Result<T> = std::result::Result<T, Error>;
