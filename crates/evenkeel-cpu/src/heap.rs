//! What an allocator keeps of freed memory, back to the system.

/// Gives freed memory back to the system, where the allocator can be told to (glibc): after work that took a lot of it in small pieces, such as
/// the compilation of hundreds of layers, and before large pieces are taken that would not fit into the gaps. Cost: microseconds to
/// milliseconds.
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes locks of its own and touches what is free alone.
    unsafe {
        libc::malloc_trim(0);
    }
}
