//! Runs the installer in an environment and records its success. [`crate::install`] decides what to install.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::builder::contents::installed;
use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::layer;
use crate::builder::prebuilt;
use crate::builder::prebuilt::{BuildPhase, SilentReporter};
use crate::builder::preconditions::about_setting;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::{EnvPhase, RunEvent};
use crate::execute::session::{
    AllowedPrograms, CommandDisplay, CommandOutcome, CommandRequest, CommandSession, CommandStdin, DisplayedCommand,
};
use crate::install::choose::{self, InstallTarget};
use crate::install::pip::Pip;
use crate::install::plan::{ConstraintsUpdate, InstallChange, InstallConditions, InstallDecision, RecordForm};
use crate::install::uv_sync;
use crate::install::wheel_file;
use crate::install::{InstallCommand, InstallRequest, Installer as _};
use crate::model::environment::InstallerChoice;
use crate::model::{Command, EnvLayout, EnvVariables, ExitRule, Interpreter};
use crate::runtime::python::{bytecode, origin};

/// The variable that sets how uv links files from its cache into an environment.
const LINK_MODE: &str = "UV_LINK_MODE";

/// Installs into one environment.
pub struct Installing<'a> {
    env: &'a EnvBuilder,
    created: &'a mut CreatedEnv,
}

fn conditions<'v>(env: &EnvBuilder, variables: &'v EnvVariables) -> InstallConditions<'v> {
    let environment = &env.environment;
    let form = match env.run.installer.unwrap_or(environment.contents.installation.installer) {
        _ if environment.contents.uv.is_some() => RecordForm::ToxUv,
        InstallerChoice::Uv => RecordForm::ChosenUv,
        InstallerChoice::Automatic | InstallerChoice::Pip => RecordForm::Tox,
    };
    InstallConditions::new(&environment.contents.installation, &environment.folders.env_dir, variables, form)
}

impl<'a> Installing<'a> {
    pub fn new(env: &'a EnvBuilder, created: &'a mut CreatedEnv) -> Self {
        Self { env, created }
    }

    pub fn env(&self) -> &'a EnvBuilder {
        self.env
    }

    pub fn layout(&self) -> Result<&EnvLayout, EnvError> {
        Ok(&self.created.python()?.layout)
    }

    pub fn interpreter(&self) -> Result<&Interpreter, EnvError> {
        Ok(&self.created.python()?.interpreter)
    }

    /// Installs what `decide` finds missing compared with the record under `section` and `part`, and updates that
    /// record.
    ///
    /// # Errors
    /// [`EnvError::Recreate`] if the environment has to be recreated; [`EnvError::Exit`] if the installer fails.
    pub fn ensure(
        &mut self,
        section: &str,
        part: &str,
        decide: impl FnOnce(&InstallConditions<'_>, Option<&Map<String, Value>>) -> Result<InstallDecision, ConfigError>,
    ) -> Result<(), EnvError> {
        self.env.before_installation();
        let variables = self.created.session.variables.clone();
        let conditions = conditions(self.env, &variables);
        let decision = decide(&conditions, self.created.stamp.object(section, Some(part)));
        let decision = decision.map_err(|error| about_setting(part, error))?;
        let InstallChange { request, afterwards, stamp } = match decision {
            InstallDecision::UpToDate => return Ok(()),
            InstallDecision::Recreate(reason) => return Err(EnvError::Recreate(reason)),
            InstallDecision::Change(change) => change,
        };
        if let Some(request) = request {
            if matches!(self.env.build_phase, BuildPhase::Prebuild(_))
                && prebuilt::must_wait(&request, &stamp, &variables)
            {
                return Err(EnvError::Fail("it may depend on what runs before".to_owned()));
            }
            self.install(&request)?;
            match afterwards {
                ConstraintsUpdate::Nothing => {}
                ConstraintsUpdate::WriteConstraints(text) => fs_err::write(conditions.constraints_file(), text)?,
                ConstraintsUpdate::FreezeConstraints => {
                    let lines = installed(self.env, &self.created.session)?;
                    fs_err::write(conditions.constraints_file(), lines.join("\n"))?;
                }
            }
        }
        self.created.stamp.record(section, Some(part), stamp)?;
        self.env.checkpoint();
        Ok(())
    }

    /// Runs the installer with the environment's `constraints` added to the request.
    ///
    /// # Errors
    /// If the constraints cannot be read or the installer fails; its output has been shown by then.
    pub fn install_constrained(&mut self, mut request: InstallRequest) -> Result<(), EnvError> {
        let variables = self.created.session.variables.clone();
        let conditions = conditions(self.env, &variables);
        let constraints = conditions.constraint_arguments().map_err(|error| about_setting("constraints", error))?;
        request.arguments.extend_from_slice(constraints);
        self.install(&request)
    }

    /// Runs the installer; in a layer, it takes what the base has as installed.
    ///
    /// # Errors
    /// If the installer fails; its output has been shown by then.
    pub fn install(&mut self, request: &InstallRequest) -> Result<(), EnvError> {
        match self.env.base.as_deref() {
            Some(base) => layer::install(self, base, request),
            None => self.run_installer(request),
        }
    }

    pub(super) fn run_installer(&mut self, request: &InstallRequest) -> Result<(), EnvError> {
        let environment = &self.env.environment;
        self.env.before_installation();
        self.env.phase(EnvPhase::Install);
        if let Some((file, text)) = &request.file {
            fs_err::write(file, text)?;
        }
        let command = self.command(request)?;
        if let Some(note) = &command.note {
            self.env.reporter.info(&environment.name, note.clone());
        }
        let run_id = request.run_id();
        self.run(&command, &run_id).map_err(|error| match run_id.as_str() {
            "install_deps" => error.about("deps", "the installer's output is above; correct what it names"),
            _ => error,
        })
    }

    /// Runs the installer once for a folder of its own, and shows nothing. Returns whether it succeeded.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn install_elsewhere(&mut self, request: &InstallRequest, folder: &Path) -> Result<bool, EnvError> {
        let command = self.command(request)?;
        let argv = command.run.argv.iter().cloned().chain(["--target".to_owned(), folder.display().to_string()]);
        let attempt = Command { argv: argv.collect(), exit_rule: command.run.exit_rule };
        let mut session = self.session_of(&command);
        session.reporter = Arc::new(SilentReporter);
        let attempt = self.request(&attempt, DisplayedCommand::Already, &request.run_id());
        let outcome = session.execute(CommandRequest { display: CommandDisplay::Keep, ..attempt })?;
        Ok(outcome.succeeded(ExitRule::Zero))
    }

    /// The command line of the installer in use.
    fn command(&self, request: &InstallRequest) -> Result<InstallCommand, EnvError> {
        let environment = &self.env.environment;
        let python = self.created.python()?;
        let target = InstallTarget {
            env_dir: &environment.folders.env_dir,
            python: &python.layout.python,
            interpreter: &python.interpreter,
            system_site_packages: environment.creation.system_site_packages,
            pip_is_missing: !python.layout.purelib.join("pip").exists(),
            variables: &self.created.session.variables,
        };
        let run = &self.env.run;
        if environment.contents.uv.is_some() {
            return Ok(Pip::new(&environment.contents.installation)?.command(&uv_sync::in_uv_words(request)));
        }
        let choice = run.installer.unwrap_or(environment.contents.installation.installer);
        if choice != InstallerChoice::Pip
            && let Some(wheel) = wheel_file::possibly_foreign(&request.arguments, &python.interpreter)
        {
            let note = format!("pip installs, not uv: {wheel} may be for another interpreter or machine");
            return Ok(Pip::new(&environment.contents.installation)?.because(note).command(request));
        }
        let uv = || run.uv(&python.interpreter);
        Ok(choose::installer(choice, &environment.contents.installation, &target, uv)?.command(request))
    }

    /// Installs exactly what a lock lists: with uv by `of_uv`, which reads the lock itself, or with pip by `of_pip`. A
    /// failure is not retried with the other installer, which would refuse the same packages. `target` is a folder to
    /// install into instead of the environment.
    ///
    /// # Errors
    /// If the installer fails; its output has been shown by then.
    pub fn install_locked(
        &mut self,
        of_uv: &InstallRequest,
        of_pip: &[InstallRequest],
        target: Option<&Path>,
    ) -> Result<(), EnvError> {
        self.env.before_installation();
        self.env.phase(EnvPhase::Install);
        let elsewhere = |command: &Command| {
            let words = target.into_iter().flat_map(|folder| ["--target".to_owned(), folder.display().to_string()]);
            Command { argv: command.argv.iter().cloned().chain(words).collect(), exit_rule: command.exit_rule }
        };
        let command = self.command(of_uv)?;
        if command.fallback().is_some() || self.env.environment.contents.uv.is_some() {
            let session = self.session_of(&command);
            let shown = DisplayedCommand::As(elsewhere(&command.shown).argv);
            conclude(&session, self.request(&elsewhere(&command.run), shown, &of_uv.run_id()))?;
            return self.finish_uvs_work();
        }
        for request in of_pip {
            if let Some((file, text)) = &request.file {
                fs_err::write(file, text)?;
            }
            let command = Pip::new(&self.env.environment.contents.installation)?.command(request);
            let request = self.request(&elsewhere(&command.run), DisplayedCommand::Itself, &request.run_id());
            conclude(&self.created.session, request)?;
        }
        Ok(())
    }

    /// Uninstalls packages from the environment; `run_id` labels the command.
    ///
    /// # Errors
    /// If that fails; the output has been shown by then.
    pub fn uninstall(&mut self, run_id: &str, names: &[String]) -> Result<(), EnvError> {
        let command = self.command(&InstallRequest::new("locked", vec!["--no-deps".to_owned()]))?;
        let python = self.created.python()?.layout.python.display().to_string();
        let by_uv = command.fallback().is_some() || self.env.environment.contents.uv.is_some();
        let mut argv: Vec<String> = match command.run.argv.first() {
            Some(uv) if by_uv => [uv, "pip", "uninstall", "--python", python.as_str()].map(str::to_owned).to_vec(),
            _ => [python.as_str(), "-m", "pip", "uninstall", "--yes"].map(str::to_owned).to_vec(),
        };
        argv.extend(names.iter().cloned());
        let session = self.session_of(&command);
        let command = Command { argv, exit_rule: ExitRule::Zero };
        conclude(&session, self.request(&command, DisplayedCommand::Itself, run_id))
    }

    /// The session for an installer outside the environment that the user did not name.
    fn session_of(&self, command: &InstallCommand) -> CommandSession {
        let mut session = CommandSession {
            programs: AllowedPrograms { allow: vec!["*".to_owned()], ..self.created.session.clone().programs },
            ..self.created.session.clone()
        };
        for name in command.hidden_variables {
            session.variables.remove(name);
        }
        for (name, value) in &command.variables {
            session.variables.set(name, value);
        }
        if command.fallback().is_some() || self.env.environment.contents.uv.is_some() {
            own_files(self.env, &mut session.variables);
        }
        session
    }

    fn request(&self, command: &Command, shown: DisplayedCommand, run_id: &str) -> CommandRequest {
        CommandRequest {
            argv: command.argv.clone(),
            shown,
            cwd: self.env.run.project.root.clone(),
            run_id: run_id.to_owned(),
            stdin: CommandStdin::Off,
            display: self.created.session.quiet_display(),
        }
    }

    fn run(&self, command: &InstallCommand, run_id: &str) -> Result<(), EnvError> {
        let session = &self.created.session;
        let request = |command: &Command, shown: DisplayedCommand| self.request(command, shown, run_id);
        let Some(fallback) = command.fallback() else {
            let mut session = session.clone();
            if self.env.environment.contents.uv.is_some() {
                own_files(self.env, &mut session.variables);
            }
            let outcome = session.execute(request(&command.run, DisplayedCommand::Itself))?;
            return session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit);
        };
        let other = self.session_of(command);
        let key = self.key(command)?;
        let mut shown = DisplayedCommand::As(command.shown.argv.clone());
        if self.env.run.is_looked_up(&key) {
            // Another environment of this run has just installed the same, so uv's cache has all of it: no index is
            // queried again.
            let mut offline = other.clone();
            offline.variables.set("UV_OFFLINE", "1");
            let outcome =
                offline.execute(request(&command.run, std::mem::replace(&mut shown, DisplayedCommand::Already)))?;
            if outcome.succeeded(ExitRule::Zero) || session.interrupt.requested() {
                self.finish_uvs_work()?;
                return session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit);
            }
        }
        let outcome = other.execute(request(&command.run, shown))?;
        if outcome.succeeded(ExitRule::Zero) {
            self.env.run.cached_lookup(key);
        }
        if outcome.succeeded(ExitRule::Zero) || session.interrupt.requested() {
            self.finish_uvs_work()?;
            return session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit);
        }
        let program = command.run.argv.first().map_or("the installer", String::as_str);
        match broken(&outcome) {
            Some(reason) => {
                let text = format!("`{program}` {reason}: pip installs into {}", self.env.environment.name);
                self.env.reporter.event(RunEvent::Notice { text });
            }
            None => self.env.reporter.info(&self.env.environment.name, format!("{program} failed, so pip tries")),
        }
        let outcome = session.execute(request(fallback, DisplayedCommand::Already))?;
        session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit)
    }

    /// Does what pip would have done beyond uv: removes compiled single modules that were replaced, and records the
    /// digests of local archives.
    fn finish_uvs_work(&self) -> Result<(), EnvError> {
        let layout = &self.created.python()?.layout;
        let second = (layout.platlib != layout.purelib).then_some(&layout.platlib);
        for site_packages in std::iter::once(&layout.purelib).chain(second) {
            bytecode::remove_outdated(site_packages);
            origin::record_digests(site_packages);
        }
        Ok(())
    }

    /// A key for installations with the same result; the destination does not count.
    fn key(&self, command: &InstallCommand) -> Result<String, EnvError> {
        let env_dir = self.env.environment.folders.env_dir.display().to_string();
        let words = command.run.argv.iter().map(|word| word.replace(&env_dir, ""));
        let interpreter = &self.created.python()?.interpreter;
        let settings = self.created.session.variables.iter().filter_map(|(name, value)| {
            let name = name.to_string_lossy();
            let counts = name.starts_with("UV_") || name.starts_with("PIP_");
            counts.then(|| format!("{name}={}", value.to_string_lossy().replace(&env_dir, "")))
        });
        let own = command.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let python = format!("{} {}", interpreter.system_executable.display(), interpreter.version_text);
        Ok(words.chain(settings).chain(own).chain([python]).collect::<Vec<_>>().join("\0"))
    }
}

/// Makes uv copy files from its cache unless the user chose otherwise: with links, a program that writes to one
/// environment would change the cache and every other environment.
pub fn own_files(env: &EnvBuilder, variables: &mut EnvVariables) {
    if variables.get(LINK_MODE).is_none() {
        let own = env.run.host.get(LINK_MODE).map_or_else(|| "copy".into(), OsStr::to_owned);
        variables.set(LINK_MODE, own);
    }
}

/// Why the installer itself, rather than a requirement, made the installation fail.
fn broken(outcome: &CommandOutcome) -> Option<String> {
    match &outcome.start_error {
        Some(error) => Some(format!("cannot be started ({error})")),
        None => (outcome.exit_code < 0).then(|| format!("was killed by signal {}", -outcome.exit_code)),
    }
}

fn conclude(session: &CommandSession, request: CommandRequest) -> Result<(), EnvError> {
    let outcome = session.execute(request)?;
    session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit)
}
