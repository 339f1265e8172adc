//! Runs a backend's process: started once, sent many requests, never left behind. Knows nothing of hooks: it sends
//! lines and returns the output up to the end mark.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use crate::event::{OutputStream, RunEvent};
use crate::execute::process::{ChildInput, ChildProcess, ProcessGrouping, Spawn};
use crate::execute::session::CommandSession;
use crate::execute::termination::Termination;
use crate::execute::tree;

const STEP: usize = 64 * 1024;
/// How long the process may take to exit after the last request.
const FAREWELL: Duration = Duration::from_millis(100);

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeEnd {
    /// The process wrote the end mark.
    Done,
    /// The process ended without it.
    Exited,
    /// The user interrupted the run; the process was ended.
    Interrupted,
}

/// Output written during an exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) ended: ExchangeEnd,
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
}

pub(super) struct BackendProcess {
    child: ChildProcess,
    exit: OwnedFd,
    outputs: [BackendStream; 2],
}

impl BackendProcess {
    /// Starts the process in a group of its own, so that an interrupt at the terminal reaches it only through envo.
    pub(super) fn start(mut spawn: Spawn) -> io::Result<Self> {
        spawn.stdin = ChildInput::Pipe;
        spawn.grouping = ProcessGrouping::Group;
        let mut child = spawn.start()?;
        let outputs = [
            BackendStream::new(OutputStream::Out, child.stdout.take()),
            BackendStream::new(OutputStream::Error, child.stderr.take()),
        ];
        match child.exit_notice() {
            Ok(exit) => Ok(Self { child, exit, outputs }),
            Err(error) => {
                let _ = child.signal_group(Signal::KILL);
                let _ = child.reap();
                Err(error)
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line. If the process has exited, the following exchange notices.
    pub(super) fn send(&mut self, line: &str) {
        if let Some(input) = &mut self.child.stdin {
            let _ = input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\n"));
        }
    }

    /// Waits until the process has written `mark` on both its streams; shows its output if `shown`.
    pub(super) fn exchange(&mut self, mark: &str, session: &CommandSession, shown: bool) -> Exchange {
        let mut ending: Option<Termination> = None;
        let mut started = Vec::new();
        let mut buffer = vec![0; STEP];
        let ended = loop {
            let interrupts = usize::from(ending.is_some());
            let ready = self.wait(session, interrupts, ending.as_ref().and_then(Termination::deadline));
            for (output, ready) in self.outputs.iter_mut().zip(ready.outputs) {
                if ready {
                    output.read(&mut buffer, mark.as_bytes());
                    if shown {
                        output.show(session);
                    }
                }
            }
            if ending.is_none() && self.outputs.iter().all(|output| output.end.is_some()) {
                break ExchangeEnd::Done;
            }
            if ready.exited {
                for output in &mut self.outputs {
                    output.drain(&mut buffer, mark.as_bytes());
                }
                break if ending.is_some() { ExchangeEnd::Interrupted } else { ExchangeEnd::Exited };
            }
            let now = Instant::now();
            let signal = match &mut ending {
                None if ready.interrupted => {
                    started = tree::descendants(self.child.id()).split_off(1);
                    ending = Some(Termination::begin(session.timeouts, now));
                    None
                }
                Some(ending) if ready.interrupted => ending.force(),
                _ => None,
            };
            let signal = signal.or_else(|| ending.as_mut().and_then(|ending| ending.step(now)));
            if let Some(signal) = signal {
                if signal != Signal::INT {
                    tree::signal_descendants(self.child.id(), signal);
                }
                let _ = self.child.signal_group(signal);
            }
        };
        if !started.is_empty() {
            // Ends the processes started by the hook too, wherever they went: this process adopts orphans.
            let survivors = || {
                let mut running = tree::possible_descendants();
                running.retain(|pid| started.contains(pid));
                running
            };
            tree::end(&survivors, session.timeouts.terminate);
        }
        let [out, err] = &mut self.outputs;
        let (out, err) = (out.take(session, shown), err.take(session, shown));
        Exchange { ended, out, err }
    }

    fn wait(&self, session: &CommandSession, interrupts: usize, deadline: Option<Instant>) -> BackendEvent {
        let mut sources: Vec<(BackendEventSource, BorrowedFd<'_>)> = Vec::with_capacity(4);
        for (index, output) in self.outputs.iter().enumerate() {
            // What a stream carries after its mark belongs to the next exchange.
            if let (Some(source), None) = (&output.source, output.end) {
                sources.push((BackendEventSource::Output(index), source.as_fd()));
            }
        }
        sources.push((BackendEventSource::Exit, self.exit.as_fd()));
        sources.extend(session.interrupt.notice(interrupts).map(|notice| (BackendEventSource::Interrupt, notice)));
        let mut waiting: Vec<PollFd<'_>> =
            sources.iter().map(|(_, descriptor)| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        let mut ready = BackendEvent::default();
        if rustix::event::poll(&mut waiting, timeout.as_ref()).is_err() {
            return ready;
        }
        for ((source, _), waited) in sources.iter().zip(&waiting) {
            let is_ready = !waited.revents().is_empty();
            match source {
                BackendEventSource::Output(index) => ready.outputs[*index] = is_ready,
                BackendEventSource::Exit => ready.exited = is_ready,
                BackendEventSource::Interrupt => ready.interrupted = is_ready,
            }
        }
        ready
    }

    /// Closes the process's input; if it does not exit soon, kills it with all its children.
    pub(super) fn finish(mut self) {
        self.child.stdin = None;
        let mut waiting = [PollFd::new(&self.exit, PollFlags::IN)];
        let _ = rustix::event::poll(&mut waiting, Some(&timespec(FAREWELL)));
    }
}

impl Drop for BackendProcess {
    fn drop(&mut self) {
        // A process that has exited is not reaped yet, so its id and its group's cannot have been reused.
        let _ = self.child.signal_group(Signal::KILL);
        let _ = self.child.reap();
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ }
}

#[derive(Debug, Clone, Copy)]
enum BackendEventSource {
    Output(usize),
    Exit,
    Interrupt,
}

#[derive(Debug, Default)]
struct BackendEvent {
    outputs: [bool; 2],
    exited: bool,
    interrupted: bool,
}

/// One output stream of the process.
struct BackendStream {
    stream: OutputStream,
    /// `None` once it has ended.
    source: Option<File>,
    kept: Vec<u8>,
    /// No mark begins before this offset.
    searched: usize,
    /// Output before this offset was shown.
    shown: usize,
    /// Start and end of the mark, once found.
    end: Option<(usize, usize)>,
}

impl BackendStream {
    fn new(stream: OutputStream, source: Option<File>) -> Self {
        Self { stream, source, kept: Vec::new(), searched: 0, shown: 0, end: None }
    }

    fn read(&mut self, buffer: &mut [u8], mark: &[u8]) {
        let Some(source) = &mut self.source else { return };
        match source.read(buffer) {
            Ok(length @ 1..) => {
                self.kept.extend_from_slice(&buffer[..length]);
                self.search(mark);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => self.source = None,
        }
    }

    /// Looks for the mark in the unsearched part.
    fn search(&mut self, mark: &[u8]) {
        let Some(first) = mark.first() else { return };
        while let Some(offset) = self.kept[self.searched..].iter().position(|byte| byte == first) {
            let start = self.searched + offset;
            let rest = &self.kept[start..];
            if rest.starts_with(mark) {
                self.end = Some((start, start + mark.len()));
                return;
            }
            if mark.starts_with(rest) {
                self.searched = start;
                return;
            }
            self.searched = start + 1;
        }
        self.searched = self.kept.len();
    }

    /// Reads available output without waiting: a process that the backend left behind may hold the stream open.
    fn drain(&mut self, buffer: &mut [u8], mark: &[u8]) {
        while self.end.is_none() && self.source.as_ref().is_some_and(is_readable) {
            self.read(buffer, mark);
        }
    }

    /// Shows whole lines that were not shown yet.
    fn show(&mut self, session: &CommandSession) {
        let end = self.end.map_or(self.searched, |(start, _)| start);
        if let Some(line) = self.kept[self.shown..end].iter().rposition(|byte| *byte == b'\n') {
            let bytes = self.kept[self.shown..=self.shown + line].to_vec();
            self.shown += bytes.len();
            session.reporter.event(RunEvent::Output {
                environment: session.environment.clone(),
                stream: self.stream,
                bytes,
            });
        }
    }

    /// Removes and returns the output up to the mark; later output belongs to the next exchange.
    fn take(&mut self, session: &CommandSession, shown: bool) -> Vec<u8> {
        let (start, end) = self.end.take().unwrap_or((self.kept.len(), self.kept.len()));
        if shown && self.shown < start {
            let mut bytes = self.kept[self.shown..start].to_vec();
            if !bytes.ends_with(b"\n") {
                bytes.push(b'\n');
            }
            session.reporter.event(RunEvent::Output {
                environment: session.environment.clone(),
                stream: self.stream,
                bytes,
            });
        }
        let rest = self.kept.split_off(end);
        let mut taken = std::mem::replace(&mut self.kept, rest);
        taken.truncate(start);
        (self.searched, self.shown) = (0, 0);
        taken
    }
}

fn is_readable(source: &File) -> bool {
    let mut waiting = [PollFd::new(source, PollFlags::IN)];
    matches!(rustix::event::poll(&mut waiting, Some(&timespec(Duration::ZERO))), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> BackendStream {
        BackendStream::new(OutputStream::Out, None)
    }

    #[test]
    fn a_mark_is_found_however_it_arrives() {
        let mark = b"\x1edone\n";
        let text = b"one\x1edo\x1e\ntwo\x1edone\nthree";
        for size in 1..text.len() {
            let mut output = output();
            for chunk in text.chunks(size) {
                output.kept.extend_from_slice(chunk);
                if output.end.is_none() {
                    output.search(mark);
                }
            }
            let (start, end) = output.end.expect("the mark");
            assert_eq!(&output.kept[..start], b"one\x1edo\x1e\ntwo");
            assert_eq!(&output.kept[end..], b"three");
        }
    }

    #[test]
    fn without_a_mark_nothing_is_found() {
        let mut output = output();
        output.kept.extend_from_slice(b"a\x1edon");
        output.search(b"\x1edone\n");
        assert_eq!((output.end, output.searched), (None, 1));
        output.kept.extend_from_slice(b"ut\n");
        output.search(b"\x1edone\n");
        assert_eq!((output.end, output.searched), (None, 8));
    }
}
