//! Probes that run a command: its exit code is the result, its last lines explain a failure.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::PollFlags;
use rustix::process::Signal;

use crate::execute::process::{ChildOutput, ProcessGrouping, Spawn};
use crate::model::EnvVariables;
use crate::os_text;
use crate::serve::probe::ProbeMiss;
use crate::serve::probe::limits::ProbeLimits;
use crate::serve::probe::observation::{ProbeObservation, excerpt};

/// How much of its output is kept, and how many lines of that are shown.
const KEPT: usize = 4096;
const LINES: usize = 5;

/// Runs the command once. Everything it has started and left behind is killed with it.
pub fn run(argv: &[String], cwd: &Path, variables: &EnvVariables, patience: &ProbeLimits) -> Result<(), ProbeMiss> {
    let (program, arguments) = argv.split_first().ok_or_else(|| ProbeMiss::Never("the command is empty".to_owned()))?;
    let trouble = |error: io::Error| ProbeMiss::Seen(ProbeObservation::Trouble(error.to_string()));
    let (output, end) = io::pipe().map_err(trouble)?;
    rustix::io::ioctl_fionbio(&output, true).map_err(|error| trouble(error.into()))?;
    let mut spawn =
        Spawn::new(os_text::encode(program), arguments.iter().map(|word| os_text::encode(word)), variables.clone());
    spawn.cwd = Some(cwd.to_path_buf());
    spawn.stdout = ChildOutput::To(end.try_clone().map_err(trouble)?.into());
    spawn.stderr = ChildOutput::To(end.into());
    spawn.grouping = ProcessGrouping::Group;
    let mut child = match spawn.start() {
        Ok(child) => child,
        Err(error) => return Err(ProbeMiss::Never(format!("`{program}` cannot be started: {error}"))),
    };
    let mut tail = OutputTail::default();
    let ended = child.exit_notice().map(|exit| wait(&exit, &output, &mut tail, patience));
    // Its descendants are in its process group; the group is gone before reaping frees its number.
    let _ = child.signal_group(Signal::KILL);
    let code = child.reap().map_err(trouble)?;
    match (ended.map_err(trouble)?, code) {
        (true, 0) => Ok(()),
        (true, code) => {
            tail.take(&output);
            Err(ProbeMiss::Seen(ProbeObservation::Exit { code, lines: tail.lines() }))
        }
        (false, _) => Err(ProbeMiss::Seen(patience.seen(&ErrorKind::TimedOut.into()))),
    }
}

/// Reads the command's output until it has ended; `false` if the timeout is over first.
fn wait(exit: &OwnedFd, output: &io::PipeReader, tail: &mut OutputTail, patience: &ProbeLimits) -> bool {
    let mut open = true;
    loop {
        let mut waiting = vec![(exit.as_fd(), PollFlags::IN)];
        waiting.extend(open.then(|| (output.as_fd(), PollFlags::IN)));
        let left = patience.left();
        let ready = patience.cancel().wait_for_any(&waiting, left);
        if ready.get(1) == Some(&true) {
            open = tail.take(output);
        }
        if ready[0] {
            return true;
        }
        if left.is_zero() || patience.cancel().is_cancelled() {
            return false;
        }
    }
}

/// The end of a command's output.
#[derive(Default)]
struct OutputTail(Vec<u8>);

impl OutputTail {
    /// Reads the available output; returns whether more may come.
    fn take(&mut self, mut output: &io::PipeReader) -> bool {
        let mut block = [0; KEPT];
        // The timeout of a command that never stops writing is checked in between.
        for _ in 0..64 {
            match output.read(&mut block) {
                Ok(0) => return false,
                Ok(length) => {
                    self.0.extend_from_slice(&block[..length]);
                    let surplus = self.0.len().saturating_sub(KEPT);
                    self.0.drain(..surplus);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0);
        let mut lines: Vec<String> =
            text.lines().rev().filter(|line| !line.trim().is_empty()).take(LINES).map(excerpt).collect();
        lines.reverse();
        lines
    }
}
