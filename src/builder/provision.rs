//! Carries out what [`crate::plan::provision`] decides: an environment with a real tox and its plugins, which then does
//! the work with the same arguments.

use std::path::PathBuf;
use std::sync::Arc;

use crate::builder::env_builder::{CreatedEnv, EnvBuilder, EnvContents};
use crate::builder::installation::Installing;
use crate::builder::run_context::RunContext;
use crate::builder::stamp::section;
use crate::env_error::EnvError;
use crate::event::{Reporter, RunEvent};
use crate::execute::session::{CommandDisplay, CommandRequest, CommandStdin, DisplayedCommand};
use crate::model::Environment;
use crate::model::interpreter::PythonVersion;

/// The first version with `-P`, which keeps the current folder off Python's search path. Older ones take `-I`.
const SAFE_PATH: (u32, u32) = (3, 11);

/// Makes `environment`, installs its `deps`, and runs the tox in it with `arguments`, which is told as `shown`. Returns
/// that tox's exit code.
pub fn provide(
    run: &Arc<RunContext>,
    environment: Environment,
    arguments: &[String],
    shown: DisplayedCommand,
) -> Result<i32, EnvError> {
    let reporter: Arc<dyn Reporter> = Arc::new(ProgramReporter(Arc::clone(&run.reporter)));
    let site = EnvBuilder::new(Arc::clone(run), Arc::new(environment), reporter);
    let foundation = site.prepare(&mut ProvisionRequirements)?;
    let python = foundation.python()?;
    let isolation = safe_path(&python.interpreter.version);
    let python = python.layout.python.display().to_string();
    let words = [python.as_str(), isolation, "-m", "tox"].map(str::to_owned);
    let outcome = foundation.session.execute(CommandRequest {
        argv: words.into_iter().chain(arguments.iter().cloned()).collect(),
        shown,
        cwd: run.project.current_dir.clone(),
        run_id: "provision".to_owned(),
        stdin: CommandStdin::user_only(),
        display: CommandDisplay::Show,
    })?;
    Ok(outcome.exit_code)
}

/// The option that keeps the current folder off the search path of a Python of that version.
pub fn safe_path(version: &PythonVersion) -> &'static str {
    if (version.major, version.minor) >= SAFE_PATH { "-P" } else { "-I" }
}

/// Makes `environment` and installs its `deps`, and answers its Python.
pub fn prepare(run: &Arc<RunContext>, environment: Environment) -> Result<PathBuf, EnvError> {
    let reporter: Arc<dyn Reporter> = Arc::new(ProgramReporter(Arc::clone(&run.reporter)));
    let site = EnvBuilder::new(Arc::clone(run), Arc::new(environment), reporter);
    let foundation = site.prepare(&mut ProvisionRequirements)?;
    Ok(foundation.python()?.layout.python.clone())
}

/// What `requires` says, as the dependencies of the environment.
struct ProvisionRequirements;

impl EnvContents for ProvisionRequirements {
    fn install(&mut self, site: &EnvBuilder, foundation: &mut CreatedEnv) -> Result<(), EnvError> {
        let deps = site.environment.dependencies.deps.get()?;
        Installing::new(site, foundation)
            .ensure(section::RUN, "deps", |conditions, old| conditions.deps(&deps, &[], old))
    }

    fn before_removal(&mut self, _: &EnvBuilder) {}

    fn after_removal(&mut self, _: &EnvBuilder, _: bool) {}
}

/// Tells what happens in the environment as the program's own doing, since nobody asked for that environment.
struct ProgramReporter(Arc<dyn Reporter>);

impl Reporter for ProgramReporter {
    fn event(&self, mut event: RunEvent) {
        match &mut event {
            RunEvent::Message { environment, .. }
            | RunEvent::CommandStarted { environment, .. }
            | RunEvent::Output { environment, .. }
            | RunEvent::CommandFinished { environment, .. }
            | RunEvent::Phase { environment, .. } => "ROOT".clone_into(environment),
            _ => {}
        }
        self.0.event(event);
    }
}
