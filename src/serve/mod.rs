//! Running services: in which order they start and stop, when they are ready, what dependents are told, and that
//! nothing they started outlives them. Decides nothing about configuration and builds nothing.

mod checks;
pub mod fields;
pub mod graph;
mod log;
pub mod machine;
mod orders;
mod ports;
mod prepared;
mod probe;
mod processes;
pub mod protocol;
pub mod shim;
mod stack;
mod start;
mod supervisor;
mod surroundings;
mod terminal;
#[cfg(test)]
mod tests;
mod watch;
mod work;

pub use fields::{Instances, fill};
pub use ports::user_folder;
pub use prepared::{PreparedService, service_variables};
pub use stack::{Stack, StackOptions, serve_foreground};
pub use start::ShimProgram;
pub use supervisor::{Ended, Hold};
