//! How smooth the loss is where training passes: along the gradient, from step to step, and over runs that differ in one setting.
//!
//! * [`GradientLine`] looks ahead along the negative gradient of one point: the range of the loss, how well the gradient predicts
//!   the gradients ahead, and the largest ratio of its change to the way (effective β-smoothness).
//! * [`GradientSteps`] watches how far the gradient of some parameters moves from one step of a training to the next.
//! * [`Band`] is the range of several runs at each step.
//!
//! ```
//! use evenkeel::config::{Initialization, NormMode};
//! use evenkeel::data::{self, LoadOptions};
//! use evenkeel::landscape::{GradientLine, steps_around};
//! use evenkeel::{Batch, Network, graph::{DType, Var}, nn::Context};
//!
//! fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
//!     cx.linear("head", cx.linear("fc1", x, 16).tanh(), 10)
//! }
//! let network = Network::new(model, &[8, 8, 1])?;
//! let digits = data::load(&"digits".parse()?, &LoadOptions::default())?;
//! let batch = Batch::of(&digits, &digits.train, DType::F32)?.first(100);
//! let mut line = GradientLine::new(&network, batch.len(), NormMode::Batch)?;
//! let ahead = line.look(&batch, &network.initial_state(Initialization::Glorot, 0), &steps_around(0.1))?;
//! println!("loss {:?}, gradients {:?}, β {}", ahead.losses(), ahead.predictiveness(), ahead.smoothness());
//! # Ok::<(), evenkeel::Error>(())
//! ```
//!
//! Source: Santurkar, Tsipras, Ilyas, Madry 2018, arXiv 1805.11604, section 3; Gunawan, Yin, Zhang 2022, arXiv 2207.01972, and its
//! authors' code.

mod band;
mod gradient_line;
mod gradient_steps;

pub use band::Band;
pub use gradient_line::{Ahead, GradientLine, Reached, steps_around};
pub use gradient_steps::GradientSteps;
