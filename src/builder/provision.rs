//! Carries out what [`crate::plan::provision`] decides: an environment with a real tox and its plugins, which then does
//! the work with the same arguments.

use std::path::PathBuf;
use std::sync::Arc;

use crate::builder::env_builder::{Contents, Foundation, Site};
use crate::builder::installation::Installation;
use crate::builder::run_context::Run;
use crate::builder::stamp::section;
use crate::env_error::Halt;
use crate::event::{Event, Reporter};
use crate::execute::session::{Display, Request, Shown, Stdin};
use crate::model::Environment;
use crate::model::interpreter::PythonVersion;

/// The first version with `-P`, which keeps the current folder off Python's search path. Older ones take `-I`.
const SAFE_PATH: (u32, u32) = (3, 11);

/// Makes `environment`, installs its `deps`, and runs the tox in it with `arguments`, which is told as `shown`. Returns
/// that tox's exit code.
pub fn provide(run: &Arc<Run>, environment: Environment, arguments: &[String], shown: Shown) -> Result<i32, Halt> {
    let reporter: Arc<dyn Reporter> = Arc::new(AsRoot(Arc::clone(&run.reporter)));
    let site = Site::new(Arc::clone(run), Arc::new(environment), reporter);
    let foundation = site.prepare(&mut Requirements)?;
    let python = foundation.python()?;
    let isolation = safe_path(&python.interpreter.version);
    let python = python.layout.python.display().to_string();
    let words = [python.as_str(), isolation, "-m", "tox"].map(str::to_owned);
    let outcome = foundation.session.execute(Request {
        argv: words.into_iter().chain(arguments.iter().cloned()).collect(),
        shown,
        cwd: run.project.current_dir.clone(),
        run_id: "provision".to_owned(),
        stdin: Stdin::user_only(),
        display: Display::Show,
    })?;
    Ok(outcome.exit_code)
}

/// The option that keeps the current folder off the search path of a Python of that version.
pub fn safe_path(version: &PythonVersion) -> &'static str {
    if (version.major, version.minor) >= SAFE_PATH { "-P" } else { "-I" }
}

/// Makes `environment` and installs its `deps`, and answers its Python.
pub fn prepare(run: &Arc<Run>, environment: Environment) -> Result<PathBuf, Halt> {
    let reporter: Arc<dyn Reporter> = Arc::new(AsRoot(Arc::clone(&run.reporter)));
    let site = Site::new(Arc::clone(run), Arc::new(environment), reporter);
    let foundation = site.prepare(&mut Requirements)?;
    Ok(foundation.python()?.layout.python.clone())
}

/// What `requires` says, as the dependencies of the environment.
struct Requirements;

impl Contents for Requirements {
    fn put_in(&mut self, site: &Site, foundation: &mut Foundation) -> Result<(), Halt> {
        let deps = site.environment.dependencies.deps.get()?;
        Installation::new(site, foundation)
            .carry_out(section::RUN, "deps", |conditions, old| conditions.deps(&deps, &[], old))
    }

    fn before_removal(&mut self, _: &Site) {}

    fn after_removal(&mut self, _: &Site, _: bool) {}
}

/// Tells what happens in the environment as the program's own doing, since nobody asked for that environment.
struct AsRoot(Arc<dyn Reporter>);

impl Reporter for AsRoot {
    fn event(&self, mut event: Event) {
        match &mut event {
            Event::Message { environment, .. }
            | Event::CommandStarted { environment, .. }
            | Event::Output { environment, .. }
            | Event::CommandFinished { environment, .. }
            | Event::Phase { environment, .. } => "ROOT".clone_into(environment),
            _ => {}
        }
        self.0.event(event);
    }
}
