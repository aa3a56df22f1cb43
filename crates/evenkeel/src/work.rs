//! What one step of a compiled program does, for a reader.

use crate::train::pass_name;
use evenkeel_cpu::StepInfo;
use serde::Serialize;

/// One step of a compiled program: a single operation, or a loop that runs several as one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Work {
    /// The place in the model; empty outside any layer.
    pub layer: String,
    /// The pass it belongs to.
    pub pass: &'static str,
    /// An operation, `loop` for fused elementwise work, or `reduction` for a loop that also sums.
    pub kind: &'static str,
    /// Operations that run in it.
    pub operations: usize,
    /// Extents of the result, or of the loop's space.
    pub shape: Vec<usize>,
    /// Bytes of all values it reads and writes, each once.
    pub bytes: u64,
    /// Floating-point operations, of products and convolutions only.
    pub flops: u64,
}

impl From<StepInfo> for Work {
    fn from(step: StepInfo) -> Self {
        Work {
            layer: step.scope,
            pass: pass_name(step.pass),
            kind: step.kind,
            operations: step.operations,
            shape: step.shape.to_vec(),
            bytes: step.bytes,
            flops: step.flops,
        }
    }
}
