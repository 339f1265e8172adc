//! Reads the keys of services, with inheritance, conditions and substitution applied. The meaning of their values is
//! defined in [`crate::model::service`].

use std::borrow::Cow;
use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;

use crate::error::{ConfigError, Location};
use crate::model::ServiceSettings;
use crate::model::environment::InheritedFrom;
use crate::model::service::{AddressUse, ServiceSource};
use crate::os_text;
use crate::settings::config_set::ConfigSet;
use crate::settings::defaults::service_keys;
use crate::settings::env_file;
use crate::settings::expand::Trail;
use crate::settings::keys;
use crate::settings::loader::{SectionLoader, spellings};
use crate::settings::toml::ENV;
use crate::settings::toml::load::toml_entry;
use crate::settings::toml::location::line_of;
use crate::settings::value::SettingValue;
use crate::settings::{Settings, toml_section};
use crate::source::ConfigDocument;

/// The service that the environment is, if it has a `serve` key. Fields such as `{port}` stay for when it runs.
pub(super) fn service(settings: &Settings, set: &ConfigSet) -> Result<Option<ServiceSettings>, ConfigError> {
    if !service_keys(settings, set)?.contains(&"serve") {
        return Ok(None);
    }
    let mut service = ServiceSettings::from_keys(&ServiceKeys { settings, set })?;
    if let Some(service) = &mut service {
        if !service.watching.watch.is_empty() || service.storage.data.is_some() {
            let root = settings.tox_root()?;
            service.storage.data = service.storage.data.as_ref().map(|data| below(&root, data));
            service.watching.watch = service.watching.watch.iter().map(|pattern| absolute(&root, pattern)).collect();
        }
        if let Some(place) = location(settings, set, "depends") {
            service.locations.insert("depends".to_owned(), place);
        }
    }
    Ok(service)
}

/// The prefix of references to addresses of services.
const FIELD: &str = "{service:";

/// Where the variables and commands of an environment ask for addresses of services. Their values are not worked out yet,
/// for they may depend on what a build leaves behind; references to other sections are reported when they are resolved.
pub(super) fn asks(settings: &Settings, set: &ConfigSet) -> Result<Vec<AddressUse>, ConfigError> {
    let mut found = Vec::new();
    if !asks_for_services(settings) {
        return Ok(found);
    }
    for name in ["set_env", "commands_pre", "commands", "commands_post"] {
        let Some(key) = keys::find(name) else { continue };
        let loaders = settings.loaders(set)?;
        let Some(text) = loaders.iter().find_map(|loader| raw_text(settings, set, loader, key)) else { continue };
        if text.contains(FIELD) {
            found.push(AddressUse { key: key.name, place: location(settings, set, name), text });
        }
    }
    Ok(found)
}

/// Which other section the value of a list comes from when the environment's own says nothing of it.
pub(super) fn inherited(
    settings: &Settings,
    set: &ConfigSet,
    name: &str,
) -> Result<Option<InheritedFrom>, ConfigError> {
    let Some(key) = keys::find(name) else { return Ok(None) };
    let says = |loader: &&Arc<SectionLoader>| {
        settings.overrides_of(loader, key).next().is_some() || raw_text(settings, set, loader, key).is_some()
    };
    let (own, nothing) = match (&settings.source.document, &set.name) {
        (ConfigDocument::Toml(document), Some(name)) => (toml_section(document, &[ENV, name]), "= []"),
        _ => (set.section.clone(), "="),
    };
    let other = settings.loaders(set)?.iter().find(says).filter(|loader| loader.section != own);
    Ok(other.map(|loader| {
        let place = location(settings, set, name).map_or(String::new(), |place| format!(" ({})", place.short()));
        InheritedFrom {
            from: format!("`[{}]`{place}", loader.section),
            remedy: format!("`{name} {nothing}` in `[{own}]`"),
        }
    }))
}

/// What a section says of a key, less the lines that do not hold for the environment.
fn raw_text(settings: &Settings, set: &ConfigSet, loader: &SectionLoader, key: &keys::SettingKey) -> Option<String> {
    spellings(key).find_map(|spelling| match &settings.source.document {
        ConfigDocument::Ini(_) => {
            settings.process_raw(set, &settings.entry(loader, spelling)?.value).ok()?.map(Cow::into_owned)
        }
        ConfigDocument::Toml(document) => Some(toml_entry(document, loader, spelling)?.to_value().to_string()),
    })
}

/// Where a key was written, if that is known.
fn location(settings: &Settings, set: &ConfigSet, key: &str) -> Option<Location> {
    settings.location_of(set, key).ok().flatten()
}

/// A pattern from the project's root on; what is left out keeps its mark.
fn absolute(root: &Path, pattern: &str) -> String {
    match pattern.strip_prefix('!') {
        Some(rest) => format!("!{}", below(root, rest.trim_start())),
        None => below(root, pattern),
    }
}

fn below(root: &Path, path: &str) -> String {
    os_text::decode(root.join(os_text::encode(path)).as_os_str())
}

/// The variables of the files that `env_file` names, a later file before an earlier one. Values in them may refer to the
/// variables envo runs with, then to `set_env`, then to what the files say before.
pub(super) fn env_files(settings: &Settings, set: &ConfigSet) -> Result<Vec<(String, String)>, ConfigError> {
    if !service_keys(settings, set)?.contains(&"env_file") {
        return Ok(Vec::new());
    }
    let SettingValue::Text(files) = settings.value(set, "env_file")? else { return Ok(Vec::new()) };
    let place = || settings.location_of(set, "env_file").ok().flatten();
    // Most files refer to none of it; what is wrong with it is reported where it is used.
    let own = LazyCell::new(|| settings.all_variables(set, &Trail::default()).unwrap_or_default());
    let own_value = |name: &str| own.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let outside = |name: &str| settings.options.process.variables.text(name).or_else(|| own_value(name));
    let found =
        env_file::read(&files, &settings.tox_root()?, &outside).map_err(|error| settings.at_value(error, place()))?;
    found.warnings.into_iter().for_each(|warning| settings.warn_once(warning));
    Ok(found.variables)
}

/// Looks whether the files that `env_file` of an environment names can be read, before anything of it is used.
pub fn ensure_env_files(settings: &Settings, environment: &str) -> Result<(), ConfigError> {
    env_files(settings, &settings.environment(environment)).map(drop)
}

/// Whether anything in the configuration asks for the address of a service.
pub fn asks_for_services(settings: &Settings) -> bool {
    settings.source.text.contains(FIELD)
}

struct ServiceKeys<'a> {
    settings: &'a Settings,
    set: &'a ConfigSet,
}

impl ServiceSource for ServiceKeys<'_> {
    fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        if let Some((kind, place)) = self.probe_taken_for_condition(key)? {
            let message = format!("`{key} = {kind}: …` is a condition: for environments with `{kind}` in their name");
            let remedy = format!("remove the space after `{kind}:`");
            return Err(self.settings.at_value(ConfigError::handled(message), Some(place)).hint(remedy));
        }
        if !self.settings.says(self.set, key)? {
            return Ok(None);
        }
        match self.settings.value(self.set, key)? {
            SettingValue::Text(text) => Ok(Some(text)),
            other => Ok(Some(other.show().text)),
        }
    }

    fn location(&self, key: &str) -> Option<Location> {
        let written = self.settings.location_of(self.set, key).ok().flatten();
        written.or_else(|| self.table_location(key))
    }

    fn located(&self, key: &str, error: ConfigError) -> ConfigError {
        self.settings.at_value(error, self.location(key))
    }
}

impl ServiceKeys<'_> {
    /// In an INI file `log: ready` is a line for environments with the factor `log`, and would otherwise be left out
    /// without a word.
    fn probe_taken_for_condition(&self, key: &str) -> Result<Option<(&'static str, Location)>, ConfigError> {
        let Some(key) = keys::find(key).filter(|key| matches!(key.name, "ready" | "alive")) else { return Ok(None) };
        if self.settings.ini().is_none() {
            return Ok(None);
        }
        let loaders = self.settings.loaders(self.set)?;
        let entry = loaders.iter().find_map(|loader| self.settings.entry(loader, key.name));
        let Some(entry) = entry else { return Ok(None) };
        let of_this = |kind: &&str| self.set.label().split('-').any(|factor| factor == *kind);
        let begins = |line: &str, kind: &str| {
            let rest = line.trim().strip_prefix(kind).and_then(|rest| rest.strip_prefix(':'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        let kinds = ["log", "cmd", "http", "https", "tcp", "unix"];
        let is_meant = |kind: &&str| !of_this(kind) && entry.value.lines().any(|line| begins(line, kind));
        Ok(kinds.into_iter().find(is_meant).map(|kind| (kind, self.settings.entry_location(entry))))
    }

    fn table_location(&self, key: &str) -> Option<Location> {
        self.settings.toml()?;
        let key = keys::find(key)?.name;
        let source = &self.settings.source;
        let loaders = self.settings.loaders(self.set).ok()?;
        let line = loaders.iter().find_map(|loader| line_of(source, &loader.path.join("."), key))?;
        Some(Location { file: source.path.clone(), line, column: 1, length: key.len() })
    }
}
