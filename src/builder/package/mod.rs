//! Builds packages from sources: calls the project's build backend (PEP 517, PEP 660) in its packaging environment, and
//! reads the requirements of packages. Creates no environment and installs nothing: a [`builder::BackendEnv`] does.

pub mod backend;
pub mod builder;
pub mod frontend;
mod process;
pub mod staging;
#[cfg(test)]
mod tests;

pub use backend::BuildSystem;
pub use builder::{BackendEnv, BuildRequest, PackageBuilder, PackageNeed, PackagingEnvSpec, describe_wheel};
