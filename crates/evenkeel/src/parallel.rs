//! Independent jobs side by side, each on threads of its own: none waits for another one's work, and no result depends on how many
//! there are.

use crate::{Error, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs jobs, at most `workers` of them at a time, and returns their results in the order of the jobs.
///
/// The threads of the pool this is called on are shared out among the workers. No job is started any more once `stop` says so or one
/// has failed; what was done is then returned, of all jobs that were started.
///
/// # Errors
/// Of the jobs that failed before the others were called off, the first one's error.
pub(crate) fn each<J: Send, T: Send>(
    jobs: impl IntoIterator<Item = J>,
    workers: usize,
    stop: impl Fn() -> bool + Sync,
    run: impl Fn(J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let jobs: Vec<J> = jobs.into_iter().collect();
    let workers = workers.min(jobs.len()).max(1);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let work = || {
        while !stop() {
            let Some((index, job)) = lock(&waiting).next() else { return };
            match run(job) {
                Ok(result) => lock(&done).push((index, result)),
                Err(error) => {
                    lock(&waiting).by_ref().for_each(drop);
                    // Jobs start in order: the first that fails has always started, so which error is told is no accident.
                    let mut failed = lock(&failed);
                    if failed.as_ref().is_none_or(|(other, _)| index < *other) {
                        *failed = Some((index, error));
                    }
                }
            }
        }
    };
    if workers == 1 {
        work();
    } else {
        let threads = shares(rayon::current_num_threads(), workers);
        let pools = threads.map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
        let pools: Vec<rayon::ThreadPool> = pools
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::input(format!("cannot start threads: {error}")))?;
        std::thread::scope(|scope| {
            for pool in &pools {
                scope.spawn(|| pool.install(work));
            }
        });
    }
    if let Some((_, error)) = lock(&failed).take() {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// The threads of each worker: the same number, or one more for the first ones; none goes without.
fn shares(threads: usize, workers: usize) -> impl Iterator<Item = usize> {
    (0..workers).map(move |worker| (threads / workers + usize::from(worker < threads % workers)).max(1))
}

/// What a mutex guards; a job that panicked takes all of them down anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_threads_are_shared_out_and_no_worker_goes_without() {
        let of = |threads, workers| shares(threads, workers).collect::<Vec<_>>();
        assert_eq!(of(8, 3), [3, 3, 2]);
        assert_eq!(of(2, 2), [1, 1]);
        assert_eq!(of(2, 3), [1, 1, 1]);
    }

    #[test]
    fn what_was_done_before_a_stop_is_returned() {
        for workers in [1, 2] {
            let done = AtomicUsize::new(0);
            let results = each(
                0..10,
                workers,
                || done.load(Ordering::SeqCst) >= 3,
                |job| {
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok(job)
                },
            );
            let results = results.unwrap();
            assert!((3..=4).contains(&results.len()), "{results:?}");
            assert_eq!(results, (0..results.len()).collect::<Vec<_>>());
        }
    }
}
