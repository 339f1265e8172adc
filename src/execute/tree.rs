//! Finds the descendants of a process, and ends processes with all that they have started.
//!
//! If the system permits, a process that outlives its parent is adopted by this process (see [`adopt_orphans`]) and so
//! remains a descendant, even if it has created its own session.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Signal, WaitOptions};

use crate::platform::processes::{self, ProcessHandle, processes, to_pid};
pub use crate::platform::processes::{
    ProcessUsage, adopt_orphans, is_running, is_stopped, start_time, without_adopting,
};

/// The descendants of the process `root`, itself included, that still run.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, parent) in processes() {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        if let Some(more) = children.get(pid) {
            found.extend(more);
        }
        next += 1;
    }
    found
}

/// Whether the process was started with all these variables, each `NAME=VALUE`.
pub fn carries(pid: u32, variables: &[Vec<u8>]) -> bool {
    processes::variables(pid).is_some_and(|all| {
        variables.iter().all(|wanted| all.split(|byte| *byte == 0).any(|one| one == wanted.as_slice()))
    })
}

/// All processes with a variable `name` whose value begins with `prefix`.
pub fn marked(name: &str, prefix: &str) -> Vec<u32> {
    processes().into_iter().map(|(pid, _)| pid).filter(|pid| is_marked(*pid, name, prefix)).collect()
}

/// Whether the process has a variable `name` whose value begins with `prefix`.
pub fn is_marked(pid: u32, name: &str, prefix: &str) -> bool {
    let wanted = [name.as_bytes(), b"=", prefix.as_bytes()].concat();
    processes::variables(pid).is_some_and(|all| all.split(|byte| *byte == 0).any(|one| one.starts_with(&wanted)))
}

/// All processes with `argument` as a word of their command line.
pub fn with_argument(argument: &str) -> Vec<u32> {
    processes().into_iter().map(|(pid, _)| pid).filter(|pid| has_argument(*pid, argument)).collect()
}

/// Whether the process has `argument` as a word of its command line.
pub fn has_argument(pid: u32, argument: &str) -> bool {
    processes::arguments(pid)
        .is_some_and(|words| words.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}

/// The word after `argument` in the process's command line.
pub fn argument_after(pid: u32, argument: &str) -> Option<OsString> {
    let words = processes::arguments(pid)?;
    let mut words = words.split(|byte| *byte == 0);
    words.find(|word| *word == argument.as_bytes())?;
    words.next().map(|word| OsString::from_vec(word.to_vec()))
}

/// The usage of all descendants of each of the processes `roots`, without those themselves; `None` for one
/// that does not exist.
pub fn usage_below(roots: &[u32]) -> Vec<Option<ProcessUsage>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, parent) in processes() {
        children.entry(parent).or_default().push(pid);
    }
    let below = |root: u32| {
        let mut open = children.get(&root)?.clone();
        let mut sum = ProcessUsage::default();
        while let Some(pid) = open.pop() {
            if let Some(one) = processes::usage(pid) {
                sum.processor_seconds += one.processor_seconds;
                sum.resident_bytes += one.resident_bytes;
            }
            open.extend(children.get(&pid).into_iter().flatten());
        }
        Some(sum)
    };
    roots.iter().map(|root| if *root == 0 { None } else { below(*root) }).collect()
}

/// Waits until `survivors` returns no process, at most for this time.
pub fn wait_until_gone_or(survivors: &dyn Fn() -> Vec<u32>, patience: Duration) {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        let watched = watch(survivors());
        if watched.is_empty() {
            return;
        }
        wait_until_gone(&watched, deadline);
    }
}

/// Sends `signal` to all descendants of the process `root`, but not to itself.
pub fn signal_descendants(root: u32, signal: Signal) {
    for pid in descendants(root).into_iter().skip(1).filter_map(to_pid) {
        // A process that has ended in the meantime needs no signal.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Kills all descendants of the process `root` and all members of its process group, but not itself, and waits
/// until they are gone.
pub fn kill_below(root: u32) {
    let survivors = || {
        let mut found = descendants(root);
        found.extend(processes().into_iter().map(|(pid, _)| pid).filter(|pid| processes::group(*pid) == Some(root)));
        found.retain(|pid| *pid != root);
        found
    };
    end(&survivors, Duration::ZERO);
}

/// Ends every process that `survivors` returns, repeatedly until it returns none: SIGTERM first, SIGKILL
/// after `patience`. The processes need not be children of this one.
pub fn end(survivors: &dyn Fn() -> Vec<u32>, patience: Duration) {
    let deadline = Instant::now() + patience;
    // A process can be started while the others are being ended; after this many rounds something keeps
    // starting new ones faster than they can be ended, and more rounds do not help.
    for _ in 0..100 {
        let mut watched = watch(survivors());
        // A number may have been reused before its descriptor was opened: only processes that are returned
        // again are the intended ones.
        let named = survivors();
        watched.retain(|handle| named.contains(&handle.pid));
        if watched.is_empty() {
            return;
        }
        let patient = Instant::now() < deadline;
        for handle in &watched {
            handle.signal(if patient { Signal::TERM } else { Signal::KILL });
        }
        let until = if patient { deadline } else { Instant::now() + Duration::from_secs(1) };
        wait_until_gone(&watched, until);
    }
}

/// Ends all descendants of this process. Only for the end of the program: it includes processes of all
/// threads.
pub fn end_descendants(patience: Duration) {
    let own = std::process::id();
    end(&|| descendants(own).split_off(1), patience);
}

/// A handle for each process that still runs.
fn watch(pids: Vec<u32>) -> Vec<ProcessHandle> {
    pids.into_iter().filter_map(ProcessHandle::open).collect()
}

fn wait_until_gone(watched: &[ProcessHandle], until: Instant) {
    let mut left: Vec<&ProcessHandle> = watched.iter().collect();
    while !left.is_empty() {
        let Some(time) = until.checked_duration_since(Instant::now()).filter(|time| !time.is_zero()) else { return };
        let mut waiting: Vec<PollFd<'_>> = left.iter().map(|handle| PollFd::new(*handle, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
        if !matches!(rustix::event::poll(&mut waiting, Some(&timeout)), Ok(1..) | Err(rustix::io::Errno::INTR)) {
            return;
        }
        let gone: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        let mut at = 0;
        left.retain(|handle| {
            at += 1;
            if gone[at - 1] {
                reap_child(handle.pid);
            }
            !gone[at - 1]
        });
    }
}

/// Reaps a child by its number that has ended and that no other code waits for. A child that was started here is left to
/// its owner, which waits for it by its own handle: the caller never passes one that is still awaited.
pub fn reap_child(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// The processes of the user that may have come from this one: those below it, and orphans whose parent is unknown.
pub fn possible_descendants() -> Vec<u32> {
    let mut found = descendants(std::process::id()).split_off(1);
    found.extend(processes::orphans().into_iter().filter(|pid| !found.contains(pid)).collect::<Vec<u32>>());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_among_the_descendants_of_its_parent() {
        let own = std::process::id();
        assert_eq!(descendants(own)[0], own);
        assert!(descendants(std::os::unix::process::parent_id()).contains(&own));
    }
}
