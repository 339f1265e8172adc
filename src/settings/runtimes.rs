//! Reads `runtime` and related keys: the languages of an environment. Knows no language but Python by name.

use std::sync::Arc;

use crate::error::ConfigError;
use crate::model::Deferred;
use crate::model::runtime::{DEFAULT, RuntimeRequirement, RuntimeVersionRequirement, factor_version};
use crate::settings::Settings;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::keys;
use crate::settings::post_process::PACKAGE_KINDS;
use crate::settings::value::SettingValue;

/// What conditions on a version begin with: after a comma they belong to the entry before.
const OPERATORS: [char; 6] = ['<', '>', '=', '!', '~', '^'];

impl Settings {
    /// The entries of `runtime`; empty where it is not set.
    pub(super) fn runtime_entries(&self, set: &ConfigSet) -> Result<Vec<String>, ConfigError> {
        if set.kind != SetKind::Run || !self.says(set, "runtime")? {
            return Ok(Vec::new());
        }
        let mut entries: Vec<String> = Vec::new();
        for entry in self.list(set, "runtime")? {
            match entries.last_mut() {
                Some(last) if entry.starts_with(OPERATORS) => {
                    last.push(',');
                    last.push_str(&entry);
                }
                _ => entries.push(entry),
            }
        }
        Ok(entries)
    }

    /// Whether the environment is one of Python, alone or among others.
    pub(super) fn has_python(&self, set: &ConfigSet) -> Result<bool, ConfigError> {
        let entries = self.runtime_entries(set)?;
        Ok(entries.is_empty() || entries.iter().any(|entry| name_of(entry) == DEFAULT))
    }

    /// Whether the environment is one of other languages, alone or beside Python.
    pub(super) fn has_other_than_python(&self, set: &ConfigSet) -> Result<bool, ConfigError> {
        Ok(self.runtime_entries(set)?.iter().any(|entry| name_of(entry) != DEFAULT))
    }

    /// The value of `package` if it is a package of another language, not Python.
    pub fn package_of_runtime(&self, set: &ConfigSet) -> Result<Option<String>, ConfigError> {
        if set.kind != SetKind::Run || !self.takes_package(set) || !self.has_other_than_python(set)? {
            return Ok(None);
        }
        let package = self.text(set, "package")?;
        Ok((!PACKAGE_KINDS.contains(&package.as_str())).then_some(package))
    }
}

/// The values of `runtime` and related keys.
pub fn requirements(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<Vec<RuntimeRequirement>, ConfigError> {
    let entries = settings.runtime_entries(set)?;
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let install = settings.options.run.interpreters.install_runtime || settings.boolean(set, "install_runtime")?;
    let mut requirements: Vec<RuntimeRequirement> = Vec::new();
    for entry in &entries {
        let key = settings.location_of(set, "runtime")?;
        let requirement = requirement(settings, set, entry, install).map_err(|error| settings.at_value(error, key))?;
        let place = settings.location_within(set, "runtime", entry);
        if requirements.iter().any(|other| other.name == requirement.name) {
            let error = ConfigError::fail(format!("`runtime` of {} names `{}` twice", set.label(), requirement.name));
            return Err(place.into_iter().fold(error, ConfigError::at));
        }
        requirements.push(RuntimeRequirement { place: place.map(Box::new), ..requirement });
    }
    Ok(requirements)
}

fn requirement(
    settings: &Arc<Settings>,
    set: &Arc<ConfigSet>,
    entry: &str,
    install: bool,
) -> Result<RuntimeRequirement, ConfigError> {
    let name = name_of(entry);
    let version = match entry.split_once('@') {
        None => None,
        Some((_, text)) if name == DEFAULT => {
            let text = format!(
                "`{DEFAULT}@{text}` in `runtime` of {}: the version of Python is set in `base_python`",
                set.label()
            );
            return Err(ConfigError::fail(text)
                .hint("set `base_python` next to `runtime`, or use the version as a factor of the name"));
        }
        Some((_, text)) => Some(RuntimeVersionRequirement::parse(text).ok_or_else(|| {
            let message = format!("`{text}` in `runtime` of {} is not a valid version of {name}", set.label());
            ConfigError::fail(message).hint(format!("such as {name}@20, {name}@3.1.2 or {name}@>=3,<4"))
        })?),
    };
    let key = format!("{name}_deps");
    let dependencies_place = match keys::find(&key) {
        Some(key) => settings.location_within(set, key.name, "").map(Box::new),
        None => None,
    };
    let dependencies = match keys::find(&key) {
        None => Deferred::ready(Vec::new()),
        Some(key) => {
            let key = key.name;
            deferred(settings, set, move |settings, set| match settings.value(set, key)? {
                SettingValue::List(entries) => Ok(entries),
                _ => Ok(Vec::new()),
            })
        }
    };
    let factor = factor_version(set.label(), &name);
    Ok(RuntimeRequirement { name, version, factor, dependencies, dependencies_place, lock: None, install, place: None })
}

fn name_of(entry: &str) -> String {
    entry.split('@').next().unwrap_or_default().trim().to_lowercase()
}

/// A value that is worked out when it is reached, from these settings.
pub(super) fn deferred<T: 'static>(
    settings: &Arc<Settings>,
    set: &Arc<ConfigSet>,
    work: impl Fn(&Settings, &ConfigSet) -> Result<T, ConfigError> + Send + Sync + 'static,
) -> Deferred<T> {
    let (settings, set) = (Arc::clone(settings), Arc::clone(set));
    Deferred::new(move || work(&settings, &set))
}
