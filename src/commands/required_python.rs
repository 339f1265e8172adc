//! The environment of `requires`, and the Python in it.

use anyhow::Result;
use std::path::PathBuf;
use std::sync::Arc;

use crate::builder;
use crate::cli::options::Options;
use crate::commands::ROOT;
use crate::commands::run_context::{RunMode, open_run};
use crate::error::ConfigError;
use crate::model::Environment;
use crate::plan::provision::{ProvisionContext, ProvisionReason, need};
use crate::plan::{self, Plan};
use crate::runtime::python::PythonDiscovery;
use crate::settings::config_set::ConfigSet;
use crate::settings::translate;
use crate::settings::value::SettingValue;

/// The Python of the environment of `requires`, with everything in it; `None` when `requires` asks for nothing that envo
/// has not. `make`: whether it may be made.
pub fn python_of_requires(
    plan: &Plan,
    options: &Options,
    discovery: &Arc<PythonDiscovery>,
    make: bool,
) -> Result<Option<PathBuf>> {
    let settings = &plan.settings;
    let requires = settings.list(settings.core(), "requires")?;
    let around = ProvisionContext {
        file: &settings.source.path,
        text: &settings.source.text,
        variables: &options.process.variables,
        markers: None,
    };
    let Some(ProvisionReason::Requirements(_)) = need(&requires, &around)? else { return Ok(None) };
    // Asking for its folder changes settings that the plan should keep.
    let plan = plan::read(Arc::new(options.clone()), Arc::clone(discovery) as _)?;
    let (name, environment) = environment(&plan, options, &requires)?;
    if !make {
        return Ok(Some(environment.folders.env_dir.join("bin/python")).filter(|python| python.exists()));
    }
    let run = Arc::new(open_run(options, &plan, Arc::clone(discovery), &RunMode::one_by_one())?);
    match builder::provision::prepare(&run, environment) {
        Ok(python) => Ok(Some(python)),
        Err(halt) => {
            halt.report(run.output.reporter.as_ref(), ROOT);
            Err(ConfigError::handled(format!("the environment `{name}` of `requires` cannot be created")).into())
        }
    }
}

/// The environment of `requires`, and its name.
pub(super) fn environment(plan: &Plan, options: &Options, requires: &[String]) -> Result<(String, Environment)> {
    let settings = &plan.settings;
    let name = settings.text(settings.core(), "provision_tox_env")?;
    let set = settings.environment(&name);
    fill(&set, options, requires);
    Ok((name, translate::environment(settings, &set)?))
}

/// The environment's settings come from here and not from a file.
fn fill(set: &ConfigSet, options: &Options, requires: &[String]) {
    let recreate = options.run.recreate && !options.run.provision.no_recreate_provision;
    set.set_in_memory("base", SettingValue::List(Vec::new()));
    set.set_in_memory("skip_install", SettingValue::Boolean(true));
    set.set_in_memory("deps", SettingValue::Requirements(requires.join("\n")));
    set.set_in_memory("pass_env", SettingValue::List(vec!["*".to_owned()]));
    set.set_in_memory("recreate", SettingValue::Boolean(recreate));
}
