//! Which settings ask for something that this run never comes to?

use crate::config::{AveragingKind, LearnerKind, OptimizerKind, ScheduleKind};
use crate::experiment::Experiment;

/// Settings that do nothing in a run of so many steps, or not what one would think, each in a sentence.
pub fn without_effect(experiment: &Experiment) -> Vec<String> {
    let (config, steps) = (&experiment.config, experiment.steps());
    let beyond = |count: usize| count as u64 > steps;
    let run = format!("the run has {steps} {}", if steps == 1 { "step" } else { "steps" });
    let (averaging, entropy, rescaling) = (&config.averaging, &config.entropy_sgd, &config.weight_rescaling);
    let (learner, schedule, sharpness) = (&config.learner, &config.schedule, &config.sharpness_aware);
    let warms_up = schedule.warmup_epochs > 0.0;
    let all = [
        (
            averaging.name != AveragingKind::None && averaging.start as u64 >= steps,
            format!("averaging.start is {} and {run}: no average is taken", averaging.start),
        ),
        (
            config.optimizer.name == OptimizerKind::EntropySgd && beyond(entropy.steps),
            format!(
                "entropy_sgd.steps is {} and {run}: without an outer step the parameters never change",
                entropy.steps
            ),
        ),
        (
            beyond(rescaling.every),
            format!("weight_rescaling.every is {} and {run}: weights are rescaled at its start alone", rescaling.every),
        ),
        (
            learner.kind != LearnerKind::None && learner.from_epoch >= config.epochs,
            format!("learner.from_epoch is {} of {} epochs: nothing is learned", learner.from_epoch, config.epochs),
        ),
        (
            schedule.warmup_epochs > config.epochs as f64,
            format!(
                "schedule.warmup_epochs is {} of {} epochs: the run is over in the warm-up",
                schedule.warmup_epochs, config.epochs
            ),
        ),
        (
            warms_up && schedule.name == ScheduleKind::OneCycle,
            "one-cycle rises by itself: schedule.warmup_epochs puts a second rise before it".to_owned(),
        ),
        (sharpness.adaptive && sharpness.rho == 0.0, "sharpness_aware.adaptive does nothing where rho is 0".to_owned()),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, what)| what).collect()
}
