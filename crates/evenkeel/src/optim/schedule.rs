//! The learning rate of each step.

use crate::config::{BatchLaw, Config, ScheduleConfig, ScheduleKind};
use std::f64::consts::PI;

/// A learning rate for each step of a run: a law for the batch, a warm-up, then a course.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    learning_rate: f64,
    config: ScheduleConfig,
    steps_per_epoch: u64,
    /// Steps of the warm-up.
    warmup: u64,
    /// Steps of the course after it.
    steps: u64,
}

impl Schedule {
    /// A schedule from `learning_rate` on over `epochs` epochs of `steps_per_epoch` steps.
    pub fn new(learning_rate: f64, config: &ScheduleConfig, steps_per_epoch: u64, epochs: u64) -> Self {
        let all = steps_per_epoch.saturating_mul(epochs);
        let warmup = ((config.warmup_epochs * steps_per_epoch as f64).round() as u64).min(all);
        Schedule { learning_rate, config: config.clone(), steps_per_epoch, warmup, steps: all - warmup }
    }

    /// The schedule of a configuration, with the rate that its batch has by its law.
    pub fn of_config(config: &Config, steps_per_epoch: u64) -> Self {
        Self::new(config.learning_rate(), &config.schedule, steps_per_epoch, config.epochs as u64)
    }

    /// The rate of the step after `step` steps were taken: the learning rate times [`Schedule::factor`].
    pub fn rate(&self, step: u64) -> f64 {
        self.learning_rate * self.factor(step)
    }

    /// What the learning rate is multiplied by in the step after `step` steps were taken.
    ///
    /// With W steps of warm-up, n steps after it and N in all of those, f = final_fraction and s = start_fraction:
    ///
    /// * warm-up: s + (1 − s) step / W
    /// * constant: 1
    /// * step: factor^⌊epoch / step_epochs⌋
    /// * linear: 1 + (f − 1) n / N
    /// * cosine: f + (1 − f) (1 + cos(π n / N)) / 2
    /// * one-cycle: half a cosine from s up to 1 at n = peak · N − 1, and half a cosine down to f at n = N − 1
    ///
    /// Source: one-cycle: Smith, Topin 2019, arXiv 1708.07120, with PyTorch's cosines.
    pub fn factor(&self, step: u64) -> f64 {
        let ScheduleConfig { final_fraction, start_fraction, peak, .. } = self.config;
        if step < self.warmup {
            let share = step as f64 / self.warmup as f64;
            return start_fraction + (1.0 - start_fraction) * share;
        }
        let step = step - self.warmup;
        let progress = (step as f64 / self.steps.max(1) as f64).min(1.0);
        match self.config.name {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step => {
                let epoch = step.min(self.steps.saturating_sub(1)) / self.steps_per_epoch.max(1);
                let times = epoch / self.config.step_epochs.max(1) as u64;
                libm::pow(self.config.factor, times as f64)
            }
            ScheduleKind::Linear => 1.0 + (final_fraction - 1.0) * progress,
            ScheduleKind::Cosine => {
                let fall = (1.0 + libm::cos(PI * progress)) / 2.0;
                final_fraction + (1.0 - final_fraction) * fall
            }
            ScheduleKind::OneCycle => {
                let (step, last) = (step as f64, (self.steps as f64 - 1.0).max(0.0));
                let top = (peak * self.steps as f64 - 1.0).clamp(0.0, last);
                let (from, to, share) = match step <= top {
                    true => (start_fraction, 1.0, if top > 0.0 { step / top } else { 1.0 }),
                    false => (1.0, final_fraction, ((step - top) / (last - top)).min(1.0)),
                };
                to + (from - to) * (1.0 + libm::cos(PI * share)) / 2.0
            }
        }
    }
}

impl Config {
    /// The learning rate that the batch has by the schedule's law, from that of the reference batch.
    ///
    /// Source: linear: Goyal et al. 2017, arXiv 1706.02677; by the root, for Adam: Granziol, Zohren, Roberts 2022, arXiv 2006.09092.
    pub fn learning_rate(&self) -> f64 {
        let times = self.batch_size as f64 / self.schedule.reference_batch as f64;
        self.optimizer.learning_rate * self.schedule.batch_law.factor(times)
    }
}

impl BatchLaw {
    /// What a rate is multiplied by for a batch that is so many times as large.
    pub fn factor(self, times: f64) -> f64 {
        match self {
            BatchLaw::None => 1.0,
            BatchLaw::Linear => times,
            BatchLaw::SquareRoot => times.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: ScheduleKind) -> Schedule {
        let config = ScheduleConfig { name, step_epochs: 2, final_fraction: 0.2, ..ScheduleConfig::default() };
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

    #[test]
    fn a_line_falls_evenly() {
        let schedule = schedule(ScheduleKind::Linear);
        for (step, wanted) in [(0, 0.5), (10, 0.4), (20, 0.3), (40, 0.1), (100, 0.1)] {
            assert!((schedule.rate(step) - wanted).abs() < 1e-15, "{step}");
        }
    }

    #[test]
    fn a_warm_up_rises_to_where_the_course_begins() {
        let config = ScheduleConfig {
            name: ScheduleKind::Linear,
            warmup_epochs: 1.5,
            start_fraction: 0.1,
            ..ScheduleConfig::default()
        };
        let schedule = Schedule::new(1.0, &config, 10, 4);
        assert!((schedule.rate(0) - 0.1).abs() < 1e-15 && (schedule.rate(5) - 0.4).abs() < 1e-15);
        assert_eq!(schedule.rate(15), 1.0);
        assert!((schedule.rate(20) - 0.8).abs() < 1e-15 && schedule.rate(40) == 0.0);
        // Nothing but warm-up.
        let all = Schedule::new(1.0, &ScheduleConfig { warmup_epochs: 9.0, ..config }, 10, 4);
        assert!(all.rate(39) < 1.0 && all.rate(40) == 1.0);
    }

    #[test]
    fn one_cycle_has_the_rates_of_pytorch() {
        let config =
            ScheduleConfig { name: ScheduleKind::OneCycle, final_fraction: 0.001, ..ScheduleConfig::default() };
        let schedule = Schedule::new(0.5, &config, 10, 1);
        // OneCycleLR(max_lr=0.5, total_steps=10, pct_start=0.3, div_factor=25, final_div_factor=40)
        let wanted = [
            0.020000000000000018,
            0.26,
            0.5,
            0.47526697475862917,
            0.4059665780142187,
            0.3058246032555895,
            0.1946753967444105,
            0.09453342198578131,
            0.025233025241370846,
            0.0005,
        ];
        for (step, wanted) in wanted.into_iter().enumerate() {
            assert!((schedule.rate(step as u64) - wanted).abs() < 1e-15, "{step}: {}", schedule.rate(step as u64));
        }
        for steps in 1..4 {
            let short = Schedule::new(0.5, &config, steps, 1);
            assert!((0..6).all(|step| short.rate(step).is_finite() && short.rate(step) >= 0.0));
        }
    }

    #[test]
    fn the_rate_goes_with_the_batch_as_its_law_says() {
        let mut config = Config { batch_size: 256, ..Config::default() };
        let rate = config.optimizer.learning_rate;
        for (law, factor) in [(BatchLaw::None, 1.0), (BatchLaw::Linear, 4.0), (BatchLaw::SquareRoot, 2.0)] {
            config.schedule.batch_law = law;
            assert_eq!(config.learning_rate(), factor * rate);
        }
    }
}
