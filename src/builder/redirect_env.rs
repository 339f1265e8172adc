//! Chooses the environment that the project's `.venv` leads to (PEP 832), as tox does: from the configuration alone,
//! whichever environments ran.

use std::path::PathBuf;

use crate::builder::venv_redirect;
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::model::ProjectSettings;
use crate::plan::{DefinedEnv, Plan};

/// Rejects a configuration that puts the redirect at an environment's path, before anything runs.
pub fn check(plan: &Plan, project: &ProjectSettings) -> Result<(), ConfigError> {
    if project.venv_redirect != Some(true) {
        return Ok(());
    }
    let redirect = project.root.join(venv_redirect::FILE_NAME);
    for entry in plan.kept(|entry| !entry.kind.is_package())? {
        if env_dir(plan, entry)? == redirect {
            return Err(ConfigError::handled(format!(
                "venv_redirect is true, but tox environment {} lives at {}, where the redirect file goes; set \
                 venv_redirect to false or leave it unset",
                entry.name,
                redirect.display()
            )));
        }
    }
    Ok(())
}

/// Points the redirect at the chosen environment, if it was built.
pub fn record(plan: &Plan, project: &ProjectSettings, reporter: &dyn Reporter) -> Result<(), ConfigError> {
    if project.venv_redirect == Some(false) {
        return Ok(());
    }
    let all = plan.kept(|entry| !entry.kind.is_package())?;
    let Some(target) = target(plan, project, &all, reporter)? else { return Ok(()) };
    let folders = all.iter().map(|entry| env_dir(plan, entry)).collect::<Result<Vec<PathBuf>, _>>()?;
    let file = project.root.join(venv_redirect::FILE_NAME);
    if folders.contains(&file) {
        return Ok(());
    }
    let is_ours =
        |path: &std::path::Path| folders.iter().any(|folder| folder == path) || path.starts_with(&project.work_dir);
    if let Err(error) = venv_redirect::record(&project.root, &target, is_ours) {
        reporter.warning("ROOT", format!("could not point {} at {}: {error}", file.display(), target.display()));
    }
    Ok(())
}

fn target(
    plan: &Plan,
    project: &ProjectSettings,
    all: &[&DefinedEnv],
    reporter: &dyn Reporter,
) -> Result<Option<PathBuf>, ConfigError> {
    let named = |name: &str| all.iter().find(|entry| entry.name == name);
    let chosen = match &project.venv_redirect_env {
        Some(pinned) => {
            let found = named(pinned);
            if found.is_none() {
                let text = format!("venv_redirect_env names {pinned}, which is not a tox environment");
                reporter.warning("ROOT", text);
            }
            found
        }
        None => named("dev").or_else(|| all.iter().find(|entry| installs_in_place(plan, entry))),
    };
    let Some(entry) = chosen else { return Ok(None) };
    let env_dir = env_dir(plan, entry)?;
    Ok(env_dir.join("pyvenv.cfg").exists().then_some(env_dir))
}

fn installs_in_place(plan: &Plan, entry: &DefinedEnv) -> bool {
    if entry.kind.is_package() {
        return false;
    }
    let set = plan.settings.environment_of_kind(&entry.name, entry.kind);
    plan.settings.text(&set, "package").is_ok_and(|kind| kind == "editable" || kind == "editable-legacy")
}

fn env_dir(plan: &Plan, entry: &DefinedEnv) -> Result<PathBuf, ConfigError> {
    let set = plan.settings.environment_of_kind(&entry.name, entry.kind);
    plan.settings.path(&set, "env_dir")
}
