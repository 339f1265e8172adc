//! Running programs: the variables they get, how they start, how their output is kept and how they are ended.

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
