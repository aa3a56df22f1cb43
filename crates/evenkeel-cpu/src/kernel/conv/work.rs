//! How work is cut into pieces that do not depend on the number of threads.

use std::ops::Range;

use rayon::prelude::*;

/// Below this many multiply-adds a call stays on its thread: waking another costs more.
pub(super) const FORK: usize = 200_000;

/// A pointer to an output that tasks write in disjoint places.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(*mut T);

// SAFETY: the pointer is only dereferenced inside tiles, each of which owns the elements that it writes.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn new(data: &mut [T]) -> Shared<T> {
        Shared(data.as_mut_ptr())
    }

    /// The output that starts at `data`.
    pub(super) fn from_raw(data: *mut T) -> Shared<T> {
        Shared(data)
    }

    /// The element at `index`, which the caller knows to be inside the output.
    pub(super) fn at(self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

/// Does `task` for every item: in parallel, unless `work` (in multiply-adds) is small.
pub(super) fn each<I: Send>(work: usize, items: Vec<I>, task: impl Fn(I) + Sync + Send) {
    if work < FORK || items.len() < 2 {
        items.into_iter().for_each(task);
    } else {
        items.into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Part `index` of `count` things cut into `parts` parts whose sizes differ by at most one.
pub(super) fn even(count: usize, parts: usize, index: usize) -> Range<usize> {
    count * index / parts..count * (index + 1) / parts
}
