//! Training: one step, evaluation, and the loop that checkpoints, measures and can be interrupted.

mod best;
mod evaluate;
mod event;
mod fresh;
mod layer_statistics;
mod learning;
mod look;
mod memory;
mod plan;
mod program;
mod progress;
mod session;
mod start;
mod step;
mod supply;
mod way_back;
mod without_effect;

pub use best::{Best, best_checkpoint};
pub use evaluate::{Evaluation, Evaluator};
pub use event::{Event, Observer};
pub use layer_statistics::WeightStatistics;
pub use memory::check_state;
pub(crate) use memory::{available, check as check_memory};
pub use plan::{PlannedLearner, Rate, TrainingPlan};
pub use session::{Outcome, train};
pub use start::start;
pub use step::{StepResult, Trainer, TrainerOptions};
pub(crate) use step::{optimizer_slots, pass_name};
pub use without_effect::without_effect;
