//! Is there room for what is about to be allocated? An allocation that fails ends the process without a word.

use crate::network::Network;
use crate::{Error, Result};
use std::fs;

/// Parameters, velocities and gradients.
const COPIES: u64 = 3;

/// Refuses a network whose state alone does not fit.
///
/// # Errors
/// When the memory that is free is known, and too little.
pub fn check_state(network: &Network) -> Result<()> {
    let numbers = network.parameter_count() as u64;
    let needed = numbers.saturating_mul(network.dtype().bytes() as u64).saturating_mul(COPIES);
    check(needed, available(), "the state of the network", "use a smaller network")
}

/// Refuses what takes more than is available; without knowing, nothing is refused.
pub(crate) fn check(needed: u64, available: Option<u64>, what: &str, hint: &str) -> Result<()> {
    match available {
        Some(available) if needed > available => Err(Error::input(format!("{what} does not fit into memory"))
            .detail("expected", format!("at most {} (free now)", gibibytes(available)))
            .detail("got", gibibytes(needed))
            .hint(hint)),
        _ => Ok(()),
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// Bytes that can still be had, as far as the system tells: free memory, and the limit on the process.
pub(crate) fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = available.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space")?.split_whitespace().next());
    // The word for none is `unlimited`.
    let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(u64::MAX);
    Some(available.min(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_or_cannot_be_judged_is_let_through_and_the_rest_is_refused_with_both_sizes() {
        assert!(check(1 << 30, Some(1 << 30), "a step", "hint").is_ok());
        assert!(check(u64::MAX, None, "a step", "hint").is_ok());
        let error = check(3 << 30, Some(1 << 30), "a step", "take less").unwrap_err().to_string();
        assert!(error.contains("at most 1.0 GiB (free now)") && error.contains("3.0 GiB"), "{error}");
    }
}
