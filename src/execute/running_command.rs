//! A running command: one loop that waits for its output, its end, an interrupt and the clock at once, so
//! that nothing polls and no output is lost or reordered.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use crate::event::{Level, OutputStream, RunEvent};
use crate::execute::output::CommandOutput;
use crate::execute::process::ChildProcess;
use crate::execute::session::{CommandOutcome, CommandSession};
use crate::execute::termination::{Termination, TerminationStage};
use crate::execute::tree;

/// How much is read at once.
const STEP: usize = 64 * 1024;
/// The log name for lines about an interrupt: tox's main thread writes them.
const ROOT: &str = "ROOT";

pub(super) struct RunningCommand<'a> {
    session: &'a CommandSession,
    child: ChildProcess,
    /// Readable when the child has exited; `None` if the system does not support it: then the end of its
    /// output has to suffice.
    exit: Option<OwnedFd>,
    outputs: [CommandOutput<'a>; 2],
    ending: Option<Termination>,
    /// Processes the child had started when it was asked to stop.
    started: Vec<u32>,
}

/// What the loop woke up for.
#[derive(Debug, Default)]
struct CommandEvent {
    outputs: [bool; 2],
    exited: bool,
    interrupted: bool,
}

impl<'a> RunningCommand<'a> {
    pub(super) fn new(
        session: &'a CommandSession,
        child: ChildProcess,
        sources: [Option<File>; 2],
        shown: bool,
    ) -> Self {
        let [out, err] = sources;
        Self {
            session,
            exit: child.exit_notice().ok(),
            outputs: [
                CommandOutput::new(OutputStream::Out, out, shown, &session.log_dir).redacted(&session.capture.redactor),
                CommandOutput::new(OutputStream::Error, err, shown, &session.log_dir)
                    .redacted(&session.capture.redactor),
            ],
            child,
            ending: None,
            started: Vec::new(),
        }
    }

    /// Waits until the command has ended and stores the results in `outcome`.
    pub(super) fn finish(mut self, outcome: &mut CommandOutcome) {
        let session = self.session;
        let show = |stream, bytes| {
            session.reporter.event(RunEvent::Output { environment: session.environment.clone(), stream, bytes });
        };
        let mut buffer = vec![0; STEP];
        loop {
            let ready = self.wait();
            for (output, ready) in self.outputs.iter_mut().zip(ready.outputs) {
                if ready {
                    output.read(&mut buffer, &show);
                }
            }
            if ready.exited || (self.exit.is_none() && self.outputs.iter().all(|output| output.source().is_none())) {
                break;
            }
            let now = Instant::now();
            for output in &mut self.outputs {
                output.step(now, &show);
            }
            self.continue_ending(ready.interrupted, now);
        }
        for output in &mut self.outputs {
            output.drain(&mut buffer, &show);
        }
        // A child that cannot be waited for was reaped elsewhere, together with its exit code.
        outcome.exit_code = self.child.reap().unwrap_or(1);
        if let Some(ending) = self.ending.take() {
            self.end_survivors();
            self.report_end(&ending, outcome.exit_code);
        }
        let [out, err] = self.outputs;
        outcome.out = out.finish(&show);
        outcome.err = err.finish(&show);
    }

    /// How many interrupts are known already: the next one is awaited.
    fn seen(&self) -> usize {
        usize::from(self.session.after_interrupt || self.ending.is_some())
    }

    /// Whether another interrupt would change anything.
    fn can_be_interrupted(&self) -> bool {
        match &self.ending {
            None => true,
            Some(ending) => !self.session.after_interrupt && ending.stage() != TerminationStage::Killed,
        }
    }

    fn wait(&self) -> CommandEvent {
        let mut sources: Vec<(CommandEventSource, BorrowedFd<'_>)> = Vec::with_capacity(4);
        for (index, output) in self.outputs.iter().enumerate() {
            sources.extend(output.source().map(|source| (CommandEventSource::Output(index), source.as_fd())));
        }
        sources.extend(self.exit.as_ref().map(|exit| (CommandEventSource::Exit, exit.as_fd())));
        if self.can_be_interrupted() {
            sources.extend(
                self.session.interrupt.notice(self.seen()).map(|notice| (CommandEventSource::Interrupt, notice)),
            );
        }
        let mut waiting: Vec<PollFd<'_>> =
            sources.iter().map(|(_, descriptor)| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
        let mut ready = CommandEvent::default();
        if rustix::event::poll(&mut waiting, self.timeout().as_ref()).is_err() {
            return ready;
        }
        for ((source, _), waited) in sources.iter().zip(&waiting) {
            let is_ready = !waited.revents().is_empty();
            match source {
                CommandEventSource::Output(index) => ready.outputs[*index] = is_ready,
                CommandEventSource::Exit => ready.exited = is_ready,
                CommandEventSource::Interrupt => ready.interrupted = is_ready,
            }
        }
        ready
    }

    /// How long to wait at most; `None`: without limit.
    fn timeout(&self) -> Option<Timespec> {
        let lines = self.outputs.iter().filter_map(CommandOutput::deadline);
        let deadline = lines.chain(self.ending.as_ref().and_then(Termination::deadline)).min()?;
        let time: Duration = deadline.saturating_duration_since(Instant::now());
        Some(Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ })
    }

    fn continue_ending(&mut self, interrupted: bool, now: Instant) {
        if interrupted {
            match &mut self.ending {
                // The user asked once more: do not wait any longer.
                Some(ending) => {
                    if let Some(signal) = ending.force() {
                        self.send(signal);
                    }
                }
                None => self.begin_ending(now),
            }
        }
        if let Some(signal) = self.ending.as_mut().and_then(|ending| ending.step(now)) {
            self.send(signal);
        }
    }

    fn begin_ending(&mut self, now: Instant) {
        self.started = tree::descendants(self.child.id());
        let name = &self.session.environment;
        if self.session.after_interrupt {
            let text = format!("second interrupt received for tox environment: {name} - forcing full stop");
            self.report(text);
        } else {
            self.report(format!("interrupt tox environment: {name}"));
        }
        let patience = self.session.timeouts.suicide.as_secs_f64();
        self.report(format!(
            "requested interrupt of {} from {}, activate in {patience:.2}",
            self.child.id(),
            std::process::id()
        ));
        self.ending = Some(Termination::begin(self.session.timeouts, now));
    }

    /// Sends a signal: SIGINT to the command as the terminal does, others to all that it started.
    fn send(&mut self, signal: Signal) {
        let (name, patience) = match signal {
            Signal::INT => ("SIGINT", Some(self.session.timeouts.interrupt)),
            Signal::TERM => ("SIGTERM", Some(self.session.timeouts.terminate)),
            _ => ("SIGKILL", None),
        };
        let patience = patience.map_or(String::new(), |time| format!(" with timeout {:.2}", time.as_secs_f64()));
        let (child, own) = (self.child.id(), std::process::id());
        self.report(format!("send signal {name}({}) to {child} from {own}{patience}", signal.as_raw()));
        // A command that may not be signalled (it runs as another user) can only be waited for.
        if signal == Signal::INT {
            let _ = self.child.signal_group(signal);
        } else {
            tree::signal_descendants(child, signal);
            let _ = self.child.signal_group(signal);
        }
    }

    /// Ends the processes that the command left behind: its descendants when it was asked to stop, and
    /// adopted processes with its environment's name in their variables.
    fn end_survivors(&mut self) {
        let mark: Vec<Vec<u8>> = ["TOX_ENV_NAME", "TOX_ENV_DIR"]
            .into_iter()
            .filter_map(|name| {
                let value = self.session.variables.get(name)?;
                Some([name.as_bytes(), b"=", value.as_encoded_bytes()].concat())
            })
            .collect();
        let started = std::mem::take(&mut self.started);
        let survivors = || {
            let mut found = tree::possible_descendants();
            found.retain(|pid| started.contains(pid) || (!mark.is_empty() && tree::carries(*pid, &mark)));
            found
        };
        tree::end(&survivors, self.session.timeouts.terminate);
    }

    fn report_end(&self, ending: &Termination, exit_code: i32) {
        match ending.stage() {
            TerminationStage::Asked => {
                self.report(format!("process already dead with {exit_code} within {}", std::process::id()))
            }
            _ => self.report("interrupt finished with success".to_owned()),
        }
    }

    fn report(&self, text: String) {
        self.session.reporter.message(ROOT, Level::Warning, text);
    }
}

/// What a descriptor is for.
#[derive(Debug, Clone, Copy)]
enum CommandEventSource {
    Output(usize),
    Exit,
    Interrupt,
}
