//! What an environment of a script has in it: what the script's own PEP 723 block asks for.

use crate::builder::contents::forced_requirements;
use crate::builder::env_builder::{Foundation, Site};
use crate::builder::installation::Installation;
use crate::builder::locked_contents;
use crate::builder::preconditions::{about_script, script_metadata};
use crate::env_error::Halt;
use crate::lock::index::Entry;
use crate::model::environment::Script;
use crate::model::requirements::RequirementText;

/// Fills the environment; from its lock where it has an entry for one.
pub fn put_in(site: &Site, foundation: &mut Foundation, script: &Script, locked: Option<&Entry>) -> Result<(), Halt> {
    let root = &site.run.project.root;
    let metadata = script_metadata(root, script)?;
    metadata.check_interpreter(&foundation.python()?.interpreter.version).map_err(about_script)?;
    if site.run.options.skip_environment_install {
        site.warning("skip installing dependencies");
        return Ok(());
    }
    if let Some(entry) = locked {
        return locked_contents::put_in(site, foundation, entry);
    }
    let text = metadata.requirements(&script.path).map_err(about_script)?;
    let forced = forced_requirements(site)?;
    if text.is_empty() && forced.is_empty() {
        return Ok(());
    }
    let requirements = RequirementText { text, root: root.clone() };
    Installation::new(site, foundation)
        .carry_out(site.environment.type_name(), "deps", |conditions, old| conditions.deps(&requirements, &forced, old))
}
