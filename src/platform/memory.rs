//! Keeps the memory of background processes small. It does not change their behaviour. Only glibc needs it: other
//! allocators have one heap for all threads and return free memory by themselves.

/// Lets all threads share one heap; otherwise each would leave one behind for as long as services run. Called
/// before any thread is started.
pub fn stay_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call changes a number inside the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns the free parts of the heap to the system.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call only returns unused memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
