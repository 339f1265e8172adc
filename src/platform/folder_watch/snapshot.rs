//! What is in a folder, to find out what has changed when the system only reports that something has. It knows no
//! notifications, so that it is tested on every system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::FolderChange;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    is_folder: bool,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The entries of a folder at one time.
#[derive(Debug, Default)]
pub struct FolderSnapshot(BTreeMap<OsString, FileState>);

impl FolderSnapshot {
    /// Empty if the folder is gone.
    pub fn of(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let states = entries.filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let is_folder = metadata.is_dir();
            // What happens in a folder is reported for that folder.
            let (size, modified) =
                if is_folder { (0, (0, 0)) } else { (metadata.size(), (metadata.mtime(), metadata.mtime_nsec())) };
            Some((entry.file_name(), FileState { is_folder, inode: metadata.ino(), size, modified }))
        });
        Self(states.collect())
    }

    /// The files, without folders.
    pub fn files(&self, folder: &Path) -> Vec<PathBuf> {
        self.0.iter().filter(|(_, state)| !state.is_folder).map(|(name, _)| folder.join(name)).collect()
    }

    /// What is different in a later snapshot of the same folder.
    pub fn changes(&self, later: &Self, folder: &Path) -> Vec<FolderChange> {
        let change = |name: &OsString, state: &FileState, is_new| FolderChange {
            path: folder.join(name),
            is_folder: state.is_folder,
            is_new,
        };
        let gone = self.0.iter().filter(|(name, _)| !later.0.contains_key(*name));
        let gone = gone.map(|(name, state)| change(name, state, false));
        let others = later.0.iter().filter_map(|(name, state)| match self.0.get(name) {
            Some(before) if before == state => None,
            // Another file or folder has taken the name.
            Some(before) => Some(change(name, state, before.inode != state.inode)),
            None => Some(change(name, state, true)),
        });
        gone.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn two_snapshots_show_what_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("same")).unwrap();
        for name in ["gone", "kept", "replaced", "written"] {
            fs::write(path(name), name).unwrap();
        }
        let before = FolderSnapshot::of(folder.path());
        assert_eq!(before.files(folder.path()).len(), 4);
        assert!(before.changes(&FolderSnapshot::of(folder.path()), folder.path()).is_empty());
        fs::remove_file(path("gone")).unwrap();
        fs::write(path("same/inner"), "").unwrap();
        fs::write(path("written"), "more than before").unwrap();
        fs::write(path("next"), "").unwrap();
        fs::rename(path("next"), path("replaced")).unwrap();
        fs::create_dir(path("new")).unwrap();
        let changes = before.changes(&FolderSnapshot::of(folder.path()), folder.path());
        let change = |name: &str, is_folder, is_new| FolderChange { path: path(name), is_folder, is_new };
        assert_eq!(
            changes,
            [
                change("gone", false, false),
                change("new", true, true),
                change("replaced", false, true),
                change("written", false, false)
            ]
        );
        assert!(FolderSnapshot::of(&path("missing")).files(folder.path()).is_empty());
    }
}
