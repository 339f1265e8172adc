//! Forks the shims: a process with one thread that forks one for each service on request. A fork shares all
//! its memory with its parent until one of them writes, so a shim costs next to nothing and needs no program
//! to be loaded. When the supervisor is gone, the forker also ends every process with the supervisor's mark,
//! then itself.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage};

use crate::execute::process::{self, ChildInput, ChildOutput, ChildProcess, ForkSide, ProcessGrouping, Spawn};
use crate::execute::pty;
use crate::execute::tree;
use crate::model::EnvVariables;
use crate::platform::{sockets, system};
use crate::serve::shim;
use crate::serve::shim::instance_mark;
use crate::serve::shim::unread_output::{ShimPipes, UnreadOutput};

/// The hidden command, for a forker that replaces a killed one.
pub const VERB: &str = "__shim_forker";

/// How long the shims have to end their services when the supervisor is gone, before the forker ends the
/// rest.
const SHIMS_PATIENCE: Duration = Duration::from_millis(1500);
/// The maximum number of sockets a service can get.
const MOST_SOCKETS: usize = 60;
/// How long the rest has before it is killed.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);

/// The supervisor's side of a shim forker.
pub struct ShimForker {
    socket: UnixStream,
    program: ShimProgram,
    process: ShimForkerProcess,
}

/// The process of a shim forker.
enum ShimForkerProcess {
    /// By its number.
    Forked(u32),
    Started(ChildProcess),
}

impl ShimForkerProcess {
    fn reap(self) {
        // A child that cannot be waited for needs no reaping.
        match self {
            Self::Forked(pid) => {
                let _ = process::wait_unreaped(pid);
                tree::reap_child(pid);
            }
            Self::Started(mut child) => {
                let _ = child.reap();
            }
        }
    }
}

/// How a shim forker is started again: envo itself with its hidden command.
#[derive(Debug, Clone)]
pub struct ShimProgram {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl ShimProgram {
    /// `mark`: the mark of all processes of this supervisor.
    pub fn own(mark: &str) -> Self {
        Self { program: system::own_program(), arguments: vec![VERB.into(), mark.into()] }
    }
}

/// The supervisor's ends of a service's pipes.
pub struct ServicePipes {
    pub requests: File,
    pub output: File,
    pub events: File,
}

impl ShimForker {
    /// Forks a shim forker, which calls `prepare` first.
    ///
    /// # Safety
    ///
    /// This process has one thread, as for [`process::fork`].
    pub unsafe fn fork(mark: &str, prepare: impl FnOnce()) -> io::Result<Self> {
        let (socket, other) = UnixStream::pair()?;
        // SAFETY: this process has one thread, by the contract of this function.
        match unsafe { process::fork() }? {
            ForkSide::Parent(pid) => {
                Ok(Self { socket, program: ShimProgram::own(mark), process: ShimForkerProcess::Forked(pid) })
            }
            ForkSide::Child => {
                drop(socket);
                prepare();
                // SAFETY: this process was forked a moment ago, by the only thread there was, and has started none.
                unsafe { serve(other, mark) };
                process::leave(0)
            }
        }
    }

    /// Starts a shim forker as a program of its own.
    pub fn start(program: ShimProgram) -> io::Result<Self> {
        let (socket, child) = spawn(&program)?;
        Ok(Self { socket, program, process: ShimForkerProcess::Started(child) })
    }

    /// Ends it when nothing runs any more that it would have to end.
    pub fn end(self) {
        let Self { socket, process, .. } = self;
        // A killed forker is gone already.
        let _ = (&socket).write_all(&[FAREWELL]);
        drop(socket);
        process.reap();
    }

    /// Kills it and waits for its end.
    #[cfg(test)]
    pub fn kill(&mut self) {
        let ShimForkerProcess::Started(child) = &mut self.process else { panic!("it was forked") };
        child.signal(rustix::process::Signal::KILL).expect("it runs");
        child.reap().expect("it was a child");
    }

    /// A new shim, which waits for its task. `pty`: its service writes to a pseudo-terminal. `log`: the path
    /// for its output. `sockets`: the sockets that its service inherits.
    pub fn shim(&mut self, pty: bool, log: &Path, sockets: &[BorrowedFd<'_>]) -> io::Result<ServicePipes> {
        let (requests_reader, requests) = io::pipe()?;
        let (output, output_writer): (OwnedFd, OwnedFd) = if pty {
            let terminal = pty::for_output()?;
            (terminal.reader, terminal.child)
        } else {
            let (reader, writer) = io::pipe()?;
            (reader.into(), writer.into())
        };
        let (events, events_writer) = io::pipe()?;
        if sockets.len() > MOST_SOCKETS {
            return Err(io::Error::other(format!("it has more than {MOST_SOCKETS} sockets")));
        }
        // The shim can read the output too, and does so when this process is gone.
        let mut ends = vec![requests_reader.as_fd(), output_writer.as_fd(), events_writer.as_fd(), output.as_fd()];
        ends.extend_from_slice(sockets);
        if send(&self.socket, log, &ends).is_err() {
            // The forker was killed. Its shims do not need it any more, but new ones do.
            let (socket, child) = spawn(&self.program)?;
            self.socket = socket;
            std::mem::replace(&mut self.process, ShimForkerProcess::Started(child)).reap();
            send(&self.socket, log, &ends)?;
        }
        let file = |descriptor: OwnedFd| File::from(descriptor);
        Ok(ServicePipes { requests: file(requests.into()), output: file(output), events: file(events.into()) })
    }
}

fn spawn(program: &ShimProgram) -> io::Result<(UnixStream, ChildProcess)> {
    let (socket, other) = UnixStream::pair()?;
    let mut spawn = Spawn::new(&program.program, program.arguments.iter().cloned(), EnvVariables::default());
    spawn.stdin = ChildInput::From(other.into());
    (spawn.stdout, spawn.stderr) = (ChildOutput::Null, ChildOutput::Null);
    spawn.grouping = ProcessGrouping::Group;
    Ok((socket, spawn.start()?))
}

/// The supervisor's message when it ends regularly.
const FAREWELL: u8 = b'e';
/// The supervisor's request for a shim, followed by the length of a path and the path.
const WANTED: u8 = b's';
/// A longer text is not a path.
const LONGEST_PATH: usize = 64 * 1024;

/// A message for the shim forker.
enum ShimCommand {
    /// A request for a shim with these ends of pipes.
    Shim(Box<ShimPipes>, PathBuf),
    Farewell,
    /// The supervisor is gone.
    Nothing,
}

/// Runs a shim forker that was started as a program: its standard input is its socket.
///
/// # Safety
///
/// This process has one thread, as for [`process::fork`].
pub unsafe fn main(mark: &str) -> u8 {
    process::descriptors::raise_limit();
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else { return 1 };
    // The supervisor sees the end of this process by the end of this socket, so there must be no second
    // handle.
    let _ = File::open("/dev/null").map(rustix::stdio::dup2_stdin);
    // SAFETY: this process has one thread, by the contract of this function, and the calls before have started none.
    unsafe { serve(socket.into(), mark) };
    0
}

/// # Safety
///
/// This process has one thread, as for [`process::fork`].
unsafe fn serve(socket: UnixStream, mark: &str) {
    // The system reaps shims, which are not waited for, and orphans of killed shims, whose parent becomes
    // this process.
    process::ignore_signals(&[libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT]);
    tree::adopt_orphans();
    let mut leftovers: Vec<UnreadOutput> = Vec::new();
    loop {
        let (ends, log) = match receive(&socket) {
            Ok(ShimCommand::Shim(ends, log)) => (*ends, log),
            Ok(ShimCommand::Farewell) => return,
            Ok(ShimCommand::Nothing) | Err(_) => break,
        };
        // If its shim is killed too, this process has the output. A service has ended before it is started
        // again.
        leftovers.retain(|one| one.path() != log);
        if let Ok(output) = ends.leftover.try_clone() {
            leftovers.push(UnreadOutput::new(output, log));
        }
        // SAFETY: this process has one thread, by the contract of this function, and nothing here starts another.
        match unsafe { process::fork() } {
            Ok(ForkSide::Child) => {
                drop(socket);
                drop(leftovers);
                // SAFETY: this process was forked a moment ago, by the only thread there was, and has started none.
                let code = unsafe { shim::run_with(ends) };
                process::leave(i32::from(code))
            }
            // The supervisor notices a failed fork: the pipes close.
            Ok(ForkSide::Parent(_)) | Err(_) => {}
        }
    }
    drop(socket);
    end_what_is_left(mark);
    for one in &mut leftovers {
        one.write();
    }
}

/// The supervisor is gone. Shims end their services; what is left after that belonged to a killed shim, or to
/// commands that ran beside the services.
fn end_what_is_left(mark: &str) {
    let marked = || tree::marked(instance_mark::VARIABLE, mark);
    if marked().is_empty() {
        return;
    }
    tree::wait_until_gone_or(&marked, SHIMS_PATIENCE);
    tree::end(&marked, STRAY_PATIENCE);
}

fn send(socket: &UnixStream, log: &Path, ends: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS + 4))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(ends));
    let path = log.as_os_str().as_bytes();
    let length = u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes();
    let head = [&[WANTED][..], &length].concat();
    sockets::send_with(socket, &head, &mut ancillary)?;
    (&*socket).write_all(path)?;
    Ok(())
}

fn receive(socket: &UnixStream) -> io::Result<ShimCommand> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS + 4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut head = [0; 5];
        match sockets::receive_with(socket, &mut head, &mut ancillary) {
            Ok(0) => return Ok(ShimCommand::Nothing),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let mut ends: Vec<OwnedFd> = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                ends.extend(descriptors);
            }
        }
        let [kind, length @ ..] = head;
        if kind != WANTED {
            return Ok(ShimCommand::Farewell);
        }
        let mut path = vec![0; (u32::from_le_bytes(length) as usize).min(LONGEST_PATH)];
        (&*socket).read_exact(&mut path)?;
        let mut ends = ends.into_iter();
        if let (Some(requests), Some(output), Some(events), Some(leftover)) =
            (ends.next(), ends.next(), ends.next(), ends.next())
        {
            let sockets = ends.collect();
            let (requests, events, leftover) = (File::from(requests), File::from(events), File::from(leftover));
            let path = PathBuf::from(OsString::from_vec(path));
            return Ok(ShimCommand::Shim(Box::new(ShimPipes { requests, output, events, leftover, sockets }), path));
        }
    }
}
