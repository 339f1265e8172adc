//! Compares versions by the rules of each ecosystem.
//! <https://semver.org/#spec-item-11> <https://docs.ruby-lang.org/en/master/Gem/Version.html> <https://peps.python.org/pep-0440/>

use std::cmp::Ordering;
use std::str::FromStr;

use crate::lock::ecosystems::Ecosystem;

/// A version comparable with others of the same ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EcosystemVersion {
    Python(pep440_rs::Version),
    /// Versions of npm, Cargo and Go modules (with a `v`). Build metadata after `+` does not affect the order.
    Semantic(semver::Version),
    Gem(GemVersion),
}

/// RubyGems versions are not semantic: they have any number of parts, words are older than numbers, and a missing part
/// is zero. So `semver` cannot parse them.
#[derive(Debug, Clone)]
pub struct GemVersion(Vec<GemVersionSegment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum GemVersionSegment {
    Text(String),
    Number(u64),
}

impl EcosystemVersion {
    /// `None` if the text is not a valid version there.
    pub fn of(ecosystem: Ecosystem, text: &str) -> Option<Self> {
        match ecosystem {
            Ecosystem::PyPi => pep440_rs::Version::from_str(text).ok().map(Self::Python),
            Ecosystem::RubyGems => GemVersion::of(text).map(Self::Gem),
            Ecosystem::Npm | Ecosystem::CratesIo | Ecosystem::Go => semantic(text).map(Self::Semantic),
        }
    }
}

/// Missing numbers are zero, as in the `0` of a database; Go's `v` is ignored.
fn semantic(text: &str) -> Option<semver::Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    let mut version = semver::Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()?;
    version.build = semver::BuildMetadata::EMPTY;
    Some(version)
}

impl GemVersion {
    fn of(text: &str) -> Option<Self> {
        let text = text.trim().replace('-', ".pre.");
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.split('.').all(is_part) {
            return None;
        }
        let mut segments = Vec::new();
        for part in text.split('.') {
            let mut rest = part;
            while let Some(first) = rest.chars().next() {
                let is_number = first.is_ascii_digit();
                let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
                let (segment, after) = rest.split_at(end);
                segments.push(if is_number {
                    GemVersionSegment::Number(number(segment)?)
                } else {
                    GemVersionSegment::Text(segment.to_owned())
                });
                rest = after;
            }
        }
        Some(Self(segments))
    }
}

impl Ord for GemVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let zero = GemVersionSegment::Number(0);
        let part = |gem: &Self, at: usize| gem.0.get(at).unwrap_or(&zero).clone();
        (0..length)
            .map(|at| part(self, at).cmp(&part(other, at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for GemVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for GemVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for GemVersion {}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascend(ecosystem: Ecosystem, versions: &[&str]) {
        for pair in versions.windows(2) {
            let [one, other] = [pair[0], pair[1]].map(|text| EcosystemVersion::of(ecosystem, text).expect(text));
            assert!(one < other, "{pair:?}");
        }
    }

    #[test]
    fn versions_are_ordered_by_the_rules_of_their_ecosystem() {
        ascend(
            Ecosystem::Npm,
            &[
                "0",
                "1.0.0-1",
                "1.0.0-99999999999999999999",
                "1.0.0-100000000000000000000",
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-alpha.beta",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0",
                "1.2.0",
                "1.10.0",
            ],
        );
        ascend(Ecosystem::Go, &["0.0.0-20191109021931-daa7c04131f5", "v0.3.0", "1.0.0+incompatible", "v1.0.1"]);
        ascend(
            Ecosystem::RubyGems,
            &["1.0.a", "1.0.b2", "1.0.b10", "1.0.pre.1", "1", "1.0.1", "1.10", "2.0.0-rc1", "2.0.0"],
        );
        ascend(Ecosystem::PyPi, &["1.0.dev1", "1.0rc1", "1.0", "1.0.post1"]);
        assert_eq!(EcosystemVersion::of(Ecosystem::RubyGems, "1.0.0"), EcosystemVersion::of(Ecosystem::RubyGems, "1"));
        assert_eq!(
            EcosystemVersion::of(Ecosystem::CratesIo, "1.0.0+a"),
            EcosystemVersion::of(Ecosystem::CratesIo, "1.0.0")
        );
    }

    #[test]
    fn what_is_no_version_cannot_be_compared() {
        for (ecosystem, text) in [
            (Ecosystem::Npm, ""),
            (Ecosystem::Npm, "1.x"),
            (Ecosystem::Npm, "1.2.3.4"),
            (Ecosystem::Npm, "1.0.0-"),
            (Ecosystem::Npm, "1.0.0-01"),
            (Ecosystem::CratesIo, "1.0.0-a?"),
            (Ecosystem::Go, "v01.0.0"),
            (Ecosystem::Npm, "99999999999999999999.0.0"),
            (Ecosystem::RubyGems, ""),
            (Ecosystem::RubyGems, "a1"),
            (Ecosystem::RubyGems, "1..2"),
            (Ecosystem::PyPi, "?"),
        ] {
            assert_eq!(EcosystemVersion::of(ecosystem, text), None, "{text}");
        }
    }
}
