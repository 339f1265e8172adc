//! `envo config --check`: reports all errors in a configuration at once.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value as Json, json};

use crate::bounded;
use crate::builder::preconditions::{Preconditions, is_of_machine};
use crate::builder::redirect_env;
use crate::cli::options::{ConfigFormat, EnvironmentChoice, Options};
use crate::commands::open_plan;
use crate::error::ConfigError;
use crate::error::frame;
use crate::exit_code;
use crate::lockfile::index::LockIndex;
use crate::model::{Environment, ProjectSettings};
use crate::plan::provision::is_provided;
use crate::plan::{DefinedEnv, Plan};
use crate::python_text::glob;
use crate::report::config_format;
use crate::report::plain;
use crate::serve::graph::{GraphMember, ServiceGraph};
use crate::settings::asks_for_services;
use crate::settings::check;
use crate::settings::check::CheckedProject;
use crate::ship::settings::PackSettings;

/// Reports all errors in the configuration.
pub fn execute(options: &Options) -> Result<i32> {
    let found = match open_plan(options) {
        Ok(plan) => {
            crate::commands::report_warnings(&plan, options);
            let settings = &plan.settings;
            // Names that occur only in a condition are environments for tox, but probably not intended as such.
            let listed: HashSet<String> = settings.list(settings.core(), "env_list")?.into_iter().collect();
            let named = settings.section_names();
            let is_named = |entry: &DefinedEnv| listed.contains(&entry.name) || named.contains(entry.name.as_str());
            let all = plan.all()?;
            // `-e` asks for other names, too, and a run without any takes `py`.
            let is_asked = matches!(options.selection.environments, EnvironmentChoice::Named(_)) || listed.is_empty();
            let is_meant = |entry: &&DefinedEnv| entry.kind.is_package() || is_named(entry) || is_asked && entry.active;
            let defined: Vec<DefinedEnv> = all.into_iter().filter(is_meant).cloned().collect();
            let sets: Vec<_> =
                defined.iter().map(|entry| settings.environment_of_kind(&entry.name, entry.kind)).collect();
            let has_other_plugins = settings.required_distributions().iter().any(|name| !is_provided(name));
            let subject = CheckedProject::new(settings, &sets, has_other_plugins);
            check::findings(&subject, || {
                let mut found = mistakes_of_runs(&plan, &defined, options);
                // Plugins provide their own runners.
                let missing = if has_other_plugins { Vec::new() } else { plan.unavailable() };
                let is_listed = |name: &String| listed.contains(name) || named.contains(name.as_str());
                let missing = missing.iter().filter(|(name, _)| is_listed(name) || defined.is_empty());
                found.extend(missing.map(|(name, runner)| plan.runner_error(name, runner)));
                found
            })
        }
        // Without environments there is nothing else to check.
        Err(error) => vec![error.downcast::<ConfigError>()?],
    };
    if options.config.format == ConfigFormat::Json {
        plain::out(&format!("{}\n", config_format::json(&findings_json(&found))));
    } else {
        report_findings(&found, options);
    }
    Ok(if found.is_empty() { exit_code::OK } else { exit_code::FAILED })
}

fn report_findings(found: &[ConfigError], options: &Options) {
    let places = || found.iter().filter_map(|one| one.location.as_deref());
    let files: HashSet<&Path> = places().map(|place| place.file.as_path()).collect();
    let texts: Vec<(&Path, String)> =
        files.into_iter().filter_map(|file| Some((file, bounded::read_text(file).ok()?))).collect();
    let lines: HashMap<&Path, Vec<&str>> = texts.iter().map(|(file, text)| (*file, text.lines().collect())).collect();
    for one in found {
        let line = one
            .location
            .as_ref()
            .and_then(|place| lines.get(place.file.as_path())?.get(place.line.checked_sub(1)?).copied());
        plain::drawn(&format!("{}\n", frame::over_line(one, line, options.output.colored)));
    }
    match found.len() {
        0 => plain::out("no problems found\n"),
        1 => plain::error("1 problem found\n"),
        number => plain::error(&format!("{number} problems found\n")),
    }
}

/// `{"findings": [{"message", "file", "line", "column", "length", "trail", "help"}, …]}`; without a place, no file and
/// numbers.
fn findings_json(found: &[ConfigError]) -> Json {
    let one = |error: &ConfigError| {
        let mut data = json!({"message": error.message, "trail": error.trail, "help": error.hints});
        if let Some(place) = &error.location {
            data["file"] = Json::from(place.file.display().to_string());
            for (name, number) in [("line", place.line), ("column", place.column), ("length", place.length)] {
                data[name] = Json::from(number);
            }
        }
        data
    };
    json!({"findings": found.iter().map(one).collect::<Vec<_>>()})
}

/// Errors that would end a run before its first command.
fn mistakes_of_runs(plan: &Plan, defined: &[DefinedEnv], options: &Options) -> Vec<ConfigError> {
    let mut found = Vec::new();
    let names: Vec<String> =
        defined.iter().filter(|entry| !entry.kind.is_package()).map(|entry| entry.name.clone()).collect();
    let (mut environments, mut broken): (Vec<Environment>, Vec<&str>) = (Vec::new(), Vec::new());
    for name in &names {
        match plan.environment(name) {
            Ok(environment) => environments.push(environment),
            Err(error) => {
                broken.push(name);
                found.extend((!is_of_machine(&error)).then_some(error));
            }
        }
    }
    // These end `envo pack`.
    found.extend(names.iter().filter_map(|name| PackSettings::read(plan, name).err()));
    match plan.project() {
        Ok(project) => {
            found.extend(redirect_env::check(plan, &project).err());
            found.extend(mistakes_of_files(plan, &environments, &project, options));
        }
        Err(error) => found.push(error),
    }
    found.extend(mistakes_of_dependencies(plan, &environments, &broken).unwrap_or_else(|error| vec![error]));
    found
}

/// What the files say that environments are filled from.
fn mistakes_of_files(
    plan: &Plan,
    environments: &[Environment],
    project: &ProjectSettings,
    options: &Options,
) -> Vec<ConfigError> {
    let mut found = Vec::new();
    let is_locked = plan.settings.boolean(plan.settings.core(), "locked").unwrap_or_else(|error| {
        found.push(error);
        false
    });
    let locks =
        if is_locked { LockIndex::read(&project.root).map_err(|error| found.push(error.into())).ok() } else { None };
    let preconditions = Preconditions { plan, project, host: &options.process.variables, locks: locks.as_ref() };
    found.extend(environments.iter().flat_map(|environment| preconditions.problems(environment)));
    found.retain(|error| !is_of_machine(error));
    found
}

/// What is wrong with environments together.
fn mistakes_of_dependencies(
    plan: &Plan,
    environments: &[Environment],
    broken: &[&str],
) -> Result<Vec<ConfigError>, ConfigError> {
    let names = plan.runs()?;
    let is_about_services = asks_for_services(&plan.settings) || environments.iter().any(|one| one.service.is_some());
    let members = if is_about_services { environments.iter().map(GraphMember::from).collect() } else { Vec::new() };
    // Errors in one are reported for its values; its dependents cannot be checked before these are fixed.
    let needs_broken = |member: &GraphMember| {
        member.depends.iter().any(|pattern| broken.iter().any(|name| glob::matches(pattern, name)))
    };
    let graph = ServiceGraph::new(members).without(needs_broken);
    let errors = graph.check_apart(&names).into_iter();
    let mut found: Vec<ConfigError> = errors.map(|error| plan.settings.at_values(error)).collect();
    let services: HashSet<&str> =
        environments.iter().filter(|one| one.service.is_some()).map(|one| one.name.as_str()).collect();
    // Already reported for services.
    found.extend(
        plan.unknown_depends(
            &names.iter().filter(|name| !services.contains(name.as_str())).cloned().collect::<Vec<_>>(),
        ),
    );
    // Of services that wait for each other more is said already.
    if graph.cycles().iter().all(|cycle| cycle.len() == 1) {
        found.extend(plan.order(&names).err());
    }
    Ok(found)
}
