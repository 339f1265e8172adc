//! Creates, empties and marks the folders of the work directory. Never follows a symbolic link found where one of these
//! folders should be.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use fs_err as fs;

/// The bytes tox writes into `CACHEDIR.TAG` (<https://bford.info/cachedir/spec.html>); both programs share one work
/// directory.
const CACHE_DIRECTORY_TAG: &str = "\
Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by tox.
# For information about cache directory tags, see:
#\thttps://bford.info/cachedir/spec.html
";

/// Creates a folder and its missing parents, readable only by the owner. An existing folder is left as it is.
pub fn ensure_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| io::Error::new(error.kind(), format!("could not create `{}`: {error}", path.display())))
}

/// Makes sure that a folder exists and is empty. A symbolic link or file at its path is removed, not followed.
pub fn ensure_empty(path: &Path) -> io::Result<()> {
    ensure_empty_except(path, &[])
}

/// Like [`ensure_empty`], but leaves some entries alone, such as the lock file other processes wait on.
pub fn ensure_empty_except(path: &Path, kept: &[&str]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return fs::create_dir_all(path),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            fs::remove_file(path)?;
            return fs::create_dir_all(path);
        }
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if kept.iter().any(|kept| entry.file_name() == *kept) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a folder exists and is empty (a link to a folder does not count).
pub fn is_empty_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
        && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Marks the work directory as a cache and hides it from git, unless that was done before.
pub fn mark_work_directory(work_dir: &Path) -> io::Result<()> {
    write_missing(&work_dir.join("CACHEDIR.TAG"), CACHE_DIRECTORY_TAG)?;
    write_missing(&work_dir.join(".gitignore"), "*\n")
}

fn write_missing(file: &Path, text: &str) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        ensure_private(folder)?;
    }
    fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_folder_keeps_only_the_named_entry_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "").unwrap();
        let folder = root.path().join("environment");
        fs::create_dir_all(folder.join("lib/deep")).unwrap();
        fs::write(folder.join("file.lock"), "").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();

        ensure_empty_except(&folder, &["file.lock"]).unwrap();

        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["file.lock"]);
        assert!(outside.join("precious").exists());
    }

    #[test]
    fn a_link_or_file_in_place_of_a_folder_gives_way() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("precious"), "").unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(!is_empty_folder(&link));
        ensure_empty(&link).unwrap();
        assert!(is_empty_folder(&link) && target.join("precious").exists());

        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        ensure_empty(&file).unwrap();
        assert!(is_empty_folder(&file));
    }

    #[test]
    fn the_work_directory_is_private_and_marked_once() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let work_dir = root.path().join("a/.tox");
        mark_work_directory(&work_dir).unwrap();
        assert_eq!(fs::metadata(&work_dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(work_dir.join(".gitignore")).unwrap(), "*\n");
        fs::write(work_dir.join(".gitignore"), "mine\n").unwrap();
        mark_work_directory(&work_dir).unwrap();
        assert_eq!(fs::read_to_string(work_dir.join(".gitignore")).unwrap(), "mine\n");
    }
}
