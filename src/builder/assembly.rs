//! Builds environments in parallel without running their commands, for callers that keep programs running in them.

use std::sync::Arc;

use crate::builder::env_builder::ReadyEnv;
use crate::builder::env_run::EnvRuns;
use crate::builder::layer::bases::LayerBases;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::run_context::RunContext;
use crate::builder::secrets::RunSecrets;
use crate::builder::services::{self, RunServices, build_side_by_side};
use crate::env_error::EnvError;
use crate::exit_code;
use crate::plan::Plan;
use crate::serve::protocol::ServiceDefinition;

/// The result of building one environment.
pub enum ReadyRun {
    Ready(Box<ReadyEnv>),
    /// It could not be built, which has been reported; the exit code.
    Reported(i32),
}

/// Builds one environment without running its commands or fetching its secrets.
pub fn ready(run: &Arc<RunContext>, plan: &Arc<Plan>, name: &str) -> ReadyRun {
    let name = name.to_owned();
    let bases = LayerBases::of(plan, std::iter::once(&name));
    let users = std::iter::once(&name).chain(bases.names()).cloned().collect();
    let packager = PackagingEnvs::new(Arc::clone(run), Arc::clone(plan), users, None);
    let (services, secrets) = (RunServices::default(), RunSecrets::default());
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
    let built = env_runs.build(&name, Arc::clone(&run.output.reporter));
    packager.release(&name);
    packager.close();
    match built {
        Ok(ready) => ReadyRun::Ready(Box::new(ready)),
        Err(error) => {
            let code = error.report(run.output.reporter.as_ref(), &name).code;
            ReadyRun::Reported(if code == exit_code::OK { exit_code::FAILED } else { code })
        }
    }
}

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
