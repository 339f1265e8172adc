//! Which jobs were done, so that they are not run again while their definitions and inputs are the same: `jobs.json` in
//! the state folder. Losing it costs only one more run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub struct Jobs {
    file: PathBuf,
    /// The digest of the definition with which each was done.
    done: BTreeMap<String, String>,
}

impl Jobs {
    pub fn open(state_dir: &Path) -> Self {
        let file = state_dir.join("jobs.json");
        let done = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, done }
    }

    pub fn is_done(&self, name: &str, digest: &str) -> bool {
        self.done.get(name).is_some_and(|done| done == digest)
    }

    pub fn done(&mut self, name: &str, digest: &str) {
        self.done.insert(name.to_owned(), digest.to_owned());
        let write = || -> std::io::Result<()> {
            let folder = self.file.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, &self.done)?;
            file.persist(&self.file)?;
            Ok(())
        };
        // It is run once more then.
        let _ = write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_known_to_the_next_and_a_file_that_cannot_be_read_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        Jobs::open(folder.path()).done("migrate", "a");
        let jobs = Jobs::open(folder.path());
        assert!(jobs.is_done("migrate", "a") && !jobs.is_done("migrate", "b") && !jobs.is_done("other", "a"));
        std::fs::write(folder.path().join("jobs.json"), "{").unwrap();
        assert!(!Jobs::open(folder.path()).is_done("migrate", "a"));
    }
}
