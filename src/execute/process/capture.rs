//! Runs helper programs for their output, with limits for programs that never end or never stop writing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{ChildOutput, ChildProcess, ProcessGrouping, Spawn};
use crate::execute::tree;
use crate::model::EnvVariables;

/// How long a program may take to report facts about itself, and how much it may write. Generous enough for
/// slow disks and busy machines: a program beyond it never ends.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How much a slow helper program such as an installer or a resolver may write.
const LARGEST_OUTPUT: usize = 64 * 1024 * 1024;

/// The output of a helper program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Minus the number of the signal that ended it.
    pub code: i32,
    pub out: Vec<u8>,
    pub error: Vec<u8>,
}

/// The limits that end a helper program before it ends by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Limits<'a> {
    interrupt: Option<&'a Interrupt>,
    time: Option<Duration>,
    /// For each of its streams.
    bytes: Option<usize>,
}

/// Runs a helper program to its end, without input and without a time limit.
///
/// # Errors
///
/// It cannot be started or read from. A failing exit code is not an error.
#[cfg(test)]
pub fn capture(program: &Path, arguments: &[&OsStr], variables: &EnvVariables) -> io::Result<Said> {
    run(Spawn::new(program, arguments.iter().copied(), variables.clone()), Limits::default())
}

/// Asks a program about itself, without input. It is killed, with all that it started, if it takes longer or
/// writes more than any such program would, or if the user interrupts.
///
/// # Errors
///
/// It cannot be started or read from, or was killed; the error contains the reason, but not the program's
/// name.
pub fn ask(program: &Path, arguments: &[&OsStr], variables: &EnvVariables, interrupt: &Interrupt) -> io::Result<Said> {
    let limits = Limits { interrupt: Some(interrupt), time: Some(ANSWER_PATIENCE), bytes: Some(LARGEST_ANSWER) };
    ask_within(program, arguments, variables, limits)
}

fn ask_within(program: &Path, arguments: &[&OsStr], variables: &EnvVariables, limits: Limits<'_>) -> io::Result<Said> {
    if limits.interrupt.is_some_and(Interrupt::requested) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let mut spawn = Spawn::new(program, arguments.iter().copied(), variables.clone());
    // Not every command handles signals meanwhile, and one that is killed cannot.
    spawn.dies_with_parent = true;
    run(spawn, limits)
}

/// Runs a helper program that may take long: it is killed, with all that it started, if the user interrupts.
/// Returns its exit code and its standard error; its input is empty and its standard output is discarded.
pub fn run_until_interrupt(
    program: &Path,
    arguments: &[&OsStr],
    variables: &EnvVariables,
    interrupt: &Interrupt,
) -> io::Result<(i32, Vec<u8>)> {
    let mut spawn = Spawn::new(program, arguments.iter().copied(), variables.clone());
    spawn.stdout = ChildOutput::Null;
    let (code, _, text) = finish_or_kill(spawn, interrupt)?;
    Ok((code, text))
}

/// Runs a helper program to its end, or kills it, with all that it started, if the user interrupts. Returns
/// its exit code, standard output and standard error, as far as `spawn` has pipes for them.
pub fn finish_or_kill(mut spawn: Spawn, interrupt: &Interrupt) -> io::Result<(i32, Vec<u8>, Vec<u8>)> {
    spawn.grouping = ProcessGrouping::Group;
    spawn.dies_with_parent = true;
    let said = run(spawn, Limits { interrupt: Some(interrupt), time: None, bytes: Some(LARGEST_OUTPUT) })?;
    if interrupt.requested() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok((said.code, said.out, said.error))
}

/// [`finish_or_kill`] for a program that downloads something: it is also killed if it takes longer than
/// `time` or writes more than `bytes`.
pub fn finish_within(
    mut spawn: Spawn,
    interrupt: &Interrupt,
    time: Duration,
    bytes: usize,
) -> io::Result<(i32, Vec<u8>, Vec<u8>)> {
    spawn.grouping = ProcessGrouping::Group;
    let said = run(spawn, Limits { interrupt: Some(interrupt), time: Some(time), bytes: Some(bytes) })?;
    if interrupt.requested() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok((said.code, said.out, said.error))
}

fn run(spawn: Spawn, limits: Limits<'_>) -> io::Result<Said> {
    let mut child = spawn.start()?;
    let read = read_to_end(&mut child, limits);
    if read.is_err() {
        // The child is not reaped yet, so its number and its group are still its own. Stopped, it starts nothing
        // more while what it has started is ended: nothing may be left when the caller goes on.
        child.signal_group(Signal::STOP)?;
        tree::kill_below(child.id());
        child.signal_group(Signal::KILL)?;
    }
    let code = child.reap()?;
    let [out, error] = read?;
    Ok(Said { code, out, error })
}

/// Reads both streams until they and the child have ended, or one of the limits is reached.
fn read_to_end(child: &mut ChildProcess, limits: Limits<'_>) -> io::Result<[Vec<u8>; 2]> {
    let ended = child.exit_notice()?;
    let until = limits.time.map(|time| (time, Instant::now() + time));
    let notice = limits.interrupt.and_then(|interrupt| interrupt.notice(0));
    let (mut out, mut error) = (PipeBuffer::of(child.stdout.take()), PipeBuffer::of(child.stderr.take()));
    let mut runs = true;
    // One thread for everything: starting more would take as long as their work.
    while runs || out.pipe.is_some() || error.pipe.is_some() {
        let mut awaited = Vec::with_capacity(4);
        awaited.extend(runs.then(|| (AwaitedChild::Exit, ended.as_fd())));
        awaited.extend(notice.map(|notice| (AwaitedChild::Interrupt, notice)));
        awaited.extend(out.pipe.as_ref().map(|pipe| (AwaitedChild::Output, pipe.as_fd())));
        awaited.extend(error.pipe.as_ref().map(|pipe| (AwaitedChild::Error, pipe.as_fd())));
        for one in ready(&awaited, until)? {
            match one {
                AwaitedChild::Exit => runs = false,
                AwaitedChild::Interrupt => return Err(io::ErrorKind::Interrupted.into()),
                AwaitedChild::Output => out.read_available(limits.bytes)?,
                AwaitedChild::Error => error.read_available(limits.bytes)?,
            }
        }
    }
    Ok([out.text, error.text])
}

/// What the loop waits for.
#[derive(Debug, Clone, Copy)]
enum AwaitedChild {
    Exit,
    Interrupt,
    Output,
    Error,
}

/// Waits until at least one of them is ready, or until the deadline.
fn ready(
    awaited: &[(AwaitedChild, BorrowedFd<'_>)],
    until: Option<(Duration, Instant)>,
) -> io::Result<Vec<AwaitedChild>> {
    let mut waiting: Vec<_> = awaited.iter().map(|(_, descriptor)| PollFd::new(descriptor, PollFlags::IN)).collect();
    loop {
        let left = until.map(|(_, end)| end.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ });
        match (poll(&mut waiting, left.as_ref()), until) {
            (Err(rustix::io::Errno::INTR), _) => {}
            (Err(errno), _) => return Err(errno.into()),
            (Ok(0), Some((time, _))) => {
                let text = format!("it did not end within {} seconds", time.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            (Ok(_), _) => break,
        }
    }
    let came = waiting.iter().zip(awaited).filter(|(wait, _)| !wait.revents().is_empty());
    Ok(came.map(|(_, (one, _))| *one).collect())
}

/// The output from a pipe so far.
struct PipeBuffer {
    /// `None` at its end.
    pipe: Option<File>,
    text: Vec<u8>,
}

impl PipeBuffer {
    fn of(pipe: Option<File>) -> Self {
        Self { pipe, text: Vec::new() }
    }

    /// Reads once, which does not block if there is something to read.
    fn read_available(&mut self, most: Option<usize>) -> io::Result<()> {
        let mut part = [0; 16 * 1024];
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        match pipe.read(&mut part) {
            Ok(0) => self.pipe = None,
            Ok(length) => self.text.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        match most.filter(|most| self.text.len() > *most) {
            Some(most) => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it printed more than {} MB", most / (1024 * 1024)),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> EnvVariables {
        [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())].into_iter().collect()
    }

    fn ask_shell(script: &str, time: Duration) -> io::Result<Said> {
        let limits = Limits { time: Some(time), bytes: Some(LARGEST_ANSWER), ..Limits::default() };
        ask_within(Path::new("sh"), &[OsStr::new("-c"), OsStr::new(script)], &variables(), limits)
    }

    #[test]
    fn a_program_is_asked_without_input_and_with_only_the_given_variables() {
        let said = ask_shell("cat; echo out; env | grep -c HOME >&2; exit 3", ANSWER_PATIENCE).unwrap();
        assert_eq!(said, Said { code: 3, out: b"out\n".to_vec(), error: b"0\n".to_vec() });
    }

    #[test]
    fn a_program_that_never_ends_is_killed() {
        let error = ask_shell("exec sleep 600", Duration::ZERO).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::TimedOut, "it did not end within 0 seconds")
        );
    }

    #[test]
    fn what_a_killed_program_has_started_is_gone_when_its_caller_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let started = folder.path().join("started");
        // One stays in the program's group without its parent, one leaves the group.
        let script = format!("(sleep 600 & echo $! >>{0}); setsid sleep 600 & echo $! >>{0}; wait", started.display());
        let mut spawn = Spawn::new(Path::new("sh"), ["-c".as_ref(), OsStr::new(&script)], variables());
        spawn.stdout = ChildOutput::Null;
        let interrupt = Interrupt::default();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                let written = || std::fs::read_to_string(&started).unwrap_or_default().lines().count() == 2;
                while !written() {
                    std::thread::yield_now();
                }
                interrupt.request();
            });
            finish_or_kill(spawn, &interrupt).unwrap_err()
        });
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        let left = std::fs::read_to_string(&started).unwrap();
        let left: Vec<&str> = left.lines().filter(|pid| tree::is_running(pid.parse().unwrap())).collect();
        assert_eq!(left, [""; 0]);
    }

    #[test]
    fn a_program_that_prints_for_ever_is_killed() {
        for script in ["exec yes", "exec yes >&2"] {
            let error = ask_shell(script, ANSWER_PATIENCE).unwrap_err();
            assert_eq!(error.to_string(), "it printed more than 16 MB");
        }
    }

    #[test]
    fn nothing_is_asked_after_an_interrupt() {
        let interrupt = Interrupt::default();
        let ask = || ask(Path::new("true"), &[], &variables(), &interrupt);
        assert_eq!(ask().unwrap().code, 0);
        interrupt.request();
        assert_eq!(ask().unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn an_interrupt_ends_a_helper_with_all_it_started() {
        let interrupt = Interrupt::default();
        let run = |script: &str| {
            let arguments = [OsStr::new("-c"), OsStr::new(script)];
            run_until_interrupt(Path::new("sh"), &arguments, &variables(), &interrupt)
        };
        assert_eq!(run("echo out; echo err >&2; exit 3").unwrap(), (3, b"err\n".to_vec()));
        for script in ["yes >&2", "exec yes >&2"] {
            assert_eq!(run(script).unwrap_err().to_string(), "it printed more than 64 MB");
        }
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
}
