//! Resolves references in TOML values: `replace = "env"`, `"posargs"`, `"glob"`, `"if"`, `"ref"` tables, and
//! substitutions in texts. <https://tox.wiki/en/4.67.15/reference/config.html#toml-only>

use toml::Value as Toml;

use crate::error::{ConfigError, ErrorClass};
use crate::python_text::quote::is_line_break;
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::expand::replace::{ReplaceStyle, replace};
use crate::settings::expand::{TOML_PREFIX, Trail, ValueLookup as _};
use crate::settings::lookup::LookupContext;
use crate::settings::nesting::{Nesting, Step};
use crate::settings::toml::condition::{self, ConditionScope};
use crate::settings::toml::convert::{self, not_of, python_type, wrong};
use crate::settings::value::{SettingValue, raw_words};
use crate::source::{Span, TomlContent, TomlTable, TomlValue};

const DEEPEST: usize = 100;
/// The limit for the values of one setting, including those that references repeat.
const MOST_VALUES: usize = 250_000;

/// Which texts are substituted now, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubstitutedTexts {
    /// Texts stay as written; `set_env` substitutes each value when it is read.
    Keep,
    Replace(ReplaceStyle),
}

/// One value that is being resolved.
pub struct TomlUnroller<'a> {
    pub settings: &'a Settings,
    pub set: &'a ConfigSet,
    pub trail: &'a Trail,
    pub texts: SubstitutedTexts,
    /// How many lists down the first word is the program of a command.
    pub program_depth: Option<usize>,
    /// References being followed, to detect cycles.
    pub references: Vec<String>,
    /// How many values it came to so far.
    count: usize,
}

impl<'a> TomlUnroller<'a> {
    pub fn new(settings: &'a Settings, set: &'a ConfigSet, trail: &'a Trail, texts: SubstitutedTexts) -> Self {
        Self { settings, set, trail, texts, program_depth: None, references: Vec::new(), count: 0 }
    }

    pub fn count(&mut self, values: usize) -> Result<(), ConfigError> {
        self.count += values;
        if self.count <= MOST_VALUES {
            return Ok(());
        }
        let path = self.references.last().map(|path| format!(" at {path}")).unwrap_or_default();
        let message = format!("references expand to more than {MOST_VALUES} values{path}");
        Err(ConfigError::value(message).hint("values that refer to another value twice double its size"))
    }

    pub fn value(&mut self, value: &TomlValue, depth: usize) -> Result<TomlValue, ConfigError> {
        let depth = depth + 1;
        too_deep(value, depth)?;
        let _nesting = Nesting::enter(Step::Part)?;
        if !self.references.is_empty() {
            self.count(1 + value.as_str().map_or(0, str::len) / 256)?;
        }
        let span = value.span();
        let found = match &value.content {
            TomlContent::Scalar(Toml::String(text)) => {
                let found = self.text(text).map_err(|error| self.settings.in_text(error, value.span()));
                return found.map(|text| TomlValue::text(text, span));
            }
            TomlContent::Scalar(_) => Ok(value.clone()),
            TomlContent::Array(entries) => self.list(entries, depth).map(|entries| TomlValue::list(entries, span)),
            TomlContent::Table(table) => self.table(table, span, depth),
        };
        found.map_err(|error| error.in_part(value.span()))
    }

    fn text(&self, text: &str) -> Result<String, ConfigError> {
        match self.texts {
            SubstitutedTexts::Keep => Ok(text.to_owned()),
            SubstitutedTexts::Replace(style) => {
                let style = if self.program_depth.is_some() { ReplaceStyle::Program } else { style };
                let context = LookupContext { settings: self.settings, set: self.set };
                replace(&context, TOML_PREFIX, style, text, self.trail)
            }
        }
    }

    fn list(&mut self, entries: &[TomlValue], depth: usize) -> Result<Vec<TomlValue>, ConfigError> {
        let mut result: Vec<TomlValue> = Vec::new();
        let program_depth = self.program_depth;
        for entry in entries {
            let extends = extends(entry);
            self.program_depth = entry_program_depth(program_depth, extends, &result);
            let found = self.value(entry, depth);
            self.program_depth = program_depth;
            let found = found?;
            if !extends {
                result.push(found);
                continue;
            }
            extend(&mut result, entry, found)?;
        }
        Ok(result)
    }

    fn table(&mut self, table: &TomlTable, span: Span, depth: usize) -> Result<TomlValue, ConfigError> {
        let found = match table.get("replace").and_then(TomlValue::as_str) {
            Some("posargs") => self.positional(table, span.clone(), depth)?,
            Some("env") => TomlValue::text(self.variable(table, depth)?, span.clone()),
            Some("glob") => self.glob(table, span.clone(), depth)?,
            Some("if") => self.alternative(table, span.clone(), depth)?,
            Some("ref") => self.reference(table, span.clone(), depth)?,
            _ => return self.plain_table(table, span, depth),
        };
        Ok(match table.get("marker").filter(|marker| is_set(Some(marker))) {
            Some(marker) => marked(found, marker, span),
            None => found,
        })
    }

    fn plain_table(&mut self, table: &TomlTable, span: Span, depth: usize) -> Result<TomlValue, ConfigError> {
        let resolve = |(key, value): (&String, &TomlValue)| Ok((key.clone(), self.value(value, depth)?));
        let table = table.iter().map(resolve).collect::<Result<_, ConfigError>>()?;
        Ok(TomlValue::new(TomlContent::Table(table), span))
    }

    fn alternative(&mut self, table: &TomlTable, span: Span, depth: usize) -> Result<TomlValue, ConfigError> {
        let _nesting = Nesting::enter(Step::Replacement)?;
        match self.chosen(table)? {
            Some(value) => self.value(value, depth),
            None => Ok(TomlValue::text(String::new(), span)),
        }
    }

    fn positional(&mut self, table: &TomlTable, span: Span, depth: usize) -> Result<TomlValue, ConfigError> {
        let _nesting = Nesting::enter(Step::Replacement)?;
        let context = LookupContext { settings: self.settings, set: self.set };
        let Some(words) = context.positional(self.trail, self.program_depth == Some(1))? else {
            let Some(default) = table.get("default") else { return Ok(TomlValue::list(Vec::new(), span)) };
            if let Some(entries) = default.array() {
                let resolved = entries.iter().map(|entry| self.value(entry, depth)).collect::<Result<_, _>>()?;
                return Ok(TomlValue::list(resolved, default.span()));
            }
            // tox goes through whatever can be gone through.
            let words: Vec<String> = match &default.content {
                TomlContent::Scalar(Toml::String(text)) => text.chars().map(String::from).collect(),
                TomlContent::Table(entries) => entries.keys().cloned().collect(),
                _ => return Err(wrong(default, format!("'{}' object is not iterable", python_type(default)))),
            };
            return self.words(words, true, &default.span());
        };
        let substitute = match table.get("substitute") {
            None => false,
            Some(flag) => flag.scalar().and_then(Toml::as_bool).ok_or_else(|| not_of(flag, "bool"))?,
        };
        self.words(words, substitute, &span)
    }

    /// A list of texts that come from the value at `span`.
    fn words(&self, words: Vec<String>, substitute: bool, span: &Span) -> Result<TomlValue, ConfigError> {
        let words = words.into_iter().map(|word| if substitute { self.text(&word) } else { Ok(word) });
        let texts = words.map(|word| word.map(|word| TomlValue::text(word, span.clone())));
        Ok(TomlValue::list(texts.collect::<Result<_, _>>()?, span.clone()))
    }

    fn variable(&mut self, table: &TomlTable, depth: usize) -> Result<String, ConfigError> {
        let _nesting = Nesting::enter(Step::Replacement)?;
        let name = match table.get("name") {
            Some(name) => convert::text(name)?,
            None => return Err(ConfigError::new(ErrorClass::Value, "'name'")),
        };
        let default = match table.get("default") {
            None => String::new(),
            Some(default) => convert::text(&self.value(default, depth)?)?,
        };
        if self.texts == SubstitutedTexts::Keep {
            // Read when the variable is, so that it sees the variables beside it.
            return Ok(format!("{{env:{name}:{default}}}"));
        }
        if name.is_empty() {
            return Err(match_error("No variable name was supplied in {env} substitution"));
        }
        let context = LookupContext { settings: self.settings, set: self.set };
        Ok(context.variable(&name, self.trail)?.map_or(default, |found| found.into_text()))
    }

    fn glob(&mut self, table: &TomlTable, span: Span, depth: usize) -> Result<TomlValue, ConfigError> {
        let _nesting = Nesting::enter(Step::Replacement)?;
        let pattern = table.get("pattern").map(|pattern| self.value(pattern, depth)).transpose()?;
        let default = table.get("default").map(|default| self.value(default, depth)).transpose()?;
        if self.texts == SubstitutedTexts::Keep {
            let text =
                |value: &Option<TomlValue>| value.as_ref().and_then(TomlValue::as_str).unwrap_or_default().to_owned();
            return Ok(TomlValue::text(format!("{{glob:{}:{}}}", text(&pattern), text(&default)), span));
        }
        let pattern = match &pattern {
            Some(pattern) => convert::text(pattern)?,
            None => return Err(type_error("None is not of type 'str'".to_owned())),
        };
        if pattern.is_empty() {
            return Err(match_error("No pattern was supplied in glob replacement"));
        }
        let context = LookupContext { settings: self.settings, set: self.set };
        let matches = context.glob(&pattern)?;
        let extends = is_set(table.get("extend"));
        let breaks = |path: &String| path.contains(is_line_break) || path.ends_with('\\');
        if self.texts == SubstitutedTexts::Replace(ReplaceStyle::Requirements) && matches.iter().any(breaks) {
            let text = "a globbed requirement path cannot contain a line break or end in a backslash";
            return Err(ConfigError::value(text));
        }
        match default {
            Some(default) if matches.is_empty() => match (extends, default.is_array()) {
                (true, true) | (false, false) => Ok(default),
                (true, false) => {
                    let message = format!("value of type '{}' is not of type 'list'", python_type(&default));
                    Err(wrong(&default, message))
                }
                (false, true) => Err(not_of(&default, "str")),
            },
            _ if extends => self.words(matches, false, &span),
            _ => Ok(TomlValue::text(matches.join(" "), span)),
        }
    }

    /// What a condition chooses; `None`: nothing, since it does not hold and there is no `else`.
    pub fn chosen<'t>(&self, table: &'t TomlTable) -> Result<Option<&'t TomlValue>, ConfigError> {
        let condition =
            table.get("condition").filter(|condition| condition.as_str().is_some_and(|text| !text.is_empty()));
        let Some(condition) = condition else {
            return Err(match_error("No condition was supplied in if replacement"));
        };
        let Some(then) = table.get("then") else {
            return Err(match_error("No 'then' value was supplied in if replacement"));
        };
        let scope = ConditionScope {
            factors: self.settings.factors(self.set),
            variables: &self.settings.options.process.variables,
            env_name: self.set.name.as_deref().unwrap_or_default(),
        };
        let holds = condition::holds(condition.as_str().unwrap_or_default(), &scope);
        let holds = holds.map_err(|error| error.in_part(condition.span()))?;
        Ok(if holds { Some(then) } else { table.get("else") })
    }

    fn reference(&mut self, table: &TomlTable, span: Span, depth: usize) -> Result<TomlValue, ConfigError> {
        if let (Some(env), Some(key)) = (text_in(table, "env"), text_in(table, "key")) {
            return self.of_environment(env, key, span);
        }
        let Some(steps) = self.path_of_reference(table)? else {
            return Ok(TomlValue::new(TomlContent::Table(table.clone()), span));
        };
        let loaded = self.settings.toml_from_root(&steps)?;
        self.references.push(steps.join("."));
        let found = self.value(&loaded, depth);
        self.references.pop();
        found
    }

    /// Where a reference leads, unless it leads to a setting of an environment or nowhere.
    pub fn path_of_reference(&self, table: &TomlTable) -> Result<Option<Vec<String>>, ConfigError> {
        if text_in(table, "env").and(text_in(table, "key")).is_some() {
            return Ok(None);
        }
        let Some(of) = table.get("of").filter(|of| is_set(Some(of))) else { return Ok(None) };
        let Some(steps) = of.array() else {
            return Err(wrong(of, format!("value of type '{}' is not list", python_type(of))));
        };
        let steps = steps.iter().map(convert::text).collect::<Result<Vec<_>, _>>()?;
        let path = steps.join(".");
        if self.references.contains(&path) {
            let circle: Vec<&str> = self.references.iter().map(String::as_str).chain([path.as_str()]).collect();
            let message = format!("circular reference {}", circle.join(" -> "));
            return Err(ConfigError::new(ErrorClass::MatchRecursion, message).in_part(of.span()));
        }
        Ok(Some(steps))
    }

    /// A setting of another environment, in the shape it would have been written in.
    fn of_environment(&mut self, env: &str, key: &str, span: Span) -> Result<TomlValue, ConfigError> {
        if !self.settings.has_settings(env, key) {
            return Err(ConfigError::value(crate::python_text::python_repr(key)));
        }
        let set = self.settings.environment(env);
        let value = self.settings.value(&set, key)?;
        let shown = self.settings.shown(&set, key, &value)?;
        self.count(shown.text.lines().count())?;
        Ok(as_written(value, shown.text, span))
    }
}

/// A setting's value in the shape it would have been written in. Kept out of the functions that call each other, whose
/// stack frames are to stay small.
fn as_written(value: SettingValue, shown: String, span: Span) -> TomlValue {
    let text = |text: String| TomlValue::text(text, span.clone());
    let list = |entries: Vec<TomlValue>| TomlValue::list(entries, span.clone());
    let texts = |entries: Vec<String>| list(entries.into_iter().map(text).collect());
    let scalar = |value: Toml| TomlValue::new(TomlContent::Scalar(value), span.clone());
    match value {
        SettingValue::Requirements(_) => texts(shown.lines().map(str::to_owned).collect()),
        SettingValue::List(entries) | SettingValue::Set(entries) | SettingValue::Environments(entries) => {
            texts(entries)
        }
        SettingValue::Command(command) => texts(raw_words(&command)),
        SettingValue::Commands(commands) => list(commands.iter().map(|command| texts(raw_words(command))).collect()),
        SettingValue::Boolean(flag) => scalar(Toml::Boolean(flag)),
        SettingValue::Integer(number) => scalar(Toml::Integer(number)),
        SettingValue::Float(number) => scalar(Toml::Float(number)),
        SettingValue::Variables(pairs) => {
            let table = pairs.into_iter().map(|(name, value)| (name, text(value))).collect();
            TomlValue::new(TomlContent::Table(table), span.clone())
        }
        _ => text(shown),
    }
}

/// Adds the values that an entry stands for.
fn extend(result: &mut Vec<TomlValue>, entry: &TomlValue, found: TomlValue) -> Result<(), ConfigError> {
    if is_set(entry.get("marker")) {
        return Err(match_error("a replace with extend=true cannot have a marker").in_part(entry.span()));
    }
    let span = found.span();
    match found.content {
        TomlContent::Array(more) => result.extend(more),
        // A text is one entry; an empty one, of a false condition, is no entry.
        TomlContent::Scalar(Toml::String(text)) if text.is_empty() => {}
        TomlContent::Table(table) => {
            result.extend(table.into_iter().map(|(key, _)| TomlValue::text(key, span.clone())));
        }
        scalar => result.push(TomlValue::new(scalar, span)),
    }
    Ok(())
}

fn marked(value: TomlValue, marker: &TomlValue, span: Span) -> TomlValue {
    let pairs = [("value".to_owned(), value), ("marker".to_owned(), marker.clone())];
    TomlValue::new(TomlContent::Table(pairs.into_iter().collect()), span)
}

/// Whether a word at this place may be the program of a command.
fn entry_program_depth(depth: Option<usize>, extends: bool, before: &[TomlValue]) -> Option<usize> {
    let depth = depth?;
    let only_mark = matches!(before, [mark] if matches!(mark.as_str(), Some("-" | "!")));
    if depth == 1 && !before.is_empty() && !only_mark {
        return None;
    }
    Some(if depth > 0 && !extends { depth - 1 } else { depth })
}

pub fn too_deep(value: &TomlValue, depth: usize) -> Result<(), ConfigError> {
    if depth <= DEEPEST {
        return Ok(());
    }
    let value = crate::python_text::repr(&value.to_value());
    let message = format!("Could not expand {value} after recursing {depth} frames");
    Err(ConfigError::new(ErrorClass::MatchRecursion, message))
}

/// Whether an entry of a list stands for several.
pub fn extends(entry: &TomlValue) -> bool {
    entry.table().is_some_and(|table| is_set(table.get("replace")) && is_set(table.get("extend")))
}

/// Python's idea of truth.
pub fn is_set(value: Option<&TomlValue>) -> bool {
    match value.map(|value| &value.content) {
        None | Some(TomlContent::Scalar(Toml::Boolean(false))) => false,
        Some(TomlContent::Scalar(Toml::String(text))) => !text.is_empty(),
        Some(TomlContent::Array(entries)) => !entries.is_empty(),
        Some(TomlContent::Table(table)) => !table.is_empty(),
        Some(TomlContent::Scalar(Toml::Integer(number))) => *number != 0,
        Some(_) => true,
    }
}

fn match_error(message: &str) -> ConfigError {
    ConfigError::new(ErrorClass::Match, message)
}

fn type_error(message: String) -> ConfigError {
    ConfigError::new(ErrorClass::Type, message)
}

/// The text of a key that is not empty.
fn text_in<'t>(table: &'t TomlTable, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str().filter(|text| !text.is_empty())
}
