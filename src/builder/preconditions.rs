//! Finds errors in the project's files that would stop an environment before its first command. Reads files only:
//! queries no index and starts nothing. The steps of a run call the same functions.

use std::path::Path;

use crate::builder::environment_folders;
use crate::builder::first_program;
use crate::builder::package::BuildSystem;
use crate::builder::requirement_check;
use crate::builder::run_context::RunContext;
use crate::builder::runtimes;
use crate::env_error::EnvError;
use crate::error::{ConfigError, ErrorClass};
use crate::execute;
use crate::execute::session::CommandRefusal;
use crate::install::groups;
use crate::install::plan::{InstallConditions, RecordForm};
use crate::install::pylock::Pylock;
use crate::install::script::{self, ScriptMetadata};
use crate::install::uv_sync;
use crate::lockfile;
use crate::lockfile::index::LockIndex;
use crate::lockfile::inputs::{LockInputReader, LockInputs};
use crate::lockfile::verify;
use crate::model::environment::ScriptSource;
use crate::model::python_pattern;
use crate::model::requirements::RequirementText;
use crate::model::runtime::DEFAULT;
use crate::model::{EnvVariables, Environment, PackageKind, ProjectSettings};
use crate::plan::Plan;
use crate::python_text::python_repr;
use crate::requirements;
use crate::requirements::RequirementKind;

/// The project whose environments are checked.
pub struct Preconditions<'a> {
    pub plan: &'a Plan,
    pub project: &'a ProjectSettings,
    /// The variables this process was started with.
    pub host: &'a EnvVariables,
    /// The locks environments must be filled from, with `--locked`.
    pub locks: Option<&'a LockIndex>,
}

type PreconditionCheck = fn(&Preconditions<'_>, &Environment, &EnvVariables) -> Result<(), EnvError>;

const CHECKS: [PreconditionCheck; 13] = [
    |_, environment, _| check_platform(environment),
    layer,
    |project, environment, _| environment_folders::check(environment, project.project),
    |_, environment, _| runtimes::check(environment),
    deps,
    lock_file,
    uv_project,
    dependency_groups,
    script_of,
    package,
    commands,
    first_program::check,
    lock_of_envo,
];

impl Preconditions<'_> {
    /// All errors that would stop the environment before its first command, each with its location.
    pub fn problems(&self, environment: &Environment) -> Vec<ConfigError> {
        let variables = match execute::environment::variables(self.host, &environment.variables, &[]) {
            Ok(variables) => variables,
            Err(error) => return vec![error],
        };
        let failed = CHECKS.iter().filter_map(|check| check(self, environment, &variables).err());
        failed.filter_map(|error| error.into_error(&self.plan.settings, &environment.name)).collect()
    }
}

pub fn check_platform(environment: &Environment) -> Result<(), EnvError> {
    check_platform_pattern(&environment.platform)
}

/// Whether the pattern of a `platform` setting matches this machine; the error is a skip if it does not.
pub fn check_platform_pattern(wanted: &str) -> Result<(), EnvError> {
    let actual = RunContext::platform();
    if wanted.is_empty() || wanted == actual {
        return Ok(());
    }
    let pattern = python_pattern::whole(wanted).map_err(|error| {
        let wanted = python_repr(wanted);
        let error = ConfigError::handled(format!("invalid platform regular expression {wanted}: {error}"));
        EnvError::from(error).about("platform", "write a regular expression for `sys.platform`, as in `linux|darwin`")
    })?;
    if pattern.is_match(actual).unwrap_or(false) {
        return Ok(());
    }
    Err(EnvError::Skip(format!("platform {actual} does not match {wanted}")))
}

fn layer(project: &Preconditions<'_>, environment: &Environment, _: &EnvVariables) -> Result<(), EnvError> {
    if check_platform(environment).is_err() {
        return Ok(());
    }
    let bases = project.plan.bases(&environment.name)?;
    if bases.iter().any(|base| project.plan.environment(base).is_err()) {
        // Reported for the base.
        return Ok(());
    }
    let Some(base) = project.plan.base_of(environment)? else { return Ok(()) };
    match check_platform(&base) {
        Err(EnvError::Skip(reason)) => {
            Err(project.plan.at_layer_on(&environment.name, skipped_base(environment, &base.name, &reason)).into())
        }
        _ => Ok(()),
    }
}

/// The error of a layer whose base is skipped.
pub(super) fn skipped_base(layer: &Environment, base: &str, reason: &str) -> ConfigError {
    let text = format!("`{base}`, which `{}` is a layer on, is skipped: {reason}", layer.name);
    ConfigError::fail(text).hint("a layer needs its base: give both the same `platform`, or remove `layer_on`")
}

fn deps(project: &Preconditions<'_>, environment: &Environment, variables: &EnvVariables) -> Result<(), EnvError> {
    environment.contents.installation.command.get()?;
    if !environment.has_python() || environment.contents.script.is_some() {
        return Ok(());
    }
    let deps = environment.contents.dependencies.deps.get()?;
    project.conditions(environment, variables).deps(&deps, &[], None).map_err(|error| about_setting("deps", error))?;
    let read = requirements::parse(&deps, RequirementKind::Deps, variables)?;
    for line in &read.requirements {
        requirement_check::check_form(line).map_err(|error| about_setting("deps", error))?;
    }
    if project.may_follow_others(environment) {
        return Ok(());
    }
    for line in &read.requirements {
        requirement_check::check_path(line, &deps.root).map_err(|error| about_setting("deps", error))?;
    }
    Ok(())
}

fn lock_file(project: &Preconditions<'_>, environment: &Environment, _: &EnvVariables) -> Result<(), EnvError> {
    let dependencies = &environment.contents.dependencies;
    if dependencies.pylock.is_empty() {
        return Ok(());
    }
    let path = pylock_of(environment, &project.project.package_root)?;
    let Some(interpreter) = project.plan.settings.interpreters.find(&environment.python.base_python) else {
        return Ok(());
    };
    let (extras, groups) = (&dependencies.extras, &dependencies.groups);
    let lock = Pylock { path: &path, extras, groups, markers: &interpreter.markers };
    lock.install_lines().map_err(|error| about_setting("pylock", error))?;
    Ok(())
}

/// uv itself ends a run for these, in its own words.
fn uv_project(
    project: &Preconditions<'_>,
    environment: &Environment,
    variables: &EnvVariables,
) -> Result<(), EnvError> {
    let Some(sync) = environment.contents.uv.as_ref().and_then(|uv| uv.sync.as_ref()) else { return Ok(()) };
    match uv_sync::missing_file(sync, variables) {
        Some(name) if !project.may_follow_others(environment) => {
            let folder = sync.package_root.display();
            let error = EnvError::Fail(format!("`uv sync` needs `{name}`, which is neither in {folder} nor above it"));
            let remedy = if name == "uv.lock" {
                "run `uv lock`, or set `uv_sync_locked = false` for an environment that locks by itself"
            } else {
                "write it with `uv init --bare`, or use `runner = uv-venv-runner`, which installs `deps`"
            };
            Err(error.about("runner", remedy))
        }
        _ => Ok(()),
    }
}

pub(super) fn deps_beside_pylock() -> ConfigError {
    ConfigError::fail("cannot use both 'deps' and 'pylock' in the same environment")
}

/// The lock file that the environment is filled from.
pub fn pylock_of(environment: &Environment, root: &Path) -> Result<std::path::PathBuf, EnvError> {
    let dependencies = &environment.contents.dependencies;
    if !dependencies.deps.get()?.text.trim().is_empty() {
        return Err(deps_beside_pylock().into());
    }
    let name = &dependencies.pylock;
    let path = root.join(name);
    if !path.exists() {
        let error = EnvError::Fail(format!("pylock file {} not found at {}", python_repr(name), path.display()));
        return Err(error.about("pylock", "name the lock file as seen from the project's folder"));
    }
    Ok(path)
}

fn dependency_groups(project: &Preconditions<'_>, environment: &Environment, _: &EnvVariables) -> Result<(), EnvError> {
    let dependencies = &environment.contents.dependencies;
    if dependencies.groups.is_empty() || !dependencies.pylock.is_empty() || !environment.has_python() {
        return Ok(());
    }
    requirements_of_groups(environment, &project.project.package_root).map(drop)
}

/// The requirements of the environment's `dependency_groups`.
pub fn requirements_of_groups(environment: &Environment, root: &Path) -> Result<Vec<String>, EnvError> {
    groups::resolve(root, &environment.contents.dependencies.groups).map_err(|error| {
        let remedy = "groups are tables of `[dependency-groups]` in pyproject.toml";
        EnvError::from(error).about("dependency_groups", remedy)
    })
}

fn script_of(project: &Preconditions<'_>, environment: &Environment, variables: &EnvVariables) -> Result<(), EnvError> {
    let Some(named) = &environment.contents.script else { return Ok(()) };
    let root = &project.project.root;
    let metadata = script_metadata(root, named)?;
    if let Some(interpreter) = project.plan.settings.interpreters.find(&environment.python.base_python) {
        metadata.check_interpreter(&interpreter.version).map_err(about_script)?;
    }
    let requirements =
        RequirementText { text: metadata.requirements(&named.path).map_err(about_script)?, root: root.clone() };
    project
        .conditions(environment, variables)
        .deps(&requirements, &[], None)
        .map_err(|error| about_setting("deps", error))?;
    Ok(())
}

/// The PEP 723 metadata of an environment's script.
///
/// # Errors
/// If the script does not exist or its metadata is malformed.
pub fn script_metadata(root: &Path, named: &ScriptSource) -> Result<ScriptMetadata, EnvError> {
    script::check_base_python(named)?;
    script::of(root, &named.path).map_err(about_script)
}

pub fn about_script(error: ConfigError) -> EnvError {
    EnvError::from(error)
        .about("script", "name a Python file with a `# /// script` block, as seen from the project's folder")
}

fn package(project: &Preconditions<'_>, environment: &Environment, _: &EnvVariables) -> Result<(), EnvError> {
    let Some(packaging) = &environment.package.packaging else { return Ok(()) };
    if packaging.kind == PackageKind::External {
        return Ok(());
    }
    let builder = project.plan.environment(&packaging.package_environment)?;
    let root = builder.package.build.as_ref().map_or(&project.project.package_root, |build| &build.package_root);
    BuildSystem::read(root)?;
    Ok(())
}

/// A run evaluates commands when it reaches them. This evaluates all of them; each must name a program.
fn commands(_: &Preconditions<'_>, environment: &Environment, _: &EnvVariables) -> Result<(), EnvError> {
    let lists = &environment.execution.commands;
    environment_folders::check_change_dir(&environment.execution.change_dir.get()?)?;
    for (key, list) in [
        ("extra_setup_commands", &lists.extra_setup),
        ("commands_pre", &lists.pre),
        ("commands", &lists.main),
        ("commands_post", &lists.post),
    ] {
        let commands = list.get()?;
        if commands.iter().any(|command| command.argv.first().is_none_or(String::is_empty)) {
            return Err(EnvError::from(CommandRefusal::Empty).about(key, CommandRefusal::Empty.remedy()));
        }
    }
    Ok(())
}

fn lock_of_envo(
    project: &Preconditions<'_>,
    environment: &Environment,
    variables: &EnvVariables,
) -> Result<(), EnvError> {
    let Some(index) = project.locks else { return Ok(()) };
    if lockfile::has_its_own(environment, project.project).is_some() {
        return Ok(());
    }
    // The inputs of other runtimes' locks depend on their programs.
    let is_known = environment.runtimes.iter().all(|runtime| runtime.name == DEFAULT);
    if !is_known && index.entries.contains_key(&environment.name) {
        return Ok(());
    }
    let inputs = LockInputs::read(environment, LockInputReader { project: project.project, variables })?;
    verify::verify(project.project, index, &environment.name, &inputs.inputs).map_err(ConfigError::from)?;
    Ok(())
}

impl Preconditions<'_> {
    /// Whether another environment may run first and create a path that this one names.
    fn may_follow_others(&self, environment: &Environment) -> bool {
        let is_first = || self.plan.runs().is_ok_and(|names| names.first() == Some(&environment.name));
        !environment.relations.depends.is_empty() || !is_first()
    }

    fn conditions<'v>(&self, environment: &Environment, variables: &'v EnvVariables) -> InstallConditions<'v> {
        InstallConditions::new(
            &environment.contents.installation,
            &environment.folders.env_dir,
            variables,
            RecordForm::Tox,
        )
    }
}

/// An error in requirements, with the setting that names them: the one on the error's trail, else the one named after
/// `part`.
pub fn about_setting(part: &str, error: ConfigError) -> EnvError {
    let key = error.trail.first().cloned().unwrap_or_else(|| part.replace('-', "_"));
    let remedy = match key.as_str() {
        "deps" => "`deps` takes a requirement or a `-r FILE` on each line, files as seen from the project's folder",
        "constraints" => "`constraints` takes the names of constraint files, as seen from the project's folder",
        "pylock" => "write the lock file again with the program that made it",
        _ => "correct what it names",
    };
    EnvError::from(error).about(&key, remedy)
}

/// Whether an error is about this machine rather than about the project's files.
pub fn is_of_machine(error: &ConfigError) -> bool {
    matches!(error.class, ErrorClass::Skip | ErrorClass::NoInterpreter)
}
