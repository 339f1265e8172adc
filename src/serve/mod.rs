//! Running services: in which order they start and stop, when they are ready, what dependents are told, and that
//! nothing they started outlives them. Decides nothing about configuration and builds nothing.

pub mod fields;
pub mod graph;
pub mod machine;
mod orders;
mod ports;
mod probe;
mod processes;
pub mod shim;
