//! Finds references to values that do not exist.

use crate::did_you_mean::is_misspelt;
use crate::error::ConfigError;
use crate::settings::TEST_PREFIX;
use crate::settings::check::unknown::belongs;
use crate::settings::check::{CheckedProject, MOST_SUGGESTIONS, hinted};
use crate::settings::config_set::SetKind;
use crate::settings::keys;

/// Names in braces that are not keys.
const EXPRESSIONS: [&str; 9] = ["posargs", "env", "tty", "glob", "factor", "opts", "packages", "port", "host"];

/// `{[section]key}` without a default that refers to no value; tox leaves these as they are.
pub(super) fn undefined(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (_, entry) in subject.entries() {
        for (line, number) in entry.value.split('\n').zip(entry.lines.iter()) {
            for (at, _) in line.match_indices("{[").filter(|(at, _)| !line[..*at].ends_with('\\')) {
                let Some((section, rest)) = line[at + 2..].split_once(']') else { continue };
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
                let Some(end) = end.filter(|end| *end > 0 && rest[*end..].starts_with('}')) else { continue };
                let key = &rest[..end];
                let suggest = found.len() < MOST_SUGGESTIONS;
                if let Some(error) = missing(subject, section, key, suggest) {
                    found.push(error.at(subject.location(number, &format!("{{[{section}]{key}}}"))));
                }
            }
        }
    }
    found
}

fn missing(subject: &CheckedProject<'_>, section: &str, key: &str, suggest: bool) -> Option<ConfigError> {
    let settings = subject.settings;
    let document = settings.ini()?;
    if document.section(section).is_some() && document.get(section, &key.to_lowercase()).is_some() {
        return None;
    }
    let core = settings.source.format.core_section().rsplit(':').next().unwrap_or_default();
    let environment = section.strip_prefix(TEST_PREFIX).and_then(|rest| rest.strip_prefix(':'));
    let computed = (section == core && belongs(key, SetKind::Core))
        || environment.is_some_and(|name| settings.is_declared(name) && belongs(key, SetKind::Run));
    if computed {
        return None;
    }
    Some(match document.section(section) {
        Some(found) => hinted(
            ConfigError::handled(format!("undefined reference: `[{section}]` has no key `{key}`")),
            key,
            found.entries.iter().map(|entry| entry.key.as_ref()),
        ),
        None => hinted(
            ConfigError::handled(format!("undefined reference: there is no section `[{section}]`")),
            section,
            document.sections.iter().filter(|_| suggest).map(|section| section.name.as_str()),
        ),
    })
}

/// `{key}` that is a probable misspelling of a key; tox leaves these as they are, for programs that use
/// braces.
pub(super) fn misspelt(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let spellings: Vec<&str> = keys::spellings().collect();
    let mut found = Vec::new();
    for (number, line) in subject.text().lines().enumerate() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        for (at, _) in line.match_indices('{').filter(|(at, _)| !line[..*at].ends_with(['\\', '$'])) {
            let end = line[at + 1..].find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let Some(end) = end.filter(|end| line[at + 1 + end..].starts_with(['}', ':'])) else { continue };
            let name = &line[at + 1..at + 1 + end];
            if spellings.contains(&name) || EXPRESSIONS.contains(&name) {
                continue;
            }
            let Some(meant) = spellings.iter().chain(&EXPRESSIONS).find(|meant| is_misspelt(name, meant)) else {
                continue;
            };
            let error = ConfigError::handled(format!("undefined reference: there is no key `{name}`"));
            let place = subject.location(number + 1, &format!("{{{name}"));
            found.push(error.at(place).hint(format!("did you mean `{{{meant}}}`?")));
        }
    }
    found
}
