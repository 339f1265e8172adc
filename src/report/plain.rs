//! Text of verbs that just print and of errors that end the program.

use std::io;

use crate::os_text;
use crate::python_text::plain;
use crate::report::human::write;

/// Writes `text` to standard output as it is, without a line end of its own. A reader that went away is no error.
pub fn out(text: &str) {
    let _ = write(io::stdout().lock(), os_text::shown(text).as_bytes());
}

/// Writes bytes, which need not be text, to standard output as they are.
pub fn bytes(bytes: &[u8]) {
    let _ = write(io::stdout().lock(), bytes);
}

/// How many characters fit into a line of the terminal that standard output is; `None` where it is none.
pub fn width() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Writes `text` to standard error, without a line end of its own. Parts of it may come from files of others, from the
/// network or from processes, so what a terminal would obey is shown escaped.
pub fn error(text: &str) {
    drawn(&plain(text));
}

/// The same for what is drawn here, with colours: what it is drawn of is shown escaped already.
pub fn drawn(text: &str) {
    let _ = write(io::stderr().lock(), text.as_bytes());
}
