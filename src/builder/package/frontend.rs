//! Calls the hooks of a build backend (PEP 517, PEP 660) and keeps the answers; reports failures in tox's words. Each
//! hook is called once. Does not decide which hooks are needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::builder::package::backend::{BuildSystem, canonical};
use crate::builder::package::process::{BackendProcess, Exchange, ExchangeEnd};
use crate::env_error::BackendFailed;
use crate::execute::process::Spawn;
use crate::execute::session::{CommandRefusal, CommandRequest, CommandSession, CommandStdin, DisplayedCommand};
use crate::model::ExitRule;
use crate::python_text::{python_repr, value_repr};

const SCRIPT: &str = include_str!("_backend.py");
/// Written by the script when it has loaded the backend.
const STARTED: &str = "\u{1e}started\n";

/// Prefix of the files in which the script answers.
const ANSWER: &str = "pep517_";

/// Removes unread answers of killed runs. The environment is locked, so no other run is writing any.
fn remove_answers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(ANSWER.as_bytes()) {
            // One that cannot be removed does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// What a backend can be asked to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildTarget {
    Sdist,
    Wheel,
    Editable,
}

impl BuildTarget {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sdist => "sdist",
            Self::Wheel => "wheel",
            Self::Editable => "editable",
        }
    }
}

/// PEP 517's `config_settings`; `None`: none.
pub type ConfigSettings = Option<Map<String, Value>>;

/// The data a front end needs to start a backend.
#[derive(Clone)]
pub struct BackendLaunch {
    /// The sources; hooks run here.
    pub root: PathBuf,
    pub build_system: BuildSystem,
    /// Folder for the script that calls the backend.
    pub script_folder: PathBuf,
    /// Run each hook in a process of its own.
    pub fresh_process: bool,
    pub session: CommandSession,
}

pub struct Frontend {
    launch: BackendLaunch,
    process: Option<BackendProcess>,
    optional_hooks: Option<BTreeMap<String, bool>>,
    requires: BTreeMap<BuildTarget, Vec<String>>,
    built: BTreeMap<BuildTarget, PathBuf>,
}

impl Frontend {
    pub fn new(launch: BackendLaunch) -> Self {
        Self { launch, process: None, optional_hooks: None, requires: BTreeMap::new(), built: BTreeMap::new() }
    }

    pub fn build_system(&self) -> &BuildSystem {
        &self.launch.build_system
    }

    pub fn session(&self) -> &CommandSession {
        &self.launch.session
    }

    /// Whether the backend was asked and has no `build_editable`.
    pub fn lacks_editable(&self) -> bool {
        self.optional_hooks.as_ref().is_some_and(|hooks| hooks.get("build_editable") != Some(&true))
    }

    /// Whether the backend has the optional `hook`.
    pub fn has(&mut self, hook: &str) -> Result<bool> {
        if self.optional_hooks.is_none() {
            let answer = self.call("_optional_hooks", Map::new())?.0;
            self.optional_hooks = Some(serde_json::from_value(answer).context("the backend's list of hooks")?);
        }
        Ok(self.optional_hooks.as_ref().and_then(|hooks| hooks.get(hook)).copied().unwrap_or(false))
    }

    /// What `target` needs beyond `[build-system]`, in canonical form; empty when the backend has no such hook.
    ///
    /// # Errors
    /// [`BackendFailed`], or an interrupt.
    pub fn requires(&mut self, target: BuildTarget, settings: ConfigSettings) -> Result<Vec<String>> {
        if let Some(known) = self.requires.get(&target) {
            return Ok(known.clone());
        }
        let hook = format!("get_requires_for_build_{}", target.name());
        let requires = if self.has(&hook)? {
            let (answer, written) = self.call(&hook, arguments([("config_settings", settings_value(settings))]))?;
            let texts: Option<Vec<&str>> =
                answer.as_array().and_then(|entries| entries.iter().map(Value::as_str).collect());
            let Some(texts) = texts else {
                return Err(self.unexpected(&hook, &answer, "'list of string'", written).into());
            };
            texts.into_iter().map(canonical).collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        self.requires.insert(target, requires.clone());
        Ok(requires)
    }

    /// Empties `folder` and returns the `.dist-info` folder that the backend prepared in it; `None` if it cannot do so
    /// without building. `target` is the wheel or the editable wheel.
    ///
    /// # Errors
    /// [`BackendFailed`], or an interrupt.
    pub fn prepare_metadata(
        &mut self,
        target: BuildTarget,
        folder: &Path,
        settings: ConfigSettings,
    ) -> Result<Option<PathBuf>> {
        let hook = format!("prepare_metadata_for_build_{}", target.name());
        if !self.has(&hook)? {
            return Ok(None);
        }
        empty_folder(folder, &self.launch.root)?;
        let asked =
            arguments([("metadata_directory", path_value(folder)), ("config_settings", settings_value(settings))]);
        let (answer, written) = self.call(&hook, asked)?;
        match answer {
            Value::Null => Ok(None),
            Value::String(name) => Ok(Some(folder.join(name))),
            other => Err(self.unexpected(&hook, &other, "<class 'str'>", written).into()),
        }
    }

    /// Builds `target` in `folder` and returns the file. `metadata`: the folder that [`Frontend::prepare_metadata`]
    /// returned.
    ///
    /// # Errors
    /// [`BackendFailed`], or an interrupt.
    pub fn build(
        &mut self,
        target: BuildTarget,
        folder: &Path,
        metadata: Option<&Path>,
        settings: ConfigSettings,
    ) -> Result<PathBuf> {
        if let Some(built) = self.built.get(&target) {
            return Ok(built.clone());
        }
        fs_err::create_dir_all(folder)?;
        let hook = format!("build_{}", target.name());
        let settings = settings_value(settings);
        let asked = if target == BuildTarget::Sdist {
            arguments([("sdist_directory", path_value(folder)), ("config_settings", settings)])
        } else {
            let metadata = metadata.map_or(Value::Null, path_value);
            arguments([
                ("wheel_directory", path_value(folder)),
                ("config_settings", settings),
                ("metadata_directory", metadata),
            ])
        };
        let (answer, written) = self.call(&hook, asked)?;
        let Value::String(name) = answer else {
            return Err(self.unexpected(&hook, &answer, "<class 'str'>", written).into());
        };
        let built = folder.join(name);
        self.built.insert(target, built.clone());
        Ok(built)
    }

    /// Importable modules may have changed: the next hook starts a new process.
    pub fn forget_process(&mut self) {
        if let Some(process) = self.process.take() {
            process.finish();
        }
    }

    /// Ends the backend. As in tox, one that serves every hook in the same process receives `_exit` first.
    pub fn finish(&mut self) {
        if self.process.is_some() && !self.launch.fresh_process {
            // A failure no longer matters: the process is ended below.
            let _ = self.call("_exit", Map::new());
        }
        self.forget_process();
    }

    fn command(&self) -> Vec<String> {
        let BuildSystem { module, object, .. } = &self.launch.build_system;
        let script = self.launch.script_folder.join("_backend.py").display().to_string();
        let mut argv = vec!["python".to_owned(), script, "True".to_owned(), module.clone()];
        argv.extend(object.clone());
        argv
    }

    /// Calls a hook; returns its answer and its output.
    fn call(&mut self, hook: &str, asked: Map<String, Value>) -> Result<(Value, HookOutput)> {
        let session = self.launch.session.clone();
        if session.interrupt.requested() {
            return Err(CommandRefusal::Interrupted.into());
        }
        let request = CommandRequest {
            argv: self.command(),
            shown: DisplayedCommand::Itself,
            cwd: self.launch.root.clone(),
            run_id: hook.to_owned(),
            stdin: CommandStdin::Off,
            display: session.quiet_display(),
        };
        let mut outcome = session.announce(&request);
        outcome.argv = session.resolve_words(request.argv, request.cwd)?;
        let shown = outcome.shown;
        let process = self.running_process()?;
        outcome.pid = Some(process.id());
        let folder = &self.launch.script_folder;
        let result_file =
            tempfile::Builder::new().prefix(&format!("{ANSWER}{hook}-")).suffix(".json").tempfile_in(folder)?;
        let name = result_file.path().display().to_string();
        let mark = format!("\u{1e}{name}\n");
        let fork = hook != "_exit" && self.launch.fresh_process;
        let message = json!({"cmd": hook, "kwargs": asked, "result": name, "fork": fork, "done": mark});
        let Some(process) = &mut self.process else { anyhow::bail!("the backend is not running") };
        process.send(&message.to_string());
        let Exchange { ended, out, err } = process.exchange(&mark, &session, shown);
        if ended != ExchangeEnd::Done {
            self.process = None;
        }
        let written = HookOutput { out: text(&out), err: text(&err) };
        (outcome.out, outcome.err) = (out.into(), err.into());
        outcome.lives_on = ended == ExchangeEnd::Done && hook != "_exit";
        session.keep(&mut outcome);
        if ended == ExchangeEnd::Interrupted {
            return Err(CommandRefusal::Interrupted.into());
        }
        // The caller reports a failed hook with all its output; the command itself succeeded.
        let _ = session.conclude(&outcome, ExitRule::Zero);
        let content = std::fs::read(result_file.path()).unwrap_or_default();
        let answer = match serde_json::from_slice::<Map<String, Value>>(&content) {
            Ok(mut answer) => answer.remove("return").map_or_else(|| Err(answer), Ok),
            Err(_) => Err(arguments([
                ("code", 1.into()),
                ("exc_type", "RuntimeError".into()),
                ("exc_msg", format!("Backend response file {name} is missing").into()),
            ])),
        };
        match answer {
            Ok(answer) => Ok((answer, written)),
            Err(failure) => Err(failed(&failure, written).into()),
        }
    }

    fn running_process(&mut self) -> Result<&mut BackendProcess> {
        if self.process.is_none() {
            self.process = Some(self.start()?);
        }
        self.process.as_mut().context("the backend is not running")
    }

    fn start(&self) -> Result<BackendProcess> {
        let BackendLaunch { root, build_system, script_folder, session, .. } = &self.launch;
        let script = script_folder.join("_backend.py");
        if std::fs::read(&script).ok().as_deref() != Some(SCRIPT.as_bytes()) {
            fs_err::create_dir_all(script_folder)?;
            fs_err::write(&script, SCRIPT)?;
        }
        remove_answers(script_folder);
        let mut variables = session.variables.clone();
        if !build_system.backend_path.is_empty() {
            let paths: Vec<_> = build_system.backend_path.iter().map(|path| path.as_os_str()).collect();
            variables.set("PYTHONPATH", paths.join(std::ffi::OsStr::new(":")));
        }
        let mut argv = self.command().into_iter();
        let mut spawn = Spawn::new(argv.next().unwrap_or_default(), argv, variables);
        spawn.cwd = Some(root.clone());
        let not_started = |written: HookOutput| BackendFailed {
            code: Some(-5),
            exception: "FailedToStart".to_owned(),
            message: "could not start backend".to_owned(),
            out: written.out,
            err: written.err,
        };
        let mut process = match BackendProcess::start(spawn) {
            Ok(process) => process,
            Err(error) => return Err(not_started(HookOutput { out: String::new(), err: error.to_string() }).into()),
        };
        let Exchange { ended, out, err } = process.exchange(STARTED, session, false);
        match ended {
            ExchangeEnd::Done => Ok(process),
            ExchangeEnd::Exited => Err(not_started(HookOutput { out: text(&out), err: text(&err) }).into()),
            ExchangeEnd::Interrupted => Err(CommandRefusal::Interrupted.into()),
        }
    }

    fn unexpected(&self, hook: &str, got: &Value, expected: &str, written: HookOutput) -> BackendFailed {
        let (hook, backend) = (python_repr(hook), python_repr(&self.launch.build_system.key()));
        BackendFailed {
            code: None,
            exception: "TypeError".to_owned(),
            message: format!("{hook} on {backend} returned {} but expected type {expected}", value_repr(got)),
            out: written.out,
            err: written.err,
        }
    }
}

/// The output of a hook.
#[derive(Debug)]
struct HookOutput {
    out: String,
    err: String,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failed(answer: &Map<String, Value>, written: HookOutput) -> BackendFailed {
    let words = |key: &str, missing: &str| match answer.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => missing.to_owned(),
    };
    let code = match answer.get("code") {
        Some(Value::Null) => None,
        // `sys.exit("text")` means 1.
        Some(code) => Some(code.as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(1)),
        None => Some(-2),
    };
    BackendFailed {
        code,
        exception: words("exc_type", "missing Exception type"),
        message: words("exc_msg", "missing Exception message"),
        out: written.out,
        err: written.err,
    }
}

fn arguments<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn path_value(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

fn settings_value(settings: ConfigSettings) -> Value {
    settings.map_or(Value::Null, Value::Object)
}

/// Empties `folder`, unless that would empty the project.
fn empty_folder(folder: &Path, root: &Path) -> Result<()> {
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let root_resolved = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    anyhow::ensure!(
        resolved != root_resolved,
        "the project root and the metadata directory can't be the same {}",
        root.display()
    );
    anyhow::ensure!(
        !root_resolved.starts_with(&resolved),
        "the metadata directory can't contain the project root {}",
        root.display()
    );
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(fs_err::create_dir_all(folder)?)
}
