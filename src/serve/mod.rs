//! Runs services: starts and stops them in order, detects readiness, gives their addresses to dependents, and
//! ensures that nothing they started outlives them. It does not read the configuration and builds nothing.

mod checks;
pub mod client;
pub mod fields;
pub mod graph;
pub mod instances;
mod lines;
pub mod machine;
mod ports;
mod prepared_definition;
mod private;
mod probe;
pub mod protocol;
pub mod shim;
pub mod supervisor;
#[cfg(test)]
mod tests;

pub use crate::serve::client::SupervisorProgram;
pub use crate::serve::client::held_services::{
    BackgroundStart, HoldOptions, ServiceLease, connect, serve_foreground, up,
};
pub use crate::serve::prepared_definition::{define, service_variables};
pub use crate::serve::probe::CancellableWait;
