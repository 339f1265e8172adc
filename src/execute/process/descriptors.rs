//! Controls which open files a child inherits, and how many a process may have. A child gets 0 to 2 and the
//! ones meant for it: a descriptor that envo itself inherited (a lock, a pipe that is read to its end) is
//! not.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::platform::descriptors::close_range_in_children;
use crate::platform::system::most_open_files;

/// The number of the first open file that is not a standard stream, and of the first socket a service
/// inherits by the convention of systemd.
pub const FIRST: i32 = 3;

/// The limit this process was started with, if it has raised it.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// Marks all descriptors from the number `first` on to be closed in programs that this process starts, now
/// and later.
pub(super) fn close_in_children(first: i32) -> io::Result<()> {
    if close_range_in_children(first) { Ok(()) } else { mark_each(first) }
}

/// The same one by one, for systems that list open descriptors.
fn mark_each(first: i32) -> io::Result<()> {
    for entry in std::fs::read_dir("/dev/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| *number >= first) {
            // SAFETY: the call touches no memory. Another thread may have closed the number meanwhile, and reopened it: then
            // it fails, or marks what this process opens marked anyway.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Raises the number of files this process may have open as far as the system permits. Its children get the
/// original limit: programs that iterate over all possible descriptors, or use `select`, work only with few.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum.or(most_open_files()), maximum: limit.maximum };
    // If the system refuses, the original limit has to suffice.
    if raised.current != limit.current && setrlimit(Resource::Nofile, raised).is_ok() {
        let _ = STARTED_WITH.set(limit);
    }
}

/// Gives a program about to be started the limit this process was started with.
pub(super) fn restore_limit(command: &mut Command) {
    if let Some(limit) = STARTED_WITH.get().copied() {
        let restore = move || setrlimit(Resource::Nofile, limit).map_err(io::Error::from);
        // SAFETY: between fork and exec this makes a system call and touches no memory but its own.
        unsafe { command.pre_exec(restore) };
    }
}

/// Gives `descriptor` this number and lets child processes inherit it.
///
/// # Safety
/// Nothing in this process owns the number, or it is that of `descriptor`: a descriptor that had it before is closed.
pub unsafe fn move_to(descriptor: OwnedFd, number: i32) -> io::Result<()> {
    if descriptor.as_raw_fd() == number {
        let _ = descriptor.into_raw_fd();
        return Ok(());
    }
    // SAFETY: `descriptor` is open, and nothing owns the other number, by the contract of this function.
    if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    use super::*;

    #[test]
    fn both_ways_mark_descriptors_from_a_number_on() {
        let file = File::open("/dev/null").unwrap();
        let high = rustix::io::fcntl_dupfd_cloexec(file.as_fd(), 500).unwrap();
        for mark in [close_in_children, mark_each] {
            fcntl_setfd(&high, FdFlags::empty()).unwrap();
            mark(FIRST).unwrap();
            assert_eq!(fcntl_getfd(&high).unwrap(), FdFlags::CLOEXEC);
        }
    }
}
