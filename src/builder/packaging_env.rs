//! The packaging environments of a run: each is made when the first environment needs it, builds the project once for all
//! of them, and is done with when the last one is.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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
use crate::package::{BuiltPackage, static_requirements};
use crate::plan::Plan;
use crate::report::observers::observed;
use crate::report::{Buffered, EventLayout};

/// Below the run's folder for temporary files: the copies of packages that are handed to installers.
const STAGING: &str = "package";

/// All packaging environments of a run.
pub struct PackagingEnvs {
    run: Arc<RunContext>,
    plan: Arc<Plan>,
    /// The environments that are to run.
    names: Vec<String>,
    /// Who of them wants which package.
    wishes: OnceLock<Vec<(String, Packaging)>>,
    /// How held back output looks; `None`: nothing is held back.
    layout: Option<EventLayout>,
    benches: Mutex<HashMap<String, Arc<PackagingEnv>>>,
    /// The project as packages of other languages than Python.
    pub project_packages: ProjectPackages,
}

/// One packaging environment.
struct PackagingEnv {
    site: Arc<EnvBuilder>,
    builder: PackageBuilder,
    workshop: Arc<PackagingInstaller>,
    held: Option<Arc<Buffered>>,
    /// Environments of this run take turns, so that only another process is told of as one.
    turn: Mutex<()>,
    /// The environments that may still ask for something.
    users: Mutex<BTreeSet<String>>,
    /// What `package = external` built.
    external: Mutex<Option<PathBuf>>,
}

/// Nobody else uses the packaging environment until this is dropped: no other process, no other thread of this one.
struct PackagingEnvGuard<'a> {
    // Dropped in this order: who is next in this process finds no lock.
    _locks: (EnvLock, Option<EnvLock>),
    _turn: MutexGuard<'a, ()>,
}

impl PackagingEnv {
    fn occupy(&self) -> Result<PackagingEnvGuard<'_>, EnvError> {
        let turn = lock(&self.turn);
        Ok(PackagingEnvGuard { _locks: self.site.lock()?, _turn: turn })
    }
}

impl PackagingEnvs {
    /// `names`: the environments that are to run: one build serves them all. `layout`: as what to hold back output, if it
    /// is to be.
    pub fn new(run: Arc<RunContext>, plan: Arc<Plan>, names: Vec<String>, layout: Option<EventLayout>) -> Self {
        Self {
            run,
            plan,
            names,
            wishes: OnceLock::new(),
            layout,
            benches: Mutex::default(),
            project_packages: ProjectPackages::default(),
        }
    }

    fn dependents(&self) -> &[(String, Packaging)] {
        self.wishes.get_or_init(|| {
            // An environment that is wrong says so when it is its turn.
            let wish = |name: &String| Some((name.clone(), self.plan.environment(name).ok()?.packaging?));
            self.names.iter().filter_map(wish).collect()
        })
    }

    /// The project as the environment of `site` wants it.
    pub fn packages(&self, site: &EnvBuilder, packaging: &Packaging) -> Result<Vec<BuiltPackage>, EnvError> {
        site.phase(EnvPhase::Package);
        let built = if packaging.kind == PackageKind::External {
            self.external(packaging)
        } else {
            self.with_builders(packaging, |bench, wheel_builder| {
                let request = BuildRequest { kind: packaging.kind, extras: &packaging.extras, wheel_builder };
                bench.builder.build(request)
            })
        };
        built.map_err(|halt| for_package_environment(halt, packaging))
    }

    /// What the project requires, as far as that is written down and need not be asked of a backend: as
    /// [`Packager::packages`] will say.
    pub fn static_requirements(
        &self,
        site: &EnvBuilder,
        packaging: &Packaging,
    ) -> Result<Option<Vec<String>>, EnvError> {
        if matches!(packaging.kind, PackageKind::External | PackageKind::EditableLegacy) {
            return Ok(None);
        }
        Ok(static_requirements(&site.run.project.package_root, &packaging.extras)?)
    }

    /// Whether an environment of this run needed the packaging environments of `packaging` before.
    pub fn was_used(&self, packaging: &Packaging) -> bool {
        let benches = lock(&self.benches);
        names(packaging).all(|name| benches.contains_key(&name))
    }

    /// What the project requires (`package = deps-only`).
    pub fn requirements(&self, site: &EnvBuilder, packaging: &Packaging) -> Result<Vec<String>, EnvError> {
        if let Some(known) = static_requirements(&site.run.project.package_root, &packaging.extras)? {
            return Ok(known);
        }
        self.with_builders(packaging, |bench, wheel_builder| {
            let request = BuildRequest { kind: packaging.kind, extras: &packaging.extras, wheel_builder };
            bench.builder.dependencies(request)
        })
    }

    fn with_builders<T>(
        &self,
        packaging: &Packaging,
        work: impl FnOnce(&PackagingEnv, Option<&PackageBuilder>) -> anyhow::Result<T>,
    ) -> Result<T, EnvError> {
        let bench = self.packaging_env(&packaging.package_environment)?;
        let wheel_bench = packaging.wheel_environment.get()?.map(|name| self.packaging_env(&name)).transpose()?;
        let _locks = (bench.occupy()?, wheel_bench.as_deref().map(PackagingEnv::occupy).transpose()?);
        Ok(work(&bench, wheel_bench.as_ref().map(|bench| &bench.builder))?)
    }

    /// A package that commands of the project's own build, or that was given with `--installpkg`.
    fn external(&self, packaging: &Packaging) -> Result<Vec<BuiltPackage>, EnvError> {
        let bench = self.packaging_env(&packaging.package_environment)?;
        let built = {
            let mut known = lock(&bench.external);
            match &*known {
                Some(path) => path.clone(),
                None => known.insert(self.build_externally(&bench)?).clone(),
            }
        };
        if built.extension().is_some_and(|extension| extension == "whl") {
            return Ok(vec![describe_wheel(&built, &packaging.extras)?]);
        }
        let describer = self.packaging_env(&sdist_describer(&packaging.package_environment))?;
        let _lock = describer.occupy()?;
        let unpacked = bench.site.environment.tmp_dir.join("sdist-extract");
        let package = describer.builder.describe_sdist(&built, &unpacked, &packaging.extras)?;
        Ok(vec![package])
    }

    fn build_externally(&self, bench: &PackagingEnv) -> Result<PathBuf, EnvError> {
        if let Some(path) = &self.run.options.install_package {
            return Ok(path.clone());
        }
        let _lock = bench.occupy()?;
        let session = bench.workshop.set_up_external()?;
        let environment = &bench.site.environment;
        let cwd = environment.change_dir.get()?;
        environment_folders::create("change_dir", &cwd)?;
        let lists = &environment.commands;
        let set = CommandSet { key: "commands", cwd: &cwd, ignore_errors: lists.ignore_errors, retries: 0 };
        if set.run(&session, lists.main.get()?, &mut Vec::new())? != 0 {
            return Err(EnvError::Fail("stopping as failed to build package".to_owned()));
        }
        let pattern = environment.build.as_ref().map_or("", |build| build.package_glob.as_str());
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let paths = glob::glob_with(pattern, options).map_err(anyhow::Error::from)?;
        let mut found: Vec<PathBuf> = paths.flatten().collect();
        match found.len() {
            0 => Err(EnvError::Fail(format!("no package found in {pattern}"))),
            1 => Ok(found.remove(0)),
            _ => {
                let found: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
                Err(EnvError::Fail(format!("found more than one package {}", found.join(", "))))
            }
        }
    }

    /// Removes the packaging environments that are to be made anew with the environments that use them.
    pub fn remove_if_requested(&self, packaging: &Packaging) {
        let is_editable = packaging.kind == PackageKind::Editable;
        for name in names(packaging) {
            // tox knows the builder of an editable wheel only once it is to build one.
            if is_editable && name != packaging.package_environment {
                continue;
            }
            // What is wrong with it is told when it is needed.
            let Ok(bench) = self.packaging_env(&name) else { continue };
            if let Err(halt) = bench.workshop.remove_if_asked() {
                bench.site.warning(format!("failed to remove: {halt}"));
            }
        }
    }

    /// What the packaging environments that `environment` uses have held back.
    pub fn held_output(&self, environment: &str) -> Vec<Arc<Buffered>> {
        let benches = lock(&self.benches);
        let mut used: Vec<&Arc<PackagingEnv>> =
            benches.values().filter(|bench| self.uses(environment, bench)).collect();
        used.sort_by(|one, other| one.site.environment.name.cmp(&other.site.environment.name));
        used.into_iter().filter_map(|bench| bench.held.clone()).collect()
    }

    fn uses(&self, environment: &str, bench: &PackagingEnv) -> bool {
        self.dependents().iter().any(|(name, packaging)| {
            name == environment && names(packaging).any(|used| used == bench.site.environment.name)
        })
    }

    /// Says of the packaging environments that are in use that they are interrupted too.
    pub fn report_interrupt(&self) {
        for (name, bench) in &*lock(&self.benches) {
            if !lock(&bench.users).is_empty() {
                self.run.reporter.warning(name, format!("interrupt tox environment: {name}"));
            }
        }
    }

    /// `environment` needs nothing any more. Packaging environments that nobody needs are done with, those that build
    /// wheels for them after them.
    pub fn release(&self, environment: &str) {
        let mut benches: Vec<Arc<PackagingEnv>> = lock(&self.benches).values().cloned().collect();
        let packages =
            |name: &str| self.dependents().iter().any(|(_, packaging)| packaging.package_environment == name);
        benches.sort_by_cached_key(|bench| {
            let name = bench.site.environment.name.clone();
            (!packages(&name), name)
        });
        for bench in benches {
            let mut users = lock(&bench.users);
            if users.remove(environment) && users.is_empty() {
                bench.builder.finish();
            }
        }
    }

    /// Nobody needs anything any more.
    pub fn close(&self) {
        for (_, bench) in lock(&self.benches).drain() {
            bench.builder.finish();
        }
    }

    fn packaging_env(&self, name: &str) -> Result<Arc<PackagingEnv>, EnvError> {
        let mut benches = lock(&self.benches);
        if let Some(known) = benches.get(name) {
            return Ok(Arc::clone(known));
        }
        let bench = Arc::new(self.open_packaging_env(name)?);
        benches.insert(name.to_owned(), Arc::clone(&bench));
        Ok(bench)
    }

    /// The environments that have to be done before the packaging environment is. One that builds editable wheels lasts as
    /// long as the one that packages for them.
    fn users(&self, name: &str) -> BTreeSet<String> {
        let using = |packaging: &Packaging| names(packaging).any(|used| used == name);
        let of_editable = self.dependents().iter().filter(|(_, one)| one.kind == PackageKind::Editable && using(one));
        let shared: BTreeSet<&str> = of_editable.map(|(_, one)| one.package_environment.as_str()).collect();
        let wishes = self.dependents().iter();
        let users = wishes.filter(|(_, one)| using(one) || shared.contains(one.package_environment.as_str()));
        users.map(|(environment, _)| environment.clone()).collect()
    }

    fn open_packaging_env(&self, name: &str) -> Result<PackagingEnv, EnvError> {
        let environment = self.plan.environment(name)?;
        let live = || Arc::clone(&self.run.reporter);
        let held = self.layout.as_ref().map(|layout| Arc::new(Buffered::new(layout.clone(), live())));
        let reporter = match &held {
            Some(held) => observed(Arc::clone(held) as Arc<dyn Reporter>, &self.run.observers),
            None => live(),
        };
        let using = || self.dependents().iter().filter(|(_, packaging)| names(packaging).any(|used| used == name));
        // Nothing is built for one whose interpreter is missing.
        let asked = using().filter(|(_, packaging)| packaging.wheel_environment.get().is_ok());
        let asked = asked.map(|(environment, packaging)| (environment.clone(), packaging.kind));
        let wanted = asked.chain(self.plan.also_built(name, &self.names));
        let wanted = wanted.map(|(environment, kind)| PackageNeed { environment, kind });
        let site = Arc::new(EnvBuilder::new(Arc::clone(&self.run), Arc::new(environment), reporter));
        let workshop = Arc::new(PackagingInstaller { site: Arc::clone(&site), state: Mutex::default() });
        let project = &self.run.project;
        let staging = Staging { folder: project.temp_dir.join(STAGING), root: project.root.clone() };
        let sources = Sources::of(&site.environment, staging)?;
        let builder = PackageBuilder::new(sources, wanted.collect(), Box::new(Arc::clone(&workshop)));
        let users = self.users(name);
        Ok(PackagingEnv {
            site,
            builder,
            workshop,
            held,
            turn: Mutex::default(),
            users: Mutex::new(users),
            external: Mutex::default(),
        })
    }
}

/// The packaging environments that a package takes.
fn names(packaging: &Packaging) -> impl Iterator<Item = String> + '_ {
    let describer = (packaging.kind == PackageKind::External).then(|| sdist_describer(&packaging.package_environment));
    let wheel_environment = packaging.wheel_environment.get().ok().flatten();
    std::iter::once(packaging.package_environment.clone()).chain(wheel_environment).chain(describer)
}

/// Says for whose sake an environment is skipped.
fn for_package_environment(halt: EnvError, packaging: &Packaging) -> EnvError {
    if halt.is_skip() {
        EnvError::Skip(format!("{halt} for package environment {}", packaging.package_environment))
    } else {
        halt
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Everything behind these locks is replaced whole, so a thread that panicked left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a packaging environment and installs into it.
struct PackagingInstaller {
    site: Arc<EnvBuilder>,
    state: Mutex<PackagingInstallerState>,
}

#[derive(Default)]
struct PackagingInstallerState {
    foundation: Option<CreatedEnv>,
    /// The user's wish for a new one was granted.
    removed: bool,
    /// What is installed was told to those who want to know.
    listed: bool,
}

impl PackagingInstaller {
    fn remove_if_asked(&self) -> Result<(), EnvError> {
        let mut state = lock(&self.state);
        if self.site.environment.recreate && !state.removed {
            state.removed = true;
            let _lock = self.site.lock()?;
            self.site.remove()?;
        }
        Ok(())
    }

    /// The environment, made if it is not there yet.
    fn ensure_created<'s>(&self, state: &'s mut PackagingInstallerState) -> Result<&'s mut CreatedEnv, EnvError> {
        let foundation = match state.foundation.take() {
            Some(foundation) => foundation,
            None => {
                check_platform(&self.site.environment)?;
                self.site.check_location()?;
                if self.site.environment.recreate && !state.removed {
                    state.removed = true;
                    self.site.remove()?;
                }
                match self.site.ensure_created() {
                    Err(EnvError::Recreate(reason)) => {
                        self.remove_because(&reason)?;
                        self.site.ensure_created()?
                    }
                    result => result?,
                }
            }
        };
        Ok(state.foundation.insert(foundation))
    }

    fn remove_because(&self, reason: &str) -> Result<(), EnvError> {
        self.site.warning(format!("recreate env because {reason}"));
        self.site.remove()
    }

    /// Readies an environment whose own commands build the package.
    fn set_up_external(&self) -> Result<CommandSession, EnvError> {
        let mut state = lock(&self.state);
        let deps = self.site.environment.dependencies.deps.get()?;
        let install = |foundation: &mut CreatedEnv| {
            // tox installs them under both names.
            for part in ["requires", "deps"] {
                Installing::new(&self.site, foundation)
                    .ensure(section::PACKAGING, part, |conditions, old| conditions.builder_deps(&deps, part, old))?;
            }
            Ok(())
        };
        match install(self.ensure_created(&mut state)?) {
            Err(EnvError::Recreate(reason)) => {
                state.foundation = None;
                self.remove_because(&reason)?;
                install(self.ensure_created(&mut state)?)?;
            }
            result => result?,
        }
        self.list_contents(&mut state)?;
        Ok(self.ensure_created(&mut state)?.session.clone())
    }

    /// Tells what is installed, the first time.
    fn list_contents(&self, state: &mut PackagingInstallerState) -> Result<(), EnvError> {
        if !std::mem::replace(&mut state.listed, true) {
            let session = self.ensure_created(state)?.session.clone();
            contents::report_installed(&self.site, &session)?;
        }
        Ok(())
    }
}

impl BackendEnv for Arc<PackagingInstaller> {
    fn prepare(&self) -> anyhow::Result<CommandSession> {
        Ok(self.ensure_created(&mut lock(&self.state))?.session.clone())
    }

    fn install(&self, requirements: &[String], of_type: &str) -> anyhow::Result<()> {
        let mut state = lock(&self.state);
        let foundation = self.ensure_created(&mut state)?;
        Ok(Installing::new(&self.site, foundation).ensure(section::PACKAGING, of_type, |conditions, old| {
            conditions.requirements(requirements.to_vec(), of_type, old)
        })?)
    }

    fn equipped(&self) -> anyhow::Result<()> {
        Ok(self.list_contents(&mut lock(&self.state))?)
    }

    fn recreate(&self, reason: &str) -> anyhow::Result<()> {
        lock(&self.state).foundation = None;
        Ok(self.remove_because(reason)?)
    }
}
