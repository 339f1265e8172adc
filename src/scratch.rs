//! Creates temporary folders and files that are removed when dropped; those of a killed process are removed when the
//! next one is created next to them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// A folder with a lock, which the kernel releases when its process ends.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _held: File,
}

impl Scratch {
    /// Creates a folder in `parent`, named with `prefix`, after removing abandoned ones with that prefix.
    pub fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        sweep(parent, prefix);
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
            let held = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            // A file system without locks only loses the removal of abandoned folders.
            let _ = held.lock_shared();
            // Another process may have removed it as abandoned before it was locked.
            if folder.path().exists() {
                return Ok(Self { folder, _held: held });
            }
        }
    }

    /// Creates a folder in the system's temporary folder.
    pub fn temporary(prefix: &str) -> io::Result<Self> {
        Self::new_in(&tempfile::env::temp_dir(), prefix)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Creates a file in `parent` with this mode, to be renamed, after removing abandoned ones with that prefix.
pub fn file_in(parent: &Path, prefix: &str, mode: u32) -> io::Result<NamedTempFile> {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(prefix));
        // The folder may contain files of the user with the same prefix.
        let is_ours =
            random.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if is_ours && is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    loop {
        let permissions = fs::Permissions::from_mode(mode);
        let file = tempfile::Builder::new().prefix(prefix).permissions(permissions).tempfile_in(parent)?;
        let _ = file.as_file().lock_shared();
        if file.path().exists() {
            return Ok(file);
        }
    }
}

fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        // Follows no link out of the folder; an entry that cannot be removed does no harm.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_the_dead_left_are_swept_and_those_of_the_living_and_of_users_are_not() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let held = file_in(parent.path(), ".new-", 0o600)?;
        for name in [".new-abc123", ".new-idea", ".new-abc-12", "other"] {
            fs::write(parent.path().join(name), "")?;
        }
        fs::create_dir(parent.path().join(".new-folder"))?;
        let next = file_in(parent.path(), ".new-", 0o600)?;
        assert!(held.path().is_file() && !parent.path().join(".new-abc123").exists());
        next.persist(parent.path().join("done"))?;
        drop(held);
        let names = fs::read_dir(parent.path())?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        assert_eq!(names, [".new-abc-12", ".new-folder", ".new-idea", "done", "other"]);
        Ok(())
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_the_living_hold_is_not() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let held = Scratch::new_in(parent.path(), ".unfinished-")?;
        fs::create_dir_all(parent.path().join(".unfinished-left/deep"))?;
        fs::create_dir(parent.path().join("other"))?;
        let next = Scratch::new_in(parent.path(), ".unfinished-")?;
        assert!(held.path().is_dir() && next.path().is_dir());
        assert!(!parent.path().join(".unfinished-left").exists());
        assert!(parent.path().join("other").exists());
        drop((held, next));
        assert_eq!(fs::read_dir(parent.path())?.count(), 1);
        Ok(())
    }
}
