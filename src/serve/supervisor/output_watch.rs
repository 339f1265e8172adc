//! The thread beside a running service: it reads what the service writes and what its shim tells, the moment it comes.
//! Output goes to the log in the blocks it arrives in, and is looked through for a pattern only as long as somebody waits
//! for one. Who wants to see it reads the log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::Duration;

use regex::bytes::Regex;
use rustix::event::{PollFd, PollFlags, poll};

use crate::execute::tree;
use crate::serve::lines::Lines;
use crate::serve::shim::instance_mark;
use crate::serve::shim::message::ShimEvent;
use crate::serve::supervisor::log::{LAST_LINES, ServiceLog, readable};
use crate::serve::supervisor::{StartReport, SupervisorMessage};

/// How much is read at once, and how large the pipe is made where the system allows it.
const BLOCK: usize = 256 * 1024;
const PIPE: usize = 1024 * 1024;
/// How much of what a named group has matched becomes a field: dependents get it in a variable.
const LONGEST_FIELD: usize = 4096;

/// How long what a killed shim left behind has to end by itself.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);

/// How many blocks are read before news are told: more than the pipe holds.
const MOST_BLOCKS_BEFORE_NEWS: usize = 64;

/// What came of reading output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputRead {
    Block,
    /// Nothing for now.
    Nothing,
    /// Everybody who could write has gone.
    End,
}

/// A line of output that somebody waits for.
pub struct AwaitedLine {
    pub pattern: Regex,
}

impl AwaitedLine {
    /// The named groups of a line that matches, as people read them: without control characters.
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
    /// Which start of the service this is, so that news of an earlier one are known as such.
    pub generation: u64,
    /// What every process of that start carries.
    pub mark: String,
    pub log: ServiceLog,
    /// Whether its probes run commands, which may leave processes behind that its shim knows nothing of.
    pub runs_probes: bool,
    pub wanted: Option<AwaitedLine>,
    pub sender: Sender<SupervisorMessage>,
}

impl OutputWatch {
    /// Reads until the shim has ended: what the service writes, and the shim's news.
    pub fn run(mut self, output: File, news: File) {
        let _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE);
        let _ = rustix::io::ioctl_fionbio(&output, true);
        let mut partial = Lines::default();
        if !self.read(&output, news, &mut partial) || self.runs_probes {
            // Somebody has killed the shim. The first process dies with it, a moment later; what else that started has its
            // mark. Until then they may write.
            tree::end(&|| tree::marked(instance_mark::VARIABLE, &self.mark), STRAY_PATIENCE);
            self.read_rest(&output, &mut vec![0; BLOCK], &mut partial);
        }
        self.flush(&mut partial);
        if let Some(text) = self.log.failure() {
            self.report(StartReport::Trouble(text));
        }
        self.report(StartReport::ShimEnded(self.log.last_lines(LAST_LINES)));
    }

    /// Reads until the shim has ended; whether it has said before that nothing of its service is left.
    fn read(&mut self, output: &File, mut news: File, partial: &mut Lines) -> bool {
        let mut buffer = vec![0; BLOCK];
        let mut gone = false;
        let mut told = Vec::new();
        let mut open = true;
        loop {
            let (written, newsworthy) = wait(open.then_some(output), &news);
            if written {
                open = self.read_output(output, &mut buffer, partial) != OutputRead::End;
            }
            if !newsworthy {
                continue;
            }
            let mut some = [0; 256];
            let length = match news.read(&mut some) {
                Ok(0) => 0,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            // What was written before the news comes before them, so that an end is told with its last lines.
            // A straggler that goes on writing is read again when the news have been told.
            if open {
                self.read_rest(output, &mut buffer, partial);
            }
            if length == 0 {
                return gone;
            }
            told.extend_from_slice(&some[..length]);
            while let Some(end) = told.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = told.drain(..=end).collect();
                if let Some(news) = ShimEvent::from_line(&line) {
                    gone |= matches!(news, ShimEvent::Gone | ShimEvent::NotStarted(_));
                    self.publish(news, partial);
                }
            }
        }
    }

    /// Reads what there is by now.
    fn read_rest(&mut self, output: &File, buffer: &mut [u8], partial: &mut Lines) {
        for _ in 0..MOST_BLOCKS_BEFORE_NEWS {
            if self.read_output(output, buffer, partial) != OutputRead::Block {
                break;
            }
        }
    }

    fn publish(&mut self, news: ShimEvent, partial: &mut Lines) {
        let last_lines = match news {
            ShimEvent::Exited(_) => {
                self.flush(partial);
                self.log.last_lines(LAST_LINES)
            }
            _ => Vec::new(),
        };
        self.report(StartReport::News(news, last_lines));
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

    /// Looks through a last line that has no end.
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
        // A supervisor that has gone wants no news.
        let _ = self.sender.send(SupervisorMessage::Of { service: self.service, generation: self.generation, report });
    }
}

/// Waits until one of both can be read.
fn wait(output: Option<&File>, news: &File) -> (bool, bool) {
    let mut waiting = vec![PollFd::new(news, PollFlags::IN)];
    waiting.extend(output.map(|output| PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)));
    if poll(&mut waiting, None).is_err() {
        return (false, false);
    }
    (waiting.get(1).is_some_and(|one| !one.revents().is_empty()), !waiting[0].revents().is_empty())
}
