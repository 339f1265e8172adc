//! Processes of this machine: which there are, what they are, how to signal them safely, and how those are found whose
//! parent has ended. Linux gives the latter to an ancestor that adopts them. macOS gives them to its first process: there
//! they are recognized by their session, group and start time, and by the variables that they were started with.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(any(target_os = "macos", test))]
mod recognition;

use rustix::process::Pid;

pub use system::{
    ProcessHandle, ServiceOrphans, adopt_orphans, arguments, children, die_with_parent, group, is_running, is_stopped,
    orphans, parent, processes, program, start_time, usage, user, variables, without_adopting,
};

/// The resource usage of processes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// Of running processes and of their children that have ended.
    pub processor_seconds: f64,
    pub resident_bytes: u64,
}

/// A process number as the system's calls take it.
#[must_use]
pub fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Command;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::Signal;

    use super::*;

    #[test]
    fn this_process_is_described() {
        let own = std::process::id();
        let parent_of_own = std::os::unix::process::parent_id();
        assert_eq!(parent(own), Some(parent_of_own));
        assert!(processes().contains(&(own, parent_of_own)));
        assert!(is_running(own) && !is_stopped(own));
        assert!(start_time(own).is_some() && usage(own).is_some_and(|usage| usage.resident_bytes > 0));
        assert_eq!(group(own), Some(rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs()));
        assert_eq!(user(own), Some(rustix::process::geteuid().as_raw()));
        let first = std::env::args().next().unwrap();
        assert!(arguments(own).unwrap().starts_with(first.as_bytes()));
        assert!(variables(own).unwrap().split(|byte| *byte == 0).any(|one| one.starts_with(b"PATH=")));
        assert!(!program(own).is_empty());
    }

    #[test]
    fn a_number_without_a_process_has_nothing() {
        let none = u32::MAX;
        assert_eq!(
            (parent(none), start_time(none), usage(none), group(none), user(none)),
            (None, None, None, None, None)
        );
        assert!(arguments(none).is_none() && variables(none).is_none() && ProcessHandle::open(none).is_none());
        assert!(children(none).is_empty() && program(none).is_empty() && !is_running(none) && !is_stopped(none));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test of processes needs one")]
    fn a_handle_signals_its_process_and_shows_its_end() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        let handle = ProcessHandle::open(child.id()).unwrap();
        handle.signal(Signal::TERM);
        let _ = poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], None);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(libc::SIGTERM));
        assert!(!is_running(child.id()));
    }
}
