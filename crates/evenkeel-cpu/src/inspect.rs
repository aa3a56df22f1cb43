//! Where a program's numbers first stop being finite.

use crate::error::Result;
use crate::program::{Input, Program};
use evenkeel_graph::Pass;
use evenkeel_graph::Tensor;

/// The first value of a run that is infinite or NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// The place in the model, e.g. `layer3.0.norm2`; empty outside any layer.
    pub scope: String,
    /// The operation, or `input` with the input's name.
    pub operation: String,
    /// Whether it happened on the way forward, backward or along a tangent.
    pub pass: Pass,
    /// How many of its elements are not finite, and how many it has.
    pub elements: (usize, usize),
    /// How many positions of the last axis (channels) are affected, and how many there are.
    pub channels: (usize, usize),
}

impl Program {
    /// Runs step by step and stops at the first value that is not finite. Compile with `fuse: false`, so that every
    /// value is looked at. Cost: a run, and one more pass over every value.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn first_non_finite(&mut self, inputs: &[Input<'_>], outputs: &mut [Tensor]) -> Result<Option<NonFinite>> {
        let memory = self.prepare(inputs, outputs)?;
        for (info, input) in self.function().inputs().iter().zip(inputs) {
            let Input::Read(tensor) = input else { continue };
            let columns = info.shape.last().copied().unwrap_or(1);
            if let Some((elements, channels)) = count(&tensor.to_f64(), columns) {
                let operation = format!("input {}", info.name);
                return Ok(Some(NonFinite {
                    scope: String::new(),
                    operation,
                    pass: Pass::Forward,
                    elements,
                    channels,
                }));
            }
        }
        for step in 0..self.steps.len() {
            self.run_step(step, &memory);
            for &value in &self.steps[step].writes {
                let node = &self.function().nodes()[value];
                let columns = node.shape.last().copied().unwrap_or(1);
                if let Some((elements, channels)) = count(&self.read_value(value, &memory), columns) {
                    return Ok(Some(NonFinite {
                        scope: node.scope.to_string(),
                        operation: node.op.name().to_string(),
                        pass: node.pass,
                        elements,
                        channels,
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// Elements and columns that are not finite, each with their total; `None` when all are finite.
#[allow(clippy::type_complexity)]
fn count(values: &[f64], columns: usize) -> Option<((usize, usize), (usize, usize))> {
    let mut affected = vec![false; columns.max(1)];
    let mut bad = 0;
    for (position, _) in values.iter().enumerate().filter(|(_, value)| !value.is_finite()) {
        bad += 1;
        affected[position % columns.max(1)] = true;
    }
    let channels = affected.iter().filter(|&&channel| channel).count();
    (bad > 0).then_some(((bad, values.len()), (channels, columns.max(1))))
}
