//! Builds environments side by side without running their commands: for those who keep programs running in them.

use std::sync::Arc;

use super::contents::RunContents;
use super::halt::Halt;
use super::packaging::Packager;
use super::prepare::Site;
use super::run::Run;
use crate::execute::session::Session;
use crate::model::Environment;
use crate::plan::Plan;

/// An environment that is built, and how its commands run.
pub struct Assembled {
    pub environment: Environment,
    pub session: Session,
}

/// Builds the environments at the same time and answers them in their order.
///
/// # Errors
/// The first halt in that order, with the name of the environment. What was skipped cannot be served, so that is a halt
/// too.
pub fn assemble(
    run: &Arc<Run>,
    plan: &Arc<Plan>,
    environments: Vec<Environment>,
) -> Result<Vec<Assembled>, (String, Halt)> {
    let names: Vec<String> = environments.iter().map(|one| one.name.clone()).collect();
    let packager = Packager::new(Arc::clone(run), Arc::clone(plan), names.clone(), None);
    let built: Vec<Result<Assembled, Halt>> = std::thread::scope(|scope| {
        let threads: Vec<_> = environments
            .into_iter()
            .map(|environment| scope.spawn(|| assemble_one(run, &packager, environment)))
            .collect();
        let panicked = || Err(Halt::Internal(anyhow::anyhow!("building it has failed")));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
    });
    packager.close();
    built.into_iter().zip(names).map(|(one, name)| one.map_err(|halt| (name, halt))).collect()
}

fn assemble_one(run: &Arc<Run>, packager: &Packager, environment: Environment) -> Result<Assembled, Halt> {
    let name = environment.name.clone();
    let shared = Arc::new(environment);
    let site = Site::new(Arc::clone(run), Arc::clone(&shared), Arc::clone(&run.reporter));
    let mut contents = RunContents::new(packager);
    let built = site.prepare(&mut contents).and_then(|foundation| contents.finish(&site, foundation));
    packager.release(&name);
    let session = built?;
    fs_err::create_dir_all(shared.change_dir.get()?)?;
    Ok(Assembled { environment: Environment::clone(&shared), session })
}
