//! Reads `set_env` of TOML tables, keeping references to other tables if overrides name these.

use crate::error::{ConfigError, ErrorClass};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::RawVariable;
use crate::settings::expand::{TOML_PREFIX, Trail};
use crate::settings::loader::SectionLoader;
use crate::settings::nesting::{Nesting, Step};
use crate::settings::set_env::{SetEnv, SetEnvBlock, SetEnvLine, SetEnvShape, check_marker, failed_to_load};
use crate::settings::toml::convert::{python_type, wrong};
use crate::settings::toml::load::toml_entry;
use crate::settings::toml::unroll::{SubstitutedTexts, TomlUnroller, extends, is_set, too_deep};
use crate::source::{Span, TomlContent, TomlDocument, TomlTable, TomlValue};

/// A part of the setting, or all of it.
enum SetEnvElement {
    Plain(TomlValue),
    List(Span, Vec<SetEnvElement>),
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
            let found = self.written_set_env(raw, set, trail);
            return found.map(Some).map_err(|error| self.at_part(failed_to_load(set, spelling, error)));
        }
        Ok(None)
    }

    fn written_set_env(&self, raw: &TomlValue, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let unroll = TomlUnroller::new(self, set, trail, SubstitutedTexts::Keep);
        SetEnvReader { unroll }.element(raw, 0).and_then(set_env)
    }
}

struct SetEnvReader<'a> {
    unroll: TomlUnroller<'a>,
}

impl SetEnvReader<'_> {
    fn element(&mut self, value: &TomlValue, depth: usize) -> Result<SetEnvElement, ConfigError> {
        let depth = depth + 1;
        too_deep(value, depth)?;
        let _nesting = Nesting::enter(Step::Part)?;
        if !self.unroll.references.is_empty() {
            self.unroll.count(1)?;
        }
        let table = match &value.content {
            TomlContent::Array(entries) => {
                return self.list(entries, depth).map(|entries| SetEnvElement::List(value.span(), entries));
            }
            TomlContent::Table(table) => table,
            TomlContent::Scalar(_) => return Ok(SetEnvElement::Plain(value.clone())),
        };
        // Only these can lead to other tables; one with a marker is a value.
        if !is_set(table.get("marker")) {
            match table.get("replace").and_then(TomlValue::as_str) {
                Some("if") => {
                    return match self.unroll.chosen(table)? {
                        Some(value) => self.element(value, depth),
                        None => Ok(SetEnvElement::Plain(TomlValue::text(String::new(), value.span()))),
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

    fn list(&mut self, entries: &[TomlValue], depth: usize) -> Result<Vec<SetEnvElement>, ConfigError> {
        let mut result = Vec::new();
        for entry in entries {
            let extends = extends(entry);
            if extends && is_set(entry.get("marker")) {
                let error = ConfigError::new(ErrorClass::Match, "a replace with extend=true cannot have a marker");
                return Err(error.in_part(entry.span()));
            }
            match self.element(entry, depth)? {
                SetEnvElement::Reference(other) => {
                    if other.shape() != if extends { SetEnvShape::List } else { SetEnvShape::Table } {
                        let text = "set_env arrays require table references or array references with extend=true";
                        return Err(wrong(entry, text.to_owned()));
                    }
                    result.push(SetEnvElement::Reference(other));
                }
                SetEnvElement::List(_, more) if extends => result.extend(more),
                // An empty text, of a condition that does not hold, is no entry.
                SetEnvElement::Plain(value) if extends && value.as_str() == Some("") => {}
                SetEnvElement::Plain(value) if extends && value.is_table() => {
                    let text = |key: &str| SetEnvElement::Plain(TomlValue::text(key.to_owned(), value.span()));
                    result.extend(value.keys().map(text));
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
            let read = |trail: &Trail| settings.written_set_env(raw, self.unroll.set, trail);
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
        SetEnvElement::Plain(value) => {
            if let Some(text) = value.as_str() {
                return SetEnv::of_text(text, TOML_PREFIX).map_err(|error| error.in_part(value.span()));
            }
            if let Some(part) = wrong_part(&value) {
                return Err(wrong_set_env(&value, part));
            }
            Ok(SetEnv::of_blocks(vec![SetEnvBlock::Lines(lines(&value)?)], SetEnvShape::Table, TOML_PREFIX))
        }
        SetEnvElement::List(span, elements) => {
            let wrong = |element: &SetEnvElement| match element {
                SetEnvElement::Reference(_) => None,
                SetEnvElement::Plain(value) => wrong_part(value),
                SetEnvElement::List(span, _) => Some(span.clone()),
            };
            if let Some(part) = elements.iter().find_map(wrong) {
                return Err(wrong_set_env(&as_toml(SetEnvElement::List(span, elements)), part));
            }
            let blocks = elements.into_iter().map(block).collect::<Result<Vec<_>, _>>()?;
            Ok(SetEnv::of_blocks(joined(blocks), SetEnvShape::List, TOML_PREFIX))
        }
        SetEnvElement::Reference(other) => {
            let shape = other.shape();
            Ok(SetEnv::of_blocks(vec![SetEnvBlock::Reference(Box::new(other))], shape, TOML_PREFIX))
        }
    }
}

fn block(element: SetEnvElement) -> Result<SetEnvBlock, ConfigError> {
    match element {
        SetEnvElement::Reference(other) => Ok(SetEnvBlock::Reference(Box::new(other))),
        SetEnvElement::Plain(table) => lines(&table).map(SetEnvBlock::Lines),
        SetEnvElement::List(span, elements) => {
            Err(wrong_set_env(&as_toml(SetEnvElement::List(span.clone(), elements)), span))
        }
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

fn as_toml(element: SetEnvElement) -> TomlValue {
    match element {
        SetEnvElement::Plain(value) => value,
        SetEnvElement::List(span, elements) => TomlValue::list(elements.into_iter().map(as_toml).collect(), span),
        SetEnvElement::Reference(_) => TomlValue::new(TomlContent::Table(TomlTable::new()), 0..0),
    }
}

fn wrong_set_env(value: &TomlValue, part: Span) -> ConfigError {
    let shown = crate::python_text::repr(&value.to_value());
    let kind = python_type(value);
    let message = format!("set_env expected str, dict[str, str], or list[dict[str, str]], got {kind}: {shown}");
    ConfigError::new(ErrorClass::Type, message).in_part(part)
}

/// Where it is not a table of which every value is a text, or a table with one.
fn wrong_part(value: &TomlValue) -> Option<Span> {
    let Some(table) = value.table() else { return Some(value.span()) };
    table.values().find_map(|value| {
        let text = if value.is_table() { value.get("value").unwrap_or(value) } else { value };
        (!text.is_str()).then(|| text.span())
    })
}

fn lines(table: &TomlValue) -> Result<Vec<SetEnvLine>, ConfigError> {
    let mut lines = Vec::new();
    for (name, value) in table.entries() {
        if name.is_empty() {
            return Err(ConfigError::value("invalid set_env entry with an empty name").in_part(value.span()));
        }
        let (text, marker) =
            if value.is_table() { (value.get("value"), value.get("marker")) } else { (Some(value), None) };
        let text = text.and_then(TomlValue::as_str).unwrap_or_default().to_owned();
        if name == "file" && value.is_str() {
            lines.push(SetEnvLine::File(text));
            continue;
        }
        let part = marker.map_or(value.span(), TomlValue::span);
        let marker = marker.and_then(TomlValue::as_str).filter(|marker| !marker.is_empty());
        check_marker(name, marker).map_err(|error| error.in_part(part))?;
        let raw = RawVariable { value: text, marker: marker.map(str::to_owned) };
        lines.push(SetEnvLine::Variable { name: name.to_owned(), raw });
    }
    Ok(lines)
}
