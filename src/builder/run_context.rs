//! What all environments of one run have in common.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use crate::builder::folders;
use crate::builder::journal::Journal;
use crate::builder::log_groups::LogGroups;
use crate::builder::phases::PhaseTimes;
use crate::builder::venv_redirect;
use crate::cli::options::RunOptions;
use crate::env_error::EnvError;
use crate::event::EnvPhase;
use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::install::choose;
use crate::lock::index::LockIndex;
use crate::model::environment::InstallerChoice;
use crate::model::{EnvVariables, Interpreter, InterpreterLookup, ProjectSettings};
use crate::report::observers::Observers;
use crate::runtime::python::PythonRuntime;

/// The run's surroundings; nothing in it changes while it lasts.
pub struct RunContext {
    pub project: ProjectSettings,
    pub options: RunOptions,
    /// The variables this process was started with.
    pub host: EnvVariables,
    /// 0 to 5, as in the options.
    pub verbosity: u8,
    pub interpreters: Arc<dyn InterpreterLookup>,
    /// Makes environments of Python.
    pub python: Arc<PythonRuntime>,
    /// Which program installs, whatever the configuration says (`ENVO_INSTALLER`).
    pub installer: Option<InstallerChoice>,
    /// What environments must be filled from (`--locked`).
    pub locks: Option<LockIndex>,
    pub interrupt: Interrupt,
    /// Whether the commands share the terminal with this process.
    pub grouping: ProcessGrouping,
    /// Only with `--result-json`.
    pub journal: Option<Journal>,
    pub reporter: Arc<dyn Reporter>,
    pub groups: LogGroups,
    /// Who sees everything besides, held back or not.
    pub observers: Observers,
    /// How long each environment did what.
    pub phases: PhaseTimes,
    /// Guards [`Run::lay_out_work_directory`].
    pub laid_out: Once,
    /// What uv has installed in this run already: it needs to ask no index for the same again.
    pub looked_up: Mutex<HashSet<String>>,
    /// Guards [`Run::uv`].
    pub uv: OnceLock<Result<PathBuf, String>>,
}

impl RunContext {
    /// Python's `sys.platform` of this machine.
    pub fn platform() -> &'static str {
        match std::env::consts::OS {
            "macos" => "darwin",
            "windows" => "win32",
            other => other,
        }
    }

    /// The `uv` program: beside envo or on PATH, else envo's own, which may have to be fetched with what `interpreter`
    /// brings. Looked for when something is first installed.
    pub fn uv(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        let search = || {
            let found = choose::find_uv(std::env::current_exe().ok().as_deref(), &self.host);
            found.map_or_else(|| self.python.own_installer(interpreter), Ok)
        };
        self.uv.get_or_init(search).clone()
    }

    /// Has uv install an interpreter that fits one of `specs`; `tell` hears what, before it does.
    pub fn install_interpreter(&self, specs: &[String], tell: impl Fn(&str)) -> Result<Arc<Interpreter>, String> {
        let uv = || match self.interpreters.uv() {
            Some(uv) => Ok(uv),
            None => self.uv(&*self.python.host().ok_or("there is no uv, and no Python to fetch it with")?),
        };
        self.python.install_interpreter(specs, uv, tell)
    }

    /// Whether uv has installed what `key` stands for in this run.
    pub fn is_looked_up(&self, key: &str) -> bool {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// uv has installed what `key` stands for.
    pub fn cached_lookup(&self, key: String) {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// The `uv` program for environments that tox-uv would make: they need one.
    pub fn needed_uv(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        self.interpreters.uv().map_or_else(|| self.uv(interpreter), Ok)
    }

    /// Makes the run's folders for temporary files and marks the work directory; only the first call does anything.
    pub fn create_work_directory(&self) -> Result<(), EnvError> {
        let mut result = Ok(());
        self.laid_out.call_once(|| {
            let temp_dir = &self.project.temp_dir;
            if temp_dir.starts_with(&self.project.work_dir) && temp_dir.is_symlink() {
                result = fs_err::remove_file(temp_dir);
            }
            let made = folders::ensure_private(temp_dir);
            let marked = folders::mark_work_directory(&self.project.work_dir);
            result = std::mem::replace(&mut result, Ok(())).and(made).and(marked);
        });
        Ok(result?)
    }

    /// The environment does something else from now on.
    pub(super) fn enter(&self, environment: &str, phase: EnvPhase) {
        self.phases.enter(environment, phase);
        self.reporter.event(RunEvent::Phase { environment: environment.to_owned(), phase });
    }

    /// Takes the `.venv` redirect away from an environment that is about to be rebuilt.
    pub(super) fn forget_redirect(&self, env_dir: &Path) {
        if self.project.venv_redirect != Some(false) {
            venv_redirect::forget(&self.project.root, env_dir);
        }
    }
}
