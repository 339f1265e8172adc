//! Fingerprints a program's file, so that cached facts about it are dropped when it changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The file with all symbolic links resolved.
    pub resolved: PathBuf,
    size: u64,
    modified: (i64, i64),
}

impl Fingerprint {
    /// `None` if there is no program at `executable`.
    pub fn of(executable: &Path) -> Option<Self> {
        let resolved = std::fs::canonicalize(executable).ok()?;
        let metadata = std::fs::metadata(&resolved).ok()?;
        let is_program = metadata.is_file() && metadata.mode() & 0o111 != 0;
        is_program.then(|| Self { resolved, size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}
