//! Resolves `set_env`: variables whose values are resolved one by one, because they may refer to each other.
//! <https://tox.wiki/en/4.67.15/reference/config.html#set_env>
//!
//! This module reads the setting with its overrides; [`expansion`] determines the variables, [`values`] their values, and
//! [`lines`] parses the notation.

mod expansion;
mod lines;
mod values;

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::error::{ConfigError, ErrorClass};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::{RawVariable, VariableDefinitions};
use crate::settings::expand::Trail;
use crate::settings::keys;
use crate::settings::loader::SectionLoader;
use crate::settings::overrides::Override;
use crate::settings::toml::load::toml_entry;
use crate::source::TomlValue;
pub(super) use lines::check_marker;

/// One thing the setting says, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SetEnvLine {
    Variable {
        name: String,
        raw: RawVariable,
    },
    /// `file|PATH`: variables from a file, which lines after it override.
    File(String),
    /// A line whose name, or which as a whole, has to be substituted first.
    Pending(String),
}

/// Lines that were written together.
#[derive(Debug)]
pub(super) enum SetEnvBlock {
    Lines(Vec<SetEnvLine>),
    /// Another section's `set_env` with overrides of its own, which count for those who refer to it too.
    Reference(Box<SetEnv>),
}

/// How the setting is written; only a table, or a list that extends, may be referred to from within a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetEnvShape {
    Text,
    Table,
    List,
}

/// An environment's `set_env`.
#[derive(Debug)]
pub struct SetEnv {
    /// What the file says, then what each override appends. Later blocks win.
    blocks: Vec<SetEnvBlock>,
    shape: SetEnvShape,
    prefix: String,
    /// The name of its location on a trail.
    place: Option<String>,
    /// What lookups see while the lines are being read.
    so_far: Mutex<VariableDefinitions>,
    /// What the lines came to, once files and substitutions have been read.
    entries: Mutex<Option<Arc<VariableDefinitions>>>,
    /// Resolved values.
    values: Mutex<Values>,
    /// Whether `base` asked for it. As in tox, it is then read before anything that is inherited and before any variable
    /// that tox sets itself is known, and stays so.
    for_base: bool,
}

#[derive(Debug, Default)]
struct Values {
    by_name: FxHashMap<String, String>,
    bytes: usize,
}

impl SetEnv {
    pub(super) fn of_text(text: &str, prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self::of_blocks(vec![SetEnvBlock::Lines(lines::parse(text, false)?)], SetEnvShape::Text, prefix))
    }

    pub(super) fn of_blocks(blocks: Vec<SetEnvBlock>, shape: SetEnvShape, prefix: &str) -> Self {
        Self {
            blocks,
            shape,
            prefix: prefix.to_owned(),
            place: None,
            so_far: Mutex::default(),
            entries: Mutex::default(),
            values: Mutex::default(),
            for_base: false,
        }
    }

    fn at(mut self, place: &str) -> Self {
        self.place = Some(place.to_owned());
        self
    }

    pub(super) fn shape(&self) -> SetEnvShape {
        self.shape
    }

    /// Applies overrides, each of which replaces everything or is appended. What it was first says its shape.
    fn with_overrides<'a>(mut self, overrides: impl Iterator<Item = &'a Override>) -> Result<Self, ConfigError> {
        for one in overrides {
            let block = SetEnvBlock::Lines(lines::parse(&one.value, false)?);
            if !one.append {
                self.blocks.clear();
            }
            self.blocks.push(block);
        }
        Ok(self)
    }

    /// Whether every variable is written as such, so that there is nothing to work out.
    fn is_direct(&self) -> bool {
        self.blocks.iter().all(|block| match block {
            SetEnvBlock::Lines(lines) => lines.iter().all(|line| matches!(line, SetEnvLine::Variable { .. })),
            SetEnvBlock::Reference(other) => other.is_direct(),
        })
    }
}

/// The variables that are written as such.
fn direct(blocks: &[SetEnvBlock]) -> VariableDefinitions {
    let mut entries = VariableDefinitions::default();
    for block in blocks {
        let found = match block {
            SetEnvBlock::Lines(lines) => direct_lines(lines),
            SetEnvBlock::Reference(other) => direct(&other.blocks),
        };
        found.into_iter().for_each(|(name, raw)| entries.define(name, raw));
    }
    entries
}

fn direct_lines(lines: &[SetEnvLine]) -> VariableDefinitions {
    let mut entries = VariableDefinitions::default();
    for line in lines {
        if let SetEnvLine::Variable { name, raw } = line {
            entries.define(name.clone(), raw.clone());
        }
    }
    entries
}

fn is_set_env(one: &Override) -> bool {
    matches!(one.key.as_str(), "set_env" | "setenv")
}

/// Whether variables of an INI file are read from somewhere else, or not always set.
fn text_asks(text: &str) -> bool {
    text.contains("file|") || text.contains(';')
}

/// The same for those of a TOML file.
fn table_asks(table: &TomlValue) -> bool {
    table.get("file").is_some() || table.entries().any(|(_, value)| value.get("marker").is_some())
}

impl Settings {
    /// The environment's `set_env` as it is written.
    pub(super) fn set_env(&self, set: &ConfigSet, trail: &Trail) -> Result<Arc<SetEnv>, ConfigError> {
        if let Some(found) = set.variables.get() {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(self.read_set_env(set, trail).map_err(|error| self.located_set_env(set, error))?);
        Ok(Arc::clone(set.variables.get_or_init(|| found)))
    }

    /// The error with the place of the set's variables, unless it has a nearer one.
    pub(super) fn located_set_env(&self, set: &ConfigSet, error: ConfigError) -> ConfigError {
        match keys::find("set_env") {
            Some(key) => self.located(error, set, key),
            None => error,
        }
    }

    /// Finds out whether the files that `set_env` names can be read, and whether its markers are some. Most have neither,
    /// which shows at a glance.
    pub fn check_set_env(&self, set: &ConfigSet) -> Result<(), ConfigError> {
        let Some(key) = keys::find("set_env") else { return Ok(()) };
        let asks = |loader: &SectionLoader| {
            crate::settings::loader::spellings(key).any(|spelling| match self.toml() {
                Some(document) => toml_entry(document, loader, spelling).is_some_and(table_asks),
                None => self.entry(loader, spelling).is_some_and(|entry| text_asks(&entry.value)),
            })
        };
        if !self.loaders(set)?.iter().any(|loader| asks(loader)) {
            return Ok(());
        }
        let trail = Trail::default();
        let variables = self.set_env(set, &trail)?;
        self.set_env_entries(set, &variables, &trail).map(drop).map_err(|error| self.located_set_env(set, error))
    }

    fn read_set_env(&self, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let mut found = self.read_written_set_env(set, trail)?;
        if set.is_loading("base") {
            found.for_base = true;
            return Ok(found);
        }
        let loaded = self.loaded_variables(set)?;
        if !loaded.is_empty() {
            // Their values are final, so what would be substituted is escaped.
            let raw =
                |value: String| RawVariable { value: value.replace('{', "\\{").replace('}', "\\}"), marker: None };
            let lines = loaded.into_iter().map(|(name, value)| SetEnvLine::Variable { name, raw: raw(value) });
            found.blocks.push(SetEnvBlock::Lines(lines.collect()));
        }
        Ok(found)
    }

    fn read_written_set_env(&self, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let key = keys::find("set_env").ok_or_else(|| ConfigError::key("set_env"))?;
        let failed = |error| failed_to_load(set, key.name, error);
        // What overrides append to sections that have no variables themselves comes behind those that are inherited.
        let mut appended: Vec<(String, Vec<&Override>)> = Vec::new();
        let with_appended = |found: SetEnv, appended: Vec<(String, Vec<&Override>)>| {
            let groups = appended.into_iter().rev();
            groups
                .map(|(_, group)| group)
                .try_fold(found, |found, group| found.with_overrides(group.into_iter()))
                .map_err(failed)
        };
        for loader in self.loaders(set)? {
            if !self.mentions(loader, key) {
                continue;
            }
            let trail = self.entering(loader, key, trail)?;
            let mut found: Option<SetEnv> = None;
            if let Some(document) = self.toml() {
                found = self.toml_set_env(document, set, loader, &trail)?;
            }
            for spelling in crate::settings::loader::spellings(key) {
                let Some(entry) = self.entry(loader, spelling) else { continue };
                let Some(raw) = self.process_raw(set, &entry.value)? else { continue };
                found =
                    Some(SetEnv::of_text(&raw, loader.prefix()).map_err(|error| failed_to_load(set, spelling, error))?);
                break;
            }
            let overrides: Vec<&Override> =
                if loader.overridden { self.overrides_of(loader, key).collect() } else { Vec::new() };
            let place = format!("{}.{}", loader.section, key.name);
            if found.is_none() && overrides.iter().all(|one| one.append) {
                appended.push((place, overrides));
                continue;
            }
            let prefix = self.reference_prefix(loader);
            let found = found.unwrap_or_else(|| SetEnv::of_blocks(Vec::new(), SetEnvShape::Text, prefix));
            let found = found.with_overrides(overrides.into_iter()).map_err(failed)?.at(&place);
            return with_appended(found, appended);
        }
        let found = SetEnv::of_blocks(Vec::new(), SetEnvShape::Text, crate::settings::TEST_PREFIX);
        let place = appended.last().map(|(place, _)| place.clone());
        let found = with_appended(found, appended)?;
        Ok(match place {
            Some(place) => found.at(&place),
            None => found,
        })
    }

    /// Another section's `set_env` in a TOML file with the overrides that name it; `None` when there are none.
    pub(super) fn overridden_reference(
        &self,
        section: &str,
        place: &str,
        trail: &Trail,
        read: impl FnOnce(&Trail) -> Result<SetEnv, ConfigError>,
    ) -> Result<Option<SetEnv>, ConfigError> {
        let mut overrides = self.overrides.of_section(section).iter().filter(|one| is_set_env(one)).peekable();
        if overrides.peek().is_none() {
            return Ok(None);
        }
        let inner = entering_reference(trail, place)?;
        Ok(Some(read(&inner)?.with_overrides(overrides)?.at(place)))
    }

    /// The lines of another section's `set_env` in an INI file with the overrides that name it.
    pub(super) fn overridden_set_env(
        &self,
        set: &ConfigSet,
        section: &str,
        raw: &str,
        trail: &Trail,
    ) -> Result<String, ConfigError> {
        let prefix = section.split(':').next().unwrap_or_default();
        let trail = entering_reference(trail, &format!("{section}.set_env"))?;
        let overrides = self.overrides.of_section(section).iter().filter(|one| is_set_env(one));
        let found = SetEnv::of_text(raw, prefix)?.with_overrides(overrides)?;
        Ok(lines::as_lines(&self.expand_set_env(set, &found, &trail)?))
    }

    /// The configured lines, for another section that includes them.
    pub(super) fn set_env_lines(&self, set: &ConfigSet, trail: &Trail) -> Result<String, ConfigError> {
        let variables = self.set_env(set, trail)?;
        if let Some(place) = &variables.place {
            crate::settings::loader::check_cycle(trail, place)?;
        }
        let entries = self.set_env_entries(set, &variables, trail)?;
        Ok(lines::as_lines(&entries))
    }
}

fn entering_reference(trail: &Trail, place: &str) -> Result<Trail, ConfigError> {
    let inner = trail.with(place);
    if trail.contains(place) {
        return Err(ConfigError::value(format!("circular set_env reference {}", inner.shown().join(" -> "))));
    }
    Ok(inner)
}

/// The error as tox words it for a `set_env`, under that spelling, that cannot be understood.
pub(super) fn failed_to_load(set: &ConfigSet, spelling: &str, error: ConfigError) -> ConfigError {
    if error.class == ErrorClass::Handled {
        return error;
    }
    let message = format!("failed to load {}.{spelling}: {}", set.label(), error.message);
    ConfigError { class: ErrorClass::Handled, message, ..error }
}
