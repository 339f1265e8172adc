//! Tool environments of envo's own, in its cache: a virtualenv of a certain version, which makes environments for Pythons
//! that envo cannot make them for itself, or because the configuration asks for it (`virtualenv_spec`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::seed::{Seeder, Sources, pip_variables, run};
use super::virtualenv_settings::VirtualenvSettings;
use super::{PythonDiscovery, create, seed};
use crate::model::environment::{Creation, Seeds};
use crate::model::{Interpreter, InterpreterLookup, Variables};
use crate::runtime::cache;
use crate::runtime::scratch::Scratch;

const FOLDER: &str = "tools-1";

/// The last virtualenv that makes environments for Python 3.6 and older.
pub const LAST_FOR_OLD_PYTHONS: &str = "virtualenv<20.22.0";

/// On which Pythons a virtualenv is run, the likeliest to suit an old one first.
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

/// What tools are made with.
#[derive(Debug, Clone, Copy)]
pub struct Workshop<'a> {
    pub seeder: &'a Seeder,
    pub discovery: &'a PythonDiscovery,
    /// This process's, with what the environment says about virtualenv.
    pub variables: &'a Variables,
}

impl Workshop<'_> {
    /// Makes an environment with the virtualenv that `requirement` asks for.
    ///
    /// # Errors
    /// When that virtualenv cannot be installed, or fails.
    pub fn create(
        &self,
        requirement: &str,
        env_dir: &Path,
        interpreter: &Interpreter,
        creation: &Creation,
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

    /// Whether [`Workshop::create`] has to install a virtualenv first, which takes a while.
    pub fn must_install(&self, requirement: &str) -> bool {
        self.host().and_then(|host| self.place(requirement, &host)).is_none_or(|place| !place.exists())
    }

    fn host(&self) -> Option<std::sync::Arc<Interpreter>> {
        HOSTS.iter().find_map(|spec| self.discovery.find(&[(*spec).to_owned()]))
    }

    fn place(&self, requirement: &str, host: &Interpreter) -> Option<PathBuf> {
        let executable = host.system_executable.to_string_lossy();
        let key = cache::key([requirement.as_bytes(), executable.as_bytes(), host.version_text.as_bytes()]);
        Some(cache::folder(self.variables)?.join(FOLDER).join(format!("virtualenv-{key}")))
    }

    /// The Python of a tool environment in which that virtualenv is installed.
    fn virtualenv(&self, requirement: &str) -> Result<PathBuf> {
        let Some(host) = self.host() else { bail!("`{requirement}` needs a Python 3, and there is none") };
        let place =
            self.place(requirement, &host).context("there is no folder for envo's cache: set ENVO_CACHE_DIR")?;
        let python = place.join("bin").join("python");
        if python.exists() {
            return Ok(python);
        }
        let parent = place.parent().unwrap_or(&place);
        fs_err::create_dir_all(parent)?;
        // Only a finished environment gets the final name. Nothing in it that is used depends on its name.
        let unfinished = Scratch::new_in(parent, ".virtualenv-")?;
        let creation = Creation {
            system_site_packages: false,
            always_copy: false,
            download: false,
            virtualenv_spec: String::new(),
            seeds: Seeds::Virtualenv,
            prompt: None,
        };
        create::create(unfinished.path(), &host, &creation, &VirtualenvSettings::default())?;
        let names = seed::names(&host, creation.seeds, &VirtualenvSettings::default());
        let sources = Sources { newest: false, discovery: self.discovery, own: None };
        self.seeder.seed(unfinished.path(), &host, &names, sources)?;
        let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement];
        let own_python = unfinished.path().join("bin").join("python");
        run(&own_python, &options.map(OsString::from), &pip_variables(self.variables), &self.seeder.interrupt)
            .with_context(|| format!("cannot install `{requirement}`"))?;
        match std::fs::rename(unfinished.path(), &place) {
            // Another process was faster.
            Err(_) if python.exists() => {}
            result => result.with_context(|| format!("cannot write `{}`", place.display()))?,
        }
        Ok(python)
    }
}
