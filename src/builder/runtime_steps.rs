//! Runs the tools of other runtimes than Python and explains their failures: the environment, the setting and its
//! location, and a remedy.

use crate::builder::env_builder::EnvBuilder;
use crate::builder::runtimes::RuntimeInstallation;
use crate::env_error::EnvError;
use crate::error::{ConfigError, Location};
use crate::execute::session::{CommandOutcome, CommandRequest, CommandSession, CommandStdin, DisplayedCommand};
use crate::model::ExitRule;
use crate::runtime::failure::ToolFailure;
use crate::runtime::{InstallStep, OfflineSettings};

/// The purpose of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPurpose {
    /// Installs dependencies into the environment.
    Install,
    /// Builds the project.
    Build,
    /// Installs the project into the environment.
    Deliver,
    /// Writes a lock.
    Lock,
}

impl EnvBuilder {
    pub(super) fn run_steps(
        &self,
        part: &RuntimeInstallation,
        step: &InstallStep,
        session: &CommandSession,
        work: StepPurpose,
    ) -> Result<(), EnvError> {
        let mut outcome = Self::try_step(part, step, session, work)?;
        if let Some(offline) = &step.offline
            && outcome.exit_code != 0
            && explained(part, &outcome) == Some(ToolFailure::Network)
        {
            self.warning(format!("`{}` could not reach an index, so the caches are asked", step.argv.join(" ")));
            let again = Self::try_offline(part, (step, offline), session, work)?;
            if again.exit_code == 0 {
                outcome = again;
            }
        }
        session
            .conclude(&outcome, ExitRule::Zero)
            .map_err(|code| EnvError::ExitExplaining(code, Box::new(self.explained(part, step, &outcome, work))))
    }

    fn try_step(
        part: &RuntimeInstallation,
        step: &InstallStep,
        session: &CommandSession,
        work: StepPurpose,
    ) -> Result<CommandOutcome, EnvError> {
        let mut session = session.clone();
        for (name, value) in &step.variables {
            session.variables.set(name, value);
        }
        let name = part.runtime.name();
        Ok(session.execute(CommandRequest {
            argv: step.argv.clone(),
            shown: DisplayedCommand::Itself,
            cwd: step.cwd.clone(),
            run_id: match work {
                StepPurpose::Install => format!("install_{name}_deps"),
                StepPurpose::Build => format!("build_{name}_package"),
                StepPurpose::Deliver => format!("install_{name}_package"),
                StepPurpose::Lock => format!("lock_{name}"),
            },
            stdin: CommandStdin::Off,
            display: session.quiet_display(),
        })?)
    }

    fn try_offline(
        part: &RuntimeInstallation,
        (step, offline): (&InstallStep, &OfflineSettings),
        session: &CommandSession,
        work: StepPurpose,
    ) -> Result<CommandOutcome, EnvError> {
        let mut step = step.clone();
        step.argv.extend(offline.arguments.iter().cloned());
        step.variables.extend(offline.variables.iter().cloned());
        let Some((folder, files)) = &offline.gathered else { return Self::try_step(part, &step, session, work) };
        crate::builder::folders::ensure_empty(folder)?;
        for file in files {
            if let Some(name) = file.file_name() {
                // Two caches may contain the same file.
                let _ = std::os::unix::fs::symlink(file, folder.join(name));
            }
        }
        let outcome = Self::try_step(part, &step, session, work);
        crate::builder::runtimes::remove(folder)?;
        outcome
    }

    fn explained(
        &self,
        part: &RuntimeInstallation,
        step: &InstallStep,
        outcome: &CommandOutcome,
        work: StepPurpose,
    ) -> ConfigError {
        let cause = &step.cause;
        let purpose = match work {
            StepPurpose::Install | StepPurpose::Deliver => format!("which installs what `{cause}` names"),
            StepPurpose::Build => format!("which builds what `{cause}` names"),
            StepPurpose::Lock => format!("which locks what `{cause}` names"),
        };
        let program = step.argv.first().map_or("", String::as_str);
        let what = if outcome.start_error.is_some() {
            format!("`{program}` was not found, which `{cause}` needs")
        } else {
            format!("`{}` failed, {purpose}", step.argv.join(" "))
        };
        let name = &self.environment.name;
        let left = if work == StepPurpose::Lock { "every lock" } else { "what was installed before" };
        let error = ConfigError::fail(format!("{what} for {name}; {left} is left as it was"));
        let error = match self.cause_location(part, cause, work) {
            Some(location) => error.at(location),
            None => error,
        };
        error.hint(remedy(part, program, outcome))
    }

    /// The location of the setting that a step serves: the runtime's own dependencies, `package`, else `runtime`.
    fn cause_location(&self, part: &RuntimeInstallation, cause: &str, work: StepPurpose) -> Option<Location> {
        let location = match cause.strip_suffix("_deps") {
            Some(name) if name == part.runtime.name() => part.requirement.dependencies_place.as_deref(),
            _ if matches!(work, StepPurpose::Build | StepPurpose::Deliver) => {
                self.environment.package.package_of_runtime.as_ref()?.place.as_deref()
            }
            _ => None,
        };
        location.or(part.requirement.place.as_deref()).cloned()
    }
}

fn remedy(part: &RuntimeInstallation, program: &str, outcome: &CommandOutcome) -> String {
    if outcome.start_error.is_some() {
        return format!("install `{program}`, or put it on PATH");
    }
    match explained(part, outcome) {
        Some(failure) => failure.remedy(part.runtime.lock_command(&part.project)),
        None => format!("what `{program}` says of it is above"),
    }
}

fn explained(part: &RuntimeInstallation, outcome: &CommandOutcome) -> Option<ToolFailure> {
    ToolFailure::explained(part.runtime.failures(), &(outcome.out.text() + &outcome.err.text()))
}
