//! Reads the settings of TOML tables: finds the tables of a set and resolves their values.

use toml::Value as Toml;

use crate::error::ConfigError;
use crate::settings::config_set::{ConfigSet, SetKind, is_known};
use crate::settings::convert::list;
use crate::settings::expand::replace::ReplaceStyle;
use crate::settings::loader::{KeyLocation, SectionLoader, spellings};
use crate::settings::overrides::Override;
use crate::settings::toml::convert::{convert, python_type};
use crate::settings::toml::unroll::{SubstitutedTexts, TomlUnroller};
use crate::settings::toml::{ENV, ENV_BASE};
use crate::settings::value::{SettingValue, ValueKind};
use crate::settings::{Settings, toml_section};
use crate::source::{TomlContent, TomlDocument, TomlValue};

/// A value of a loader's table.
pub fn toml_entry<'a>(document: &'a TomlDocument, loader: &SectionLoader, spelling: &str) -> Option<&'a TomlValue> {
    loader.file_section.as_ref()?;
    document.get(&loader.path)?.get(spelling)
}

impl Settings {
    pub(in crate::settings) fn toml_loader(
        &self,
        document: &TomlDocument,
        path: &[&str],
    ) -> Result<Option<SectionLoader>, ConfigError> {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let section = if path.is_empty() { String::new() } else { toml_section(document, &steps) };
        let found = document.get(&path);
        match found {
            Some(value) if !path.is_empty() && !value.is_table() => {
                let kind = python_type(value);
                Err(ConfigError::handled(format!("{section} must be a table, is '{kind}'")))
            }
            Some(_) => {
                let (file_section, overridden) = (Some(section.clone()), self.overrides.has_section(&section));
                Ok(Some(SectionLoader { section, file_section, position: None, overridden, path }))
            }
            None if self.overrides.has_section(&section) => {
                Ok(Some(SectionLoader { section, path, overridden: true, ..SectionLoader::default() }))
            }
            None => Ok(None),
        }
    }

    /// The tables that an entry of `base` may mean: one by its whole path, or an environment.
    pub(in crate::settings) fn toml_base_loaders(
        &self,
        document: &TomlDocument,
        base: &str,
    ) -> Result<Vec<SectionLoader>, ConfigError> {
        let templates = format!("{}.", toml_section(document, &[ENV_BASE]));
        if let Some(name) = base.strip_prefix(&templates) {
            return Ok(self.toml_loader(document, &[ENV_BASE, name])?.into_iter().collect());
        }
        let own = format!("{}.", document.prefix.join("."));
        let name = if document.prefix.is_empty() { base } else { base.strip_prefix(&own).unwrap_or(base) };
        let table = self.toml_loader(document, &[name])?;
        Ok(table.into_iter().chain(self.toml_loader(document, &[ENV, base])?).collect())
    }

    pub(in crate::settings) fn load_from_table(
        &self,
        document: &TomlDocument,
        place: &KeyLocation<'_>,
    ) -> Result<Option<SettingValue>, ConfigError> {
        let entry = |spelling| Some((spelling, toml_entry(document, place.loader, spelling)?));
        let Some((spelling, raw)) = spellings(place.key).find_map(entry) else { return Ok(None) };
        let kind = place.kind();
        let failed = |error| self.at_part(place.failed_as(spelling, error));
        let style = if matches!(kind, ValueKind::Requirements | ValueKind::Constraints) {
            ReplaceStyle::Requirements
        } else {
            ReplaceStyle::Plain
        };
        let mut unroll = TomlUnroller::new(self, place.set, place.trail, SubstitutedTexts::Replace(style));
        unroll.program_depth = match kind {
            ValueKind::Commands => Some(2),
            ValueKind::Command => Some(1),
            _ => None,
        };
        let resolved = unroll.value(raw, 0).map_err(failed)?;
        convert(place.key.name, kind, &resolved).map(Some).map_err(failed)
    }

    pub(in crate::settings) fn unused_toml_keys(
        &self,
        set: &ConfigSet,
        defined: &[&str],
    ) -> Result<Vec<String>, ConfigError> {
        let Some(document) = self.toml() else { return Ok(Vec::new()) };
        let Some(loader) = self.loaders(set)?.first() else { return Ok(Vec::new()) };
        let table = if loader.path.is_empty() {
            Some(document.table())
        } else {
            document.get(&loader.path).and_then(TomlValue::as_table)
        };
        let meant_otherwise: &[&str] = match set.kind {
            SetKind::Core => &[ENV, ENV_BASE, crate::settings::toml::RUN_BASE, crate::settings::toml::PACKAGE_BASE],
            _ if loader.path.first().is_some_and(|step| step == ENV_BASE) => &["factors"],
            _ => &[],
        };
        let keys = table.into_iter().flat_map(TomlValue::keys);
        let unused = keys.filter(|key| !is_known(defined, key) && !meant_otherwise.contains(key));
        let mut unused: Vec<String> = unused.map(str::to_owned).collect();
        unused.sort();
        Ok(unused)
    }
}

/// Whether a value may have anything that is replaced.
pub fn may_refer(value: &TomlValue) -> bool {
    match value.as_str() {
        Some(text) => crate::settings::loader::may_refer(text),
        None => value.is_table() || value.entries().any(|(_, entry)| may_refer(entry)),
    }
}

/// A raw value as text for another one (Python's `stringify`).
pub fn as_text(value: &TomlValue) -> String {
    match &value.content {
        TomlContent::Array(entries) => entries.iter().map(as_text).collect::<Vec<_>>().join("\n"),
        TomlContent::Table(table) => {
            table.iter().map(|(key, value)| format!("{key}={}", as_text(value))).collect::<Vec<_>>().join("\n")
        }
        TomlContent::Scalar(_) => crate::settings::toml::convert::python_text(value),
    }
}

/// Applies an override to a value that is read through a reference.
pub fn override_raw(value: TomlValue, one: &Override) -> Result<TomlValue, ConfigError> {
    let text = |text: String| TomlValue::text(text, 0..0);
    let texts = || list(&one.value).into_iter().map(text);
    let pairs = || {
        let lines = one.value.split('\n').filter_map(|line| line.split_once('='));
        lines.map(|(name, value)| (name.trim().to_owned(), text(value.trim().to_owned())))
    };
    let content = match (value.content, one.append) {
        (TomlContent::Array(entries), true) => TomlContent::Array(entries.into_iter().chain(texts()).collect()),
        (TomlContent::Array(_), false) => TomlContent::Array(texts().collect()),
        (TomlContent::Table(table), true) => TomlContent::Table(table.into_iter().chain(pairs()).collect()),
        (TomlContent::Table(_), false) => TomlContent::Table(pairs().collect()),
        (TomlContent::Scalar(Toml::String(old)), true) => return Ok(text(format!("{old}\n{}", one.value))),
        (_, true) => return Err(ConfigError::value("Only able to append to lists, dicts and strings")),
        (_, false) => return Ok(text(one.value.clone())),
    };
    Ok(TomlValue::new(content, 0..0))
}
