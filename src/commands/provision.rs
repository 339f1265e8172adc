//! Runs a real tox instead, if the configuration requires a plugin that envo does not replace, or a newer tox.

use std::sync::Arc;

use anyhow::Result;

use crate::builder;
use crate::cli::options::{Options, Verb};
use crate::commands::delegate_to_tox;
use crate::commands::packaged_services;
use crate::commands::required_python::environment;
use crate::commands::run_context::{RunMode, open_run};
use crate::commands::{ProgressDisplay, ROOT, reporter};
use crate::error::ConfigError;
use crate::execute::session::DisplayedCommand;
use crate::model::InterpreterLookup as _;
use crate::plan::Plan;
use crate::plan::provision::{ProvisionContext, ProvisionReason, ensure_own_versions, inline_plugin, metadata, need};
use crate::runtime::python::PythonDiscovery;
use crate::settings::check::has_unknown_keys;

/// Another tox did the work, and exited with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a provisioned tox ended with exit code {code}")]
pub struct ProvisionExit {
    pub code: i32,
}

/// Does nothing if envo can do the work.
///
/// # Errors
/// [`ProvisionExit`] if a provisioned tox has done the work; why it could not be provisioned.
pub fn ensure(plan: &Plan, options: &Options, discovery: &Arc<PythonDiscovery>) -> Result<()> {
    let settings = &plan.settings;
    // No tox can serve, with whatever plugins, or knows of services at all.
    if is_about_services(options.verb) {
        let requires = plan.settings.list(plan.settings.core(), "requires").unwrap_or_default();
        return Ok(ensure_own_versions(&requires).map_err(|error| at_requires(plan, error))?);
    }
    // What tox looks at here is wrong for every verb when it is wrong.
    settings.path(settings.core(), "temp_dir")?;
    settings.path(settings.core(), "work_dir")?;
    let requires = settings.list(settings.core(), "requires")?;
    settings.text(settings.core(), "provision_tox_env")?;
    let host = discovery.host_python();
    let has_markers = requires.iter().any(|text| text.contains(';'));
    let asked = if has_markers { discovery.find(&[host.display().to_string()]) } else { None };
    let around = ProvisionContext {
        file: &settings.source.path,
        text: &settings.source.text,
        variables: &options.process.variables,
        markers: asked.as_ref().map(|interpreter| &interpreter.markers),
    };
    let found = need(&requires, &around).map_err(|error| at_requires(plan, error))?;
    let Some(need) = found.and_then(|found| without_newer_patches(found, plan)) else { return Ok(()) };
    // tox knows nothing of checking, and a check installs nothing.
    if options.config.check {
        return Ok(());
    }
    if matches!(&need, ProvisionReason::Requirements(missing) if missing.iter().all(|one| one.has.is_none()))
        && packaged_services::is_all_that_is_required(plan, options, discovery)?
    {
        return Ok(());
    }
    delegate_to_tox::hand_over(&requires, &around, options, discovery)?;
    refuse_if_disabled(&need, &requires, options, &host.display().to_string())?;
    crate::commands::report_warnings(plan, options);
    let reporter = reporter(options, ProgressDisplay::Plain);
    let text = format!("will run in automatically provisioned tox, host {} {}", host.display(), need.reason());
    let shown = match need {
        ProvisionReason::Requirements(_) => {
            reporter.warning(ROOT, text);
            DisplayedCommand::Itself
        }
        // tox itself has nothing to say of such a file.
        ProvisionReason::InlinePlugin(_) => {
            reporter.info(ROOT, text);
            DisplayedCommand::Already
        }
    };
    let (name, environment) = environment(plan, options, &requires)?;
    let run = open_run(options, plan, Arc::clone(discovery), &RunMode::one_by_one())?;
    let code = match builder::provision::provide(&Arc::new(run), environment, &arguments(options), shown) {
        Ok(code) => code,
        Err(crate::env_error::EnvError::Skip(reason)) => {
            let text = format!("cannot provision tox environment {name} because {reason}");
            return Err(ConfigError::handled(text).into());
        }
        Err(halt) => halt.report(reporter.as_ref(), ROOT).code,
    };
    Err(ProvisionExit { code }.into())
}

/// A newer patch version of what envo replaces adds no key that the configuration uses, unless it uses one that envo does not
/// know.
fn without_newer_patches(reason: ProvisionReason, plan: &Plan) -> Option<ProvisionReason> {
    let ProvisionReason::Requirements(mut missing) = reason else { return Some(reason) };
    if missing.iter().any(|one| one.is_newer_patch) && !has_unknown_keys(&plan.settings) {
        missing.retain(|one| !one.is_newer_patch);
    }
    if missing.is_empty() {
        return inline_plugin(&plan.settings.source.path).map(ProvisionReason::InlinePlugin);
    }
    Some(ProvisionReason::Requirements(missing))
}

fn at_requires(plan: &Plan, error: ConfigError) -> ConfigError {
    let place = plan.settings.location_of(plan.settings.core(), "requires").ok().flatten();
    place.into_iter().fold(error, ConfigError::at)
}

fn is_about_services(verb: Verb) -> bool {
    use Verb::{Down, Events, Logs, Ps, Restart, Scale, Serve, Services, Start, Stop, Up, Wait};
    matches!(verb, Serve | Up | Scale | Down | Ps | Logs | Start | Stop | Restart | Wait | Events | Services)
}

/// What the user typed, and that there are colours where this process would use them.
fn arguments(options: &Options) -> Vec<String> {
    let typed = options.invocation.arguments.iter().cloned();
    let colored = options.output.colored && !options.invocation.arguments.iter().any(|word| *word == "--colored");
    let color: &[&str] = if colored { &["--colored", "yes"] } else { &[] };
    color.iter().map(|word| (*word).to_owned()).chain(typed).collect()
}

/// `--no-provision`.
fn refuse_if_disabled(need: &ProvisionReason, requires: &[String], options: &Options, host: &str) -> Result<()> {
    let Some(file) = &options.run.provision.no_provision else { return Ok(()) };
    let mut message = format!("provisioning explicitly disabled within {host}, but {}", need.reason());
    if !file.is_empty() {
        fs_err::write(options.process.current_dir.join(file), metadata(requires))?;
        message = format!("{message} and wrote to {file}");
    }
    Err(ConfigError::handled(message).into())
}
