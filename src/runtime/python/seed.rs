//! Installs the initial packages of a new environment (pip, and for older Pythons setuptools and wheel, like
//! virtualenv) and chooses the source of their wheels: the interpreter itself, envo's cache, another interpreter, the
//! index.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{self, Spawn};
use crate::model::environment::Seeds;
use crate::model::{EnvVariables, Interpreter};
use crate::runtime::cache;
use crate::runtime::checksums;
use crate::runtime::python::PythonDiscovery;
use crate::runtime::python::embedded;
use crate::runtime::python::virtualenv_settings::VirtualenvSettings;
use crate::runtime::python::wheel::{WheelDestination, WheelName, WheelTree};
use crate::scratch::Scratch;

/// Wheels fetched from an index: a folder per Python, with a folder per distribution in it.
const DOWNLOADS: &str = "downloads-2";
/// Unpacked wheels, each in one file.
const TREES: &str = "trees-2";

/// Older ones do not know `manylinux2014`, without which few of today's wheels can be installed.
const OLDEST_USEFUL_PIP: [u64; 2] = [19, 3];

/// How much older an interpreter may be whose bundled pip is used for another one: a much older pip fails on a newer
/// Python, and a newer one on an older Python.
const OLDER_MINORS: u32 = 2;

/// Variables that a child running pip must not inherit: they would redirect the installation.
const MISLEADING: [&str; 7] =
    ["PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_CONSTRAINT"];

/// Installs pip and its companions into environments.
#[derive(Debug)]
pub struct Seeder {
    cache: Option<PathBuf>,
    variables: EnvVariables,
    /// Used instead of the cache if that cannot be written.
    scratch: OnceLock<Scratch>,
    /// Ends started processes when the user interrupts.
    pub(super) interrupt: Interrupt,
    /// Why the cache cannot be written.
    trouble: OnceLock<String>,
}

impl Seeder {
    pub fn new(variables: &EnvVariables) -> Self {
        Self {
            cache: cache::folder(variables),
            variables: pip_variables(variables),
            scratch: OnceLock::new(),
            interrupt: Interrupt::default(),
            trouble: OnceLock::new(),
        }
    }

    /// Installs `names` into the environment of `interpreter` at `env_dir`, whose folders exist.
    ///
    /// # Errors
    /// If no pip is available, or a file cannot be written. An environment without setuptools and wheel is still
    /// usable, so it is created without them if they are unavailable; their names are returned.
    pub fn seed(
        &self,
        env_dir: &Path,
        interpreter: &Interpreter,
        names: &[&'static str],
        sources: SeedSources<'_>,
    ) -> Result<Vec<&'static str>> {
        let location = WheelDestination {
            env_dir,
            site_packages: &interpreter.layout.purelib,
            major: interpreter.version.major,
            minor: interpreter.version.minor,
        };
        clear_leftovers(&env_dir.join(&interpreter.layout.purelib), names);
        let wheels = self.wheels(names, interpreter, sources)?;
        wheels.iter().try_for_each(|wheel| self.install(wheel, location))?;
        let has = |name: &str| {
            wheels.iter().filter_map(|wheel| WheelName::parse(wheel)).any(|wheel| wheel.distribution == name)
        };
        Ok(names.iter().copied().filter(|name| !has(name)).collect())
    }

    fn install(&self, wheel: &Path, location: WheelDestination<'_>) -> Result<()> {
        let kept = match &self.cache {
            Some(cache) => Some(cache.join(TREES).join(WheelTree::name(wheel)?)),
            None => None,
        };
        if let Some(tree) = kept.as_deref().and_then(WheelTree::read) {
            return tree.install(location);
        }
        let tree = WheelTree::unpack(wheel)?;
        if let Some(kept) = kept {
            self.is_kept(cache::write_atomically(&kept, tree.bytes()));
        }
        tree.install(location)
    }

    /// Whether `result` succeeded in writing the cache; remembers the error if not.
    pub fn is_kept(&self, result: std::io::Result<()>) -> bool {
        if let Err(error) = &result {
            let folder = self.cache.as_deref().unwrap_or(Path::new("")).display();
            let _ = self.trouble.set(format!("envo's cache cannot be written, going on without it: {folder}: {error}"));
        }
        result.is_ok()
    }

    /// Why the cache cannot be written, if writing it failed.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Folders with kept files: the cache, and its replacement in this run.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.cache.as_deref().into_iter().chain(self.scratch.get().map(Scratch::path))
    }

    /// The folder `name` of the cache, or of its replacement if the cache has no space for that many bytes.
    pub fn root_with_room(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        if let Some(folder) = self.cache.as_ref().map(|cache| cache.join(name))
            && self.is_kept(cache::check_room(&folder, bytes))
        {
            return Ok(folder);
        }
        let folder = self.scratch()?.join(name);
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A temporary folder for this run, for files that cannot be kept in the cache.
    fn scratch(&self) -> Result<&Path> {
        if self.scratch.get().is_none() {
            let _ = self.scratch.set(Scratch::temporary("envo-seeds-").context("no folder can be written to")?);
        }
        Ok(self.scratch.get().context("no folder can be written to")?.path())
    }

    /// A wheel of each available distribution; pip's is required.
    fn wheels(
        &self,
        names: &[&'static str],
        interpreter: &Interpreter,
        sources: SeedSources<'_>,
    ) -> Result<Vec<PathBuf>> {
        if sources.newest {
            let fresh = self.download(names, interpreter)?;
            return Ok(names.iter().filter_map(|name| newest_wheel(name, [&fresh])).collect());
        }
        let hosts = sources.discovery.hosts_of_virtualenv();
        let mut embedded: Vec<Option<PathBuf>> =
            names.iter().map(|name| embedded::wheel(&hosts, name, interpreter)).collect();
        if embedded.first().is_some_and(Option::is_none)
            && let Some(folder) = sources.own.and_then(|own| own())
        {
            embedded = names.iter().map(|name| embedded::newest([folder.clone()], name, interpreter)).collect();
        }
        let at_hand = |name: &&'static str| {
            let at = names.iter().position(|one| one == name);
            at.and_then(|at| embedded[at].clone())
                .or_else(|| newest_wheel(name, &interpreter.layout.bundled_wheels).filter(|wheel| is_useful(wheel)))
                .or_else(|| self.downloaded(name, interpreter))
        };
        let mut missing: Vec<&'static str> = names.iter().copied().filter(|name| at_hand(name).is_none()).collect();
        let borrowed = missing.contains(&"pip").then(|| borrowed_pip(interpreter, sources.discovery)).flatten();
        if borrowed.is_some() {
            missing.retain(|name| *name != "pip");
        }
        if !missing.is_empty() {
            let failed =
                self.download(&missing, interpreter).and_then(|fresh| self.keep(&missing, interpreter, &fresh)).err();
            let has_pip = !names.contains(&"pip") || at_hand(&"pip").or_else(|| borrowed.clone()).is_some();
            if let Some(error) =
                failed.filter(|_| !has_pip && newest_wheel("pip", &interpreter.layout.bundled_wheels).is_none())
            {
                return Err(error.context(format!(
                    "`{}` comes without pip, and no other pip is available",
                    interpreter.system_executable.display()
                )));
            }
        }
        let last_resort = |name: &&'static str| newest_wheel(name, &interpreter.layout.bundled_wheels);
        Ok(names
            .iter()
            .filter_map(|name| {
                at_hand(name).or_else(|| borrowed.clone().filter(|_| *name == "pip")).or_else(|| last_resort(name))
            })
            .collect())
    }

    /// Whether the user forbids envo to fetch files for itself (`ENVO_OFFLINE`).
    pub fn is_offline(&self) -> bool {
        let value = self.variables.text("ENVO_OFFLINE").unwrap_or_default().to_lowercase();
        !matches!(value.as_str(), "" | "0" | "false" | "no" | "off")
    }

    /// Fetches the wheel for `requirement` from the index into `folder`.
    ///
    /// # Errors
    /// If there is no pip, no such wheel, or the user interrupts it; the error ends with pip's output.
    pub fn fetch(
        &self,
        requirement: &str,
        folder: &Path,
        (interpreter, sources): (&Interpreter, SeedSources<'_>),
        interrupt: &Interrupt,
    ) -> Result<()> {
        let pip = self.wheels(&["pip"], interpreter, sources)?;
        let pip = pip.first().context("there is no pip")?.join("pip").into_os_string();
        let options = [
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "--no-cache-dir",
            "--dest",
        ];
        let mut arguments = vec![pip];
        arguments.extend(options.map(OsString::from));
        arguments.extend([folder.into(), requirement.into()]);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let python = &interpreter.system_executable;
        let mut variables = self.variables.clone();
        if variables.get("PIP_RETRIES").is_none() {
            // An optional file is not worth a long wait.
            variables.set("PIP_RETRIES", "1");
        }
        let (code, text) = process::run_until_interrupt(python, &arguments, &variables, interrupt)
            .with_context(|| format!("cannot run `{}`", python.display()))?;
        if code != 0 {
            bail!("{}", String::from_utf8_lossy(&text).trim_end());
        }
        Ok(())
    }

    /// Fetches wheels for `interpreter` from the index, with any pip that can be run, into a folder that is kept for
    /// this run.
    fn download(&self, names: &[&'static str], interpreter: &Interpreter) -> Result<PathBuf> {
        if self.is_offline() {
            bail!("{} would have to be fetched, and ENVO_OFFLINE is set", names.join(", "));
        }
        let folder = tempfile::tempdir_in(self.scratch()?)?.keep();
        let pip = match newest_wheel("pip", &interpreter.layout.bundled_wheels) {
            // A wheel of pip can be run directly.
            Some(wheel) => vec![wheel.join("pip").into_os_string()],
            None => vec!["-m".into(), "pip".into()],
        };
        let options = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"];
        let mut arguments: Vec<OsString> = pip;
        arguments.extend(options.map(OsString::from));
        if !names.contains(&"pip") {
            // An environment is usable without them, so do not wait long for a network that does not answer.
            arguments.extend(["--retries", "3", "--timeout", "10"].map(OsString::from));
        }
        arguments.extend(["--dest".into(), folder.as_os_str().to_owned()]);
        arguments.extend(names.iter().map(OsString::from));
        run(&interpreter.system_executable, &arguments, &self.variables, &self.interrupt)
            .with_context(|| format!("cannot fetch {} from the index", names.join(", ")))?;
        Ok(folder)
    }

    /// Keeps wheels downloaded into `fresh`: in the cache, or for this run if that cannot be written.
    fn keep(&self, names: &[&str], interpreter: &Interpreter, fresh: &Path) -> Result<()> {
        for name in names {
            let Some(wheel) = newest_wheel(name, [fresh]) else { continue };
            let put = |root: &Path| {
                let location = downloads(root, name, interpreter);
                let parent = location.parent().unwrap_or(root);
                std::fs::create_dir_all(parent)?;
                let unfinished = Scratch::new_in(parent, ".unfinished-")?;
                std::fs::copy(&wheel, unfinished.path().join(wheel.file_name().unwrap_or_default()))?;
                checksums::publish(unfinished.path(), &location)
            };
            if !self.cache.as_deref().is_some_and(|cache| self.is_kept(put(cache))) {
                put(self.scratch()?)?;
            }
        }
        Ok(())
    }

    /// The wheel that [`Seeder::keep`] kept.
    fn downloaded(&self, name: &str, interpreter: &Interpreter) -> Option<PathBuf> {
        self.roots().find_map(|root| {
            let location = downloads(root, name, interpreter);
            checksums::hold(&location).then(|| newest_wheel(name, [location]))?
        })
    }
}

fn downloads(root: &Path, name: &str, interpreter: &Interpreter) -> PathBuf {
    root.join(DOWNLOADS).join(interpreter.dotted_version()).join(name)
}

/// Sources of seeds besides the interpreter and the cache.
#[derive(Clone, Copy)]
pub struct SeedSources<'a> {
    /// Whether to fetch the newest versions from the index, even if others are available (`download = true`).
    pub newest: bool,
    pub discovery: &'a PythonDiscovery,
    /// Finds the folder of the wheels that envo keeps for this ([`crate::runtime::python::own_seeds`]), or fetches them; `None`: what is
    /// there has to do.
    pub own: Option<&'a dyn Fn() -> Option<PathBuf>>,
}

/// The seeds of a new environment of `interpreter`: pip; with virtualenv, setuptools up to Python 3.11 and wheel up to
/// 3.8; with uv both up to 3.11, and packaging, which today's wheel requires; without those that the settings leave
/// out.
pub fn names(interpreter: &Interpreter, seeds: Seeds, settings: &VirtualenvSettings) -> Vec<&'static str> {
    let version = (interpreter.version.major, interpreter.version.minor);
    let (setuptools, wheel) = match seeds {
        Seeds::None => return Vec::new(),
        Seeds::Uv => {
            return if version < (3, 12) { vec!["pip", "setuptools", "wheel", "packaging"] } else { vec!["pip"] };
        }
        Seeds::Virtualenv | Seeds::Pip if settings.no_seed => return Vec::new(),
        Seeds::Pip => (false, false),
        Seeds::Virtualenv => (version < (3, 12) || settings.setuptools, version < (3, 9)),
    };
    let wanted = [("pip", !settings.no_pip), ("setuptools", setuptools && !settings.no_setuptools), ("wheel", wheel)];
    wanted.into_iter().filter_map(|(name, wanted)| wanted.then_some(name)).collect()
}

fn newest_wheel(name: &str, folders: impl IntoIterator<Item = impl AsRef<Path>>) -> Option<PathBuf> {
    folders.into_iter().find_map(|folder| {
        let entries = std::fs::read_dir(folder.as_ref()).ok()?;
        entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let wheel = WheelName::parse(&path).filter(|wheel| wheel.distribution == name)?;
                Some((wheel.version, path))
            })
            .max()
            .map(|(_, path)| path)
    })
}

/// Whether a bundled wheel is recent enough: its pip must understand today's wheels, and wheels bundled with an older
/// pip are as old.
fn is_useful(wheel: &Path) -> bool {
    let pip = wheel.parent().and_then(|folder| newest_wheel("pip", [folder]));
    pip.and_then(|pip| WheelName::parse(&pip)).is_none_or(|pip| pip.version.release()[..] >= OLDEST_USEFUL_PIP[..])
}

/// The pip of an interpreter of the same version, or else of one a little older.
fn borrowed_pip(interpreter: &Interpreter, discovery: &PythonDiscovery) -> Option<PathBuf> {
    let own = (interpreter.version.major == 3).then_some(interpreter.version.minor)?;
    (own.saturating_sub(OLDER_MINORS)..=own).rev().find_map(|minor| {
        discovery
            .find_all(&format!("cpython3.{minor}"))
            .find_map(|other| newest_wheel("pip", &other.layout.bundled_wheels).filter(|wheel| is_useful(wheel)))
    })
}

/// Removes leftovers of the distributions from an interrupted creation, so that no file of another version remains.
fn clear_leftovers(site_packages: &Path, names: &[&str]) {
    let Ok(entries) = std::fs::read_dir(site_packages) else { return };
    for entry in entries.filter_map(std::result::Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let belongs = names.iter().any(|distribution| {
            name.strip_prefix(distribution)
                .is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && rest.ends_with(".dist-info")))
        });
        if belongs {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The variables with which pip installs only into the given environment.
pub fn pip_variables(variables: &EnvVariables) -> EnvVariables {
    let mut variables = variables.clone();
    for name in MISLEADING {
        variables.remove(name);
    }
    variables.set("PIP_USER", "0");
    variables
}

/// Runs a Python and waits for it.
pub fn run(python: &Path, arguments: &[OsString], variables: &EnvVariables, interrupt: &Interrupt) -> Result<()> {
    let spawn = Spawn::new(python, arguments, variables.clone());
    let (code, out, error) =
        process::finish_or_kill(spawn, interrupt).with_context(|| format!("cannot run `{}`", python.display()))?;
    if code != 0 {
        let text = [out, error].concat();
        bail!("`{}` failed:\n{}", python.display(), String::from_utf8_lossy(&text).trim_end());
    }
    Ok(())
}
