//! What is compared with what, and whether it holds.

use crate::report::text::{chosen, significant};
use crate::store::number;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One comparison: numbers that were measured, and what they should be.
///
/// A check holds when each of its numbers does, fails when one of them does not, and is open when a number that is not finite
/// leaves that undecided. A loss that diverged or a step that was never reached is therefore counted (see [`Check::count`]) or
/// capped at its budget, and not given as an infinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    what: String,
    #[serde(with = "number::list")]
    measured: Vec<f64>,
    wanted: Relation,
    #[serde(default)]
    unit: String,
    holds: Option<bool>,
    decides: bool,
}

/// What numbers should be: bounds for each of them, or an order among them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// ≥ the bound.
    AtLeast(#[serde(with = "number")] f64),
    /// ≤ the bound.
    AtMost(#[serde(with = "number")] f64),
    /// > the bound.
    Above(#[serde(with = "number")] f64),
    /// < the bound.
    Below(#[serde(with = "number")] f64),
    /// Between the bounds, which belong to it.
    Within(#[serde(with = "number")] f64, #[serde(with = "number")] f64),
    /// Each smaller than the one before.
    Decreasing,
    /// Each larger than the one before.
    Increasing,
    /// None larger than the one before.
    NeverRising,
    /// None smaller than the one before.
    NeverFalling,
    /// 1 stands for yes and 0 for no; yes.
    True,
}

/// A number or several, for the checks that take both.
pub trait Numbers {
    /// The numbers.
    fn numbers(self) -> Vec<f64>;
}

impl Numbers for f64 {
    fn numbers(self) -> Vec<f64> {
        vec![self]
    }
}

impl Numbers for Vec<f64> {
    fn numbers(self) -> Vec<f64> {
        self
    }
}

impl Numbers for &Vec<f64> {
    fn numbers(self) -> Vec<f64> {
        self.clone()
    }
}

impl Numbers for &[f64] {
    fn numbers(self) -> Vec<f64> {
        self.to_vec()
    }
}

impl<const N: usize> Numbers for [f64; N] {
    fn numbers(self) -> Vec<f64> {
        self.to_vec()
    }
}

impl<const N: usize> Numbers for &[f64; N] {
    fn numbers(self) -> Vec<f64> {
        self.to_vec()
    }
}

impl Check {
    /// A comparison; `what` says in words what was measured.
    pub fn new(what: impl Into<String>, measured: impl Numbers, wanted: Relation) -> Check {
        let measured = measured.numbers();
        let holds = wanted.holds(&measured);
        Check { what: what.into(), measured, wanted, unit: String::new(), holds, decides: true }
    }

    /// Each number is `bound` or more.
    pub fn at_least(what: impl Into<String>, measured: impl Numbers, bound: f64) -> Check {
        Self::new(what, measured, Relation::AtLeast(bound))
    }

    /// Each number is `bound` or less.
    pub fn at_most(what: impl Into<String>, measured: impl Numbers, bound: f64) -> Check {
        Self::new(what, measured, Relation::AtMost(bound))
    }

    /// Each number is more than `bound`.
    pub fn above(what: impl Into<String>, measured: impl Numbers, bound: f64) -> Check {
        Self::new(what, measured, Relation::Above(bound))
    }

    /// Each number is less than `bound`.
    pub fn below(what: impl Into<String>, measured: impl Numbers, bound: f64) -> Check {
        Self::new(what, measured, Relation::Below(bound))
    }

    /// Each number is from `low` to `high`.
    pub fn within(what: impl Into<String>, measured: impl Numbers, low: f64, high: f64) -> Check {
        Self::new(what, measured, Relation::Within(low, high))
    }

    /// Each number is smaller than the one before.
    pub fn decreasing(what: impl Into<String>, measured: impl Numbers) -> Check {
        Self::new(what, measured, Relation::Decreasing)
    }

    /// Each number is larger than the one before.
    pub fn increasing(what: impl Into<String>, measured: impl Numbers) -> Check {
        Self::new(what, measured, Relation::Increasing)
    }

    /// A statement that is true or false, such as two results having the same bits.
    pub fn holds(what: impl Into<String>, holds: bool) -> Check {
        Self::new(what, f64::from(u8::from(holds)), Relation::True)
    }

    /// At least `least` of the cases (seeds, mostly) are so.
    pub fn count(what: impl Into<String>, cases: &[bool], least: usize) -> Check {
        let so = cases.iter().filter(|case| **case).count();
        Self::new(what, so as f64, Relation::AtLeast(least as f64)).unit(format!(" of {}", cases.len()))
    }

    /// An effect whose size nobody published: the first half of the seeds sets it, the other half is judged.
    ///
    /// `effects` is a number a seed, positive in the claimed direction. The mean over the second half has to be more than `share` of the
    /// mean over the first half, and more than 0. An odd seed is judged. Fewer than two seeds leave the check open.
    pub fn calibrated(what: impl Into<String>, effects: &[f64], share: f64) -> Check {
        let (sets, judged) = effects.split_at(effects.len() / 2);
        let (size, shown) = (super::statistics::mean(sets), super::statistics::mean(judged));
        let bound = if size.is_nan() { f64::NAN } else { (share * size).max(0.0) };
        Self::new(what, shown, Relation::Above(bound))
    }

    /// Writes `unit` after each number: ` %`, ` ms`, `×`.
    #[must_use]
    pub fn unit(self, unit: impl Into<String>) -> Check {
        Check { unit: unit.into(), ..self }
    }

    /// Reports the check without letting it decide: a result that is known not to show at this scale, or a control. When a claim
    /// has no other checks, these decide after all, so that what is not reproduced is called so.
    #[must_use]
    pub fn for_the_record(self) -> Check {
        Check { decides: false, ..self }
    }

    /// What was measured, in words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether it holds; `None` when a number that is not finite leaves that open.
    pub fn outcome(&self) -> Option<bool> {
        self.holds
    }

    /// Whether the verdict depends on it, unless all checks are for the record.
    pub fn decides(&self) -> bool {
        self.decides
    }

    /// The numbers, for a reader; of many only the smallest and the largest.
    pub fn measured(&self) -> String {
        const SHOWN: usize = 12;
        let unit = &self.unit;
        let number = |number: f64| {
            let text =
                if number.fract() == 0.0 && number.abs() < 1e6 { chosen(number) } else { significant(number, 4) };
            text + unit
        };
        let numbers = &self.measured;
        if self.wanted == Relation::True {
            return if self.holds == Some(true) { "yes" } else { "no" }.to_owned();
        }
        if numbers.len() <= SHOWN {
            return numbers.iter().copied().map(number).collect::<Vec<_>>().join(", ");
        }
        let extreme = |of: fn(f64, f64) -> f64| number(numbers.iter().copied().reduce(of).unwrap_or(f64::NAN));
        format!("{} to {} ({} numbers)", extreme(f64::min), extreme(f64::max), numbers.len())
    }

    /// What the numbers should be, for a reader.
    pub fn wanted(&self) -> String {
        let all = if self.measured.len() > 1 && self.wanted.is_bound() { "all " } else { "" };
        format!("{all}{}{}", self.wanted, if self.wanted.is_bound() { self.unit.as_str() } else { "" })
    }
}

impl Relation {
    /// Whether numbers are so; `None` when one that is not finite leaves it open, or there is none.
    fn holds(self, numbers: &[f64]) -> Option<bool> {
        let each = |is: &dyn Fn(f64) -> bool| numbers.iter().all(|number| !number.is_finite() || is(*number));
        let pairs = |is: fn(f64, f64) -> bool| {
            numbers.windows(2).all(|pair| !(pair[0].is_finite() && pair[1].is_finite()) || is(pair[0], pair[1]))
        };
        let (known_hold, bounds_known) = match self {
            Relation::AtLeast(bound) => (each(&|number| number >= bound), bound.is_finite()),
            Relation::AtMost(bound) => (each(&|number| number <= bound), bound.is_finite()),
            Relation::Above(bound) => (each(&|number| number > bound), bound.is_finite()),
            Relation::Below(bound) => (each(&|number| number < bound), bound.is_finite()),
            Relation::Within(low, high) => {
                (each(&|number| low <= number && number <= high), low.is_finite() && high.is_finite())
            }
            Relation::Decreasing => (pairs(|a, b| a > b), numbers.len() > 1),
            Relation::Increasing => (pairs(|a, b| a < b), numbers.len() > 1),
            Relation::NeverRising => (pairs(|a, b| a >= b), numbers.len() > 1),
            Relation::NeverFalling => (pairs(|a, b| a <= b), numbers.len() > 1),
            Relation::True => (each(&|number| number == 1.0), true),
        };
        let known = bounds_known && !numbers.is_empty() && numbers.iter().all(|number| number.is_finite());
        match (known_hold, known) {
            (false, _) if bounds_known => Some(false),
            (true, true) => Some(true),
            _ => None,
        }
    }

    /// Whether it ends in a number, which a unit can follow.
    fn is_bound(self) -> bool {
        use Relation::{Above, AtLeast, AtMost, Below, Within};
        matches!(self, AtLeast(_) | AtMost(_) | Above(_) | Below(_) | Within(..))
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relation::AtLeast(bound) => write!(f, "at least {}", chosen(*bound)),
            Relation::AtMost(bound) => write!(f, "at most {}", chosen(*bound)),
            Relation::Above(bound) => write!(f, "above {}", chosen(*bound)),
            Relation::Below(bound) => write!(f, "below {}", chosen(*bound)),
            Relation::Within(low, high) => write!(f, "{} to {}", chosen(*low), chosen(*high)),
            Relation::Decreasing => write!(f, "each smaller than the one before"),
            Relation::Increasing => write!(f, "each larger than the one before"),
            Relation::NeverRising => write!(f, "none larger than the one before"),
            Relation::NeverFalling => write!(f, "none smaller than the one before"),
            Relation::True => write!(f, "yes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_for_every_number_and_belong_to_at_least_and_within() {
        let outcome = |check: Check| check.outcome();
        assert_eq!(outcome(Check::at_least("", 0.5, 0.5)), Some(true));
        assert_eq!(outcome(Check::above("", 0.5, 0.5)), Some(false));
        assert_eq!(outcome(Check::at_most("", [0.1, 0.6], 0.5)), Some(false));
        assert_eq!(outcome(Check::below("", [0.1, 0.4], 0.5)), Some(true));
        assert_eq!(outcome(Check::within("", vec![1.0, 2.0], 1.0, 2.0)), Some(true));
        assert_eq!(outcome(Check::holds("", false)), Some(false));
    }

    #[test]
    fn orders_are_strict_unless_they_say_otherwise() {
        let outcome = |relation| Check::new("", [3.0, 2.0, 2.0], relation).outcome();
        assert_eq!(outcome(Relation::Decreasing), Some(false));
        assert_eq!(outcome(Relation::NeverRising), Some(true));
        assert_eq!(outcome(Relation::NeverFalling), Some(false));
        assert_eq!(Check::increasing("", [1.0, 2.0]).outcome(), Some(true));
        assert_eq!(Check::increasing("", 1.0).outcome(), None);
    }

    #[test]
    fn a_number_that_is_not_finite_leaves_a_check_open_unless_another_decides_it() {
        assert_eq!(Check::at_most("", [0.1, f64::NAN], 0.5).outcome(), None);
        assert_eq!(Check::at_least("", f64::INFINITY, 0.5).outcome(), None);
        assert_eq!(Check::at_most("", [f64::NAN, 0.6], 0.5).outcome(), Some(false));
        assert_eq!(Check::at_most("", Vec::new(), 0.5).outcome(), None);
        assert_eq!(Check::at_most("", 0.1, f64::NAN).outcome(), None);
        assert_eq!(Check::decreasing("", [3.0, f64::NAN, 1.0, 2.0]).outcome(), Some(false));
    }

    #[test]
    fn half_of_the_seeds_set_the_size_that_the_others_must_show() {
        let calibrated = |effects: &[f64]| Check::calibrated("", effects, 0.5).outcome();
        assert_eq!(calibrated(&[1.0, 3.0, 1.5, 1.0]), Some(true));
        assert_eq!(calibrated(&[1.0, 3.0, 0.5, 1.0]), Some(false));
        assert_eq!(
            calibrated(&[-1.0, 0.0]),
            Some(false),
            "an effect against the claim sets a size of 0, which is not enough"
        );
        assert_eq!(calibrated(&[1.0]), None);
    }

    #[test]
    fn a_check_reads_as_a_sentence() {
        let check = Check::at_most("error", [0.123456, 2.0], 0.5).unit(" %");
        assert_eq!((check.measured(), check.wanted()), ("0.1235 %, 2 %".to_owned(), "all at most 0.5 %".to_owned()));
        let check = Check::count("lower", &[true, false, true], 2);
        assert_eq!((check.measured(), check.wanted()), ("2 of 3".to_owned(), "at least 2 of 3".to_owned()));
        let check = Check::within("ratio", vec![1.5; 40], 1.0, 1e-5);
        assert_eq!(check.measured(), "1.500 to 1.500 (40 numbers)");
        assert_eq!(check.wanted(), "all 1 to 1e−5");
        assert_eq!(Check::holds("same bits", true).measured(), "yes");
    }
}
