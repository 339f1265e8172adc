//! Manages the packaging environments of a run: each is created when first needed, builds the project once for all
//! environments, and is closed after the last one.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use crate::builder::contents;
use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::environment_folders;
use crate::builder::installation::Installing;
use crate::builder::lock::EnvLock;
use crate::builder::package::PackagingEnvSpec as Sources;
use crate::builder::package::staging::Staging;
use crate::builder::package::{BackendEnv, BuildRequest, PackageBuilder, PackageNeed, describe_wheel};
use crate::builder::preconditions::check_platform;
use crate::builder::project_package::ProjectPackages;
use crate::builder::run_context::RunContext;
use crate::builder::stamp::section;
use crate::command_set::CommandSet;
use crate::env_error::EnvError;
use crate::event::EnvPhase;
use crate::event::Reporter;
use crate::execute::session::CommandSession;
use crate::model::PackageKind;
use crate::model::environment::{Packaging, sdist_describer};
use crate::os_text;
use crate::package::{BuiltPackage, static_requirements};
use crate::plan::Plan;
use crate::python_text::glob_paths::paths_without_recursion;
use crate::report::observers::observed;
use crate::report::{Buffered, EventLayout};

/// Below the run's temporary folder: the copies of packages that installers get.
const STAGING: &str = "package";

/// All packaging environments of a run.
pub struct PackagingEnvs {
    run: Arc<RunContext>,
    plan: Arc<Plan>,
    /// The environments that are to run.
    names: Vec<String>,
    /// Which of them needs which package.
    requirements: OnceLock<Vec<(String, Packaging)>>,
    /// The layout of held-back output; `None`: output is not held back.
    layout: Option<EventLayout>,
    packaging_envs: Mutex<HashMap<String, Arc<PackagingEnv>>>,
    /// The project as packages of other runtimes than Python.
    pub project_packages: ProjectPackages,
}

/// One packaging environment.
struct PackagingEnv {
    env: Arc<EnvBuilder>,
    builder: PackageBuilder,
    installer: Arc<PackagingInstaller>,
    held: Option<Arc<Buffered>>,
    /// Taken by environments of this run one at a time, so a wait is reported only for another process.
    env_run: Mutex<()>,
    /// The environments that may still request packages.
    users: Mutex<BTreeSet<String>>,
    /// The package built by `package = external`.
    external: Mutex<Option<PathBuf>>,
}

/// Exclusive use of the packaging environment, against other processes and other threads.
struct PackagingEnvGuard<'a> {
    // Dropped in this order, so that the next thread finds the lock free.
    _locks: (EnvLock, Option<EnvLock>),
    _turn: MutexGuard<'a, ()>,
}

impl PackagingEnv {
    fn occupy(&self) -> Result<PackagingEnvGuard<'_>, EnvError> {
        let env_run = self.env_run.lock();
        Ok(PackagingEnvGuard { _locks: self.env.lock()?, _turn: env_run })
    }
}

impl PackagingEnvs {
    /// `names`: the environments that will run; one build serves them all. `layout`: the layout of output to hold back,
    /// if any.
    pub fn new(run: Arc<RunContext>, plan: Arc<Plan>, names: Vec<String>, layout: Option<EventLayout>) -> Self {
        Self {
            run,
            plan,
            names,
            requirements: OnceLock::new(),
            layout,
            packaging_envs: Mutex::default(),
            project_packages: ProjectPackages::default(),
        }
    }

    fn dependents(&self) -> &[(String, Packaging)] {
        self.requirements.get_or_init(|| {
            // An invalid environment is reported when it runs.
            let requirement =
                |name: &String| Some((name.clone(), self.plan.environment(name).ok()?.package.packaging?));
            self.names.iter().filter_map(requirement).collect()
        })
    }

    /// The project's packages as the environment `env` needs them.
    pub fn packages(&self, env: &EnvBuilder, packaging: &Packaging) -> Result<Vec<BuiltPackage>, EnvError> {
        env.phase(EnvPhase::Package);
        let built = if packaging.kind == PackageKind::External {
            self.external(packaging)
        } else {
            self.with_builders(packaging, |packaging_env, wheel_builder| {
                let request = BuildRequest { kind: packaging.kind, extras: &packaging.extras, wheel_builder };
                packaging_env.builder.build(request)
            })
        };
        built.map_err(|error| for_package_environment(error, packaging))
    }

    /// The project's requirements if they can be read without calling a backend; the same as
    /// [`PackagingEnvs::packages`] will return.
    pub fn static_requirements(
        &self,
        env: &EnvBuilder,
        packaging: &Packaging,
    ) -> Result<Option<Vec<String>>, EnvError> {
        if matches!(packaging.kind, PackageKind::External | PackageKind::EditableLegacy) {
            return Ok(None);
        }
        Ok(static_requirements(&env.run.project.package_root, &packaging.extras)?)
    }

    /// Whether an environment of this run has used the packaging environments of `packaging`.
    pub fn was_used(&self, packaging: &Packaging) -> bool {
        let packaging_envs = self.packaging_envs.lock();
        names(packaging).all(|name| packaging_envs.contains_key(&name))
    }

    /// The project's requirements (`package = deps-only`).
    pub fn requirements(&self, env: &EnvBuilder, packaging: &Packaging) -> Result<Vec<String>, EnvError> {
        if let Some(known) = static_requirements(&env.run.project.package_root, &packaging.extras)? {
            return Ok(known);
        }
        self.with_builders(packaging, |packaging_env, wheel_builder| {
            let request = BuildRequest { kind: packaging.kind, extras: &packaging.extras, wheel_builder };
            packaging_env.builder.dependencies(request)
        })
    }

    fn with_builders<T>(
        &self,
        packaging: &Packaging,
        work: impl FnOnce(&PackagingEnv, Option<&PackageBuilder>) -> anyhow::Result<T>,
    ) -> Result<T, EnvError> {
        let packaging_env = self.packaging_env(&packaging.package_environment)?;
        let wheel_env = packaging.wheel_environment.get()?.map(|name| self.packaging_env(&name)).transpose()?;
        let _locks = (packaging_env.occupy()?, wheel_env.as_deref().map(PackagingEnv::occupy).transpose()?);
        Ok(work(&packaging_env, wheel_env.as_ref().map(|packaging_env| &packaging_env.builder))?)
    }

    /// A package built by the project's own commands or given with `--installpkg`.
    fn external(&self, packaging: &Packaging) -> Result<Vec<BuiltPackage>, EnvError> {
        let packaging_env = self.packaging_env(&packaging.package_environment)?;
        let built = {
            let mut known = packaging_env.external.lock();
            match &*known {
                Some(path) => path.clone(),
                None => known.insert(self.build_externally(&packaging_env)?).clone(),
            }
        };
        if built.extension().is_some_and(|extension| extension == "whl") {
            return Ok(vec![describe_wheel(&built, &packaging.extras)?]);
        }
        let describer = self.packaging_env(&sdist_describer(&packaging.package_environment))?;
        let _lock = describer.occupy()?;
        let unpacked = packaging_env.env.environment.folders.tmp_dir.join("sdist-extract");
        let package = describer.builder.describe_sdist(&built, &unpacked, &packaging.extras)?;
        Ok(vec![package])
    }

    fn build_externally(&self, packaging_env: &PackagingEnv) -> Result<PathBuf, EnvError> {
        let _lock = packaging_env.occupy()?;
        // As in tox, with `--installpkg` as well: what is wrong with this environment fails the run.
        let session = packaging_env.installer.set_up_external()?;
        if let Some(path) = &self.run.options.package.install_package {
            return Ok(path.clone());
        }
        let environment = &packaging_env.env.environment;
        let cwd = environment.execution.change_dir.get()?;
        environment_folders::create("change_dir", &cwd)?;
        let lists = &environment.execution.commands;
        let set = CommandSet { key: "commands", cwd: &cwd, ignore_errors: lists.ignore_errors, retries: 0 };
        if set.run(&session, lists.main.get()?, &mut Vec::new())? != 0 {
            return Err(EnvError::Fail("stopping as failed to build package".to_owned()));
        }
        let pattern = environment.package.build.as_ref().map_or("", |build| build.package_glob.as_str());
        let found = paths_without_recursion(pattern).map_err(|error| EnvError::Fail(error.to_string()))?;
        match found.as_slice() {
            [] => Err(EnvError::Fail(format!("no package found in {pattern}"))),
            [one] => Ok(PathBuf::from(os_text::encode(one))),
            _ => Err(EnvError::Fail(format!("found more than one package {}", found.join(", ")))),
        }
    }

    /// Removes the packaging environments that are to be recreated with the environments that use them.
    pub fn remove_if_requested(&self, packaging: &Packaging) {
        let is_editable = packaging.kind == PackageKind::Editable;
        for name in names(packaging) {
            // tox learns of the builder of an editable wheel only when it builds one.
            if is_editable && name != packaging.package_environment {
                continue;
            }
            // An invalid one is reported when it is needed.
            let Ok(packaging_env) = self.packaging_env(&name) else { continue };
            if let Err(error) = packaging_env.installer.remove_if_asked() {
                packaging_env.env.warning(format!("failed to remove: {error}"));
            }
        }
    }

    /// The held-back output of the packaging environments that `environment` uses.
    pub fn held_output(&self, environment: &str) -> Vec<Arc<Buffered>> {
        let packaging_envs = self.packaging_envs.lock();
        let mut used: Vec<&Arc<PackagingEnv>> =
            packaging_envs.values().filter(|packaging_env| self.uses(environment, packaging_env)).collect();
        used.sort_by(|one, other| one.env.environment.name.cmp(&other.env.environment.name));
        used.into_iter().filter_map(|packaging_env| packaging_env.held.clone()).collect()
    }

    fn uses(&self, environment: &str, packaging_env: &PackagingEnv) -> bool {
        self.dependents().iter().any(|(name, packaging)| {
            name == environment && names(packaging).any(|used| used == packaging_env.env.environment.name)
        })
    }

    /// Reports the packaging environments in use as interrupted.
    pub fn report_interrupt(&self) {
        for (name, packaging_env) in &*self.packaging_envs.lock() {
            if !packaging_env.users.lock().is_empty() {
                self.run.output.reporter.warning(name, format!("interrupt tox environment: {name}"));
            }
        }
    }

    /// `environment` needs no more packages. Closes packaging environments without users, then those that build wheels
    /// for them.
    pub fn release(&self, environment: &str) {
        let mut packaging_envs: Vec<Arc<PackagingEnv>> = self.packaging_envs.lock().values().cloned().collect();
        let packages =
            |name: &str| self.dependents().iter().any(|(_, packaging)| packaging.package_environment == name);
        packaging_envs.sort_by_cached_key(|packaging_env| {
            let name = packaging_env.env.environment.name.clone();
            (!packages(&name), name)
        });
        for packaging_env in packaging_envs {
            let mut users = packaging_env.users.lock();
            if users.remove(environment) && users.is_empty() {
                packaging_env.builder.finish();
            }
        }
    }

    /// Closes all packaging environments.
    pub fn close(&self) {
        for (_, packaging_env) in self.packaging_envs.lock().drain() {
            packaging_env.builder.finish();
        }
    }

    fn packaging_env(&self, name: &str) -> Result<Arc<PackagingEnv>, EnvError> {
        let mut packaging_envs = self.packaging_envs.lock();
        if let Some(known) = packaging_envs.get(name) {
            return Ok(Arc::clone(known));
        }
        let packaging_env = Arc::new(self.open_packaging_env(name)?);
        packaging_envs.insert(name.to_owned(), Arc::clone(&packaging_env));
        Ok(packaging_env)
    }

    /// The environments that use the packaging environment. One that builds editable wheels lasts as long as the one
    /// that packages for them.
    fn users(&self, name: &str) -> BTreeSet<String> {
        let using = |packaging: &Packaging| names(packaging).any(|used| used == name);
        let of_editable = self.dependents().iter().filter(|(_, one)| one.kind == PackageKind::Editable && using(one));
        let shared: BTreeSet<&str> = of_editable.map(|(_, one)| one.package_environment.as_str()).collect();
        let requirements = self.dependents().iter();
        let users = requirements.filter(|(_, one)| using(one) || shared.contains(one.package_environment.as_str()));
        users.map(|(environment, _)| environment.clone()).collect()
    }

    fn open_packaging_env(&self, name: &str) -> Result<PackagingEnv, EnvError> {
        let environment = self.plan.environment(name)?;
        let live = || Arc::clone(&self.run.output.reporter);
        let held = self.layout.as_ref().map(|layout| Arc::new(Buffered::new(layout.clone(), live())));
        let reporter = match &held {
            Some(held) => observed(Arc::clone(held) as Arc<dyn Reporter>, &self.run.output.observers),
            None => live(),
        };
        let using = || self.dependents().iter().filter(|(_, packaging)| names(packaging).any(|used| used == name));
        // Nothing is built for an environment whose interpreter is missing.
        let asked = using().filter(|(_, packaging)| packaging.wheel_environment.get().is_ok());
        let asked = asked.map(|(environment, packaging)| (environment.clone(), packaging.kind));
        let wanted = asked.chain(self.plan.also_built(name, &self.names));
        let wanted = wanted.map(|(environment, kind)| PackageNeed { environment, kind });
        let env = Arc::new(EnvBuilder::new(Arc::clone(&self.run), Arc::new(environment), reporter));
        let installer = Arc::new(PackagingInstaller { env: Arc::clone(&env), state: Mutex::default() });
        let project = &self.run.project;
        let staging = Staging { folder: project.temp_dir.join(STAGING), root: project.root.clone() };
        let sources = Sources::of(&env.environment, staging)?;
        let builder = PackageBuilder::new(sources, wanted.collect(), Box::new(Arc::clone(&installer)));
        let users = self.users(name);
        Ok(PackagingEnv {
            env,
            builder,
            installer,
            held,
            env_run: Mutex::default(),
            users: Mutex::new(users),
            external: Mutex::default(),
        })
    }
}

/// The packaging environments that take part in a package.
fn names(packaging: &Packaging) -> impl Iterator<Item = String> + '_ {
    let describer = (packaging.kind == PackageKind::External).then(|| sdist_describer(&packaging.package_environment));
    let wheel_environment = packaging.wheel_environment.get().ok().flatten();
    std::iter::once(packaging.package_environment.clone()).chain(wheel_environment).chain(describer)
}

/// Names the packaging environment because of which an environment is skipped.
fn for_package_environment(error: EnvError, packaging: &Packaging) -> EnvError {
    if error.is_skip() {
        EnvError::Skip(format!("{error} for package environment {}", packaging.package_environment))
    } else {
        error
    }
}
/// Creates a packaging environment and installs into it.
struct PackagingInstaller {
    env: Arc<EnvBuilder>,
    state: Mutex<PackagingInstallerState>,
}

#[derive(Default)]
struct PackagingInstallerState {
    created: Option<CreatedEnv>,
    /// It was removed at the user's request.
    removed: bool,
    /// Its installed packages were reported.
    listed: bool,
}

impl PackagingInstaller {
    fn remove_if_asked(&self) -> Result<(), EnvError> {
        let mut state = self.state.lock();
        if self.env.environment.creation.recreate && !state.removed {
            state.removed = true;
            let _lock = self.env.lock()?;
            self.env.remove()?;
        }
        Ok(())
    }

    /// Creates the environment if needed.
    fn ensure_created<'s>(&self, state: &'s mut PackagingInstallerState) -> Result<&'s mut CreatedEnv, EnvError> {
        let created = match state.created.take() {
            Some(created) => created,
            None => {
                check_platform(&self.env.environment)?;
                self.env.check_location()?;
                if self.env.environment.creation.recreate && !state.removed {
                    state.removed = true;
                    self.env.remove()?;
                }
                match self.env.ensure_created() {
                    Err(EnvError::Recreate(reason)) => {
                        self.remove_because(&reason)?;
                        self.env.ensure_created()?
                    }
                    result => result?,
                }
            }
        };
        Ok(state.created.insert(created))
    }

    fn remove_because(&self, reason: &str) -> Result<(), EnvError> {
        self.env.warning(format!("recreate env because {reason}"));
        self.env.remove()
    }

    /// Prepares an environment whose own commands build the package.
    fn set_up_external(&self) -> Result<CommandSession, EnvError> {
        let mut state = self.state.lock();
        let deps = self.env.environment.contents.dependencies.deps.get()?;
        let install = |created: &mut CreatedEnv| {
            // tox records them under both names.
            for part in ["requires", "deps"] {
                Installing::new(&self.env, created)
                    .ensure(section::PACKAGING, part, |conditions, old| conditions.builder_deps(&deps, part, old))?;
            }
            Ok(())
        };
        match install(self.ensure_created(&mut state)?) {
            Err(EnvError::Recreate(reason)) => {
                state.created = None;
                self.remove_because(&reason)?;
                install(self.ensure_created(&mut state)?)?;
            }
            result => result?,
        }
        self.list_contents(&mut state)?;
        Ok(self.ensure_created(&mut state)?.session.clone())
    }

    /// Reports the installed packages the first time.
    fn list_contents(&self, state: &mut PackagingInstallerState) -> Result<(), EnvError> {
        if !std::mem::replace(&mut state.listed, true) {
            let session = self.ensure_created(state)?.session.clone();
            contents::report_installed(&self.env, &session)?;
        }
        Ok(())
    }
}

impl BackendEnv for Arc<PackagingInstaller> {
    fn prepare(&self) -> anyhow::Result<CommandSession> {
        Ok(self.ensure_created(&mut self.state.lock())?.session.clone())
    }

    fn install(&self, requirements: &[String], of_type: &str) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        let created = self.ensure_created(&mut state)?;
        Ok(Installing::new(&self.env, created).ensure(section::PACKAGING, of_type, |conditions, old| {
            conditions.requirements(requirements.to_vec(), of_type, old)
        })?)
    }

    fn equipped(&self) -> anyhow::Result<()> {
        Ok(self.list_contents(&mut self.state.lock())?)
    }

    fn recreate(&self, reason: &str) -> anyhow::Result<()> {
        self.state.lock().created = None;
        Ok(self.remove_because(reason)?)
    }
}
