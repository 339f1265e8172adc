//! `set_env`: variables whose values are worked out one by one, since they may refer to each other.
//! <https://tox.wiki/en/4.67.13/reference/config.html#set_env>
//!
//! Lines are `NAME=VALUE`, `NAME=VALUE; MARKER`, `file|PATH`, or a substitution that brings such lines.

use std::path::Path;
use std::sync::{Arc, Mutex};

use pep508_rs::MarkerTree;
use rustc_hash::FxHashMap;

use super::config_set::ConfigSet;
use super::definitions::{Definitions, Raw};
use super::expand::Trail;
use super::expand::replace::{Style, replace, replace_once};
use super::loader::has_expression;
use super::lookup::Context;
use super::value::Value;
use super::{Settings, keys, lock};
use crate::error::{ConfigError, ErrorClass, python_repr};

/// One thing the setting says, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Variable {
        name: String,
        raw: Raw,
    },
    /// `file|PATH`: variables from a file, which lines after it override.
    File(String),
    /// A line whose name, or which as a whole, has to be substituted first.
    Pending(String),
}

/// An environment's `set_env`.
#[derive(Debug)]
pub struct SetEnv {
    /// What the file says, then what each override appends. Later blocks win.
    blocks: Vec<Vec<Line>>,
    prefix: String,
    /// What lookups see while the lines are being read.
    so_far: Mutex<Definitions>,
    /// What the lines came to, once files and substitutions have been read.
    entries: Mutex<Option<Arc<Definitions>>>,
    /// Values that were worked out.
    values: Mutex<FxHashMap<String, String>>,
}

/// How many variables may refer to one another before the value is given up; tox gives up at about as many.
const DEEPEST: usize = 150;

/// On the trail while files and substitutions are being read: lookups then see only what is written directly.
const EXPANDING: &str = "<set_env>";

impl SetEnv {
    pub(super) fn parse_lines(text: &str, prefix: &str) -> Result<Vec<Line>, ConfigError> {
        Ok(Self::parse(text, prefix, false)?.blocks.into_iter().flatten().collect())
    }

    fn parse(text: &str, prefix: &str, substituted: bool) -> Result<Self, ConfigError> {
        let mut lines = Vec::new();
        for line in super::expand::quote::split_lines(text).into_iter().filter(|line| !line.trim().is_empty()) {
            lines.push(match line.strip_prefix("file|") {
                Some(path) => Line::File(path.to_owned()),
                None => parse_line(line, substituted)?,
            });
        }
        Ok(Self::of_lines(lines, prefix))
    }

    fn of_lines(lines: Vec<Line>, prefix: &str) -> Self {
        Self {
            blocks: vec![lines],
            prefix: prefix.to_owned(),
            so_far: Mutex::default(),
            entries: Mutex::default(),
            values: Mutex::default(),
        }
    }

    fn empty() -> Self {
        Self::of_lines(Vec::new(), super::TEST_PREFIX)
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.blocks.iter().flatten()
    }

    /// Applies an override, which replaces everything or is appended.
    fn with_override(mut self, other: Self, append: bool) -> Self {
        if !append {
            return other;
        }
        self.blocks.extend(other.blocks);
        self
    }
}

/// Where lines are being read: for whom, and what must not be overridden.
struct Scope<'a> {
    set: &'a ConfigSet,
    variables: &'a SetEnv,
    /// What later blocks set directly.
    later: &'a Definitions,
    /// Lines that brought the present ones.
    parents: Vec<String>,
}

impl Scope<'_> {
    /// Lets lookups see a variable from now on.
    fn note(&self, name: &str, raw: &Raw) {
        if !self.later.contains(name) {
            lock(&self.variables.so_far).define(name.to_owned(), raw.clone());
        }
    }
}

/// The variables that are written as such.
fn direct<'a>(lines: impl Iterator<Item = &'a Line>) -> Definitions {
    let mut entries = Definitions::default();
    for line in lines {
        if let Line::Variable { name, raw } = line {
            entries.define(name.clone(), raw.clone());
        }
    }
    entries
}

fn parse_line(line: &str, substituted: bool) -> Result<Line, ConfigError> {
    let invalid = || ConfigError::value(format!("invalid line {} in set_env", python_repr(line)));
    match split_line(line) {
        Some((name, raw)) if !name.contains('{') || (substituted && !has_expression(line)) => {
            check_marker(&name, raw.marker.as_deref())?;
            Ok(Line::Variable { name, raw })
        }
        _ if has_expression(line) => Ok(Line::Pending(line.to_owned())),
        _ => Err(invalid()),
    }
}

pub(super) fn check_marker(name: &str, marker: Option<&str>) -> Result<(), ConfigError> {
    let Some(marker) = marker else { return Ok(()) };
    if marker.parse::<MarkerTree>().is_ok() {
        return Ok(());
    }
    let message = format!(
        "invalid marker for set_env key {}: {marker}\nescape a literal ';' in the value as '\\;'",
        python_repr(name)
    );
    Err(ConfigError::value(message))
}

fn split_line(line: &str) -> Option<(String, Raw)> {
    let (name, rest) = line.split_once('=')?;
    let (value, marker) = split_marker(rest.trim());
    Some((name.trim().to_owned(), Raw { value, marker }))
}

/// Splits a value from the marker behind an unquoted, unescaped semicolon. Quotes count only when they are closed.
fn split_marker(text: &str) -> (String, Option<String>) {
    let unescaped = |text: &str| text.replace("\\;", ";");
    for respect_quotes in [true, false] {
        let mut open: Option<char> = None;
        for (at, character) in text.char_indices() {
            if respect_quotes && matches!(character, '"' | '\'') && !is_escaped(text, at) {
                match open {
                    None => open = Some(character),
                    Some(quote) if quote == character => open = None,
                    Some(_) => {}
                }
            } else if character == ';' && open.is_none() && !text[..at].ends_with('\\') {
                let marker = text[at + 1..].trim();
                return (unescaped(text[..at].trim()), (!marker.is_empty()).then(|| marker.to_owned()));
            }
        }
        if open.is_none() {
            break;
        }
    }
    (unescaped(text), None)
}

fn is_escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

impl Settings {
    /// The environment's `set_env` as it is written.
    pub(super) fn set_env(&self, set: &ConfigSet, trail: &Trail) -> Result<Arc<SetEnv>, ConfigError> {
        if let Some(found) = set.variables.get() {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(self.read_set_env(set, trail)?);
        Ok(Arc::clone(set.variables.get_or_init(|| found)))
    }

    fn read_set_env(&self, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let mut found = self.read_written_set_env(set, trail)?;
        let loaded = self.loaded_variables(set)?;
        if !loaded.is_empty() {
            // Their values are final, so what would be substituted is escaped.
            let raw = |value: String| Raw { value: value.replace('{', "\\{").replace('}', "\\}"), marker: None };
            found
                .blocks
                .push(loaded.into_iter().map(|(name, value)| Line::Variable { name, raw: raw(value) }).collect());
        }
        Ok(found)
    }

    fn read_written_set_env(&self, set: &ConfigSet, trail: &Trail) -> Result<SetEnv, ConfigError> {
        let key = keys::find("set_env").ok_or_else(|| ConfigError::key("set_env"))?;
        let failed = |error: ConfigError| {
            if error.class == ErrorClass::Handled {
                return error;
            }
            let message = format!("failed to load {}.set_env: {}", set.label(), error.message);
            ConfigError { class: ErrorClass::Handled, message, ..error }
        };
        for loader in self.loaders(set)? {
            if !self.mentions(loader, key) {
                continue;
            }
            let trail = self.entering(loader, key, trail)?;
            let mut found: Option<SetEnv> = None;
            if let Some(document) = self.toml() {
                let lines = self.toml_set_env(document, set, loader, &trail).map_err(failed)?;
                found = lines.map(|lines| SetEnv::of_lines(lines, self.reference_prefix(loader)));
            }
            for spelling in super::loader::spellings(key) {
                let Some(entry) = self.entry(loader, spelling) else { continue };
                let Some(raw) = self.text_of(set, entry) else { continue };
                found = Some(SetEnv::parse(&raw, loader.prefix(), false).map_err(failed)?);
                break;
            }
            for one in self.overrides_of(loader, key) {
                let parsed = SetEnv::parse(&one.value, self.reference_prefix(loader), false).map_err(failed)?;
                found = Some(match found {
                    Some(base) => base.with_override(parsed, one.append),
                    None => parsed,
                });
            }
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok(SetEnv::empty())
    }

    /// Names of the configured variables whose markers hold, in order, with what they are set to.
    fn set_env_entries(
        &self,
        set: &ConfigSet,
        variables: &SetEnv,
        trail: &Trail,
    ) -> Result<Arc<Definitions>, ConfigError> {
        if let Some(known) = lock(&variables.entries).clone() {
            return Ok(known);
        }
        if variables.lines().all(|line| matches!(line, Line::Variable { .. })) {
            let entries = Arc::new(direct(variables.lines()));
            *lock(&variables.entries) = Some(Arc::clone(&entries));
            return Ok(entries);
        }
        if trail.contains(EXPANDING) {
            return Ok(Arc::new(lock(&variables.so_far).clone()));
        }
        let entries = self.expand_set_env(set, variables, &trail.with(EXPANDING)).map_err(|error| {
            if matches!(error.class, ErrorClass::Handled | ErrorClass::Fail | ErrorClass::Skip) {
                return error;
            }
            let message = format!("failed to load {}.set_env: {}", set.label(), error.message);
            ConfigError { class: ErrorClass::Handled, message, ..error }
        })?;
        let entries = Arc::new(entries);
        *lock(&variables.entries) = Some(Arc::clone(&entries));
        Ok(entries)
    }

    fn expand_set_env(&self, set: &ConfigSet, variables: &SetEnv, trail: &Trail) -> Result<Definitions, ConfigError> {
        *lock(&variables.so_far) = direct(variables.lines());
        let mut entries = Definitions::default();
        for (at, block) in variables.blocks.iter().enumerate() {
            let later = direct(variables.blocks[at + 1..].iter().flatten());
            let scope = Scope { set, variables, later: &later, parents: Vec::new() };
            for (name, raw) in self.expand_block(&scope, block, trail)? {
                scope.note(&name, &raw);
                entries.define(name, raw);
            }
        }
        Ok(entries)
    }

    /// What a block of lines comes to: what is written directly wins over what substitutions bring, and files lose
    /// against what is written after them.
    fn expand_block(&self, scope: &Scope<'_>, lines: &[Line], trail: &Trail) -> Result<Definitions, ConfigError> {
        let mut entries = direct(lines.iter());
        for (at, line) in lines.iter().enumerate() {
            let Line::File(path) = line else { continue };
            let after = direct(lines[at..].iter());
            for (name, value) in self.read_env_file(scope, path, trail)? {
                if !after.contains(&name) {
                    let raw = Raw { value, marker: None };
                    scope.note(&name, &raw);
                    entries.define(name, raw);
                }
            }
        }
        let written = entries.clone();
        for line in lines {
            let Line::Pending(line) = line else { continue };
            for (name, raw) in self.expand_line(scope, line, trail)? {
                if !written.contains(&name) {
                    entries.define(name, raw);
                }
            }
        }
        Ok(entries)
    }

    fn expand_line(&self, scope: &Scope<'_>, line: &str, trail: &Trail) -> Result<Vec<(String, Raw)>, ConfigError> {
        if scope.parents.iter().any(|parent| parent == line) {
            let circle = scope.parents.iter().map(String::as_str).chain([line]).collect::<Vec<_>>().join(" -> ");
            return Err(ConfigError::handled(format!("circular set_env reference {circle}")));
        }
        let context = Context { settings: self, set: scope.set };
        let prefix = &scope.variables.prefix;
        if let Some((name, rest)) = split_outside_expressions(line) {
            let expanded = replace(&context, prefix, Style::Plain, name.trim(), trail)?;
            if expanded.contains(['=', '\n', '\r']) {
                let message = format!("invalid set_env key {} after substitution", python_repr(name.trim()));
                return Err(ConfigError::value(message));
            }
            let (value, marker) = split_marker(rest.trim());
            return Ok(vec![(expanded.trim().to_owned(), Raw { value, marker })]);
        }
        let text = replace_once(&context, prefix, line, trail)?;
        if text == line {
            let invalid = || ConfigError::value(format!("invalid line {} in set_env", python_repr(line)));
            return split_line(line).map(|entry| vec![entry]).ok_or_else(invalid);
        }
        let block = SetEnv::parse(&text, prefix, true)?;
        let parents = scope.parents.iter().cloned().chain([line.to_owned()]).collect();
        let inner = Scope { parents, ..*scope };
        let lines: Vec<Line> = block.blocks.into_iter().flatten().collect();
        Ok(self.expand_block(&inner, &lines, trail)?.into_iter().collect())
    }

    fn read_env_file(
        &self,
        scope: &Scope<'_>,
        path: &str,
        trail: &Trail,
    ) -> Result<Vec<(String, String)>, ConfigError> {
        let context = Context { settings: self, set: scope.set };
        let path = replace(&context, &scope.variables.prefix, Style::Plain, path, trail)?;
        let path = self.tox_root()?.join(path);
        if !path.is_file() {
            let problem = if path.exists() { "is not a file" } else { "does not exist" };
            return Err(ConfigError::fail(format!("{} {problem} for set_env", path.display())));
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::fail(format!("{} cannot be read for set_env: {error}", path.display())))?;
        parse_env_file(text.trim_start_matches('\u{feff}'), &path)
    }

    /// The value of one variable; `None` when it is not set.
    pub(super) fn set_env_value(
        &self,
        set: &ConfigSet,
        name: &str,
        trail: &Trail,
    ) -> Result<Option<String>, ConfigError> {
        if let Some(value) = self.exported_variable(set, name)? {
            return Ok(Some(value));
        }
        let variables = self.set_env(set, trail)?;
        let entries = self.set_env_entries(set, &variables, trail)?;
        if let Some(raw) = entries.get(name).filter(|raw| self.marker_holds(raw)) {
            return self.variable_value(set, &variables, (name, raw), trail).map(Some);
        }
        Ok(self.default_variables(set).into_iter().find(|(known, _)| known == name).map(|(_, value)| value))
    }

    fn variable_value(
        &self,
        set: &ConfigSet,
        variables: &SetEnv,
        (name, raw): (&str, &Raw),
        trail: &Trail,
    ) -> Result<String, ConfigError> {
        if let Some(known) = lock(&variables.values).get(name) {
            return Ok(known.clone());
        }
        let entry = format!("env:{name}");
        let trail = if trail.0.last() == Some(&entry) { trail.clone() } else { trail.with(entry) };
        if trail.0.len() > DEEPEST {
            let message = format!("variables of set_env refer to each other more than {DEEPEST} deep at {name}");
            return Err(ConfigError::new(ErrorClass::MatchRecursion, message));
        }
        let context = Context { settings: self, set };
        let value = replace(&context, &variables.prefix, Style::Plain, &raw.value, &trail).map_err(|error| {
            if matches!(error.class, ErrorClass::Handled | ErrorClass::Skip) {
                return error;
            }
            let message = format!("replace failed in {}.set_env with {}", set.label(), error.python_repr());
            ConfigError { class: ErrorClass::Handled, message, ..error }
        })?;
        // While the lines are being read, not all variables are known.
        if !super::lookup::reads_set_env(&trail) && !trail.contains(EXPANDING) {
            lock(&variables.values).insert(name.to_owned(), value.clone());
        }
        Ok(value)
    }

    fn marker_holds(&self, raw: &Raw) -> bool {
        let Some(marker) = raw.marker.as_deref() else { return true };
        let Ok(tree) = marker.parse::<MarkerTree>() else { return true };
        let host = self.interpreters.host_python().display().to_string();
        let Some(interpreter) = self.interpreters.find(&[host]) else { return true };
        super::lookup::marker_environment(&interpreter.markers).is_none_or(|found| tree.evaluate(&found, &[]))
    }

    /// All variables with their values, in order: the configured ones, then tox's own.
    pub(super) fn all_variables(&self, set: &ConfigSet, trail: &Trail) -> Result<Vec<(String, String)>, ConfigError> {
        let variables = self.set_env(set, trail)?;
        let entries = self.set_env_entries(set, &variables, trail)?;
        let exported = self.exported_variables(set)?;
        let mut result: Vec<(String, String)> = Vec::new();
        for (name, raw) in entries.iter().filter(|(_, raw)| self.marker_holds(raw)) {
            if !exported.iter().any(|(own, _)| own == name) {
                result.push((name.clone(), self.variable_value(set, &variables, (name, raw), trail)?));
            }
        }
        for (name, value) in self.default_variables(set) {
            if !entries.contains(&name) {
                result.push((name, value));
            }
        }
        result.extend(exported);
        Ok(result)
    }

    /// The configured lines, for another section that includes them.
    pub(super) fn set_env_lines(&self, set: &ConfigSet, trail: &Trail) -> Result<String, ConfigError> {
        let variables = self.set_env(set, trail)?;
        let entries = self.set_env_entries(set, &variables, trail)?;
        Ok(as_lines(&entries))
    }

    /// The lines of another section's `set_env` with the overrides that name it.
    pub(super) fn overridden_set_env(
        &self,
        set: &ConfigSet,
        section: &str,
        raw: &str,
        trail: &Trail,
    ) -> Result<String, ConfigError> {
        let prefix = section.split(':').next().unwrap_or_default();
        let base = SetEnv::parse(raw, prefix, false)?;
        let entries = self.with_overrides(set, section, base, &trail.with(format!("{section}.set_env")))?;
        Ok(as_lines(&entries))
    }

    /// The variables of a TOML table that is referred to, with the overrides that name it.
    pub(super) fn overridden_toml_set_env(
        &self,
        set: &ConfigSet,
        section: &str,
        lines: Vec<Line>,
        trail: &Trail,
    ) -> Result<Definitions, ConfigError> {
        let base = SetEnv::of_lines(lines, super::expand::TOML_PREFIX);
        self.with_overrides(set, section, base, trail)
    }

    fn with_overrides(
        &self,
        set: &ConfigSet,
        section: &str,
        base: SetEnv,
        trail: &Trail,
    ) -> Result<Definitions, ConfigError> {
        if let Some((last, before)) = trail.0.split_last()
            && before.contains(last)
        {
            return Err(ConfigError::value(format!("circular set_env reference {}", trail.0.join(" -> "))));
        }
        let mut found = base;
        for one in
            self.overrides.of_section(section).iter().filter(|one| matches!(one.key.as_str(), "set_env" | "setenv"))
        {
            let parsed = SetEnv::parse(&one.value, &found.prefix, false)?;
            found = found.with_override(parsed, one.append);
        }
        self.expand_set_env(set, &found, trail)
    }

    fn exported_variable(&self, set: &ConfigSet, name: &str) -> Result<Option<String>, ConfigError> {
        const NAMES: [&str; 6] =
            ["PYTHONIOENCODING", "TOX_ENV_NAME", "TOX_WORK_DIR", "TOX_ENV_DIR", "VIRTUAL_ENV", "PIP_USER"];
        if !NAMES.contains(&name) {
            return Ok(None);
        }
        Ok(self.exported_variables(set)?.into_iter().find(|(own, _)| own == name).map(|(_, value)| value))
    }

    /// Variables that count whatever the configuration says.
    fn exported_variables(&self, set: &ConfigSet) -> Result<Vec<(String, String)>, ConfigError> {
        let path = |set: &ConfigSet, key| match self.value(set, key)? {
            Value::Path(path) => Ok::<_, ConfigError>(path.display().to_string()),
            _ => Ok(String::new()),
        };
        let env_dir = path(set, "env_dir")?;
        let mut exported = vec![
            ("PYTHONIOENCODING".to_owned(), "utf-8".to_owned()),
            ("TOX_ENV_NAME".to_owned(), set.label().to_owned()),
            ("TOX_WORK_DIR".to_owned(), path(self.core(), "work_dir")?),
            ("TOX_ENV_DIR".to_owned(), env_dir.clone()),
        ];
        if !self.uses_uv(set) {
            exported.extend([("VIRTUAL_ENV".to_owned(), env_dir), ("PIP_USER".to_owned(), "0".to_owned())]);
        }
        Ok(exported)
    }

    /// Variables that count when the configuration says nothing.
    fn default_variables(&self, set: &ConfigSet) -> Vec<(String, String)> {
        let seed = self.options.run.hash_seed.map(|seed| ("PYTHONHASHSEED".to_owned(), seed.to_string()));
        let pip = self.options.run.pip_pre.then(|| ("PIP_PRE".to_owned(), "1".to_owned()));
        if self.uses_uv(set) {
            return seed.into_iter().chain(pip).collect();
        }
        let version_check = ("PIP_DISABLE_PIP_VERSION_CHECK".to_owned(), "1".to_owned());
        seed.into_iter().chain([version_check]).chain(pip).collect()
    }
}

fn as_lines(entries: &Definitions) -> String {
    let line = |(name, raw): &(String, Raw)| {
        let value = raw.value.replace(';', "\\;");
        raw.marker.as_ref().map_or(format!("{name}={value}"), |marker| format!("{name}={value}; {marker}"))
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Name and value around the first equals sign that is not inside an expression.
fn split_outside_expressions(line: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '=' if depth == 0 => return Some((&line[..at], &line[at + 1..])),
            _ => {}
        }
    }
    None
}

fn parse_env_file(text: &str, path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let mut pairs = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.contains('\0') {
            let message = format!("invalid line in set_env at {}:{}: NUL character", path.display(), at + 1);
            return Err(ConfigError::fail(message));
        }
        let Some((name, value)) = line.split_once('=') else {
            let message = format!("invalid line {} in {} for set_env, expected KEY=VALUE", at + 1, path.display());
            return Err(ConfigError::fail(message));
        };
        let name = name.trim();
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name);
        pairs.push((name.trim_start_matches([' ', '\t']).to_owned(), value.trim().to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_stands_behind_an_unquoted_semicolon() {
        let split = |text| split_marker(text);
        assert_eq!(split("1; python_version>'3'"), ("1".to_owned(), Some("python_version>'3'".to_owned())));
        assert_eq!(split("'a;b'"), ("'a;b'".to_owned(), None));
        assert_eq!(split("a\\;b"), ("a;b".to_owned(), None));
        assert_eq!(split("it's;x"), ("it's".to_owned(), Some("x".to_owned())));
    }

    #[test]
    fn environment_files_take_exports_and_comments() {
        let path = Path::new("x.env");
        let pairs = parse_env_file("# no\nexport A = 1 \n\nB=2;3\n", path).expect("valid");
        assert_eq!(pairs, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2;3".to_owned())]);
        assert!(parse_env_file("nothing", path).is_err());
    }
}
