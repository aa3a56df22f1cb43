//! Adam on one scale: the factor of one parameter tensor.

use super::{GradInit, SecondMoment};

/// Added to the root of the second moment, as in the authors' code.
const EPSILON: f64 = 1e-8;

/// Which of the two problems a slope belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    Objective,
    Constraint,
}

/// Moments of one branch's slopes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Moments {
    steps: u32,
    first: f64,
    second: f64,
}

/// A scale and what Adam keeps of its slopes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) value: f64,
    least: f64,
    moments: [Moments; 2],
    /// Of the slopes of both branches.
    shared: f64,
}

impl Scale {
    /// 1, never to fall below `least`.
    pub(super) fn new(least: f64) -> Scale {
        Scale { value: 1.0, least, moments: [Moments::default(); 2], shared: 0.0 }
    }

    /// One step along a slope d / dα.
    ///
    /// Each branch has its first moment and its own count of steps; the second moment is one for both, or each branch has its own.
    pub(super) fn step(&mut self, slope: f64, branch: Branch, settings: &GradInit) {
        let slope = settings.clip.map_or(slope, |clip| slope.clamp(-clip, clip));
        let (first, second) = settings.betas;
        let own = &mut self.moments[branch as usize];
        own.steps += 1;
        own.first = first * own.first + (1.0 - first) * slope;
        let square = match settings.second_moment {
            SecondMoment::Shared => &mut self.shared,
            SecondMoment::Separate => &mut own.second,
        };
        *square = second * *square + (1.0 - second) * slope * slope;
        let (square, own) = (*square, *own);
        let counted = match settings.second_moment {
            SecondMoment::Shared => self.moments.iter().map(|moments| moments.steps).sum(),
            SecondMoment::Separate => own.steps,
        };
        let unbiased = |beta: f64, steps: u32| 1.0 - libm::pow(beta, f64::from(steps));
        let size = (square / unbiased(second, counted)).sqrt() + EPSILON;
        let moved = self.value - settings.scale_rate / unbiased(first, own.steps) * own.first / size;
        self.bound(moved, settings);
    }

    /// Half of it, as far as the bounds allow.
    pub(super) fn halve(&mut self, settings: &GradInit) {
        self.bound(self.value / 2.0, settings);
    }

    fn bound(&mut self, value: f64, settings: &GradInit) {
        self.value = value.max(self.least).min(settings.max_scale.unwrap_or(f64::INFINITY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> GradInit {
        GradInit { scale_rate: 0.01, clip: Some(1.0), ..GradInit::default() }
    }

    #[test]
    fn the_first_step_has_the_length_of_the_rate_whatever_the_slope() {
        for slope in [18.0, 1e-3, -7.0] {
            let mut scale = Scale::new(0.01);
            scale.step(slope, Branch::Objective, &settings());
            assert!((scale.value - (1.0 - 0.01 * slope.signum())).abs() < 1e-6);
        }
    }

    #[test]
    fn both_branches_share_a_second_moment_whose_correction_counts_the_steps_of_both() {
        let mut scale = Scale::new(0.01);
        scale.step(1.0, Branch::Objective, &settings());
        scale.step(1.0, Branch::Constraint, &settings());
        assert!((scale.shared - 0.001999).abs() < 1e-15);
        // Each first moment is corrected by its own count, so both steps have the length of the rate.
        assert!((scale.value - 0.98).abs() < 1e-9);
        assert_eq!(scale.moments.map(|moments| moments.steps), [1, 1]);
    }

    #[test]
    fn separate_second_moments_do_not_know_of_each_other() {
        let settings = GradInit { second_moment: SecondMoment::Separate, clip: None, ..settings() };
        let (mut scale, mut alone) = (Scale::new(0.01), Scale::new(0.01));
        scale.step(100.0, Branch::Constraint, &settings);
        let before = scale.value;
        scale.step(1.0, Branch::Objective, &settings);
        alone.step(1.0, Branch::Objective, &settings);
        assert!((before - scale.value - (1.0 - alone.value)).abs() < 1e-15);
        let shared = GradInit { second_moment: SecondMoment::Shared, ..settings };
        let mut scale = Scale::new(0.01);
        scale.step(100.0, Branch::Constraint, &shared);
        let before = scale.value;
        scale.step(1.0, Branch::Objective, &shared);
        assert!(before - scale.value < 0.001, "a large slope of one branch shortens the steps of the other");
    }

    #[test]
    fn a_scale_stays_within_its_bounds() {
        let settings = GradInit { scale_rate: 10.0, max_scale: Some(2.0), ..settings() };
        let mut scale = Scale::new(0.01);
        scale.step(1.0, Branch::Objective, &settings);
        assert_eq!(scale.value, 0.01);
        scale.step(-1.0, Branch::Constraint, &settings);
        assert_eq!(scale.value, 2.0);
        scale.halve(&settings);
        assert_eq!(scale.value, 1.0);
    }
}
