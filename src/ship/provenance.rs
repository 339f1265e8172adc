//! The origin of a release: the commit and the lock it was packed from, and the tests that have passed on its files.

use serde_json::{Value, json};

/// Its path in a release.
pub const PATH: &str = ".envo/provenance.json";
/// The bill of materials next to it.
pub const SBOM: &str = ".envo/sbom.cdx.json";

/// The state of the project's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    /// `Jane Doe <jane@example.org>`.
    pub author: String,
    /// The commit's time, in seconds since 1970.
    pub time: u64,
    /// Whether tracked files differ from it.
    pub is_modified: bool,
}

/// Tests that have passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedTests {
    pub environment: String,
    /// In seconds since 1970.
    pub passed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    pub commit: Option<Commit>,
    /// The lock file of the environment with its SHA-256.
    pub lock: (String, String),
    pub tests: Vec<PassedTests>,
    /// Packed with `--untested`.
    pub is_untested: bool,
    pub source_date: u64,
}

impl Provenance {
    /// The document. Its times are never later than the source date: otherwise no two would be the same.
    pub fn json(&self) -> Value {
        let commit = self.commit.as_ref().map(|commit| json!({"id": commit.id, "modified": commit.is_modified}));
        let test = |test: &PassedTests| json!({"environment": test.environment, "passed": true, "not_before": test.passed.min(self.source_date)});
        json!({
            "packed_with": format!("envo {}", env!("CARGO_PKG_VERSION")),
            "commit": commit,
            "lock": {"file": self.lock.0, "sha256": self.lock.1},
            "source_date": self.source_date,
            "tested": !self.is_untested && !self.tests.is_empty(),
            "untested": self.is_untested,
            "tests": self.tests.iter().map(test).collect::<Vec<_>>(),
        })
    }
}

/// `1.2.3+gCOMMIT.CONTENT`, which is the same for the same content.
pub fn version(project: &str, commit: Option<&Commit>, content: &str) -> String {
    let commit = commit.map(|commit| format!("g{}.", commit.id.get(..7).unwrap_or(&commit.id))).unwrap_or_default();
    let content = content.get(..8).unwrap_or(content);
    let separator = if project.contains('+') { '.' } else { '+' };
    format!("{project}{separator}{commit}{content}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_the_commit_and_the_content() {
        let commit = Commit { id: "0123456789".to_owned(), author: String::new(), time: 7, is_modified: false };
        assert_eq!(version("1.2.3", Some(&commit), "89abcdef0123"), "1.2.3+g0123456.89abcdef");
        assert_eq!(version("1.2.3+local", None, "89abcdef0123"), "1.2.3+local.89abcdef");
    }

    #[test]
    fn times_are_not_later_than_the_source_date() {
        let tests = vec![PassedTests { environment: "test".to_owned(), passed: 20 }];
        let lock = ("locks/pylock.web.toml".to_owned(), "00".to_owned());
        let provenance = Provenance { commit: None, lock, tests, is_untested: false, source_date: 10 };
        let document = provenance.json();
        assert_eq!((&document["tests"][0]["not_before"], &document["tested"]), (&json!(10), &json!(true)));
    }
}
