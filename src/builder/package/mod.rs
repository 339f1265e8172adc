//! From sources to packages that can be installed: asks the project's build backend (PEP 517, PEP 660) in its packaging
//! environment, and reads what packages require. Makes no environment and installs nothing: a [`builder::Workshop`] does.

mod archive;
pub mod backend;
pub mod builder;
mod extras;
pub mod frontend;
mod links;
pub mod metadata;
mod process;
mod pyproject;
pub mod staging;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use backend::BuildSystem;
pub use builder::{BuildRequest, PackageBuilder, Site, Wanted, Workshop, describe_wheel};
pub use frontend::BackendFailed;
pub use metadata::{Metadata, static_requirements};

/// What kind of file it is, since installers treat them differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageFile {
    Wheel,
    /// With the config settings for building it once more.
    Sdist {
        config_settings: Vec<(String, String)>,
    },
    /// A PEP 660 wheel that points back at the sources.
    Editable,
    /// `pip install -e`.
    EditableLegacy,
}

/// A built package and what it requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub path: PathBuf,
    pub file: PackageFile,
    /// PEP 508 requirements that apply, extras included and their markers resolved, in canonical form.
    pub requirements: Vec<String>,
}
