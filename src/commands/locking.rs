//! Shared by the verbs for locks: the locked environments, their inputs and their resolver.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};

use crate::bounded;
use crate::builder::env_builder::EnvBuilder;
use crate::builder::locked_contents;
use crate::builder::run_context::RunContext;
use crate::cli::options::{EnvironmentChoice, Options};
use crate::commands::open_plan::open_plan_with;
use crate::commands::report_warnings;
use crate::commands::run_context::{RunMode, choose_installer, open_run};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::execute;
use crate::execute::interrupt::{BySignal, Interrupt};
use crate::install::choose;
use crate::install::pip::Pip;
use crate::install::pip_settings::PipSettings;
use crate::install::uv::{Uv, UvRole};
use crate::install::uv_lock::UvLockRequest;
use crate::lock::INDEX;
use crate::lock::document::LockDocument;
use crate::lock::error::LockError;
use crate::lock::index::{LockIndex, lock_path};
use crate::lock::inputs::{LockInputReader, LockInputs};
use crate::lock::prune::LockPlatform;
use crate::lock::resolve::{LockRequest, LockResolver};
use crate::lock::target::LockTarget;
use crate::lock::verify;
use crate::model::environment::{InstallSettings, InstallerChoice};
use crate::model::{
    Command, Deferred, EnvVariables, Environment, Interpreter, InterpreterLookup as _, ProjectSettings,
};
use crate::plan::Plan;
use crate::runtime::python::{PythonDiscovery, PythonRuntime};
use crate::settings::value::SettingValue;

/// The project and its locks.
pub(super) struct Locks {
    pub plan: Plan,
    pub project: ProjectSettings,
    pub discovery: Arc<PythonDiscovery>,
    pub run: Arc<RunContext>,
    pub reporter: Arc<dyn Reporter>,
}

/// An environment that has a lock or can have one.
pub(super) struct Lockable {
    pub environment: Arc<Environment>,
    pub variables: EnvVariables,
    pub inputs: LockInputs,
}

impl Locks {
    pub fn open(options: &Options) -> Result<Self> {
        let discovery = Arc::new(crate::commands::discovery::discovery(options));
        let plan = open_plan_with(options, Arc::clone(&discovery))?;
        plan.ensure_only_run_environments()?;
        let manner = RunMode::side_by_side().with_spinners(options.stdout_is_terminal);
        let run = Arc::new(open_run(options, &plan, Arc::clone(&discovery), &manner)?);
        let reporter = Arc::clone(&run.reporter);
        Ok(Self { project: plan.project()?, plan, discovery, run, reporter })
    }

    /// Runs the tools of an environment's languages.
    pub fn env_builder(&self, environment: &Arc<Environment>) -> EnvBuilder {
        EnvBuilder::new(Arc::clone(&self.run), Arc::clone(environment), Arc::clone(&self.reporter))
    }

    pub fn resolve(&self, order: &LockRequest<'_>) -> Result<LockDocument, LockError> {
        let answer = order.resolve(&self.run.interrupt);
        // What has the name of a Python and cannot be run as one is no reason to give up.
        match order.builder() {
            Some(python)
                if matches!(answer, Err(LockError::Unresolved { .. }))
                    && self.discovery.interpreter_at(python).is_none() =>
            {
                let found = self.discovery.find(&order.target.specs);
                let found = found.as_ref().map(|found| found.system_executable.as_path());
                order.with_builder(found).resolve(&self.run.interrupt)
            }
            _ => answer,
        }
    }

    /// What a verb comes to that reads or writes locks: nothing, if a signal has asked it to stop, by which it ends then.
    ///
    /// # Errors
    /// Those of `outcome`, and [`BySignal`].
    pub fn end(self, outcome: Result<i32>) -> Result<i32> {
        match self.run.interrupt.signal() {
            Some(signal) => Err(BySignal(signal).into()),
            None => outcome,
        }
    }

    /// Whatever failed because of an interrupt ends as interrupts do.
    pub fn or_interrupted(&self, error: anyhow::Error) -> anyhow::Error {
        if self.run.interrupt.requested() { EnvError::Interrupted.into() } else { error }
    }

    /// The environments that are meant: those that were named; else those of `env_list` and those that are locked
    /// already.
    pub fn names(&self, options: &Options, index: &LockIndex) -> Result<Vec<String>> {
        let mut names = self.plan.selected()?;
        if names_none(options) {
            let locked = |entry: &&crate::plan::DefinedEnv| {
                !entry.active && !entry.kind.is_package() && index.entries.contains_key(&entry.name)
            };
            names.extend(self.plan.all()?.into_iter().filter(locked).map(|entry| entry.name.clone()));
        }
        report_warnings(&self.plan, options);
        Ok(names)
    }

    /// The locks of the environments that were named, else of all.
    pub fn documents(&self, options: &Options) -> Result<Vec<(String, LockDocument)>> {
        let index = LockIndex::read(&self.project.root).map_err(ConfigError::from)?;
        if index.entries.is_empty() {
            return Err(ConfigError::handled("nothing is locked").hint("`envo lock` locks the environments").into());
        }
        let mut documents = Vec::new();
        for name in self.locked_names(options, &index)? {
            let Some(entry) = index.entries.get(&name) else {
                let error = LockError::NotLocked { environment: name, index: INDEX.to_owned() };
                return Err(ConfigError::from(error).into());
            };
            if !entry.lock.is_empty() {
                documents.push((name.clone(), verify::read(&self.project, &name, entry).map_err(ConfigError::from)?));
            }
        }
        Ok(documents)
    }

    fn locked_names(&self, options: &Options, index: &LockIndex) -> Result<Vec<String>> {
        if names_none(options) { Ok(index.entries.keys().cloned().collect()) } else { self.names(options, index) }
    }

    /// What an environment's lock is made from; `None` when something else says what it contains.
    pub fn lockable(&self, name: &str, options: &Options) -> Result<Result<Lockable, String>> {
        let settings = &self.plan.settings;
        let set = settings.environment(name);
        if !settings.is_written(&set, "wheel_build_env")? {
            // It is named after the interpreter, which need not be here, and nothing is built.
            set.set_in_memory("wheel_build_env", SettingValue::text(settings.text(&set, "package_env")?));
        }
        let mut environment = self.plan.environment(name)?;
        if let Some(reason) = crate::lock::has_its_own(&environment, &self.project) {
            return Ok(Err(reason));
        }
        if !options.locks.platforms.is_empty() {
            environment.dependencies.platforms.clone_from(&options.locks.platforms);
        }
        let variables = execute::environment::variables(&options.variables, &environment.variables, &[])?;
        let reading = LockInputReader { project: &self.project, variables: &variables };
        let mut inputs = LockInputs::read(&environment, reading)?;
        let environment = Arc::new(environment);
        locked_contents::add_languages(&self.env_builder(&environment), &mut inputs).map_err(anyhow::Error::new)?;
        Ok(Ok(Lockable { environment, variables, inputs }))
    }
}

/// Whether the command line names no environment.
pub(super) fn names_none(options: &Options) -> bool {
    let selection = &options.selection;
    selection.environments == EnvironmentChoice::Default && selection.labels.is_empty() && selection.factors.is_empty()
}

/// Reports why there is no lock.
pub(super) fn report(reporter: &dyn Reporter, environment: &str, error: &LockError) {
    reporter.error(environment, error.to_string());
    for hint in error.hints() {
        crate::commands::plain_hint(&hint);
    }
}

/// Finds the resolver.
pub(super) struct Resolvers<'a> {
    options: &'a Options,
    discovery: &'a PythonDiscovery,
    runtime: PythonRuntime,
    chosen: Option<InstallerChoice>,
    uv: OnceLock<Result<PathBuf, String>>,
}

impl<'a> Resolvers<'a> {
    pub fn new(options: &'a Options, locks: &'a Locks, interrupt: &Interrupt) -> Result<Self> {
        let runtime = PythonRuntime::new(Arc::clone(&locks.discovery), &options.variables)
            .with_reporter(Arc::clone(&locks.reporter))
            .with_interrupt(interrupt.clone());
        let chosen = choose_installer(options)?;
        Ok(Self { options, discovery: &locks.discovery, runtime, chosen, uv: OnceLock::new() })
    }

    /// What resolves for an environment, chosen and told as for installing. The second: why it is not uv.
    pub fn find(
        &self,
        lockable: &Lockable,
        target: &LockTarget,
        wish: &UvLockRequest,
    ) -> Result<(LockResolver, Option<String>), LockError> {
        let environment = &lockable.environment;
        let impossible = |reason: String| LockError::Impossible { environment: environment.name.clone(), reason };
        let config = |error: ConfigError| impossible(error.message);
        let installation = &environment.installation;
        let choice = self.chosen.unwrap_or(installation.installer);
        let settings = PipSettings::read(&lockable.variables, &environment.env_dir);
        let because = |reason: String| self.pip(target, &settings).map(|pip| (pip, Some(reason)));
        if choice == InstallerChoice::Pip {
            return self.pip(target, &settings).map(|pip| (pip, None)).map_err(impossible);
        }
        let program = match self.uv.get_or_init(|| self.find_uv()) {
            Ok(program) => program.clone(),
            Err(reason) if choice == InstallerChoice::Uv => {
                return Err(impossible(format!("uv must resolve, but {reason}")));
            }
            Err(reason) => return because(reason.clone()).map_err(impossible),
        };
        // What pip is called by depends on an interpreter, which need not be here; nothing is installed.
        let unused =
            InstallSettings { command: Deferred::ready(Command::from_words(Vec::new())), ..installation.clone() };
        let uv = Uv {
            program: program.clone(),
            python: self.builder(target),
            pip: Pip::new(&unused).map_err(config)?,
            settings: settings.clone(),
            pre: installation.pip_pre,
            role: if choice == InstallerChoice::Uv { UvRole::Chosen } else { UvRole::StandIn },
        };
        match uv.lock(&lockable.inputs.request, wish) {
            Ok(command) => Ok((LockResolver::Uv { program, command }, None)),
            Err(reason) => because(reason).map_err(impossible),
        }
    }

    /// The Python that uv builds with where something has to be built to be known. uv asks it itself.
    fn builder(&self, target: &LockTarget) -> PathBuf {
        let asked = || self.discovery.find(&target.specs).map(|found| found.system_executable.clone());
        self.discovery.likely(&target.specs).or_else(asked).unwrap_or_default()
    }

    fn find_uv(&self) -> Result<PathBuf, String> {
        let found = choose::find_uv(std::env::current_exe().ok().as_deref(), &self.options.variables);
        found.map_or_else(|| self.host().and_then(|host| self.runtime.own_installer(&host)), Ok)
    }

    fn host(&self) -> Result<Arc<Interpreter>, String> {
        let host = self.discovery.host_python();
        self.discovery
            .interpreter_at(&host)
            .context("no Python was found to run it with")
            .map_err(|error| format!("{error:#}"))
    }

    /// `pip lock` resolves for the interpreter that runs it.
    fn pip(&self, target: &LockTarget, settings: &PipSettings) -> Result<LockResolver, String> {
        let Some(interpreter) = &self.discovery.find(&target.specs) else {
            return Err(format!(
                "`pip lock` locks for the Python it runs on, and Python {} was not found; uv does not need it",
                target.dotted()
            ));
        };
        let pip = self.runtime.locking_pip(interpreter)?;
        let words = [pip.into_os_string(), "lock".into(), "--quiet".into(), "--disable-pip-version-check".into()];
        let index = settings.index_url.clone().unwrap_or_else(|| "https://pypi.org/simple".to_owned());
        let indexes = if settings.no_index {
            Vec::new()
        } else {
            std::iter::once(index).chain(settings.extra_index_urls.iter().cloned()).collect()
        };
        Ok(LockResolver::Pip { program: interpreter.system_executable.clone(), words: words.to_vec(), indexes })
    }
}

/// The Python a lock is for.
pub(super) fn target(locks: &Locks, lockable: &Lockable) -> Result<(LockTarget, Vec<LockPlatform>), LockError> {
    let name = &lockable.environment.name;
    let impossible = |reason: String| LockError::Impossible { environment: name.clone(), reason };
    // Which Python an environment without a version gets differs between machines, so an earlier lock says how far down
    // it reaches.
    let earlier = || {
        let text = bounded::read_text(lock_path(&locks.project, name)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("requires-python = "))?;
        crate::lock::target::lower_bound(line.trim_matches('"'))
    };
    let lowest = lockable.inputs.lowest.or_else(earlier);
    let target =
        LockTarget::of(&lockable.environment.base_python, locks.discovery.as_ref(), lowest).map_err(impossible)?;
    let unknown = |text: &String| {
        impossible(format!(
            "unknown platform `{text}`, write linux, macos, windows or a triple such as aarch64-apple-darwin"
        ))
    };
    let platforms = lockable.environment.dependencies.platforms.iter();
    let platforms = platforms.map(|text| LockPlatform::named(text).ok_or_else(|| unknown(text)));
    Ok((target, platforms.collect::<Result<_, _>>()?))
}
