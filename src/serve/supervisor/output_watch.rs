//! The thread for a running service: it reads the service's output and its shim's events as soon as they
//! arrive. Output goes to the log unchanged, and is matched with a pattern only while a probe waits for one.
//! It shows nothing: clients read the log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::Duration;

use regex::bytes::Regex;
use rustix::event::{PollFd, PollFlags, poll};

use crate::execute::tree;
use crate::platform::descriptors;
use crate::serve::lines::Lines;
use crate::serve::shim::instance_mark;
use crate::serve::shim::message::ShimEvent;
use crate::serve::supervisor::log::{LAST_LINES, ServiceLog, readable};
use crate::serve::supervisor::{StartReport, SupervisorMessage};

/// How much is read at once, and the size of the pipe if the system allows it.
const BLOCK: usize = 256 * 1024;
const PIPE: usize = 1024 * 1024;
/// The longest match of a named group that becomes a field: dependents get it in a variable.
const LONGEST_FIELD: usize = 4096;

/// How long the processes of a killed shim have to end by themselves.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);

/// How many blocks are read before events are handled: more than fit into the pipe.
const MOST_BLOCKS_BEFORE_EVENTS: usize = 64;

/// The result of reading output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputRead {
    Block,
    /// No output now.
    Nothing,
    /// All writers have closed it.
    End,
}

/// A pattern that a probe waits for.
pub struct AwaitedLine {
    pub pattern: Regex,
}

impl AwaitedLine {
    /// The named groups of a line that matches, without control characters.
    fn fields(&self, line: &[u8]) -> Option<BTreeMap<String, String>> {
        let captures = self.pattern.captures(line)?;
        let names = self.pattern.capture_names().flatten();
        let text = |name: &str| {
            let bytes = captures.name(name)?.as_bytes();
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LONGEST_FIELD)]);
            Some(readable(&text, LONGEST_FIELD))
        };
        Some(names.filter_map(|name| Some((name.to_owned(), text(name)?))).collect())
    }
}

pub struct OutputWatch {
    pub service: usize,
    /// The number of this start of the service, which identifies late events of an earlier one.
    pub generation: u64,
    /// The mark of all processes of that start.
    pub mark: String,
    pub log: ServiceLog,
    /// Whether its probes run commands, whose processes are not below its shim.
    pub runs_probes: bool,
    pub wanted: Option<AwaitedLine>,
    pub sender: Sender<SupervisorMessage>,
}

impl OutputWatch {
    /// Reads the service's output and the shim's events until the shim has ended.
    pub fn run(mut self, output: File, events: File) {
        descriptors::enlarge_pipe(&output, PIPE);
        let _ = rustix::io::ioctl_fionbio(&output, true);
        let mut partial = Lines::default();
        if !self.read(&output, events, &mut partial) || self.runs_probes {
            // The shim was killed. The first process dies with it, a moment later; the others have its mark.
            // Until then they may write.
            tree::end(&|| tree::marked(instance_mark::VARIABLE, &self.mark), STRAY_PATIENCE);
            self.read_rest(&output, &mut vec![0; BLOCK], &mut partial);
        }
        self.flush(&mut partial);
        self.log.finish();
        if let Some(text) = self.log.failure() {
            self.report(StartReport::Trouble(text));
        }
        self.report(StartReport::ShimEnded(self.log.last_lines(LAST_LINES)));
    }

    /// Reads until the shim has ended; returns whether it has reported before that no process of its service
    /// is left.
    fn read(&mut self, output: &File, mut events: File, partial: &mut Lines) -> bool {
        let mut buffer = vec![0; BLOCK];
        let mut gone = false;
        let mut unread = Vec::new();
        let mut open = true;
        loop {
            let (has_output, has_event) = wait(open.then_some(output), &events);
            if has_output {
                open = self.read_output(output, &mut buffer, partial) != OutputRead::End;
            }
            if !has_event {
                continue;
            }
            let mut some = [0; 256];
            let length = match events.read(&mut some) {
                Ok(0) => 0,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            // Output written before an event is handled before it, so that an end is reported with the last
            // lines. The output of a process that keeps writing is read again after the events.
            if open {
                self.read_rest(output, &mut buffer, partial);
            }
            if length == 0 {
                return gone;
            }
            unread.extend_from_slice(&some[..length]);
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                if let Some(event) = ShimEvent::from_line(&line) {
                    gone |= matches!(event, ShimEvent::Gone | ShimEvent::NotStarted(_));
                    self.publish(event, partial);
                }
            }
        }
    }

    /// Reads the available output.
    fn read_rest(&mut self, output: &File, buffer: &mut [u8], partial: &mut Lines) {
        for _ in 0..MOST_BLOCKS_BEFORE_EVENTS {
            if self.read_output(output, buffer, partial) != OutputRead::Block {
                break;
            }
        }
    }

    fn publish(&mut self, event: ShimEvent, partial: &mut Lines) {
        let last_lines = match event {
            ShimEvent::Exited(_) => {
                self.flush(partial);
                self.log.last_lines(LAST_LINES)
            }
            _ => Vec::new(),
        };
        self.report(StartReport::Shim(event, last_lines));
    }

    /// Reads one block.
    fn read_output(&mut self, mut output: &File, buffer: &mut [u8], partial: &mut Lines) -> OutputRead {
        let taken = match self.log.take(output, buffer.len()) {
            Ok(Some((begin, length))) => {
                if self.wanted.is_some() && self.log.read_back(begin, &mut buffer[..length]).is_err() {
                    return OutputRead::Block;
                }
                Ok(length)
            }
            Ok(None) => output.read(buffer).inspect(|length| self.log.write(&buffer[..*length])),
            Err(error) => Err(error),
        };
        match taken {
            Ok(0) => OutputRead::End,
            Ok(length) => {
                if self.wanted.is_some() {
                    partial.take(&buffer[..length], &mut |lines| self.search(lines));
                }
                OutputRead::Block
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => OutputRead::Nothing,
            Err(_) => OutputRead::End,
        }
    }

    /// Matches a last line that has no end.
    fn flush(&mut self, lines: &mut Lines) {
        lines.flush(&mut |lines| self.search(lines));
    }

    fn search(&mut self, lines: &[u8]) {
        if let Some(wanted) = &self.wanted
            && let Some(fields) = lines.split(|byte| *byte == b'\n').find_map(|line| wanted.fields(line))
        {
            self.wanted = None;
            self.report(StartReport::Matched(fields));
        }
    }

    fn report(&self, report: StartReport) {
        // A supervisor that has ended receives nothing.
        let _ = self.sender.send(SupervisorMessage::Of { service: self.service, generation: self.generation, report });
    }
}

/// Waits until either can be read.
fn wait(output: Option<&File>, events: &File) -> (bool, bool) {
    let mut waiting = vec![PollFd::new(events, PollFlags::IN)];
    waiting.extend(output.map(|output| PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)));
    if poll(&mut waiting, None).is_err() {
        return (false, false);
    }
    (waiting.get(1).is_some_and(|one| !one.revents().is_empty()), !waiting[0].revents().is_empty())
}
