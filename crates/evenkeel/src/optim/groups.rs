//! Parameters that are treated differently: by the patterns of their paths, and by whether they decay.

use super::{EffectiveRate, Optimizer, Pace, Update};
use crate::pattern;
use evenkeel_graph::{Shape, Tensor, Var};

/// Rules for some parameters.
pub struct Group {
    /// Patterns of their paths, with `*` for any text and commas between them.
    pub parameters: String,
    /// What the rate is multiplied by; 0 leaves them as they are.
    pub rate: f64,
    /// The rule for those with two axes and more.
    pub weights: Box<dyn Optimizer>,
    /// The rule for those with one axis or none: biases, scales and shifts of norms, lengths of weights.
    pub others: Box<dyn Optimizer>,
}

/// Rules by parameter: those of the first group whose patterns match it. What no group has stays as it is.
///
/// All rules must be of one kind, with the same slots and the same numbers at each step.
pub struct Groups(pub Vec<Group>);

impl Groups {
    fn group(&self, path: &str) -> Option<&Group> {
        self.0.iter().find(|group| pattern::any_matches(&group.parameters, path))
    }

    /// A rule to ask what all have in common.
    fn any(&self) -> Option<&dyn Optimizer> {
        self.0.first().map(|group| &*group.weights)
    }
}

impl Optimizer for Groups {
    fn slots(&self, path: &str) -> Vec<&'static str> {
        self.group(path).map_or(vec![], |group| group.weights.slots(path))
    }

    fn update<'g>(&self, at: &Update<'g, '_>) -> (Var<'g>, Vec<Var<'g>>) {
        let Some(group) = self.group(at.path) else { return (at.parameter, at.state.clone()) };
        let rule = if at.parameter.shape().len() < 2 { &group.others } else { &group.weights };
        match group.rate {
            1.0 => rule.update(at),
            rate => rule.update(&Update { rate: at.rate * rate, ..at.clone() }),
        }
    }

    fn numbers(&self) -> usize {
        self.any().map_or(0, |rule| rule.numbers())
    }

    fn at_step(&self, step: u64, pace: Pace) -> Vec<f64> {
        self.any().map_or(vec![], |rule| rule.at_step(step, pace))
    }

    fn iterates(&self) -> bool {
        self.any().is_some_and(|rule| rule.iterates())
    }

    fn start(&self, path: &str, drawn: Tensor) -> Tensor {
        match self.group(path) {
            Some(group) if drawn.shape().len() < 2 => group.others.start(path, drawn),
            Some(group) => group.weights.start(path, drawn),
            None => drawn,
        }
    }

    fn effective_rate(&self, path: &str, shape: &Shape, pace: Pace) -> EffectiveRate {
        let Some(group) = self.group(path) else { return EffectiveRate { share: 0.0, ..EffectiveRate::PLAIN } };
        let rule = if shape.len() < 2 { &group.others } else { &group.weights };
        let rule = rule.effective_rate(path, shape, pace);
        EffectiveRate { share: rule.share * group.rate, ..rule }
    }
}
