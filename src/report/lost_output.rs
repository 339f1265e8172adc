//! What could not be written is remembered until the process ends, which must not look like success then: the file of a
//! report may be on a full device. Written once, like the streams it is about.

use std::io;
use std::sync::OnceLock;

static FIRST: OnceLock<String> = OnceLock::new();

/// Remembers why output was lost. A reader that went away (`envo list | head`) wanted no more of it.
pub(super) fn note(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = FIRST.set(error.to_string());
    }
}

/// Why output was lost, if it was.
pub fn reason() -> Option<&'static str> {
    FIRST.get().map(String::as_str)
}
