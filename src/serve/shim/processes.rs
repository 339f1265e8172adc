//! Finds and signals every descendant of this process. Used only by the shim, which is the parent of all that
//! its service leaves behind, or recognizes it; never allocates more than the list of numbers.

use rustix::process::Signal;

use crate::platform::processes::{self, ProcessHandle, ServiceOrphans, to_pid};

/// A process as it was when it got a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalledProcess {
    pid: u32,
    /// The program's name.
    program: Vec<u8>,
}

/// Sends `signal` to every descendant of this process and to `orphans`, unless they are among `spared`, and returns all that
/// exist.
///
/// A process that runs another program by now is not spared: a new child of a shell still handles signals
/// like the shell, and loses those that arrive before it has become its program.
///
/// The number of a grandchild may be reused between finding and signalling it. Its descriptor is opened first
/// and its parent checked again afterwards, which proves that the descriptor refers to the process that was
/// found.
pub fn signal_descendants(
    signal: Signal,
    spared: &[SignalledProcess],
    orphans: Option<&ServiceOrphans>,
) -> Vec<SignalledProcess> {
    let mut found: Vec<SignalledProcess> = Vec::new();
    signal_below(std::process::id(), signal, spared, &mut found);
    for orphan in orphans.map_or_else(Vec::new, ServiceOrphans::running) {
        let pid = orphan.pid;
        if note(pid, spared, &mut found) {
            orphan.signal(signal);
        }
        signal_below(pid, signal, spared, &mut found);
    }
    found
}

fn signal_below(root: u32, signal: Signal, spared: &[SignalledProcess], found: &mut Vec<SignalledProcess>) {
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for pid in processes::children(parent) {
            if found.iter().any(|one| one.pid == pid) {
                continue;
            }
            if note(pid, spared, found) {
                signal_child(pid, parent, signal);
            }
            parents.push(pid);
        }
    }
}

/// Adds a process to those found; returns whether it should be signalled.
fn note(pid: u32, spared: &[SignalledProcess], found: &mut Vec<SignalledProcess>) -> bool {
    let one = SignalledProcess { pid, program: processes::program(pid) };
    let is_new = !found.contains(&one);
    let is_meant = is_new && !spared.contains(&one);
    if is_new {
        found.push(one);
    }
    is_meant
}

fn signal_child(pid: u32, parent: u32, signal: Signal) {
    // A process that has ended needs no signal, and one of another user cannot be signalled.
    let Some(handle) = ProcessHandle::open(pid) else {
        if let Some(pid) = to_pid(pid) {
            let _ = rustix::process::kill_process(pid, signal);
        }
        return;
    };
    // An orphan has become a child of this process by now, which is as good as its former parent.
    let now = processes::parent(pid);
    if now == Some(parent) || now == Some(std::process::id()) {
        handle.signal(signal);
    }
}
