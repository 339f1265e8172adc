//! Runs the tools of the languages that are not Python's, and says what is wrong when one of them fails: the environment,
//! the setting and where it stands, and what helps.

use crate::builder::env_builder::Site;
use crate::builder::runtimes::Part;
use crate::env_error::Halt;
use crate::error::{ConfigError, Location};
use crate::execute::session::{Outcome, Request, Session, Shown, Stdin};
use crate::model::ExitRule;
use crate::runtime::failure::Failure;
use crate::runtime::{Offline, Step};

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Puts dependencies into the environment.
    Install,
    /// Builds the project.
    Build,
    /// Puts the project into the environment.
    Deliver,
    /// Writes a lock.
    Lock,
}

impl Site {
    pub(super) fn carry_out(&self, part: &Part, step: &Step, session: &Session, work: Work) -> Result<(), Halt> {
        let mut outcome = Self::try_step(part, step, session, work)?;
        if let Some(offline) = &step.offline
            && outcome.exit_code != 0
            && told(part, &outcome) == Some(Failure::Network)
        {
            self.warning(format!("`{}` could not reach an index, so the caches are asked", step.argv.join(" ")));
            let again = Self::try_offline(part, (step, offline), session, work)?;
            if again.exit_code == 0 {
                outcome = again;
            }
        }
        session
            .conclude(&outcome, ExitRule::Zero)
            .map_err(|code| Halt::ExitExplaining(code, Box::new(self.explained(part, step, &outcome, work))))
    }

    fn try_step(part: &Part, step: &Step, session: &Session, work: Work) -> Result<Outcome, Halt> {
        let mut session = session.clone();
        for (name, value) in &step.variables {
            session.variables.set(name, value);
        }
        let name = part.runtime.name();
        Ok(session.execute(Request {
            argv: step.argv.clone(),
            shown: Shown::Itself,
            cwd: step.cwd.clone(),
            run_id: match work {
                Work::Install => format!("install_{name}_deps"),
                Work::Build => format!("build_{name}_package"),
                Work::Deliver => format!("install_{name}_package"),
                Work::Lock => format!("lock_{name}"),
            },
            stdin: Stdin::Off,
            display: session.quiet_display(),
        })?)
    }

    fn try_offline(
        part: &Part,
        (step, offline): (&Step, &Offline),
        session: &Session,
        work: Work,
    ) -> Result<Outcome, Halt> {
        let mut step = step.clone();
        step.argv.extend(offline.arguments.iter().cloned());
        step.variables.extend(offline.variables.iter().cloned());
        let Some((folder, files)) = &offline.gathered else { return Self::try_step(part, &step, session, work) };
        crate::builder::folders::ensure_empty(folder)?;
        for file in files {
            if let Some(name) = file.file_name() {
                // Two caches may have one file.
                let _ = std::os::unix::fs::symlink(file, folder.join(name));
            }
        }
        let outcome = Self::try_step(part, &step, session, work);
        crate::builder::runtimes::remove(folder)?;
        outcome
    }

    fn explained(&self, part: &Part, step: &Step, outcome: &Outcome, work: Work) -> ConfigError {
        let cause = &step.cause;
        let purpose = match work {
            Work::Install | Work::Deliver => format!("which installs what `{cause}` names"),
            Work::Build => format!("which builds what `{cause}` names"),
            Work::Lock => format!("which locks what `{cause}` names"),
        };
        let program = step.argv.first().map_or("", String::as_str);
        let what = if outcome.start_error.is_some() {
            format!("`{program}` was not found, which `{cause}` needs")
        } else {
            format!("`{}` failed, {purpose}", step.argv.join(" "))
        };
        let name = &self.environment.name;
        let left = if work == Work::Lock { "every lock" } else { "what was installed before" };
        let error = ConfigError::fail(format!("{what} for {name}; {left} is left as it was"));
        let error = match self.place_of_cause(part, cause, work) {
            Some(place) => error.at(place),
            None => error,
        };
        error.hint(remedy(part, program, outcome))
    }

    /// Where the setting stands that a step is done for: the language's own dependencies, `package`, else `runtime`.
    fn place_of_cause(&self, part: &Part, cause: &str, work: Work) -> Option<Location> {
        let place = match cause.strip_suffix("_deps") {
            Some(name) if name == part.runtime.name() => part.wish.dependencies_place.as_deref(),
            _ if matches!(work, Work::Build | Work::Deliver) => {
                self.environment.package_of_runtime.as_ref()?.place.as_deref()
            }
            _ => None,
        };
        place.or(part.wish.place.as_deref()).cloned()
    }
}

fn remedy(part: &Part, program: &str, outcome: &Outcome) -> String {
    if outcome.start_error.is_some() {
        return format!("install `{program}`, or put it on PATH");
    }
    match told(part, outcome) {
        Some(failure) => failure.remedy(part.runtime.lock_command(&part.project)),
        None => format!("what `{program}` says of it is above"),
    }
}

fn told(part: &Part, outcome: &Outcome) -> Option<Failure> {
    Failure::told(part.runtime.failures(), &(outcome.out.text() + &outcome.err.text()))
}
