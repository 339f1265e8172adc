//! Forks this process, and provides what only forked processes need.

use std::io;

/// Which of the two processes continues after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkSide {
    /// With the number of the child.
    Parent(u32),
    Child,
}

/// Forks this process. The child must end by [`leave`].
///
/// # Safety
///
/// This process has one thread. Otherwise the child has copies of locks held by threads that do not exist in
/// it, including the allocator's, and of memory that those threads were about to change.
pub unsafe fn fork() -> io::Result<ForkSide> {
    // SAFETY: there are no other threads, by the contract of this function, so the child's memory is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(ForkSide::Child),
        pid => Ok(ForkSide::Parent(pid.unsigned_abs())),
    }
}

/// Ends a forked process, without what its parent would do at its own end.
pub fn leave(code: i32) -> ! {
    // SAFETY: the call ends the process, runs no destructors and no exit handlers, and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Ignores these signals, in the whole process.
pub fn ignore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler is installed, so nothing runs in a signal's context; an invalid number is
        // refused.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Restores the default effect of these signals, in the whole process.
pub fn restore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler is installed, so nothing runs in a signal's context; an invalid number is
        // refused.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}
