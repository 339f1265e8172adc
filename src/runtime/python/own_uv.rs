//! A uv of envo's own, in its cache, for machines that have none: fetched once from the package index that pip uses, with
//! pip and all its settings, and then there for every project. That it cannot be had is remembered for a while, so that
//! trying costs nothing. What is done with it is the business of [`crate::install`].

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PythonDiscovery;
use super::seed::{Seeder, Sources};
use super::shim::is_program;
use crate::execute::interrupt::Interrupt;
use crate::execute::process;
use crate::install::pip_settings::PipSettings;
use crate::model::{Interpreter, Variables};
use crate::runtime::cache;
use crate::runtime::fetch::{Entry, extract};

/// Below the cache; in it one folder per version.
const FOLDER: &str = "tools/uv";
const PROGRAM: &str = "uv";
/// Older ones do not know all the options that envo gives to uv.
const REQUIREMENT: &str = "uv>=0.6";
/// Why there is none; its time of change says since when.
const REFUSAL: &str = "unavailable.json";
const LOCK: &str = ".lock";
/// How long a failure is taken for granted.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What uv is fetched with.
pub struct OwnUv<'a> {
    pub seeder: &'a Seeder,
    pub discovery: &'a PythonDiscovery,
    pub variables: &'a Variables,
    pub interrupt: &'a Interrupt,
    /// Told once before something is fetched.
    pub tell: &'a dyn Fn(String),
}

#[derive(Serialize, Deserialize)]
struct Refusal {
    /// The settings it holds for.
    settings: String,
    reason: String,
}

impl OwnUv<'_> {
    /// The uv in the cache, fetched with a pip on `interpreter` if it is not there yet.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn obtain(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        let folder =
            cache::folder(self.variables).ok_or("there is no uv, and no folder for envo's cache")?.join(FOLDER);
        if let Some(program) = newest(&folder) {
            return Ok(program);
        }
        let settings = PipSettings::read(self.variables, Path::new("/nonexistent"));
        if settings.no_index && settings.find_links.is_empty() {
            return Err("there is no uv, and pip's settings forbid to ask an index".to_owned());
        }
        if self.seeder.is_offline() {
            return Err("there is no uv, and ENVO_OFFLINE is set".to_owned());
        }
        let settings = cache::key([format!("{settings:?}").as_bytes()]);
        if let Some(reason) = remembered(&folder, &settings) {
            return Err(reason);
        }
        let cannot_write =
            |error: &dyn std::fmt::Display| format!("there is no uv, and `{}`: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&error))?;
        let lock = File::create(folder.join(LOCK)).map_err(|error| cannot_write(&error))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err("another process is fetching uv".to_owned());
        }
        // Whoever had the lock before may have been successful.
        if let Some(program) = newest(&folder) {
            return Ok(program);
        }
        (self.tell)("fetching uv, once for this machine (ENVO_INSTALLER=pip does without)".to_owned());
        match self.fetch(&folder, interpreter) {
            Ok(program) => {
                let _ = std::fs::remove_file(folder.join(REFUSAL));
                Ok(program)
            }
            Err(_) if self.interrupt.requested() => Err("interrupted".to_owned()),
            Err(error) => {
                let reason = format!("uv could not be fetched: {}", last_line(&format!("{error:#}")));
                remember(&folder, &Refusal { settings, reason: reason.clone() });
                (self.tell)(format!("{reason}; pip goes on without it"));
                Err(reason)
            }
        }
    }

    fn fetch(&self, folder: &Path, interpreter: &Interpreter) -> anyhow::Result<PathBuf> {
        let unfinished = tempfile::Builder::new().prefix(".fetch-").tempdir_in(folder)?;
        let sources = Sources { newest: false, discovery: self.discovery };
        self.seeder.fetch(REQUIREMENT, unfinished.path(), (interpreter, sources), self.interrupt)?;
        let wheel = wheel_in(unfinished.path())?;
        let version = version_of(&wheel).ok_or_else(|| anyhow::anyhow!("{} has no version", wheel.display()))?;
        let unpacked = unfinished.path().join("unpacked");
        std::fs::create_dir(&unpacked)?;
        let program = |name: &Path| {
            let is_program = name.ends_with("scripts/uv");
            is_program.then(|| Entry { name: PROGRAM.into(), is_program })
        };
        extract(&wheel, &unpacked, program)?;
        anyhow::ensure!(unpacked.join(PROGRAM).exists(), "the wheel of uv has no program in it");
        // What does not run here must not be found by anybody.
        let output = process::capture(&unpacked.join(PROGRAM), &["--version".as_ref()], self.variables, None)?;
        anyhow::ensure!(output.status.success(), "uv {version} does not run here");
        let place = folder.join(version);
        if place.exists() {
            // Without a program, else it had been found.
            std::fs::remove_dir_all(&place)?;
        }
        std::fs::rename(unpacked, &place)?;
        Ok(place.join(PROGRAM))
    }
}

/// The program of the newest version in `folder`.
fn newest(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: pep440_rs::Version = path.file_name()?.to_str()?.parse().ok()?;
        let program = path.join(PROGRAM);
        is_program(&program).then_some((version, program))
    });
    versions.max().map(|(_, program)| program)
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
fn version_of(wheel: &Path) -> Option<&str> {
    let version = wheel.file_stem()?.to_str()?.split('-').nth(1)?;
    version.parse::<pep440_rs::Version>().is_ok().then_some(version)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;
    use crate::runtime::python::testing;

    struct Machine {
        folder: tempfile::TempDir,
        variables: Variables,
    }

    impl Machine {
        /// One whose index is the folder `links`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut variables = testing::variables(&folder.path().join("cache"));
            std::fs::create_dir(folder.path().join("links")).unwrap();
            variables.set("PIP_NO_INDEX", "1");
            variables.set("PIP_FIND_LINKS", folder.path().join("links"));
            variables.remove("ENVO_OFFLINE");
            Self { folder, variables }
        }

        /// A wheel of uv whose program is a shell script.
        fn publish(&self, version: &str, script: &str) {
            let file = File::create(self.folder.path().join(format!("links/uv-{version}-py3-none-any.whl"))).unwrap();
            let mut archive = zip::ZipWriter::new(file);
            let options = zip::write::SimpleFileOptions::default();
            let dist_info = format!("uv-{version}.dist-info");
            for (name, text) in [
                (format!("uv-{version}.data/scripts/uv"), format!("#!/bin/sh\n{script}\n")),
                (format!("{dist_info}/METADATA"), format!("Metadata-Version: 2.1\nName: uv\nVersion: {version}\n")),
                (format!("{dist_info}/WHEEL"), "Wheel-Version: 1.0\nTag: py3-none-any\n".to_owned()),
                (format!("{dist_info}/RECORD"), String::new()),
            ] {
                archive.start_file(name, options).unwrap();
                archive.write_all(text.as_bytes()).unwrap();
            }
            archive.finish().unwrap();
        }

        /// What comes of asking for it, and what was told meanwhile.
        fn obtain(&self) -> (Result<PathBuf, String>, usize) {
            let told = Mutex::new(0);
            let discovery = PythonDiscovery::new(&self.variables, &[], None);
            let interpreter = testing::interpreter("python3").unwrap();
            let own = OwnUv {
                seeder: &Seeder::new(&self.variables),
                discovery: &discovery,
                variables: &self.variables,
                interrupt: &Interrupt::default(),
                tell: &|_| *told.lock().unwrap() += 1,
            };
            let result = own.obtain(&interpreter);
            (result, told.into_inner().unwrap())
        }

        fn place(&self, version: &str) -> PathBuf {
            self.folder.path().join("cache").join(FOLDER).join(version).join(PROGRAM)
        }
    }

    #[test]
    fn it_is_fetched_once_and_found_from_then_on() {
        let machine = Machine::new();
        machine.publish("7.2.0", "exit 0");
        assert_eq!(machine.obtain(), (Ok(machine.place("7.2.0")), 1));
        machine.publish("7.10.0", "exit 0");
        assert_eq!(machine.obtain(), (Ok(machine.place("7.2.0")), 0));
        let folder = machine.place("7.2.0").parent().unwrap().parent().unwrap().to_owned();
        let mut left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [LOCK, "7.2.0"]);
    }

    #[test]
    fn a_failure_is_remembered_until_the_settings_change() {
        let mut machine = Machine::new();
        let (first, told) = machine.obtain();
        assert!(first.unwrap_err().starts_with("uv could not be fetched: No matching distribution"));
        assert_eq!(told, 2);
        machine.publish("7.2.0", "exit 0");
        let (again, told) = machine.obtain();
        assert!(again.is_err() && told == 0);
        machine.variables.set("PIP_TIMEOUT", "7");
        assert_eq!(machine.obtain().0, Ok(machine.place("7.2.0")));
    }

    #[test]
    fn what_does_not_run_here_is_not_kept() {
        let machine = Machine::new();
        machine.publish("7.2.0", "exit 1");
        assert_eq!(machine.obtain().0, Err("uv could not be fetched: uv 7.2.0 does not run here".to_owned()));
        assert!(!machine.place("7.2.0").exists());
    }

    #[test]
    fn what_is_damaged_is_replaced() {
        let machine = Machine::new();
        machine.publish("7.2.0", "exit 0");
        std::fs::create_dir_all(machine.place("7.2.0").parent().unwrap()).unwrap();
        assert_eq!(machine.obtain().0, Ok(machine.place("7.2.0")));
    }

    #[test]
    fn nothing_is_fetched_where_that_is_forbidden() {
        let mut machine = Machine::new();
        machine.publish("7.2.0", "exit 0");
        machine.variables.set("ENVO_OFFLINE", "1");
        assert_eq!(machine.obtain(), (Err("there is no uv, and ENVO_OFFLINE is set".to_owned()), 0));
        machine.variables.remove("ENVO_OFFLINE");
        machine.variables.remove("PIP_FIND_LINKS");
        let reason = "there is no uv, and pip's settings forbid to ask an index".to_owned();
        assert_eq!(machine.obtain(), (Err(reason), 0));
    }

    #[test]
    fn only_one_process_fetches() {
        let machine = Machine::new();
        machine.publish("7.2.0", "exit 0");
        let folder = machine.folder.path().join("cache").join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        let other = File::create(folder.join(LOCK)).unwrap();
        other.lock().unwrap();
        assert_eq!(machine.obtain().0, Err("another process is fetching uv".to_owned()));
        drop(other);
        assert_eq!(machine.obtain().0, Ok(machine.place("7.2.0")));
    }

    #[test]
    fn names_of_wheels_lead_nowhere_else() {
        let version = |name: &str| version_of(Path::new(name)).map(str::to_owned);
        assert_eq!(version("uv-0.9.1-py3-none-manylinux_2_17_x86_64.whl").as_deref(), Some("0.9.1"));
        assert_eq!(version("uv-..-py3-none-any.whl"), None);
        assert_eq!(version("uv.whl"), None);
    }
}
