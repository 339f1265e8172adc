//! Runs an environment's commands in tox's order, with its rules for exit codes, retries and commands after a
//! failure.

use std::path::Path;

use crate::env_error::EnvError;
use crate::execute::session::{CommandDisplay, CommandRequest, CommandSession, CommandStdin, DisplayedCommand};
use crate::model::environment::CommandLists;
use crate::model::{Command, Deferred, ExitRule};

/// How the commands of one list are run.
#[derive(Debug, Clone, Copy)]
pub struct CommandSet<'a> {
    /// The setting's name; logs use it with the number of the command.
    pub key: &'a str,
    pub cwd: &'a Path,
    /// Continue after a failure.
    pub ignore_errors: bool,
    /// How many times a failed command is tried again.
    pub retries: u32,
}

impl CommandSet<'_> {
    /// Runs `commands` one after the other and returns the code of the first that failed, or 0. The duration
    /// of each is added to `seconds`.
    pub fn run(
        &self,
        session: &CommandSession,
        commands: Vec<Command>,
        seconds: &mut Vec<f64>,
    ) -> Result<i32, EnvError> {
        let mut first_failure = 0;
        for (index, command) in commands.into_iter().enumerate() {
            let code = self.run_one(session, index, &command, seconds)?;
            if code != 0 {
                if !self.ignore_errors {
                    return Ok(code);
                }
                if first_failure == 0 {
                    first_failure = code;
                }
            }
        }
        Ok(first_failure)
    }

    fn run_one(
        &self,
        session: &CommandSession,
        index: usize,
        command: &Command,
        seconds: &mut Vec<f64>,
    ) -> Result<i32, EnvError> {
        let attempts = if command.exit_rule == ExitRule::Any { 1 } else { self.retries.saturating_add(1) };
        let mut attempt = 1;
        loop {
            let outcome = session.execute(CommandRequest {
                argv: command.argv.clone(),
                shown: DisplayedCommand::Itself,
                cwd: self.cwd.to_path_buf(),
                run_id: format!("{}[{index}]", self.key),
                stdin: if session.capture.inherits { CommandStdin::User } else { CommandStdin::user_only() },
                display: CommandDisplay::Show,
            });
            let outcome = outcome.map_err(|refusal| {
                let remedy = refusal.remedy();
                EnvError::from(refusal).about(self.key, remedy)
            })?;
            seconds.push(outcome.seconds);
            let Err(code) = session.conclude(&outcome, command.exit_rule) else { return Ok(0) };
            if command.exit_rule == ExitRule::Any {
                let text = "command failed but is marked ignore outcome so handling it as success";
                session.reporter.warning(&session.environment, text);
                return Ok(0);
            }
            if attempt >= attempts {
                return Ok(code);
            }
            let text =
                format!("command failed (attempt {attempt} of {attempts}), retrying ...: {}", outcome.shell_command);
            session.reporter.warning(&session.environment, text);
            attempt += 1;
        }
    }
}

/// What [`run_all`] does with commands between reading and running them.
pub type CommandFilter<'a> = dyn Fn(Vec<Command>) -> Result<Vec<Command>, EnvError> + 'a;

/// Runs `commands_pre`, then `commands` unless the first failed, then always `commands_post`. Returns the
/// first code that is not 0.
///
/// # Errors
///
/// A list that cannot be read or a command that may not run; an error in `commands_post` hides earlier ones,
/// as in tox.
pub fn run_all(
    session: &CommandSession,
    lists: &CommandLists,
    cwd: &Path,
    finish: &CommandFilter<'_>,
    seconds: &mut Vec<f64>,
) -> Result<i32, EnvError> {
    let mut run = |session: &CommandSession, key: &str, commands: &Deferred<Vec<Command>>| {
        let set = CommandSet { key, cwd, ignore_errors: lists.ignore_errors, retries: lists.retries };
        let commands = finish(commands.get()?)?;
        set.run(session, commands, seconds)
    };
    let mut before = || -> Result<i32, EnvError> {
        let pre = run(session, "commands_pre", &lists.pre)?;
        if pre != 0 && !lists.ignore_errors {
            return Ok(pre);
        }
        let main = run(session, "commands", &lists.main)?;
        Ok(if pre == 0 { main } else { pre })
    };
    let earlier = before();
    let post = if lists.post_after_interrupt {
        run(&CommandSession { after_interrupt: true, ..session.clone() }, "commands_post", &lists.post)
    } else {
        run(session, "commands_post", &lists.post)
    }?;
    earlier.map(|code| if code == 0 { post } else { code })
}
