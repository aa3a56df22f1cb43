//! Training: one step, evaluation, and the loop that checkpoints, measures and can be interrupted.

mod evaluate;
mod fresh;
mod memory;
mod plan;
mod program;
mod progress;
mod session;
mod start;
mod step;
mod supply;
mod way_back;

pub use evaluate::{Evaluation, Evaluator};
pub use memory::check_state;
pub(crate) use memory::{available, check as check_memory};
pub use plan::{Rate, TrainingPlan};
pub use session::{Event, Observer, Outcome, train};
pub use start::start;
pub use step::{StepResult, Trainer, TrainerOptions};
pub(crate) use step::{optimizer_slots, pass_name};
