//! Remembers until the process ends that output could not be written, which must not look like success then:
//! the file of a report may be on a full device.

use std::io;
use std::sync::OnceLock;

static FIRST: OnceLock<String> = OnceLock::new();

/// Records why output was lost. A reader that has gone (`envo list | head`) is not an error.
pub(super) fn note(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = FIRST.set(error.to_string());
    }
}

/// Why output was lost, if it was.
pub fn reason() -> Option<&'static str> {
    FIRST.get().map(String::as_str)
}
