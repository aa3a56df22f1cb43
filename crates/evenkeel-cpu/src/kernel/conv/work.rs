//! How work is cut into pieces that do not depend on the number of threads.

use std::ops::Range;

use crate::kernel::is_alone;
use rayon::prelude::*;

use super::kernels::Real;

/// Below this many multiply-adds a call stays on its thread: waking another costs more.
pub(super) const FORK: usize = 200_000;

/// A pointer to memory that tasks write in disjoint places.
#[derive(Clone, Copy)]
pub(in crate::kernel) struct Shared<T>(*mut T);

// SAFETY: the pointer is only dereferenced by tasks, each of which owns the elements that it writes.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(in crate::kernel) fn new(data: &mut [T]) -> Shared<T> {
        Shared(data.as_mut_ptr())
    }

    /// The memory that starts at `data`.
    pub(in crate::kernel) fn from_raw(data: *mut T) -> Shared<T> {
        Shared(data)
    }

    /// The element at `index`, which the caller knows to be inside.
    pub(in crate::kernel) fn at(self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }

    /// Some elements.
    ///
    /// # Safety
    /// They lie inside the memory, and nobody else uses them while the slice is alive.
    pub(in crate::kernel) unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at(start), len) }
    }
}

/// Does `task` for every number below `tasks`: in parallel, unless `work` (in multiply-adds) is small.
pub(in crate::kernel) fn each(work: usize, tasks: usize, task: impl Fn(usize) + Sync + Send) {
    if work < FORK || tasks < 2 || is_alone() {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// What the number of a task is multiplied by to find scratch of its own: 1, or 0 where all tasks follow each other on this
/// thread, so that they use the same scratch, which stays in the cache next to it.
pub(super) fn apart() -> usize {
    usize::from(!is_alone())
}

/// Part `index` of `count` things cut into `parts` parts whose sizes differ by at most one.
pub(in crate::kernel) fn even(count: usize, parts: usize, index: usize) -> Range<usize> {
    count * index / parts..count * (index + 1) / parts
}

/// Overwrites `sums` with the sum of arrays of its length, one after the other in `parts`, in their order.
pub(crate) fn sum_parts<T: Real>(sums: &mut [T], parts: &[T]) {
    let (first, others) = parts.split_at(sums.len());
    sums.copy_from_slice(first);
    add_parts(sums, others);
}

/// Adds arrays of the length of `sums`, one after the other in `parts`, to it in their order.
pub(in crate::kernel) fn add_parts<T: Real>(sums: &mut [T], parts: &[T]) {
    const PIECE: usize = 4096;
    let length = sums.len();
    if parts.is_empty() {
        return;
    }
    let target = Shared::new(sums);
    each(parts.len(), length.div_ceil(PIECE), |piece| {
        let start = piece * PIECE;
        // SAFETY: each task has a piece of its own.
        let sums = unsafe { target.slice(start, PIECE.min(length - start)) };
        for part in parts.chunks_exact(length) {
            for (sum, &value) in sums.iter_mut().zip(&part[start..]) {
                *sum += value;
            }
        }
    });
}
