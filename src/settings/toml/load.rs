//! Reads the settings of TOML tables: which tables count for a set, and what their values come to.

use toml::Value as Toml;

use super::convert::{convert, python_type};
use super::unroll::{Texts, Unroll};
use super::{ENV, ENV_BASE};
use crate::error::{ConfigError, ErrorClass};
use crate::settings::config_set::{ConfigSet, SetKind, is_known};
use crate::settings::convert::list;
use crate::settings::definitions::Raw;
use crate::settings::expand::replace::Style;
use crate::settings::expand::{TOML_PREFIX, Trail};
use crate::settings::loader::{Loader, Place, spellings};
use crate::settings::overrides::Override;
use crate::settings::set_env::{Line, SetEnv, check_marker};
use crate::settings::value::{Kind, Value};
use crate::settings::{Settings, toml_section};
use crate::source::TomlDocument;

/// A value of a loader's table.
pub fn toml_entry<'a>(document: &'a TomlDocument, loader: &Loader, spelling: &str) -> Option<&'a Toml> {
    loader.file_section.as_ref()?;
    if loader.path.is_empty() {
        return document.table().get(spelling);
    }
    document.get(&loader.path)?.as_table()?.get(spelling)
}

impl Settings {
    pub(in crate::settings) fn toml_loader(
        &self,
        document: &TomlDocument,
        path: &[&str],
    ) -> Result<Option<Loader>, ConfigError> {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let section = if path.is_empty() { String::new() } else { toml_section(document, &steps) };
        let found = if path.is_empty() { Some(None) } else { document.get(&path).map(Some) };
        match found {
            Some(Some(value)) if !value.is_table() => {
                let kind = python_type(value);
                Err(ConfigError::handled(format!("{section} must be a table, is '{kind}'")))
            }
            Some(_) => {
                let (file_section, overridden) = (Some(section.clone()), self.overrides.has_section(&section));
                Ok(Some(Loader { section, file_section, position: None, overridden, path }))
            }
            None if self.overrides.has_section(&section) => {
                Ok(Some(Loader { section, path, overridden: true, ..Loader::default() }))
            }
            None => Ok(None),
        }
    }

    /// The tables that an entry of `base` may mean: one by its whole path, or an environment.
    pub(in crate::settings) fn toml_base_loaders(
        &self,
        document: &TomlDocument,
        base: &str,
    ) -> Result<Vec<Loader>, ConfigError> {
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
        place: &Place<'_>,
    ) -> Result<Option<Value>, ConfigError> {
        let Some(raw) = spellings(place.key).find_map(|spelling| toml_entry(document, place.loader, spelling)) else {
            return Ok(None);
        };
        let kind = place.kind();
        let failed = |error| place.failed(error);
        let mut unroll = Unroll {
            settings: self,
            set: place.set,
            trail: place.trail,
            texts: Texts::Replace(if matches!(kind, Kind::Requirements | Kind::Constraints) {
                Style::Requirements
            } else {
                Style::Plain
            }),
            program_depth: match kind {
                Kind::Commands => Some(2),
                Kind::Command => Some(1),
                _ => None,
            },
            references: Vec::new(),
        };
        let resolved = unroll.value(raw, 0).map_err(failed)?;
        convert(place.key.name, kind, &resolved).map(Some).map_err(failed)
    }

    /// The lines of `set_env`, texts not yet substituted.
    pub(in crate::settings) fn toml_set_env(
        &self,
        document: &TomlDocument,
        set: &ConfigSet,
        loader: &Loader,
        trail: &Trail,
    ) -> Result<Option<Vec<Line>>, ConfigError> {
        let spelled = ["set_env", "setenv"].into_iter().find_map(|spelling| toml_entry(document, loader, spelling));
        let Some(raw) = spelled else { return Ok(None) };
        self.toml_lines(raw, set, trail).map(Some)
    }

    /// A referenced `set_env` with its overrides applied; `None` when there are no overrides.
    pub(in crate::settings) fn overridden_toml_table(
        &self,
        set: &ConfigSet,
        section: &str,
        path: &[String],
        trail: &Trail,
    ) -> Result<Option<Toml>, ConfigError> {
        let is_set_env = |one: &&Override| matches!(one.key.as_str(), "set_env" | "setenv");
        if self.overrides.of_section(section).iter().find(is_set_env).is_none() {
            return Ok(None);
        }
        let Some(raw) = self.raw_from_root(path) else { return Ok(None) };
        let entry = path.join(".");
        if trail.contains(&entry) {
            let circle: Vec<&str> = trail.0.iter().map(String::as_str).chain([entry.as_str()]).collect();
            return Err(ConfigError::value(format!("circular set_env reference {}", circle.join(" -> "))));
        }
        let inner = trail.with(entry);
        let lines = self.toml_lines(raw, set, &inner)?;
        let entries = self.overridden_toml_set_env(set, section, lines, &inner)?;
        let value = |raw: Raw| match raw.marker {
            None => Toml::String(raw.value),
            Some(marker) => {
                let pairs = [("value", raw.value), ("marker", marker)];
                Toml::Table(pairs.map(|(key, text)| (key.to_owned(), Toml::String(text))).into_iter().collect())
            }
        };
        let found = Toml::Table(entries.into_iter().map(|(name, raw)| (name, value(raw))).collect());
        // A reference into a list of tables must stay a list.
        Ok(Some(if raw.is_array() { Toml::Array(vec![found]) } else { found }))
    }

    fn toml_lines(&self, raw: &Toml, set: &ConfigSet, trail: &Trail) -> Result<Vec<Line>, ConfigError> {
        let mut unroll =
            Unroll { settings: self, set, trail, texts: Texts::Keep, program_depth: None, references: Vec::new() };
        let resolved = unroll.value(raw, 0)?;
        let mut lines = Vec::new();
        match &resolved {
            Toml::Table(table) => add_lines(table, &mut lines)?,
            Toml::String(text) => return SetEnv::parse_lines(text, TOML_PREFIX),
            Toml::Array(entries) if entries.iter().all(Toml::is_table) => {
                entries.iter().filter_map(Toml::as_table).try_for_each(|table| add_lines(table, &mut lines))?;
            }
            other => return Err(wrong_set_env(other)),
        }
        Ok(lines)
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
            document.get(&loader.path).and_then(Toml::as_table)
        };
        let meant_otherwise: &[&str] = match set.kind {
            SetKind::Core => &[ENV, ENV_BASE, super::RUN_BASE, super::PACKAGE_BASE],
            _ if loader.path.first().is_some_and(|step| step == ENV_BASE) => &["factors"],
            _ => &[],
        };
        let keys = table.into_iter().flat_map(|table| table.keys());
        let unused = keys.filter(|key| !is_known(defined, key) && !meant_otherwise.contains(&key.as_str()));
        let mut unused: Vec<String> = unused.cloned().collect();
        unused.sort();
        Ok(unused)
    }
}

fn wrong_set_env(value: &Toml) -> ConfigError {
    let shown = crate::python_text::repr(value);
    let kind = python_type(value);
    let message = format!("set_env expected str, dict[str, str], or list[dict[str, str]], got {kind}: {shown}");
    ConfigError::new(ErrorClass::Type, message)
}

fn add_lines(table: &toml::Table, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    for (name, value) in table {
        match value {
            Toml::String(path) if name == "file" => lines.push(Line::File(path.clone())),
            Toml::String(text) => {
                lines.push(Line::Variable { name: name.clone(), raw: Raw { value: text.clone(), marker: None } });
            }
            Toml::Table(entry) => {
                let Some(text) = entry.get("value").and_then(Toml::as_str) else { return Err(wrong_set_env(value)) };
                let marker = entry.get("marker").and_then(Toml::as_str).map(str::to_owned);
                check_marker(name, marker.as_deref())?;
                lines.push(Line::Variable { name: name.clone(), raw: Raw { value: text.to_owned(), marker } });
            }
            other => return Err(wrong_set_env(other)),
        }
    }
    Ok(())
}

/// Whether a value may have anything that is replaced.
pub fn may_refer(value: &Toml) -> bool {
    match value {
        Toml::String(text) => crate::settings::loader::may_refer(text),
        Toml::Array(entries) => entries.iter().any(may_refer),
        Toml::Table(_) => true,
        _ => false,
    }
}

/// A raw value as text for another one (Python's `stringify`).
pub fn as_text(value: &Toml) -> String {
    match value {
        Toml::Array(entries) => entries.iter().map(as_text).collect::<Vec<_>>().join("\n"),
        Toml::Table(table) => {
            table.iter().map(|(key, value)| format!("{key}={}", as_text(value))).collect::<Vec<_>>().join("\n")
        }
        other => super::convert::python_text(other),
    }
}

/// Applies an override to a value that is read through a reference.
///
/// # Errors
/// When nothing can be appended to such a value.
pub fn override_raw(value: Toml, one: &Override) -> Result<Toml, ConfigError> {
    let texts = || list(&one.value).into_iter().map(Toml::String);
    let pairs = || {
        let lines = one.value.split('\n').filter_map(|line| line.split_once('='));
        lines.map(|(name, value)| (name.trim().to_owned(), Toml::String(value.trim().to_owned())))
    };
    Ok(match (value, one.append) {
        (Toml::Array(entries), true) => Toml::Array(entries.into_iter().chain(texts()).collect()),
        (Toml::Array(_), false) => Toml::Array(texts().collect()),
        (Toml::Table(table), true) => Toml::Table(table.into_iter().chain(pairs()).collect()),
        (Toml::Table(_), false) => Toml::Table(pairs().collect()),
        (Toml::String(text), true) => Toml::String(format!("{text}\n{}", one.value)),
        (_, true) => return Err(ConfigError::value("Only able to append to lists, dicts and strings")),
        (_, false) => Toml::String(one.value.clone()),
    })
}
