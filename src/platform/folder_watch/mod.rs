//! Reports changes in folders, by notifications of the system, so that it costs nothing while nothing changes. It does not
//! use the crate `notify`: on Linux that takes a thread and two more descriptors for each watch, its form for kqueue reports
//! one of several new files, and its form for FSEvents can only be linked with Apple's SDK.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::FolderWatch;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::FolderWatch;
#[cfg(any(target_os = "macos", test))]
mod snapshot;

use std::io;
use std::path::PathBuf;

/// Which changes in a folder matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// New entries.
    Appearances,
    /// New entries, and files that are written to.
    Growth,
    /// Entries that go away, and the end of the folder itself.
    Removals,
    /// All changes of entries and of the contents of files.
    Everything,
}

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderChange {
    pub path: PathBuf,
    pub is_folder: bool,
    /// It was not there before.
    pub is_new: bool,
}

/// What has changed since the last call.
#[derive(Debug, Default)]
pub struct FolderChanges {
    pub changes: Vec<FolderChange>,
    /// There were more than the system could remember.
    pub overflowed: bool,
}

/// Why a folder cannot be watched.
#[must_use]
pub fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "the system watches no more folders (fs.inotify.max_user_watches)".to_owned(),
        Some(libc::EMFILE) if cfg!(target_os = "linux") => {
            "the system has no more watches (fs.inotify.max_user_instances)".to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many files are open (each watched file is; see `ulimit -n`)".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn next(watch: &mut FolderWatch) -> Vec<FolderChange> {
        let _ = poll(&mut [PollFd::new(&*watch, PollFlags::IN)], None);
        let mut changes = watch.changes().changes;
        changes.sort();
        changes.dedup();
        changes
    }

    #[test]
    fn changes_of_a_folder_are_reported_and_those_of_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("other")).unwrap();
        fs::write(path("old"), "").unwrap();
        let mut watch = FolderWatch::new().unwrap();
        watch.add(folder.path(), Interest::Everything).unwrap();
        assert!(watch.changes().changes.is_empty());
        fs::write(path("other/file"), "").unwrap();
        fs::write(path("new"), "text").unwrap();
        fs::create_dir(path("made")).unwrap();
        let mut changes = next(&mut watch);
        while !changes.iter().any(|change| change.path == path("made")) {
            changes.extend(next(&mut watch));
        }
        assert!(changes.contains(&FolderChange { path: path("new"), is_folder: false, is_new: true }), "{changes:?}");
        assert!(changes.contains(&FolderChange { path: path("made"), is_folder: true, is_new: true }), "{changes:?}");
        assert!(!changes.iter().any(|change| change.path == path("other/file")), "{changes:?}");
        fs::remove_file(path("old")).unwrap();
        let old = FolderChange { path: path("old"), is_folder: false, is_new: false };
        assert_eq!(next(&mut watch), [old]);
        let missing = watch.add(&path("missing"), Interest::Everything).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(watch.add(&path("new"), Interest::Everything).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
