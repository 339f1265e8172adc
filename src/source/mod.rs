//! Finds and reads the configuration, and keeps the location of every value. Does not interpret values, which `settings`
//! does.

pub mod discover;
pub mod document;
pub mod ini;
pub mod toml;
pub mod yaml;

pub use discover::discover;
pub use document::{IniDocument, IniEntry, IniSection, LineNumbers};
pub use toml::{Span, TomlContent, TomlTable, TomlTree, TomlValue};

use std::path::PathBuf;
use std::sync::Arc;

/// The kinds of configuration files, in the order of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigFormatKind {
    ToxIni,
    SetupCfg,
    /// `[tool.tox]` of `pyproject.toml`.
    PyProject,
    /// `tool.tox.legacy_tox_ini` of `pyproject.toml`.
    LegacyToml,
    ToxToml,
}

impl ConfigFormatKind {
    pub const ALL: [Self; 5] = [Self::ToxIni, Self::SetupCfg, Self::PyProject, Self::LegacyToml, Self::ToxToml];

    pub fn file_name(self) -> &'static str {
        match self {
            Self::ToxIni => "tox.ini",
            Self::SetupCfg => "setup.cfg",
            Self::PyProject | Self::LegacyToml => "pyproject.toml",
            Self::ToxToml => "tox.toml",
        }
    }

    /// tox's name for it in messages.
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

/// The content of a file, in its notation.
#[derive(Debug, Clone)]
pub enum ConfigDocument {
    Ini(IniDocument),
    Toml(TomlDocument),
}

/// A TOML file and the path of tox's settings in it.
#[derive(Debug, Clone)]
pub struct TomlDocument {
    /// The whole file: references may reach beyond tox's own table.
    pub root: TomlTree,
    /// `tool`, `tox` in `pyproject.toml`; nothing in `tox.toml`.
    pub prefix: &'static [&'static str],
}

impl TomlDocument {
    /// A value below tox's own table; that table itself for an empty path.
    pub fn get(&self, path: &[String]) -> Option<&TomlValue> {
        path.iter().try_fold(self.table(), |node, step| node.get(step))
    }

    /// A value anywhere in the file. As in tox, a dot in a step parts it: names with dots cannot be reached.
    pub fn get_from_root(&self, path: &[String]) -> ReferencedValue<'_> {
        let mut steps = path.iter().flat_map(|step| step.split('.'));
        let first = steps.next().unwrap_or_default();
        let Some(mut value) = self.root.root().get(first) else {
            return ReferencedValue::Missing { step: first.to_owned() };
        };
        for step in steps {
            if !value.is_table() {
                return ReferencedValue::Blocked { step: step.to_owned(), value };
            }
            let Some(inner) = value.get(step) else { return ReferencedValue::Missing { step: step.to_owned() } };
            value = inner;
        }
        ReferencedValue::Value(value)
    }

    /// tox's own table.
    pub fn table(&self) -> &TomlValue {
        let mut table = self.root.root();
        for step in self.prefix {
            match table.get(step).and_then(TomlValue::as_table) {
                Some(inner) => table = inner,
                None => break,
            }
        }
        table
    }
}

/// The result of following a reference.
#[derive(Debug, Clone)]
pub enum ReferencedValue<'a> {
    Value(&'a TomlValue),
    Missing {
        /// The first missing key on the path.
        step: String,
    },
    /// A value on the path is not a table.
    Blocked {
        /// The key that cannot be in it.
        step: String,
        value: &'a TomlValue,
    },
}

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct ConfigSource {
    pub path: PathBuf,
    pub format: ConfigFormatKind,
    /// The file's text, for error frames. Of `legacy_tox_ini` only that value.
    pub text: Arc<String>,
    pub document: ConfigDocument,
    /// The number of lines of the file before the text: some where it is a value inside a file (`legacy_tox_ini`).
    pub lines_before: usize,
}

impl ConfigSource {
    /// A hint if there is no file and an empty one is assumed.
    pub fn missing_hint(&self) -> Option<&'static str> {
        (!self.path.is_file()).then_some("there is no configuration file; `envo quickstart` creates one")
    }
}
