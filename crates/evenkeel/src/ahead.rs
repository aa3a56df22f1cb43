//! Values that a thread makes before they are asked for.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, Scope};

/// `make(n)` for one n after the other. `make` must be a pure function: where the thread cannot be started or ends early, the values are
/// made when they are asked for, and nobody sees a difference.
pub(crate) struct Ahead<T, F> {
    make: F,
    next: u64,
    made: Option<Receiver<T>>,
}

/// Whether work may have a thread beside those that compute: not where there is one for everything.
pub(crate) fn has_a_thread() -> bool {
    rayon::current_num_threads() > 1
}

impl<T: Send, F: FnMut(u64) -> T + Clone + Send> Ahead<T, F> {
    /// The values of `range` in order. With `on_a_thread` each is begun when the one before is taken, and one is held at most. The thread
    /// ends with the range, or at the value in work when this is dropped.
    pub(crate) fn new<'s>(scope: &'s Scope<'s, '_>, range: Range<u64>, make: F, on_a_thread: bool) -> Self
    where
        T: 's,
        F: 's,
    {
        let next = range.start;
        let start = || {
            let mut make = make.clone();
            let (give, made) = sync_channel(0);
            let work = move || {
                for number in range {
                    if give.send(make(number)).is_err() {
                        // Nobody takes it any more.
                        return;
                    }
                }
            };
            thread::Builder::new().name("batches".into()).spawn_scoped(scope, work).ok().map(|_| made)
        };
        let made = if on_a_thread { start() } else { None };
        Ahead { make, next, made }
    }

    /// The next value.
    pub(crate) fn next(&mut self) -> T {
        let number = self.next;
        self.next += 1;
        let made = self.made.as_ref().and_then(|made| made.recv().ok());
        made.unwrap_or_else(|| (self.make)(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn values_come_in_order_with_a_thread_and_without() {
        for on_a_thread in [false, true] {
            let values: Vec<u64> = thread::scope(|scope| {
                let mut ahead = Ahead::new(scope, 3..50, |number| number * number, on_a_thread);
                (3..50).map(|_| ahead.next()).collect()
            });
            assert_eq!(values, (3..50).map(|number| number * number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_is_made_than_one_value_ahead_and_the_thread_ends_with_its_taker() {
        let made = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            let counted = |number: u64| {
                made.fetch_add(1, Ordering::SeqCst);
                number
            };
            let mut ahead = Ahead::new(scope, 0..u64::MAX, counted, true);
            for taken in 1..20 {
                ahead.next();
                assert!(made.load(Ordering::SeqCst) <= taken + 1);
            }
            // The scope waits for the thread: this ends only if that does.
        });
        assert!(made.load(Ordering::SeqCst) <= 20);
    }

    #[test]
    fn after_the_range_values_are_made_when_asked_for() {
        thread::scope(|scope| {
            let mut ahead = Ahead::new(scope, 0..2, |number| number, true);
            assert_eq!([ahead.next(), ahead.next(), ahead.next()], [0, 1, 2]);
        });
    }
}
