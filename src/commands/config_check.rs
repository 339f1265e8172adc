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
use crate::plan::graph::run_order;
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
            let subject = Subject {
                settings,
                environments: &sets,
                has_other_plugins: settings.required_distributions().iter().any(|name| !is_provided(name)),
            };
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
    let mut texts: HashMap<&Path, Option<String>> = HashMap::new();
    for one in found {
        let text = one.location.as_ref().and_then(|place| {
            let file = place.file.as_path();
            texts.entry(file).or_insert_with(|| fs_err::read_to_string(file).ok()).as_deref()
        });
        plain::error(&format!("{}\n", frame::frame(one, text, options.colored)));
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

/// Environments that wait for each other, at the `depends` of one whose waiting keeps them all from running.
fn circular_dependency(plan: &Plan) -> Option<ConfigError> {
    let runs = plan.all().ok()?.into_iter().filter(|entry| !entry.kind.is_package());
    let names: Vec<String> = runs.map(|entry| entry.name.clone()).collect();
    let mut depends = plan.depends(&names).ok()?;
    let error = run_order(&depends).err()?;
    for at in 0..depends.len() {
        if depends[at].1.is_empty() {
            continue;
        }
        let own = std::mem::take(&mut depends[at].1);
        if run_order(&depends).is_ok() {
            let set = plan.settings.environment(&names[at]);
            let place = plan.settings.place_of(&set, "depends").ok().flatten();
            return Some(place.into_iter().fold(error, ConfigError::at));
        }
        depends[at].1 = own;
    }
    Some(error)
}

/// What is wrong with environments together.
fn mistakes_of_dependencies(plan: &Plan) -> Result<Vec<ConfigError>, ConfigError> {
    let graphs = graphs_of_services(plan)?;
    let names = plan.runs()?;
    let mut found: Vec<ConfigError> = graphs.iter().flat_map(|graph| graph.check(&names)).collect();
    // Of services that wait for each other more is said already.
    if !graphs.iter().any(|graph| graph.circle().is_some_and(|circle| circle.len() > 1)) {
        found.extend(circular_dependency(plan));
    }
    Ok(found)
}

/// Each environment with all it needs, as far as services are in it: what nothing needs together may well take the same
/// port.
fn graphs_of_services(plan: &Plan) -> Result<Vec<Graph>, ConfigError> {
    let settings = &plan.settings;
    let names = plan.runs()?;
    let serves = |name: &String| settings.is_written(&settings.environment(name), "serve").unwrap_or(false);
    if !asks_for_services(settings) && !names.iter().any(serves) {
        return Ok(Vec::new());
    }
    let (mut members, mut broken): (Vec<Member>, Vec<&str>) = (Vec::new(), Vec::new());
    for name in &names {
        match plan.environment(name) {
            Ok(environment) => members.push(Member::from(&environment)),
            Err(_) => broken.push(name),
        }
    }
    // What is wrong with one is told of its values; what needs it cannot be judged before that is mended.
    let needs_broken =
        |member: &Member| member.depends.iter().any(|pattern| broken.iter().any(|name| glob::matches(pattern, name)));
    let roots = members.iter().map(|member| Graph::needed(&members, std::slice::from_ref(&member.name)));
    Ok(roots.filter(|graph| !graph.members.iter().any(needs_broken)).collect())
}
