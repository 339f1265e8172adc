//! Expands the lines of `set_env`: reads files, and follows substitutions that add lines.

use std::cell::Cell;
use std::sync::Arc;

use crate::bounded;
use crate::error::{ConfigError, ErrorClass};
use crate::python_text::python_repr;
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::{RawVariable, VariableDefinitions};
use crate::settings::expand::Trail;
use crate::settings::expand::replace::{ReplaceStyle, replace, replace_once};
use crate::settings::lookup::LookupContext;
use crate::settings::nesting::{Nesting, Step};
use crate::settings::set_env::lines::{
    self, invalid_line, parse_env_file, split_line, split_marker, split_outside_expressions,
};
use crate::settings::set_env::{SetEnv, SetEnvBlock, SetEnvLine, direct, direct_lines};

/// Where lines are being read: for whom, and what must not be overridden.
struct SetEnvScope<'a> {
    set: &'a ConfigSet,
    variables: &'a SetEnv,
    /// What later blocks set directly.
    later: VariableDefinitions,
    /// Lines that brought the present ones.
    parents: Vec<String>,
    /// How many lines were brought by others so far.
    brought: &'a Cell<usize>,
}

/// How many lines may be brought by lines: one that brings another twice doubles them.
const MOST_LINES: usize = 100_000;

impl SetEnvScope<'_> {
    /// Lets lookups see a variable from now on.
    fn note(&self, name: &str, raw: &RawVariable) {
        if !self.later.contains(name) {
            self.variables.so_far.lock().define(name.to_owned(), raw.clone());
        }
    }
}

/// On the trail while files and substitutions are being read: lookups then see only what is known so far.
pub(super) fn expanding(set: &ConfigSet) -> String {
    Trail::mark(&format!("set_env of {}", set.label()))
}

impl Settings {
    /// Names of the configured variables, in order, with what they are set to.
    pub(super) fn set_env_entries(
        &self,
        set: &ConfigSet,
        variables: &SetEnv,
        trail: &Trail,
    ) -> Result<Arc<VariableDefinitions>, ConfigError> {
        if let Some(known) = variables.entries.lock().clone() {
            return Ok(known);
        }
        if variables.is_direct() {
            let entries = Arc::new(direct(&variables.blocks));
            *variables.entries.lock() = Some(Arc::clone(&entries));
            return Ok(entries);
        }
        let expanding = expanding(set);
        if trail.contains(&expanding) {
            return Ok(Arc::new(variables.so_far.lock().clone()));
        }
        let mut inner = trail.with(expanding);
        if let Some(place) = variables.place.as_ref().filter(|place| !trail.contains(place)) {
            inner = inner.with(place.as_str());
        }
        let entries = self.expand_set_env(set, variables, &inner).map_err(|error| {
            if matches!(error.class, ErrorClass::Fail | ErrorClass::Skip) {
                return error;
            }
            crate::settings::set_env::failed_to_load(set, "set_env", error)
        })?;
        let entries = Arc::new(entries);
        *variables.entries.lock() = Some(Arc::clone(&entries));
        Ok(entries)
    }

    pub(super) fn expand_set_env(
        &self,
        set: &ConfigSet,
        variables: &SetEnv,
        trail: &Trail,
    ) -> Result<VariableDefinitions, ConfigError> {
        *variables.so_far.lock() = direct(&variables.blocks);
        let brought = Cell::new(0);
        let scope = SetEnvScope {
            set,
            variables,
            later: VariableDefinitions::default(),
            parents: Vec::new(),
            brought: &brought,
        };
        self.expand_blocks(&scope, &variables.blocks, trail)
    }

    fn expand_blocks(
        &self,
        scope: &SetEnvScope<'_>,
        blocks: &[SetEnvBlock],
        trail: &Trail,
    ) -> Result<VariableDefinitions, ConfigError> {
        let mut entries = VariableDefinitions::default();
        for (at, block) in blocks.iter().enumerate() {
            let mut later = direct(&blocks[at + 1..]);
            scope.later.iter().for_each(|(name, raw)| later.define(name.clone(), raw.clone()));
            let inner = SetEnvScope { later, parents: scope.parents.clone(), ..*scope };
            let found = match block {
                SetEnvBlock::Lines(lines) => self.expand_lines(&inner, lines, trail)?,
                SetEnvBlock::Reference(other) => {
                    let place = other.place.as_deref().unwrap_or_default();
                    self.expand_blocks(&inner, &other.blocks, &trail.with(place))?
                }
            };
            for (name, raw) in found {
                inner.note(&name, &raw);
                entries.define(name, raw);
            }
        }
        Ok(entries)
    }

    /// What lines come to: what is written directly wins over what substitutions bring, and files lose against what is
    /// written after them.
    fn expand_lines(
        &self,
        scope: &SetEnvScope<'_>,
        lines: &[SetEnvLine],
        trail: &Trail,
    ) -> Result<VariableDefinitions, ConfigError> {
        let mut entries = direct_lines(lines);
        for (at, line) in lines.iter().enumerate() {
            let SetEnvLine::File(path) = line else { continue };
            let after = direct_lines(&lines[at..]);
            for (name, value) in self.read_env_file(scope, path, trail)? {
                if !after.contains(&name) {
                    let raw = RawVariable { value: self.text_from_outside(value), marker: None };
                    scope.note(&name, &raw);
                    entries.define(name, raw);
                }
            }
        }
        let written = entries.clone();
        for line in lines {
            let SetEnvLine::Pending(line) = line else { continue };
            for (name, raw) in self.expand_line(scope, line, trail)? {
                if !written.contains(&name) {
                    entries.define(name, raw);
                }
            }
        }
        Ok(entries)
    }

    fn expand_line(
        &self,
        scope: &SetEnvScope<'_>,
        line: &str,
        trail: &Trail,
    ) -> Result<Vec<(String, RawVariable)>, ConfigError> {
        if scope.parents.iter().any(|parent| parent == line) {
            let circle = scope.parents.iter().map(String::as_str).chain([line]).collect::<Vec<_>>().join(" -> ");
            return Err(ConfigError::handled(format!("circular set_env reference {circle}")));
        }
        let _nesting = Nesting::enter(Step::Value)?;
        let context = LookupContext { settings: self, set: scope.set };
        let prefix = &scope.variables.prefix;
        let failed = |error| self.replacing_failed(scope.set, error);
        if let Some((name, rest)) = split_outside_expressions(line) {
            let expanded = replace(&context, prefix, ReplaceStyle::Plain, name.trim(), trail).map_err(failed)?;
            if expanded.trim().is_empty() || expanded.contains(['=', '\n', '\r']) {
                let message = format!("invalid set_env key {} after substitution", python_repr(name.trim()));
                return Err(ConfigError::value(message));
            }
            let (value, marker) = split_marker(rest.trim());
            return Ok(vec![(expanded.trim().to_owned(), RawVariable { value, marker })]);
        }
        let text = replace_once(&context, prefix, line, trail).map_err(failed)?;
        if text == line {
            return split_line(line).map(|entry| vec![entry]).ok_or_else(|| invalid_line(line));
        }
        let lines = lines::parse(&text, true)?;
        scope.brought.set(scope.brought.get() + lines.len());
        if scope.brought.get() > MOST_LINES {
            let message = format!("set_env exceeds {MOST_LINES} lines at {}", python_repr(line));
            return Err(ConfigError::handled(message));
        }
        let parents = scope.parents.iter().cloned().chain([line.to_owned()]).collect();
        let inner = SetEnvScope { parents, later: scope.later.clone(), ..*scope };
        Ok(self.expand_lines(&inner, &lines, trail)?.into_iter().collect())
    }

    fn read_env_file(
        &self,
        scope: &SetEnvScope<'_>,
        path: &str,
        trail: &Trail,
    ) -> Result<Vec<(String, String)>, ConfigError> {
        let context = LookupContext { settings: self, set: scope.set };
        let path = replace(&context, &scope.variables.prefix, ReplaceStyle::Plain, path, trail)
            .map_err(|error| self.replacing_failed(scope.set, error))?;
        let path = self.tox_root()?.join(crate::os_text::encode(&path));
        if !path.is_file() {
            let problem = if path.exists() { "is not a file" } else { "does not exist" };
            return Err(ConfigError::fail(format!("{} {problem} for set_env", path.display())));
        }
        let cannot =
            |reason: String| ConfigError::fail(format!("{} cannot be read for set_env: {reason}", path.display()));
        let bytes = bounded::read(&path).map_err(|error| cannot(error.to_string()))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| cannot(crate::python_text::decode_error(&bytes, &error)))?
            .trim_start_matches('\u{feff}');
        parse_env_file(&crate::os_text::escape(text), &path)
    }

    /// The error as tox words it where an expression of `set_env` cannot be replaced.
    pub(super) fn replacing_failed(&self, set: &ConfigSet, error: ConfigError) -> ConfigError {
        if matches!(error.class, ErrorClass::Handled | ErrorClass::Skip) {
            return error;
        }
        let label = set.label();
        let message = match error.class {
            _ if self.toml().is_none() => format!("replace failed in {label}.set_env with {}", error.python_repr()),
            ErrorClass::Circular | ErrorClass::MatchRecursion => {
                format!("failed to load {label}.set_env: {}", error.message)
            }
            _ => return error,
        };
        ConfigError { class: ErrorClass::Handled, message, ..error }
    }
}
