//! Finds and signals every descendant of this process. Used only by the shim, which is the parent of all that
//! its service leaves behind; never allocates more than the list of numbers.

use std::fs;
use std::io::Read;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process as it was when it got a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalledProcess {
    pid: u32,
    /// The program's name.
    program: Vec<u8>,
}

/// Sends `signal` to every descendant of this process that is not among `spared`, and returns all that exist.
///
/// A process that runs another program by now is not spared: a new child of a shell still handles signals
/// like the shell, and loses those that arrive before it has become its program.
///
/// The number of a grandchild may be reused between finding and signalling it. Its descriptor is opened first
/// and its parent checked again afterwards, which proves that the descriptor refers to the process that was
/// found.
pub fn signal_descendants(signal: Signal, spared: &[SignalledProcess]) -> Vec<SignalledProcess> {
    let mut found: Vec<SignalledProcess> = Vec::new();
    let mut parents = vec![std::process::id()];
    while let Some(parent) = parents.pop() {
        for pid in children(parent) {
            if found.iter().any(|one| one.pid == pid) {
                continue;
            }
            let one = SignalledProcess { pid, program: fs::read(format!("/proc/{pid}/comm")).unwrap_or_default() };
            if !spared.contains(&one) {
                signal_child(pid, parent, signal);
            }
            found.push(one);
            parents.push(pid);
        }
    }
    found
}

fn signal_child(pid: u32, parent: u32, signal: Signal) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    // A process that has ended needs no signal, and one of another user cannot be signalled.
    let Ok(descriptor) = pidfd_open(target, PidfdFlags::empty()) else {
        let _ = rustix::process::kill_process(target, signal);
        return;
    };
    // An orphan has become a child of this process by now, which is as good as its former parent.
    let now = parent_of(pid);
    if now == Some(parent) || now == Some(std::process::id()) {
        let _ = pidfd_send_signal(descriptor, signal);
    }
}

/// The children of a process, from the kernel's lists; there is one per thread, since each thread has its own
/// children.
fn children(pid: u32) -> Vec<u32> {
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

fn all_children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

/// The parent in `/proc/PID/stat`: `PID (NAME) STATE PARENT …`; the name may contain any character.
fn parent_of(pid: u32) -> Option<u32> {
    let mut line = Vec::with_capacity(512);
    fs::File::open(format!("/proc/{pid}/stat")).ok()?.read_to_end(&mut line).ok()?;
    let after = line.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = line[after..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_among_the_fields() {
        assert_eq!(parent_of(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent_of(u32::MAX), None);
        assert!(children(u32::MAX).is_empty());
    }
}
