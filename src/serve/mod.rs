//! Running services: in which order they start and stop, when they are ready, what dependents are told, and that
//! nothing they started outlives them. Decides nothing about configuration and builds nothing.

mod accept;
mod attached;
mod changes;
mod checks;
pub mod client;
mod connection;
pub mod daemon;
pub mod excerpt;
pub mod fields;
pub mod follow;
pub mod graph;
mod instance_mark;
pub mod instances;
pub mod keeper;
mod leftover;
mod lines;
mod listening;
mod log;
pub mod machine;
pub mod memory;
pub mod moved_state;
mod orders;
pub mod place;
mod ports;
mod prepared;
mod private;
mod probe;
mod processes;
pub mod protocol;
mod shim;
mod socket_folders;
mod start;
mod supervisor;
mod supervisor_process;
mod surroundings;
#[cfg(test)]
mod tests;
mod waiting;
mod watch;
mod work;

pub use attached::{Background, Held, HoldOptions, connect, serve_foreground, up};
pub use client::SupervisorProgram;
pub use prepared::{define, service_variables};
