//! Folders for what is not finished yet: gone when they are dropped, and where whoever made one was killed, gone when the
//! next one is made beside it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// A folder that is held with a lock, which the kernel lets go with its process.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _held: File,
}

impl Scratch {
    /// A new folder in `parent`, named with `prefix`, after those that others left there under such names are removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        sweep(parent, prefix);
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
            let held = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            // A file system without locks loses nothing but the sweeping.
            let _ = held.lock_shared();
            // Another process may have taken it for one that was left before it was locked.
            if folder.path().exists() {
                return Ok(Self { folder, _held: held });
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        // Nothing is followed out of the folder, and whatever cannot be removed is in nobody's way.
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
