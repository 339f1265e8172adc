//! Holds what all environments of one run share.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, OnceLock};

use parking_lot::Mutex;

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
use crate::lockfile::index::LockIndex;
use crate::model::environment::InstallerChoice;
use crate::model::{EnvVariables, Interpreter, InterpreterLookup, ProjectSettings};
use crate::redaction::Redactor;
use crate::report::observers::Observers;
use crate::runtime::python::PythonRuntime;

/// Shared context of a run; does not change during the run.
pub struct RunContext {
    pub project: ProjectSettings,
    pub options: RunOptions,
    /// The variables this process was started with.
    pub host: EnvVariables,
    /// 0 to 5, as in the options.
    pub verbosity: u8,
    pub interpreters: Arc<dyn InterpreterLookup>,
    /// Creates Python environments.
    pub python: Arc<PythonRuntime>,
    /// The installer to use regardless of the configuration (`ENVO_INSTALLER`).
    pub installer: Option<InstallerChoice>,
    /// The locks environments must be filled from (`--locked`).
    pub locks: Option<LockIndex>,
    pub interrupt: Interrupt,
    /// Whether commands share the terminal with this process.
    pub grouping: ProcessGrouping,
    /// Only with `--result-json`.
    pub journal: Option<Journal>,
    pub output: RunOutput,
    /// Guards [`RunContext::create_work_directory`].
    pub laid_out: Once,
    /// Keys of what uv has installed in this run: installing the same again needs no index.
    pub looked_up: Mutex<HashSet<String>>,
    /// Guards [`RunContext::uv`].
    pub uv: OnceLock<Result<PathBuf, String>>,
}

/// The receivers of a run's events.
pub struct RunOutput {
    pub reporter: Arc<dyn Reporter>,
    pub groups: LogGroups,
    /// Receive every event, whether its output is held back or not.
    pub observers: Observers,
    /// How long each environment spent in each phase.
    pub phases: PhaseTimes,
    /// Hides the run's secrets.
    pub redactor: Redactor,
}

impl RunContext {
    /// Python's `sys.platform` of this machine.
    pub fn platform() -> &'static str {
        crate::platform::system::PYTHON_NAME
    }

    /// The `uv` program: next to envo or on PATH, else envo's own, which may have to be fetched with `interpreter`.
    /// Looked for at the first installation.
    pub fn uv(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        let search = || {
            let found = choose::find_uv(std::env::current_exe().ok().as_deref(), &self.host);
            found.map_or_else(|| self.python.own_installer(interpreter), Ok)
        };
        self.uv.get_or_init(search).clone()
    }

    /// Has uv install an interpreter that satisfies one of `specs`; `tell` is called with it first.
    pub fn install_interpreter(&self, specs: &[String], tell: impl Fn(&str)) -> Result<Arc<Interpreter>, String> {
        let uv = || match self.interpreters.uv() {
            Some(uv) => Ok(uv),
            None => self.uv(&*self.python.host().ok_or("there is no uv, and no Python to fetch it with")?),
        };
        self.python.install_interpreter(specs, uv, tell)
    }

    /// Whether uv has installed `key` in this run.
    pub fn is_looked_up(&self, key: &str) -> bool {
        self.looked_up.lock().contains(key)
    }

    /// Records that uv has installed `key`.
    pub fn cached_lookup(&self, key: String) {
        self.looked_up.lock().insert(key);
    }

    /// The `uv` program for tox-uv's environments, which require one.
    pub fn needed_uv(&self, interpreter: &Interpreter) -> Result<PathBuf, String> {
        self.interpreters.uv().map_or_else(|| self.uv(interpreter), Ok)
    }

    /// Creates the run's temporary folders and marks the work directory; only the first call has an effect.
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

    /// The environment enters another phase.
    pub(super) fn enter(&self, environment: &str, phase: EnvPhase) {
        self.output.phases.enter(environment, phase);
        self.output.reporter.event(RunEvent::Phase { environment: environment.to_owned(), phase });
    }

    /// Removes the `.venv` redirect to an environment that is about to be rebuilt.
    pub(super) fn forget_redirect(&self, env_dir: &Path) {
        if self.project.venv_redirect != Some(false) {
            venv_redirect::forget(&self.project.root, env_dir);
        }
    }
}
