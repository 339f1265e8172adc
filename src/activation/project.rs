//! The project that a folder is in, and its section `[envo]`.

use std::path::{Path, PathBuf};

use crate::did_you_mean;
use crate::error::ConfigError;
use crate::source::{self, ConfigDocument, ConfigSource};

/// The keys of `[envo]`.
const KEYS: [&str; 2] = ["activate", "env_file"];

/// A project that names an environment for shells.
pub struct ActivatedProject {
    pub root: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    /// `activate`.
    pub environment: String,
    /// `env_file`, with a leading `?` for a file that may be missing.
    pub env_files: Vec<String>,
}

impl ActivatedProject {
    /// The project that the folder is in; `None` if there is none, or it names no environment.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn around(folder: &Path) -> Result<Option<Self>, ConfigError> {
        let found = source::discover(None, None, folder)?;
        if found.warning.is_some() {
            return Ok(None);
        }
        Self::of(&found.source)
    }

    /// What a configuration says.
    pub fn of(source: &ConfigSource) -> Result<Option<Self>, ConfigError> {
        let pairs = pairs(source)?;
        if let Some((unknown, _)) = pairs.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            let error = ConfigError::handled(format!("`{unknown}` is not a key of `[envo]`"));
            let likely = did_you_mean::closest(unknown, KEYS);
            return Err(error.hint(match likely {
                Some(likely) => format!("did you mean {likely}?"),
                None => format!("its keys are {}", KEYS.join(", ")),
            }));
        }
        let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned());
        let Some(environment) = value("activate").filter(|name| !name.is_empty()) else { return Ok(None) };
        let files = value("env_file").unwrap_or_default();
        let env_files = files.split(['\n', ',']).map(str::trim).filter(|file| !file.is_empty());
        Ok(Some(Self {
            root: source.path.parent().map(Path::to_path_buf).unwrap_or_default(),
            config: source.path.clone(),
            environment,
            env_files: env_files.map(str::to_owned).collect(),
        }))
    }
}

fn pairs(source: &ConfigSource) -> Result<Vec<(String, String)>, ConfigError> {
    if let ConfigDocument::Ini(document) = &source.document {
        let section = document.sections.iter().find(|section| section.name == "envo");
        let entries = section.into_iter().flat_map(|section| &section.entries);
        return Ok(entries.map(|entry| (entry.key.to_string(), entry.value.clone())).collect());
    }
    // Only tox's own table was kept.
    let Ok(table) = source.text.parse::<toml::Table>() else { return Ok(Vec::new()) };
    let own = table.get("tool").and_then(|tool| tool.get("envo")).or_else(|| table.get("envo"));
    let entries = own.and_then(toml::Value::as_table).into_iter().flatten();
    entries
        .map(|(key, value)| match value {
            toml::Value::String(text) => Ok((key.clone(), text.clone())),
            toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
                let lines: Vec<&str> = items.iter().filter_map(toml::Value::as_str).collect();
                Ok((key.clone(), lines.join("\n")))
            }
            _ => Err(ConfigError::handled(format!("`{key}` of `[envo]` is neither a text nor a list of texts"))),
        })
        .collect()
}
