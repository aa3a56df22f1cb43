//! Rules that turn gradients into steps, and how the rate changes.

mod schedule;
mod sgd;

pub use schedule::Schedule;
pub use sgd::Sgd;
