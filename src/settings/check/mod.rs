//! Finds all errors in a configuration at once, for `config --check`. Each check is independent and changes nothing; errors
//! that tox reports one by one, or ignores, are reported with their location.

mod conditions;
mod files;
mod references;
mod spellings;
pub mod unknown;
mod values;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::did_you_mean::most_alike;
use crate::error::{ConfigError, Location};
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::keys::SettingKey;
use crate::settings::toml::location::location_of;
use crate::settings::{PACKAGE_BASE, Settings, TEST_PREFIX};
use crate::source::IniEntry;

/// A suggestion compares all names, so only the first errors of a kind include one.
const MOST_SUGGESTIONS: usize = 100;

/// The configuration to check.
pub struct CheckedProject<'a> {
    settings: &'a Settings,
    environments: &'a [Arc<ConfigSet>],
    /// Whether there are plugins unknown to envo, which may read their own keys.
    has_other_plugins: bool,
    /// The sections from which environments inherit, whatever they are called.
    inherited: HashSet<String>,
    /// Of the file.
    lines: Vec<&'a str>,
}

type SettingsCheck = fn(&CheckedProject<'_>) -> Vec<ConfigError>;

const CHECKS: [SettingsCheck; 6] = [
    unknown::keys,
    conditions::unreachable,
    references::undefined,
    references::misspelt,
    files::missing,
    values::unusable,
];

/// All errors, in the order of the file as far as locations are known. `others` finds errors outside of the settings.
pub fn findings(subject: &CheckedProject<'_>, others: impl FnOnce() -> Vec<ConfigError>) -> Vec<ConfigError> {
    let mut found: Vec<ConfigError> = Vec::new();
    // Reported so far: lines (by earlier checks), locations, and messages without a location.
    let mut lines: HashSet<(PathBuf, usize)> = HashSet::new();
    let mut places: HashSet<(PathBuf, usize, usize)> = HashSet::new();
    let mut messages: HashSet<String> = HashSet::new();
    for of_check in CHECKS.iter().map(|check| check(subject)).chain(std::iter::once_with(others)) {
        let before = found.len();
        for one in of_check {
            // A line that one check reports is not reported by later checks, nor again for other environments.
            let is_new = match one.location.as_deref() {
                Some(place) => {
                    !lines.contains(&(place.file.clone(), place.line))
                        && places.insert((place.file.clone(), place.line, place.column))
                }
                None => !messages.contains(&one.message),
            };
            if is_new {
                messages.insert(one.message.clone());
                found.push(one);
            }
        }
        let places = found[before..].iter().filter_map(|one| one.location.as_deref());
        lines.extend(places.map(|place| (place.file.clone(), place.line)));
    }
    found.sort_by_key(|one| one.location.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column)));
    found
}

/// Whether the configuration has keys that envo does not know and no value refers to.
pub fn has_unknown_keys(settings: &Settings) -> bool {
    !unknown::keys(&CheckedProject::new(settings, &[], false)).is_empty()
}

/// Warnings of a run: probable misspellings of the keys of services.
pub fn misspelt_keys(settings: &Settings) -> Vec<ConfigError> {
    unknown::misspelt_of_services(settings)
}

impl<'a> CheckedProject<'a> {
    pub fn new(settings: &'a Settings, environments: &'a [Arc<ConfigSet>], has_other_plugins: bool) -> Self {
        let inherited = environments.iter().flat_map(|set| unknown::sections_of(settings, set)).collect();
        Self::inheriting(settings, environments, has_other_plugins, inherited)
    }

    fn inheriting(
        settings: &'a Settings,
        environments: &'a [Arc<ConfigSet>],
        has_other_plugins: bool,
        inherited: HashSet<String>,
    ) -> Self {
        let lines = settings.source.text.lines().collect();
        Self { settings, environments, has_other_plugins, inherited, lines }
    }
}

impl CheckedProject<'_> {
    /// The values of the sections that are tox's own, with the section's name.
    fn entries(&self) -> Vec<(&str, &IniEntry)> {
        let sections = self.settings.ini().into_iter().flat_map(|document| &document.sections);
        let own = sections.filter(|section| self.kind(&section.name).is_some());
        own.flat_map(|section| section.entries.iter().map(|entry| (section.name.as_str(), entry))).collect()
    }

    /// The kind of settings in a section; `None` for sections of other programs and those that are only referred to.
    fn kind(&self, section: &str) -> Option<SetKind> {
        let prefix = section.split(':').next().unwrap_or_default();
        if section == self.settings.source.format.core_section() {
            Some(SetKind::Core)
        } else if prefix == TEST_PREFIX || prefix == PACKAGE_BASE || self.inherited.contains(section) {
            Some(SetKind::Run)
        } else {
            None
        }
    }

    fn text(&self) -> &str {
        &self.settings.source.text
    }

    /// The location of `part` on a line of the text; lines count from one.
    fn location(&self, line: usize, part: &str) -> Location {
        let text = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = text.find(part).map_or(1, |at| text[..at].chars().count() + 1);
        let source = &self.settings.source;
        let line = line + source.lines_before;
        Location { file: source.path.clone(), line, column, length: part.chars().count() }
    }

    /// Where the value of a set's key is written.
    fn value_location(&self, set: &ConfigSet, key: &SettingKey) -> Option<Location> {
        self.settings.location_of(set, key.name).ok().flatten()
    }

    fn table_location(&self, table: &str, key: &str) -> Option<Location> {
        self.settings.toml()?;
        let (line, column) = location_of(&self.settings.source, table, key)?;
        Some(Location { file: self.settings.source.path.clone(), line, column, length: key.chars().count() })
    }
}

/// Adds the most similar candidate as a hint.
fn hinted<'a>(error: ConfigError, text: &str, candidates: impl Iterator<Item = &'a str>) -> ConfigError {
    match most_alike(text, candidates) {
        Some(candidate) => error.hint(format!("did you mean `{candidate}`?")),
        None => error,
    }
}
