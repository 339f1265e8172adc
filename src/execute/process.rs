//! Starts child processes; nothing else in envo does. It does not decide what is run or shown, and never
//! signals a process that was reaped already.

mod capture;
pub mod descriptors;
mod fork;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::model::EnvVariables;
use crate::platform::processes;

#[cfg(test)]
pub use capture::capture;
pub use capture::{ask, finish_or_kill, finish_within, run_until_interrupt};
pub use fork::{ForkSide, fork, ignore_signals, leave, restore_signals};

/// Where a child's standard input comes from.
#[derive(Debug)]
pub enum ChildInput {
    /// This process's own.
    Inherit,
    /// Nothing: reads end at once.
    Null,
    /// [`ChildProcess::stdin`].
    Pipe,
    /// An open file or socket.
    From(OwnedFd),
}

/// Where an output stream of a child goes.
#[derive(Debug)]
pub enum ChildOutput {
    /// This process's own.
    Inherit,
    Null,
    /// [`ChildProcess::stdout`] or [`ChildProcess::stderr`].
    Pipe,
    /// An open file, or the child's end of a pseudo-terminal.
    To(OwnedFd),
}

/// Whose signals a child gets from the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProcessGrouping {
    /// This process's: the child may use the terminal, and Ctrl-C reaches it directly.
    #[default]
    Shared,
    /// A process group of its own.
    Group,
    /// A session of its own, without a terminal.
    Session,
}

/// A child to start.
#[derive(Debug)]
pub struct Spawn {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// `None`: the folder this process is in.
    pub cwd: Option<PathBuf>,
    /// All variables: none of this process's own are added.
    pub variables: EnvVariables,
    pub stdin: ChildInput,
    pub stdout: ChildOutput,
    pub stderr: ChildOutput,
    pub grouping: ProcessGrouping,
    /// The number of sockets the child inherits, which have the numbers from [`descriptors::FIRST`] on in
    /// this process. It inherits nothing else.
    pub sockets: i32,
    /// The child is killed when the thread that starts it ends: only for a thread that waits for it.
    pub dies_with_parent: bool,
}

impl Spawn {
    /// A child without input whose output is piped. A program without a slash is looked up on the PATH of
    /// `variables`.
    pub fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
        variables: EnvVariables,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            cwd: None,
            variables,
            stdin: ChildInput::Null,
            stdout: ChildOutput::Pipe,
            stderr: ChildOutput::Pipe,
            grouping: ProcessGrouping::Shared,
            sockets: 0,
            dies_with_parent: false,
        }
    }

    pub fn start(self) -> io::Result<ChildProcess> {
        let grouping = self.grouping;
        let mut process = self.into_command()?.spawn()?;
        Ok(ChildProcess {
            stdin: process.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe))),
            stdout: process.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe))),
            stderr: process.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe))),
            grouping,
            process,
            exit_code: None,
        })
    }

    /// Like [`Spawn::start`], with the child's own number in a variable. Returns that number, which the
    /// caller must reap.
    ///
    /// # Safety
    ///
    /// This process has one thread, as for [`fork()`].
    pub unsafe fn start_numbered(mut self, variable: &str) -> io::Result<u32> {
        let (mut failure, mut failure_writer) = io::pipe()?;
        // SAFETY: this process has one thread, by the contract of this function.
        match unsafe { fork() }? {
            ForkSide::Child => {
                self.variables.set(variable, std::process::id().to_string());
                let error = self.into_command().map_or_else(|error| error, |mut command| command.exec());
                // If the parent is gone, the error does not matter.
                let _ = failure_writer.write_all(&error.raw_os_error().unwrap_or(libc::EINVAL).to_le_bytes());
                leave(127)
            }
            ForkSide::Parent(pid) => {
                drop(failure_writer);
                let mut errno = [0; 4];
                match failure.read_exact(&mut errno) {
                    // The pipe was closed by the program that the child has become.
                    Err(_) => Ok(pid),
                    Ok(()) => {
                        let _ = wait_unreaped(pid);
                        crate::execute::tree::reap_child(pid);
                        Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno)))
                    }
                }
            }
        }
    }

    fn into_command(self) -> io::Result<Command> {
        descriptors::close_in_children(descriptors::FIRST + self.sockets)?;
        let mut command = command(&self.program, self.arguments.iter().map(OsString::as_os_str), &self.variables);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(match self.stdin {
            ChildInput::Inherit => Stdio::inherit(),
            ChildInput::Null => Stdio::null(),
            ChildInput::Pipe => Stdio::piped(),
            ChildInput::From(descriptor) => Stdio::from(descriptor),
        });
        command.stdout(stdio(self.stdout)).stderr(stdio(self.stderr));
        match self.grouping {
            ProcessGrouping::Shared => {}
            ProcessGrouping::Group => {
                command.process_group(0);
            }
            // SAFETY: between fork and exec this makes a system call and touches no memory.
            ProcessGrouping::Session => unsafe {
                command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
            },
        }
        if self.dies_with_parent {
            processes::die_with_parent(&mut command);
        }
        descriptors::restore_limit(&mut command);
        Ok(command)
    }
}

fn stdio(sink: ChildOutput) -> Stdio {
    match sink {
        ChildOutput::Inherit => Stdio::inherit(),
        ChildOutput::Null => Stdio::null(),
        ChildOutput::Pipe => Stdio::piped(),
        ChildOutput::To(descriptor) => Stdio::from(descriptor),
    }
}

/// Replaces this process by another program, which inherits everything from its caller. Returns only if that
/// fails.
pub fn become_program<A: Into<OsString>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    variables: &EnvVariables,
) -> io::Error {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    command(program.as_os_str(), arguments.iter().map(OsString::as_os_str), variables).exec()
}

#[allow(clippy::disallowed_methods)]
fn command<'a>(program: &OsStr, arguments: impl Iterator<Item = &'a OsStr>, variables: &EnvVariables) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables.iter());
    command
}

/// A started child. It is neither ended nor reaped when this value is dropped.
#[derive(Debug)]
pub struct ChildProcess {
    /// Dropping it (after `take`) ends the child's input.
    pub stdin: Option<File>,
    pub stdout: Option<File>,
    pub stderr: Option<File>,
    grouping: ProcessGrouping,
    process: std::process::Child,
    exit_code: Option<i32>,
}

impl ChildProcess {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.process.id()).ok().and_then(Pid::from_raw)
    }

    /// Sends `signal` to the child alone; does nothing after it was reaped.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.pid() {
            Some(pid) if self.exit_code.is_none() => already_gone_is_fine(rustix::process::kill_process(pid, signal)),
            _ => Ok(()),
        }
    }

    /// Sends `signal` to the child's whole process group if it has one of its own, else to the child alone.
    /// Does nothing after the child was reaped, since its number may belong to another process by then.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        match (self.grouping, self.pid()) {
            (ProcessGrouping::Shared, _) => self.signal(signal),
            (_, Some(pid)) if self.exit_code.is_none() => {
                already_gone_is_fine(rustix::process::kill_process_group(pid, signal))
            }
            _ => Ok(()),
        }
    }

    /// A descriptor that becomes readable when the child has exited, whether or not it was reaped.
    pub fn exit_notice(&self) -> io::Result<OwnedFd> {
        exit_notice(self.id())
    }

    /// Waits for the child and reaps it: its exit code, or minus the number of the signal that ended it.
    ///
    /// # Errors
    ///
    /// An error of the operating system. A child that was reaped elsewhere counts as killed.
    pub fn reap(&mut self) -> io::Result<i32> {
        if let Some(code) = self.exit_code {
            return Ok(code);
        }
        let code = match self.process.wait() {
            Ok(status) => exit_code(status),
            // The cleanup after an interrupt reaped it, which kills what it ends.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => -libc::SIGKILL,
            Err(error) => return Err(error),
        };
        self.exit_code = Some(code);
        Ok(code)
    }
}

fn already_gone_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A status as Python's `returncode`: minus the number of the signal when one ended the process.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(1))
}

/// Waits until the child `pid` of this process has exited, and leaves it unreaped, so that its number stays taken.
pub fn wait_unreaped(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn exit_notice(pid: u32) -> io::Result<OwnedFd> {
    if let Some(handle) = processes::ProcessHandle::open(pid) {
        return Ok(handle.into_descriptor());
    }
    // If the system has no such descriptors, or the process has ended already, a thread waits and closes its end of a pipe.
    let (reader, writer) = io::pipe()?;
    std::thread::spawn(move || {
        let _ = wait_unreaped(pid);
        drop(writer);
    });
    Ok(OwnedFd::from(reader))
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn variables() -> EnvVariables {
        [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())].into_iter().collect()
    }

    #[test]
    fn an_exit_is_seen_before_reaping_and_a_signal_is_a_negative_code() {
        let mut child = Spawn::new("sleep", ["600"], variables()).start().unwrap();
        let notice = child.exit_notice().unwrap();
        child.signal(Signal::KILL).unwrap();
        wait_unreaped(child.id()).unwrap();
        let mut waiting = [PollFd::new(&notice, PollFlags::IN)];
        assert_eq!(poll(&mut waiting, None).unwrap(), 1);
        assert_eq!(child.reap().unwrap(), -9);
        assert_eq!(child.reap().unwrap(), -9);
        child.signal(Signal::KILL).unwrap();
        assert!(wait_unreaped(child.id()).is_err());
    }

    #[test]
    fn a_group_of_its_own_is_ended_as_a_whole() {
        for grouping in [ProcessGrouping::Group, ProcessGrouping::Session] {
            let mut spawn = Spawn::new("sh", ["-c", "sleep 600 & echo started; wait"], variables());
            spawn.grouping = grouping;
            let mut child = spawn.start().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            let mut first = [0; 8];
            Read::read_exact(&mut stdout, &mut first).unwrap();
            child.signal_group(Signal::KILL).unwrap();
            // The pipe ends only when the background process, which holds it too, is gone.
            Read::read_to_end(&mut stdout, &mut Vec::new()).unwrap();
            assert_eq!(child.reap().unwrap(), -9);
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = Spawn::new("no-such-program-here", [""; 0], variables()).start().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
