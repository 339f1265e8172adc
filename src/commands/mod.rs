//! One file per verb, and the way from the command line to it.

use std::ffi::OsString;

/// Parses the command line, runs the verb and returns the exit code for the shell.
pub fn main(_arguments: Vec<OsString>) -> u8 {
    crate::exit_code::to_shell(crate::exit_code::USAGE)
}
