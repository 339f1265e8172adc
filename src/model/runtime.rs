//! The runtimes that an environment requires, and the meaning of a required version. Knows no runtime by
//! name.

use std::path::PathBuf;

use super::Deferred;
use crate::error::Location;

/// The default runtime of an environment.
pub const DEFAULT: &str = "python";

/// One entry of `runtime`, with the environment's other settings for it.
#[derive(Debug, Clone)]
pub struct RuntimeRequirement {
    /// `node`, `ruby`, … in lower case.
    pub name: String,
    /// The text after `@`.
    pub version: Option<RuntimeVersionRequirement>,
    /// The digits of a factor such as `node20` in the environment's name.
    pub factor: Option<String>,
    /// The runtime's own dependencies (`node_deps`), in its own notation.
    pub dependencies: Deferred<Vec<String>>,
    /// Where they are defined, for messages.
    pub dependencies_place: Option<Box<Location>>,
    /// The folder with the lock of `dependencies`, from which they are installed exactly; `None` if they are
    /// not locked.
    pub lock: Option<PathBuf>,
    /// Whether the runtime may be downloaded if it is missing.
    pub install: bool,
    /// Where the setting is defined, for messages.
    pub place: Option<Box<Location>>,
}

/// A `package` setting that names a package in another language than Python.
#[derive(Debug, Clone)]
pub struct ProjectPackage {
    /// `npm`, `gem`, …; one of the environment's runtimes must support it.
    pub word: String,
    /// Where the setting is defined, for messages.
    pub place: Option<Box<Location>>,
}

/// A version as numbers: `v20.11.1` is `[20, 11, 1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuntimeVersion(pub Vec<u64>);

impl RuntimeVersion {
    /// The numbers that `text` begins with, after an optional `v`; `None` if there are none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
        let numbers: Option<Vec<u64>> =
            text[..end].trim_matches('.').split('.').map(|part| part.parse().ok()).collect();
        numbers.map(Self)
    }

    fn at(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Compares as if the shorter one continued with zeros.
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let length = self.0.len().max(other.0.len());
        (0..length)
            .map(|index| self.at(index).cmp(&other.at(index)))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    }

    fn starts_with(&self, prefix: &Self) -> bool {
        prefix.0.iter().enumerate().all(|(index, number)| self.0.get(index) == Some(number))
    }

    /// The first version after all that share the first `kept` numbers.
    fn next_after(&self, kept: usize) -> Self {
        let mut numbers: Vec<u64> = (0..kept.max(1)).map(|index| self.at(index)).collect();
        if let Some(last) = numbers.last_mut() {
            *last = last.saturating_add(1);
        }
        Self(numbers)
    }
}

impl std::fmt::Display for RuntimeVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        formatter.write_str(&numbers.join("."))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum VersionCondition {
    /// All given numbers are equal: `20`, `20.x`, `=20`.
    Prefix(RuntimeVersion),
    NotPrefix(RuntimeVersion),
    AtLeast(RuntimeVersion),
    Above(RuntimeVersion),
    AtMost(RuntimeVersion),
    Below(RuntimeVersion),
}

/// The accepted versions: `20`, `20.x`, `>=18,<21`, and the notations of npm (`^20.1`, `~20.1`) and RubyGems
/// (`~> 3.1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeVersionRequirement {
    /// As written.
    pub text: String,
    conditions: Vec<VersionCondition>,
}

impl RuntimeVersionRequirement {
    /// `None` if `text` is not a valid requirement.
    pub fn parse(text: &str) -> Option<Self> {
        let mut conditions = Vec::new();
        for part in text.split(',') {
            conditions.extend(conditions_of(part.trim())?);
        }
        Some(Self { text: text.trim().to_owned(), conditions })
    }

    pub fn fits(&self, version: &RuntimeVersion) -> bool {
        self.conditions.iter().all(|condition| match condition {
            VersionCondition::Prefix(prefix) => version.starts_with(prefix),
            VersionCondition::NotPrefix(prefix) => !version.starts_with(prefix),
            VersionCondition::AtLeast(bound) => version.compare(bound).is_ge(),
            VersionCondition::Above(bound) => version.compare(bound).is_gt(),
            VersionCondition::AtMost(bound) => version.compare(bound).is_le(),
            VersionCondition::Below(bound) => version.compare(bound).is_lt(),
        })
    }
}

/// The longest operators first, so that a prefix does not match first.
const OPERATORS: [&str; 12] = ["~>", "~=", ">=", "<=", "==", "!=", ">", "<", "=", "^", "~", ""];

fn conditions_of(text: &str) -> Option<Vec<VersionCondition>> {
    let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator))?;
    let rest = text[operator.len()..].trim();
    let rest = rest.trim_end_matches(".x").trim_end_matches(".*");
    let is_plain = !rest.is_empty()
        && rest.trim_start_matches(['v', 'V']).chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    let version = RuntimeVersion::parse(rest).filter(|_| is_plain)?;
    let up_to = |kept: usize| {
        vec![VersionCondition::AtLeast(version.clone()), VersionCondition::Below(version.next_after(kept))]
    };
    Some(match operator {
        "~>" | "~=" => up_to(version.0.len().saturating_sub(1)),
        ">=" => vec![VersionCondition::AtLeast(version)],
        "<=" => vec![VersionCondition::AtMost(version)],
        ">" => vec![VersionCondition::Above(version)],
        "<" => vec![VersionCondition::Below(version)],
        "!=" => vec![VersionCondition::NotPrefix(version)],
        // npm keeps the first number that is not zero.
        "^" => up_to(version.0.iter().position(|number| *number != 0).unwrap_or(version.0.len() - 1) + 1),
        "~" => up_to(version.0.len().min(2)),
        _ => vec![VersionCondition::Prefix(version)],
    })
}

/// The digits of the factor for a version of `runtime`: `20` of `node20-unit`.
pub fn factor_version(environment: &str, runtime: &str) -> Option<String> {
    let digits = |factor: &str| {
        let rest = factor.strip_prefix(runtime)?;
        let is_version = rest.starts_with(|letter: char| letter.is_ascii_digit())
            && rest.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        is_version.then(|| rest.to_owned())
    };
    environment.split('-').find_map(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(requirement: &str, version: &str) -> bool {
        RuntimeVersionRequirement::parse(requirement)
            .expect(requirement)
            .fits(&RuntimeVersion::parse(version).expect(version))
    }

    #[test]
    fn a_bare_version_is_held_as_far_as_it_goes() {
        assert!(fits("20", "v20.11.1") && fits("20.x", "20.1.0") && fits("v20.11", "20.11.1") && fits("=20", "20.0.0"));
        assert!(!fits("20", "2.0.0") && !fits("20.1", "20.11.1") && !fits("20.11.1.1", "20.11.1"));
    }

    #[test]
    fn conditions_are_joined_by_commas() {
        assert!(fits(">=18, <21", "20.1") && !fits(">=18,<21", "21.0.0") && !fits(">=18,<21", "17.9"));
        assert!(fits(">=3", "3.0.0") && fits("<=3", "3.0.0") && !fits(">3", "3.0") && fits("!=3.1", "3.2"));
        assert!(!fits("!=3.1", "3.1.2"));
    }

    #[test]
    fn the_notations_of_npm_and_of_rubygems_are_known() {
        assert!(fits("^20.1", "20.9.0") && !fits("^20.1", "21.0.0") && !fits("^20.1", "20.0.9"));
        assert!(fits("^0.2.3", "0.2.9") && !fits("^0.2.3", "0.3.0"));
        assert!(fits("~20.1", "20.1.9") && !fits("~20.1", "20.2.0") && fits("~20", "20.9"));
        assert!(
            fits("~> 3.1", "3.4.0") && !fits("~> 3.1", "4.0") && fits("~>3.1.2", "3.1.9") && !fits("~>3.1.2", "3.2")
        );
    }

    #[test]
    fn an_invalid_version_is_refused() {
        for text in ["", "lts", ">=", "20-", "a20", "20,", ">=18,<x", "~"] {
            assert_eq!(RuntimeVersionRequirement::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_factor_names_a_version() {
        assert_eq!(factor_version("node20-unit", "node"), Some("20".to_owned()));
        assert_eq!(factor_version("unit-ruby3.1", "ruby"), Some("3.1".to_owned()));
        assert_eq!(factor_version("node-unit", "node"), None);
        assert_eq!(factor_version("nodes20", "node"), None);
    }
}
