//! `envo config --check`: everything that is wrong with a configuration at once.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::open_plan;
use crate::cli::options::{ConfigFormat, Options};
use crate::error::ConfigError;
use crate::execute::glob;
use crate::exit_code;
use crate::plan::provision::is_provided;
use crate::plan::{Defined, Plan};
use crate::report::{config_format, frame, plain};
use crate::serve::graph::{Graph, Member};
use crate::settings::check::Subject;
use crate::settings::{asks_for_services, check};

/// Says everything that is wrong with the configuration.
///
/// # Errors
/// When something else than the configuration is wrong.
pub fn execute(options: &Options) -> Result<i32> {
    let found = match open_plan(options) {
        Ok(plan) => {
            super::report_warnings(&plan, options);
            let settings = &plan.settings;
            // Names that only a condition mentions are environments to tox, but hardly meant as such.
            let listed: HashSet<String> = settings.list(settings.core(), "env_list")?.into_iter().collect();
            let named = settings.section_names();
            let is_meant = |entry: &&Defined| {
                entry.kind.is_package() || listed.contains(&entry.name) || named.contains(entry.name.as_str())
            };
            let defined: Vec<Defined> = plan.all()?.into_iter().filter(is_meant).cloned().collect();
            let sets: Vec<_> =
                defined.iter().map(|entry| settings.environment_of_kind(&entry.name, entry.kind)).collect();
            let has_other_plugins = settings.required_distributions().iter().any(|name| !is_provided(name));
            let subject = Subject::new(settings, &sets, has_other_plugins);
            check::findings(&subject, mistakes_of_dependencies(&plan)?)
        }
        // Without environments there is nothing else to look at.
        Err(error) => vec![error.downcast::<ConfigError>()?],
    };
    if options.config.format == ConfigFormat::Json {
        plain::out(&format!("{}\n", config_format::json(&findings_json(&found))));
    } else {
        tell_findings(&found, options);
    }
    Ok(if found.is_empty() { exit_code::OK } else { exit_code::FAILED })
}

fn tell_findings(found: &[ConfigError], options: &Options) {
    let places = || found.iter().filter_map(|one| one.location.as_deref());
    let files: HashSet<&Path> = places().map(|place| place.file.as_path()).collect();
    let texts: Vec<(&Path, String)> =
        files.into_iter().filter_map(|file| Some((file, fs_err::read_to_string(file).ok()?))).collect();
    let lines: HashMap<&Path, Vec<&str>> = texts.iter().map(|(file, text)| (*file, text.lines().collect())).collect();
    for one in found {
        let line = one.location.as_ref().and_then(|place| {
            lines.get(place.file.as_path())?.get(place.line.checked_sub(1)?).copied()
        });
        plain::error(&format!("{}\n", frame::over_line(one, line, options.colored)));
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

/// What is wrong with environments together.
fn mistakes_of_dependencies(plan: &Plan) -> Result<Vec<ConfigError>, ConfigError> {
    let names = plan.runs()?;
    let graph = graph_of_services(plan, &names)?;
    let mut found = graph.check_apart(&names);
    // Of services that wait for each other more is said already.
    if graph.cycles().iter().all(|cycle| cycle.len() == 1) {
        found.extend(plan.order(&names).err());
    }
    Ok(found)
}

/// All environments, if any of them has to do with services.
fn graph_of_services(plan: &Plan, names: &[String]) -> Result<Graph, ConfigError> {
    let settings = &plan.settings;
    let serves = |name: &String| settings.is_written(&settings.environment(name), "serve").unwrap_or(false);
    if !asks_for_services(settings) && !names.iter().any(serves) {
        return Ok(Graph::default());
    }
    let (mut members, mut broken): (Vec<Member>, Vec<&String>) = (Vec::new(), Vec::new());
    for name in names {
        match plan.environment(name) {
            Ok(environment) => members.push(Member::from(&environment)),
            Err(_) => broken.push(name),
        }
    }
    // What is wrong with one is told of its values; what needs it cannot be judged before that is mended.
    let needs_broken =
        |member: &Member| member.depends.iter().any(|pattern| broken.iter().any(|name| glob::matches(pattern, name)));
    Ok(Graph::new(members).without(needs_broken))
}
