//! One output stream of a running command: read as it arrives, captured, and shown line by line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::event::OutputStream;
use crate::execute::captured::{CaptureCollector, CapturedOutput};
use crate::redaction::{RedactingStream, Redactor};

/// How long an incomplete line waits for its end before it is shown.
const PATIENCE: Duration = Duration::from_millis(100);
/// A line longer than this is shown in pieces.
const LONGEST_LINE: usize = 64 * 1024;
/// The maximum content of a pipe after the command has ended. Anything more was written by a process that the
/// command left behind.
const LEFT_IN_PIPE: usize = 2 << 20;

pub(super) struct CommandOutput<'a> {
    stream: OutputStream,
    /// `None` after its end.
    source: Option<File>,
    kept: CaptureCollector<'a>,
    /// Hides secrets before anything else sees the output; `None`: there are none.
    redaction: Option<RedactingStream>,
    /// The incomplete line that is still to be shown; `None` if nothing is shown.
    line: Option<Vec<u8>>,
    /// When the incomplete line is shown in any case.
    deadline: Option<Instant>,
}

/// The function that shows output.
pub(super) type OutputSink<'a> = &'a dyn Fn(OutputStream, Vec<u8>);

impl<'a> CommandOutput<'a> {
    /// `folder`: the folder for the file of a large output.
    pub(super) fn new(stream: OutputStream, source: Option<File>, shown: bool, folder: &'a Path) -> Self {
        let kept = CaptureCollector::new(folder);
        Self { stream, source, kept, redaction: None, line: shown.then(Vec::new), deadline: None }
    }

    pub(super) fn redacted(self, redactor: &Redactor) -> Self {
        Self { redaction: (!redactor.is_empty()).then(|| redactor.stream()), ..self }
    }

    pub(super) fn source(&self) -> Option<&File> {
        self.source.as_ref()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Reads once, which blocks unless there is something to read; returns the number of bytes.
    pub(super) fn read(&mut self, buffer: &mut [u8], show: OutputSink<'_>) -> usize {
        let Some(source) = &mut self.source else { return 0 };
        match source.read(buffer) {
            Ok(length @ 1..) => {
                match &mut self.redaction {
                    Some(redaction) => {
                        let decided = redaction.push(&buffer[..length]);
                        self.take(&decided, show);
                    }
                    None => self.take(&buffer[..length], show),
                }
                length
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            // A pseudo-terminal ends with an error when its last writer is gone.
            Ok(0) | Err(_) => {
                self.source = None;
                0
            }
        }
    }

    /// Reads the rest after the command has ended, without waiting for processes that it left behind.
    pub(super) fn drain(&mut self, buffer: &mut [u8], show: OutputSink<'_>) {
        let mut total = 0;
        while total < LEFT_IN_PIPE && self.source.as_ref().is_some_and(readable) {
            total += self.read(buffer, show);
        }
    }

    fn take(&mut self, bytes: &[u8], show: OutputSink<'_>) {
        self.kept.add(bytes);
        let Some(line) = &mut self.line else { return };
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                let mut whole = std::mem::take(line);
                whole.extend_from_slice(&bytes[..=end]);
                line.extend_from_slice(&bytes[end + 1..]);
                show(self.stream, whole);
            }
            None => line.extend_from_slice(bytes),
        }
        if line.len() > LONGEST_LINE {
            show(self.stream, std::mem::take(line));
        }
        self.deadline = (!line.is_empty()).then(|| Instant::now() + PATIENCE);
    }

    /// Shows an incomplete line that has waited long enough.
    pub(super) fn step(&mut self, now: Instant, show: OutputSink<'_>) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.flush(show);
        }
    }

    fn flush(&mut self, show: OutputSink<'_>) {
        self.deadline = None;
        if let Some(line) = self.line.as_mut().filter(|line| !line.is_empty()) {
            show(self.stream, std::mem::take(line));
        }
    }

    /// Shows the rest and returns the captured output.
    pub(super) fn finish(mut self, show: OutputSink<'_>) -> CapturedOutput {
        if let Some(rest) = self.redaction.as_mut().map(RedactingStream::finish) {
            self.take(&rest, show);
        }
        self.flush(show);
        self.kept.finish()
    }
}

fn readable(source: &File) -> bool {
    let mut waiting = [rustix::event::PollFd::new(source, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut waiting, Some(&now)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn lines_are_shown_whole_and_their_starts_when_time_is_up() {
        let (reader, mut writer) = io::pipe().unwrap();
        let shown = RefCell::new(Vec::new());
        let show = |_, bytes| shown.borrow_mut().push(String::from_utf8(bytes).unwrap());
        let mut output = CommandOutput::new(
            OutputStream::Out,
            Some(File::from(OwnedFd::from(reader))),
            true,
            Path::new("/nonexistent"),
        );
        let mut buffer = [0; 100];
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(output.read(&mut buffer, &show), 6);
        let deadline = output.deadline().unwrap();
        output.step(deadline - Duration::from_millis(1), &show);
        assert_eq!(shown.take(), ["one\n"]);
        output.step(deadline, &show);
        assert_eq!((shown.take(), output.deadline()), (vec!["tw".to_owned()], None));
        writer.write_all(b"o\nthree\nfour").unwrap();
        drop(writer);
        output.drain(&mut buffer, &show);
        assert!(output.source().is_none());
        assert_eq!(shown.take(), ["o\nthree\n"]);
        assert_eq!(output.finish(&show).to_vec(), b"one\ntwo\nthree\nfour");
        assert_eq!(shown.take(), ["four"]);
    }

    #[test]
    fn draining_does_not_wait_for_a_process_that_holds_the_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut output = CommandOutput::new(
            OutputStream::Out,
            Some(File::from(OwnedFd::from(reader))),
            false,
            Path::new("/nonexistent"),
        );
        writer.write_all(b"x").unwrap();
        output.drain(&mut [0; 10], &|_, _| panic!("nothing is shown"));
        assert_eq!(output.finish(&|_, _| ()).to_vec(), b"x");
    }
}
