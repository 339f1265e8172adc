//! The small process between envo and each service: forked by the shim forker, with one thread and hardly any
//! memory. It starts the service, adopts the processes that the service leaves behind, and ends all of them
//! on request, or when envo is gone for any reason: then its request pipe closes.
//!
//! It has three pipes: requests from envo, the service's output, and events for envo. It can read the output
//! as well, and when envo is gone it writes the rest of it to the log. envo never signals a service itself,
//! so it never hits a process number that the system has reused: only this process knows whether its children
//! are reaped.

pub mod forker;
pub mod instance_mark;
pub mod message;
pub mod processes;
pub mod unread_output;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::execute::process::{self, ChildInput, ChildOutput, ProcessGrouping, Spawn};
use crate::execute::tree;
use crate::platform::processes::{ProcessHandle, ServiceOrphans};
use crate::serve::shim::message::{ShimEvent, ShimRequest, ShimTask};
use crate::serve::shim::processes::{SignalledProcess, signal_descendants};
use crate::serve::shim::unread_output::{ShimPipes, UnreadOutput};

/// How long a service has to end by itself when envo is gone.
pub(super) const ORPHAN_PATIENCE: Duration = Duration::from_secs(1);
/// How long after signalling all processes the shim looks for new ones.
const AGAIN: Duration = Duration::from_millis(50);
/// The same, when the service's first process has just ended.
const SOON: Duration = Duration::from_millis(10);

/// Runs the shim in a process that was just forked, until no process of its service is left, and returns its
/// exit code.
///
/// # Safety
///
/// This process has one thread, as for [`process::fork`], and nothing in it owns a descriptor but `ends`.
pub unsafe fn run_with(ends: ShimPipes) -> u8 {
    // SAFETY: the contract is the same.
    match unsafe { run(ends) } {
        Ok(()) => 0,
        // Only the exit code can report this: the event pipe is what failed.
        Err(_) => 1,
    }
}

/// # Safety
///
/// Like for [`run_with`].
unsafe fn run(ends: ShimPipes) -> io::Result<()> {
    process::restore_signals(&SIGNALS);
    // SAFETY: nothing but `ends` owns a descriptor, by the contract of this function.
    let (ends, sockets) = unsafe { ends.order_sockets_first() }?;
    let ShimPipes { mut requests, output, events, leftover, .. } = ends;
    let task = ShimTask::read(&mut requests)?;
    tree::adopt_orphans();
    let ends = ChildSignal::new()?;
    let leftover = UnreadOutput::new(leftover, task.log.clone());
    let mut shim = Shim {
        events,
        leftover,
        leader: None,
        orphans: None,
        awaited_orphans: Vec::new(),
        stop_signal: task.stop_signal,
        ending: None,
    };
    let mark = task.variables.get(instance_mark::VARIABLE).unwrap_or_default();
    let mark = [instance_mark::VARIABLE.as_bytes(), b"=", mark.as_encoded_bytes()].concat();
    // SAFETY: this process has one thread, by the contract of this function; catching a signal starts none.
    match unsafe { start(task, output, sockets) } {
        Ok(leader) => shim.leader = Some(leader),
        Err(error) => {
            shim.send(ShimEvent::NotStarted(error.raw_os_error().unwrap_or(0)));
            return Ok(());
        }
    }
    // A signal to every `envo` (`pkill envo`) is for envo to handle; the shim ends when its service has.
    process::ignore_signals(&SIGNALS[1..]);
    let leader = shim.leader.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    shim.orphans = Some(ServiceOrphans::of(leader, &mark));
    shim.send(ShimEvent::Started { leader, shim: std::process::id() });
    shim.serve(requests, &ends)
}

/// The signals that a shim handles itself; the first reports the end of children.
const SIGNALS: [i32; 6] = [libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE];

/// Starts the service in its own session, with the shim's end of the output pipe for both of its streams. A
/// service that gets sockets also gets its own process number, which proves that they are meant for it.
///
/// # Safety
///
/// This process has one thread, as for [`process::fork`].
unsafe fn start(task: ShimTask, output: OwnedFd, sockets: i32) -> io::Result<Pid> {
    let mut spawn = Spawn::new(task.program, task.arguments, task.variables);
    spawn.cwd = Some(task.cwd);
    spawn.stdin = ChildInput::Null;
    spawn.stdout = ChildOutput::To(output.try_clone()?);
    spawn.stderr = ChildOutput::To(output);
    spawn.grouping = ProcessGrouping::Session;
    spawn.sockets = sockets;
    spawn.dies_with_parent = true;
    // SAFETY: this process has one thread, by the contract of this function.
    let number = if sockets > 0 { unsafe { spawn.start_numbered("LISTEN_PID") }? } else { spawn.start()?.id() };
    i32::try_from(number).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// SIGCHLD as a descriptor that can be waited for together with the requests.
struct ChildSignal(io::PipeReader);

impl ChildSignal {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, OwnedFd::from(writer))?;
        Ok(Self(reader))
    }

    /// Clears the notices. Reaping follows, and finds every child that ended before.
    fn clear(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.0).read(&mut buffer), Ok(1..)) {}
    }
}

struct Shim {
    events: File,
    leftover: UnreadOutput,
    /// The service's first process until it is reaped.
    leader: Option<Pid>,
    /// What the service leaves behind.
    orphans: Option<ServiceOrphans>,
    /// Those that run after all children of this process have ended.
    awaited_orphans: Vec<ProcessHandle>,
    stop_signal: i32,
    ending: Option<TreeTermination>,
}

/// A signal for all processes, including those that appear while they are being ended.
struct TreeTermination {
    signal: i32,
    /// The processes that got it already: a second SIGTERM may mean something else to a program than the
    /// first.
    signalled: Vec<SignalledProcess>,
    again: Instant,
    /// When SIGKILL follows without a request, since envo is gone.
    kill: Option<Instant>,
}

impl Shim {
    fn serve(&mut self, requests: File, ends: &ChildSignal) -> io::Result<()> {
        let mut requests = Some(requests);
        let mut leftover = false;
        loop {
            if !self.reap() {
                if requests.is_none() {
                    self.leftover.write();
                }
                self.send(ShimEvent::Gone);
                return Ok(());
            }
            let (requested, ended) = self.wait(requests.as_ref(), ends, leftover)?;
            if leftover {
                leftover = self.leftover.write();
            }
            if ended {
                ends.clear();
            }
            if requested && let Some(source) = &mut requests {
                match ShimRequest::read(source) {
                    Some(ShimRequest::Stop) => self.end(self.stop_signal, None),
                    Some(ShimRequest::Kill) => self.end(libc::SIGKILL, None),
                    None => {
                        (requests, leftover) = (None, true);
                        self.end(self.stop_signal, Some(Instant::now() + ORPHAN_PATIENCE));
                    }
                }
            }
            self.continue_ending();
        }
    }

    /// Waits for a request, the end of a child, output to write, or the time of the next signal.
    fn wait(&self, requests: Option<&File>, ends: &ChildSignal, leftover: bool) -> io::Result<(bool, bool)> {
        let timeout = self.ending.as_ref().map(|ending| {
            let due = ending.kill.map_or(ending.again, |kill| kill.min(ending.again));
            due.saturating_duration_since(Instant::now())
        });
        let timeout = timeout.map(|time| Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ });
        let mut waiting = vec![PollFd::new(&ends.0, PollFlags::IN)];
        waiting.extend(requests.map(|requests| PollFd::from_borrowed_fd(requests.as_fd(), PollFlags::IN)));
        // Without requests there may be output to write.
        waiting.extend(leftover.then(|| PollFd::new(&self.leftover, PollFlags::IN)));
        waiting.extend(self.awaited_orphans.iter().map(|orphan| PollFd::new(orphan, PollFlags::IN)));
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok((
            requests.is_some() && waiting.get(1).is_some_and(|one| !one.revents().is_empty()),
            !waiting[0].revents().is_empty(),
        ))
    }

    /// Reaps every child that has ended: the service's first process and adopted orphans, whose numbers are
    /// unknown, so that only a wait for any child finds them. Returns whether any child or other process of
    /// the service is left.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if self.leader == Some(pid) {
                        self.leader = None;
                        if let Some(ending) = &mut self.ending {
                            ending.again = ending.again.min(Instant::now() + SOON);
                        }
                        self.send(ShimEvent::Exited(code(status)));
                    }
                }
                Ok(None) => return true,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.awaited_orphans = self.orphans.as_ref().map_or_else(Vec::new, ServiceOrphans::running);
                    return !self.awaited_orphans.is_empty();
                }
            }
        }
    }

    fn end(&mut self, signal: i32, kill: Option<Instant>) {
        let killing = self.ending.as_ref().is_some_and(|ending| ending.signal == libc::SIGKILL);
        let signal = if killing { libc::SIGKILL } else { signal };
        let signalled = self.send_to_all(signal, &[]);
        self.ending = Some(TreeTermination { signal, signalled, again: Instant::now() + AGAIN, kill });
    }

    /// Signals processes that were started during the last pass: a shell that was about to start a program
    /// when it was asked to end leaves that program behind.
    fn continue_ending(&mut self) {
        let now = Instant::now();
        let Some(ending) = &self.ending else { return };
        if ending.kill.is_some_and(|kill| kill <= now) {
            return self.end(libc::SIGKILL, None);
        }
        if ending.again <= now {
            let spared: &[SignalledProcess] = if ending.signal == libc::SIGKILL { &[] } else { &ending.signalled };
            let signalled = self.send_to_all(ending.signal, spared);
            if let Some(ending) = &mut self.ending {
                (ending.signalled, ending.again) = (signalled, now + AGAIN);
            }
        }
    }

    fn send_to_all(&self, signal: i32, spared: &[SignalledProcess]) -> Vec<SignalledProcess> {
        let signal = Signal::from_named_raw(signal);
        signal.map_or_else(Vec::new, |signal| signal_descendants(signal, spared, self.orphans.as_ref()))
    }

    fn send(&mut self, event: ShimEvent) {
        // If envo is gone, there is no reader.
        let _ = self.events.write_all(event.to_line().as_bytes());
    }
}

/// The exit code, or minus the number of the signal that ended the process.
fn code(status: WaitStatus) -> i32 {
    status.exit_status().unwrap_or_else(|| -status.terminating_signal().unwrap_or(libc::SIGKILL))
}
