//! Keeps the contents of a wheel in envo's cache for all projects: fetched once with pip and all its settings. A
//! failure is remembered for a while, so that repeated attempts cost nothing.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pep440_rs::{Version, VersionSpecifiers};
use serde::{Deserialize, Serialize};

use crate::execute::interrupt::Interrupt;
use crate::install::pip_settings::PipSettings;
use crate::model::{EnvVariables, Interpreter};
use crate::runtime::cache;
use crate::runtime::checksums;
use crate::runtime::python::PythonDiscovery;
use crate::runtime::python::seed::{SeedSources, Seeder};
use crate::scratch::Scratch;

/// The reason for the failure; the file's modification time is the time of it.
const REFUSAL: &str = "unavailable.json";
pub(super) const LOCK: &str = ".lock";
/// How long a failure is remembered.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Resources for fetching a wheel.
pub struct WheelSources<'a> {
    pub seeder: &'a Seeder,
    pub discovery: &'a PythonDiscovery,
    pub variables: &'a EnvVariables,
    pub interrupt: &'a Interrupt,
    /// Called once before fetching, and again if that fails.
    pub tell: &'a dyn Fn(String),
}

/// The wheel, and the part of it that is kept.
pub struct OwnWheel<'a> {
    /// The content's name for users.
    pub name: &'a str,
    /// The distribution and its suitable versions.
    pub distribution: &'a str,
    pub versions: &'a str,
    /// Below the cache; contains a folder per version.
    pub folder: &'a str,
    /// Finds the content in a version's folder, if it is complete.
    pub content: &'a dyn Fn(&Path) -> Option<PathBuf>,
    /// Extracts the content from a wheel into an empty folder, or explains why it is unusable.
    pub unpack: &'a dyn Fn(&Path, &Path) -> anyhow::Result<()>,
    /// How to avoid needing it, and what happens without it.
    pub avoided_by: &'a str,
    pub instead: &'a str,
    /// Whether to wait while another process fetches it.
    pub waits: bool,
    /// The approximate size of the wheel and its content in bytes.
    pub room: u64,
}

#[derive(Serialize, Deserialize)]
struct WheelRefusal {
    /// The pip settings for which it is remembered.
    settings: String,
    reason: String,
}

impl OwnWheel<'_> {
    /// The content in the cache, fetched with a pip on `interpreter` if necessary.
    pub fn obtain(&self, means: &WheelSources<'_>, interpreter: &Interpreter) -> Result<PathBuf, String> {
        let name = self.name;
        let folder = cache::folder(means.variables)
            .ok_or_else(|| format!("there is no {name}, and no folder for envo's cache"))?
            .join(self.folder);
        if let Some(content) = self.newest(&folder) {
            return Ok(content);
        }
        let damaged = self.versions_in(&folder).pop().map(|(_, path)| path);
        let refused = |reason: String| {
            if damaged.is_some() {
                (means.tell)(format!("{reason}; {}", self.instead));
            }
            Err(reason)
        };
        let missing = match &damaged {
            Some(path) => format!("`{}` is damaged", path.display()),
            None => format!("there is no {name}"),
        };
        let settings = PipSettings::read(means.variables, Path::new("/nonexistent"));
        if settings.sources.no_index && settings.sources.find_links.is_empty() {
            return refused(format!("{missing}, and pip's settings forbid to ask an index"));
        }
        if means.seeder.is_offline() {
            return refused(format!("{missing}, and ENVO_OFFLINE is set"));
        }
        let settings = cache::key([format!("{settings:?}").as_bytes(), self.versions.as_bytes()]);
        if let Some(reason) = remembered(&folder, &settings) {
            return refused(reason);
        }
        let lock = match cache::check_room(&folder, self.room).and_then(|()| File::create(folder.join(LOCK))) {
            Ok(lock) => lock,
            Err(error) => {
                let reason = format!("{missing}, and none can be kept in `{}`: {error}", folder.display());
                means.seeder.is_kept(Err(error));
                return refused(reason);
            }
        };
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            // A damaged one was in use, so it is needed.
            if !self.waits && damaged.is_none() {
                return Err(format!("another process is fetching {name}"));
            }
            lock.lock().map_err(|error| format!("{missing}, and `{}`: {error}", folder.display()))?;
        }
        // The previous holder of the lock may have fetched it, or failed to.
        if let Some(content) = self.newest(&folder) {
            return Ok(content);
        }
        if let Some(reason) = remembered(&folder, &settings) {
            return Err(reason);
        }
        if means.interrupt.requested() {
            return Err("interrupted".to_owned());
        }
        match &damaged {
            Some(_) => (means.tell)(format!("{missing}: fetching {name} again")),
            None => (means.tell)(format!("fetching {name}, once for this machine ({})", self.avoided_by)),
        }
        match self.fetch(means, &folder, interpreter) {
            Ok(content) => {
                let _ = std::fs::remove_file(folder.join(REFUSAL));
                Ok(content)
            }
            Err(_) if means.interrupt.requested() => Err("interrupted".to_owned()),
            Err(error) => {
                let reason = format!("{name} could not be fetched: {}", last_line(&format!("{error:#}")));
                remember(&folder, &WheelRefusal { settings, reason: reason.clone() });
                (means.tell)(format!("{reason}; {}", self.instead));
                Err(reason)
            }
        }
    }

    fn fetch(&self, means: &WheelSources<'_>, folder: &Path, interpreter: &Interpreter) -> anyhow::Result<PathBuf> {
        let unfinished = Scratch::new_in(folder, ".fetch-")?;
        let sources = SeedSources { newest: false, discovery: means.discovery, own: None };
        let requirement = format!("{}{}", self.distribution, self.versions);
        means.seeder.fetch(&requirement, unfinished.path(), (interpreter, sources), means.interrupt)?;
        let wheel = wheel_in(unfinished.path())?;
        let version = version_of(&wheel).ok_or_else(|| anyhow::anyhow!("{} has no version", wheel.display()))?;
        let unpacked = unfinished.path().join("unpacked");
        std::fs::create_dir(&unpacked)?;
        (self.unpack)(&wheel, &unpacked)?;
        let location = folder.join(version);
        checksums::publish(&unpacked, &location)?;
        (self.content)(&location).ok_or_else(|| anyhow::anyhow!("{requirement} does not hold what it should"))
    }

    /// The intact content of the newest suitable version in `folder`.
    fn newest(&self, folder: &Path) -> Option<PathBuf> {
        let mut versions = self.versions_in(folder).into_iter().rev();
        versions.find_map(|(_, path)| checksums::hold(&path).then(|| (self.content)(&path))?)
    }

    /// The suitable versions in `folder`, intact or not, the newest last.
    fn versions_in(&self, folder: &Path) -> Vec<(Version, PathBuf)> {
        let Ok(wanted) = self.versions.parse::<VersionSpecifiers>() else { return Vec::new() };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let versions = entries.filter_map(|path| {
            let version: Version = path.file_name()?.to_str()?.parse().ok()?;
            wanted.contains(&version).then_some((version, path))
        });
        let mut versions: Vec<_> = versions.collect();
        versions.sort();
        versions
    }
}

fn remembered(folder: &Path, settings: &str) -> Option<String> {
    let file = folder.join(REFUSAL);
    let age = std::fs::metadata(&file).ok()?.modified().ok()?.elapsed().ok()?;
    let refusal: WheelRefusal = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    (age < PATIENCE && refusal.settings == settings).then_some(refusal.reason)
}

fn remember(folder: &Path, refusal: &WheelRefusal) {
    if let Ok(content) = serde_json::to_vec(refusal) {
        // If it cannot be written, the next run tries again, which only costs time.
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
