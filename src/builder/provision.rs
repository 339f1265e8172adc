//! Provisions tox: creates an environment with a real tox and its plugins, which then runs with the same arguments.
//! [`crate::plan::provision`] decides what it contains.

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

/// Creates `environment`, installs its `deps`, and runs its tox with `arguments` (reported as `shown`). Returns that
/// tox's exit code.
pub fn provide(
    run: &Arc<RunContext>,
    environment: Environment,
    arguments: &[String],
    shown: DisplayedCommand,
) -> Result<i32, EnvError> {
    let reporter: Arc<dyn Reporter> = Arc::new(ProgramReporter(Arc::clone(&run.output.reporter)));
    let env = EnvBuilder::new(Arc::clone(run), Arc::new(environment), reporter);
    let created = env.prepare(&mut ProvisionRequirements)?;
    let python = created.python()?;
    let isolation = safe_path(&python.interpreter.version);
    let python = python.layout.python.display().to_string();
    let words = [python.as_str(), isolation, "-m", "tox"].map(str::to_owned);
    let outcome = created.session.execute(CommandRequest {
        argv: words.into_iter().chain(arguments.iter().cloned()).collect(),
        shown,
        cwd: run.project.current_dir.clone(),
        run_id: "provision".to_owned(),
        stdin: CommandStdin::user_only(),
        display: CommandDisplay::Show,
    })?;
    Ok(outcome.exit_code)
}

/// The option that keeps the current folder off the search path of this Python version.
pub fn safe_path(version: &PythonVersion) -> &'static str {
    if (version.major, version.minor) >= SAFE_PATH { "-P" } else { "-I" }
}

/// Creates `environment`, installs its `deps`, and returns its Python.
pub fn prepare(run: &Arc<RunContext>, environment: Environment) -> Result<PathBuf, EnvError> {
    let reporter: Arc<dyn Reporter> = Arc::new(ProgramReporter(Arc::clone(&run.output.reporter)));
    let env = EnvBuilder::new(Arc::clone(run), Arc::new(environment), reporter);
    let created = env.prepare(&mut ProvisionRequirements)?;
    Ok(created.python()?.layout.python.clone())
}

/// The requirements of `requires`, as dependencies of the environment.
struct ProvisionRequirements;

impl EnvContents for ProvisionRequirements {
    fn install(&mut self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let deps = env.environment.contents.dependencies.deps.get()?;
        Installing::new(env, created).ensure(section::RUN, "deps", |conditions, old| conditions.deps(&deps, &[], old))
    }

    fn before_removal(&mut self, _: &EnvBuilder) {}

    fn after_removal(&mut self, _: &EnvBuilder, _: bool) {}
}

/// Reports events of the environment as those of the program itself, since the user did not ask for that environment.
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
