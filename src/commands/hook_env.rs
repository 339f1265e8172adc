//! `envo hook-env`: what a shell evaluates before each prompt. It reads what is cached and never waits: a build runs in a
//! process of its own, and a later prompt picks up its result.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::activation::cache::{ActivationCache, BuiltActivation};
use crate::activation::change::{self, AppliedChange};
use crate::activation::project::ActivatedProject;
use crate::activation::script;
use crate::activation::trust::{Trust, TrustStore};
use crate::digest::sha256;
use crate::execute::environment::host;
use crate::execute::process::{ChildInput, ChildOutput, ProcessGrouping, Spawn};
use crate::model::EnvVariables;
use crate::platform::{processes, system};
use crate::report::plain;

/// The hidden command that hooks call, with the shell and its process number.
pub const VERB: &str = "hook-env";
/// A digest of the last line that was said, which is said once.
const SAID: &str = "ENVO_SAID";

/// What a shell should have, and what to tell its user.
#[derive(Default)]
struct Decision {
    target: Option<(String, BuiltActivation)>,
    line: Option<String>,
}

/// Prints the change from what the shell has to what it should have.
pub fn execute(arguments: &[OsString]) {
    let word = |at: usize| arguments.get(at).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let (shell, pid) = (word(2), word(3).parse().unwrap_or(0));
    let variables = host();
    let current = AppliedChange::of(&variables);
    if current.as_ref().is_some_and(|change| change.stamp == change::OF_SHELL) {
        return plain::out(if shell == "nu" { "null" } else { "" });
    }
    let before = current.as_ref().map_or_else(|| variables.clone(), |change| change.undone(&variables));
    let decision = decide(&variables, &before, pid);
    let mut after = match (&decision.target, &current) {
        (Some((stamp, _)), Some(change)) if change.stamp == *stamp => variables.clone(),
        (Some((stamp, built)), _) => change::applied(&before, built, stamp),
        (None, _) => before,
    };
    match &decision.line {
        Some(line) => {
            let said = sha256(line)[..16].to_owned();
            if variables.text(SAID).as_ref() != Some(&said) {
                plain::error(&format!("envo: {line}\n"));
            }
            after.set(SAID, said);
        }
        None => after.remove(SAID),
    }
    let changes = change::difference(&variables, &after);
    plain::out(&match changes.is_empty() && shell == "nu" {
        true => "null".to_owned(),
        false => script::changes(&shell, &changes),
    });
}

fn decide(variables: &EnvVariables, before: &EnvVariables, pid: u32) -> Decision {
    let Some(state) = variables.state_folder() else { return Decision::default() };
    let Some(folder) = folder(variables) else { return Decision::default() };
    let say = |line: String| Decision { target: None, line: Some(line) };
    let project = match ActivatedProject::around(&folder) {
        Ok(Some(project)) => project,
        Ok(None) => return Decision::default(),
        Err(error) => return say(error.message.lines().next().unwrap_or_default().to_owned()),
    };
    let config = project.config.display();
    let content = match TrustStore::new(&state).of(&project) {
        Trust::Allowed(content) => content,
        Trust::Denied => return Decision::default(),
        Trust::Unknown => return say(format!("{config} is not allowed; `envo allow` activates it")),
        Trust::Changed => return say(format!("{config} has changed; `envo allow` activates it again")),
    };
    let cache = ActivationCache::new(&state, &project.root);
    let unloaded = std::fs::read_to_string(cache.unloaded(pid));
    if unloaded.is_ok_and(|start| start == format!("{:?}", processes::start_time(pid))) {
        return Decision::default();
    }
    let environment = &project.environment;
    match cache.built(&content) {
        Some(built) if built.failed => say(format!("`{environment}` could not be built; `envo reload` shows why")),
        Some(built) => {
            let stamp = sha256(format!("{}\n{content}\n{built:?}", project.root.display()));
            Decision { target: Some((stamp, built)), line: None }
        }
        None => {
            let line = match build_in_background(&cache, &project.root, before) {
                Ok(()) => format!("building `{environment}`; a later prompt activates it"),
                Err(error) => format!("`{environment}` cannot be built in the background: {error}"),
            };
            say(line)
        }
    }
}

/// The folder that the shell is in; its nearest parent if it was deleted.
fn folder(variables: &EnvVariables) -> Option<PathBuf> {
    let named = variables.get("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = named.or_else(|| std::env::current_dir().ok())?;
    folder.ancestors().find(|folder| folder.is_dir()).map(Path::to_path_buf)
}

/// Starts a build unless one is running. It gets neither the terminal nor the pipe that the shell reads.
fn build_in_background(cache: &ActivationCache, root: &Path, variables: &EnvVariables) -> std::io::Result<()> {
    let lock = cache.lock()?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    let log = File::create(cache.log())?;
    let mut spawn = Spawn::new(system::own_program(), ["reload"], variables.clone());
    spawn.cwd = Some(root.to_path_buf());
    spawn.grouping = ProcessGrouping::Session;
    spawn.stdin = ChildInput::Null;
    spawn.stdout = ChildOutput::To(log.try_clone()?.into());
    spawn.stderr = ChildOutput::To(log.into());
    // The child takes the lock as soon as this process has ended.
    spawn.start().map(drop)
}
