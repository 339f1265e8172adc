//! What an environment of a script has in it: what the script's own PEP 723 block asks for.

use crate::builder::contents::forced_requirements;
use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::installation::Installing;
use crate::builder::locked_contents;
use crate::builder::preconditions::{about_script, script_metadata};
use crate::env_error::EnvError;
use crate::lock::index::LockIndexEntry;
use crate::model::environment::ScriptSource;
use crate::model::requirements::RequirementText;

/// Fills the environment; from its lock where it has an entry for one.
pub fn install(
    site: &EnvBuilder,
    foundation: &mut CreatedEnv,
    script: &ScriptSource,
    locked: Option<&LockIndexEntry>,
) -> Result<(), EnvError> {
    let root = &site.run.project.root;
    let metadata = script_metadata(root, script)?;
    metadata.check_interpreter(&foundation.python()?.interpreter.version).map_err(about_script)?;
    if site.run.options.skip_environment_install {
        site.warning("skip installing dependencies");
        return Ok(());
    }
    if let Some(entry) = locked {
        return locked_contents::install(site, foundation, entry);
    }
    let text = metadata.requirements(&script.path).map_err(about_script)?;
    let forced = forced_requirements(site)?;
    if text.is_empty() && forced.is_empty() {
        return Ok(());
    }
    let requirements = RequirementText { text, root: root.clone() };
    Installing::new(site, foundation)
        .ensure(site.environment.type_name(), "deps", |conditions, old| conditions.deps(&requirements, &forced, old))
}
