//! Pseudo-terminals: a command that writes to one behaves as in the user's own terminal, including colours.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{grantpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::platform::descriptors::open_terminal;

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct PseudoTerminal {
    /// The end that this process reads from.
    pub reader: OwnedFd,
    /// The end that the child writes to. It must be closed here once the child has it, or the reader never
    /// sees the end.
    pub child: OwnedFd,
}

/// A pseudo-terminal like the terminal `model`; `None` if that is not a terminal, or the system has none
/// left.
pub(super) fn like(model: impl AsFd) -> Option<PseudoTerminal> {
    if !isatty(&model) {
        return None;
    }
    let attributes = tcgetattr(&model).ok()?;
    let terminal = pair().ok()?;
    tcsetattr(&terminal.child, OptionalActions::Now, &attributes).ok()?;
    if let Some(size) = window_size(std::io::stdout()) {
        // Without a size it still works.
        let _ = tcsetwinsize(&terminal.child, size);
    }
    Some(terminal)
}

/// A new pseudo-terminal, which does not become a controlling terminal.
pub fn pair() -> rustix::io::Result<PseudoTerminal> {
    let reader = open_terminal()?;
    grantpt(&reader)?;
    unlockpt(&reader)?;
    let name = ptsname(&reader, Vec::new())?;
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    let child = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(PseudoTerminal { reader, child })
}

/// A new pseudo-terminal for output only: of the usual size, and without changing the output.
pub fn for_output() -> rustix::io::Result<PseudoTerminal> {
    let terminal = pair()?;
    let mut attributes = tcgetattr(&terminal.child)?;
    attributes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&terminal.child, OptionalActions::Now, &attributes)?;
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // Without a size it still works.
    let _ = tcsetwinsize(&terminal.child, size);
    Ok(terminal)
}

/// The columns and lines of a terminal; `None` for anything else.
pub(super) fn window_size(terminal: impl AsFd) -> Option<Winsize> {
    tcgetwinsize(terminal).ok()
}
