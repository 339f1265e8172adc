//! Installs the dependencies in a script's own PEP 723 block into its environment.

use crate::builder::contents::forced_requirements;
use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::installation::Installing;
use crate::builder::locked_contents;
use crate::builder::preconditions::{about_script, script_metadata};
use crate::env_error::EnvError;
use crate::lockfile::index::LockIndexEntry;
use crate::model::environment::ScriptSource;
use crate::model::requirements::RequirementText;

/// Installs from the environment's lock if it has an entry, else from the script's block.
pub fn install(
    env: &EnvBuilder,
    created: &mut CreatedEnv,
    script: &ScriptSource,
    locked: Option<&LockIndexEntry>,
) -> Result<(), EnvError> {
    let root = &env.run.project.root;
    let metadata = script_metadata(root, script)?;
    metadata.check_interpreter(&created.python()?.interpreter.version).map_err(about_script)?;
    if env.run.options.skip.skip_environment_install {
        env.warning("skip installing dependencies");
        return Ok(());
    }
    if let Some(entry) = locked {
        return locked_contents::install(env, created, entry);
    }
    let text = metadata.requirements(&script.path).map_err(about_script)?;
    let forced = forced_requirements(env)?;
    if text.is_empty() && forced.is_empty() {
        return Ok(());
    }
    let requirements = RequirementText { text, root: root.clone() };
    Installing::new(env, created)
        .ensure(env.environment.type_name(), "deps", |conditions, old| conditions.deps(&requirements, &forced, old))
}
