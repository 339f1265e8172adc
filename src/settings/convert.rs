//! Converts text to typed values by tox's rules for INI files (`StrConvert`).

use std::borrow::Cow;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::error::{ConfigError, ErrorClass};
use crate::factor::expand_environments;
use crate::model::Command;
use crate::model::environment::RESTART;
use crate::python_text::python_repr;
use crate::python_text::shlex::words;
use crate::settings::value::{SettingValue, ValueKind, python_path};

const TRUE_WORDS: [&str; 4] = ["true", "1", "yes", "on"];
const FALSE_WORDS: [&str; 5] = ["false", "0", "no", "off", ""];

/// Converts the text of a value after substitution.
pub fn convert(kind: ValueKind, text: &str) -> Result<SettingValue, ConfigError> {
    Ok(match kind {
        ValueKind::Text | ValueKind::Plain | ValueKind::Line => SettingValue::Text(text.trim().to_owned()),
        ValueKind::OptionalText if text.trim().is_empty() => SettingValue::Absent,
        ValueKind::OptionalText => SettingValue::Text(text.trim().to_owned()),
        ValueKind::Boolean => SettingValue::Boolean(boolean(text)?),
        ValueKind::OptionalBoolean if text.trim().is_empty() => SettingValue::Absent,
        ValueKind::OptionalBoolean => SettingValue::Boolean(boolean(text)?),
        ValueKind::Integer => SettingValue::Integer(integer(text)?),
        ValueKind::Float => SettingValue::Float(float(text)?),
        ValueKind::Path => SettingValue::Path(path(text)?),
        ValueKind::List | ValueKind::RequirementList => SettingValue::List(list(text)),
        ValueKind::Set => SettingValue::Set(sorted(list(text))),
        ValueKind::Environments => SettingValue::Environments(environments(text)?),
        ValueKind::Labels => SettingValue::Labels(labels(text)?),
        ValueKind::Command => SettingValue::Command(command(text)?),
        ValueKind::Commands => SettingValue::Commands(commands(text)?),
        ValueKind::Requirements | ValueKind::Constraints => SettingValue::Requirements(text.to_owned()),
        ValueKind::OptionalMapping if text.trim().is_empty() => SettingValue::Absent,
        ValueKind::OptionalMapping => {
            SettingValue::Mapping(mapping(text)?.into_iter().map(|(name, value)| (name, Json::from(value))).collect())
        }
        // Variables have a representation of their own (`set_env`), which is never reached through here.
        ValueKind::Variables => SettingValue::Text(text.to_owned()),
    })
}

pub fn boolean(text: &str) -> Result<bool, ConfigError> {
    let trimmed = text.trim();
    let normal = if trimmed.bytes().all(|byte| byte.is_ascii_lowercase()) {
        Cow::Borrowed(trimmed)
    } else {
        Cow::Owned(trimmed.to_lowercase())
    };
    let normal = &*normal;
    if TRUE_WORDS.contains(&normal) {
        return Ok(true);
    }
    if FALSE_WORDS.contains(&normal) {
        return Ok(false);
    }
    let mut valid: Vec<&str> = TRUE_WORDS.into_iter().chain(FALSE_WORDS).collect();
    valid.sort_unstable();
    let message = format!("value {} cannot be transformed to bool, valid: {}", python_repr(text), valid.join(", "));
    Err(ConfigError::new(ErrorClass::Type, message))
}

fn integer(text: &str) -> Result<i64, ConfigError> {
    let digits = text.trim().replace('_', "");
    digits
        .parse()
        .map_err(|_| ConfigError::value(format!("invalid literal for int() with base 10: {}", python_repr(text))))
}

fn float(text: &str) -> Result<f64, ConfigError> {
    text.trim()
        .parse()
        .map_err(|_| ConfigError::value(format!("could not convert string to float: {}", python_repr(text))))
}

fn path(text: &str) -> Result<PathBuf, ConfigError> {
    if text.trim().is_empty() {
        return Err(ConfigError::value("path value is empty (does it reference an unset variable?)"));
    }
    Ok(python_path(text))
}

/// Entries between line breaks, or between commas when the text is one line.
pub fn list(text: &str) -> Vec<String> {
    let separator = if text.contains('\n') { '\n' } else { ',' };
    text.split(separator).map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

pub fn sorted(mut entries: Vec<String>) -> Vec<String> {
    entries.sort();
    entries.dedup();
    entries
}

pub fn environments(text: &str) -> Result<Vec<String>, ConfigError> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = rustc_hash::FxHashSet::default();
    for line in text.split('\n') {
        let expanded = if line.contains(RESTART) { restarting(line)? } else { expand_environments(line)? };
        for name in expanded {
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// As [`expand_environments`], of a line with names that `:restart` stands behind: envo's own addition to `depends`.
fn restarting(line: &str) -> Result<Vec<String>, ConfigError> {
    let mut depth = 0;
    let outside_braces = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    let mut names = Vec::new();
    for part in line.split(outside_braces).map(str::trim).filter(|part| !part.is_empty()) {
        match part.strip_suffix(RESTART) {
            Some(plain) => names.extend(expand_environments(plain)?.into_iter().map(|name| name + RESTART)),
            None => names.extend(expand_environments(part)?),
        }
    }
    Ok(names)
}

fn mapping(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut pairs = Vec::new();
    for row in text.split('\n').filter(|row| !row.trim().is_empty()) {
        let Some((name, value)) = row.split_once('=') else {
            let message = format!("dictionary lines must be of form key=value, found {}", python_repr(row));
            return Err(ConfigError::new(ErrorClass::Type, message));
        };
        pairs.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(pairs)
}

fn labels(text: &str) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
    let mut result: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in mapping(text)? {
        let members = environments(&value)?;
        match result.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = members,
            None => result.push((name, members)),
        }
    }
    Ok(result)
}

pub fn command(text: &str) -> Result<Command, ConfigError> {
    let mut words = words(text);
    let Some(first) = words.first() else {
        return Err(ConfigError::value(format!("attempting to parse {} into a command failed", python_repr(text))));
    };
    if first != "-" && first.starts_with('-') {
        words[0] = first[1..].to_owned();
        words.insert(0, "-".to_owned());
    }
    Ok(Command::from_words(words))
}

fn commands(text: &str) -> Result<Vec<Command>, ConfigError> {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).map(command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExitRule;

    #[test]
    fn environments_may_be_marked_to_restart_with() {
        let names = environments("db:restart, cache\n{a,b}:restart").unwrap();
        assert_eq!(names, ["db:restart", "cache", "a:restart", "b:restart"]);
        assert!(environments("db:other").is_err());
    }

    #[test]
    fn lists_split_at_commas_only_on_one_line() {
        assert_eq!(list("a, b,,c"), ["a", "b", "c"]);
        assert_eq!(list("a, b\n c "), ["a, b", "c"]);
    }

    #[test]
    fn marks_before_a_command_say_which_exit_codes_succeed() {
        let parsed = |text| command(text).map(|command| (command.argv, command.exit_rule));
        assert_eq!(parsed("- a b"), Ok((vec!["a".into(), "b".into()], ExitRule::Any)));
        assert_eq!(parsed("-a b"), Ok((vec!["a".into(), "b".into()], ExitRule::Any)));
        assert_eq!(parsed("! a"), Ok((vec!["a".into()], ExitRule::NonZero)));
        assert!(parsed(" ").is_err());
    }

    #[test]
    fn what_is_neither_true_nor_false_is_refused_in_toxs_words() {
        assert_eq!(boolean(" Yes "), Ok(true));
        assert_eq!(boolean(""), Ok(false));
        assert_eq!(
            boolean("ouch").expect_err("no boolean").message,
            "value 'ouch' cannot be transformed to bool, valid: , 0, 1, false, no, off, on, true, yes"
        );
    }
}
