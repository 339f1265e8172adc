//! Converts TOML values to typed values, strictly: like tox, without implicit conversions.

use serde_json::Value as Json;
use toml::Value as Toml;

use crate::error::{ConfigError, ErrorClass};
use crate::model::Command;
use crate::python_text::quote::quote_words;
use crate::settings::convert::{list, sorted};
use crate::settings::keys::is_own;
use crate::settings::toml::product;
use crate::settings::value::{SettingValue, ValueKind, python_path};

/// Python's name for the type of a value.
pub fn python_type(value: &Toml) -> &'static str {
    match value {
        Toml::String(_) => "str",
        Toml::Integer(_) => "int",
        Toml::Float(_) => "float",
        Toml::Boolean(_) => "bool",
        Toml::Datetime(_) => "datetime",
        Toml::Array(_) => "list",
        Toml::Table(_) => "dict",
    }
}

/// A value as Python's `str` writes it.
pub fn python_text(value: &Toml) -> String {
    match value {
        Toml::String(text) => text.clone(),
        Toml::Boolean(flag) => if *flag { "True" } else { "False" }.to_owned(),
        Toml::Float(number) => SettingValue::Float(*number).show().text,
        Toml::Integer(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// A value in messages: substitution may have put a secret into texts, so they are not shown.
fn describe(value: &Toml) -> String {
    match value {
        Toml::Boolean(_) | Toml::Integer(_) | Toml::Float(_) => python_text(value),
        other => format!("value of type '{}'", python_type(other)),
    }
}

fn wrong(message: String) -> ConfigError {
    ConfigError::new(ErrorClass::Type, message)
}

fn not_of(value: &Toml, of: &str) -> ConfigError {
    wrong(format!("{} is not of type '{of}'", describe(value)))
}

fn text(value: &Toml) -> Result<String, ConfigError> {
    value.as_str().map(str::to_owned).ok_or_else(|| not_of(value, "str"))
}

fn texts(value: &Toml) -> Result<Vec<String>, ConfigError> {
    let entries = value.as_array().ok_or_else(|| wrong(format!("{} is not list", describe(value))))?;
    entries.iter().map(text).collect()
}

pub fn convert(key: &str, kind: ValueKind, value: &Toml) -> Result<SettingValue, ConfigError> {
    Ok(match kind {
        ValueKind::Text => SettingValue::Text(text(value)?),
        ValueKind::Plain => SettingValue::Text(plain(value)?),
        ValueKind::Line => SettingValue::Text(match value {
            Toml::Array(_) => quote_words(&texts(value)?),
            _ => text(value)?,
        }),
        ValueKind::OptionalText | ValueKind::OptionalBoolean | ValueKind::OptionalMapping
            if value.as_str().is_some_and(|text| text.trim().is_empty()) =>
        {
            SettingValue::Absent
        }
        ValueKind::OptionalText if key == "min_version" && !value.is_str() => {
            return Err(ConfigError::value(format!("Invalid version: {}", crate::python_text::repr(value))));
        }
        ValueKind::OptionalText => SettingValue::Text(text(value)?.trim().to_owned()),
        ValueKind::Boolean | ValueKind::OptionalBoolean => {
            SettingValue::Boolean(value.as_bool().ok_or_else(|| not_of(value, "bool"))?)
        }
        ValueKind::Integer => SettingValue::Integer(integer(value)?),
        ValueKind::Float => SettingValue::Float(float(value)?),
        ValueKind::Path => {
            let text = text(value)?;
            if text.trim().is_empty() {
                return Err(ConfigError::value("path value is empty (does it reference an unset variable?)"));
            }
            SettingValue::Path(python_path(&text))
        }
        // Where tox takes nothing but a list, envo's own keys take what their line in an INI file would say.
        ValueKind::List if is_own(key) && value.is_str() => SettingValue::List(list(&text(value)?)),
        ValueKind::List if is_text_or_list(key) => match value {
            Toml::String(text) => SettingValue::List(vec![text.clone()]),
            Toml::Array(_) => SettingValue::List(texts(value)?),
            other => return Err(wrong(format!("{} cannot cast to list[str] | str", python_text(other)))),
        },
        ValueKind::List | ValueKind::RequirementList => SettingValue::List(texts(value)?),
        ValueKind::Set => SettingValue::Set(sorted(texts(value)?)),
        ValueKind::Environments => SettingValue::Environments(product::environments(value)?),
        ValueKind::Labels => SettingValue::Labels(labels(value)?),
        ValueKind::Command => SettingValue::Command(command(value)?),
        ValueKind::Commands => SettingValue::Commands(commands(value)?),
        ValueKind::Requirements | ValueKind::Constraints => SettingValue::Requirements(requirements(key, value)?),
        ValueKind::OptionalMapping => SettingValue::Mapping(mapping(value)?),
        // Variables have a representation of their own (`set_env`), which is never reached through here.
        ValueKind::Variables => SettingValue::Absent,
    })
}

/// One value, or several as lines.
fn plain(value: &Toml) -> Result<String, ConfigError> {
    match value {
        Toml::Array(entries) => Ok(entries.iter().map(plain).collect::<Result<Vec<_>, _>>()?.join("\n")),
        Toml::Boolean(flag) => Ok(flag.to_string()),
        Toml::String(_) | Toml::Integer(_) | Toml::Float(_) => Ok(python_text(value)),
        Toml::Datetime(_) | Toml::Table(_) => Err(not_of(value, "str")),
    }
}

/// Settings that take one text as well as a list.
fn is_text_or_list(key: &str) -> bool {
    matches!(key, "base_python" | "default_base_python" | "base_python_file")
}

fn integer(value: &Toml) -> Result<i64, ConfigError> {
    match value {
        Toml::Integer(number) => Ok(*number),
        Toml::Float(number) => Ok(*number as i64),
        Toml::Boolean(flag) => Ok(i64::from(*flag)),
        Toml::String(digits) => digits.trim().parse().map_err(|_| not_of(value, "int")),
        other => Err(not_of(other, "int")),
    }
}

fn float(value: &Toml) -> Result<f64, ConfigError> {
    match value {
        Toml::Integer(number) => Ok(*number as f64),
        Toml::Float(number) => Ok(*number),
        Toml::Boolean(flag) => Ok(f64::from(u8::from(*flag))),
        Toml::String(digits) => digits.trim().parse().map_err(|_| not_of(value, "float")),
        other => Err(not_of(other, "float")),
    }
}

fn labels(value: &Toml) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
    let table = value.as_table().ok_or_else(|| wrong(format!("{} is not dictionary", describe(value))))?;
    table.iter().map(|(name, members)| Ok((name.clone(), product::environments(members)?))).collect()
}

fn command(value: &Toml) -> Result<Command, ConfigError> {
    let words = texts(value)?;
    if words.is_empty() {
        return Err(ConfigError::value("attempting to parse [] into a command failed"));
    }
    Ok(Command::from_words(words))
}

fn commands(value: &Toml) -> Result<Vec<Command>, ConfigError> {
    let entries = value.as_array().ok_or_else(|| wrong(format!("{} is not list", describe(value))))?;
    let words = entries.iter().map(texts).collect::<Result<Vec<_>, _>>()?;
    // A generated command leaves an empty list where it does not apply.
    Ok(words.into_iter().filter(|words| !words.is_empty()).map(Command::from_words).collect())
}

fn requirements(key: &str, value: &Toml) -> Result<String, ConfigError> {
    let expected = "str, list[str], or list[Requirement]";
    match value {
        Toml::String(text) => Ok(text.clone()),
        Toml::Array(entries) => {
            let bad: Vec<String> = entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| !entry.is_str())
                .map(|(at, entry)| format!("[{at}] {}", python_type(entry)))
                .collect();
            if !bad.is_empty() {
                let list = bad.join(", ");
                return Err(wrong(format!("{key} expected {expected}, got list with invalid items: {list}")));
            }
            Ok(entries.iter().filter_map(Toml::as_str).collect::<Vec<_>>().join("\n"))
        }
        other => Err(wrong(format!("{key} expected {expected}, got {}: {}", python_type(other), python_text(other)))),
    }
}

fn mapping(value: &Toml) -> Result<Vec<(String, Json)>, ConfigError> {
    let table = value.as_table().ok_or_else(|| wrong(format!("{} is not dictionary", describe(value))))?;
    table.iter().map(|(name, entry)| Ok((name.clone(), Json::from(text(entry)?)))).collect()
}
