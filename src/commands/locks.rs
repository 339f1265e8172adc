//! Opens the project's locks for the verbs that need them, and reports what these verbs have in common.

use std::sync::Arc;

use anyhow::Result;

use crate::cli::options::Options;
use crate::commands::discovery::discovery;
use crate::commands::open_plan::open_plan_with;
use crate::commands::plain_hint;
use crate::commands::run_context::{RunMode, open_run};
use crate::execute::interrupt::BySignal;
use crate::lock::ProjectLocks;
use crate::lock::ecosystems::locked::languages_of_environments;

/// Runs `action` with the project's locks. If a signal arrives meanwhile, the process ends by this signal.
pub(super) fn with_locks(options: &Options, action: impl FnOnce(&ProjectLocks<'_>) -> Result<i32>) -> Result<i32> {
    let discovery = Arc::new(discovery(options));
    let plan = open_plan_with(options, Arc::clone(&discovery))?;
    plan.ensure_only_run_environments()?;
    let mode = RunMode::side_by_side().with_spinners(options.process.stdout_is_terminal);
    let run = open_run(options, &plan, Arc::clone(&discovery), &mode)?;
    let locks = ProjectLocks::new(options, plan, discovery, run)?;
    let outcome = action(&locks);
    match locks.run.interrupt.signal() {
        Some(signal) => Err(BySignal(signal).into()),
        None => outcome,
    }
}

/// Reports the locks that were not read, so that their absence is not read as a result.
pub(super) fn hint_left_out(left_out: &[(String, String)]) {
    if !left_out.is_empty() {
        let names = languages_of_environments(left_out).join(", ");
        plain_hint(&format!("not included, use the languages' own tools: {names}"));
    }
}
