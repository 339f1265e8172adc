//! The program: passes the arguments to [`envo::run`] and exits with its result.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the process has just begun, and nothing has started a thread.
    ExitCode::from(unsafe { envo::run(std::env::args_os()) })
}
