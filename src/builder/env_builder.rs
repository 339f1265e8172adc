//! Creates one environment, or updates an existing one, so that its commands can run: with the right interpreter,
//! without leftovers of the last run, and recreated if it is out of date. Its contents are up to the callers
//! ([`crate::builder::contents`], [`crate::builder::packaging_env`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::builder::environment_folders;
use crate::builder::folders;
use crate::builder::journal::EnvironmentJournal;
use crate::builder::layer::{self, LayerBase};
use crate::builder::lock::EnvLock;
use crate::builder::prebuilt::{BuildPhase, Prebuilt};
use crate::builder::preconditions::check_platform;
use crate::builder::run_context::RunContext;
use crate::builder::runtime_swap::ReinstalledRuntime;
use crate::builder::runtimes::RuntimeInstallation;
use crate::builder::stamp;
use crate::builder::stamp::{Stamp, section};
use crate::builder::venv_redirect;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::EnvPhase;
use crate::event::{Level, Reporter};
use crate::execute;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::session::{AllowedPrograms, CommandCapture, CommandSession};
use crate::install::reasons;
use crate::install::uv_sync;
use crate::model::{EnvLayout, Environment, Interpreter};
use crate::runtime;
use crate::runtime::python;

/// The lock tox takes on packaging environments.
const TOX_LOCK: &str = "file.lock";

/// Builds one environment.
pub struct EnvBuilder {
    pub run: Arc<RunContext>,
    pub environment: Arc<Environment>,
    /// Receives this environment's messages; in a parallel run they are held back.
    pub reporter: Arc<dyn Reporter>,
    pub journal: Option<Arc<EnvironmentJournal>>,
    /// Numbers the log files.
    pub log_number: Arc<AtomicUsize>,
    pub build_phase: BuildPhase,
    /// The environment that this one is a layer on.
    pub base: Option<Arc<LayerBase>>,
}

/// A virtual environment that exists and has the right interpreter.
pub struct CreatedEnv {
    pub stamp: Stamp,
    /// `None`: its runtimes do not need one.
    python: Option<EnvPython>,
    pub languages: Vec<RuntimeInstallation>,
    /// Runtimes that were reinstalled in this run.
    pub renewed: Vec<ReinstalledRuntime>,
    /// Runs commands in it.
    pub session: CommandSession,
}

/// The Python of an environment.
pub struct EnvPython {
    pub interpreter: Arc<Interpreter>,
    pub layout: EnvLayout,
}

impl CreatedEnv {
    pub fn python(&self) -> Result<&EnvPython, EnvError> {
        let missing = || {
            let name = &self.session.environment;
            EnvError::Fail(format!("{name} has no Python, which this needs: add `python` to its `runtime`"))
        };
        self.python.as_ref().ok_or_else(missing)
    }

    pub fn has_python(&self) -> bool {
        self.python.is_some()
    }
}

/// The part of [`EnvBuilder::prepare`] that depends on the kind of environment.
pub trait EnvContents {
    /// Installs the contents. May return [`EnvError::Recreate`].
    fn install(&mut self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError>;

    /// Called before the environment is removed.
    fn before_removal(&mut self, env: &EnvBuilder);

    /// Called when the environment was removed or, with `asked` (at the user's request), did not exist.
    fn after_removal(&mut self, env: &EnvBuilder, asked: bool);
}

impl EnvBuilder {
    pub fn new(run: Arc<RunContext>, mut environment: Arc<Environment>, reporter: Arc<dyn Reporter>) -> Self {
        if run.locks.is_some() && !environment.runtimes.is_empty() {
            let name = environment.name.clone();
            for requirement in &mut Arc::make_mut(&mut environment).runtimes {
                let folder = runtime::locking::folder(&run.project.lock_dir, &requirement.name, &name);
                requirement.lock = folder.is_dir().then_some(folder);
            }
        }
        let journal = run.journal.as_ref().map(|journal| journal.environment(&environment.name));
        Self {
            run,
            environment,
            reporter,
            journal,
            log_number: Arc::default(),
            build_phase: BuildPhase::Whole,
            base: None,
        }
    }

    /// Builds the environment as a layer.
    #[must_use]
    pub fn on(self, base: Option<Arc<LayerBase>>) -> Self {
        Self { base, ..self }
    }

    /// Builds the environment before its run: nothing is shown, and finished work is recorded in `prebuilt`.
    #[must_use]
    pub fn prebuilding(self, prebuilt: Arc<Prebuilt>) -> Self {
        Self { reporter: prebuilt.output(), build_phase: BuildPhase::Prebuild(prebuilt), ..self }
    }

    /// Builds the environment in its run, after work on it ahead, which is reported now.
    #[must_use]
    pub fn after(self, prebuilt: Arc<Prebuilt>) -> Self {
        self.log_number.store(prebuilt.log_number(), Ordering::Relaxed);
        self.before_installation();
        prebuilt.report(self.reporter.as_ref());
        Self { build_phase: BuildPhase::AfterPrebuild(prebuilt), ..self }
    }

    /// The same builder with another reporter.
    #[must_use]
    pub fn with_reporter(&self, reporter: Arc<dyn Reporter>) -> Self {
        Self {
            run: Arc::clone(&self.run),
            environment: Arc::clone(&self.environment),
            reporter,
            journal: self.journal.clone(),
            log_number: Arc::clone(&self.log_number),
            build_phase: self.build_phase.clone(),
            base: self.base.clone(),
        }
    }

    /// Marks the work so far as valid, even if later work fails.
    pub fn checkpoint(&self) {
        if let BuildPhase::Prebuild(prebuilt) = &self.build_phase {
            prebuilt.keep(self);
        }
    }

    /// The interrupt that stops the work.
    pub fn interrupt(&self) -> &Interrupt {
        match &self.build_phase {
            BuildPhase::Prebuild(prebuilt) => prebuilt.interrupt(),
            BuildPhase::Whole | BuildPhase::AfterPrebuild(_) => &self.run.interrupt,
        }
    }

    /// Marks in the log that an installation begins, unless the environment is prepared before its run.
    pub fn before_installation(&self) {
        if !matches!(self.build_phase, BuildPhase::Prebuild(_)) {
            self.run.output.groups.before_installation(&self.environment, self.reporter.as_ref());
        }
    }

    /// Reports the phase of the environment, unless it is prepared before its run.
    pub fn phase(&self, phase: EnvPhase) {
        if !matches!(self.build_phase, BuildPhase::Prebuild(_)) {
            self.run.enter(&self.environment.name, phase);
        }
    }

    pub fn warning(&self, text: impl Into<String>) {
        self.reporter.warning(&self.environment.name, text);
    }

    pub fn debug(&self, text: impl Into<String>) {
        self.reporter.message(&self.environment.name, Level::Debug, text);
    }

    /// Prepares the environment; recreates it once if its state is out of date.
    pub fn prepare(&self, contents: &mut dyn EnvContents) -> Result<CreatedEnv, EnvError> {
        check_platform(&self.environment)?;
        let asked = self.environment.creation.recreate && !self.build_phase.is_after_prebuild();
        if asked && self.is_misplaced() {
            contents.before_removal(self);
            self.remove()?;
        }
        self.check_location()?;
        environment_folders::check(&self.environment, &self.run.project)?;
        let _lock = self.lock()?;
        if asked {
            if !folders::is_empty_folder(&self.environment.folders.env_dir) {
                contents.before_removal(self);
                self.remove()?;
            }
            contents.after_removal(self, asked);
        }
        match self.attempt(contents) {
            Err(EnvError::Recreate(reason)) => {
                self.warning(format!("recreate env because {reason}"));
                contents.before_removal(self);
                self.remove()?;
                contents.after_removal(self, false);
                self.attempt(contents)
            }
            result => result,
        }
    }

    fn attempt(&self, contents: &mut dyn EnvContents) -> Result<CreatedEnv, EnvError> {
        let mut created = self.ensure_created()?;
        contents.install(self, &mut created)?;
        Ok(created)
    }

    /// Whether something other than a folder is at the environment's path.
    fn is_misplaced(&self) -> bool {
        std::fs::symlink_metadata(&self.environment.folders.env_dir).is_ok_and(|metadata| !metadata.is_dir())
    }

    /// Checks that a folder may be created at the environment's path.
    pub fn check_location(&self) -> Result<(), EnvError> {
        let env_dir = &self.environment.folders.env_dir;
        let shown = env_dir.display();
        if self.environment.has_python() && shown.to_string().contains(':') {
            let text =
                format!("{shown} contains `:`, which separates folders in PATH, so no program in it can be found");
            let error = ConfigError::fail(text);
            return Err(error.hint("move the project, or name another folder with `work_dir` or `--workdir`").into());
        }
        let Ok(metadata) = std::fs::symlink_metadata(env_dir) else { return Ok(()) };
        // Its files would overwrite those of the project or the system, and `-r` would remove them.
        let holds = |folder: &Path| fs_err::canonicalize(env_dir).is_ok_and(|env_dir| folder.starts_with(env_dir));
        if fs_err::canonicalize(&self.run.project.root).is_ok_and(|root| holds(&root)) {
            let error = ConfigError::fail(format!(
                "{shown} contains the project, so it cannot be the folder of an environment"
            ));
            return Err(
                EnvError::from(error).about("env_dir", "name a folder of the environment's own, as the default does")
            );
        }
        if metadata.is_symlink() {
            let text = format!("{shown} is a link where this environment should live; delete it");
            return Err(EnvError::Fail(text).about("env_dir", "delete the link, or name another folder"));
        }
        let work_dir = &self.run.project.work_dir;
        if metadata.is_file() && !venv_redirect::release(env_dir, |target| target.starts_with(work_dir)) {
            let text =
                format!("{shown} is a file where this environment should live and not a redirect tox wrote; delete it");
            return Err(EnvError::Fail(text).about("env_dir", "delete the file, or name another folder"));
        }
        Ok(())
    }

    /// Locks the environment against other processes until the locks are dropped.
    pub fn lock(&self) -> Result<(EnvLock, Option<EnvLock>), EnvError> {
        let env_dir = &self.environment.folders.env_dir;
        let is_package = self.environment.kind.is_package();
        if is_package {
            if env_dir.is_symlink() {
                // Nothing may be written through a link.
                if !self.environment.creation.recreate {
                    self.check_location()?;
                }
                fs_err::remove_file(env_dir)?;
            }
            folders::ensure_private(env_dir)?;
        } else if self.environment.package.packaging.is_some() {
            // Packages are passed on below this folder, so only its owner may write there.
            folders::ensure_private(&self.run.project.work_dir)?;
        }
        if !env_dir.is_dir() {
            environment_folders::create("env_dir", env_dir)?;
        }
        let waiting = || self.warning(format!("waiting for another process that uses {}", env_dir.display()));
        let own = EnvLock::acquire(env_dir, self.interrupt(), waiting)?;
        Stamp::sweep(env_dir);
        if !is_package {
            return Ok((own, None));
        }
        let file = env_dir.join(TOX_LOCK);
        fs_err::OpenOptions::new().create(true).append(true).open(&file)?;
        Ok((own, Some(EnvLock::acquire(&file, self.interrupt(), waiting)?)))
    }

    /// Removes the environment except for its lock.
    pub fn remove(&self) -> Result<(), EnvError> {
        let env_dir = &self.environment.folders.env_dir;
        self.warning(format!("remove tox env folder {}", env_dir.display()));
        self.run.forget_redirect(env_dir);
        if self.is_misplaced() {
            folders::ensure_empty(env_dir)?;
        } else {
            self.empty()?;
        }
        self.log_number.store(0, Ordering::Relaxed);
        self.checkpoint();
        Ok(())
    }

    /// Empties the folder so that the next run notices an interrupted removal.
    fn empty(&self) -> Result<(), EnvError> {
        let env_dir = &self.environment.folders.env_dir;
        Stamp::begin_removal(env_dir)?;
        folders::ensure_empty_except(env_dir, &[TOX_LOCK, stamp::FILE_NAME])?;
        Ok(fs_err::remove_file(env_dir.join(stamp::FILE_NAME))?)
    }

    /// Creates the virtual environment, or checks the existing one.
    ///
    /// # Errors
    /// [`EnvError::Recreate`] if the existing one is out of date; any failure to create it.
    pub fn ensure_created(&self) -> Result<CreatedEnv, EnvError> {
        let environment = &self.environment;
        let mut stamp = Stamp::read(&environment.folders.env_dir);
        if stamp.is_of_removal() {
            self.empty()?;
            stamp.reset();
        }
        let identity = environment.identity();
        if !stamp.holds(section::ENVIRONMENT, None, &identity) {
            if stamp.object(section::ENVIRONMENT, None).is_some() {
                let old = stamp.get(section::ENVIRONMENT, None).unwrap_or(&Value::Null);
                return Err(EnvError::Recreate(reasons::environment_changed(old, &identity)));
            }
            stamp.record(section::ENVIRONMENT, None, identity)?;
        }
        if !self.build_phase.is_after_prebuild() {
            self.empty_scratch_folders()?;
        }
        let languages = self.find_runtimes()?;
        let python = if environment.has_python() { Some(self.ensure_python(&mut stamp)?) } else { None };
        self.link_runtimes(&languages)?;
        let mut paths = vec![environment.folders.env_dir.join("bin")];
        if let Some(python) = &python
            && environment.contents.uv.is_some()
            && self.run.interpreters.uv().is_none()
        {
            // If there is no uv at all, the command that needs it reports that.
            let own = self.run.uv(&python.interpreter).ok();
            paths.extend(own.as_deref().and_then(Path::parent).map(Path::to_owned));
        }
        if let (Some(base), Some(python)) = (&self.base, &python) {
            base.link(&python.layout, &environment.folders.env_dir.join(layer::BYTECODE))?;
            paths.extend(base.paths.iter().cloned());
        }
        let mut session = self.session(paths)?;
        if self.base.is_some()
            && !["PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"]
                .iter()
                .any(|name| session.variables.get(name).is_some())
        {
            // For programs of the base, which have the base's Python.
            session.variables.set("PYTHONPYCACHEPREFIX", environment.folders.env_dir.join(layer::BYTECODE));
        }
        Ok(CreatedEnv { stamp, python, languages, renewed: Vec::new(), session })
    }

    fn ensure_python(&self, stamp: &mut Stamp) -> Result<EnvPython, EnvError> {
        let interpreter = self.find_interpreter()?;
        let layout = interpreter.layout(&self.environment.folders.env_dir);
        self.make(stamp, &interpreter, &layout)?;
        Ok(EnvPython { interpreter, layout })
    }

    /// Empties the folders for temporary files and logs.
    fn empty_scratch_folders(&self) -> Result<(), EnvError> {
        let tmp_dir = &self.environment.folders.tmp_dir;
        if !folders::is_empty_folder(tmp_dir) {
            if tmp_dir.exists() || tmp_dir.is_symlink() {
                self.debug(format!("clear env temp folder {}", tmp_dir.display()));
            }
            folders::ensure_empty(tmp_dir)
                .map_err(|error| environment_folders::cannot_create("env_tmp_dir", tmp_dir, &error))?;
        }
        self.run.create_work_directory()?;
        let log_dir = &self.environment.folders.log_dir;
        folders::ensure_empty(log_dir)
            .map_err(|error| environment_folders::cannot_create("env_log_dir", log_dir, &error))
    }

    fn find_interpreter(&self) -> Result<Arc<Interpreter>, EnvError> {
        let specs = &self.environment.python.base_python;
        let interpreter = match self.run.interpreters.find(specs) {
            Some(interpreter) => interpreter,
            None if self.environment.python.install_python => self.install_interpreter(specs)?,
            None => return Err(self.missing_interpreter("")),
        };
        if let Some(journal) = &self.journal {
            journal.python(&interpreter);
        }
        Ok(interpreter)
    }

    fn install_interpreter(&self, specs: &[String]) -> Result<Arc<Interpreter>, EnvError> {
        let tell = |request: &str| {
            self.phase(EnvPhase::Fetch);
            self.warning(format!("install an interpreter: uv python install {request}"));
        };
        self.run.install_interpreter(specs, tell).map_err(|reason| {
            if self.interrupt().requested() {
                EnvError::Interrupted
            } else {
                self.missing_interpreter(&format!("; {reason}"))
            }
        })
    }

    /// `reason`: why it could not be installed either.
    fn missing_interpreter(&self, reason: &str) -> EnvError {
        if self.interrupt().requested() {
            return EnvError::Interrupted;
        }
        let specs = self.environment.python.base_python.join(", ");
        let unanswered: String = self.run.interpreters.unanswered().iter().map(|text| format!("; {text}")).collect();
        let reason = format!("{reason}{unanswered}");
        if self.environment.python.skip_missing_interpreters {
            return EnvError::Skip(format!("could not find python interpreter with spec(s): {specs}{reason}"));
        }
        let remedy = python::remedy(&self.environment, self.run.interpreters.as_ref());
        EnvError::Fail(format!("could not find python interpreter matching any of the specs {specs}{reason}"))
            .about("base_python", remedy)
    }

    /// Creates the virtual environment, unless it already has the same interpreter.
    fn make(&self, stamp: &mut Stamp, interpreter: &Interpreter, layout: &EnvLayout) -> Result<(), EnvError> {
        let environment = &self.environment;
        let new = match &environment.contents.uv {
            Some(uv) => uv_sync::python_stamp(uv, &environment.python.base_python, interpreter),
            None => self.run.python.stamp(interpreter, &environment.creation),
        };
        if let (Some(old), Some(new)) = (stamp.object(section::PYTHON, None), new.as_object()) {
            if !self.run.python.still_holds(old, new) {
                return Err(EnvError::Recreate(reasons::python_changed(old, new)));
            }
            if !layout.python.exists() {
                return Err(EnvError::Recreate(format!("{} is gone", layout.python.display())));
            }
            return Ok(());
        }
        self.phase(EnvPhase::Create);
        self.debug(format!(
            "create virtual environment via {}(dest={}, python={}, system_site_packages={})",
            if environment.creation.virtualenv_spec.is_empty() {
                "envo"
            } else {
                &environment.creation.virtualenv_spec
            },
            environment.folders.env_dir.display(),
            interpreter.executable.display(),
            environment.creation.system_site_packages
        ));
        // Errors in the variables are reported before the first program is run with them.
        let variables = execute::environment::variables(&self.run.host, &environment.variables, &[]);
        let variables = variables.unwrap_or_default();
        let made = self.run.python.create(&environment.folders.env_dir, interpreter, &environment.creation, &variables);
        made.map_err(|error| match EnvError::from(error) {
            EnvError::Internal(error) => EnvError::Fail(format!("{error:#}")),
            error => error,
        })?;
        stamp.record(section::PYTHON, None, new)?;
        self.checkpoint();
        Ok(())
    }

    /// The context shared by the environment's commands, with `paths` as the environment's own folders.
    pub fn session(&self, paths: Vec<PathBuf>) -> Result<CommandSession, EnvError> {
        let environment = &self.environment;
        let mut paths = paths;
        let mut allow = environment.execution.allowlist_externals.clone();
        if let (Some(_), Some(uv)) = (&environment.contents.uv, self.run.interpreters.uv()) {
            paths.extend(uv.parent().map(Path::to_owned));
            allow.push(uv.display().to_string());
        }
        let mut settings = environment.variables.clone();
        for runtime in environment.runtimes.iter().filter_map(|requirement| runtime::named(&requirement.name)) {
            settings.pass.extend(runtime.passes().iter().map(|glob| (*glob).to_owned()));
            if runtime.allows_everything() {
                allow.push("*".to_owned());
            }
        }
        let variables = execute::environment::variables(&self.run.host, &settings, &paths)?;
        Ok(CommandSession {
            environment: environment.name.clone(),
            programs: AllowedPrograms { paths, allow },
            variables,
            log_dir: environment.folders.log_dir.clone(),
            log_number: Arc::clone(&self.log_number),
            timeouts: environment.execution.timeouts,
            current_dir: self.run.project.current_dir.clone(),
            // Work ahead of the run does not use the terminal.
            grouping: if matches!(self.build_phase, BuildPhase::Prebuild(_)) {
                ProcessGrouping::Group
            } else {
                self.run.grouping
            },
            after_interrupt: false,
            verbosity: self.run.verbosity,
            interrupt: self.interrupt().clone(),
            reporter: Arc::clone(&self.reporter),
            not_found: Arc::default(),
            capture: CommandCapture {
                inherits: self.run.options.no_capture,
                redactor: self.run.output.redactor.clone(),
                record: self.journal.as_ref().map(|journal| Arc::clone(&journal.record)),
            },
        })
    }
}

/// An environment whose commands can run.
#[derive(Clone)]
pub struct ReadyEnv {
    pub environment: Arc<Environment>,
    pub session: CommandSession,
}

impl ReadyEnv {
    /// The same environment with another reporter for its messages and output.
    #[must_use]
    pub fn reporting_to(mut self, reporter: Arc<dyn Reporter>) -> Self {
        self.session.reporter = reporter;
        self
    }
}
