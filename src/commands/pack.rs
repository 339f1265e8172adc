//! `envo pack`: builds a locked environment and packs it into a file for other machines.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::cli::options::{EnvironmentChoice, Options};
use crate::commands::report_warnings;
use crate::commands::run::{open, run_environments};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::execute::interrupt::Interrupt;
use crate::exit_code;
use crate::plan::Plan;
use crate::report::junit::timestamp;
use crate::report::plain;
use crate::ship::contents::ReleaseContents;
use crate::ship::formats::FormatWriter;
use crate::ship::settings::PackSettings;
use crate::ship::signature;
use crate::ship::verify::amount;

/// # Errors
/// An invalid configuration, or a reason why the environment cannot be packed.
pub fn execute(options: &Options) -> Result<i32> {
    let start = Instant::now();
    let (plan, discovery) = open(options)?;
    plan.ensure_only_run_environments()?;
    let name = chosen(options, &plan)?;
    let settings = PackSettings::read(&plan, &name)?;
    let work_dir = plan.project()?.work_dir;
    let key = settings.sign.as_deref().map(signature::secret_key).transpose()?;
    report_warnings(&plan, options);
    let plan = Arc::new(plan);
    let code = run_environments(options, &plan, Arc::clone(&discovery), vec![name.clone()], start)?;
    if code != exit_code::OK {
        return Ok(code);
    }
    let interrupt = Interrupt::listen(|_| {}).context("cannot listen to signals")?;
    let contents = ReleaseContents::collect(&plan, &discovery, options, (&name, &settings, &interrupt));
    if interrupt.requested() {
        return Err(EnvError::Interrupted.into());
    }
    let contents = contents?;
    let time = UNIX_EPOCH + Duration::from_secs(contents.source_date());
    let release = contents.release(options.ship.untested, &format!("{}Z", timestamp(time)))?;
    let comment = format!("{} {}", release.manifest.name, release.manifest.version);
    let writer = FormatWriter {
        format: options.ship.format,
        work_dir,
        variables: &options.process.variables,
        interrupt: &interrupt,
    };
    let file = writer.create(release, options.ship.output_file.as_deref(), &options.process.current_dir)?;
    let size = std::fs::metadata(&file)?.len();
    let mut text = format!("{} ({})\n", shown(&file, options), amount(size));
    if let Some(key) = key {
        let signed = signature::sign(&file, &key, &comment)?;
        text.push_str(&format!("{}\n", shown(&signed, options)));
    }
    plain::out(&text);
    Ok(exit_code::OK)
}

/// The environment to pack: the named one, or the only one that has a `pack_command`.
fn chosen(options: &Options, plan: &Plan) -> Result<String> {
    let not_one = |found: &[String]| {
        let text = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        ConfigError::handled(format!("one environment is packed at a time, found {text}"))
            .hint("name it with -e, or set `pack_command` in one environment")
    };
    if options.selection.environments != EnvironmentChoice::Default {
        let names = plan.selected()?;
        return match names.as_slice() {
            [name] => Ok(name.clone()),
            names => Err(not_one(names).into()),
        };
    }
    let mut found = Vec::new();
    for name in plan.runs()? {
        if plan.settings.is_written(&plan.settings.environment(&name), "pack_command")? {
            found.push(name);
        }
    }
    match found.as_slice() {
        [name] => Ok(name.clone()),
        found => Err(not_one(found).into()),
    }
}

fn shown(path: &Path, options: &Options) -> String {
    path.strip_prefix(&options.process.current_dir)
        .map_or_else(|_| path.to_owned(), PathBuf::from)
        .display()
        .to_string()
}
