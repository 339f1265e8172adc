//! Whether an environment may run the program that it begins with, as far as that shows before it is built.

use std::path::Path;

use crate::builder::preconditions::{Preconditions, check_platform};
use crate::env_error::EnvError;
use crate::execute::program;
use crate::execute::session::CommandRefusal;
use crate::model::runtime::DEFAULT;
use crate::model::{Command, Deferred, EnvVariables, Environment};
use crate::plan::provision::is_provided;
use crate::python_text::shlex;

/// What every new environment has in it, or may have: programs are called after it (`python3.12`, `pip3`).
const SEEDED: [&str; 6] = ["python", "pypy", "graalpy", "pip", "wheel", "easy_install"];

/// # Errors
/// When the first command may not run: its program is outside the environment, nothing that is installed could bring one
/// of this name, and it is not allowed.
pub fn check(project: &Preconditions<'_>, environment: &Environment, variables: &EnvVariables) -> Result<(), EnvError> {
    // Plugins may allow more, as other runtimes do; and on its own platform other programs are there.
    let has_plugins = project.plan.settings.required_distributions().iter().any(|name| !is_provided(name));
    let has_others = environment.runtimes.iter().any(|runtime| runtime.name != DEFAULT);
    if has_plugins || has_others || check_platform(environment).is_err() {
        return Ok(());
    }
    let cwd = environment.change_dir.get()?;
    let bin = environment.env_dir.join("bin");
    let globs = program::allowed_globs(&[bin], &environment.allowlist_externals);
    for (key, command) in first(environment)? {
        let Some(name) = command.argv.first().filter(|name| !name.is_empty()) else { continue };
        let Some(file) = program::find(name, &cwd, variables) else {
            check_quote(key, name)?;
            continue;
        };
        if may_be_own(project, environment, name, &file) {
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

/// No program is called so: splitting words leaves a quote that nothing closes as it is.
fn check_quote(key: &str, name: &str) -> Result<(), EnvError> {
    if !name.starts_with(['\'', '"']) {
        return Ok(());
    }
    let halt = EnvError::Fail(format!("`{key}` begins with `{name}`, whose quote is not closed"));
    Err(halt.about(key, "close the quote, or remove it"))
}

/// The first command that a run comes to, with its setting. A service is begun with its own command and its probe's.
fn first(environment: &Environment) -> Result<Vec<(&'static str, Command)>, EnvError> {
    let lists = &environment.commands;
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
    let own =
        [("serve", Some(service.serve.clone())), ("ready", probe(&service.ready)), ("alive", probe(&service.alive))];
    for (key, text) in own.into_iter().filter(|_| found.is_empty()).collect::<Vec<_>>() {
        let command = Command::from_words(shlex::words(text.as_deref().unwrap_or_default()));
        // Its fields are known when it is started.
        found.extend(command.argv.first().is_some_and(|name| !name.contains('{')).then_some((key, command)));
    }
    Ok(found)
}

fn may_be_own(project: &Preconditions<'_>, environment: &Environment, name: &str, file: &Path) -> bool {
    if file.starts_with(&environment.env_dir) {
        return true;
    }
    // A path is what it is, whatever is installed.
    if name.contains('/') {
        return false;
    }
    let uv = environment.uv.is_some() && matches!(name, "uv" | "uvx");
    let bin = environment.env_dir.join("bin").join(name);
    uv || SEEDED.iter().any(|seed| name.starts_with(seed)) || bin.exists() || installs_anything(project, environment)
}

fn installs_anything(project: &Preconditions<'_>, environment: &Environment) -> bool {
    let dependencies = &environment.dependencies;
    environment.packaging.is_some()
        || environment.package_of_runtime.is_some()
        || environment.script.is_some()
        || environment.uv.is_some()
        || project.locks.is_some()
        || !dependencies.groups.is_empty()
        || !dependencies.pylock.is_empty()
        || dependencies.deps.get().map_or(true, |deps| !deps.text.trim().is_empty())
}
