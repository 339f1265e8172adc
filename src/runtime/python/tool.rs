//! Manages virtualenv installations in envo's cache, which create environments for Pythons that envo itself does not
//! support, or because the configuration requires one (`virtualenv_spec`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::model::environment::{CreationSettings, Seeds};
use crate::model::{EnvVariables, Interpreter, InterpreterLookup};
use crate::runtime::cache;
use crate::runtime::checksums;
use crate::runtime::python::PythonDiscovery;
use crate::runtime::python::create;
use crate::runtime::python::seed;
use crate::runtime::python::seed::{SeedSources, Seeder, pip_variables, run};
use crate::runtime::python::virtualenv_settings::VirtualenvSettings;
use crate::scratch::Scratch;

const FOLDER: &str = "tools-2";
/// The approximate size of a tool environment in bytes.
const ROOM: u64 = 64 << 20;

/// The last virtualenv that supports Python 3.6 and older.
pub const LAST_FOR_OLD_PYTHONS: &str = "virtualenv<20.22.0";

/// Pythons that may run a virtualenv, the most suitable for an old one first.
const HOSTS: [&str; 9] = [
    "cpython3.11",
    "cpython3.10",
    "cpython3.9",
    "cpython3.12",
    "cpython3.8",
    "cpython3.13",
    "cpython3.14",
    "cpython3.7",
    ">=3.6",
];

/// Resources for building tools.
#[derive(Debug, Clone, Copy)]
pub struct ToolBuilder<'a> {
    pub seeder: &'a Seeder,
    pub discovery: &'a PythonDiscovery,
    /// This process's variables, with the environment's virtualenv settings.
    pub variables: &'a EnvVariables,
}

impl ToolBuilder<'_> {
    /// Creates an environment with the virtualenv that `requirement` names.
    pub fn create(
        &self,
        requirement: &str,
        env_dir: &Path,
        interpreter: &Interpreter,
        creation: &CreationSettings,
    ) -> Result<()> {
        let python = self.virtualenv(requirement)?;
        let mut variables = pip_variables(self.variables);
        let switch = |value: bool| if value { "True" } else { "False" };
        if variables.get("VIRTUALENV_NO_PERIODIC_UPDATE").is_none() {
            variables.set("VIRTUALENV_NO_PERIODIC_UPDATE", "True");
        }
        variables.set("VIRTUALENV_CLEAR", "False");
        variables.set("VIRTUALENV_NO_VENV_REDIRECT", "True");
        variables.set("VIRTUALENV_SYSTEM_SITE_PACKAGES", switch(creation.system_site_packages));
        variables.set("VIRTUALENV_COPIES", switch(creation.always_copy));
        variables.set("VIRTUALENV_DOWNLOAD", switch(creation.download));
        let mut option = OsString::from("--python=");
        option.push(&interpreter.system_executable);
        run(&python, &["-m".into(), "virtualenv".into(), option, env_dir.into()], &variables, &self.seeder.interrupt)
            .with_context(|| format!("`{requirement}` could not make `{}`", env_dir.display()))
    }

    /// Whether [`ToolBuilder::create`] has to install a virtualenv first, which takes a while.
    pub fn must_install(&self, requirement: &str) -> bool {
        self.host().is_none_or(|host| self.existing(&Self::name(requirement, &host)).is_none())
    }

    fn host(&self) -> Option<std::sync::Arc<Interpreter>> {
        HOSTS.iter().find_map(|spec| self.discovery.find(&[(*spec).to_owned()]))
    }

    /// The tool's folder, in the cache or its replacement in this run.
    fn existing(&self, name: &str) -> Option<PathBuf> {
        self.seeder.roots().map(|root| root.join(FOLDER).join(name)).find(|location| checksums::hold(location))
    }

    fn name(requirement: &str, host: &Interpreter) -> String {
        let executable = host.system_executable.to_string_lossy();
        let key = cache::key([requirement.as_bytes(), executable.as_bytes(), host.version_text.as_bytes()]);
        format!("virtualenv-{key}")
    }

    /// The Python of a tool environment in which that virtualenv is installed.
    fn virtualenv(&self, requirement: &str) -> Result<PathBuf> {
        let Some(host) = self.host() else { bail!("`{requirement}` needs a Python 3, but none was found") };
        let name = Self::name(requirement, &host);
        let python = |location: &Path| location.join("bin").join("python");
        if let Some(location) = self.existing(&name) {
            return Ok(python(&location));
        }
        let location = self.seeder.root_with_room(FOLDER, ROOM)?.join(name);
        let parent = location.parent().unwrap_or(&location);
        // Only a finished environment gets the final name. None of the files in use depend on it.
        let unfinished = Scratch::new_in(parent, ".virtualenv-")?;
        let creation = CreationSettings {
            recreate: false,
            system_site_packages: false,
            always_copy: false,
            download: false,
            virtualenv_spec: String::new(),
            seeds: Seeds::Virtualenv,
            prompt: None,
        };
        create::create(unfinished.path(), &host, &creation, &VirtualenvSettings::default())?;
        let names = seed::names(&host, creation.seeds, &VirtualenvSettings::default());
        let sources = SeedSources { newest: false, discovery: self.discovery, own: None };
        self.seeder.seed(unfinished.path(), &host, &names, sources)?;
        let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement];
        run(
            &python(unfinished.path()),
            &options.map(OsString::from),
            &pip_variables(self.variables),
            &self.seeder.interrupt,
        )
        .with_context(|| format!("cannot install `{requirement}`"))?;
        checksums::publish(unfinished.path(), &location)
            .with_context(|| format!("cannot write `{}`", location.display()))?;
        Ok(python(&location))
    }
}
