//! How a CPU computes a graph: fusion, layout, memory plan, kernels, threads.
//!
//! [`Program::compile`] turns a [`Function`](evenkeel_graph::Function) into a list of steps, each one kernel:
//!
//! 1. `fuse` decides which values are kept in memory and which nodes run as one loop;
//! 2. `loops` lowers each group to a loop nest with its axes merged and its work cut into chunks;
//! 3. `bands` finds steps that a thread can take a few samples through, one after the other, in its own cache;
//! 4. `plan` gives every value a place in one arena, so that a run allocates nothing and the peak is known;
//! 5. `kernel` holds the loops that do the arithmetic.
//!
//! Work is cut by shape alone, never by the number of threads: results are the same bits on 1, 2 or n threads. A program
//! runs on the `rayon` pool it is called in.
//!
//! ```
//! use evenkeel_cpu::{Input, Options, Program};
//! use evenkeel_graph::{DType, Graph, Tensor};
//! let graph = Graph::new();
//! let x = graph.input("x", [3], DType::F64);
//! let function = graph.function(&[("norm", x.square().sum_all().sqrt())])?;
//! let mut program = Program::compile(&function, &Options::default())?;
//! let mut outputs = program.new_outputs();
//! let x = Tensor::from_f64([3], DType::F64, &[1.0, 2.0, 2.0]).unwrap();
//! program.run(&[Input::Read(&x)], &mut outputs)?;
//! assert_eq!(outputs[0].item(), Some(3.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bands;
mod chain;
mod compile;
mod error;
mod fuse;
mod heap;
mod inspect;
#[doc(hidden)]
pub mod kernel;
mod loops;
mod operand;
mod order;
mod plan;
mod profile;
mod program;
mod recompute;

pub use compile::Options;
pub use error::{Error, Result};
pub use heap::return_freed_memory;
pub use inspect::NonFinite;
pub use kernel::peak::multiply_add_peak;
pub use profile::StepInfo;
pub use program::{Input, Program};
