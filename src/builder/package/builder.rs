//! Builds the project in one packaging environment: every kind of package once, for any number of environments and
//! threads. Creates and installs nothing itself: a [`BackendEnv`] does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;

use crate::builder::package::backend::BuildSystem;
use crate::builder::package::frontend::{BackendLaunch, BuildTarget, ConfigSettings, Frontend};
use crate::builder::package::staging;
use crate::builder::package::staging::Staging;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::Level;
use crate::execute::session::CommandSession;
use crate::model::environment::PackageBuild;
use crate::model::pep508::Requirement;
use crate::model::requirements::RequirementText;
use crate::model::{Deferred, Environment, PackageKind};
use crate::package::archive;
use crate::package::metadata::{CoreMetadata, static_requirements};
use crate::package::{BuiltPackage, PackageFile};

/// Prepares the packaging environment; called only when a backend is needed.
pub trait BackendEnv: Send + Sync {
    /// Makes sure that the environment exists and returns the session for its commands. Called once before anything is
    /// installed, and again after [`BackendEnv::recreate`].
    fn prepare(&self) -> Result<CommandSession>;

    /// Installs requirements (canonical, possibly none) into it. `of_type` is tox's: `requires`, `deps`,
    /// `requires_for_build_wheel`, …
    ///
    /// # Errors
    /// If that fails; [`crate::env_error::EnvError::Recreate`] if a new environment is needed.
    fn install(&self, requirements: &[String], of_type: &str) -> Result<()>;

    /// Called when everything needed for building is installed; another kind of build may install more.
    fn equipped(&self) -> Result<()>;

    /// Removes the environment and reports the reason.
    fn recreate(&self, reason: &str) -> Result<()>;
}

/// The package that one environment needs.
#[derive(Debug, Clone)]
pub struct PackageNeed {
    pub environment: String,
    pub kind: PackageKind,
}

/// A request for an environment's package.
#[derive(Clone, Copy)]
pub struct BuildRequest<'a> {
    pub kind: PackageKind,
    pub extras: &'a [String],
    /// The builder of the environment's `wheel_build_env`; `None` when that is this builder's own environment.
    pub wheel_builder: Option<&'a PackageBuilder>,
}

/// The settings of a packaging environment that a builder uses.
#[derive(Debug, Clone)]
pub struct PackagingEnvSpec {
    pub name: String,
    pub env_dir: PathBuf,
    pub tmp_dir: PathBuf,
    pub deps: Deferred<RequirementText>,
    pub build: PackageBuild,
    /// Destination of the copies for installers: `package` below `temp_dir` (`.tox/.tmp/package`).
    pub staging: Staging,
}

impl PackagingEnvSpec {
    pub fn of(environment: &Environment, staging: Staging) -> Result<Self> {
        let build = environment.package.build.clone();
        Ok(Self {
            name: environment.name.clone(),
            env_dir: environment.folders.env_dir.clone(),
            tmp_dir: environment.folders.tmp_dir.clone(),
            deps: environment.contents.dependencies.deps.clone(),
            build: build.with_context(|| format!("{} is not a packaging environment", environment.name))?,
            staging,
        })
    }
}

/// Builds in one packaging environment.
pub struct PackageBuilder {
    env: PackagingEnvSpec,
    backend_env: Box<dyn BackendEnv>,
    state: Mutex<BuilderState>,
}

struct BuilderState {
    /// The sources: the project, or an unpacked source archive.
    root: PathBuf,
    wanted: Vec<PackageNeed>,
    frontend: Option<Frontend>,
    /// Whether `[build-system]`'s requirements are installed.
    ready: bool,
    /// The backend's requirements for each target asked about; they are installed.
    required: BTreeMap<BuildTarget, Vec<String>>,
    metadata: Option<CoreMetadata>,
    /// The folder a backend prepared, for the build that follows.
    prepared: Option<(BuildTarget, PathBuf)>,
    /// Wheels built from the source archive, by the name of the environment that built them: a wheel with an extension
    /// module fits one interpreter only.
    wheels_of_sdist: HashMap<String, PathBuf>,
    copies: Vec<PathBuf>,
}

impl PackageBuilder {
    /// `wanted`: the needs of all environments of this run, since one preparation serves them all.
    pub fn new(env: PackagingEnvSpec, wanted: Vec<PackageNeed>, backend_env: Box<dyn BackendEnv>) -> Self {
        let state = BuilderState {
            root: env.build.package_root.clone(),
            wanted,
            frontend: None,
            ready: false,
            required: BTreeMap::new(),
            metadata: None,
            prepared: None,
            wheels_of_sdist: HashMap::new(),
            copies: Vec::new(),
        };
        Self { env, backend_env, state: Mutex::new(state) }
    }

    pub fn name(&self) -> &str {
        &self.env.name
    }

    /// Builds the package for `request`, or reuses an earlier build; each call gets its own copy.
    ///
    /// # Errors
    /// [`crate::env_error::BackendFailed`], a [`ConfigError`], an interrupt, or an error of the [`BackendEnv`].
    pub fn build(&self, request: BuildRequest<'_>) -> Result<Vec<BuiltPackage>> {
        if let (PackageKind::Wheel | PackageKind::Editable, Some(other)) = (request.kind, request.wheel_builder) {
            return other.build(BuildRequest { wheel_builder: None, ..request });
        }
        let mut state = self.state.lock();
        let requirements = self.requirements(&mut state, request.kind, request.extras)?;
        if request.kind == PackageKind::Editable {
            // Asking for the requirements shows whether a backend can build editable wheels.
            self.set_up(&mut state, Some(BuildTarget::Editable))?;
        }
        let package = match state.effective(request.kind) {
            PackageKind::EditableLegacy => self.editable_legacy(&mut state, requirements)?,
            PackageKind::Sdist => {
                let path = self.build_target(&mut state, BuildTarget::Sdist)?;
                let config_settings = self.text_settings("build_wheel");
                let file = PackageFile::Sdist { config_settings };
                BuiltPackage { path: self.stage(&mut state, &path)?, file, requirements }
            }
            PackageKind::SdistWheel => {
                let wheel = self.wheel_of_sdist(&mut state, request.wheel_builder)?;
                BuiltPackage { path: self.stage(&mut state, &wheel)?, file: PackageFile::Wheel, requirements }
            }
            PackageKind::Wheel => {
                let path = self.build_target(&mut state, BuildTarget::Wheel)?;
                BuiltPackage { path: self.stage(&mut state, &path)?, file: PackageFile::Wheel, requirements }
            }
            PackageKind::Editable => {
                let path = self.build_target(&mut state, BuildTarget::Editable)?;
                BuiltPackage { path: self.stage(&mut state, &path)?, file: PackageFile::Editable, requirements }
            }
            PackageKind::DepsOnly | PackageKind::External => {
                bail!("cannot handle package type {:?}", request.kind);
            }
        };
        Ok(vec![package])
    }

    /// The requirements of the project, if possible without building it (`deps-only`).
    pub fn dependencies(&self, request: BuildRequest<'_>) -> Result<Vec<String>> {
        if let (PackageKind::Wheel | PackageKind::Editable, Some(other)) = (request.kind, request.wheel_builder) {
            return other.dependencies(BuildRequest { wheel_builder: None, ..request });
        }
        self.requirements(&mut self.state.lock(), request.kind, request.extras)
    }

    /// Reads the requirements of a source archive that was built elsewhere (`--installpkg`, `package = external`) by
    /// asking its backend, after unpacking it into `unpack_in`.
    ///
    /// # Errors
    /// If it cannot be unpacked, and as for [`PackageBuilder::build`].
    pub fn describe_sdist(&self, sdist: &Path, unpack_in: &Path, extras: &[String]) -> Result<BuiltPackage> {
        let mut state = self.state.lock();
        if state.metadata.is_none() {
            archive::unpack(sdist, archive::fresh(unpack_in)?)?;
            let root = archive::source_root(unpack_in)?;
            let nothing = || ConfigError::fail(format!("no files inside {}", sdist.display()));
            state.root = root.ok_or_else(nothing)?;
            state.frontend = None;
        }
        let metadata = self.metadata(&mut state, BuildTarget::Wheel)?;
        let requirements = metadata.requirements(extras)?;
        let file = PackageFile::Sdist { config_settings: Vec::new() };
        Ok(BuiltPackage { path: sdist.to_owned(), file, requirements })
    }

    /// Ends the backend and removes the copies for installers. Call this when no environment needs them any more.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        let reporter = state.frontend.as_ref().map(|frontend| frontend.session().reporter.clone());
        if let Some(mut frontend) = state.frontend.take() {
            frontend.finish();
        }
        for copy in std::mem::take(&mut state.copies) {
            let removed = std::fs::remove_file(&copy);
            let Some(reporter) = &reporter else { continue };
            let shown = copy.display();
            match removed {
                Ok(()) => reporter.message(self.name(), Level::Debug, format!("delete package {shown}")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => reporter.warning(self.name(), format!("failed to delete package {shown}: {error}")),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn spec_mut(&mut self) -> &mut PackagingEnvSpec {
        &mut self.env
    }

    /// The requirements of the project that apply with `extras`.
    fn requirements(&self, state: &mut BuilderState, kind: PackageKind, extras: &[String]) -> Result<Vec<String>> {
        if let Some(known) = static_requirements(&state.root, extras)? {
            return Ok(known);
        }
        let mut target = BuildTarget::Wheel;
        if state.effective(kind) == PackageKind::Editable {
            self.set_up(state, Some(BuildTarget::Editable))?;
            if state.effective(kind) == PackageKind::Editable {
                target = BuildTarget::Editable;
            }
        }
        Ok(self.metadata(state, target)?.requirements(extras)?)
    }

    /// The project's metadata: prepared by the backend, or from a build that is needed anyway.
    fn metadata(&self, state: &mut BuilderState, target: BuildTarget) -> Result<CoreMetadata> {
        if let Some(known) = &state.metadata {
            return Ok(known.clone());
        }
        self.set_up(state, Some(target))?;
        let folder = self.meta_folder()?;
        let will_build =
            state.wanted.iter().any(|wanted| matches!(wanted.kind, PackageKind::Wheel | PackageKind::Editable));
        let prepared = if will_build {
            None
        } else {
            let settings = self.settings(&format!("prepare_metadata_for_build_{}", target.name()));
            self.frontend(state)?.prepare_metadata(target, &folder, settings)?
        };
        let metadata = match prepared {
            Some(folder) => {
                let metadata = CoreMetadata::of_folder(&folder)?;
                state.prepared = Some((target, folder));
                metadata
            }
            None => {
                let wheel = self.build_target(state, target)?;
                let missing = || ConfigError::fail(format!("missing wheel file return by backed {}", wheel.display()));
                ensure!(wheel.exists(), missing());
                CoreMetadata::of_wheel(&wheel)?
            }
        };
        state.metadata = Some(metadata.clone());
        Ok(metadata)
    }

    fn meta_folder(&self) -> Result<PathBuf> {
        let folder = &self.env.build.meta_dir;
        let link = || {
            ConfigError::fail(format!(
                "{} is a link where the package metadata should live; delete it",
                folder.display()
            ))
        };
        ensure!(!folder.is_symlink(), link());
        fs_err::create_dir_all(folder)?;
        Ok(folder.clone())
    }

    fn build_target(&self, state: &mut BuilderState, target: BuildTarget) -> Result<PathBuf> {
        self.set_up(state, Some(target))?;
        let metadata = state.prepared.clone().filter(|(prepared, _)| *prepared == target).map(|(_, folder)| folder);
        let settings = self.settings(&format!("build_{}", target.name()));
        self.frontend(state)?.build(target, &self.env.build.package_dir, metadata.as_deref(), settings)
    }

    fn editable_legacy(&self, state: &mut BuilderState, requirements: Vec<String>) -> Result<BuiltPackage> {
        self.set_up(state, None)?;
        let settings = self.settings("get_requires_for_build_sdist");
        let frontend = self.frontend(state)?;
        let mut all = frontend.build_system().requires.clone();
        all.extend(frontend.requires(BuildTarget::Sdist, settings)?);
        all.extend(requirements);
        Ok(BuiltPackage { path: state.root.clone(), file: PackageFile::EditableLegacy, requirements: all })
    }

    /// Builds a wheel from the source archive in the wheel environment, which reveals files missing from the archive.
    fn wheel_of_sdist(&self, state: &mut BuilderState, wheel_builder: Option<&Self>) -> Result<PathBuf> {
        let builder = wheel_builder.unwrap_or(self).name();
        if let Some(known) = state.wheels_of_sdist.get(builder) {
            return Ok(known.clone());
        }
        // Recreating the environment removes the unpacked sources too.
        let wheel = self.again_if_stale(state, |state| self.try_wheel_of_sdist(state, wheel_builder))?;
        state.wheels_of_sdist.insert(builder.to_owned(), wheel.clone());
        Ok(wheel)
    }

    fn try_wheel_of_sdist(&self, state: &mut BuilderState, wheel_builder: Option<&Self>) -> Result<PathBuf> {
        let sdist = self.build_target(state, BuildTarget::Sdist)?;
        let name = sdist.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let session = self.frontend(state)?.session().clone();
        session.reporter.info(self.name(), format!("built sdist {name}, now building wheel from it"));
        let unpacked = self.env.tmp_dir.join("sdist-extract");
        archive::unpack(&sdist, archive::fresh(&unpacked)?)?;
        let root = archive::source_root(&unpacked)?.unwrap_or(unpacked);
        match wheel_builder {
            Some(other) => other.build_wheel_at(&mut other.state.lock(), &root),
            None => {
                // These sources may need other requirements than the project; those already installed are not missing.
                let known = state.required.remove(&BuildTarget::Wheel).unwrap_or_default();
                self.try_build_wheel_at(state, &root, known)
            }
        }
    }

    /// Builds a wheel of other sources than the project's.
    fn build_wheel_at(&self, state: &mut BuilderState, root: &Path) -> Result<PathBuf> {
        self.again_if_stale(state, |state| self.try_build_wheel_at(state, root, Vec::new()))
    }

    /// `known`: requirements for building wheels that are already installed.
    fn try_build_wheel_at(&self, state: &mut BuilderState, root: &Path, known: Vec<String>) -> Result<PathBuf> {
        let was_ready = state.ready;
        if !was_ready {
            // These sources prepare the environment for everything that is built in it.
            self.prepare_environment(state, root)?;
        }
        // tox has one backend at a time in an environment, and ends this one silently.
        self.frontend(state)?.forget_process();
        let session = self.frontend(state)?.session().clone();
        let mut frontend = Frontend::new(self.launch(root.to_owned(), BuildSystem::read(root)?, session));
        let mut targets = if was_ready { BTreeSet::new() } else { targets_of(&state.wanted) };
        targets.extend((!state.required.contains_key(&BuildTarget::Wheel)).then_some(BuildTarget::Wheel));
        for target in targets {
            if target == BuildTarget::Editable && !frontend.has("build_editable")? {
                continue;
            }
            let known = if target == BuildTarget::Wheel { known.clone() } else { Vec::new() };
            state.required.insert(target, self.install_requirements(&mut frontend, target, known)?);
        }
        self.backend_env.equipped()?;
        let wheel = frontend.build(BuildTarget::Wheel, &self.env.build.package_dir, None, self.settings("build_wheel"));
        frontend.forget_process();
        wheel
    }

    /// Installs the backend's requirements for `target` that are not in `known`, and returns both.
    fn install_requirements(
        &self,
        frontend: &mut Frontend,
        target: BuildTarget,
        known: Vec<String>,
    ) -> Result<Vec<String>> {
        let name = target.name();
        let mut requires = frontend.requires(target, self.settings(&format!("get_requires_for_build_{name}")))?;
        requires.extend(known.into_iter().filter(|requirement| !requires.contains(requirement)).collect::<Vec<_>>());
        self.backend_env.install(&requires, &format!("requires_for_build_{name}"))?;
        if self.env.build.fresh_subprocess && !requires.is_empty() {
            // The new packages may change what the backend finds when it is loaded.
            frontend.forget_process();
        }
        Ok(requires)
    }

    fn frontend<'s>(&self, state: &'s mut BuilderState) -> Result<&'s mut Frontend> {
        if !state.ready {
            self.set_up(state, None)?;
        }
        state.frontend.as_mut().context("the packaging environment is not ready")
    }

    fn launch(&self, root: PathBuf, build_system: BuildSystem, session: CommandSession) -> BackendLaunch {
        let script_folder = self.env.env_dir.join(".envo");
        BackendLaunch { root, build_system, script_folder, fresh_process: self.env.build.fresh_subprocess, session }
    }

    /// Prepares the environment for the needs of all environments, and for `target`.
    fn set_up(&self, state: &mut BuilderState, target: Option<BuildTarget>) -> Result<()> {
        self.again_if_stale(state, |state| self.try_set_up(state, target))
    }

    /// Does `work`, and repeats it in a new environment if it asks for one.
    fn again_if_stale<T>(&self, state: &mut BuilderState, work: impl Fn(&mut BuilderState) -> Result<T>) -> Result<T> {
        let error = match work(state) {
            Err(error) => error,
            done => return done,
        };
        match error.downcast::<EnvError>() {
            Ok(EnvError::Recreate(reason)) => {
                // Dropping the front end ends a process of the old environment.
                (state.ready, state.frontend) = (false, None);
                // Prepared and built files were removed with the environment.
                state.prepared = None;
                state.wheels_of_sdist.clear();
                state.required.clear();
                self.backend_env.recreate(&reason)?;
                work(state)
            }
            Ok(error) => Err(error.into()),
            Err(error) => Err(error),
        }
    }

    fn try_set_up(&self, state: &mut BuilderState, target: Option<BuildTarget>) -> Result<()> {
        if !state.ready {
            let root = state.root.clone();
            self.prepare_environment(state, &root)?;
        }
        let mut targets = targets_of(&state.wanted);
        targets.extend(target);
        for target in targets {
            if state.required.contains_key(&target) {
                continue;
            }
            let Some(frontend) = &mut state.frontend else { bail!("the packaging environment is not ready") };
            if target == BuildTarget::Editable && !frontend.has("build_editable")? {
                self.fall_back_to_legacy(state);
                continue;
            }
            let installed = self.install_requirements(frontend, target, Vec::new())?;
            state.required.insert(target, installed);
        }
        self.backend_env.equipped()
    }

    /// Creates the environment and installs the requirements of `[build-system]` in `root` and, for legacy builds,
    /// `deps`.
    fn prepare_environment(&self, state: &mut BuilderState, root: &Path) -> Result<()> {
        let deps = self.deps(state)?;
        let build_system = BuildSystem::read(root)?;
        let session = self.backend_env.prepare()?;
        self.backend_env.install(&build_system.requires, "requires")?;
        self.backend_env.install(&deps, "deps")?;
        state.frontend = Some(Frontend::new(self.launch(state.root.clone(), build_system, session)));
        state.ready = true;
        Ok(())
    }

    /// `deps` of the packaging environment, which only `editable-legacy` may have.
    fn deps(&self, state: &BuilderState) -> Result<Vec<String>> {
        let text = self.env.deps.get()?.text;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let wrong = |error| ConfigError::handled(format!("failed to load {}.deps: {error}", self.name()));
        let deps = lines.map(|line| Ok(line.parse::<Requirement>().map_err(wrong)?.to_string()));
        let deps = deps.collect::<Result<Vec<_>, ConfigError>>()?;
        let standard = |wanted: &PackageNeed| {
            matches!(
                wanted.kind,
                PackageKind::Sdist | PackageKind::SdistWheel | PackageKind::Wheel | PackageKind::Editable
            )
        };
        if !deps.is_empty() && state.wanted.iter().all(standard) {
            let name = crate::python_text::python_repr(self.name());
            return Err(ConfigError::fail(format!(
                "PEP-517 packaging environment {name} does not support the deps configuration. Build dependencies \
                 should be specified in the [build-system] table of pyproject.toml or by the build backend via \
                 get_requires_for_build hooks"
            ))
            .into());
        }
        Ok(deps)
    }

    /// The backend cannot build editable wheels: `pip install -e` is used instead.
    fn fall_back_to_legacy(&self, state: &mut BuilderState) {
        let mut names = BTreeSet::new();
        for wanted in state.wanted.iter_mut().filter(|wanted| wanted.kind == PackageKind::Editable) {
            wanted.kind = PackageKind::EditableLegacy;
            names.insert(wanted.environment.clone());
        }
        // Reported only once.
        let Some(frontend) = state.frontend.as_ref().filter(|_| !names.is_empty()) else { return };
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let backend = frontend.build_system().key();
        let text = format!(
            "package config for {names} is editable, however the build backend {backend} does not support PEP-660, \
             falling back to editable-legacy - change your configuration to it"
        );
        frontend.session().reporter.error(self.name(), text);
    }

    fn stage(&self, state: &mut BuilderState, package: &Path) -> Result<PathBuf> {
        let copy = staging::copy(package, &self.env.staging)?;
        let session = self.frontend(state)?.session();
        session.reporter.message(self.name(), Level::Debug, staging::describe(package, &copy));
        state.copies.push(copy.clone());
        Ok(copy)
    }

    fn settings(&self, hook: &str) -> ConfigSettings {
        let (_, pairs) = self.env.build.config_settings.iter().find(|(name, _)| name == hook)?;
        Some(pairs.iter().cloned().collect())
    }

    /// The settings of a hook as pip's command-line arguments.
    fn text_settings(&self, hook: &str) -> Vec<(String, String)> {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        self.settings(hook).into_iter().flatten().map(|(key, value)| (key, text(value))).collect()
    }
}

impl BuilderState {
    /// The kind of package that is built when an environment asks for `kind`.
    fn effective(&self, kind: PackageKind) -> PackageKind {
        let legacy =
            kind == PackageKind::Editable && self.frontend.as_ref().is_some_and(|frontend| frontend.lacks_editable());
        if legacy { PackageKind::EditableLegacy } else { kind }
    }
}

/// The targets a backend is asked about before anything is built.
fn targets_of(wanted: &[PackageNeed]) -> BTreeSet<BuildTarget> {
    wanted.iter().filter_map(|wanted| target_of(wanted.kind)).collect()
}

fn target_of(kind: PackageKind) -> Option<BuildTarget> {
    match kind {
        PackageKind::Sdist | PackageKind::SdistWheel | PackageKind::External => Some(BuildTarget::Sdist),
        PackageKind::Wheel => Some(BuildTarget::Wheel),
        PackageKind::Editable => Some(BuildTarget::Editable),
        PackageKind::EditableLegacy | PackageKind::DepsOnly => None,
    }
}

/// Reads a wheel that was built elsewhere (`--installpkg`, `package = external`).
pub fn describe_wheel(wheel: &Path, extras: &[String]) -> Result<BuiltPackage, ConfigError> {
    let requirements = CoreMetadata::of_wheel(wheel)?.requirements(extras)?;
    Ok(BuiltPackage { path: wheel.to_owned(), file: PackageFile::Wheel, requirements })
}
