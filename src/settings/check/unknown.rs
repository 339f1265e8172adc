//! Finds unused keys.

use std::collections::HashSet;

use crate::did_you_mean::{is_misspelt, most_alike};
use crate::error::ConfigError;
use crate::settings::check::CheckedProject;
use crate::settings::config_set::SetKind;
use crate::settings::keys::{self, CORE};
use crate::settings::toml::{ENV, ENV_BASE, PACKAGE_BASE, RUN_BASE};
use crate::settings::{Settings, toml_section};
use crate::source::TomlNode;

/// The start of a hint with a suggestion.
const SUGGESTION: &str = "did you mean";

/// Keys that only some run environments have, depending on their packaging.
const PACKAGING: [&str; 5] = ["skip_install", "use_develop", "package", "package_env", "wheel_build_env"];

/// The project's keys for locks.
const OF_LOCKS: [&str; 2] = ["locked", "lock_dir"];

/// Hints for keys of older versions of tox.
const FORMER: [(&str, &str); 7] = [
    ("isolated_build", "tox 4 always builds in a separate environment: remove the key"),
    ("whitelist_externals", "tox 4 calls it `allowlist_externals`"),
    ("indexserver", "tox 4 has no index servers: set `PIP_INDEX_URL` in `set_env`"),
    ("distribute", "unused since tox 2: remove the key"),
    ("downloadcache", "pip has its own cache: remove the key"),
    ("list_dependencies", "tox 4 calls it `list_dependencies_command`"),
    ("install_deps", "tox 4 calls it `deps`"),
];

/// Tables of a TOML file next to the project's keys; `gh` is tox-gh's.
const TABLES: [&str; 5] = [ENV, ENV_BASE, RUN_BASE, PACKAGE_BASE, "gh"];

/// Whether such a section may have the key.
pub(super) fn belongs(name: &str, kind: SetKind) -> bool {
    let Some(key) = keys::find(name) else { return false };
    if kind == SetKind::Core {
        return CORE.contains(&key.name) || OF_LOCKS.contains(&key.name);
    }
    let kinds = [SetKind::Run, SetKind::Pep517Package, SetKind::CommandPackage];
    keys::is_own(key.name)
        || PACKAGING.contains(&key.name)
        || kinds.into_iter().any(|kind| keys::may_have(kind, key.name))
}

pub(super) fn keys(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    all(subject).into_iter().map(|(_, error)| error).collect()
}

/// Each with its section.
fn all(subject: &CheckedProject<'_>) -> Vec<(String, ConfigError)> {
    let mut found = Vec::new();
    let references = references(subject.text());
    for (section, entry) in subject.entries() {
        let kind = subject.kind(section).unwrap_or(SetKind::Run);
        if !belongs(&entry.key, kind) && !is_referred_to(&references, section, &entry.key) {
            let error = unknown(subject, &entry.key, section, kind);
            let error = error.map(|error| error.at(subject.settings.entry_location(entry)));
            found.extend(error.map(|error| (section.to_owned(), error)));
        }
    }
    found.extend(in_tables(subject));
    found
}

/// Probable misspellings of envo's keys in services and the sections they inherit from. tox ignores such keys, but has
/// no services.
pub(super) fn misspelt_of_services(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let services = sections_of_services(subject.settings).unwrap_or_default();
    if services.is_empty() {
        return Vec::new();
    }
    let is_nearly_one = |error: &ConfigError| error.hints.iter().any(|hint| hint.starts_with(SUGGESTION));
    let of_service = |(section, error): (String, ConfigError)| {
        (services.contains(&section) && is_nearly_one(&error)).then_some(error)
    };
    all(subject).into_iter().filter_map(of_service).collect()
}

/// The sections of services, with those they inherit from.
fn sections_of_services(settings: &Settings) -> Result<HashSet<String>, ConfigError> {
    let mut found = HashSet::new();
    // Most configurations have no service at all.
    if !settings.source.text.contains("serve") {
        return Ok(found);
    }
    for name in settings.declared_names()? {
        let set = settings.environment(name);
        // An error in one does not affect the others.
        let Ok(loaders) = settings.loaders(&set) else { continue };
        if !settings.is_written(&set, "serve").unwrap_or(false) {
            continue;
        }
        found.extend(loaders.iter().filter_map(|loader| match settings.toml() {
            None => loader.file_section.clone(),
            Some(document) => {
                let path: Vec<&str> = loader.path.iter().map(String::as_str).collect();
                Some(toml_section(document, &path))
            }
        }));
    }
    Ok(found)
}

/// The same for a TOML file.
fn in_tables(subject: &CheckedProject<'_>) -> Vec<(String, ConfigError)> {
    let Some(document) = subject.settings.toml() else { return Vec::new() };
    let mut found = Vec::new();
    let mut look = |path: &[&str], table: TomlNode<'_>, kind: SetKind, others: &[&str]| {
        let section = toml_section(document, path);
        for name in table.keys().filter(|name| !belongs(name, kind) && !others.contains(name)) {
            let error = unknown(subject, name, &section, kind);
            let place = subject.table_location(&section, name);
            let error = error.map(|error| place.into_iter().fold(error, ConfigError::at));
            found.extend(error.map(|error| (section.clone(), error)));
        }
    };
    let root = document.table();
    look(&[], root, SetKind::Core, &TABLES);
    for base in [RUN_BASE, PACKAGE_BASE] {
        if let Some(table) = root.get(base).and_then(TomlNode::as_table) {
            look(&[base], table, SetKind::Run, &[]);
        }
    }
    for (group, others) in [(ENV, &[][..]), (ENV_BASE, &["factors"][..])] {
        for (name, value) in root.get(group).and_then(TomlNode::as_table).into_iter().flat_map(TomlNode::entries) {
            if let Some(table) = value.as_table() {
                look(&[group, name], table, SetKind::Run, others);
            }
        }
    }
    found
}

/// `None` if a plugin may use it.
fn unknown(subject: &CheckedProject<'_>, name: &str, section: &str, kind: SetKind) -> Option<ConfigError> {
    let section = if section.is_empty() { "the project's table".to_owned() } else { format!("`[{section}]`") };
    let of = |kind: SetKind| if kind == SetKind::Core { "of the project" } else { "of environments" };
    let other = if kind == SetKind::Core { SetKind::Run } else { SetKind::Core };
    if belongs(name, other) {
        let error = ConfigError::handled(format!("the key `{name}` has no meaning in {section}"));
        return Some(error.hint(format!("`{name}` is a key {}", of(other))));
    }
    let error = ConfigError::handled(format!("unknown key `{name}` in {section}"));
    if let Some((_, advice)) = FORMER.iter().find(|(former, _)| *former == name) {
        return Some(error.hint(*advice));
    }
    if let Some(meant) = keys::spellings().find(|meant| is_misspelt(name, meant) && !belongs(meant, kind)) {
        return Some(error.hint(format!("{SUGGESTION} `{meant}`, a key {}?", of(other))));
    }
    if let Some(meant) = most_alike(name, keys::spellings().filter(|spelling| belongs(spelling, kind))) {
        return Some(error.hint(format!("{SUGGESTION} `{meant}`?")));
    }
    if subject.has_other_plugins {
        return None;
    }
    Some(error.hint("the key is unused: remove it, or move it to a separate section that others refer to"))
}

/// Whether a value refers to the key, which then need not be a setting. Keys are in lower case; references may not be.
fn is_referred_to(references: &HashSet<String>, section: &str, key: &str) -> bool {
    references.contains(key) || references.contains(&format!("[{}]{key}", section.to_lowercase()))
}

/// The text after each opening brace up to the next brace or colon, in lower case.
fn references(text: &str) -> HashSet<String> {
    let end = |rest: &str| {
        let section = if rest.starts_with('[') { rest.find([']', '\n']).unwrap_or(0) } else { 0 };
        rest[section..].find(['}', ':', '{', '\n']).map(|end| section + end)
    };
    let behind = text.match_indices('{').map(|(at, _)| &text[at + 1..]);
    behind.filter_map(|rest| Some(rest[..end(rest)?].to_lowercase())).collect()
}
