//! Puts what was installed for a language in the place of what was there, only when all of it is there. Where the
//! project's package belongs to it too, what was there is kept until that has succeeded as well, and comes back when it
//! has not.
//!
//! Whoever is killed on the way leaves nothing that the next run takes for something else. `.unfinished-…` is always
//! rubbish. `.previous-…` is always whole, and stands there only until the record says what came in its place: the next
//! run that finds it puts it back and installs anew.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::runtimes::{RuntimeInstallation, SECTION, remove};
use crate::builder::stamp::Stamp;
use crate::env_error::EnvError;

/// Holds what is being installed.
const UNFINISHED: &str = ".unfinished";

/// Holds what was there before, until what comes in its place is complete.
const PREVIOUS: &str = ".previous";

/// A language's part that was installed anew in this run.
pub struct ReinstalledRuntime {
    name: &'static str,
    /// What was recorded of the part that was there before, if that is still kept: its contents and its package.
    previous: Option<(Value, Value)>,
}

/// The name under which the project's package in a language's part is recorded.
pub(super) fn package_name(language: &str) -> String {
    format!("{language}-package")
}

impl EnvBuilder {
    /// The folder for what is being installed.
    pub(super) fn unfinished_folder(&self, part: &RuntimeInstallation) -> PathBuf {
        self.environment.env_dir.join(format!("{UNFINISHED}-{}", part.runtime.name()))
    }

    fn previous_folder(&self, name: &str) -> PathBuf {
        self.environment.env_dir.join(format!("{PREVIOUS}-{name}"))
    }

    /// Puts right what a run left that was killed between taking away what was there and recording what came instead.
    pub(super) fn repair(&self, part: &RuntimeInstallation, stamp: &mut Stamp) -> Result<()> {
        let name = part.runtime.name();
        if !self.previous_folder(name).is_dir() {
            return Ok(());
        }
        self.restore(name, stamp)
    }

    /// Puts the folder `installed` in the place of the part; `None`: nothing belongs there. What was there is kept until
    /// [`Site::settle_language`] or [`Site::settle_languages`].
    pub(super) fn replace(
        &self,
        part: &RuntimeInstallation,
        installed: Option<&Path>,
        foundation: &mut CreatedEnv,
    ) -> Result<()> {
        let name = part.runtime.name();
        let folder = self.folder_of(part);
        let stamp = &mut foundation.stamp;
        let recorded = |name: &str| stamp.get(SECTION, Some(name)).filter(|value| !value.is_null()).cloned();
        let (contents, package) = (recorded(name), recorded(&package_name(name)));
        if folder.is_dir() {
            fs_err::rename(&folder, self.previous_folder(name))?;
        } else {
            // Nothing will tell that what comes is not what the record speaks of.
            forget(stamp, name)?;
        }
        if let Some(installed) = installed {
            fs_err::rename(installed, &folder)?;
        }
        if package.is_some() {
            // It went with what was there.
            stamp.record(SECTION, Some(&package_name(name)), Value::Null)?;
        }
        foundation.renewed.push(ReinstalledRuntime { name, previous: contents.zip(package) });
        Ok(())
    }

    /// Ends the time in which what was there before is kept, now that the record says what came in its place; but not
    /// where the project's package has to come as well.
    pub(super) fn settle_language(&self, part: &RuntimeInstallation) -> Result<()> {
        if self.environment.package_of_runtime.is_none() {
            self.discard(part.runtime.name(), &self.previous_folder(part.runtime.name()))?;
        }
        Ok(())
    }

    /// Whether the part was installed in this run, so that nothing of worth is in it yet.
    pub(super) fn is_new(part: &RuntimeInstallation, foundation: &CreatedEnv) -> bool {
        foundation.renewed.iter().any(|renewed| renewed.name == part.runtime.name())
    }

    /// Ends the time in which what was there before is kept: what is new counts if it is complete, else that.
    pub fn settle_languages(&self, foundation: &mut CreatedEnv, is_complete: bool) -> Result<()> {
        for renewed in std::mem::take(&mut foundation.renewed) {
            let name = renewed.name;
            match renewed.previous {
                Some((contents, package)) if !is_complete && self.previous_folder(name).is_dir() => {
                    self.restore(name, &mut foundation.stamp)?;
                    foundation.stamp.record(SECTION, Some(name), contents)?;
                    foundation.stamp.record(SECTION, Some(&package_name(name)), package)?;
                }
                _ => self.discard(name, &self.previous_folder(name))?,
            }
        }
        Ok(())
    }

    /// Puts what was there before in its place again; nothing is recorded of it then.
    fn restore(&self, name: &'static str, stamp: &mut Stamp) -> Result<()> {
        forget(stamp, name)?;
        let folder = self.environment.env_dir.join(name);
        self.discard(name, &folder)?;
        Ok(fs_err::rename(self.previous_folder(name), folder)?)
    }

    /// Removes a folder that nobody may take for whole once its removal has begun.
    fn discard(&self, name: &str, folder: &Path) -> std::io::Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        let unfinished = self.environment.env_dir.join(format!("{UNFINISHED}-{name}"));
        remove(&unfinished)?;
        fs_err::rename(folder, &unfinished)?;
        remove(&unfinished)
    }

    /// Works on a copy of the part's folder, which takes its place when the work succeeded and `stamp` has recorded it as
    /// the project's package.
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

/// Records that nothing is known of a language's part.
fn forget(stamp: &mut Stamp, name: &str) -> Result<()> {
    for name in [name, &package_name(name)] {
        if stamp.get(SECTION, Some(name)).is_some_and(|value| !value.is_null()) {
            stamp.record(SECTION, Some(name), Value::Null)?;
        }
    }
    Ok(())
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
