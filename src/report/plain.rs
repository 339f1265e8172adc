//! Prints the text of commands that only print, and of errors that end the program.

use std::io;

use crate::os_text;
use crate::python_text::plain;
use crate::report::human::write;

/// Writes `text` to standard output unchanged, without adding a line end. A reader that has gone is not an
/// error.
pub fn out(text: &str) {
    let _ = write(io::stdout().lock(), os_text::shown(text).as_bytes());
}

/// Writes bytes, which need not be text, to standard output unchanged.
pub fn bytes(bytes: &[u8]) {
    let _ = write(io::stdout().lock(), bytes);
}

/// The number of characters in a line of the terminal on standard output; `None` if it is not a terminal.
pub fn width() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Clears the terminal on standard output; does nothing if it is not a terminal.
pub fn clear() {
    if rustix::termios::isatty(io::stdout()) {
        let _ = write(io::stdout().lock(), b"\x1b[H\x1b[2J\x1b[3J");
    }
}

/// Writes `text` to standard error, without adding a line end. Parts of it may come from other people's
/// files, from the network or from processes, so control sequences are shown escaped.
pub fn error(text: &str) {
    drawn(&plain(text));
}

/// The same for text with colours of envo's own: its parts are escaped already.
pub fn drawn(text: &str) {
    let _ = write(io::stderr().lock(), text.as_bytes());
}
