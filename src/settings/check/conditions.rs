//! Finds conditions of lines that no environment fulfils.
//!
//! tox accepts environments that no section mentions if each of their factors occurs in the file, including in
//! conditions, so a factor that occurs only in a condition is valid. Reported are probable misspellings of known factors,
//! and contradictions.

use std::collections::{BTreeSet, HashSet};

use crate::error::ConfigError;
use crate::factor;
use crate::factor::{FactorCondition, LineConditions};
use crate::settings::check::CheckedProject;
use crate::settings::check::spellings::SpellingIndex;

/// Factors that hold without being part of a name; one of them at a time.
const PLATFORMS: [&str; 6] = ["linux", "darwin", "win32", "cygwin", "freebsd", "aix"];
const MACHINES: [&str; 6] = ["x86_64", "amd64", "aarch64", "arm64", "i686", "i386"];

pub(super) fn unreachable(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let known = known_factors(subject);
    let mut found = Vec::new();
    let spellings = SpellingIndex::of(known.iter().map(String::as_str));
    for (_, entry) in subject.entries() {
        if !factor::has_marker(&entry.value) {
            continue;
        }
        let conditions: Vec<Option<Vec<String>>> = entry.value.split('\n').map(alternatives).collect();
        let mentioned: HashSet<&str> = conditions.iter().flatten().flatten().flat_map(|one| factors(one)).collect();
        for (alternatives, number) in conditions.iter().zip(entry.lines.iter()) {
            let Some(alternatives) = alternatives else { continue };
            if !alternatives.is_empty() && alternatives.iter().all(|one| contradicts_itself(one)) {
                let condition = alternatives.join(",");
                let error = ConfigError::handled(format!("no environment can fulfil the condition `{condition}`"));
                let first = factors(&alternatives[0]).next().unwrap_or_default();
                found.push(error.at(subject.location(number, first)));
            }
            for one in alternatives.iter().flat_map(|one| factors(one)).filter(|one| !known.contains(*one)) {
                // If both have lines of their own, neither is a misspelling.
                let Some(meant) = spellings.meant_by(one).find(|meant| !mentioned.contains(meant)) else { continue };
                let error = ConfigError::handled(format!("no environment has the factor `{one}`"));
                found.push(error.at(subject.location(number, one)).hint(format!("did you mean `{meant}`?")));
            }
        }
    }
    found
}

/// The factors of `env_list` and of sections, and those that hold without being part of a name.
fn known_factors(subject: &CheckedProject<'_>) -> BTreeSet<String> {
    let settings = subject.settings;
    let listed = settings.list(settings.core(), "env_list").unwrap_or_default();
    let named = settings.section_names();
    let names = listed.iter().map(String::as_str).chain(named);
    let names = names.flat_map(|name| factor::expand_environments(name).unwrap_or_default());
    let of_names = names.flat_map(|name| name.split('-').map(str::to_owned).collect::<Vec<_>>());
    of_names.chain(PLATFORMS.into_iter().chain(MACHINES).map(str::to_owned)).collect()
}

fn alternatives(line: &str) -> Option<Vec<String>> {
    let mut found = None;
    LineConditions::new(()).of(line, |condition| found = FactorCondition::parse(condition).ok().flatten());
    found.map(|condition| condition.alternatives().to_vec())
}

/// The factors of an alternative, without the marks of negation.
fn factors(alternative: &str) -> impl Iterator<Item = &str> {
    alternative.split('-').map(|one| one.strip_prefix('!').unwrap_or(one))
}

/// Whether it requires and excludes the same factor, or requires two platforms.
fn contradicts_itself(alternative: &str) -> bool {
    let (without, with): (Vec<&str>, Vec<&str>) = alternative.split('-').partition(|one| one.starts_with('!'));
    let platforms: HashSet<&&str> = with.iter().filter(|one| PLATFORMS.contains(one)).collect();
    platforms.len() > 1 || without.iter().any(|one| with.contains(&&one[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_excludes_itself_is_a_contradiction() {
        assert!(contradicts_itself("a-b-!a") && contradicts_itself("linux-darwin"));
        assert!(!contradicts_itself("a-!b") && !contradicts_itself("linux-a") && !contradicts_itself("!linux-darwin"));
    }
}
