//! Replaces a runtime's files with newly installed ones only once they are complete. If the project's package belongs
//! to them too, the old files are kept until it is installed as well, and restored if that fails.
//!
//! A killed process leaves nothing that the next run mistakes for something else: `.unfinished-…` is always garbage;
//! `.previous-…` is always complete and exists only until the record describes its replacement. The next run that finds
//! it restores it and installs again.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::runtimes::{RuntimeInstallation, SECTION, remove};
use crate::builder::stamp::Stamp;
use crate::env_error::EnvError;

/// Folder with the files being installed.
const UNFINISHED: &str = ".unfinished";

/// Folder with the previous files, until their replacement is complete.
const PREVIOUS: &str = ".previous";

/// A runtime's files that were reinstalled in this run.
pub struct ReinstalledRuntime {
    name: &'static str,
    /// The record of the previous files while they are kept: their contents and their package.
    previous: Option<(Value, Value)>,
}

/// The key under which the project's package is recorded for a runtime.
pub(super) fn package_name(language: &str) -> String {
    format!("{language}-package")
}

impl EnvBuilder {
    /// The folder for files being installed.
    pub(super) fn unfinished_folder(&self, part: &RuntimeInstallation) -> PathBuf {
        self.environment.folders.env_dir.join(format!("{UNFINISHED}-{}", part.runtime.name()))
    }

    fn previous_folder(&self, name: &str) -> PathBuf {
        self.environment.folders.env_dir.join(format!("{PREVIOUS}-{name}"))
    }

    /// Repairs the state left by a run that was killed between removing the old files and recording the new ones.
    pub(super) fn repair(&self, part: &RuntimeInstallation, stamp: &mut Stamp) -> Result<()> {
        let name = part.runtime.name();
        if !self.previous_folder(name).is_dir() {
            return Ok(());
        }
        self.restore(name, stamp)
    }

    /// Moves the folder `installed` to the runtime's path; `None` leaves nothing there. The old files are kept until
    /// [`Self::settle_runtime`] or [`Self::settle_runtimes`].
    pub(super) fn replace(
        &self,
        part: &RuntimeInstallation,
        installed: Option<&Path>,
        created: &mut CreatedEnv,
    ) -> Result<()> {
        let name = part.runtime.name();
        let folder = self.folder_of(part);
        let stamp = &mut created.stamp;
        let recorded = |name: &str| stamp.get(SECTION, Some(name)).filter(|value| !value.is_null()).cloned();
        let (contents, package) = (recorded(name), recorded(&package_name(name)));
        if folder.is_dir() {
            fs_err::rename(&folder, self.previous_folder(name))?;
        } else {
            // Until the new files are recorded, the record must not describe the old ones.
            forget(stamp, name)?;
        }
        if let Some(installed) = installed {
            fs_err::rename(installed, &folder)?;
        }
        if package.is_some() {
            // The package was removed with the old files.
            stamp.record(SECTION, Some(&package_name(name)), Value::Null)?;
        }
        created.renewed.push(ReinstalledRuntime { name, previous: contents.zip(package) });
        Ok(())
    }

    /// Drops the old files once the record describes the new ones, unless the project's package must be installed as
    /// well.
    pub(super) fn settle_runtime(&self, part: &RuntimeInstallation) -> Result<()> {
        if self.environment.package.package_of_runtime.is_none() {
            self.discard(part.runtime.name(), &self.previous_folder(part.runtime.name()))?;
        }
        Ok(())
    }

    /// Whether the files were installed in this run, so that nothing valuable has been added to them yet.
    pub(super) fn is_new(part: &RuntimeInstallation, created: &CreatedEnv) -> bool {
        created.renewed.iter().any(|renewed| renewed.name == part.runtime.name())
    }

    /// Drops the old files if the new ones are complete, else restores them.
    pub fn settle_runtimes(&self, created: &mut CreatedEnv, is_complete: bool) -> Result<()> {
        for renewed in std::mem::take(&mut created.renewed) {
            let name = renewed.name;
            match renewed.previous {
                Some((contents, package)) if !is_complete && self.previous_folder(name).is_dir() => {
                    self.restore(name, &mut created.stamp)?;
                    created.stamp.record(SECTION, Some(name), contents)?;
                    created.stamp.record(SECTION, Some(&package_name(name)), package)?;
                }
                _ => self.discard(name, &self.previous_folder(name))?,
            }
        }
        Ok(())
    }

    /// Restores the old files; nothing is recorded of them then.
    fn restore(&self, name: &'static str, stamp: &mut Stamp) -> Result<()> {
        forget(stamp, name)?;
        let folder = self.environment.folders.env_dir.join(name);
        self.discard(name, &folder)?;
        Ok(fs_err::rename(self.previous_folder(name), folder)?)
    }

    /// Removes a folder so that, once removal has begun, it cannot be mistaken for a complete one.
    fn discard(&self, name: &str, folder: &Path) -> std::io::Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        let unfinished = self.environment.folders.env_dir.join(format!("{UNFINISHED}-{name}"));
        remove(&unfinished)?;
        fs_err::rename(folder, &unfinished)?;
        remove(&unfinished)
    }

    /// Works on a copy of the runtime's folder, which replaces it once the work succeeded and `stamp` has recorded it
    /// as the project's package.
    pub(super) fn work_on_copy(
        &self,
        part: &RuntimeInstallation,
        stamp: &mut Stamp,
        package: Value,
        work: impl FnOnce(&Path) -> Result<(), EnvError>,
    ) -> Result<(), EnvError> {
        let name = part.runtime.name();
        let (folder, copy) = (self.folder_of(part), self.unfinished_folder(part));
        remove(&copy)?;
        let result = copy_tree(&folder, &copy).map_err(EnvError::from).and_then(|()| work(&copy));
        if let Err(error) = result {
            remove(&copy)?;
            return Err(error);
        }
        let previous = self.previous_folder(name);
        if folder.is_dir() {
            fs_err::rename(&folder, &previous)?;
        }
        fs_err::rename(&copy, &folder)?;
        stamp.record(SECTION, Some(&package_name(name)), package)?;
        Ok(self.discard(name, &previous)?)
    }
}

/// Clears the record of a runtime's files.
fn forget(stamp: &mut Stamp, name: &str) -> Result<()> {
    for name in [name, &package_name(name)] {
        if stamp.get(SECTION, Some(name)).is_some_and(|value| !value.is_null()) {
            stamp.record(SECTION, Some(name), Value::Null)?;
        }
    }
    Ok(())
}

/// Copies a folder with the modification times of its files, which package managers use to validate their state. A
/// missing folder is copied as an empty one.
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
    // Last, because a read-only folder could not be filled.
    fs_err::set_permissions(to, fs_err::metadata(from)?.permissions())?;
    keep_time(from, to)
}

fn keep_time(from: &Path, to: &Path) -> std::io::Result<()> {
    let time = fs_err::metadata(from)?.modified()?;
    // If the copy cannot be read, its time does not matter.
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
