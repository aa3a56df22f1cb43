//! Programs as graphs, and the transformations that make every derivative.
//!
//! A [`Graph`] is a list of nodes in the order they were traced; a [`Var`] points at one. [`Graph::vjp`], [`Graph::jvp`] and
//! [`Graph::map`] read a graph and append to it. The primitives are closed under both, so an exact Hessian-vector product
//! is nothing more than
//!
//! ```
//! use evenkeel_graph::{DType, Graph};
//! let graph = Graph::new();
//! let weights = graph.input("weights", [3], DType::F64);
//! let loss = (weights * weights * weights).sum_all();
//! let direction = graph.input("direction", [3], DType::F64);
//! let gradient = graph.vjp(&[loss], &[weights], None)?;
//! let product = graph.jvp(&gradient, &[weights], &[direction])?; // H v
//! let function = graph.function(&[("hvp", product[0])])?;
//! assert_eq!(function.outputs()[0].0, "hvp");
//! # Ok::<(), evenkeel_graph::Error>(())
//! ```
//!
//! [`Graph::map`] takes many directions (or samples) at once, and [`Function::linearize`] splits a finished function into
//! what is computed once at a point and what is computed for each direction.
//!
//! Tracing never fails in the middle of a formula: the first wrong shape is remembered with the line it was written on,
//! what follows from it is ignored, and the next call that returns a `Result` reports it.
//!
//! Nothing here knows how to compute: kernels, layouts and memory live in `evenkeel-cpu`.
//!
//! Where to start reading: [`op`] (what exists), then [`derive`] (one table of rules that both derivatives read),
//! then [`simplify`].

mod cut;
pub mod derive;
mod error;
mod function;
mod graph;
mod linearize;
pub mod op;
pub mod random;
mod recompute;
mod shape;
pub mod simplify;
mod supply;
mod tensor;
mod trace;

pub use error::{Error, Operand, Result};
pub use function::{Function, InputInfo};
pub use graph::{Graph, Node, NodeId, Pass, Scope, Var};
pub use linearize::Linearized;
pub use shape::{DType, Shape};
pub use tensor::{Data, Element, Tensor};
