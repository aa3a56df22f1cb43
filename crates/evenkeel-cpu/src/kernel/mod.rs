//! The loops that do the arithmetic. `unsafe` lives here and nowhere else.

pub(crate) mod arithmetic;
pub(crate) mod chain;
pub mod conv;
pub(crate) mod elementwise;
pub(crate) mod fused;
pub(crate) mod instruction_set;
mod math;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod peak;
pub(crate) mod random;
pub(crate) mod real;
pub(crate) mod reduction;
pub(crate) mod rows;
pub(crate) mod spread;
pub(crate) mod window;

use std::cell::Cell;

thread_local! {
    /// Whether this thread works on a band of its own and must not wait for others.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Whether kernels called on this thread must do all their work themselves.
///
/// A thread that waits for others takes over any work it finds: in the middle of one band it would start another.
pub(crate) fn is_alone() -> bool {
    ALONE.get()
}

/// Runs `work` with kernels kept on this thread.
pub(crate) fn alone<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restore = Restore(ALONE.replace(true));
    work()
}
