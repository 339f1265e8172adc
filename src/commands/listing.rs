//! `envo list --format json` and `--format github`: environments for programs, and as a matrix for GitHub Actions.

use std::collections::HashSet;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::options::{ListFormat, Options};
use crate::commands::choice::choose;
use crate::error::ConfigError;
use crate::exit_code;
use crate::model::runtime::DEFAULT;
use crate::model::service::PortSetting;
use crate::model::{Environment, PythonSpec};
use crate::plan::Plan;
use crate::plan::affected::AffectedEnv;
use crate::report::plain;
use crate::run_record::RunRecords;
use crate::settings::value::SettingValue;

/// The most jobs that GitHub Actions makes of one matrix.
const MOST_JOBS: usize = 256;

/// An environment, for programs.
#[derive(Serialize)]
struct ListedEnv {
    name: String,
    description: String,
    /// Whether it runs if none is selected.
    default: bool,
    runtimes: Vec<ListedRuntime>,
    factors: Vec<String>,
    labels: Vec<String>,
    /// The environments that run before it.
    depends: Vec<String>,
    /// The services it needs, directly or through others.
    services: Vec<String>,
    /// Whether it is a service itself.
    service: bool,
    /// The ports of a service.
    ports: Vec<PortSetting>,
    /// Seconds of its last complete run.
    seconds: Option<f64>,
    /// The digest of what it is made from.
    digest: String,
    /// Only with `--affected`: whether a change affects it, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    affected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

#[derive(Serialize)]
struct ListedRuntime {
    name: String,
    /// As required; `null`: any.
    version: Option<String>,
}

/// What all environments have in common.
struct ListingContext<'a> {
    plan: &'a Plan,
    /// All environments that run commands.
    known: Vec<String>,
    labels: Vec<(String, Vec<String>)>,
    records: RunRecords,
    affected: &'a [AffectedEnv],
}

/// Prints the environments in a format for programs.
pub(super) fn execute(options: &Options, plan: &Plan) -> Result<i32> {
    let choice = choose(options, plan, plan.selected()?)?;
    let mut names = choice.names.clone();
    let is_whole = !choice.is_part() && options.selection.labels.is_empty() && options.selection.factors.is_empty();
    let is_json = options.list.format == ListFormat::Json;
    let explains = options.selection.recent.explain;
    if is_json && explains {
        // The reasons of those that are left out are of interest as well.
        names.extend(choice.affected.iter().filter(|one| !one.affected).map(|one| one.name.clone()));
    }
    if is_json && is_whole && !options.list.default_only {
        let others = plan.kept(|entry| !entry.active && !entry.kind.is_package())?;
        names.extend(others.into_iter().map(|entry| entry.name.clone()));
    }
    crate::commands::report_warnings(plan, options);
    if !is_json && names.len() > MOST_JOBS {
        return Err(too_many(names.len()).into());
    }
    let context = ListingContext {
        plan,
        known: plan.runs()?,
        labels: match plan.settings.value(plan.settings.core(), "labels")? {
            SettingValue::Labels(labels) => labels,
            _ => Vec::new(),
        },
        records: RunRecords::read(&plan.project()?.work_dir),
        affected: &choice.affected,
    };
    let default: HashSet<String> = plan.selected()?.into_iter().collect();
    let listed = names.iter().map(|name| context.listed(name, default.contains(name)));
    let listed = listed.collect::<Result<Vec<ListedEnv>, ConfigError>>()?;
    let text = if is_json {
        serde_json::to_string_pretty(&listed)?
    } else {
        json!({ "include": listed.iter().map(matrix_entry).collect::<Vec<_>>() }).to_string()
    };
    plain::out(&format!("{text}\n"));
    if let Some(text) = choice.why_empty() {
        plain::error(&format!("{text}\n"));
    }
    Ok(exit_code::OK)
}

fn too_many(number: usize) -> ConfigError {
    let text = format!(
        "{number} environments are too many for a matrix of GitHub Actions, which has at most {MOST_JOBS} jobs"
    );
    ConfigError::handled(text).hint(
        "run slices instead: a matrix `shard: [1, 2, 3, 4]` with `envo run --shard ${{ matrix.shard }}/4`, or select \
         fewer environments with -m, -f or --shard K/N",
    )
}

/// The variables of one job: `matrix.name` and `matrix.python`.
fn matrix_entry(environment: &ListedEnv) -> Value {
    let python = environment.runtimes.iter().find(|runtime| runtime.name == DEFAULT);
    let mut entry = json!({ "name": environment.name });
    if let Some(version) = python.and_then(|python| python.version.as_ref()) {
        entry["python"] = json!(version);
    }
    entry
}

impl ListingContext<'_> {
    fn listed(&self, name: &str, default: bool) -> Result<ListedEnv, ConfigError> {
        let settings = &self.plan.settings;
        let set = settings.environment(name);
        let environment = self.plan.environment(name)?;
        let service = environment.service.as_ref();
        let of_project = self.labels.iter().filter(|(_, members)| members.iter().any(|one| one == name));
        let verdict = self.affected.iter().find(|one| one.name == name);
        let mut labels: Vec<String> = of_project.map(|(label, _)| label.clone()).collect();
        for label in settings.list(&set, "labels").unwrap_or_default() {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        Ok(ListedEnv {
            name: name.to_owned(),
            description: settings.text(&set, "description")?,
            default,
            runtimes: runtimes(&environment, self.plan),
            factors: name.split('-').map(str::to_owned).collect(),
            labels,
            depends: self.plan.dependencies(name, &self.known)?,
            services: self.plan.services_of(name, &self.known)?,
            service: service.is_some(),
            ports: service.map(|service| service.address.ports.clone()).unwrap_or_default(),
            seconds: self.records.seconds(name),
            digest: self.plan.inputs(name)?.digest(),
            affected: verdict.map(|one| one.affected),
            because: verdict.map(|one| one.because.clone()),
        })
    }
}

fn runtimes(environment: &Environment, plan: &Plan) -> Vec<ListedRuntime> {
    let mut found = Vec::new();
    if environment.has_python() {
        found.push(ListedRuntime { name: DEFAULT.to_owned(), version: python_version(environment, plan) });
    }
    for runtime in environment.runtimes.iter().filter(|runtime| runtime.name != DEFAULT) {
        let version = runtime.version.as_ref().map(|version| version.text.clone());
        found.push(ListedRuntime { name: runtime.name.clone(), version: version.or_else(|| runtime.factor.clone()) });
    }
    found
}

/// The version that the first interpreter must have; that of the host Python for an environment that names none.
fn python_version(environment: &Environment, plan: &Plan) -> Option<String> {
    let specs = &environment.python.base_python;
    if PythonSpec::parse(specs.first()?).path.is_some() {
        return Some(plan.settings.interpreters.find(specs)?.dotted_version());
    }
    required_python(environment)
}

/// The version that the first interpreter must have, as `actions/setup-python` and its like write it; `None` for any.
pub(super) fn required_python(environment: &Environment) -> Option<String> {
    let spec = PythonSpec::parse(environment.python.base_python.first()?);
    if spec.path.is_some() {
        return None;
    }
    if spec.specifier.is_some() {
        return spec.specifier;
    }
    let numbers = [spec.major, spec.minor, spec.micro].into_iter().map_while(|part| part);
    let numbers: Vec<String> = numbers.map(|part| part.to_string()).collect();
    let implementation = spec.implementation.filter(|name| !name.eq_ignore_ascii_case("cpython"));
    let threads = if spec.free_threaded == Some(true) { "t" } else { "" };
    let version = format!("{}{threads}", numbers.join("."));
    match implementation {
        Some(name) if version.is_empty() => Some(name.to_lowercase()),
        Some(name) => Some(format!("{}{version}", name.to_lowercase())),
        None => (!version.is_empty()).then_some(version),
    }
}
