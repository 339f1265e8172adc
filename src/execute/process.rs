//! Starting child processes: the only place in envo that does. Decides nothing about what is run or shown; it starts
//! what it is told to, hands out the pipes, and never signals a process that was reaped already.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::interrupt::Interrupt;
use crate::model::Variables;

/// Where a child's standard input comes from.
#[derive(Debug)]
pub enum Input {
    /// This process's own.
    Inherit,
    /// Nothing: reads end at once.
    Null,
    /// [`Child::stdin`].
    Pipe,
    /// An open file or socket.
    From(OwnedFd),
}

/// Where an output stream of a child goes.
#[derive(Debug)]
pub enum Sink {
    /// This process's own.
    Inherit,
    Null,
    /// [`Child::stdout`] or [`Child::stderr`].
    Pipe,
    /// An open file, or the child's end of a pseudo-terminal.
    To(OwnedFd),
}

/// Whose signals a child gets from the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// This process's: the child may use the terminal, and Ctrl-C reaches it directly.
    #[default]
    Shared,
    /// A process group of its own.
    Group,
    /// A session of its own, without a terminal.
    Session,
}

/// A child that is to be started.
#[derive(Debug)]
pub struct Spawn {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// `None`: the folder this process is in.
    pub cwd: Option<PathBuf>,
    /// All of them: nothing of this process's own variables is added.
    pub variables: Variables,
    pub stdin: Input,
    pub stdout: Sink,
    pub stderr: Sink,
    pub grouping: Grouping,
    /// The child is killed when the thread that starts it ends: only for processes of one thread.
    pub dies_with_parent: bool,
}

impl Spawn {
    /// A child without input whose output is piped. A program without a slash is looked for on the PATH of `variables`.
    pub fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
        variables: Variables,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            cwd: None,
            variables,
            stdin: Input::Null,
            stdout: Sink::Pipe,
            stderr: Sink::Pipe,
            grouping: Grouping::Shared,
            dies_with_parent: false,
        }
    }

    /// # Errors
    /// The operating system's reason why the program cannot be started.
    pub fn start(self) -> io::Result<Child> {
        let grouping = self.grouping;
        let mut process = self.into_command().spawn()?;
        Ok(Child {
            stdin: process.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe))),
            stdout: process.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe))),
            stderr: process.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe))),
            grouping,
            process,
            exit_code: None,
        })
    }

    /// As [`Spawn::start`], with the child's own number in a variable. Answers that number, which is the caller's to
    /// reap. Only for a process of one thread.
    ///
    /// # Errors
    /// The operating system's reason why the program cannot be started.
    pub fn start_numbered(mut self, variable: &str) -> io::Result<u32> {
        let (mut failure, mut told) = io::pipe()?;
        match fork()? {
            Forked::Child => {
                self.variables.set(variable, std::process::id().to_string());
                let error = self.into_command().exec();
                // Nobody to tell is nobody to care.
                let _ = told.write_all(&error.raw_os_error().unwrap_or(libc::EINVAL).to_le_bytes());
                leave(127)
            }
            Forked::Parent(pid) => {
                drop(told);
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

    fn into_command(self) -> Command {
        let mut command = command(&self.program, self.arguments.iter().map(OsString::as_os_str), &self.variables);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(match self.stdin {
            Input::Inherit => Stdio::inherit(),
            Input::Null => Stdio::null(),
            Input::Pipe => Stdio::piped(),
            Input::From(descriptor) => Stdio::from(descriptor),
        });
        command.stdout(stdio(self.stdout)).stderr(stdio(self.stderr));
        match self.grouping {
            Grouping::Shared => {}
            Grouping::Group => {
                command.process_group(0);
            }
            // SAFETY: `setsid` is async-signal-safe and touches no memory of the parent.
            Grouping::Session => unsafe {
                command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
            },
        }
        #[cfg(target_os = "linux")]
        if self.dies_with_parent {
            let kill = || rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
            // SAFETY: `prctl` is async-signal-safe and touches no memory of the parent.
            unsafe { command.pre_exec(kill) };
        }
        command
    }
}

/// Which of the two processes goes on after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// With the number of the other.
    Parent(u32),
    Child,
}

/// Goes on as two processes. Only for a process of one thread: in any other, what the other threads hold would be held
/// for ever in the child. The child must end by [`leave`].
///
/// # Errors
/// When there can be no more processes.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the caller has no other threads, so the child's memory is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid.unsigned_abs())),
    }
}

/// Ends a process that was forked, without what its parent would do at its own end.
pub fn leave(code: i32) -> ! {
    // SAFETY: the call ends the process and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Lets these signals pass without effect. Only for a process of one thread.
pub fn ignore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Gives these signals the effect they have in a new process. Only for a process of one thread.
pub fn restore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: this installs no handler.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}

fn stdio(sink: Sink) -> Stdio {
    match sink {
        Sink::Inherit => Stdio::inherit(),
        Sink::Null => Stdio::null(),
        Sink::Pipe => Stdio::piped(),
        Sink::To(descriptor) => Stdio::from(descriptor),
    }
}

/// Becomes another program, with this process's streams and place. Comes back only when that cannot be done.
pub fn become_program<A: Into<OsString>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    variables: &Variables,
) -> io::Error {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    command(program.as_os_str(), arguments.iter().map(OsString::as_os_str), variables).exec()
}

#[allow(clippy::disallowed_methods)]
fn command<'a>(program: &OsStr, arguments: impl Iterator<Item = &'a OsStr>, variables: &Variables) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables.iter());
    command
}

/// A child that was started. It is neither ended nor reaped when this value is dropped.
#[derive(Debug)]
pub struct Child {
    /// Close it (take it out) to let the child see the end of its input.
    pub stdin: Option<File>,
    pub stdout: Option<File>,
    pub stderr: Option<File>,
    grouping: Grouping,
    process: std::process::Child,
    exit_code: Option<i32>,
}

impl Child {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.process.id()).ok().and_then(Pid::from_raw)
    }

    /// Sends `signal` to the child alone; does nothing once it was reaped.
    ///
    /// # Errors
    /// When the child may not be signalled.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.pid() {
            Some(pid) if self.exit_code.is_none() => already_gone_is_fine(rustix::process::kill_process(pid, signal)),
            _ => Ok(()),
        }
    }

    /// Sends `signal` to the child's whole process group if it has one of its own, else to the child alone. Does nothing
    /// once the child was reaped, since its number may belong to another process by then.
    ///
    /// # Errors
    /// When the group may not be signalled.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        match (self.grouping, self.pid()) {
            (Grouping::Shared, _) => self.signal(signal),
            (_, Some(pid)) if self.exit_code.is_none() => {
                already_gone_is_fine(rustix::process::kill_process_group(pid, signal))
            }
            _ => Ok(()),
        }
    }

    /// A descriptor that becomes readable when the child has exited, whether or not it was reaped.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn exit_notice(&self) -> io::Result<OwnedFd> {
        exit_notice(self.id())
    }

    /// Waits for the child and reaps it: its exit code, or minus the number of the signal that ended it.
    ///
    /// # Errors
    /// When the operating system cannot tell. A child that something else reaped counts as killed.
    pub fn reap(&mut self) -> io::Result<i32> {
        if let Some(code) = self.exit_code {
            return Ok(code);
        }
        let code = match self.process.wait() {
            Ok(status) => exit_code(status),
            // The sweep after an interrupt reaped it, and what it ends it kills.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => -libc::SIGKILL,
            Err(error) => return Err(error),
        };
        self.exit_code = Some(code);
        Ok(code)
    }

    /// Reaps the child if it has exited: its exit code, `None` while it runs.
    ///
    /// # Errors
    /// As [`Child::reap`].
    pub fn try_reap(&mut self) -> io::Result<Option<i32>> {
        if self.exit_code.is_none() {
            self.exit_code = self.process.try_wait()?.map(exit_code);
        }
        Ok(self.exit_code)
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
///
/// # Errors
/// When there is no such child, or it was reaped.
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
    #[cfg(target_os = "linux")]
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Ok(descriptor) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
    {
        return Ok(descriptor);
    }
    // Where the kernel has no process descriptors, a thread waits, and closing its end of a pipe is the notice.
    let (reader, writer) = io::pipe()?;
    std::thread::spawn(move || {
        let _ = wait_unreaped(pid);
        drop(writer);
    });
    Ok(OwnedFd::from(reader))
}

/// Runs a helper program to its end and returns what it wrote. `stdin`: what it reads; `None`: nothing.
///
/// # Errors
/// When it cannot be started or read from. A failing exit status is not an error.
pub fn capture(
    program: &Path,
    arguments: &[&OsStr],
    variables: &Variables,
    stdin: Option<&[u8]>,
) -> io::Result<Output> {
    let mut command = command(program.as_os_str(), arguments.iter().copied(), variables);
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn()?;
    let Some((input, mut pipe)) = stdin.zip(process.stdin.take()) else {
        return process.wait_with_output();
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends without reading everything is not in error.
            let _ = pipe.write_all(input);
        });
        process.wait_with_output()
    })
}

/// Runs a helper program that may take long: it is killed, with all that it started, when the user wants to stop. Returns
/// its exit code and what it wrote to standard error; its input is empty and its standard output nobody's.
///
/// # Errors
/// When it cannot be started or read from, or was interrupted.
pub fn run_until_interrupt(
    program: &Path,
    arguments: &[&OsStr],
    variables: &Variables,
    interrupt: &Interrupt,
) -> io::Result<(i32, Vec<u8>)> {
    let mut spawn = Spawn::new(program, arguments.iter().copied(), variables.clone());
    spawn.stdout = Sink::Null;
    let (code, _, text) = finish_or_kill(spawn, interrupt)?;
    Ok((code, text))
}

/// Runs a helper program to its end, or kills it, with all that it started, when the user wants to stop. Returns its exit
/// code and what it wrote to standard output and standard error, as far as `spawn` has pipes there.
///
/// # Errors
/// When it cannot be started or read from, or was interrupted.
pub fn finish_or_kill(mut spawn: Spawn, interrupt: &Interrupt) -> io::Result<(i32, Vec<u8>, Vec<u8>)> {
    spawn.grouping = Grouping::Group;
    let mut child = spawn.start()?;
    let ended = child.exit_notice()?;
    let (mut out, mut error) = (Stream::of(child.stdout.take()), Stream::of(child.stderr.take()));
    let (mut notice, mut runs) = (interrupt.notice(0), true);
    // One thread for all of it: starting others takes as long as what they would do.
    while runs || out.pipe.is_some() || error.pipe.is_some() {
        let mut awaited = Vec::with_capacity(4);
        awaited.extend(runs.then(|| (Awaited::Exit, ended.as_fd())));
        awaited.extend(notice.map(|notice| (Awaited::Interrupt, notice)));
        awaited.extend(out.pipe.as_ref().map(|pipe| (Awaited::Output, pipe.as_fd())));
        awaited.extend(error.pipe.as_ref().map(|pipe| (Awaited::Error, pipe.as_fd())));
        for one in ready(&awaited)? {
            match one {
                Awaited::Exit => runs = false,
                Awaited::Interrupt => {
                    notice = None;
                    // The child is not reaped yet, so the group is still its own.
                    child.signal_group(Signal::KILL)?;
                }
                Awaited::Output => out.take_what_is_there(),
                Awaited::Error => error.take_what_is_there(),
            }
        }
    }
    let code = child.reap()?;
    if interrupt.requested() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok((code, out.all()?, error.all()?))
}

/// What [`finish_or_kill`] waits for.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Exit,
    Interrupt,
    Output,
    Error,
}

/// Waits until at least one of them has come.
fn ready(awaited: &[(Awaited, BorrowedFd<'_>)]) -> io::Result<Vec<Awaited>> {
    let mut waiting: Vec<_> = awaited.iter().map(|(_, descriptor)| PollFd::new(descriptor, PollFlags::IN)).collect();
    loop {
        match poll(&mut waiting, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => break,
        }
    }
    let came = waiting.iter().zip(awaited).filter(|(wait, _)| !wait.revents().is_empty());
    Ok(came.map(|(_, (one, _))| *one).collect())
}

/// What comes out of a pipe, as far as it has come.
struct Stream {
    /// `None`: it is at its end.
    pipe: Option<File>,
    text: Vec<u8>,
    failure: Option<io::Error>,
}

impl Stream {
    fn of(pipe: Option<File>) -> Self {
        Self { pipe, text: Vec::new(), failure: None }
    }

    /// Reads once, which does not wait where there is something to read.
    fn take_what_is_there(&mut self) {
        let mut part = [0; 16 * 1024];
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut part) {
            Ok(0) => self.pipe = None,
            Ok(length) => self.text.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => (self.pipe, self.failure) = (None, Some(error)),
        }
    }

    fn all(self) -> io::Result<Vec<u8>> {
        self.failure.map_or(Ok(self.text), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())].into_iter().collect()
    }

    #[test]
    fn captured_programs_get_their_input_and_only_the_given_variables() {
        let mut variables = variables();
        variables.set("ENVO_A", "b");
        let script = OsStr::new("cat; echo $ENVO_A; env | grep -c HOME >&2; exit 3");
        let output = capture(Path::new("sh"), &[OsStr::new("-c"), script], &variables, Some(b"in ")).unwrap();
        assert_eq!(output.stdout, b"in b\n");
        assert_eq!(output.stderr, b"0\n");
        assert_eq!(exit_code(output.status), 3);
    }

    #[test]
    fn a_helper_ends_with_all_it_started_when_the_user_wants_to_stop() {
        let interrupt = Interrupt::default();
        let run = |script: &str| {
            let arguments = [OsStr::new("-c"), OsStr::new(script)];
            run_until_interrupt(Path::new("sh"), &arguments, &variables(), &interrupt)
        };
        assert_eq!(run("echo out; echo err >&2; exit 3").unwrap(), (3, b"err\n".to_vec()));
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
        std::thread::scope(|scope| {
            // Its standard error ends only when the background process, which holds it too, is gone.
            let running = scope.spawn(|| run(&format!("sleep 600 & echo started > '{}'; wait", gate.display())));
            assert_eq!(std::fs::read(&gate).unwrap(), b"started\n");
            interrupt.request();
            assert_eq!(running.join().unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
        });
    }

    #[test]
    fn captured_programs_may_ignore_large_input() {
        let output = capture(Path::new("true"), &[], &variables(), Some(&vec![b'x'; 1 << 20])).unwrap();
        assert!(output.status.success());
    }

    #[test]
    fn an_exit_is_seen_before_it_is_reaped_and_a_signal_becomes_a_negative_code() {
        let mut child = Spawn::new("sleep", ["600"], variables()).start().unwrap();
        let notice = child.exit_notice().unwrap();
        assert_eq!(child.try_reap().unwrap(), None);
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
        for grouping in [Grouping::Group, Grouping::Session] {
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
