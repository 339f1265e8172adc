//! Releases of an installation. Each has a folder with a number in `releases/`; the link `current` points to one of them,
//! and is switched by renaming, so that at every moment there is the old one or the new one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::platform;
use crate::ship::manifest::{self, Manifest};
use crate::ship::reading::{self, FileKind, PackedFile};
use crate::ship::refusal::Refusal;
use crate::ship::verify::{Checker, check_space, runs_here};

const RELEASES: &str = "releases";
const CURRENT: &str = "current";
/// Releases that are not complete yet.
const NEW: &str = ".new";
/// The link that becomes [`CURRENT`].
const NEW_CURRENT: &str = ".current";
/// Releases that are being removed begin with this.
const OLD: &str = ".old-";

/// An installed release.
#[derive(Debug, Clone)]
pub struct Release {
    pub number: u64,
    pub folder: PathBuf,
    /// The reason if it cannot be read.
    pub manifest: Result<Manifest, Refusal>,
    pub is_current: bool,
}

/// The folder of an installation.
#[derive(Debug)]
pub struct Installation {
    root: PathBuf,
    /// Held while releases change. The kernel releases it with this process.
    _lock: Option<File>,
}

/// What an installation came to.
#[derive(Debug)]
pub struct Installed {
    pub release: Release,
    /// Whether the same release was there already.
    pub was_there: bool,
    /// The numbers of the releases that were removed.
    pub removed: Vec<u64>,
}

impl Installation {
    /// Opens an installation to look at it.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.join(RELEASES).is_dir() {
            let reason = format!("nothing is installed in {}", root.display());
            return Err(Refusal::new(reason).help("name the folder of `envo install` with --root").into());
        }
        Ok(Self { root: root.to_owned(), _lock: None })
    }

    /// Opens an installation to change it.
    pub fn lock(root: &Path) -> Result<Self> {
        let releases = root.join(RELEASES);
        let cannot = || format!("cannot install in {}", root.display());
        if !releases.is_dir() {
            fs::create_dir_all(&releases).with_context(cannot)?;
            [root, &releases].into_iter().try_for_each(open_to_all).with_context(cannot)?;
        }
        // Its owner could replace what was checked.
        let owner = fs::metadata(&releases).with_context(cannot)?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let reason = format!("{} belongs to another user (uid {owner})", releases.display());
            return Err(Refusal::new(reason).help("install as that user, or choose another folder with --root").into());
        }
        let lock = File::open(&releases).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let reason = format!("another envo is changing the releases in {}", root.display());
                return Err(Refusal::new(reason).help("wait until it is done").into());
            }
            Err(fs::TryLockError::Error(error)) => return Err(anyhow::Error::new(error).context(cannot())),
        }
        Ok(Self { root: root.to_owned(), _lock: Some(lock) })
    }

    /// Unpacks a file next to the installed releases, checks it, and makes it the current one.
    pub fn install(&self, file: &PackedFile<'_>, checker: &Checker<'_>) -> Result<Installed> {
        self.check_link()?;
        check_kind(file)?;
        self.sweep();
        let releases = self.releases()?;
        let mut there = None;
        let new = self.root.join(RELEASES).join(NEW);
        let same = |folder: &Path, manifest: &Manifest| reading::compare(folder, manifest, checker.interrupt).is_ok();
        let outcome = reading::read(
            file,
            &mut runs_here,
            &mut |manifest| {
                let is_same = |release: &&Release| release.manifest.as_ref().is_ok_and(|found| found == manifest);
                there = releases.iter().rfind(is_same).filter(|found| same(&found.folder, manifest));
                if there.is_some() {
                    return Ok(None);
                }
                check_space(&self.root, manifest)?;
                fs::create_dir(&new)?;
                open_to_all(&new)?;
                Ok(Some(new.clone()))
            },
            checker.interrupt,
        );
        let unpacked = outcome.and_then(|manifest| {
            let folder = there.map_or(&new, |release| &release.folder);
            checker.imports(folder, &manifest)?;
            Ok(manifest)
        });
        let manifest = match unpacked {
            Ok(manifest) => manifest,
            Err(error) => {
                // It is removed by the next installation otherwise.
                let _ = fs::remove_dir_all(&new);
                return Err(error);
            }
        };
        let was_there = there.is_some();
        let number = match there {
            Some(release) => release.number,
            None => self.complete(&new, releases.last().map_or(0, |last| last.number))?,
        };
        self.switch(number)?;
        let removed = self.prune(manifest.keep.max(1))?;
        let folder = self.folder(number);
        let release = Release { number, folder, manifest: Ok(manifest), is_current: true };
        Ok(Installed { release, was_there, removed })
    }

    /// Makes another release the current one: that with this number, or the newest before the current one.
    pub fn roll_back(&self, number: Option<u64>, checker: &Checker<'_>) -> Result<Release> {
        self.check_link()?;
        let releases = self.releases()?;
        let current = releases.iter().find(|release| release.is_current).map(|release| release.number);
        let chosen = match number {
            Some(number) => releases.iter().find(|release| release.number == number),
            None => releases.iter().rfind(|release| current.is_some_and(|current| release.number < current)),
        };
        let Some(chosen) = chosen else {
            let reason = match number {
                Some(number) => format!("there is no release {number} in {}", self.root.display()),
                None => format!("there is no release before the current one in {}", self.root.display()),
            };
            return Err(Refusal::new(reason).help("`envo releases` lists the releases that are kept").into());
        };
        checker.release(&chosen.folder)?;
        self.switch(chosen.number)?;
        Ok(Release { is_current: true, ..chosen.clone() })
    }

    /// The releases, and other folders whose names are numbers, the oldest first.
    pub fn releases(&self) -> Result<Vec<Release>> {
        let current = fs::read_link(self.root.join(CURRENT)).ok();
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join(RELEASES))?.flatten() {
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            if name != *number.to_string() {
                continue;
            }
            let is_current = current.as_deref() == Some(&target(number));
            let folder = entry.path();
            found.push(Release { number, manifest: reading::manifest_in(&folder), folder, is_current });
        }
        found.sort_by_key(|release| release.number);
        Ok(found)
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.root.join(target(number))
    }

    /// Makes the unpacked release the one after `last` once all of it is on the disk.
    fn complete(&self, new: &Path, last: u64) -> Result<u64> {
        let Some(number) = last.checked_add(1) else {
            let reason = format!("{} is the largest number that a release can have", self.folder(last).display());
            return Err(Refusal::new(reason).help("move it away").into());
        };
        platform::system::sync_file_system(&File::open(new)?)?;
        fs::rename(new, self.folder(number))?;
        Ok(number)
    }

    fn switch(&self, number: u64) -> Result<()> {
        let new = self.root.join(RELEASES).join(NEW_CURRENT);
        remove_link(&new)?;
        symlink(target(number), &new)?;
        fs::rename(&new, self.root.join(CURRENT)).with_context(|| format!("cannot switch to release {number}"))?;
        // The name is on the disk, too, before the old release may be removed.
        Ok(File::open(&self.root)?.sync_all()?)
    }

    /// `current` must be a link of ours, or free.
    fn check_link(&self) -> Result<()> {
        let link = self.root.join(CURRENT);
        if link.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
            let reason = format!("{} is not a link, so it cannot be switched", link.display());
            return Err(Refusal::new(reason).help("choose another folder with --root, or move it away").into());
        }
        Ok(())
    }

    /// Removes what installations that were killed have left.
    fn sweep(&self) {
        for entry in fs::read_dir(self.root.join(RELEASES)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            // The folder may be one that has files of the user.
            if name == NEW || name == NEW_CURRENT || name.to_string_lossy().starts_with(OLD) {
                let path = entry.path();
                // What cannot be removed does no harm, or is reported when the name is needed.
                let _ = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    fs::remove_dir_all(path)
                } else {
                    fs::remove_file(path)
                };
            }
        }
    }

    /// Removes the oldest releases beyond `keep`, but never the current one.
    fn prune(&self, keep: usize) -> Result<Vec<u64>> {
        let mut releases = self.releases()?;
        // A folder of the user may have a number as its name.
        releases.retain(|release| release.folder.join(manifest::FOLDER).is_dir());
        let surplus = releases.len().saturating_sub(keep);
        let mut removed = Vec::new();
        for release in releases.iter().filter(|release| !release.is_current).take(surplus) {
            // A release is whole or gone.
            let old = self.root.join(RELEASES).join(format!("{OLD}{}", release.number));
            fs::rename(&release.folder, &old)?;
            let _ = fs::remove_dir_all(&old);
            removed.push(release.number);
        }
        Ok(removed)
    }
}

/// Packages and images are installed by programs of their own.
fn check_kind(file: &PackedFile<'_>) -> Result<()> {
    let (what, program) = match reading::kind(file)? {
        FileKind::Archive => return Ok(()),
        FileKind::Package => ("a Debian package", "apt install"),
        FileKind::Image => ("a container image", "docker load -i"),
    };
    let reason = format!("{} is {what}, which `envo install` does not install", file.path.display());
    Err(Refusal::new(reason).help(format!("use `{program} FILE`, or pack it with `envo pack --format tar`")).into())
}

/// Releases may run as another user than the one who installs them, whatever that one's umask.
fn open_to_all(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn target(number: u64) -> PathBuf {
    Path::new(RELEASES).join(number.to_string())
}

fn remove_link(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
