//! Parameters that are treated differently: by the patterns of their paths, and by whether they decay.

use super::{Optimizer, Update};
use crate::pattern;
use evenkeel_graph::Var;

/// A rule for some parameters.
pub struct Group {
    /// Patterns of their paths, with `*` for any text and commas between them.
    pub parameters: String,
    /// What the rate is multiplied by; 0 leaves them as they are.
    pub rate: f64,
    /// The rule.
    pub rule: Box<dyn Optimizer>,
}

/// Rules by parameter. The first group whose patterns match has it, else the rule for the rest, or for what has one axis or none: biases,
/// scales and shifts of norms, lengths of weights.
///
/// All rules must be of one kind, with the same numbers at each step.
pub struct Groups {
    /// In this order.
    pub groups: Vec<Group>,
    /// For parameters with two axes and more that no group has.
    pub weights: Box<dyn Optimizer>,
    /// For those with fewer.
    pub others: Box<dyn Optimizer>,
}

impl Groups {
    fn group(&self, path: &str) -> Option<&Group> {
        self.groups.iter().find(|group| pattern::any_matches(&group.parameters, path))
    }
}

impl Optimizer for Groups {
    fn slots(&self, path: &str) -> &'static [&'static str] {
        self.group(path).map_or(&self.weights, |group| &group.rule).slots(path)
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        match self.group(at.path) {
            Some(group) if group.rate == 1.0 => group.rule.update(at),
            Some(group) => group.rule.update(&Update { rate: at.rate * group.rate, ..at.clone() }),
            None if at.parameter.shape().len() < 2 => self.others.update(at),
            None => self.weights.update(at),
        }
    }

    fn numbers(&self) -> usize {
        self.weights.numbers()
    }

    fn at_step(&self, step: u64) -> Vec<f64> {
        self.weights.at_step(step)
    }
}
