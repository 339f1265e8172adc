//! A project and its locks: which environments have one, what each is made from, and what resolves it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::bounded;
use crate::builder::env_builder::EnvBuilder;
use crate::builder::locked_contents;
use crate::builder::run_context::RunContext;
use crate::cli::options::{EnvironmentChoice, Options};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::execute;
use crate::install::choose;
use crate::install::pip::Pip;
use crate::install::pip_settings::PipSettings;
use crate::install::uv::{Uv, UvRole};
use crate::install::uv_lock::UvLockRequest;
use crate::lock::prune::LockPlatform;
use crate::lock::resolve::{LockRequest, LockResolver};
use crate::lockfile::document::LockDocument;
use crate::lockfile::error::LockError;
use crate::lockfile::index::{LockIndex, lock_path};
use crate::lockfile::inputs::{LockInputReader, LockInputs};
use crate::lockfile::target::{LockTarget, lower_bound};
use crate::lockfile::{INDEX, has_its_own, verify};
use crate::model::environment::{InstallSettings, InstallerChoice};
use crate::model::{Command, Deferred, EnvVariables, Environment, InterpreterLookup as _, ProjectSettings};
use crate::plan::{DefinedEnv, Plan};
use crate::runtime::python::PythonDiscovery;
use crate::settings::value::SettingValue;

/// The project and its locks.
pub struct ProjectLocks<'a> {
    pub options: &'a Options,
    pub plan: Plan,
    pub project: ProjectSettings,
    pub discovery: Arc<PythonDiscovery>,
    pub run: Arc<RunContext>,
}

/// An environment that has a lock or can have one.
#[derive(Clone)]
pub struct LockableEnv {
    pub environment: Arc<Environment>,
    pub variables: EnvVariables,
    pub inputs: LockInputs,
}

impl<'a> ProjectLocks<'a> {
    pub fn new(options: &'a Options, plan: Plan, discovery: Arc<PythonDiscovery>, run: RunContext) -> Result<Self> {
        Ok(Self { options, project: plan.project()?, plan, discovery, run: Arc::new(run) })
    }

    pub fn reporter(&self) -> &dyn Reporter {
        self.run.output.reporter.as_ref()
    }

    /// Runs the tools of an environment's languages.
    pub(super) fn env_builder(&self, environment: &Arc<Environment>) -> EnvBuilder {
        EnvBuilder::new(Arc::clone(&self.run), Arc::clone(environment), Arc::clone(&self.run.output.reporter))
    }

    /// Any failure because of an interrupt ends as interrupts do.
    pub(super) fn or_interrupted(&self, error: anyhow::Error) -> anyhow::Error {
        if self.run.interrupt.requested() { EnvError::Interrupted.into() } else { error }
    }

    pub(super) fn index(&self) -> Result<LockIndex, ConfigError> {
        Ok(LockIndex::read(&self.project.root)?)
    }

    /// The environments that were named; else those of `env_list` and those that are locked already.
    pub(super) fn names(&self, index: &LockIndex) -> Result<Vec<String>> {
        let mut names = self.plan.selected()?;
        if names_none(self.options) {
            let locked = |entry: &&DefinedEnv| {
                !entry.active && !entry.kind.is_package() && index.entries.contains_key(&entry.name)
            };
            names.extend(self.plan.all()?.into_iter().filter(locked).map(|entry| entry.name.clone()));
        }
        for warning in self.plan.take_warnings() {
            self.reporter().warning(warning.environment.as_deref().unwrap_or("ROOT"), warning.text);
        }
        Ok(names)
    }

    /// The environments that were named, else all that are locked.
    pub(super) fn locked_names(&self, index: &LockIndex) -> Result<Vec<String>> {
        if names_none(self.options) { Ok(index.entries.keys().cloned().collect()) } else { self.names(index) }
    }

    /// The locks of the environments that were named, else of all.
    pub fn documents(&self) -> Result<Vec<(String, LockDocument)>> {
        let index = self.index()?;
        if index.entries.is_empty() {
            return Err(ConfigError::handled("nothing is locked").hint("`envo lock` locks the environments").into());
        }
        let mut documents = Vec::new();
        for name in self.locked_names(&index)? {
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

    /// The inputs of an environment's lock; if another lock already fixes its contents, the reason.
    pub(super) fn lockable(&self, name: &str) -> Result<Result<LockableEnv, String>> {
        let settings = &self.plan.settings;
        let set = settings.environment(name);
        if !settings.is_written(&set, "wheel_build_env")? {
            // It is named after the interpreter, which may be missing, and nothing is built.
            set.set_in_memory("wheel_build_env", SettingValue::text(settings.text(&set, "package_env")?));
        }
        let mut environment = self.plan.environment(name)?;
        self.plan.base_of(&environment)?;
        if let Some(reason) = has_its_own(&environment, &self.project) {
            return Ok(Err(reason));
        }
        if !self.options.locks.platforms.is_empty() {
            environment.contents.dependencies.platforms.clone_from(&self.options.locks.platforms);
        }
        let variables = execute::environment::variables(&self.run.host, &environment.variables, &[])?;
        let reading = LockInputReader { project: &self.project, variables: &variables };
        let mut inputs = LockInputs::read(&environment, reading)?;
        let environment = Arc::new(environment);
        locked_contents::add_languages(&self.env_builder(&environment), &mut inputs).map_err(anyhow::Error::new)?;
        Ok(Ok(LockableEnv { environment, variables, inputs }))
    }

    /// A request to lock an environment, for any version of its packages. The second: why pip resolves and not uv.
    pub(super) fn request<'l>(
        &'l self,
        lockable: &'l LockableEnv,
        wanted: UvLockRequest,
    ) -> Result<(LockRequest<'l>, Option<String>), LockError> {
        let target = self.target(lockable)?;
        let platforms = platforms(lockable)?;
        let wanted = UvLockRequest { python_version: target.dotted(), ..wanted };
        let (resolver, note) = self.resolver(lockable, &target, &wanted)?;
        let request = LockRequest {
            environment: &lockable.environment.name,
            project: &self.project,
            inputs: &lockable.inputs,
            target,
            platforms,
            resolver,
            variables: lockable.variables.clone(),
            before: None,
        };
        Ok((request, note))
    }

    pub(super) fn resolve(&self, request: &LockRequest<'_>) -> Result<LockDocument, LockError> {
        let answer = request.resolve(&self.run.interrupt);
        // A program named like a Python that cannot be run as one is not fatal.
        match request.builder() {
            Some(python)
                if matches!(answer, Err(LockError::Unresolved { .. }))
                    && self.discovery.interpreter_at(python).is_none() =>
            {
                let found = self.discovery.find(&request.target.specs);
                let found = found.as_ref().map(|found| found.system_executable.as_path());
                request.with_builder(found).resolve(&self.run.interrupt)
            }
            _ => answer,
        }
    }

    /// The Python a lock is for.
    fn target(&self, lockable: &LockableEnv) -> Result<LockTarget, LockError> {
        let name = &lockable.environment.name;
        // Which Python an environment without a version gets differs between machines, so an earlier lock says how far
        // down it reaches.
        let earlier = || {
            let text = bounded::read_text(lock_path(&self.project, name)).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("requires-python = "))?;
            lower_bound(line.trim_matches('"'))
        };
        let lowest = lockable.inputs.lowest.or_else(earlier);
        LockTarget::of(&lockable.environment.python.base_python, self.discovery.as_ref(), lowest)
            .map_err(|reason| LockError::Impossible { environment: name.clone(), reason })
    }

    /// The resolver of an environment, chosen as its installer is. The second: why it is not uv.
    fn resolver(
        &self,
        lockable: &LockableEnv,
        target: &LockTarget,
        wanted: &UvLockRequest,
    ) -> Result<(LockResolver, Option<String>), LockError> {
        let environment = &lockable.environment;
        let impossible = |reason: String| LockError::Impossible { environment: environment.name.clone(), reason };
        let installation = &environment.contents.installation;
        let choice = self.run.installer.unwrap_or(installation.installer);
        let settings = PipSettings::read(&lockable.variables, &environment.folders.env_dir);
        let because = |reason: String| self.pip(target, &settings).map(|pip| (pip, Some(reason)));
        if choice == InstallerChoice::Pip {
            return self.pip(target, &settings).map(|pip| (pip, None)).map_err(impossible);
        }
        let program = match self.run.uv.get_or_init(|| self.find_uv()) {
            Ok(program) => program.clone(),
            Err(reason) if choice == InstallerChoice::Uv => {
                return Err(impossible(format!("uv must resolve, but {reason}")));
            }
            Err(reason) => return because(reason.clone()).map_err(impossible),
        };
        // How pip is called depends on an interpreter, which may be missing; nothing is installed.
        let unused =
            InstallSettings { command: Deferred::ready(Command::from_words(Vec::new())), ..installation.clone() };
        let uv = Uv {
            program: program.clone(),
            python: self.build_python(target),
            pip: Pip::new(&unused).map_err(|error| impossible(error.message))?,
            settings: settings.clone(),
            pre: installation.pip_pre,
            role: if choice == InstallerChoice::Uv { UvRole::Chosen } else { UvRole::StandIn },
        };
        match uv.lock(&lockable.inputs.request, wanted) {
            Ok(command) => Ok((LockResolver::Uv { program, command }, None)),
            Err(reason) => because(reason).map_err(impossible),
        }
    }

    /// The Python with which uv builds packages whose metadata is not static. uv queries it itself.
    fn build_python(&self, target: &LockTarget) -> PathBuf {
        let asked = || self.discovery.find(&target.specs).map(|found| found.system_executable.clone());
        self.discovery.likely(&target.specs).or_else(asked).unwrap_or_default()
    }

    fn find_uv(&self) -> Result<PathBuf, String> {
        if let Some(found) = choose::find_uv(std::env::current_exe().ok().as_deref(), &self.run.host) {
            return Ok(found);
        }
        let host = self.run.python.host().ok_or("no Python was found to run it with")?;
        self.run.python.own_installer(&host)
    }

    /// `pip lock` resolves for the interpreter that runs it.
    fn pip(&self, target: &LockTarget, settings: &PipSettings) -> Result<LockResolver, String> {
        let Some(interpreter) = &self.discovery.find(&target.specs) else {
            return Err(format!(
                "`pip lock` locks for the Python it runs on, and Python {} was not found; uv does not need it",
                target.dotted()
            ));
        };
        let pip = self.run.python.locking_pip(interpreter)?;
        let words = [pip.into_os_string(), "lock".into(), "--quiet".into(), "--disable-pip-version-check".into()];
        let index = settings.sources.index_url.clone().unwrap_or_else(|| "https://pypi.org/simple".to_owned());
        let indexes = if settings.sources.no_index {
            Vec::new()
        } else {
            std::iter::once(index).chain(settings.sources.extra_index_urls.iter().cloned()).collect()
        };
        Ok(LockResolver::Pip { program: interpreter.system_executable.clone(), words: words.to_vec(), indexes })
    }
}

fn platforms(lockable: &LockableEnv) -> Result<Vec<LockPlatform>, LockError> {
    let named = |text: &String| {
        let reason = || {
            format!("unknown platform `{text}`, write linux, macos, windows or a triple such as aarch64-apple-darwin")
        };
        LockPlatform::named(text)
            .ok_or_else(|| LockError::Impossible { environment: lockable.environment.name.clone(), reason: reason() })
    };
    lockable.environment.contents.dependencies.platforms.iter().map(named).collect()
}

/// Whether the command line names no environment.
pub fn names_none(options: &Options) -> bool {
    let selection = &options.selection;
    selection.environments == EnvironmentChoice::Default && selection.labels.is_empty() && selection.factors.is_empty()
}
