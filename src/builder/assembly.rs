//! Builds environments side by side without running their commands: for those who keep programs running in them.

use std::sync::Arc;

use crate::builder::env_run::EnvRuns;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::run_context::RunContext;
use crate::builder::services::{RunServices, build_side_by_side};
use crate::env_error::EnvError;
use crate::plan::Plan;
use crate::serve::define;
use crate::serve::protocol::ServiceDefinition;

/// Builds the environments at the same time and answers them in their order. What happens is told as it happens.
///
/// # Errors
/// When one of them cannot be built; it has been told why.
pub fn assemble(run: &Arc<RunContext>, plan: &Arc<Plan>, names: &[String]) -> Result<Vec<ServiceDefinition>, EnvError> {
    let packager = PackagingEnvs::new(Arc::clone(run), Arc::clone(plan), names.to_vec(), None);
    let services = RunServices::default();
    let turns = EnvRuns { run, plan, packager: &packager, services: &services, layout: None, ahead: None };
    let built = build_side_by_side(&turns, names);
    packager.close();
    built?.iter().map(|built| Ok(define(&built.environment, &built.session)?)).collect()
}
