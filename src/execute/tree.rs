//! Finds the descendants of this process in `/proc`. This needs Linux; elsewhere nothing is found and only
//! direct children are ended.
//!
//! A process that outlives its parent is adopted by this process (see [`adopt_orphans`]) and so remains a
//! descendant, even if it has created its own session.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitOptions};

/// Makes this process the parent of every process its children leave behind.
pub fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    {
        // If the kernel refuses, orphans go to init as usual.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
}

/// Runs `work`, whose orphans are not adopted: they outlive this process.
pub fn without_adopting<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    let adopts = rustix::process::child_subreaper().is_ok_and(|pid| pid.is_some());
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(None);
    let result = work();
    #[cfg(target_os = "linux")]
    if adopts {
        adopt_orphans();
    }
    result
}

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
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        variables.iter().all(|wanted| environ.split(|byte| *byte == 0).any(|one| one == wanted.as_slice()))
    })
}

/// All processes with a variable `name` whose value begins with `prefix`.
pub fn marked(name: &str, prefix: &str) -> Vec<u32> {
    processes().into_iter().map(|(pid, _)| pid).filter(|pid| is_marked(*pid, name, prefix)).collect()
}

/// Whether the process has a variable `name` whose value begins with `prefix`.
pub fn is_marked(pid: u32, name: &str, prefix: &str) -> bool {
    let wanted = [name.as_bytes(), b"=", prefix.as_bytes()].concat();
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one.starts_with(&wanted)))
}

/// All processes with `argument` as a word of their command line.
pub fn with_argument(argument: &str) -> Vec<u32> {
    processes().into_iter().map(|(pid, _)| pid).filter(|pid| has_argument(*pid, argument)).collect()
}

/// Whether the process has `argument` as a word of its command line.
pub fn has_argument(pid: u32, argument: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}

/// The word after `argument` in the process's command line.
pub fn argument_after(pid: u32, argument: &str) -> Option<OsString> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = words.split(|byte| *byte == 0);
    words.find(|word| *word == argument.as_bytes())?;
    words.next().map(|word| OsString::from_vec(word.to_vec()))
}

/// When the process was started, in ticks since the system was: together with its number it identifies one
/// process. `None`: there is no such process.
pub fn start_time(pid: u32) -> Option<u64> {
    numeric_field(pid, 19)
}

/// The resource usage of processes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// Of running processes and of their children that have ended.
    pub processor_seconds: f64,
    pub resident_bytes: u64,
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
            if let Some(one) = usage(pid) {
                sum.processor_seconds += one.processor_seconds;
                sum.resident_bytes += one.resident_bytes;
            }
            open.extend(children.get(&pid).into_iter().flatten());
        }
        Some(sum)
    };
    roots.iter().map(|root| if *root == 0 { None } else { below(*root) }).collect()
}

fn usage(pid: u32) -> Option<ProcessUsage> {
    let status = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&[u8]> = status_fields(&status)?.collect();
    let number =
        |at: usize| fields.get(at).and_then(|text| std::str::from_utf8(text).ok()?.trim_end().parse::<u64>().ok());
    let ticks: u64 = (11..15).filter_map(number).sum();
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let page = rustix::param::page_size() as u64;
    Some(ProcessUsage {
        processor_seconds: ticks as f64 / ticks_per_second as f64,
        resident_bytes: number(21)?.saturating_mul(page),
    })
}

/// Whether there is such a process that has not ended.
pub fn is_running(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/stat")).is_ok_and(|status| parent(&status).is_some())
}

/// Whether a signal has stopped the process, until it is continued.
pub fn is_stopped(pid: u32) -> bool {
    let status = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    matches!(status_fields(&status).and_then(|mut fields| fields.next()), Some(b"T" | b"t"))
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
        found.extend(processes().into_iter().map(|(pid, _)| pid).filter(|pid| is_in_group(*pid, root)));
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
        watched.retain(|(pid, _)| named.contains(&pid.as_raw_nonzero().get().unsigned_abs()));
        if watched.is_empty() {
            return;
        }
        let patient = Instant::now() < deadline;
        for (_, descriptor) in &watched {
            send(descriptor, if patient { Signal::TERM } else { Signal::KILL });
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

fn is_in_group(pid: u32, group: u32) -> bool {
    // The system's own threads have the group 0, which `getpgid` of rustix does not expect.
    numeric_field(pid, 2) == Some(u64::from(group))
}

/// The field `at` of `/proc/PID/stat`, counted from the state of the process, which is the first after its name.
fn numeric_field(pid: u32, at: usize) -> Option<u64> {
    let status = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    std::str::from_utf8(status_fields(&status)?.nth(at)?).ok()?.parse().ok()
}

/// What follows the name in a `/proc/PID/stat` line: `PID (NAME) STATE PARENT GROUP …`; the name may contain any character.
fn status_fields(status: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let after_name = status.iter().rposition(|byte| *byte == b')')? + 1;
    Some(status[after_name..].split(|byte| *byte == b' ').filter(|field| !field.is_empty()))
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// A descriptor for each process, which becomes readable when that process is gone.
fn watch(pids: Vec<u32>) -> Vec<(Pid, OwnedFd)> {
    #[cfg(target_os = "linux")]
    return pids
        .into_iter()
        .filter_map(to_pid)
        .filter_map(|pid| {
            let descriptor = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
            Some((pid, descriptor))
        })
        .collect();
    #[cfg(not(target_os = "linux"))]
    {
        drop(pids);
        Vec::new()
    }
}

fn send(descriptor: &OwnedFd, signal: Signal) {
    // A process that has ended in the meantime, or belongs to another user, cannot be signalled; ignore it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::pidfd_send_signal(descriptor, signal);
    #[cfg(not(target_os = "linux"))]
    let _ = (descriptor, signal);
}

fn wait_until_gone(watched: &[(Pid, OwnedFd)], until: Instant) {
    let mut left: Vec<&(Pid, OwnedFd)> = watched.iter().collect();
    while !left.is_empty() {
        let Some(time) = until.checked_duration_since(Instant::now()).filter(|time| !time.is_zero()) else { return };
        let mut waiting: Vec<PollFd<'_>> =
            left.iter().map(|(_, descriptor)| PollFd::new(descriptor, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
        if !matches!(rustix::event::poll(&mut waiting, Some(&timeout)), Ok(1..) | Err(rustix::io::Errno::INTR)) {
            return;
        }
        let gone: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        let mut at = 0;
        left.retain(|(pid, _)| {
            at += 1;
            if gone[at - 1] {
                reap(*pid);
            }
            !gone[at - 1]
        });
    }
}

/// Reaps a child by its number that has ended and that no other code waits for.
pub fn reap_child(pid: u32) {
    to_pid(pid).into_iter().for_each(reap);
}

/// Reaps an adopted process. A child that was started here is left to its owner, which waits for it by its
/// own handle: the caller never passes one that is still awaited.
fn reap(pid: Pid) {
    let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
}

/// Each running process and its parent, without processes that have ended and wait to be reaped.
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent(&status)?))
        })
        .collect()
}

/// The parent in a `/proc/PID/stat` line, unless the process has ended.
fn parent(status: &[u8]) -> Option<u32> {
    let mut fields = status_fields(status)?;
    if matches!(fields.next()?, b"Z" | b"X") {
        return None;
    }
    std::str::from_utf8(fields.next()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_the_program_is_called() {
        assert_eq!(parent(b"12 (a) b) (c) S 7 1 2"), Some(7));
        assert_eq!(parent(b"12 (dead) Z 7 1 2"), None);
        assert_eq!(parent(b"nonsense"), None);
        assert_eq!(parent(b"1 (x) S"), None);
    }

    #[test]
    fn a_process_is_among_the_descendants_of_its_parent() {
        let own = std::process::id();
        assert_eq!(descendants(own)[0], own);
        if cfg!(target_os = "linux") {
            assert!(processes().iter().any(|(pid, _)| *pid == own));
        }
    }
}
