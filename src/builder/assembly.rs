//! Builds environments side by side without running their commands: for those who keep programs running in them.

use std::sync::Arc;

use crate::builder::env_run::Turns;
use crate::builder::packaging_env::Packager;
use crate::builder::run_context::Run;
use crate::builder::services::{Services, build_side_by_side};
use crate::env_error::Halt;
use crate::plan::Plan;
use crate::serve::define;
use crate::serve::protocol::Definition;

/// Builds the environments at the same time and answers them in their order. What happens is told as it happens.
///
/// # Errors
/// When one of them cannot be built; it has been told why.
pub fn assemble(run: &Arc<Run>, plan: &Arc<Plan>, names: &[String]) -> Result<Vec<Definition>, Halt> {
    let packager = Packager::new(Arc::clone(run), Arc::clone(plan), names.to_vec(), None);
    let services = Services::default();
    let turns = Turns { run, plan, packager: &packager, services: &services, layout: None, ahead: None };
    let built = build_side_by_side(&turns, names);
    packager.close();
    built?.iter().map(|built| Ok(define(&built.environment, &built.session)?)).collect()
}
