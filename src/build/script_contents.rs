//! What an environment of a script has in it: what the script's own PEP 723 block asks for.

use super::halt::Halt;
use super::installation::Installation;
use super::prepare::{Foundation, Site};
use crate::error::ConfigError;
use crate::install::script::{self, ScriptMetadata};
use crate::model::environment::Script;
use crate::model::requirements::RequirementText;

/// Fills the environment.
///
/// # Errors
/// When there is no such script, it cannot run here, or what it needs cannot be installed.
pub fn put_in(site: &Site, foundation: &mut Foundation, script: &Script) -> Result<(), Halt> {
    if script.sets_base_python {
        let text = "cannot set base_python with virtualenv-pep-723 runner; use requires-python in the script";
        return Err(ConfigError::fail(text).into());
    }
    let root = &site.run.project.root;
    let metadata = match script.path.as_str() {
        "" => ScriptMetadata::default(),
        path => script::read(&script::locate(root, path)?)?,
    };
    metadata.check_interpreter(&foundation.python()?.interpreter.version)?;
    if site.run.options.skip_environment_install {
        site.warning("skip installing dependencies");
        return Ok(());
    }
    let text = metadata.requirements(&script.path)?;
    if text.is_empty() {
        return Ok(());
    }
    let requirements = RequirementText { text, root: root.clone() };
    Installation::new(site, foundation)
        .carry_out(site.environment.type_name(), "deps", |conditions, old| conditions.deps(&requirements, old))
}
