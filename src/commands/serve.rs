//! `envo serve`: builds services and what they depend on, keeps them running until the user interrupts, and ends them in
//! reverse order.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;

use super::report_warnings;
use super::run::{Manner, open, open_run};
use crate::build::assembly::assemble;
use crate::build::run::Run;
use crate::build::services::STATE_FOLDER;
use crate::cli::options::{EnvironmentChoice, Options, Selection};
use crate::error::ConfigError;
use crate::execute::glob;
use crate::exit_code;
use crate::model::Environment;
use crate::plan::Plan;
use crate::serve::graph::{Graph, Member};
use crate::serve::{Hold, ShimProgram, StackOptions, serve_foreground, user_folder};
use crate::settings::service_keys;

/// Serves the services that were named, or all there are, until the user interrupts.
///
/// # Errors
/// When the configuration is wrong, a port is taken, or a service fails.
pub fn execute(options: &Options) -> Result<i32> {
    stay_small();
    let (plan, discovery) = open(options)?;
    plan.ensure_only_run_environments()?;
    let asked = asked(&plan, &options.selection)?;
    let environments = needed(&plan, &asked)?;
    report_warnings(&plan, options);
    let plan = Arc::new(plan);
    let run = Arc::new(open_run(options, &plan, discovery, &Manner::side_by_side())?);
    let names: Vec<String> = environments.iter().map(|one| one.name.clone()).collect();
    let services = match assemble(&run, &plan, &names) {
        Ok(services) => services,
        Err(halt) => {
            // What is skipped cannot be served either.
            let code = halt.tell(run.reporter.as_ref(), super::ROOT).code;
            return Ok(if code == exit_code::OK { exit_code::FAILED } else { code });
        }
    };
    serve_foreground(services, stack_options(&run))
}

/// Lets all threads share one heap. The many that build environments would each leave one behind, for as long as the
/// services run.
fn stay_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call changes a number inside the allocator and is made before any thread is started.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

fn stack_options(run: &Run) -> StackOptions {
    StackOptions {
        state_dir: run.project.work_dir.join(STATE_FOLDER),
        user_dir: user_folder(&run.host),
        reporter: Arc::clone(&run.reporter),
        interrupt: run.interrupt.clone(),
        hold: Hold::UntilInterrupted,
        show_output: true,
        shim: ShimProgram::default(),
    }
}

/// The services that were asked for: those that were named, or every one.
fn asked(plan: &Plan, selection: &Selection) -> Result<Vec<String>, ConfigError> {
    let nothing_named = matches!(selection.environments, EnvironmentChoice::Default | EnvironmentChoice::All)
        && selection.labels.is_empty()
        && selection.factors.is_empty();
    let names = if nothing_named { run_environments(plan)? } else { plan.selected()? };
    let mut services = Vec::new();
    for name in names {
        if is_service(plan, &name)? {
            services.push(name);
        } else if !nothing_named {
            return Err(ConfigError::handled(format!("`{name}` is not a service: it has no `serve` key"))
                .hint(format!("`envo run -e {name}` runs its commands")));
        }
    }
    if services.is_empty() {
        return Err(ConfigError::handled("no environment has a `serve` key, so there is nothing to serve")
            .hint("give an environment `serve = COMMAND` to make it a service"));
    }
    Ok(services)
}

fn is_service(plan: &Plan, name: &str) -> Result<bool, ConfigError> {
    let set = plan.settings.environment(name);
    Ok(service_keys(&plan.settings, &set)?.contains(&"serve"))
}

fn run_environments(plan: &Plan) -> Result<Vec<String>, ConfigError> {
    Ok(plan.all()?.into_iter().filter(|entry| !entry.kind.is_package()).map(|entry| entry.name).collect())
}

/// The services that the environments `asked` need, themselves included, and the jobs that those services need; checked,
/// so that they can be started.
///
/// # Errors
/// Everything that is wrong with their graph: the first mistake, and the others as hints.
fn needed(plan: &Plan, asked: &[String]) -> Result<Vec<Environment>, ConfigError> {
    let known = run_environments(plan)?;
    let mut environments: Vec<Environment> = Vec::new();
    let mut seen: BTreeSet<String> = asked.iter().cloned().collect();
    let mut open: Vec<String> = asked.to_vec();
    while let Some(name) = open.pop() {
        let environment = plan.environment(&name)?;
        for pattern in &environment.depends {
            let fits = known.iter().filter(|other| glob::matches(pattern, other));
            let wanted: Vec<String> = fits.filter(|other| !seen.contains(*other)).cloned().collect();
            for other in wanted {
                // For an environment without `serve`, `depends` on another such one says nothing but the order.
                if environment.service.is_some() || is_service(plan, &other)? {
                    seen.insert(other.clone());
                    open.push(other);
                }
            }
        }
        environments.push(environment);
    }
    environments.sort_by_key(|one| known.iter().position(|name| *name == one.name));
    let graph = Graph::needed(&environments.iter().map(Member::from).collect::<Vec<_>>(), asked);
    first_error(graph.check(&known))?;
    Ok(environments)
}

fn first_error(errors: Vec<ConfigError>) -> Result<(), ConfigError> {
    let mut errors = errors.into_iter();
    let Some(mut first) = errors.next() else { return Ok(()) };
    for other in errors {
        first.hints.push(format!("another mistake: {}", other.message));
        first.hints.extend(other.hints);
    }
    Err(first)
}
