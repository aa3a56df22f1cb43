//! Repeating a piece of work and telling how long it took.

use crate::Result;
use std::time::Instant;

/// Work is repeated for this long before it counts: caches fill, pages are mapped, the clock of the processor rises.
const WARM_UP_SECONDS: f64 = 0.1;
/// Runs before it counts, however long they take.
const LEAST_WARM_UP: usize = 2;
/// Work is timed for about this long unless a number of runs was asked for.
const SECONDS: f64 = 1.0;
/// Timed runs, however long they take.
const LEAST_RUNS: usize = 5;

/// How long the runs took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing {
    /// Seconds of the run in the middle.
    pub(super) median: f64,
    /// Seconds of the fastest run.
    pub(super) min: f64,
    /// Runs that were timed.
    pub(super) runs: usize,
}

/// Warms up, then times `repeats` runs, or without a number those of about a second and at least five.
pub(super) fn time(repeats: Option<usize>, mut run: impl FnMut() -> Result<()>) -> Result<Timing> {
    let (start, mut warm) = (Instant::now(), 0);
    while warm < LEAST_WARM_UP || start.elapsed().as_secs_f64() < WARM_UP_SECONDS {
        run()?;
        warm += 1;
    }
    let mut seconds = Vec::new();
    let start = Instant::now();
    let enough = |runs: usize| match repeats {
        Some(repeats) => runs >= repeats.max(1),
        None => runs >= LEAST_RUNS && start.elapsed().as_secs_f64() >= SECONDS,
    };
    while !enough(seconds.len()) {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let runs = seconds.len();
    Ok(Timing { median: median(&mut seconds), min: seconds[0], runs })
}

/// Sorts, and gives the value in the middle, or the mean of the two there; 0 for nothing.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |index: usize| values.get(index).copied().unwrap_or(0.0);
    (middle(values.len().saturating_sub(1) / 2) + middle(values.len() / 2)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_what_was_given() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn as_many_runs_are_timed_as_were_asked_for_and_those_before_them_do_not_count() {
        let mut calls = 0;
        let timing = time(Some(7), || {
            calls += 1;
            Ok(())
        });
        let timing = timing.unwrap();
        assert_eq!(timing.runs, 7);
        assert!(calls >= 7 + LEAST_WARM_UP && timing.min <= timing.median);
    }

    #[test]
    fn work_that_fails_ends_the_timing() {
        assert!(time(None, || Err(crate::Error::input("no"))).is_err());
    }
}
