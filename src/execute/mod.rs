//! Running programs: the variables they get, how they start, how their output is kept and how they are ended.

pub mod interrupt;
pub mod process;
pub mod session;
