//! What a shell gets when it enters a project: `[envo]` in the configuration, whether its content was allowed, and the change
//! of the shell's variables. Nothing here runs a program.

pub mod cache;
pub mod change;
pub mod project;
pub mod script;
pub mod trust;
