//! Reads packages and sources: the metadata of built packages, `pyproject.toml`, extras, archives. Runs
//! nothing.

pub mod archive;
pub mod extras;
pub mod links;
pub mod metadata;
pub mod pyproject;

use std::path::PathBuf;

pub use metadata::{CoreMetadata, static_requirements};

use crate::model::pep508::canonical_name;

/// The kind of the file; installers treat kinds differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageFile {
    Wheel,
    /// With the config settings for building it again.
    Sdist {
        config_settings: Vec<(String, String)>,
    },
    /// A PEP 660 wheel that refers to the sources.
    Editable,
    /// `pip install -e`.
    EditableLegacy,
}

/// A built package and its requirements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPackage {
    pub path: PathBuf,
    pub file: PackageFile,
    /// PEP 508 requirements that apply, extras included and their markers resolved, in canonical form.
    pub requirements: Vec<String>,
}

impl BuiltPackage {
    /// The normalised name in that of the file.
    pub fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = match self.file {
            PackageFile::Wheel | PackageFile::Editable => file.split_once('-'),
            _ => file.rsplit_once('-'),
        };
        canonical_name(name.map_or(file.as_str(), |(name, _)| name))
    }
}
