//! Initialise, normalise, train and measure neural networks, exactly and reproducibly.
//!
//! A network is a function that traces its output ([`nn::Model`]); a [`Network`] knows its parameters. Everything else is
//! a program over one graph: a training step ([`train`]), an evaluation, a Hessian product ([`curvature`]).
//!
//! ```
//! use evenkeel::curvature::Curvature;
//! use evenkeel::nn::Context;
//! use evenkeel::{Network, graph::Var};
//!
//! fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
//!     cx.linear("head", cx.linear("fc1", x, 16).tanh(), 10)
//! }
//! let network = Network::new(model, &[8, 8, 1])?;
//! assert_eq!(network.parameter_count(), 64 * 16 + 16 + 16 * 10 + 10);
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! Where to start reading: [`models`] (what networks look like), `train::step` (how a step is built), [`curvature`].

mod ahead;
mod assemble;
pub mod augment;
mod batch;
pub mod bench;
pub mod claims;
pub mod config;
pub mod curvature;
pub mod data;
mod error;
pub mod experiment;
pub mod init;
pub mod landscape;
pub mod models;
mod network;
pub mod nn;
pub mod norm;
pub mod objective;
pub mod optim;
pub mod oracle;
mod parallel;
mod pattern;
pub mod probe;
pub mod regularize;
pub mod report;
mod runner;
pub mod statistics;
pub mod store;
pub mod study;
pub mod sweep;
pub mod train;
mod work;

pub use batch::Batch;
pub use error::{Error, ErrorKind, Result, nearest};
pub use evenkeel_graph as graph;
pub use network::{Network, Noise, State, Trace};
pub use probe::Probe;
pub use work::Work;
