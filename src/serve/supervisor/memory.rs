//! Keeping what stays in the background small. Changes nothing about what a process does.

/// Lets all threads share one heap: each would leave one of its own behind otherwise, for as long as services run. Before
/// any thread is started.
pub fn stay_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call changes a number inside the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back the free parts of the heap, which were needed to get this far.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call only gives back what nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
}
