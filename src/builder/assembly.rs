//! Builds environments in parallel without running their commands, for callers that keep programs running in them.

use std::sync::Arc;

use crate::builder::env_run::EnvRuns;
use crate::builder::layer::bases::LayerBases;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::run_context::RunContext;
use crate::builder::secrets::RunSecrets;
use crate::builder::services::{self, RunServices, build_side_by_side};
use crate::env_error::EnvError;
use crate::plan::Plan;
use crate::serve::protocol::ServiceDefinition;

/// Builds the environments in parallel and returns them in the given order. Events are reported as they happen.
///
/// # Errors
/// If one of them cannot be built; the reason has been reported by then.
pub fn assemble(run: &Arc<RunContext>, plan: &Arc<Plan>, names: &[String]) -> Result<Vec<ServiceDefinition>, EnvError> {
    let bases = LayerBases::of(plan, names.iter());
    let users = names.iter().chain(bases.names()).cloned().collect();
    let packager = PackagingEnvs::new(Arc::clone(run), Arc::clone(plan), users, None);
    let services = RunServices::default();
    let secrets = RunSecrets::start(run, plan, names.iter());
    let env_runs = EnvRuns {
        run,
        plan,
        packager: &packager,
        services: &services,
        secrets: &secrets,
        bases: &bases,
        layout: None,
        prebuilder: None,
        cores: None,
    };
    let built = build_side_by_side(&env_runs, names);
    packager.close();
    built?.into_iter().map(|built| services::defined(&secrets, built)).collect()
}
