//! A process that continues as two, and what only such processes do.

use std::io;

/// Which of the two processes continues after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkSide {
    /// With the number of the other.
    Parent(u32),
    Child,
}

/// Continues as two processes. The child must end by [`leave`].
///
/// # Safety
/// This process has one thread. In any other the child has copies of locks that threads held which it does not have,
/// the allocator's among them, and of memory that those threads were about to change.
pub unsafe fn fork() -> io::Result<ForkSide> {
    // SAFETY: there are no other threads, by the contract of this function, so the child's memory is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(ForkSide::Child),
        pid => Ok(ForkSide::Parent(pid.unsigned_abs())),
    }
}

/// Ends a process that was forked, without what its parent would do at its own end.
pub fn leave(code: i32) -> ! {
    // SAFETY: the call ends the process, runs no destructors and no exit handlers, and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Lets these signals pass without effect, in the whole process.
pub fn ignore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler is installed, so nothing runs in a signal's context; a number that is no signal is refused.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Gives these signals the effect they have in a new process, in the whole process.
pub fn restore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler is installed, so nothing runs in a signal's context; a number that is no signal is refused.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}
