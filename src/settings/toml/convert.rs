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
use crate::source::{TomlContent, TomlTable, TomlValue};

/// Python's name for the type of a value.
pub fn python_type(value: &TomlValue) -> &'static str {
    match &value.content {
        TomlContent::Scalar(Toml::String(_)) => "str",
        TomlContent::Scalar(Toml::Integer(_)) => "int",
        TomlContent::Scalar(Toml::Float(_)) => "float",
        TomlContent::Scalar(Toml::Boolean(_)) => "bool",
        TomlContent::Scalar(_) => "datetime",
        TomlContent::Array(_) => "list",
        TomlContent::Table(_) => "dict",
    }
}

/// A value as Python's `str` writes it.
pub fn python_text(value: &TomlValue) -> String {
    match value.scalar() {
        Some(Toml::String(text)) => text.clone(),
        Some(Toml::Boolean(flag)) => if *flag { "True" } else { "False" }.to_owned(),
        Some(Toml::Float(number)) => SettingValue::Float(*number).show().text,
        Some(Toml::Integer(number)) => number.to_string(),
        _ => value.to_value().to_string(),
    }
}

/// A value in messages: substitution may have put a secret into texts, so they are not shown.
fn describe(value: &TomlValue) -> String {
    match value.scalar() {
        Some(Toml::Boolean(_) | Toml::Integer(_) | Toml::Float(_)) => python_text(value),
        _ => format!("value of type '{}'", python_type(value)),
    }
}

/// The error at that value.
pub fn wrong(value: &TomlValue, message: String) -> ConfigError {
    ConfigError::new(ErrorClass::Type, message).in_part(value.span())
}

pub fn not_of(value: &TomlValue, of: &str) -> ConfigError {
    wrong(value, format!("{} is not of type '{of}'", describe(value)))
}

/// The value as a text, which it must be.
pub fn text(value: &TomlValue) -> Result<String, ConfigError> {
    value.as_str().map(str::to_owned).ok_or_else(|| not_of(value, "str"))
}

fn texts(value: &TomlValue) -> Result<Vec<String>, ConfigError> {
    array(value)?.iter().map(text).collect()
}

fn array(value: &TomlValue) -> Result<&[TomlValue], ConfigError> {
    value.array().ok_or_else(|| wrong(value, format!("{} is not list", describe(value))))
}

fn table(value: &TomlValue) -> Result<&TomlTable, ConfigError> {
    value.table().ok_or_else(|| wrong(value, format!("{} is not dictionary", describe(value))))
}

pub fn convert(key: &str, kind: ValueKind, value: &TomlValue) -> Result<SettingValue, ConfigError> {
    Ok(match kind {
        ValueKind::Text => SettingValue::Text(text(value)?),
        ValueKind::Plain => SettingValue::Text(plain(value)?),
        ValueKind::Line if value.is_array() => SettingValue::Text(quote_words(&texts(value)?)),
        ValueKind::Line => SettingValue::Text(text(value)?),
        ValueKind::OptionalText | ValueKind::OptionalBoolean | ValueKind::OptionalMapping
            if value.as_str().is_some_and(|text| text.trim().is_empty()) =>
        {
            SettingValue::Absent
        }
        ValueKind::OptionalText if key == "min_version" && !value.is_str() => {
            let version = crate::python_text::repr(&value.to_value());
            return Err(ConfigError::value(format!("Invalid version: {version}")).in_part(value.span()));
        }
        ValueKind::OptionalText => SettingValue::Text(text(value)?.trim().to_owned()),
        ValueKind::Boolean | ValueKind::OptionalBoolean => {
            SettingValue::Boolean(value.scalar().and_then(Toml::as_bool).ok_or_else(|| not_of(value, "bool"))?)
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
        ValueKind::List if is_text_or_list(key) => match value.as_str() {
            Some(text) => SettingValue::List(vec![text.to_owned()]),
            None if value.is_array() => SettingValue::List(texts(value)?),
            None => return Err(wrong(value, format!("{} cannot cast to list[str] | str", python_text(value)))),
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
fn plain(value: &TomlValue) -> Result<String, ConfigError> {
    match &value.content {
        TomlContent::Array(entries) => Ok(entries.iter().map(plain).collect::<Result<Vec<_>, _>>()?.join("\n")),
        TomlContent::Scalar(Toml::Boolean(flag)) => Ok(flag.to_string()),
        TomlContent::Scalar(Toml::String(_) | Toml::Integer(_) | Toml::Float(_)) => Ok(python_text(value)),
        TomlContent::Scalar(_) | TomlContent::Table(_) => Err(not_of(value, "str")),
    }
}

/// Settings that take one text as well as a list.
fn is_text_or_list(key: &str) -> bool {
    matches!(key, "base_python" | "default_base_python" | "base_python_file")
}

fn integer(value: &TomlValue) -> Result<i64, ConfigError> {
    match value.scalar() {
        Some(Toml::Integer(number)) => Ok(*number),
        Some(Toml::Float(number)) => Ok(*number as i64),
        Some(Toml::Boolean(flag)) => Ok(i64::from(*flag)),
        Some(Toml::String(digits)) => digits.trim().parse().map_err(|_| not_of(value, "int")),
        _ => Err(not_of(value, "int")),
    }
}

fn float(value: &TomlValue) -> Result<f64, ConfigError> {
    match value.scalar() {
        Some(Toml::Integer(number)) => Ok(*number as f64),
        Some(Toml::Float(number)) => Ok(*number),
        Some(Toml::Boolean(flag)) => Ok(f64::from(u8::from(*flag))),
        Some(Toml::String(digits)) => digits.trim().parse().map_err(|_| not_of(value, "float")),
        _ => Err(not_of(value, "float")),
    }
}

fn labels(value: &TomlValue) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
    let table = table(value)?;
    table.iter().map(|(name, members)| Ok((name.clone(), product::environments(members)?))).collect()
}

fn command(value: &TomlValue) -> Result<Command, ConfigError> {
    let words = texts(value)?;
    if words.is_empty() {
        let error = ConfigError::value("attempting to parse [] into a command failed");
        return Err(error.in_part(value.span()));
    }
    Ok(Command::from_words(words))
}

fn commands(value: &TomlValue) -> Result<Vec<Command>, ConfigError> {
    let words = array(value)?.iter().map(texts).collect::<Result<Vec<_>, _>>()?;
    // A generated command leaves an empty list where it does not apply.
    Ok(words.into_iter().filter(|words| !words.is_empty()).map(Command::from_words).collect())
}

fn requirements(key: &str, value: &TomlValue) -> Result<String, ConfigError> {
    let expected = "str, list[str], or list[Requirement]";
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let Some(entries) = value.array() else {
        let (kind, text) = (python_type(value), python_text(value));
        return Err(wrong(value, format!("{key} expected {expected}, got {kind}: {text}")));
    };
    let bad: Vec<_> = entries.iter().enumerate().filter(|(_, entry)| !entry.is_str()).collect();
    if let Some((_, first)) = bad.first() {
        let list: Vec<String> = bad.iter().map(|(at, entry)| format!("[{at}] {}", python_type(entry))).collect();
        let message = format!("{key} expected {expected}, got list with invalid items: {}", list.join(", "));
        return Err(wrong(first, message));
    }
    Ok(entries.iter().filter_map(TomlValue::as_str).collect::<Vec<_>>().join("\n"))
}

fn mapping(value: &TomlValue) -> Result<Vec<(String, Json)>, ConfigError> {
    let table = table(value)?;
    table.iter().map(|(name, entry)| Ok((name.clone(), Json::from(text(entry)?)))).collect()
}
