//! Finds unused keys.

use std::collections::HashSet;
use std::sync::Arc;

use crate::did_you_mean::{is_misspelt, most_alike};
use crate::error::ConfigError;
use crate::settings::check::CheckedProject;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::keys::{self, CORE};
use crate::settings::loader::SectionLoader;
use crate::settings::toml::{ENV, ENV_BASE, PACKAGE_BASE, RUN_BASE};
use crate::settings::{Settings, toml_section};
use crate::source::TomlValue;

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
pub fn belongs(name: &str, kind: SetKind) -> bool {
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
    // Every section of the file has these, those of other programs too.
    let defaults = subject.settings.ini().map(|document| &document.defaults);
    for (section, entry) in
        defaults.into_iter().flat_map(|section| section.entries.iter().map(move |entry| (section, entry)))
    {
        let is_known = belongs(&entry.key, SetKind::Run) || belongs(&entry.key, SetKind::Core);
        if !is_known && !is_referred_to(&references, &section.name, &entry.key) {
            let error = unknown(subject, &entry.key, &section.name, SetKind::Run).filter(is_misspelling);
            let error = error.map(|error| error.at(subject.settings.entry_location(entry)));
            found.extend(error.map(|error| (section.name.clone(), error)));
        }
    }
    found.extend(in_tables(subject));
    found
}

fn is_misspelling(error: &ConfigError) -> bool {
    error.hints.iter().any(|hint| hint.starts_with(SUGGESTION))
}

/// Probable misspellings of envo's keys in services and the sections they inherit from. tox ignores such keys, but has
/// no services.
pub(super) fn misspelt_of_services(settings: &Settings) -> Vec<ConfigError> {
    let services = sections_of_services(settings).unwrap_or_default();
    if services.is_empty() {
        return Vec::new();
    }
    let subject = CheckedProject::inheriting(settings, &[], false, services);
    let of_service = |(section, error): (String, ConfigError)| {
        (subject.inherited.contains(&section) && is_misspelling(&error)).then_some(error)
    };
    all(&subject).into_iter().filter_map(of_service).collect()
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
        if settings.is_written(&set, "serve").unwrap_or(false) {
            found.extend(sections_of(settings, &set));
            found.extend(settings.ini().map(|document| document.defaults.name.clone()));
        }
    }
    Ok(found)
}

/// The section of an environment and those it inherits from; none where that cannot be found out.
pub(super) fn sections_of(settings: &Settings, set: &ConfigSet) -> Vec<String> {
    let loaders = settings.loaders(set).unwrap_or_default();
    let section = |loader: &Arc<SectionLoader>| match settings.toml() {
        None => loader.file_section.clone(),
        Some(document) => {
            let path: Vec<&str> = loader.path.iter().map(String::as_str).collect();
            Some(toml_section(document, &path))
        }
    };
    loaders.iter().filter_map(section).collect()
}

/// The same for a TOML file.
fn in_tables(subject: &CheckedProject<'_>) -> Vec<(String, ConfigError)> {
    let Some(document) = subject.settings.toml() else { return Vec::new() };
    let mut found = Vec::new();
    let mut references = Vec::new();
    table_references(document.root.root(), &mut references);
    let is_used = |section: &str, name: &str| {
        let path = if section.is_empty() { name.to_lowercase() } else { format!("{section}.{name}").to_lowercase() };
        let is_within =
            |one: &String| one.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        references.iter().any(is_within)
    };
    let mut look = |path: &[&str], table: &TomlValue, kind: SetKind, others: &[&str]| {
        let section = toml_section(document, path);
        let is_strange = |name: &&str| !belongs(name, kind) && !others.contains(name) && !is_used(&section, name);
        for name in table.keys().filter(is_strange) {
            let error = unknown(subject, name, &section, kind);
            let place = subject.table_location(&section, name);
            let error = error.map(|error| place.into_iter().fold(error, ConfigError::at));
            found.extend(error.map(|error| (section.clone(), error)));
        }
    };
    let root = document.table();
    let bases = root.entries().filter(|(name, table)| {
        let is_base =
            || [RUN_BASE, PACKAGE_BASE].contains(name) || subject.inherited.contains(&toml_section(document, &[name]));
        table.is_table() && is_base()
    });
    let bases: Vec<(&str, &TomlValue)> = bases.collect();
    let tables: Vec<&str> = TABLES.into_iter().chain(bases.iter().map(|(name, _)| *name)).collect();
    look(&[], root, SetKind::Core, &tables);
    for (name, table) in bases {
        look(&[name], table, SetKind::Run, &[]);
    }
    for (group, others) in [(ENV, &[][..]), (ENV_BASE, &["factors"][..])] {
        for (name, value) in root.get(group).and_then(TomlValue::as_table).into_iter().flat_map(TomlValue::entries) {
            if let Some(table) = value.as_table() {
                look(&[group, name], table, SetKind::Run, others);
            }
        }
    }
    found
}

/// The paths that values of a TOML file refer to: those of `of`, and sections and keys in texts.
fn table_references(value: &TomlValue, found: &mut Vec<String>) {
    if let Some(text) = value.as_str() {
        found.extend(references(text).into_iter().filter_map(|one| {
            let (section, key) = one.strip_prefix('[')?.split_once(']')?;
            Some(format!("{section}.{key}"))
        }));
    }
    if value.get("replace").and_then(TomlValue::as_str) == Some("ref") {
        let steps = value.get("of").and_then(TomlValue::array).unwrap_or_default();
        found.push(steps.iter().filter_map(TomlValue::as_str).collect::<Vec<_>>().join(".").to_lowercase());
    }
    value.entries().for_each(|(_, entry)| table_references(entry, found));
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
