//! Reads `secrets`: which variables of an environment are fetched, and where each reference is written.

use std::borrow::Cow;

use crate::error::ConfigError;
use crate::model::secret::{SecretReference, SecretVariable};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::value::SettingValue;

/// The secrets that an environment names, in order.
pub(super) fn secret_variables(settings: &Settings, set: &ConfigSet) -> Result<Vec<SecretVariable>, ConfigError> {
    if !settings.says(set, "secrets")? {
        return Ok(Vec::new());
    }
    let SettingValue::Mapping(pairs) = settings.value(set, "secrets")? else { return Ok(Vec::new()) };
    pairs.into_iter().map(|(variable, text)| secret_variable(settings, set, variable, text.as_str())).collect()
}

fn secret_variable(
    settings: &Settings,
    set: &ConfigSet,
    variable: String,
    text: Option<&str>,
) -> Result<SecretVariable, ConfigError> {
    let text = text.unwrap_or_default();
    let place = settings.location_within(set, "secrets", if text.is_empty() { &variable } else { text });
    let located = |error: ConfigError| place.clone().into_iter().fold(error, ConfigError::at);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.is_empty() || !variable.chars().all(is_name) || variable.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(located(ConfigError::handled(format!("`{variable}` is not a valid name for a variable"))));
    }
    // What is written instead of a reference may be the secret itself, so only the frame shows it.
    let reference = SecretReference::parse(text).map_err(|reason| {
        located(ConfigError::handled(format!("`secrets` has no valid reference for `{variable}`")).hint(reason))
    })?;
    Ok(SecretVariable { variable, reference, place })
}

/// In an INI file a `#` begins a comment; within a reference, where no space is before it, it is part of that.
pub(super) fn with_parts(raw: &str) -> Cow<'_, str> {
    let mut result = String::new();
    let mut before = '\n';
    for c in raw.chars() {
        if c == '#' && !before.is_whitespace() && before != '\\' {
            result.push('\\');
        }
        result.push(c);
        before = c;
    }
    if result.len() == raw.len() { Cow::Borrowed(raw) } else { Cow::Owned(result) }
}

/// Whether anything in the configuration or on the command line names secrets.
pub fn names_secrets(settings: &Settings) -> bool {
    settings.source.text.contains("secrets")
        || settings.options.project.overrides.iter().any(|one| one.contains("secrets"))
}
