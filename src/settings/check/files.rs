//! Finds files that the configuration names but that do not exist.

use std::path::Path;

use crate::error::{ConfigError, Location};
use crate::os_text;
use crate::settings::check::CheckedProject;
use crate::settings::config_set::ConfigSet;
use crate::settings::keys;
use crate::settings::service;
use crate::settings::value::SettingValue;

/// Files of requirements, constraints and variables that do not exist.
pub(super) fn missing(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let mut found = in_sections(subject);
    let Ok(root) = subject.settings.tox_root() else { return found };
    for set in subject.environments {
        for key in ["deps", "constraints", "env_file"] {
            found.extend(of_value(subject, set, key, &root));
        }
    }
    found
}

/// Checks the resolved values of an environment, after substitution.
fn of_value(subject: &CheckedProject<'_>, set: &ConfigSet, key: &'static str, root: &Path) -> Vec<ConfigError> {
    let settings = subject.settings;
    if !settings.is_written(set, key).unwrap_or(false) {
        return Vec::new();
    }
    let text = match settings.value(set, key) {
        Ok(SettingValue::Requirements(text) | SettingValue::Text(text)) => text,
        Ok(SettingValue::List(entries)) => entries.join("\n"),
        // Values that cannot be resolved are reported elsewhere.
        _ => return Vec::new(),
    };
    let named = text.lines().filter_map(|line| named_file(key, line));
    let absent = named.filter(|named| !is_there(root, named));
    let error = |named: &str| {
        let error = ConfigError::handled(format!("there is no file `{named}`")).hint(advice(key, root));
        place(subject, set, key, named).into_iter().fold(error, ConfigError::at)
    };
    let mut found: Vec<_> = absent.map(error).collect();
    if key == "env_file" && found.is_empty() {
        found.extend(service::env_files(settings, set).err());
        // A variable that is not set here may be set when the service runs.
        settings.take_warnings();
    }
    found
}

/// The line at or below the key that names the file, else the key.
fn place(subject: &CheckedProject<'_>, set: &ConfigSet, key: &str, named: &str) -> Option<Location> {
    let place = subject.value_location(set, keys::find(key)?)?;
    let first = place.line.checked_sub(1 + subject.settings.source.lines_before)?;
    let file = named.rsplit('/').next().unwrap_or(named);
    let below = subject.lines.get(first..)?.iter().enumerate();
    let mut own = below.take_while(|(at, line)| *at == 0 || !line.trim_start().starts_with('['));
    let Some((at, line)) = own.find(|(_, line)| line.contains(file)) else { return Some(place) };
    Some(subject.location(first + at + 1, if line.contains(named) { named } else { file }))
}

fn is_there(root: &Path, named: &str) -> bool {
    named.is_empty()
        || named.contains(['{', '$'])
        || named.contains("://")
        || root.join(os_text::encode(named)).exists()
}

fn advice(key: &str, root: &Path) -> String {
    match key {
        "env_file" => "write `-` before the name if the file is optional".to_owned(),
        _ => format!("the path is relative to {}", root.display()),
    }
}

fn in_sections(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let Ok(root) = subject.settings.tox_root() else { return Vec::new() };
    let here = os_text::decode(root.as_os_str());
    let mut found = Vec::new();
    for (_, entry) in subject.entries() {
        let Some(key) = keys::find(&entry.key) else { continue };
        for (line, number) in entry.value.split('\n').zip(entry.lines.iter()) {
            let Some(named) = named_file(key.name, line) else { continue };
            let path = named.replace("{toxinidir}", &here).replace("{tox_root}", &here).replace("{/}", "/");
            if is_there(&root, &path) {
                continue;
            }
            let error = ConfigError::handled(format!("there is no file `{path}`")).hint(advice(key.name, &root));
            found.push(error.at(subject.location(number, named)));
        }
    }
    found
}

/// The file that a line of a setting names, as written.
fn named_file<'a>(key: &str, line: &'a str) -> Option<&'a str> {
    let line = line.split_once(" #").map_or(line, |(before, _)| before).trim();
    // A condition may precede it.
    let rest = line.split_once(": ").map_or(line, |(_, rest)| rest.trim());
    let options: &[&str] = match key {
        "deps" => &["--requirement", "--constraint", "-r", "-c"],
        "constraints" => &["--constraint", "-c", ""],
        "env_file" => {
            let line = line.trim();
            return (!line.is_empty() && !line.starts_with(['-', '#'])).then_some(line);
        }
        _ => return None,
    };
    let named = options.iter().find_map(|option| rest.strip_prefix(option))?;
    Some(named.trim_start_matches(['=', ' ']).trim())
}
