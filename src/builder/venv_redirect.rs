//! Writes and removes the project's `.venv` redirect file (PEP 832), which points editors at an environment. Leaves
//! alone any other file or folder at that path.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::python_text::path::normalized;
use crate::scratch;

/// The file's name, below the project's root.
pub const FILE_NAME: &str = ".venv";

/// Points the redirect of the project at `root` to `environment`, unless it already does or belongs to another tool
/// (`is_ours` decides by its target).
///
/// # Errors
/// If the file cannot be written; the caller only warns.
pub fn record(root: &Path, environment: &Path, is_ours: impl Fn(&Path) -> bool) -> io::Result<()> {
    let file = root.join(FILE_NAME);
    if std::fs::symlink_metadata(&file).is_ok() {
        match target(&file) {
            Some(target) if target != environment && is_ours(&target) => {}
            _ => return Ok(()),
        }
    }
    let shown = environment.strip_prefix(root).unwrap_or(environment);
    // The rename replaces the name itself, so a link created there meanwhile is not followed.
    let mut temporary = scratch::file_in(root, "..venv.", 0o600)?;
    writeln!(temporary, "{}", shown.display())?;
    temporary.persist(&file)?;
    Ok(())
}

/// Removes the redirect if it points at `environment`, so that nothing leads into an environment while it is rebuilt.
pub fn forget(root: &Path, environment: &Path) {
    release(&root.join(FILE_NAME), |target| target == environment);
}

/// Removes the file if it is a redirect of ours; returns whether it did.
pub fn release(file: &Path, is_ours: impl Fn(&Path) -> bool) -> bool {
    target(file).is_some_and(|target| is_ours(&target)) && std::fs::remove_file(file).is_ok()
}

/// The target of a redirect file as an absolute path; `None` if it is not a readable redirect.
fn target(file: &Path) -> Option<PathBuf> {
    if !std::fs::symlink_metadata(file).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let mut opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(file).ok()?;
    io::Read::read_to_string(&mut opened, &mut text).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Some(normalized(&file.parent()?.join(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_written_relative_to_the_root_and_moved_only_when_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let environment = root.join(".tox/dev");
        record(root, &environment, |_| false).unwrap();
        assert_eq!(std::fs::read_to_string(root.join(".venv")).unwrap(), ".tox/dev\n");

        let other = root.join(".tox/other");
        record(root, &other, |_| false).unwrap();
        assert_eq!(std::fs::read_to_string(root.join(".venv")).unwrap(), ".tox/dev\n");
        record(root, &other, |target| target == environment).unwrap();
        assert_eq!(std::fs::read_to_string(root.join(".venv")).unwrap(), ".tox/other\n");

        record(root, Path::new("/elsewhere/venv"), |_| true).unwrap();
        assert_eq!(std::fs::read_to_string(root.join(".venv")).unwrap(), "/elsewhere/venv\n");
    }

    #[test]
    fn a_folder_or_link_at_the_redirects_place_belongs_to_the_user() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join(".venv")).unwrap();
        record(root, &root.join(".tox/dev"), |_| true).unwrap();
        assert!(root.join(".venv").is_dir());
        std::fs::remove_dir(root.join(".venv")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join(".venv")).unwrap();
        record(root, &root.join(".tox/dev"), |_| true).unwrap();
        assert!(std::fs::symlink_metadata(root.join(".venv")).unwrap().is_symlink());
        assert!(!release(&root.join(".venv"), |_| true));
    }

    #[test]
    fn only_a_redirect_to_the_environment_itself_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let environment = root.join(".tox/dev");
        record(root, &environment, |_| true).unwrap();
        forget(root, &root.join(".tox/other"));
        assert!(root.join(".venv").exists());
        forget(root, &environment);
        assert!(!root.join(".venv").exists());
    }
}
