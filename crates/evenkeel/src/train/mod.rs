//! Training: one step, evaluation, and the loop that checkpoints, measures and can be interrupted.

mod evaluate;
mod session;
mod step;

pub use evaluate::{Evaluation, Evaluator};
pub use session::{Event, Outcome, Observer, train};
pub use step::{StepResult, Trainer};
