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
use crate::settings::toml::convert::python_type;
use crate::settings::value::{SettingValue, raw_words};

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

    pub fn value(&mut self, value: &Toml, depth: usize) -> Result<Toml, ConfigError> {
        let depth = depth + 1;
        too_deep(value, depth)?;
        let _nesting = Nesting::enter(Step::Part)?;
        if !self.references.is_empty() {
            self.count(1 + value.as_str().map_or(0, str::len) / 256)?;
        }
        match value {
            Toml::String(text) => self.text(text).map(Toml::String),
            Toml::Array(entries) => self.list(entries, depth).map(Toml::Array),
            Toml::Table(table) => self.table(table, depth),
            other => Ok(other.clone()),
        }
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

    fn list(&mut self, entries: &[Toml], depth: usize) -> Result<Vec<Toml>, ConfigError> {
        let mut result: Vec<Toml> = Vec::new();
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
            if is_set(entry.get("marker")) {
                return Err(match_error("a replace with extend=true cannot have a marker"));
            }
            match found {
                Toml::Array(more) => result.extend(more),
                // A text is one entry; an empty one, of a false condition, is no entry.
                Toml::String(text) if text.is_empty() => {}
                Toml::Table(table) => result.extend(table.into_iter().map(|(key, _)| Toml::String(key))),
                other => result.push(other),
            }
        }
        Ok(result)
    }

    fn table(&mut self, table: &toml::Table, depth: usize) -> Result<Toml, ConfigError> {
        let found = match table.get("replace").and_then(Toml::as_str) {
            Some("posargs") => self.positional(table, depth)?,
            Some("env") => self.variable(table, depth)?,
            Some("glob") => self.glob(table, depth)?,
            Some("if") => self.conditional(table, depth)?,
            Some("ref") => self.reference(table, depth)?,
            _ => {
                let resolve = |(key, value): (&String, &Toml)| Ok((key.clone(), self.value(value, depth)?));
                return table.iter().map(resolve).collect::<Result<toml::Table, ConfigError>>().map(Toml::Table);
            }
        };
        match table.get("marker") {
            Some(marker) if is_set(Some(marker)) => {
                let pairs = [("value".to_owned(), found), ("marker".to_owned(), marker.clone())];
                Ok(Toml::Table(pairs.into_iter().collect()))
            }
            _ => Ok(found),
        }
    }

    fn texts(&self, texts: impl Iterator<Item = String>) -> Result<Toml, ConfigError> {
        let texts = texts.map(|text| self.text(&text).map(Toml::String));
        texts.collect::<Result<_, _>>().map(Toml::Array)
    }

    fn positional(&mut self, table: &toml::Table, depth: usize) -> Result<Toml, ConfigError> {
        let context = LookupContext { settings: self.settings, set: self.set };
        let Some(words) = context.positional(self.trail, self.program_depth == Some(1))? else {
            return match table.get("default") {
                None => Ok(Toml::Array(Vec::new())),
                Some(Toml::Array(entries)) => {
                    let resolved = entries.iter().map(|entry| self.value(entry, depth)).collect::<Result<_, _>>()?;
                    Ok(Toml::Array(resolved))
                }
                // tox goes through whatever can be gone through.
                Some(Toml::String(text)) => self.texts(text.chars().map(String::from)),
                Some(Toml::Table(entries)) => self.texts(entries.keys().cloned()),
                Some(other) => Err(type_error(format!("'{}' object is not iterable", python_type(other)))),
            };
        };
        let substitute = match table.get("substitute") {
            None => false,
            Some(Toml::Boolean(flag)) => *flag,
            Some(other) => {
                return Err(type_error(format!(
                    "{} is not of type 'bool'",
                    crate::settings::toml::convert::python_text(other)
                )));
            }
        };
        let words = words.into_iter().map(|word| if substitute { self.text(&word) } else { Ok(word) });
        Ok(Toml::Array(words.map(|word| word.map(Toml::String)).collect::<Result<_, _>>()?))
    }

    fn variable(&mut self, table: &toml::Table, depth: usize) -> Result<Toml, ConfigError> {
        let name = match table.get("name") {
            Some(Toml::String(name)) => name.clone(),
            Some(other) => return Err(not_text(other)),
            None => return Err(ConfigError::new(ErrorClass::Value, "'name'")),
        };
        let default = match table.get("default") {
            None => Toml::String(String::new()),
            Some(default) => self.value(default, depth)?,
        };
        let Toml::String(default) = default else { return Err(not_text(&default)) };
        if self.texts == SubstitutedTexts::Keep {
            // Read when the variable is, so that it sees the variables beside it.
            return Ok(Toml::String(format!("{{env:{name}:{default}}}")));
        }
        if name.is_empty() {
            return Err(match_error("No variable name was supplied in {env} substitution"));
        }
        let context = LookupContext { settings: self.settings, set: self.set };
        match context.variable(&name, self.trail)? {
            Some(found) => Ok(Toml::String(found.into_text())),
            None => Ok(Toml::String(default)),
        }
    }

    fn glob(&mut self, table: &toml::Table, depth: usize) -> Result<Toml, ConfigError> {
        let pattern = table.get("pattern").map(|pattern| self.value(pattern, depth)).transpose()?;
        let default = table.get("default").map(|default| self.value(default, depth)).transpose()?;
        if self.texts == SubstitutedTexts::Keep {
            let text = |value: &Option<Toml>| value.as_ref().and_then(Toml::as_str).unwrap_or_default().to_owned();
            return Ok(Toml::String(format!("{{glob:{}:{}}}", text(&pattern), text(&default))));
        }
        let pattern = match &pattern {
            Some(Toml::String(pattern)) => pattern.clone(),
            Some(other) => return Err(not_text(other)),
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
        if !matches.is_empty() {
            return Ok(if extends {
                Toml::Array(matches.into_iter().map(Toml::String).collect())
            } else {
                Toml::String(matches.join(" "))
            });
        }
        match default {
            None if extends => Ok(Toml::Array(Vec::new())),
            None => Ok(Toml::String(String::new())),
            Some(default) if extends == default.is_array() => Ok(default),
            Some(default) if extends => {
                Err(type_error(format!("value of type '{}' is not of type 'list'", python_type(&default))))
            }
            Some(default) => Err(not_text(&default)),
        }
    }

    fn conditional(&mut self, table: &toml::Table, depth: usize) -> Result<Toml, ConfigError> {
        match self.chosen(table)? {
            Some(value) => self.value(value, depth),
            None => Ok(Toml::String(String::new())),
        }
    }

    /// What a condition chooses; `None`: nothing, since it does not hold and there is no `else`.
    pub fn chosen<'t>(&self, table: &'t toml::Table) -> Result<Option<&'t Toml>, ConfigError> {
        let condition = match table.get("condition") {
            Some(Toml::String(condition)) if !condition.is_empty() => condition,
            _ => return Err(match_error("No condition was supplied in if replacement")),
        };
        let Some(then) = table.get("then") else {
            return Err(match_error("No 'then' value was supplied in if replacement"));
        };
        let scope = ConditionScope {
            factors: self.settings.factors(self.set),
            variables: &self.settings.options.variables,
            env_name: self.set.name.as_deref().unwrap_or_default(),
        };
        Ok(if condition::holds(condition, &scope)? { Some(then) } else { table.get("else") })
    }

    fn reference(&mut self, table: &toml::Table, depth: usize) -> Result<Toml, ConfigError> {
        if let (Some(Toml::String(env)), Some(Toml::String(key))) = (table.get("env"), table.get("key"))
            && !env.is_empty()
            && !key.is_empty()
        {
            return self.of_environment(env, key);
        }
        let Some(steps) = self.path_of_reference(table)? else { return Ok(Toml::Table(table.clone())) };
        let loaded = self.settings.toml_from_root(&steps)?;
        self.references.push(steps.join("."));
        let found = self.value(&loaded, depth);
        self.references.pop();
        found
    }

    /// Where a reference leads, unless it leads to a setting of an environment or nowhere.
    pub fn path_of_reference(&self, table: &toml::Table) -> Result<Option<Vec<String>>, ConfigError> {
        let is_text = |key: &str| table.get(key).and_then(Toml::as_str).is_some_and(|text| !text.is_empty());
        if is_text("env") && is_text("key") {
            return Ok(None);
        }
        let Some(of) = table.get("of").filter(|of| is_set(Some(of))) else { return Ok(None) };
        let Toml::Array(steps) = of else {
            return Err(type_error(format!("value of type '{}' is not list", python_type(of))));
        };
        let steps = steps
            .iter()
            .map(|step| step.as_str().map(str::to_owned).ok_or_else(|| not_text(step)))
            .collect::<Result<Vec<_>, _>>()?;
        let path = steps.join(".");
        if self.references.contains(&path) {
            let circle: Vec<&str> = self.references.iter().map(String::as_str).chain([path.as_str()]).collect();
            let message = format!("circular reference {}", circle.join(" -> "));
            return Err(ConfigError::new(ErrorClass::MatchRecursion, message));
        }
        Ok(Some(steps))
    }

    /// A setting of another environment, in the shape it would have been written in.
    fn of_environment(&mut self, env: &str, key: &str) -> Result<Toml, ConfigError> {
        if !self.settings.has_settings(env, key) {
            return Err(ConfigError::value(crate::python_text::python_repr(key)));
        }
        let set = self.settings.environment(env);
        let texts = |entries: Vec<String>| Toml::Array(entries.into_iter().map(Toml::String).collect());
        let value = self.settings.value(&set, key)?;
        let shown = self.settings.shown(&set, key, &value)?;
        self.count(shown.text.lines().count())?;
        Ok(match value {
            SettingValue::Requirements(_) => texts(shown.text.lines().map(str::to_owned).collect()),
            SettingValue::List(entries) | SettingValue::Set(entries) | SettingValue::Environments(entries) => {
                texts(entries)
            }
            SettingValue::Command(command) => texts(raw_words(&command)),
            SettingValue::Commands(commands) => {
                Toml::Array(commands.iter().map(|command| texts(raw_words(command))).collect())
            }
            SettingValue::Boolean(flag) => Toml::Boolean(flag),
            SettingValue::Integer(number) => Toml::Integer(number),
            SettingValue::Float(number) => Toml::Float(number),
            SettingValue::Variables(pairs) => {
                Toml::Table(pairs.into_iter().map(|(name, value)| (name, Toml::String(value))).collect())
            }
            _ => Toml::String(shown.text),
        })
    }
}

/// Whether a word at this place may be the program of a command.
fn entry_program_depth(depth: Option<usize>, extends: bool, before: &[Toml]) -> Option<usize> {
    let depth = depth?;
    let only_mark = matches!(before, [Toml::String(mark)] if mark == "-" || mark == "!");
    if depth == 1 && !before.is_empty() && !only_mark {
        return None;
    }
    Some(if depth > 0 && !extends { depth - 1 } else { depth })
}

pub fn too_deep(value: &Toml, depth: usize) -> Result<(), ConfigError> {
    if depth <= DEEPEST {
        return Ok(());
    }
    let value = crate::python_text::repr(value);
    let message = format!("Could not expand {value} after recursing {depth} frames");
    Err(ConfigError::new(ErrorClass::MatchRecursion, message))
}

/// Whether an entry of a list stands for several.
pub fn extends(entry: &Toml) -> bool {
    entry.as_table().is_some_and(|table| is_set(table.get("replace")) && is_set(table.get("extend")))
}

/// Python's idea of truth.
pub fn is_set(value: Option<&Toml>) -> bool {
    match value {
        None | Some(Toml::Boolean(false)) => false,
        Some(Toml::String(text)) => !text.is_empty(),
        Some(Toml::Array(entries)) => !entries.is_empty(),
        Some(Toml::Table(table)) => !table.is_empty(),
        Some(Toml::Integer(number)) => *number != 0,
        Some(_) => true,
    }
}

fn match_error(message: &str) -> ConfigError {
    ConfigError::new(ErrorClass::Match, message)
}

fn type_error(message: String) -> ConfigError {
    ConfigError::new(ErrorClass::Type, message)
}

fn not_text(value: &Toml) -> ConfigError {
    let shown = match value {
        Toml::Boolean(_) | Toml::Integer(_) | Toml::Float(_) => crate::settings::toml::convert::python_text(value),
        other => format!("value of type '{}'", python_type(other)),
    };
    type_error(format!("{shown} is not of type 'str'"))
}
