//! Adds runtimes other than Python to an environment: finds their programs, links them into it and installs their
//! dependencies. Files are installed next to their final path and moved there only when complete, so a failure leaves
//! the old state.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::runtime_steps::StepPurpose;
use crate::did_you_mean::closest;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::EnvPhase;
use crate::execute::session::{AllowedPrograms, CommandSession};
use crate::model::Environment;
use crate::model::runtime::{DEFAULT, RuntimeRequirement, RuntimeVersionRequirement};
use crate::runtime::programs::{FoundProgram, OtherVersions, ProgramSearch};
use crate::runtime::{self, RUNTIMES, Runtime, RuntimeContents, RuntimeLocation, RuntimeVariables};

/// The section of `.tox-info.json` that records what was installed; tox ignores it.
pub(super) const SECTION: &str = "envo";

/// One runtime of one environment.
pub struct RuntimeInstallation {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) requirement: RuntimeRequirement,
    /// `None`: it has no program of its own.
    program: Option<FoundProgram>,
    /// The folder searched for its manifest.
    pub(super) project: PathBuf,
}

impl EnvBuilder {
    /// Finds the programs of the environment's runtimes.
    pub fn find_runtimes(&self) -> Result<Vec<RuntimeInstallation>, EnvError> {
        let environment = &self.environment;
        check(environment)?;
        let others = environment.runtimes.iter().filter(|requirement| requirement.name != DEFAULT);
        let parts = others
            .map(|requirement| self.find_runtime(requirement))
            .collect::<Result<Vec<RuntimeInstallation>, EnvError>>()?;
        if let Some(journal) = &self.journal {
            let found = parts.iter().filter_map(|part| Some((part.runtime.name(), part.program.as_ref()?)));
            journal.runtimes(found.map(|(name, found)| (name, found.executable.as_path(), found.version.to_string())));
        }
        Ok(parts)
    }

    /// The environment's runtimes without looking for their programs.
    pub fn runtimes_without_programs(&self) -> Result<Vec<RuntimeInstallation>, EnvError> {
        let others = self.environment.runtimes.iter().filter(|requirement| requirement.name != DEFAULT);
        others.map(|requirement| self.part(requirement)).collect()
    }

    fn part(&self, requirement: &RuntimeRequirement) -> Result<RuntimeInstallation, EnvError> {
        let Some(runtime) = runtime::named(&requirement.name) else {
            return Err(unknown(requirement, &self.environment.name).into());
        };
        Ok(RuntimeInstallation {
            runtime,
            requirement: requirement.clone(),
            program: None,
            project: self.manifest_folder(runtime)?,
        })
    }

    fn find_runtime(&self, requirement: &RuntimeRequirement) -> Result<RuntimeInstallation, EnvError> {
        let mut part = self.part(requirement)?;
        let runtime = part.runtime;
        if runtime.program().is_none() {
            return Ok(part);
        }
        let version = part.version_requirement()?;
        let search = ProgramSearch { host: &self.run.host, interrupt: self.interrupt() };
        part.program = match search.find(runtime, version.as_ref()) {
            Ok(program) => Some(program),
            Err(others) if requirement.install => Some(self.fetch(&part, version.as_ref(), &others)?),
            Err(others) => return Err(self.missing(&part, version.as_ref(), &others)),
        };
        Ok(part)
    }

    /// The working folder of the environment's commands if it has a manifest of the runtime, else the project's root.
    fn manifest_folder(&self, runtime: &dyn Runtime) -> Result<PathBuf, EnvError> {
        let change_dir = self.environment.execution.change_dir.get()?;
        let has_manifest = runtime.manifests().iter().any(|name| has(&change_dir, name));
        Ok(if has_manifest { change_dir } else { self.run.project.root.clone() })
    }

    /// Downloads the program from the first index that has it.
    fn fetch(
        &self,
        part: &RuntimeInstallation,
        version: Option<&RuntimeVersionRequirement>,
        others: &OtherVersions,
    ) -> Result<FoundProgram, EnvError> {
        let (runtime, name) = (part.runtime, &self.environment.name);
        let wheel = runtime.wheel(version.map(|version| version.text.as_str()));
        let packages = runtime.npm_packages();
        if wheel.is_none() && packages.is_none() {
            return Err(self.missing(part, version, others));
        }
        self.run.enter(name, EnvPhase::Fetch);
        let python = &self.run.python;
        let mut failed: Vec<String> = Vec::new();
        if let Some(wheel) = wheel {
            self.reporter.info(name, format!("fetch {}", wheel.requirement));
            match python.fetch_program(runtime, &wheel) {
                Ok(()) => return self.fetched(part, version),
                Err(error) => failed.push(format!("{} of Python's index: {error:#}", wheel.requirement)),
            }
        }
        if let Some(packages) = packages.filter(|_| !self.interrupt().requested()) {
            let wanted = version.map_or_else(String::new, |version| format!("@{}", version.text));
            self.reporter.info(name, format!("fetch {}{wanted} from npm's registry", packages.program));
            match python.fetch_from_registry(runtime, &packages, (version, &self.run.project.root)) {
                Ok(()) => return self.fetched(part, version),
                Err(error) => failed.push(format!("{} of npm's registry: {error:#}", packages.program)),
            }
        }
        let text = format!(
            "`runtime = {}` of {name} could not be fetched\n  {}",
            part.shown(version),
            failed.join("\n").replace('\n', "\n  ")
        );
        let error = ConfigError::fail(text)
            .hint(format!("look at the version, the network and the settings of the indexes; or {}", runtime.remedy()));
        Err(match &part.requirement.place {
            Some(location) => error.at((**location).clone()).into(),
            None => error.into(),
        })
    }

    fn fetched(
        &self,
        part: &RuntimeInstallation,
        version: Option<&RuntimeVersionRequirement>,
    ) -> Result<FoundProgram, EnvError> {
        let search = ProgramSearch { host: &self.run.host, interrupt: self.interrupt() };
        search.find(part.runtime, version).map_err(|others| self.missing(part, version, &others))
    }

    fn missing(
        &self,
        part: &RuntimeInstallation,
        version: Option<&RuntimeVersionRequirement>,
        others: &OtherVersions,
    ) -> EnvError {
        if self.interrupt().requested() {
            return EnvError::Interrupted;
        }
        let name = &self.environment.name;
        let text = format!("could not find the runtime {} of {name}{}", part.shown(version), found_versions(others));
        if self.environment.python.skip_missing_interpreters {
            return EnvError::Skip(text);
        }
        let error = ConfigError::fail(text).hint(part.runtime.remedy());
        match &part.requirement.place {
            Some(location) => error.at((**location).clone()).into(),
            None => error.into(),
        }
    }

    /// Links the programs into the environment, so that they are found before others on PATH.
    pub fn link_runtimes(&self, parts: &[RuntimeInstallation]) -> Result<(), EnvError> {
        let bin = self.environment.folders.env_dir.join("bin");
        for part in parts {
            let Some(program) = &part.program else { continue };
            fs_err::create_dir_all(&bin)?;
            let folder = program.executable.parent().unwrap_or(Path::new("/"));
            for name in part.runtime.program().into_iter().chain(part.runtime.companions().iter().copied()) {
                let target = folder.join(name);
                if target.exists() {
                    link(&target, &bin.join(name))?;
                }
            }
        }
        Ok(())
    }

    /// Installs the dependencies of the environment's runtimes, unless they are installed, and adds their variables to
    /// its session.
    ///
    /// # Errors
    /// Errors in the project's files; [`EnvError::ExitExplaining`] if an installer fails.
    pub fn install_runtimes(&self, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let parts = std::mem::take(&mut created.languages);
        for part in &parts {
            self.repair(part, &mut created.stamp)?;
            if !self.run.options.skip.skip_environment_install {
                self.install_runtime(part, created)?;
            }
            let folder = self.folder_of(part);
            let runtime_variables = part.runtime.runtime_variables(&self.location(part, &folder, &created.session));
            self.add_variables(&mut created.session, runtime_variables)?;
        }
        created.languages = parts;
        Ok(())
    }

    fn install_runtime(&self, part: &RuntimeInstallation, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let dependencies = part.requirement.dependencies.get()?;
        let folder = self.folder_of(part);
        let location = self.location(part, &folder, &created.session);
        let fail = |text: String| self.wrong(part, &text);
        let contents = part
            .runtime
            .contents(&runtime::RuntimeInstallRequest { location, dependencies: &dependencies })
            .map_err(fail)?;
        let stamp = part.stamp(&contents);
        let name = part.runtime.name();
        let is_there = folder.is_dir() || contents.steps.is_empty();
        if is_there && created.stamp.holds(SECTION, Some(name), &stamp) {
            return Ok(());
        }
        if contents.steps.is_empty() {
            self.replace(part, None, created)?;
        } else {
            // The steps name folders, so they are planned again for the folder they run in.
            let unfinished = self.unfinished_folder(part);
            remove(&unfinished)?;
            let location = self.location(part, &unfinished, &created.session);
            let contents = part
                .runtime
                .contents(&runtime::RuntimeInstallRequest { location, dependencies: &dependencies })
                .map_err(fail)?;
            if let Err(error) = self.fill(part, &unfinished, &contents, &created.session) {
                remove(&unfinished)?;
                return Err(error);
            }
            self.replace(part, Some(&unfinished), created)?;
        }
        // An installer may have written a lock file, which counts from now on.
        let location = self.location(part, &folder, &created.session);
        let contents = part
            .runtime
            .contents(&runtime::RuntimeInstallRequest { location, dependencies: &dependencies })
            .map_err(fail)?;
        created.stamp.record(SECTION, Some(name), part.stamp(&contents))?;
        Ok(self.settle_runtime(part)?)
    }

    /// Writes the files and runs the steps.
    fn fill(
        &self,
        part: &RuntimeInstallation,
        folder: &Path,
        contents: &RuntimeContents,
        session: &CommandSession,
    ) -> Result<(), EnvError> {
        let environment = &self.environment.name;
        self.run.enter(environment, EnvPhase::Install);
        fs_err::create_dir_all(folder)?;
        // Computed before the files exist: the installer itself does not need them.
        let mut session = CommandSession {
            programs: AllowedPrograms { allow: vec!["*".to_owned()], ..session.clone().programs },
            ..session.clone()
        };
        let runtime_variables = part.runtime.runtime_variables(&self.location(part, folder, &session));
        self.add_variables(&mut session, runtime_variables)?;
        write_files(folder, &contents.files)?;
        for link in &contents.links {
            let location = folder.join(&link.location);
            fs_err::create_dir_all(location.parent().unwrap_or(folder))?;
            fs_err::os::unix::fs::symlink(&link.target, &location)?;
        }
        for step in &contents.steps {
            self.run_steps(part, step, &session, StepPurpose::Install)?;
        }
        Ok(())
    }

    /// An error in a project's files or dependencies.
    pub(super) fn wrong(&self, part: &RuntimeInstallation, text: &str) -> EnvError {
        let error = ConfigError::fail(format!("{text} (environment {})", self.environment.name));
        match &part.requirement.place {
            Some(location) => error.at((**location).clone()).into(),
            None => error.into(),
        }
    }

    pub(super) fn folder_of(&self, part: &RuntimeInstallation) -> PathBuf {
        self.environment.folders.env_dir.join(part.runtime.name())
    }

    pub(super) fn location<'a>(
        &'a self,
        part: &'a RuntimeInstallation,
        folder: &'a Path,
        session: &'a CommandSession,
    ) -> RuntimeLocation<'a> {
        RuntimeLocation {
            env_dir: &self.environment.folders.env_dir,
            folder,
            root: &self.run.project.root,
            project: &part.project,
            version: part.program.as_ref().map(|program| &program.version),
            lock: part.requirement.lock.as_deref(),
            variables: &session.variables,
        }
    }

    /// Adds the runtime's variables to `session`; `set_env` takes precedence, except for path lists the runtime adds
    /// to.
    pub(super) fn add_variables(
        &self,
        session: &mut CommandSession,
        runtime_variables: RuntimeVariables,
    ) -> Result<(), EnvError> {
        let set = self.environment.variables.set.get()?;
        for (name, value) in runtime_variables.variables {
            let said = set.iter().find(|(other, _)| *other == name);
            if said.is_none_or(|(_, own)| value.contains(own.as_str())) {
                session.variables.set(name, value);
            }
        }
        for path in runtime_variables
            .paths
            .into_iter()
            .filter(|path| !session.programs.paths.contains(path))
            .collect::<Vec<_>>()
        {
            session.add_path(path);
        }
        Ok(())
    }
}

impl RuntimeInstallation {
    /// Whether the project has a manifest of the runtime.
    pub(super) fn has_manifest(&self) -> bool {
        self.runtime.manifests().iter().any(|name| has(&self.project, name))
    }

    /// The folder of its program.
    pub(super) fn program_folder(&self) -> Option<&Path> {
        self.program.as_ref()?.executable.parent()
    }

    /// The version after `@`, else the factor's.
    fn version_requirement(&self) -> Result<Option<RuntimeVersionRequirement>, EnvError> {
        if self.requirement.version.is_some() {
            return Ok(self.requirement.version.clone());
        }
        let Some(digits) = &self.requirement.factor else { return Ok(None) };
        Ok(RuntimeVersionRequirement::parse(&self.runtime.factor_version(digits)))
    }

    fn shown(&self, version: Option<&RuntimeVersionRequirement>) -> String {
        let name = self.runtime.name();
        version.map_or_else(|| name.to_owned(), |version| format!("{name}@{}", version.text))
    }

    fn stamp(&self, contents: &RuntimeContents) -> Value {
        let program = self.program.as_ref();
        json!({
            "executable": program.map(|program| program.executable.display().to_string()),
            "version": program.map(|program| program.version.to_string()),
            "inputs": contents.inputs,
        })
    }
}

pub(super) fn check(environment: &Environment) -> Result<(), EnvError> {
    if !environment.has_python() && !environment.contents.dependencies.deps.get()?.text.trim().is_empty() {
        let text = format!("`deps` of {} are Python's, and its `runtime` has no Python", environment.name);
        let hint = format!("add `{DEFAULT}` to `runtime`, or use the runtime's own key, such as `node_deps`");
        return Err(ConfigError::fail(text).hint(hint).into());
    }
    let is_unknown =
        |requirement: &&RuntimeRequirement| requirement.name != DEFAULT && runtime::named(&requirement.name).is_none();
    environment
        .runtimes
        .iter()
        .find(is_unknown)
        .map_or(Ok(()), |requirement| Err(unknown(requirement, &environment.name).into()))
}

fn unknown(requirement: &RuntimeRequirement, environment: &str) -> ConfigError {
    let names: Vec<&str> = std::iter::once(DEFAULT).chain(RUNTIMES.iter().map(|runtime| runtime.name())).collect();
    let error = ConfigError::fail(format!("unknown runtime `{}` of {environment}", requirement.name));
    let error = match closest(&requirement.name, names.iter().copied()) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint(format!("there are {}", names.join(", "))),
    };
    match &requirement.place {
        Some(location) => error.at((**location).clone()),
        None => error,
    }
}

/// Whether a file of that name exists; the name may begin with `*`.
/// Whether a folder has a manifest of that name; `*` stands for any beginning.
pub(super) fn has(folder: &Path, name: &str) -> bool {
    let Some(ending) = name.strip_prefix('*') else { return folder.join(name).is_file() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(ending))
}

fn found_versions(others: &OtherVersions) -> String {
    let Some(last) = others.0.last() else { return String::new() };
    let all: Vec<String> =
        others.0.iter().map(|program| format!("{} ({})", program.version, program.executable.display())).collect();
    if others.0.len() > 4 {
        format!("; there are {} others, such as {}", all.len(), last.version)
    } else {
        format!("; found {}", all.join(", "))
    }
}

pub(super) fn write_files(folder: &Path, files: &[(PathBuf, Vec<u8>)]) -> std::io::Result<()> {
    for (name, content) in files {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(folder))?;
        fs_err::write(path, content)?;
    }
    Ok(())
}

pub(super) fn remove(folder: &Path) -> std::io::Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Replaces only links: any other file is not envo's.
fn link(target: &Path, location: &Path) -> std::io::Result<()> {
    match std::fs::read_link(location) {
        Ok(old) if old == target => return Ok(()),
        Ok(_) => fs_err::remove_file(location)?,
        Err(_) if location.exists() => return Ok(()),
        Err(_) => {}
    }
    fs_err::os::unix::fs::symlink(target, location)
}
