//! Runs programs: builds their variables, starts them, captures their output and ends them. It does not
//! decide what to run.

pub mod captured;
pub mod environment;
mod execution;
pub mod interrupt;
mod log_file;
mod output;
pub mod process;
pub mod program;
pub mod pty;
mod running_command;
pub mod session;
pub mod shell;
pub mod termination;
pub mod tree;

#[cfg(test)]
mod tests;
