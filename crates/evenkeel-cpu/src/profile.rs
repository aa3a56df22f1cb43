//! What the steps of a program are, and where its time goes.

use crate::compile::Kernel;
use crate::error::Result;
use crate::loops::OutputKind;
use crate::program::{Input, Program};
use evenkeel_graph::{Pass, Shape, Tensor};
use std::collections::BTreeSet;
use std::time::Instant;

/// What one step of a program does.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInfo {
    /// The operation's name, `loop` for fused elementwise work, `reduction` for a loop that also sums or takes maxima.
    pub kind: &'static str,
    /// The place in the model of the step's first result, e.g. `layer2.0.conv1`; empty outside any layer.
    pub scope: String,
    /// Which transformation made the step's first result.
    pub pass: Pass,
    /// Operations that run in it: more than one where a loop fuses them.
    pub operations: usize,
    /// Extents: those of the result, or of the loop's space.
    pub shape: Shape,
    /// Floating-point operations, of products and convolutions only.
    pub flops: u64,
    /// Bytes of all values it reads and writes, each once; scratch does not count.
    pub bytes: u64,
}

impl Program {
    /// Every step, in the order in which they run.
    pub fn steps(&self) -> Vec<StepInfo> {
        (0..self.steps.len()).map(|step| self.describe(step)).collect()
    }

    /// Runs the program `repeats` times (at least once) and gives the seconds that each of [`Program::steps`] took in each
    /// run.
    ///
    /// They add up to a little more than a run: reading the clock costs some tens of nanoseconds a step.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn profile(&mut self, inputs: &[Input<'_>], outputs: &mut [Tensor], repeats: usize) -> Result<Vec<Vec<f64>>> {
        let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); self.steps.len()];
        for _ in 0..repeats.max(1) {
            let memory = self.prepare(inputs, outputs)?;
            for (step, seconds) in seconds.iter_mut().enumerate() {
                let start = Instant::now();
                self.run_step(step, &memory);
                seconds.push(start.elapsed().as_secs_f64());
            }
            self.finish(&memory);
        }
        Ok(seconds)
    }

    fn describe(&self, number: usize) -> StepInfo {
        let step = &self.steps[number];
        let nodes = self.function().nodes();
        let first = &nodes[step.writes[0]];
        let (kind, operations, shape) = match &step.kernel {
            Kernel::Loop(nest) => {
                let reduces = |kind: &OutputKind| matches!(kind, OutputKind::Reduce { .. });
                let reductions = nest.outputs.iter().filter(|output| reduces(&output.kind)).count();
                let kind = if reductions > 0 { "reduction" } else { "loop" };
                (kind, (nest.body.len() + reductions).max(1), Shape::from(nest.extents.clone()))
            }
            Kernel::MatMul(_) => ("matmul", 1, first.shape.clone()),
            _ => (first.op.name(), 1, first.shape.clone()),
        };
        let values: BTreeSet<usize> = step.reads.iter().chain(&step.writes).copied().collect();
        let bytes = |value: usize| (nodes[value].shape.elements() * nodes[value].dtype.bytes()) as u64;
        StepInfo {
            kind,
            scope: first.scope.to_string(),
            pass: first.pass,
            operations,
            shape,
            flops: match &step.kernel {
                Kernel::MatMul(product) => product.flops(),
                _ => step.writes.iter().map(|&value| self.function().node_flops(value)).sum(),
            },
            bytes: values.into_iter().map(bytes).sum(),
        }
    }
}
