//! Checks before an environment is built whether its first command may run at all. Reads settings only; starts nothing.

use std::path::Path;

use crate::builder::preconditions::{Preconditions, check_platform};
use crate::builder::runtimes;
use crate::env_error::EnvError;
use crate::execute::program;
use crate::execute::session::CommandRefusal;
use crate::model::runtime::{DEFAULT, RuntimeRequirement};
use crate::model::{Command, Deferred, EnvVariables, Environment};
use crate::plan::provision::is_provided;
use crate::python_text::shlex;
use crate::runtime::{self, Runtime};

/// Programs that every new environment has or may have; names such as `python3.12` and `pip3` begin with them.
const SEEDED: [&str; 6] = ["python", "pypy", "graalpy", "pip", "wheel", "easy_install"];

/// # Errors
/// If the first command is not allowed: its program is outside the environment, `allowlist_externals` does not list it,
/// and no installed package could provide a program of this name.
pub fn check(project: &Preconditions<'_>, environment: &Environment, variables: &EnvVariables) -> Result<(), EnvError> {
    // Plugins and some runtimes allow more, and on its own platform other programs may exist.
    let has_plugins = project.plan.settings.required_distributions().iter().any(|name| !is_provided(name));
    let allows_everything = other_runtimes(environment).any(|(runtime, _)| runtime.allows_everything());
    if has_plugins || allows_everything || check_platform(environment).is_err() {
        return Ok(());
    }
    let cwd = environment.execution.change_dir.get()?;
    let bin = environment.folders.env_dir.join("bin");
    let globs = program::allowed_globs(&[bin], &environment.execution.allowlist_externals);
    for (key, command) in first(environment)? {
        let Some(name) = command.argv.first().filter(|name| !name.is_empty()) else { continue };
        let Some(file) = program::find(name, &cwd, variables) else {
            check_quote(key, name)?;
            continue;
        };
        if may_be_own(project, environment, (name, &file), &cwd) {
            continue;
        }
        program::check(name, &file, &globs).map_err(|text| {
            let refusal = CommandRefusal::NotAllowed(text);
            let remedy = refusal.remedy();
            EnvError::from(refusal).about(key, remedy)
        })?;
    }
    Ok(())
}

/// Rejects a name that begins with a quote: splitting into words leaves an unclosed quote as it is.
fn check_quote(key: &str, name: &str) -> Result<(), EnvError> {
    if !name.starts_with(['\'', '"']) {
        return Ok(());
    }
    let error = EnvError::Fail(format!("`{key}` begins with `{name}`, whose quote is not closed"));
    Err(error.about(key, "close the quote, or remove it"))
}

/// The first commands of a run, with their setting. For a service: its own command and that of its probe.
fn first(environment: &Environment) -> Result<Vec<(&'static str, Command)>, EnvError> {
    let lists = &environment.execution.commands;
    let mut found = Vec::new();
    let mut begin_with = |key, list: &Deferred<Vec<Command>>| -> Result<(), EnvError> {
        if found.is_empty() {
            found.extend(list.get()?.into_iter().next().map(|command| (key, command)));
        }
        Ok(())
    };
    begin_with("extra_setup_commands", &lists.extra_setup)?;
    begin_with("commands_pre", &lists.pre)?;
    let Some(service) = &environment.service else {
        begin_with("commands", &lists.main)?;
        begin_with("commands_post", &lists.post)?;
        return Ok(found);
    };
    let probe = |text: &Option<String>| text.as_deref().and_then(|text| text.strip_prefix("cmd:")).map(str::to_owned);
    let own = [
        ("serve", Some(service.serve.clone())),
        ("ready", probe(&service.probes.ready)),
        ("alive", probe(&service.probes.alive)),
    ];
    for (key, text) in own.into_iter().filter(|_| found.is_empty()).collect::<Vec<_>>() {
        let command = Command::from_words(shlex::words(text.as_deref().unwrap_or_default()));
        // Its fields are known only once it is started.
        found.extend(command.argv.first().is_some_and(|name| !name.contains('{')).then_some((key, command)));
    }
    Ok(found)
}

/// The runtimes besides Python, with what is required of them.
fn other_runtimes(environment: &Environment) -> impl Iterator<Item = (&'static dyn Runtime, &RuntimeRequirement)> {
    let others = environment.runtimes.iter().filter(|requirement| requirement.name != DEFAULT);
    others.filter_map(|requirement| Some((runtime::named(&requirement.name)?, requirement)))
}

fn may_be_own(project: &Preconditions<'_>, environment: &Environment, (name, file): (&str, &Path), cwd: &Path) -> bool {
    if file.starts_with(&environment.folders.env_dir) {
        return true;
    }
    // A path does not depend on what is installed.
    if name.contains('/') {
        return false;
    }
    let uv = environment.contents.uv.is_some() && matches!(name, "uv" | "uvx");
    let bin = environment.folders.env_dir.join("bin").join(name);
    let of_other_runtime = other_runtimes(environment).any(|(runtime, requirement)| {
        let folders = [cwd, &project.project.root];
        let has_manifest = |folder: &Path| runtime.manifests().iter().any(|manifest| runtimes::has(folder, manifest));
        folders.into_iter().any(has_manifest)
            || runtime.program().into_iter().chain(runtime.companions().iter().copied()).any(|own| own == name)
            || requirement.dependencies.get().map_or(true, |dependencies| !dependencies.is_empty())
    });
    uv || environment.has_python() && SEEDED.iter().any(|seed| name.starts_with(seed))
        || bin.exists()
        || of_other_runtime
        || installs_anything(project, environment)
}

fn installs_anything(project: &Preconditions<'_>, environment: &Environment) -> bool {
    let dependencies = &environment.contents.dependencies;
    environment.package.packaging.is_some()
        || environment.package.package_of_runtime.is_some()
        || environment.contents.script.is_some()
        || environment.contents.uv.is_some()
        || project.locks.is_some()
        || !dependencies.groups.is_empty()
        || !dependencies.pylock.is_empty()
        || dependencies.deps.get().map_or(true, |deps| !deps.text.trim().is_empty())
}
