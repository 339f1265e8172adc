//! `set_env` of TOML tables: what it says, with references to other tables kept as such where overrides name these.

use toml::Value as Toml;

use super::convert::python_type;
use super::load::toml_entry;
use super::unroll::{Texts, Unroll, extends, is_set, too_deep};
use crate::error::{ConfigError, ErrorClass};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::Raw;
use crate::settings::expand::{TOML_PREFIX, Trail};
use crate::settings::loader::Loader;
use crate::settings::set_env::{Block, Line, SetEnv, Shape, check_marker};
use crate::source::TomlDocument;

/// A part of the setting, or all of it.
enum Element {
    Plain(Toml),
    List(Vec<Element>),
    /// Another table's `set_env` with the overrides that name it.
    Reference(SetEnv),
}

impl Settings {
    /// The `set_env` of a loader's table, texts not yet substituted.
    pub(in crate::settings) fn toml_set_env(
        &self,
        document: &TomlDocument,
        set: &ConfigSet,
        loader: &Loader,
        trail: &Trail,
    ) -> Result<Option<SetEnv>, ConfigError> {
        let spelled = ["set_env", "setenv"].into_iter().find_map(|spelling| toml_entry(document, loader, spelling));
        spelled.map(|raw| self.written_set_env(raw, set, trail)).transpose()
    }

    fn written_set_env(&self, raw: &Toml, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let unroll =
            Unroll { settings: self, set, trail, texts: Texts::Keep, program_depth: None, references: Vec::new() };
        Reader { unroll }.element(raw, 0).and_then(set_env)
    }
}

struct Reader<'a> {
    unroll: Unroll<'a>,
}

impl Reader<'_> {
    fn element(&mut self, value: &Toml, depth: usize) -> Result<Element, ConfigError> {
        let depth = depth + 1;
        too_deep(value, depth)?;
        let table = match value {
            Toml::Array(entries) => return self.list(entries, depth).map(Element::List),
            Toml::Table(table) => table,
            other => return Ok(Element::Plain(other.clone())),
        };
        // Only these can lead to other tables; one with a marker is a value.
        if !is_set(table.get("marker")) {
            match table.get("replace").and_then(Toml::as_str) {
                Some("if") => {
                    return match self.unroll.chosen(table)? {
                        Some(value) => self.element(value, depth),
                        None => Ok(Element::Plain(Toml::String(String::new()))),
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
        self.unroll.value(value, depth).map(Element::Plain)
    }

    fn list(&mut self, entries: &[Toml], depth: usize) -> Result<Vec<Element>, ConfigError> {
        let mut result = Vec::new();
        for entry in entries {
            let extends = extends(entry);
            if extends && is_set(entry.get("marker")) {
                return Err(ConfigError::new(ErrorClass::Match, "a replace with extend=true cannot have a marker"));
            }
            match self.element(entry, depth)? {
                Element::Reference(other) => {
                    if other.shape() != if extends { Shape::List } else { Shape::Table } {
                        let text = "set_env arrays require table references or array references with extend=true";
                        return Err(ConfigError::new(ErrorClass::Type, text));
                    }
                    result.push(Element::Reference(other));
                }
                Element::List(more) if extends => result.extend(more),
                // An empty text, of a condition that does not hold, is no entry.
                Element::Plain(Toml::String(text)) if extends && text.is_empty() => {}
                Element::Plain(Toml::Table(table)) if extends => {
                    result.extend(table.into_iter().map(|(key, _)| Element::Plain(Toml::String(key))));
                }
                other => result.push(other),
            }
        }
        Ok(result)
    }

    fn reference(&mut self, steps: &[String], depth: usize) -> Result<Element, ConfigError> {
        let settings = self.unroll.settings;
        let place = steps.join(".");
        if let Some((key, section)) = steps.split_last()
            && matches!(key.as_str(), "set_env" | "setenv")
            && let Ok(raw) = settings.raw_from_root(steps)
        {
            let read = |trail: &Trail| settings.written_set_env(raw, self.unroll.set, trail);
            let found = settings.overridden_reference(&section.join("."), &place, self.unroll.trail, read)?;
            if let Some(found) = found {
                return Ok(Element::Reference(found));
            }
        }
        let loaded = settings.toml_from_root(steps)?;
        self.unroll.references.push(place);
        let found = self.element(&loaded, depth);
        self.unroll.references.pop();
        found
    }
}

fn set_env(element: Element) -> Result<SetEnv, ConfigError> {
    match element {
        Element::Plain(Toml::String(text)) => SetEnv::of_text(&text, TOML_PREFIX),
        Element::Plain(Toml::Table(table)) => {
            let mut lines = Vec::new();
            add_lines(&table, &mut lines)?;
            Ok(SetEnv::of_blocks(vec![Block::Lines(lines)], Shape::Table, TOML_PREFIX))
        }
        Element::Plain(other) => Err(wrong_set_env(&other)),
        Element::List(elements) => {
            let blocks = elements.into_iter().map(block).collect::<Result<Vec<_>, _>>()?;
            Ok(SetEnv::of_blocks(joined(blocks), Shape::List, TOML_PREFIX))
        }
        Element::Reference(other) => {
            let shape = other.shape();
            Ok(SetEnv::of_blocks(vec![Block::Reference(other)], shape, TOML_PREFIX))
        }
    }
}

fn block(element: Element) -> Result<Block, ConfigError> {
    match element {
        Element::Reference(other) => Ok(Block::Reference(other)),
        Element::Plain(Toml::Table(table)) => {
            let mut lines = Vec::new();
            add_lines(&table, &mut lines)?;
            Ok(Block::Lines(lines))
        }
        other => Err(wrong_set_env(&Toml::Array(vec![as_toml(other)]))),
    }
}

/// Without references the tables of a list are read as one.
fn joined(blocks: Vec<Block>) -> Vec<Block> {
    if blocks.iter().any(|block| matches!(block, Block::Reference(_))) {
        return blocks;
    }
    let lines = blocks.into_iter().flat_map(|block| match block {
        Block::Lines(lines) => lines,
        Block::Reference(_) => Vec::new(),
    });
    vec![Block::Lines(lines.collect())]
}

fn as_toml(element: Element) -> Toml {
    match element {
        Element::Plain(value) => value,
        Element::List(elements) => Toml::Array(elements.into_iter().map(as_toml).collect()),
        Element::Reference(_) => Toml::Table(toml::Table::new()),
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
