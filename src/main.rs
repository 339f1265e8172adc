//! The program: hands the arguments to [`envo::run`] and turns its answer into the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the process has just begun, and nothing has started a thread.
    ExitCode::from(unsafe { envo::run(std::env::args_os()) })
}
