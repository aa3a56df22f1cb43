//! What each thread keeps packed for itself.
//!
//! An operand that all tasks of a product read is packed by every thread that works on it, if it is small: lines that another
//! thread has just written take longer to read than packing takes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Memory of one thread for one packed operand, and whose it is.
#[derive(Default)]
pub(super) struct Own {
    stamp: u64,
    lines: Vec<Line>,
}

thread_local! {
    /// The left and the right side.
    static OWN: Cell<[Own; 2]> = Cell::default();
}

/// Numbers that no operand had before, one for each of `count`; the first of them.
pub(super) fn stamps(count: usize) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(count as u64, Ordering::Relaxed)
}

/// Takes what this thread keeps, to be given back with [`put`].
pub(super) fn take() -> [Own; 2] {
    OWN.take()
}

pub(super) fn put(own: [Own; 2]) {
    OWN.set(own);
}

impl Own {
    /// Room for `elements` scalars, and whether they are still to be packed for the operand of this stamp.
    pub(super) fn room<T>(&mut self, stamp: u64, elements: usize) -> (*mut T, bool) {
        let lines = (elements * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        let new = std::mem::replace(&mut self.stamp, stamp) != stamp;
        (self.lines.as_mut_ptr().cast(), new)
    }
}
