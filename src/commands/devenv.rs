//! `envo devenv`: creates a development environment in a given folder.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use crate::builder::venv_redirect;
use crate::cli::options::{EnvironmentChoice, Options};
use crate::commands::run::{open, run_environments};
use crate::commands::{ROOT, report_warnings, reporter};
use crate::error::ConfigError;
use crate::exit_code;
use crate::settings::value::SettingValue;

/// Creates the environment.
pub fn execute(options: &Options) -> Result<i32> {
    let start = Instant::now();
    let name = match &options.selection.environments {
        EnvironmentChoice::Named(names) if names.len() == 1 => names[0].clone(),
        EnvironmentChoice::Named(names) => return Err(not_one(names)),
        EnvironmentChoice::All | EnvironmentChoice::Default => return Err(not_one(&[])),
    };
    let (plan, discovery) = open(options)?;
    let path = &options.generate.devenv_path;
    let set = plan.settings.environment(&name);
    set.set_in_memory("use_develop", SettingValue::Boolean(true));
    set.set_in_memory("env_dir", SettingValue::Path(path.clone()));
    report_warnings(&plan, options);
    plan.ensure_only_run_environments()?;
    let names = plan.selected()?;
    if names.len() != 1 {
        return Err(not_one(&names));
    }
    let project = plan.project()?;
    let code = run_environments(options, &Arc::new(plan), discovery, names, start)?;
    if code != exit_code::OK {
        return Ok(code);
    }
    let reporter = reporter(options, crate::commands::ProgressDisplay::Plain);
    reporter.warning(ROOT, format!("created development environment under {}", path.display()));
    if project.venv_redirect != Some(false) {
        // Asking for a development environment is the consent that PEP 832 wants before a redirect is replaced.
        if let Err(error) = venv_redirect::record(&project.root, path, |_| true) {
            let file = project.root.join(venv_redirect::FILE_NAME);
            reporter.warning(ROOT, format!("could not point {} at {}: {error}", file.display(), path.display()));
        }
    }
    Ok(code)
}

fn not_one(names: &[String]) -> anyhow::Error {
    let found = if names.is_empty() { "ALL".to_owned() } else { names.join(", ") };
    ConfigError::handled(format!("exactly one target environment allowed in devenv mode but found {found}")).into()
}
