//! Python: finding interpreters, asking them about themselves and making virtual environments from them.

pub mod discovery;
pub mod facts;
mod places;
mod shim;
#[cfg(test)]
mod testing;

pub use discovery::PythonDiscovery;
