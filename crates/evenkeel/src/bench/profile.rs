//! Which kinds of work a program's time goes into, and which single steps.

use super::clock::median;
use crate::work::Work;
use evenkeel_cpu::StepInfo;
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
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
    /// Milliseconds, median over the runs.
    pub ms: f64,
    /// Operations a second in 10⁹; `None` for other work than products and convolutions.
    pub gflops: Option<f64>,
    /// Bytes read and written a second in 10⁹.
    pub gb_per_second: f64,
}

impl Profile {
    pub(super) fn new(steps: Vec<StepInfo>, seconds: Vec<Vec<f64>>) -> Profile {
        let mut kinds: BTreeMap<&'static str, (usize, f64, u64, u64)> = BTreeMap::new();
        let mut slowest = Vec::new();
        for (step, mut seconds) in steps.into_iter().zip(seconds) {
            let seconds = median(&mut seconds);
            let kind = kinds.entry(step.kind).or_default();
            *kind = (kind.0 + 1, kind.1 + seconds, kind.2 + step.flops, kind.3 + step.bytes);
            let (gflops, bandwidth) = (rate(step.flops, seconds), rate(step.bytes, seconds));
            let gb_per_second = bandwidth.unwrap_or(0.0);
            slowest.push(Slow { work: Work::from(step), ms: seconds * 1e3, gflops, gb_per_second });
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
