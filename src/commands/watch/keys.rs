//! The keys of `run --watch`. On a terminal each key counts at once; the terminal is restored at the end.

use std::io::{self, Read as _};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::Result;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

use super::WatchEvent;

/// Standard input, read key by key.
pub(super) struct Keys {
    /// How the terminal was before; `None`: standard input is not a terminal.
    before: Option<Termios>,
    is_readable: bool,
}

impl Keys {
    /// Makes the terminal report keys at once if this process may use it.
    pub(super) fn of_terminal() -> Self {
        let input = io::stdin();
        if !isatty(&input) {
            return Self { before: None, is_readable: true };
        }
        // A background process that read from the terminal would be stopped.
        if tcgetpgrp(&input).ok() != Some(rustix::process::getpgrp()) {
            return Self { before: None, is_readable: false };
        }
        let before = tcgetattr(&input).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(&input, OptionalActions::Now, &modes);
        }
        Self { before, is_readable: true }
    }

    pub(super) fn report(&self, sender: Sender<WatchEvent>) -> Result<()> {
        if !self.is_readable {
            return Ok(());
        }
        let read = move || {
            for byte in io::stdin().lock().bytes().map_while(Result::ok) {
                if sender.send(WatchEvent::Key(byte)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("keys".to_owned()).spawn(read)?;
        Ok(())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
