//! `envo serve`: builds services and their dependencies, runs them until the user interrupts, and stops them in reverse
//! order.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;

use crate::builder::assembly::assemble;
use crate::builder::services::{STATE_FOLDER, is_service, uses_services};
use crate::cli::options::{EnvironmentChoice, Options, Selection, Verb};
use crate::commands::report_warnings;
use crate::commands::run::{open, warn_of_misspellings};
use crate::commands::run_context::{RunMode, open_run};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::exit_code;
use crate::model::Environment;
use crate::plan::Plan;
use crate::platform::memory;
use crate::python_text::glob;
use crate::serve::client::SupervisorClient;
use crate::serve::graph::{GraphMember, ServiceGraph};
use crate::serve::protocol::ServiceDefinition;
use crate::serve::supervisor::moved_state;
use crate::serve::{HoldOptions, SupervisorProgram, connect, serve_foreground};
use crate::settings::{ensure_env_files, service_keys};

/// Serves the named services, or all, until the user interrupts.
pub fn execute(options: &Options) -> Result<i32> {
    memory::stay_small();
    let (client, prepared) = prepare(options, "serve")?;
    match prepared {
        Ok(PreparedServices { definitions, asked, hold }) => serve_foreground(client, definitions, asked, &hold),
        Err(code) => Ok(code),
    }
}

/// Services whose environments are built.
pub(super) struct PreparedServices {
    pub definitions: Vec<ServiceDefinition>,
    /// The requested services.
    pub asked: Vec<String>,
    pub hold: HoldOptions,
}

/// Builds the services that were asked for and what they need, while a supervisor is started for them. The error is the
/// exit code when something cannot be built, which has been told.
///
/// # Errors
/// If the configuration is invalid or the supervisor cannot be started; [`EnvError::Interrupted`].
pub(super) fn prepare(options: &Options, client: &str) -> Result<(SupervisorClient, Result<PreparedServices, i32>)> {
    let (plan, discovery) = open(options)?;
    plan.ensure_only_run_environments()?;
    let scale = &options.services.scale;
    let asked = match options.verb {
        Verb::Scale => scaled(&plan, scale)?,
        _ => selected(&plan, &options.selection, &options.services.profiles)?,
    };
    let graph = needed(&plan, &asked, scale)?;
    if let Some((name, _)) = scale.iter().find(|(name, _)| graph.members.iter().all(|one| one.name != *name)) {
        return Err(ConfigError::handled(format!("`{name}` is not one of the services to start")).into());
    }
    report_warnings(&plan, options);
    let plan = Arc::new(plan);
    let run = Arc::new(open_run(options, &plan, discovery, &RunMode::side_by_side())?);
    warn_of_misspellings(options, &plan, &[], run.output.reporter.as_ref());
    let hold = HoldOptions {
        state_dir: run.project.work_dir.join(STATE_FOLDER),
        variables: options.process.variables.clone(),
        reporter: Arc::clone(&run.output.reporter),
        interrupt: run.interrupt.clone(),
        show_output: client == "serve",
        change: true,
        force: options.services.force,
        client: client.to_owned(),
        supervisor: SupervisorProgram::default(),
    };
    let names: Vec<String> = graph.members.iter().map(|one| one.name.clone()).collect();
    // Without it, services are found as long as the configuration can be read.
    let _ = moved_state::remember(&hold.variables, &run.project.root, &hold.state_dir);
    let client = connect(&hold)?;
    let definitions = match assemble(&run, &plan, &names) {
        Ok(definitions) => definitions,
        Err(EnvError::Interrupted) => return Err(EnvError::Interrupted.into()),
        Err(halt) => {
            // What is skipped cannot be served either.
            let code = halt.report(run.output.reporter.as_ref(), crate::commands::ROOT).code;
            return Ok((client, Err(if code == exit_code::OK { exit_code::FAILED } else { code })));
        }
    };
    let connected = definitions.into_iter().enumerate().map(|(at, one)| {
        // What was asked for on the command line is in the graph.
        ServiceDefinition { depends: graph.dependencies_of(at), service: graph.members[at].service.clone(), ..one }
    });
    let definitions = connected.collect();
    Ok((client, Ok(PreparedServices { definitions, asked, hold })))
}

/// The requested services: the named ones, or all.
fn selected(plan: &Plan, selection: &Selection, profiles: &[String]) -> Result<Vec<String>, ConfigError> {
    let nothing_named = matches!(selection.environments, EnvironmentChoice::Default | EnvironmentChoice::All)
        && selection.labels.is_empty()
        && selection.factors.is_empty();
    let names = if nothing_named { plan.runs()? } else { plan.selected()? };
    let mut services = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for name in names {
        if is_service(plan, &name)? {
            let own = profiles_of(plan, &name)?;
            if !nothing_named || own.is_empty() || own.iter().any(|profile| profiles.contains(profile)) {
                services.push(name);
            }
            known.extend(own);
        } else if !nothing_named {
            return Err(ConfigError::handled(format!("`{name}` is not a service: it has no `serve` key"))
                .hint(format!("`envo run -e {name}` runs its commands")));
        }
    }
    if nothing_named && let Some(unknown) = profiles.iter().find(|profile| !known.contains(*profile)) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(ConfigError::handled(format!("no service has the profile `{unknown}`"))
            .hint(format!("profiles are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })));
    }
    if services.is_empty() && !known.is_empty() {
        return Err(ConfigError::handled("every service has a profile, and no profile was selected").hint(format!(
            "`--profile NAME` starts the services of a profile: {}",
            known.into_iter().collect::<Vec<_>>().join(", ")
        )));
    }
    if services.is_empty() {
        return Err(ConfigError::handled("no environment has a `serve` key, so there is nothing to serve").hint(
            plan.settings.source.missing_hint().unwrap_or("give an environment `serve = COMMAND` to make it a service"),
        ));
    }
    Ok(services)
}

/// The services of which so many instances are asked for.
fn scaled(plan: &Plan, scale: &[(String, u32)]) -> Result<Vec<String>, ConfigError> {
    if scale.is_empty() {
        return Err(ConfigError::handled("no service was named").hint("write ENV=N, for example `web=3`"));
    }
    let known = plan.runs()?;
    let mut names = Vec::new();
    for (name, _) in scale {
        if !known.contains(name) || !is_service(plan, name)? {
            return Err(ConfigError::handled(format!("`{name}` is not a service")));
        }
        names.push(name.clone());
    }
    Ok(names)
}

/// The profiles in which a service is meant when none is named; empty: always.
fn profiles_of(plan: &Plan, name: &str) -> Result<Vec<String>, ConfigError> {
    let set = plan.settings.environment(name);
    if !service_keys(&plan.settings, &set)?.contains(&"profiles") {
        return Ok(Vec::new());
    }
    Ok(plan.environment(name)?.service.map_or_else(Vec::new, |service| service.profiles))
}

/// The services that the environments `asked` need, themselves included, and the jobs that those services need; checked,
/// so that they can be started.
fn needed(plan: &Plan, asked: &[String], scale: &[(String, u32)]) -> Result<ServiceGraph, ConfigError> {
    let known = plan.runs()?;
    let mut environments: Vec<Environment> = Vec::new();
    let mut seen: BTreeSet<String> = asked.iter().cloned().collect();
    let mut open: Vec<String> = asked.to_vec();
    while let Some(name) = open.pop() {
        let mut environment = plan.environment(&name)?;
        if let Some(service) = &mut environment.service
            && let Some((_, count)) = scale.iter().rev().find(|(scaled, _)| *scaled == name)
        {
            service.instances = *count;
        }
        for pattern in &environment.relations.depends {
            let fits = known.iter().filter(|other| glob::matches(pattern, other));
            let wanted: Vec<String> = fits.filter(|other| !seen.contains(*other)).cloned().collect();
            for other in wanted {
                // For an environment without `serve`, `depends` on another such one that uses no service says nothing but
                // the order.
                if environment.service.is_some() || is_service(plan, &other)? || uses_services(plan, &known, &other)? {
                    seen.insert(other.clone());
                    open.push(other);
                }
            }
        }
        environments.push(environment);
    }
    environments.sort_by_key(|one| known.iter().position(|name| *name == one.name));
    let graph = ServiceGraph::needed(&environments.iter().map(GraphMember::from).collect::<Vec<_>>(), asked, &[]);
    graph.checked(&known).map_err(|error| plan.settings.at_values(error))?;
    graph.members.iter().try_for_each(|member| ensure_env_files(&plan.settings, &member.name))?;
    Ok(graph)
}
