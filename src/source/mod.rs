//! Where configuration comes from: finding the file, reading it, keeping every value's place. What the values mean is
//! the business of `settings`.

pub mod discover;
pub mod document;
pub mod ini;

pub use discover::discover;
pub use document::{Entry, IniDocument, IniSection};

use std::path::PathBuf;
use std::sync::Arc;

/// The places a tox configuration can stand in, in the order they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    ToxIni,
    SetupCfg,
    /// `[tool.tox]` of `pyproject.toml`.
    PyProject,
    /// `tool.tox.legacy_tox_ini` of `pyproject.toml`.
    LegacyToml,
    ToxToml,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::ToxIni, Self::SetupCfg, Self::PyProject, Self::LegacyToml, Self::ToxToml];

    pub fn file_name(self) -> &'static str {
        match self {
            Self::ToxIni => "tox.ini",
            Self::SetupCfg => "setup.cfg",
            Self::PyProject | Self::LegacyToml => "pyproject.toml",
            Self::ToxToml => "tox.toml",
        }
    }

    /// The name tox gives it in messages.
    pub fn tox_name(self) -> &'static str {
        match self {
            Self::ToxIni => "ToxIni",
            Self::SetupCfg => "SetupCfg",
            Self::PyProject => "TomlPyProject",
            Self::LegacyToml => "LegacyToml",
            Self::ToxToml => "TomlTox",
        }
    }

    /// The section that holds the project-wide settings, in INI notation.
    pub fn core_section(self) -> &'static str {
        match self {
            Self::SetupCfg => "tox:tox",
            _ => "tox",
        }
    }
}

/// What a file holds, in the notation it is written in.
#[derive(Debug, Clone)]
pub enum Document {
    Ini(IniDocument),
    /// The table that tox's settings stand in: the whole of `tox.toml`, or `[tool.tox]`.
    Toml(toml::Table),
}

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub format: Format,
    /// The file's text, for error frames. Of `legacy_tox_ini` only that value.
    pub text: Arc<str>,
    pub document: Document,
}
