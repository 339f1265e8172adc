//! Reads the configuration, the first step of every verb.

use std::sync::Arc;

use anyhow::{Result, bail};

use crate::cli::options::Options;
use crate::commands::discovery::discovery;
use crate::commands::{ProgressDisplay, reporter};
use crate::plan::{self, Plan, PlanWarning};
use crate::runtime::python::PythonDiscovery;
use crate::source;

/// Reads the configuration that the options name. No interpreter is asked before a setting needs one.
pub fn open_plan(options: &Options) -> Result<Plan> {
    open_plan_with(options, Arc::new(discovery(options)))
}

/// [`open_plan`] with a catalogue of interpreters that is at hand already.
pub fn open_plan_with(options: &Options, interpreters: Arc<PythonDiscovery>) -> Result<Plan> {
    let mut plan =
        crate::commands::packaged_services::with_packages(read_with(options, &interpreters)?, options, &interpreters)?;
    // That no configuration was found explains an unknown environment, so it is said before that error.
    report_warnings(&plan, options);
    // What was noticed of a value comes before what is wrong with it.
    plan.settle().inspect_err(|_| report_warnings(&plan, options))?;
    Ok(plan)
}

/// The configuration without its environments.
///
/// # Errors
/// If there is no valid configuration; [`ProvisionExit`](crate::commands::provision::ProvisionExit) if another tox did the work.
pub fn read(options: &Options) -> Result<Plan> {
    read_with(options, &Arc::new(discovery(options)))
}

fn read_with(options: &Options, interpreters: &Arc<PythonDiscovery>) -> Result<Plan> {
    if let Some(root) = options.project.root_dir.as_deref().map(|root| options.process.current_dir.join(root))
        && !root.is_dir()
    {
        bail!("{} is not a folder; --root (TOX_ROOT_DIR) must be an existing folder", root.display());
    }
    let plan = plan::read(Arc::new(options.clone()), Arc::clone(interpreters) as _)?;
    crate::commands::provision::ensure(&plan, options, interpreters)
        .inspect_err(|_| report_warnings(&plan, options))?;
    Ok(plan)
}

/// Finds the configuration, as tox does before every verb, and warns if it does not exist.
pub fn report_missing_configuration(options: &Options) -> Result<()> {
    let found = source::discover(
        options.project.config_file.as_deref(),
        options.project.root_dir.as_deref(),
        &options.process.current_dir,
    )?;
    if let Some(text) = found.warning {
        let reporter = reporter(options, ProgressDisplay::Plain);
        reporter.warning(crate::commands::ROOT, text);
    }
    Ok(())
}

/// Reports the warnings from reading the configuration.
pub fn report_warnings(plan: &Plan, options: &Options) {
    report(plan.take_warnings(), options);
}

/// Reports warnings, each for its environment.
pub fn report(warnings: Vec<PlanWarning>, options: &Options) {
    if warnings.is_empty() {
        return;
    }
    let reporter = reporter(options, ProgressDisplay::Plain);
    for warning in warnings {
        reporter.warning(warning.environment.as_deref().unwrap_or(crate::commands::ROOT), warning.text);
    }
}
