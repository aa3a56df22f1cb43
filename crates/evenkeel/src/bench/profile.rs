//! Which kinds of work a program's time goes into, and which single steps.

use super::clock::median;
use crate::train::pass_name;
use evenkeel_cpu::StepProfile;
use serde::Serialize;
use std::collections::BTreeMap;

/// Single steps that are told.
const SLOWEST: usize = 10;

/// Where the time of a run goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Milliseconds of all steps together.
    pub total_ms: f64,
    /// By kind of step, the dearest first.
    pub kinds: Vec<KindProfile>,
    /// The ten slowest steps, the slowest first.
    pub slowest: Vec<Slow>,
}

/// All steps of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindProfile {
    /// An operation, `loop` for fused elementwise work, or `reduction` for a loop that also sums.
    pub kind: &'static str,
    /// How many there are.
    pub steps: usize,
    /// Milliseconds of all of them.
    pub ms: f64,
    /// The part of the run's time.
    pub share: f64,
    /// Operations a second in 10⁹; `None` where neither products nor convolutions are computed.
    pub gflops: Option<f64>,
    /// Bytes read and written a second in 10⁹.
    pub gb_per_second: f64,
}

/// A step that takes long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slow {
    /// The place in the model.
    pub layer: String,
    /// The pass it belongs to.
    pub pass: &'static str,
    /// What it does.
    pub kind: &'static str,
    /// Operations that run in it.
    pub operations: usize,
    /// Extents of the result, or of the loop's space.
    pub shape: Vec<usize>,
    /// Milliseconds, median over the runs.
    pub ms: f64,
    /// Operations a second in 10⁹; `None` for other work than products and convolutions.
    pub gflops: Option<f64>,
    /// Bytes read and written.
    pub bytes: u64,
    /// Bytes read and written a second in 10⁹.
    pub gb_per_second: f64,
}

impl Profile {
    pub(super) fn new(steps: Vec<StepProfile>) -> Profile {
        let mut kinds: BTreeMap<&'static str, (usize, f64, u64, u64)> = BTreeMap::new();
        let mut slowest = Vec::new();
        for mut step in steps {
            let seconds = median(&mut step.seconds);
            let kind = kinds.entry(step.kind).or_default();
            *kind = (kind.0 + 1, kind.1 + seconds, kind.2 + step.flops, kind.3 + step.bytes);
            slowest.push(Slow {
                layer: step.scope,
                pass: pass_name(step.pass),
                kind: step.kind,
                operations: step.operations,
                shape: step.shape.to_vec(),
                ms: seconds * 1e3,
                gflops: rate(step.flops, seconds),
                bytes: step.bytes,
                gb_per_second: rate(step.bytes, seconds).unwrap_or(0.0),
            });
        }
        slowest.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        let total: f64 = kinds.values().map(|(_, seconds, ..)| seconds).sum();
        slowest.truncate(SLOWEST);
        let mut kinds: Vec<KindProfile> = kinds
            .into_iter()
            .map(|(kind, (steps, seconds, flops, bytes))| KindProfile {
                kind,
                steps,
                ms: seconds * 1e3,
                share: seconds / total.max(f64::MIN_POSITIVE),
                gflops: rate(flops, seconds),
                gb_per_second: rate(bytes, seconds).unwrap_or(0.0),
            })
            .collect();
        kinds.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        Profile { total_ms: total * 1e3, kinds, slowest }
    }
}

/// 10⁹ a second; `None` for nothing.
fn rate(count: u64, seconds: f64) -> Option<f64> {
    (count > 0 && seconds > 0.0).then(|| count as f64 / seconds / 1e9)
}
