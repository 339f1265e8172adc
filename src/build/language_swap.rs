//! Puts what was installed for a language in the place of what was there, only when all of it is there. Where the
//! project's package belongs to it too, what was there is kept until that has succeeded as well, and comes back when it
//! has not.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::languages::{Part, SECTION, remove};
use super::prepare::{Foundation, Site};

/// Holds what is being installed.
const UNFINISHED: &str = ".unfinished";

/// Holds what was there before, until what comes in its place is complete.
const PREVIOUS: &str = ".previous";

/// A language's part that was installed anew in this run.
pub struct Renewed {
    name: &'static str,
    /// What was recorded of the part that was there before, if that is still kept: its contents and its package.
    previous: Option<(Value, Value)>,
}

/// The name under which the project's package in a language's part is recorded.
pub(super) fn package_name(part: &Part) -> String {
    format!("{}-package", part.runtime.name())
}

impl Site {
    /// The folder for what is being installed.
    pub(super) fn unfinished_folder(&self, part: &Part) -> PathBuf {
        self.environment.env_dir.join(format!("{UNFINISHED}-{}", part.runtime.name()))
    }

    fn previous_folder(&self, name: &str) -> PathBuf {
        self.environment.env_dir.join(format!("{PREVIOUS}-{name}"))
    }

    /// Puts the folder `installed` in the place of the part; `None`: nothing belongs there.
    pub(super) fn replace(&self, part: &Part, installed: Option<&Path>, foundation: &mut Foundation) -> Result<()> {
        let (name, package) = (part.runtime.name(), package_name(part));
        let (folder, previous) = (self.folder_of(part), self.previous_folder(name));
        remove(&previous)?;
        let stamp = &mut foundation.stamp;
        let recorded = |sub_section: &str| stamp.get(SECTION, Some(sub_section)).filter(|value| !value.is_null());
        let kept = match (recorded(name).cloned(), recorded(&package).cloned()) {
            (Some(contents), Some(package)) if self.environment.package_of_runtime.is_some() && folder.is_dir() => {
                fs_err::rename(&folder, &previous)?;
                Some((contents, package))
            }
            _ => None,
        };
        remove(&folder)?;
        if let Some(installed) = installed {
            fs_err::rename(installed, &folder)?;
        }
        if recorded(&package).is_some() {
            // It went with what was there.
            stamp.record(SECTION, Some(&package), Value::Null)?;
        }
        foundation.renewed.push(Renewed { name, previous: kept });
        Ok(())
    }

    /// Whether the part was installed in this run, so that nothing of worth is in it yet.
    pub(super) fn is_new(part: &Part, foundation: &Foundation) -> bool {
        foundation.renewed.iter().any(|renewed| renewed.name == part.runtime.name())
    }

    /// Ends the time in which what was there before is kept: what is new counts if it is complete, else that.
    ///
    /// # Errors
    /// When something cannot be moved or removed.
    pub fn settle_languages(&self, foundation: &mut Foundation, is_complete: bool) -> Result<()> {
        for renewed in std::mem::take(&mut foundation.renewed) {
            let Some((contents, package)) = renewed.previous else { continue };
            let previous = self.previous_folder(renewed.name);
            if is_complete {
                remove(&previous)?;
                continue;
            }
            let folder = self.environment.env_dir.join(renewed.name);
            remove(&folder)?;
            fs_err::rename(&previous, &folder)?;
            foundation.stamp.record(SECTION, Some(renewed.name), contents)?;
            foundation.stamp.record(SECTION, Some(&format!("{}-package", renewed.name)), package)?;
        }
        Ok(())
    }

    /// Works on a copy of the part's folder, which takes its place when the work succeeded.
    ///
    /// # Errors
    /// What is wrong with the work, or when the folder cannot be copied.
    pub(super) fn work_on_copy<E: From<std::io::Error>>(
        &self,
        part: &Part,
        work: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let (folder, copy) = (self.folder_of(part), self.unfinished_folder(part));
        remove(&copy)?;
        let result = copy_tree(&folder, &copy).map_err(E::from).and_then(|()| work(&copy));
        if let Err(error) = result {
            remove(&copy)?;
            return Err(error);
        }
        let previous = self.previous_folder(part.runtime.name());
        remove(&previous)?;
        if folder.is_dir() {
            fs_err::rename(&folder, &previous)?;
        }
        fs_err::rename(&copy, &folder)?;
        Ok(remove(&previous)?)
    }
}

/// Copies a folder with the times of its files, by which package managers tell whether what they know still holds. What
/// is not there is an empty folder.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(to)?;
    let entries = match fs_err::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            fs_err::copy(&source, &target)?;
            keep_time(&source, &target)?;
        }
    }
    // Last: a folder that may not be written to could not be filled.
    fs_err::set_permissions(to, fs_err::metadata(from)?.permissions())?;
    keep_time(from, to)
}

fn keep_time(from: &Path, to: &Path) -> std::io::Result<()> {
    let time = fs_err::metadata(from)?.modified()?;
    // Who may not read the copy does not need its time either.
    File::open(to).and_then(|file| file.set_modified(time)).or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_copy_has_the_files_the_links_the_modes_and_the_times() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        std::fs::create_dir_all(from.join("bin")).unwrap();
        std::fs::write(from.join("bin/run"), "text").unwrap();
        std::fs::set_permissions(from.join("bin/run"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("../elsewhere", from.join("bin/link")).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        for name in ["bin/run", "bin"] {
            File::open(from.join(name)).unwrap().set_modified(old).unwrap();
        }
        copy_tree(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("bin/run")).unwrap(), "text");
        assert_eq!(std::fs::metadata(to.join("bin/run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(std::fs::read_link(to.join("bin/link")).unwrap(), Path::new("../elsewhere"));
        for name in ["bin/run", "bin"] {
            assert_eq!(std::fs::metadata(to.join(name)).unwrap().modified().unwrap(), old, "{name}");
        }
        copy_tree(&root.path().join("none"), &root.path().join("empty")).unwrap();
        assert!(root.path().join("empty").is_dir());
    }
}
