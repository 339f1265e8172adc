//! What envo keeps for itself of a wheel, in its cache: fetched once from the package index that pip uses, with pip and
//! all its settings, and then there for every project. That it cannot be had is remembered for a while, so that trying
//! costs nothing.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pep440_rs::{Version, VersionSpecifiers};
use serde::{Deserialize, Serialize};

use super::PythonDiscovery;
use super::seed::{Seeder, Sources};
use crate::execute::interrupt::Interrupt;
use crate::install::pip_settings::PipSettings;
use crate::model::{Interpreter, Variables};
use crate::runtime::cache;
use crate::runtime::scratch::Scratch;

/// Why there is none; its time of change says since when.
const REFUSAL: &str = "unavailable.json";
pub(super) const LOCK: &str = ".lock";
/// How long a failure is taken for granted.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a wheel is fetched with.
pub struct Means<'a> {
    pub seeder: &'a Seeder,
    pub discovery: &'a PythonDiscovery,
    pub variables: &'a Variables,
    pub interrupt: &'a Interrupt,
    /// Called once before something is fetched, and when that fails.
    pub tell: &'a dyn Fn(String),
}

/// The wheel, and what is kept of it.
pub struct OwnWheel<'a> {
    /// What people call its content.
    pub name: &'a str,
    /// The distribution, and which of its versions will do.
    pub distribution: &'a str,
    pub versions: &'a str,
    /// Below the cache; in it one folder per version.
    pub folder: &'a str,
    /// Finds the content in the folder of a version, if it is complete.
    pub content: &'a dyn Fn(&Path) -> Option<PathBuf>,
    /// Takes the content from a wheel into an empty folder, or says why it is of no use.
    pub unpack: &'a dyn Fn(&Path, &Path) -> anyhow::Result<()>,
    /// How to do without, and what is done without it.
    pub avoided_by: &'a str,
    pub instead: &'a str,
    /// Whether to wait while another process fetches it.
    pub waits: bool,
}

#[derive(Serialize, Deserialize)]
struct Refusal {
    /// The settings it holds for.
    settings: String,
    reason: String,
}

impl OwnWheel<'_> {
    /// The content in the cache, fetched with a pip on `interpreter` if it is not there yet.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn obtain(&self, means: &Means<'_>, interpreter: &Interpreter) -> Result<PathBuf, String> {
        let name = self.name;
        let folder = cache::folder(means.variables)
            .ok_or_else(|| format!("there is no {name}, and no folder for envo's cache"))?
            .join(self.folder);
        if let Some(content) = self.newest(&folder) {
            return Ok(content);
        }
        let settings = PipSettings::read(means.variables, Path::new("/nonexistent"));
        if settings.no_index && settings.find_links.is_empty() {
            return Err(format!("there is no {name}, and pip's settings forbid to ask an index"));
        }
        if means.seeder.is_offline() {
            return Err(format!("there is no {name}, and ENVO_OFFLINE is set"));
        }
        let settings = cache::key([format!("{settings:?}").as_bytes(), self.versions.as_bytes()]);
        if let Some(reason) = remembered(&folder, &settings) {
            return Err(reason);
        }
        let cannot_write =
            |error: &dyn std::fmt::Display| format!("there is no {name}, and `{}`: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&error))?;
        let lock = File::create(folder.join(LOCK)).map_err(|error| cannot_write(&error))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            if !self.waits {
                return Err(format!("another process is fetching {name}"));
            }
            lock.lock().map_err(|error| cannot_write(&error))?;
        }
        // The last holder of the lock may have been successful, or have found that it cannot be had.
        if let Some(content) = self.newest(&folder) {
            return Ok(content);
        }
        if let Some(reason) = remembered(&folder, &settings) {
            return Err(reason);
        }
        (means.tell)(format!("fetching {name}, once for this machine ({})", self.avoided_by));
        match self.fetch(means, &folder, interpreter) {
            Ok(content) => {
                let _ = std::fs::remove_file(folder.join(REFUSAL));
                Ok(content)
            }
            Err(_) if means.interrupt.requested() => Err("interrupted".to_owned()),
            Err(error) => {
                let reason = format!("{name} could not be fetched: {}", last_line(&format!("{error:#}")));
                remember(&folder, &Refusal { settings, reason: reason.clone() });
                (means.tell)(format!("{reason}; {}", self.instead));
                Err(reason)
            }
        }
    }

    fn fetch(&self, means: &Means<'_>, folder: &Path, interpreter: &Interpreter) -> anyhow::Result<PathBuf> {
        let unfinished = Scratch::new_in(folder, ".fetch-")?;
        let sources = Sources { newest: false, discovery: means.discovery, own: None };
        let requirement = format!("{}{}", self.distribution, self.versions);
        means.seeder.fetch(&requirement, unfinished.path(), (interpreter, sources), means.interrupt)?;
        let wheel = wheel_in(unfinished.path())?;
        let version = version_of(&wheel).ok_or_else(|| anyhow::anyhow!("{} has no version", wheel.display()))?;
        let unpacked = unfinished.path().join("unpacked");
        std::fs::create_dir(&unpacked)?;
        (self.unpack)(&wheel, &unpacked)?;
        let place = folder.join(version);
        if place.exists() {
            // Without its content, else it had been found.
            std::fs::remove_dir_all(&place)?;
        }
        std::fs::rename(unpacked, &place)?;
        (self.content)(&place).ok_or_else(|| anyhow::anyhow!("{requirement} does not hold what it should"))
    }

    /// The content of the newest version in `folder` that will do.
    fn newest(&self, folder: &Path) -> Option<PathBuf> {
        let wanted: VersionSpecifiers = self.versions.parse().ok()?;
        let versions = std::fs::read_dir(folder).ok()?.filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: Version = path.file_name()?.to_str()?.parse().ok()?;
            let content = wanted.contains(&version).then(|| (self.content)(&path)).flatten()?;
            Some((version, content))
        });
        versions.max().map(|(_, content)| content)
    }
}

fn remembered(folder: &Path, settings: &str) -> Option<String> {
    let file = folder.join(REFUSAL);
    let age = std::fs::metadata(&file).ok()?.modified().ok()?.elapsed().ok()?;
    let refusal: Refusal = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    (age < PATIENCE && refusal.settings == settings).then_some(refusal.reason)
}

fn remember(folder: &Path, refusal: &Refusal) {
    if let Ok(content) = serde_json::to_vec(refusal) {
        // If it cannot be written, the next run tries again, which harms nothing but time.
        let _ = cache::write_atomically(&folder.join(REFUSAL), &content);
    }
}

fn last_line(text: &str) -> &str {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or(text);
    line.strip_prefix("ERROR: ").unwrap_or(line)
}

fn wheel_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let paths = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut wheels = paths.filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheels.next().ok_or_else(|| anyhow::anyhow!("pip fetched no wheel"))
}

/// The second part of a wheel's name (PEP 427), if it is a version: it becomes the name of a folder.
pub(super) fn version_of(wheel: &Path) -> Option<&str> {
    let version = wheel.file_stem()?.to_str()?.split('-').nth(1)?;
    version.parse::<Version>().is_ok().then_some(version)
}
