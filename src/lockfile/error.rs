//! Describes errors in locks and in locking, each with a remedy.

use std::path::PathBuf;

use crate::error::{ConfigError, Location};

/// Why a lock cannot be used or created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    #[error("{environment} is not locked: {index} has no line for it")]
    NotLocked { environment: String, index: String },
    /// `changes` names every changed input, with the differences if they are known.
    #[error("the lock of {environment} is stale: {}", changes.join("; "))]
    Stale { environment: String, changes: Vec<String> },
    #[error("{file} is missing, which is the lock of {environment}")]
    Missing { environment: String, file: String },
    #[error("{file} is not what envo wrote: sha256:{found} and not sha256:{wanted}")]
    Edited { file: String, wanted: String, found: String },
    #[error("{file}:{line} has a merge conflict marker")]
    MergeConflict { file: PathBuf, line: usize },
    #[error("{file}: {reason}")]
    Malformed { file: PathBuf, reason: String },
    /// The requirements contradict each other; `explanation` is the resolver's.
    #[error("{environment} cannot be locked, its requirements contradict each other\n{}", explanation.trim_end())]
    Conflict { environment: String, explanation: String, origins: Vec<RequirementOrigin> },
    /// Any other failure of the resolver, such as an unreachable index or a missing file.
    #[error("{environment} cannot be locked\n{}", explanation.trim_end())]
    Unresolved { environment: String, explanation: String, origins: Vec<RequirementOrigin> },
    #[error("{environment} cannot be locked: {reason}")]
    Impossible { environment: String, reason: String },
    #[error("{file} is not the file of {package} that was locked: sha256:{found} and not {wanted}")]
    OtherFile { package: String, file: String, wanted: String, found: String },
    #[error("{environment} was locked for Python {wanted}, and this is {found}")]
    OtherPython { environment: String, wanted: String, found: String },
}

/// The location of a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequirementOrigin {
    pub file: PathBuf,
    pub line: usize,
    /// The line itself, trimmed.
    pub text: String,
}

impl LockError {
    /// The same error for another environment with the same request.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        match &mut self {
            Self::NotLocked { environment, .. }
            | Self::Stale { environment, .. }
            | Self::Missing { environment, .. }
            | Self::Conflict { environment, .. }
            | Self::Unresolved { environment, .. }
            | Self::Impossible { environment, .. }
            | Self::OtherPython { environment, .. } => name.clone_into(environment),
            Self::OtherFile { .. } | Self::Edited { .. } | Self::MergeConflict { .. } | Self::Malformed { .. } => {}
        }
        self
    }

    /// Remedies.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotLocked { environment, .. }
            | Self::Stale { environment, .. }
            | Self::Missing { environment, .. } => {
                vec![format!("`envo lock -e {environment}` updates it; what did not change keeps its version")]
            }
            Self::Edited { file, .. } => {
                vec![format!("restore {file} from version control, or recreate it with `envo lock`")]
            }
            Self::MergeConflict { file, .. } => vec![format!(
                "take either side (`git checkout --ours -- {0}` or `--theirs`), then run `envo lock`",
                file.display()
            )],
            Self::Malformed { .. } => vec!["recreate it with `envo lock --upgrade`".to_owned()],
            Self::Conflict { origins, .. } | Self::Unresolved { origins, .. } => {
                let shown =
                    |origin: &RequirementOrigin| format!("{}:{}: {}", origin.file.display(), origin.line, origin.text);
                origins.iter().map(shown).collect()
            }
            Self::OtherFile { package, .. } => {
                vec![format!("get the file that was locked, or, if the new one is right, `envo update {package}`")]
            }
            Self::Impossible { .. } => Vec::new(),
            Self::OtherPython { environment, .. } => {
                vec![format!("`envo lock --upgrade -e {environment}` locks it for this Python")]
            }
        }
    }
}

/// A service on the network did not answer, so nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

impl From<LockError> for ConfigError {
    fn from(error: LockError) -> Self {
        let mut result = Self::fail(error.to_string());
        result.hints = error.hints();
        if let LockError::MergeConflict { file, line } = error {
            result = result.at(Location { file, line, column: 1, length: 7 });
        }
        result
    }
}

/// The line number, from 1, of the first conflict marker of version control in `text`.
pub fn conflict_marker(text: &str) -> Option<usize> {
    let marked = |line: &str| {
        ["<<<<<<<", ">>>>>>>", "|||||||"].iter().any(|marker| line.starts_with(marker)) || line.trim_end() == "======="
    };
    text.lines().position(marked).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_markers_are_found_at_the_beginning_of_lines_only() {
        assert_eq!(conflict_marker("a = 1\n<<<<<<< HEAD\n"), Some(2));
        assert_eq!(conflict_marker("=======\n"), Some(1));
        assert_eq!(conflict_marker("a = \"<<<<<<<\"\n# ======= x\n"), None);
    }
}
