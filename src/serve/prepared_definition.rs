//! Turns a built environment into a service definition that can be sent, and a definition back into something
//! that can run commands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::digest::hexadecimal;
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::session::{AllowedPrograms, CommandCapture, CommandSession};
use crate::model::literal;
use crate::model::{Command, EnvVariables, Environment};
use crate::redaction::Redactor;
use crate::serve::fields::{self, ServiceInstance, ServiceInstances};
use crate::serve::protocol::{DefinedCommands, ServiceDefinition, VariablesJson};

/// The maximum number of files below one folder that count as inputs of a job.
const MOST_FILES: usize = 10_000;

/// The definition that a supervisor needs to serve an environment, or, without `serve`, to run it as a job.
/// The graph adds the dependencies.
pub fn define(environment: &Environment, session: &CommandSession) -> Result<ServiceDefinition, ConfigError> {
    let lists = &environment.execution.commands;
    let cwd = session.current_dir.join(environment.execution.change_dir.get()?);
    let is_job = environment.service.is_none();
    let commands = if is_job { lists.main.get()? } else { Vec::new() };
    let inputs = if is_job { inputs(&commands, &cwd, &environment.folders.env_dir) } else { String::new() };
    let definition = ServiceDefinition {
        name: environment.name.clone(),
        service: environment.service.clone(),
        depends: Vec::new(),
        steps: DefinedCommands {
            commands_pre: lists.pre.get()?,
            commands,
            commands_post: lists.post.get()?,
            ignore_errors: lists.ignore_errors,
            retries: lists.retries,
            post_after_interrupt: lists.post_after_interrupt,
        },
        cwd,
        current_dir: session.current_dir.clone(),
        log_dir: session.log_dir.clone(),
        paths: session.programs.paths.clone(),
        allow: session.programs.allow.clone(),
        variables: VariablesJson(fillable(&session.variables, environment)?),
        timeouts: session.timeouts,
        inputs,
        secrets: environment.variables.secrets.iter().map(|secret| secret.variable.clone()).collect(),
    };
    let paths = [&definition.cwd, &definition.current_dir, &definition.log_dir];
    if let Some(path) = paths.into_iter().chain(&definition.paths).find(|path| path.to_str().is_none()) {
        let (name, path) = (&definition.name, path.display());
        return Err(ConfigError::handled(format!("`{name}` cannot be served: the path {path} is not UTF-8")));
    }
    Ok(definition)
}

/// A digest of a job's inputs, as far as they are known: the contents of its environment, and the files that
/// its commands name.
fn inputs(commands: &[Command], cwd: &Path, env_dir: &Path) -> String {
    let mut digest = Sha256::new();
    digest.update(std::fs::read(env_dir.join(".tox-info.json")).unwrap_or_default());
    for word in commands.iter().flat_map(|command| &command.argv) {
        let path = cwd.join(word);
        // A system program is not an input, and a folder above the project is not a list of files.
        if path.starts_with(cwd) && path != cwd && !word.is_empty() {
            add_files(&mut digest, &path);
        }
    }
    hexadecimal(&digest.finalize())
}

fn add_files(digest: &mut Sha256, path: &Path) {
    let mut open: Vec<PathBuf> = vec![path.to_path_buf()];
    for _ in 0..MOST_FILES {
        let Some(path) = open.pop() else { return };
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let mut entries: Vec<PathBuf> =
                std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            // Python's caches are not inputs.
            entries.retain(|entry| !entry.ends_with("__pycache__"));
            entries.sort();
            open.extend(entries);
            continue;
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        digest.update(format!("{}\0{}\0{modified:?}\0", path.display(), metadata.len()));
    }
}

/// A definition with the session that runs its commands.
#[derive(Clone)]
pub struct PreparedDefinition {
    pub definition: Arc<ServiceDefinition>,
    /// Runs its commands, without variables: those come from the definition once the services they refer to
    /// are known.
    pub session: CommandSession,
}

impl PreparedDefinition {
    /// `redactor` hides the secrets of this definition from now on, too.
    pub fn new(definition: Arc<ServiceDefinition>, reporter: Arc<dyn Reporter>, redactor: &Redactor) -> Self {
        redactor.hide(&secret_values(&definition));
        let session = CommandSession {
            environment: definition.name.clone(),
            programs: AllowedPrograms { paths: definition.paths.clone(), allow: definition.allow.clone() },
            variables: EnvVariables::default(),
            log_dir: definition.log_dir.clone(),
            log_number: Arc::default(),
            not_found: Arc::default(),
            timeouts: definition.timeouts,
            current_dir: definition.current_dir.clone(),
            grouping: ProcessGrouping::Group,
            after_interrupt: false,
            verbosity: 2,
            interrupt: Interrupt::default(),
            reporter,
            capture: CommandCapture { redactor: redactor.clone(), ..CommandCapture::default() },
        };
        Self { definition, session }
    }

    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Its variables, with the values of the services it depends on.
    pub fn variables(&self, own: &ServiceInstance, instances: &ServiceInstances) -> Result<EnvVariables, ConfigError> {
        let mut variables =
            with_services(&self.definition.variables.0, instances, |text| fields::fill_own(text, own, instances))?;
        if self.definition.service.is_some() {
            variables.set("ENVO_INSTANCE", &own.label);
        }
        Ok(variables)
    }
}

fn secret_values(definition: &ServiceDefinition) -> Vec<Vec<u8>> {
    let value = |name: &String| {
        let value = definition.variables.0.get(name)?;
        Some(value.to_str().map_or_else(|| value.as_bytes().to_vec(), |text| literal::plain(text).into_bytes()))
    };
    definition.secrets.iter().filter_map(value).collect()
}

/// The variables of an environment, with fields only where the configuration has them: braces in all others
/// are escaped.
fn fillable(variables: &EnvVariables, environment: &Environment) -> Result<EnvVariables, ConfigError> {
    let has_braces = |value: &OsStr| value.to_str().is_some_and(|text| text.contains('{'));
    let mut result = variables.clone();
    if !variables.iter().any(|(_, value)| has_braces(value)) {
        return Ok(result);
    }
    let written = environment.variables.written.get()?;
    for (name, value) in variables.iter().filter(|(_, value)| has_braces(value)) {
        let Some(value) = value.to_str() else { continue };
        let own = written.iter().rev().find(|(own, _)| name == own.as_str()).map(|(_, text)| text);
        match own {
            Some(text) if literal::plain(text) == value => result.set(name, text),
            // The environment's folders were put in front of the configured value.
            Some(_) if name == "PATH" => {}
            _ => result.set(name, literal::literal(value)),
        }
    }
    Ok(result)
}

/// The `variables` of an environment with every field filled in, and the `ENVO_…` variables of `instances`.
///
/// # Errors
///
/// What [`fields::fill`] returns.
pub fn service_variables(
    variables: &EnvVariables,
    environment: &Environment,
    instances: &ServiceInstances,
) -> Result<EnvVariables, ConfigError> {
    with_services(&fillable(variables, environment)?, instances, |text| fields::fill(text, instances))
}

fn with_services(
    variables: &EnvVariables,
    instances: &ServiceInstances,
    fill: impl Fn(&str) -> Result<String, ConfigError>,
) -> Result<EnvVariables, ConfigError> {
    let mut filled = variables.clone();
    for (name, value) in variables.iter() {
        if let Some(text) = value.to_str().filter(|text| text.contains('{') || literal::has_literal(text)) {
            let value = fill(text).map_err(|mut error| {
                error.message = format!("{} (in the variable `{}`)", error.message, name.to_string_lossy());
                error
            })?;
            filled.set(name, value);
        }
    }
    for (name, value) in instances.variables() {
        filled.set(name, value);
    }
    Ok(filled)
}
