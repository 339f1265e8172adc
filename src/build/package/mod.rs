//! Packages that were built from the project and are to be installed.

mod archive;
pub mod backend;
mod extras;
pub mod metadata;
mod pyproject;

use std::path::PathBuf;

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
