//! Writes events for people, in tox's words, to standard output and standard error.

use std::io::{self, Write};

use parking_lot::Mutex;

use crate::event::{OutputStream, Reporter, RunEvent};
use crate::report::layout::EventLayout;
use crate::report::lost_output;

/// One writer for all threads: the output of an event is never interleaved with another's.
#[derive(Debug)]
pub struct HumanReporter {
    layout: EventLayout,
    streams: Mutex<HumanStreams>,
}

/// Which streams still have a reader. A stream whose reader has gone (`envo run | head`) is silently written
/// to no more.
#[derive(Debug, Default)]
struct HumanStreams {
    out_closed: bool,
    error_closed: bool,
}

impl HumanReporter {
    pub fn new(layout: EventLayout) -> Self {
        Self { layout, streams: Mutex::default() }
    }

    pub fn layout(&self) -> &EventLayout {
        &self.layout
    }

    pub(super) fn write(&self, stream: OutputStream, bytes: &[u8]) {
        // A thread that panicked while it wrote left no state that matters to the next.
        let mut streams = self.streams.lock();
        match stream {
            OutputStream::Out if !streams.out_closed => streams.out_closed = write(io::stdout().lock(), bytes).is_err(),
            OutputStream::Error if !streams.error_closed => {
                streams.error_closed = write(io::stderr().lock(), bytes).is_err();
            }
            _ => {}
        }
    }
}

impl Reporter for HumanReporter {
    fn event(&self, event: RunEvent) {
        if let Some((stream, bytes)) = self.layout.format(event) {
            self.write(stream, &bytes);
        }
    }
}

/// Writes everything at once, so that it precedes a child's next output.
pub(super) fn write(mut target: impl Write, bytes: &[u8]) -> io::Result<()> {
    target.write_all(bytes).and_then(|()| target.flush()).inspect_err(lost_output::note)
}
