//! Writes events for people, in tox's words, to standard output and standard error.

use std::io::{self, Write};
use std::sync::Mutex;

use crate::event::{Event, Reporter, Stream};
use crate::report::layout::Layout;
use crate::report::lost_output;

/// One writer for all threads: what one event writes is never torn apart by another.
#[derive(Debug)]
pub struct Human {
    layout: Layout,
    streams: Mutex<Streams>,
}

/// Which streams still have a reader. One whose reader went away (`envo run | head`) is written to no more, quietly.
#[derive(Debug, Default)]
struct Streams {
    out_closed: bool,
    error_closed: bool,
}

impl Human {
    pub fn new(layout: Layout) -> Self {
        Self { layout, streams: Mutex::default() }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn write(&self, stream: Stream, bytes: &[u8]) {
        // A thread that panicked while it wrote left nothing half-done that would matter to the next.
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match stream {
            Stream::Out if !streams.out_closed => streams.out_closed = write(io::stdout().lock(), bytes).is_err(),
            Stream::Error if !streams.error_closed => {
                streams.error_closed = write(io::stderr().lock(), bytes).is_err();
            }
            _ => {}
        }
    }
}

impl Reporter for Human {
    fn event(&self, event: Event) {
        if let Some((stream, bytes)) = self.layout.lay_out(event) {
            self.write(stream, &bytes);
        }
    }
}

/// Writes all of it at once, so that it stands before what a child writes next.
pub(super) fn write(mut target: impl Write, bytes: &[u8]) -> io::Result<()> {
    target.write_all(bytes).and_then(|()| target.flush()).inspect_err(lost_output::note)
}
