//! Is there room for what training is about to allocate? An allocation that fails ends the process without a word.

use crate::network::Network;
use crate::{Error, Result};
use std::fs;

/// Parameters, velocities, and the two copies of them that a step and a checkpoint take.
const COPIES: u64 = 4;

/// Refuses a network whose state alone does not fit.
///
/// # Errors
/// When the memory that is free is known, and too little.
pub fn check_state(network: &Network) -> Result<()> {
    let numbers = network.parameter_count() as u64;
    let needed = numbers.saturating_mul(network.dtype().bytes() as u64).saturating_mul(COPIES);
    check(needed, "the state of the network", "use a smaller network")
}

/// Refuses a step whose activations do not fit.
///
/// # Errors
/// As [`check_state`].
pub(crate) fn check_step(arena: usize) -> Result<()> {
    check(arena as u64, "a step", "use a smaller `--batch-size`")
}

fn check(needed: u64, what: &str, hint: &str) -> Result<()> {
    match free() {
        Some(free) if needed > free => Err(Error::input(format!("{what} does not fit into memory"))
            .detail("expected", format!("at most {} (free now)", gibibytes(free)))
            .detail("got", gibibytes(needed))
            .hint(hint)),
        _ => Ok(()),
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// Bytes that can still be had, as far as the system tells: free memory, and the limit on the process.
fn free() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = available.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space")?.split_whitespace().next());
    // The word for none is `unlimited`.
    let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(u64::MAX);
    Some(available.min(limit))
}
