//! Tests of runtimes other than Python: Node.js, Ruby, Go, Rust and programs of the system.

mod commands;
mod failures;
mod kills;
mod languages;
mod node;
mod offline;
mod packages;
mod registry;
