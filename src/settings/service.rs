//! The keys around `serve`, read through the settings: inheritance, conditions and substitution have been applied.
//! What the values mean is in [`crate::model::service`].

use std::cell::OnceCell;
use std::path::Path;

use super::config_set::ConfigSet;
use super::defaults::service_keys;
use super::toml::place::line_of;
use super::value::Value;
use super::{Settings, env_file, keys};
use crate::error::{ConfigError, Location};
use crate::model::Service;
use crate::model::service::Source;

/// The service that the environment is, if it has a `serve` key. Fields such as `{port}` stay for when it runs.
pub(super) fn service(settings: &Settings, set: &ConfigSet) -> Result<Option<Service>, ConfigError> {
    if !service_keys(settings, set)?.contains(&"serve") {
        return Ok(None);
    }
    let mut service = Service::from_keys(&Written { settings, set, text: OnceCell::new() })?;
    if let Some(service) = &mut service
        && !service.watch.is_empty()
    {
        let root = settings.tox_root()?;
        service.watch = service.watch.iter().map(|pattern| absolute(&root, pattern)).collect();
    }
    Ok(service)
}

/// A pattern from the project's root on; what is left out keeps its mark.
fn absolute(root: &Path, pattern: &str) -> String {
    match pattern.strip_prefix('!') {
        Some(rest) => format!("!{}", root.join(rest.trim_start()).display()),
        None => root.join(pattern).display().to_string(),
    }
}

/// The variables of the files that `env_file` names, a later file before an earlier one.
///
/// # Errors
/// A file that cannot be read, or a line in it that says nothing.
pub(super) fn env_files(settings: &Settings, set: &ConfigSet) -> Result<Vec<(String, String)>, ConfigError> {
    if !service_keys(settings, set)?.contains(&"env_file") {
        return Ok(Vec::new());
    }
    let Value::Text(files) = settings.value(set, "env_file")? else { return Ok(Vec::new()) };
    let place = || settings.place_of(set, "env_file").ok().flatten();
    env_file::read(&files, &settings.tox_root()?).map_err(|error| place().into_iter().fold(error, ConfigError::at))
}

struct Written<'a> {
    settings: &'a Settings,
    set: &'a ConfigSet,
    /// The file's, once a place in it is asked for.
    text: OnceCell<String>,
}

impl Source for Written<'_> {
    fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        if !self.settings.says(self.set, key)? {
            return Ok(None);
        }
        match self.settings.value(self.set, key)? {
            Value::Text(text) => Ok(Some(text)),
            other => Ok(Some(other.show().text)),
        }
    }

    fn place(&self, key: &str) -> Option<Location> {
        let written = self.settings.place_of(self.set, key).ok().flatten();
        written.or_else(|| self.place_in_table(key))
    }
}

impl Written<'_> {
    fn place_in_table(&self, key: &str) -> Option<Location> {
        self.settings.toml()?;
        let key = keys::find(key)?.name;
        let file = &self.settings.source.path;
        let text = self.text.get_or_init(|| std::fs::read_to_string(file).unwrap_or_default());
        let loaders = self.settings.loaders(self.set).ok()?;
        let line = loaders.iter().find_map(|loader| line_of(text, &loader.path.join("."), key))?;
        Some(Location { file: file.clone(), line, column: 1, length: key.len() })
    }
}
