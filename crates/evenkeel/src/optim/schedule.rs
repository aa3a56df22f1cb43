//! The learning rate of each step.

use crate::config::{ScheduleConfig, ScheduleKind};

/// A learning rate for each step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    learning_rate: f64,
    config: ScheduleConfig,
    steps_per_epoch: u64,
    steps: u64,
}

impl Schedule {
    /// A schedule from `learning_rate` on over `epochs` epochs of `steps_per_epoch` steps.
    pub fn new(learning_rate: f64, config: &ScheduleConfig, steps_per_epoch: u64, epochs: u64) -> Self {
        Schedule { learning_rate, config: config.clone(), steps_per_epoch, steps: steps_per_epoch * epochs }
    }

    /// The rate of the step after `step` steps were taken.
    ///
    /// * constant: η
    /// * step: η · factor^⌊epoch / step_epochs⌋
    /// * cosine: η · (f + (1 − f) (1 + cos(π · step / steps)) / 2), f = final_fraction
    pub fn rate(&self, step: u64) -> f64 {
        match self.config.name {
            ScheduleKind::Constant => self.learning_rate,
            ScheduleKind::Step => {
                let epoch = step.min(self.steps.saturating_sub(1)) / self.steps_per_epoch.max(1);
                let times = epoch / self.config.step_epochs.max(1) as u64;
                self.learning_rate * libm::pow(self.config.factor, times as f64)
            }
            ScheduleKind::Cosine => {
                let progress = (step as f64 / self.steps.max(1) as f64).min(1.0);
                let fall = (1.0 + libm::cos(std::f64::consts::PI * progress)) / 2.0;
                self.learning_rate * (self.config.final_fraction + (1.0 - self.config.final_fraction) * fall)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: ScheduleKind) -> Schedule {
        let config = ScheduleConfig { name, step_epochs: 2, factor: 0.1, final_fraction: 0.2 };
        Schedule::new(0.5, &config, 10, 4)
    }

    #[test]
    fn a_constant_rate_stays() {
        assert!((0..50).all(|step| schedule(ScheduleKind::Constant).rate(step) == 0.5));
    }

    #[test]
    fn a_step_schedule_falls_at_whole_epochs_only() {
        let schedule = schedule(ScheduleKind::Step);
        assert_eq!((schedule.rate(0), schedule.rate(19)), (0.5, 0.5));
        assert!((schedule.rate(20) - 0.05).abs() < 1e-15 && (schedule.rate(39) - 0.05).abs() < 1e-15);
    }

    #[test]
    fn a_cosine_starts_at_the_rate_and_ends_at_its_final_fraction() {
        let schedule = schedule(ScheduleKind::Cosine);
        assert_eq!(schedule.rate(0), 0.5);
        assert!((schedule.rate(20) - 0.3).abs() < 1e-15);
        assert!((schedule.rate(40) - 0.1).abs() < 1e-15);
        assert!((schedule.rate(1000) - 0.1).abs() < 1e-15);
    }
}
