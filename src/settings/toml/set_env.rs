//! Reads `set_env` of TOML tables, keeping references to other tables if overrides name these.

use toml::Value as Toml;

use crate::error::{ConfigError, ErrorClass};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::RawVariable;
use crate::settings::expand::{TOML_PREFIX, Trail};
use crate::settings::loader::SectionLoader;
use crate::settings::nesting::{Nesting, Step};
use crate::settings::set_env::{SetEnv, SetEnvBlock, SetEnvLine, SetEnvShape, check_marker, failed_to_load};
use crate::settings::toml::convert::python_type;
use crate::settings::toml::load::toml_entry;
use crate::settings::toml::unroll::{SubstitutedTexts, TomlUnroller, extends, is_set, too_deep};
use crate::source::TomlDocument;

/// A part of the setting, or all of it.
enum SetEnvElement {
    Plain(Toml),
    List(Vec<SetEnvElement>),
    /// Another table's `set_env` with the overrides that name it.
    Reference(SetEnv),
}

impl Settings {
    /// The `set_env` of a loader's table, texts not yet substituted.
    pub(in crate::settings) fn toml_set_env(
        &self,
        document: &TomlDocument,
        set: &ConfigSet,
        loader: &SectionLoader,
        trail: &Trail,
    ) -> Result<Option<SetEnv>, ConfigError> {
        for spelling in ["set_env", "setenv"] {
            let Some(raw) = toml_entry(document, loader, spelling) else { continue };
            let found = self.written_set_env(&raw.to_value(), set, trail);
            return found.map(Some).map_err(|error| failed_to_load(set, spelling, error));
        }
        Ok(None)
    }

    fn written_set_env(&self, raw: &Toml, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let unroll = TomlUnroller::new(self, set, trail, SubstitutedTexts::Keep);
        SetEnvReader { unroll }.element(raw, 0).and_then(set_env)
    }
}

struct SetEnvReader<'a> {
    unroll: TomlUnroller<'a>,
}

impl SetEnvReader<'_> {
    fn element(&mut self, value: &Toml, depth: usize) -> Result<SetEnvElement, ConfigError> {
        let depth = depth + 1;
        too_deep(value, depth)?;
        let _nesting = Nesting::enter(Step::Part)?;
        if !self.unroll.references.is_empty() {
            self.unroll.count(1)?;
        }
        let table = match value {
            Toml::Array(entries) => return self.list(entries, depth).map(SetEnvElement::List),
            Toml::Table(table) => table,
            other => return Ok(SetEnvElement::Plain(other.clone())),
        };
        // Only these can lead to other tables; one with a marker is a value.
        if !is_set(table.get("marker")) {
            match table.get("replace").and_then(Toml::as_str) {
                Some("if") => {
                    return match self.unroll.chosen(table)? {
                        Some(value) => self.element(value, depth),
                        None => Ok(SetEnvElement::Plain(Toml::String(String::new()))),
                    };
                }
                Some("ref") => {
                    if let Some(steps) = self.unroll.path_of_reference(table)? {
                        return self.reference(&steps, depth);
                    }
                }
                _ => {}
            }
        }
        self.unroll.value(value, depth).map(SetEnvElement::Plain)
    }

    fn list(&mut self, entries: &[Toml], depth: usize) -> Result<Vec<SetEnvElement>, ConfigError> {
        let mut result = Vec::new();
        for entry in entries {
            let extends = extends(entry);
            if extends && is_set(entry.get("marker")) {
                return Err(ConfigError::new(ErrorClass::Match, "a replace with extend=true cannot have a marker"));
            }
            match self.element(entry, depth)? {
                SetEnvElement::Reference(other) => {
                    if other.shape() != if extends { SetEnvShape::List } else { SetEnvShape::Table } {
                        let text = "set_env arrays require table references or array references with extend=true";
                        return Err(ConfigError::new(ErrorClass::Type, text));
                    }
                    result.push(SetEnvElement::Reference(other));
                }
                SetEnvElement::List(more) if extends => result.extend(more),
                // An empty text, of a condition that does not hold, is no entry.
                SetEnvElement::Plain(Toml::String(text)) if extends && text.is_empty() => {}
                SetEnvElement::Plain(Toml::Table(table)) if extends => {
                    result.extend(table.into_iter().map(|(key, _)| SetEnvElement::Plain(Toml::String(key))));
                }
                other => result.push(other),
            }
        }
        Ok(result)
    }

    fn reference(&mut self, steps: &[String], depth: usize) -> Result<SetEnvElement, ConfigError> {
        let settings = self.unroll.settings;
        let place = steps.join(".");
        if let Some((key, section)) = steps.split_last()
            && matches!(key.as_str(), "set_env" | "setenv")
            && let Ok(raw) = settings.raw_from_root(steps)
        {
            let read = |trail: &Trail| settings.written_set_env(&raw.to_value(), self.unroll.set, trail);
            let found = settings.overridden_reference(&section.join("."), &place, self.unroll.trail, read)?;
            if let Some(found) = found {
                return Ok(SetEnvElement::Reference(found));
            }
        }
        let loaded = settings.toml_from_root(steps)?;
        self.unroll.references.push(place);
        let found = self.element(&loaded, depth);
        self.unroll.references.pop();
        found
    }
}

fn set_env(element: SetEnvElement) -> Result<SetEnv, ConfigError> {
    match element {
        SetEnvElement::Plain(Toml::String(text)) => SetEnv::of_text(&text, TOML_PREFIX),
        SetEnvElement::Plain(Toml::Table(table)) => {
            if !holds_variables(&table) {
                return Err(wrong_set_env(&Toml::Table(table)));
            }
            Ok(SetEnv::of_blocks(vec![SetEnvBlock::Lines(lines(&table)?)], SetEnvShape::Table, TOML_PREFIX))
        }
        SetEnvElement::Plain(other) => Err(wrong_set_env(&other)),
        SetEnvElement::List(elements) => {
            let usable = |element: &SetEnvElement| match element {
                SetEnvElement::Reference(_) => true,
                SetEnvElement::Plain(Toml::Table(table)) => holds_variables(table),
                _ => false,
            };
            if !elements.iter().all(usable) {
                return Err(wrong_set_env(&as_toml(SetEnvElement::List(elements))));
            }
            let blocks = elements.into_iter().map(block).collect::<Result<Vec<_>, _>>()?;
            Ok(SetEnv::of_blocks(joined(blocks), SetEnvShape::List, TOML_PREFIX))
        }
        SetEnvElement::Reference(other) => {
            let shape = other.shape();
            Ok(SetEnv::of_blocks(vec![SetEnvBlock::Reference(other)], shape, TOML_PREFIX))
        }
    }
}

fn block(element: SetEnvElement) -> Result<SetEnvBlock, ConfigError> {
    match element {
        SetEnvElement::Reference(other) => Ok(SetEnvBlock::Reference(other)),
        SetEnvElement::Plain(Toml::Table(table)) => lines(&table).map(SetEnvBlock::Lines),
        other => Err(wrong_set_env(&as_toml(other))),
    }
}

/// Without references the tables of a list are read as one.
fn joined(blocks: Vec<SetEnvBlock>) -> Vec<SetEnvBlock> {
    if blocks.iter().any(|block| matches!(block, SetEnvBlock::Reference(_))) {
        return blocks;
    }
    let lines = blocks.into_iter().flat_map(|block| match block {
        SetEnvBlock::Lines(lines) => lines,
        SetEnvBlock::Reference(_) => Vec::new(),
    });
    vec![SetEnvBlock::Lines(lines.collect())]
}

fn as_toml(element: SetEnvElement) -> Toml {
    match element {
        SetEnvElement::Plain(value) => value,
        SetEnvElement::List(elements) => Toml::Array(elements.into_iter().map(as_toml).collect()),
        SetEnvElement::Reference(_) => Toml::Table(toml::Table::new()),
    }
}

fn wrong_set_env(value: &Toml) -> ConfigError {
    let shown = crate::python_text::repr(value);
    let kind = python_type(value);
    let message = format!("set_env expected str, dict[str, str], or list[dict[str, str]], got {kind}: {shown}");
    ConfigError::new(ErrorClass::Type, message)
}

/// Whether every value is a text, or a table with one.
fn holds_variables(table: &toml::Table) -> bool {
    table.values().all(|value| match value {
        Toml::Table(entry) => entry.get("value").is_some_and(Toml::is_str),
        other => other.is_str(),
    })
}

fn lines(table: &toml::Table) -> Result<Vec<SetEnvLine>, ConfigError> {
    let mut lines = Vec::new();
    for (name, value) in table {
        if name.is_empty() {
            return Err(ConfigError::value("invalid set_env entry with an empty name"));
        }
        let (value, marker) = match value {
            Toml::String(path) if name == "file" => {
                lines.push(SetEnvLine::File(path.clone()));
                continue;
            }
            Toml::Table(entry) => (entry.get("value"), entry.get("marker").and_then(Toml::as_str)),
            other => (Some(other), None),
        };
        let marker = marker.filter(|marker| !marker.is_empty()).map(str::to_owned);
        check_marker(name, marker.as_deref())?;
        let value = value.and_then(Toml::as_str).unwrap_or_default().to_owned();
        lines.push(SetEnvLine::Variable { name: name.clone(), raw: RawVariable { value, marker } });
    }
    Ok(lines)
}
