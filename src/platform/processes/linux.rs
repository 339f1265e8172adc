//! Reads processes from `/proc`, and holds on to them by descriptors of processes.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{ProcessUsage, to_pid};

/// Makes this process the parent of every process its children leave behind.
pub fn adopt_orphans() {
    // If the kernel refuses, orphans go to init as usual.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Runs `work`, whose orphans are not adopted: they outlive this process.
pub fn without_adopting<T>(work: impl FnOnce() -> T) -> T {
    let adopts = rustix::process::child_subreaper().is_ok_and(|pid| pid.is_some());
    let _ = rustix::process::set_child_subreaper(None);
    let result = work();
    if adopts {
        adopt_orphans();
    }
    result
}

/// Processes that may have come from this one although they are not below it: none, as orphans are adopted.
pub fn orphans() -> Vec<u32> {
    Vec::new()
}

/// What a service leaves behind: children of its shim, which adopts them.
#[derive(Debug)]
pub struct ServiceOrphans;

impl ServiceOrphans {
    /// `leader`: the service's first process, which leads a session; `mark`: a variable of all its processes.
    pub fn of(_leader: u32, _mark: &[u8]) -> Self {
        Self
    }

    /// Those that are not children of this process.
    pub fn running(&self) -> Vec<ProcessHandle> {
        Vec::new()
    }
}

/// Kills the child when this process ends for any reason.
pub fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let kill = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec this makes a system call and touches no memory.
    unsafe { command.pre_exec(kill) };
}

/// One process, also after its number belongs to another one. The descriptor becomes readable when it has ended.
#[derive(Debug)]
pub struct ProcessHandle {
    pub pid: u32,
    descriptor: OwnedFd,
}

impl ProcessHandle {
    /// `None`: there is no such process, or the kernel has no such descriptors.
    pub fn open(pid: u32) -> Option<Self> {
        Some(Self { pid, descriptor: pidfd_open(to_pid(pid)?, PidfdFlags::empty()).ok()? })
    }

    /// A process that has ended in the meantime, or belongs to another user, is left alone.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }

    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Each running process and its parent, without processes that have ended and wait to be reaped.
pub fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, running_parent(&status(pid)?)?))
        })
        .collect()
}

/// The children of a process, from the kernel's lists; there is one per thread, since each thread has its own
/// children.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => found.extend(text.split_ascii_whitespace().filter_map(|number| number.parse::<u32>().ok())),
            // Kernels built without these lists (CONFIG_PROC_CHILDREN): look at every process.
            Err(_) if !Path::new("/proc/self/task").join(own_thread()).join("children").exists() => {
                return all_children(pid);
            }
            Err(_) => {}
        }
    }
    found
}

fn own_thread() -> String {
    std::process::id().to_string()
}

fn all_children(wanted: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(wanted))
        .collect()
}

/// The parent of a process, even if the process has ended and waits to be reaped.
pub fn parent(pid: u32) -> Option<u32> {
    number(&status(pid)?, 1)
}

/// The number of its process group.
pub fn group(pid: u32) -> Option<u32> {
    number(&status(pid)?, 2)
}

/// The user it runs as.
pub fn user(pid: u32) -> Option<u32> {
    Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid())
}

/// The name of its program.
pub fn program(pid: u32) -> Vec<u8> {
    let mut name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.pop_if(|last| *last == b'\n');
    name
}

/// The words of its command line, each with a zero at its end.
pub fn arguments(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline")).ok()
}

/// The variables that it was started with, each with a zero at its end.
pub fn variables(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

/// When it was started, in ticks since the system was: together with its number it identifies one process. `None`: there
/// is no such process.
pub fn start_time(pid: u32) -> Option<u64> {
    number(&status(pid)?, 19)
}

pub fn usage(pid: u32) -> Option<ProcessUsage> {
    let status = status(pid)?;
    let ticks: u64 = (11..15).filter_map(|at| number::<u64>(&status, at)).sum();
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let page = rustix::param::page_size() as u64;
    Some(ProcessUsage {
        processor_seconds: ticks as f64 / ticks_per_second as f64,
        resident_bytes: number::<u64>(&status, 21)?.saturating_mul(page),
    })
}

/// Whether there is such a process that has not ended.
pub fn is_running(pid: u32) -> bool {
    status(pid).is_some_and(|status| running_parent(&status).is_some())
}

/// Whether a signal has stopped the process, until it is continued.
pub fn is_stopped(pid: u32) -> bool {
    let status = status(pid).unwrap_or_default();
    matches!(fields(&status).and_then(|mut fields| fields.next()), Some(b"T" | b"t"))
}

/// The line `/proc/PID/stat`.
fn status(pid: u32) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(512);
    fs::File::open(format!("/proc/{pid}/stat")).ok()?.read_to_end(&mut line).ok()?;
    Some(line)
}

/// What follows the name in a line `PID (NAME) STATE PARENT GROUP …`; the name may contain any character.
fn fields(status: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let after_name = status.iter().rposition(|byte| *byte == b')')? + 1;
    Some(status[after_name..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()))
}

/// The field `at`, counted from the state of the process.
fn number<T: std::str::FromStr>(status: &[u8], at: usize) -> Option<T> {
    std::str::from_utf8(fields(status)?.nth(at)?).ok()?.parse().ok()
}

/// The parent, unless the process has ended.
fn running_parent(status: &[u8]) -> Option<u32> {
    match fields(status)?.next()? {
        b"Z" | b"X" => None,
        _ => number(status, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_the_program_is_called() {
        assert_eq!(running_parent(b"12 (a) b) (c) S 7 1 2"), Some(7));
        assert_eq!(running_parent(b"12 (dead) Z 7 1 2"), None);
        assert_eq!(running_parent(b"nonsense"), None);
        assert_eq!(running_parent(b"1 (x) S"), None);
    }

    #[test]
    fn both_ways_find_the_same_children() {
        let own = std::process::id();
        let parent_of_own = std::os::unix::process::parent_id();
        assert!(all_children(parent_of_own).contains(&own) && children(parent_of_own).contains(&own));
    }
}
