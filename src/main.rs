//! The program: hands the arguments to [`envo::run`] and turns its answer into the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(envo::run(std::env::args_os()))
}
