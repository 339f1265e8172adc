//! `envo exec`: runs a given command in an environment, without installing the project.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use crate::cli::options::Options;
use crate::commands::report_warnings;
use crate::commands::run::{open, run_environments};
use crate::error::ConfigError;
use crate::model::Command;
use crate::settings::value::SettingValue;

/// Runs the command after `--` in the named environment.
pub fn execute(options: &Options) -> Result<i32> {
    let start = Instant::now();
    let (plan, discovery) = open(options)?;
    let active = plan.selected()?;
    report_warnings(&plan, options);
    let [name] = active.as_slice() else {
        let found = active.join(", ");
        let text = format!("exactly one target environment allowed in exec mode but found {found}");
        return Err(ConfigError::handled(text).into());
    };
    let settings = &plan.settings;
    let set = settings.environment(name);
    let mut words = options.invocation.positional.clone().unwrap_or_default();
    if settings.boolean(&set, "args_are_paths")? {
        words = settings.rewrite_positional(&words, &settings.path(&set, "change_dir")?, true);
    }
    if words.is_empty() {
        let text = "You must specify a command as positional arguments, use -- <command>";
        return Err(ConfigError::handled(text).into());
    }
    for key in ["commands_pre", "commands_post"] {
        set.set_in_memory(key, SettingValue::Commands(Vec::new()));
    }
    set.set_in_memory("commands", SettingValue::Commands(vec![Command::from_words(words)]));
    plan.ensure_only_run_environments()?;
    run_environments(options, &Arc::new(plan), discovery, active, start)
}
