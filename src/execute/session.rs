//! The session of an environment's commands: their common values, and the results of single commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use parking_lot::Mutex;

use crate::event::{Level, OutputStream, Reporter, RunEvent};
use crate::execute::captured::CapturedOutput;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::shell;
use crate::model::environment::Timeouts;
use crate::model::{EnvVariables, ExitRule};
use crate::os_text;
use crate::python_text::shlex;
use crate::redaction::Redactor;

/// Where a command's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStdin {
    /// The user's terminal or pipe.
    User,
    /// Nothing.
    Off,
}

impl CommandStdin {
    /// The user's if it is a terminal: a command must not consume a pipe that is meant for another reader.
    pub fn user_only() -> Self {
        if rustix::termios::isatty(std::io::stdin()) { Self::User } else { Self::Off }
    }
}

/// Whether a command's output is shown as it arrives. It is captured either way, unless `--no-capture` is
/// given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandDisplay {
    Show,
    Hide,
    /// Hidden, and captured even with `--no-capture`, since envo itself reads it.
    Keep,
}

/// How a command appears in reports and in its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DisplayedCommand {
    /// Unchanged.
    #[default]
    Itself,
    /// As these words, whose work it does.
    As(Vec<String>),
    /// Not again: it is another attempt at a command that was reported before.
    Already,
}

/// One command to run.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    pub argv: Vec<String>,
    pub shown: DisplayedCommand,
    pub cwd: PathBuf,
    /// `commands[0]`, `install_deps`, `freeze`, …
    pub run_id: String,
    pub stdin: CommandStdin,
    pub display: CommandDisplay,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct CommandOutcome {
    /// Minus the number of the signal that ended it; the operating system's error number when it could not start.
    pub exit_code: i32,
    pub out: CapturedOutput,
    pub err: CapturedOutput,
    pub seconds: f64,
    pub pid: Option<u32>,
    /// The command in shell syntax, with secrets redacted.
    pub shell_command: String,
    pub cwd: PathBuf,
    pub run_id: String,
    /// Whether the output was shown as it arrived.
    pub shown: bool,
    /// The process keeps running: it is a backend that has answered one of several requests. It has no exit
    /// code yet.
    pub lives_on: bool,
    /// The command could not be started at all.
    pub start_error: Option<String>,
    /// The words that were started, with the program's file if it was found.
    pub argv: Vec<String>,
    pub started: Instant,
}

impl CommandOutcome {
    /// Whether the command's result satisfies `rule`. One that never started does not.
    pub fn succeeded(&self, rule: ExitRule) -> bool {
        match rule {
            ExitRule::Any => true,
            ExitRule::Zero => self.start_error.is_none() && self.exit_code == 0,
            ExitRule::NonZero => self.start_error.is_none() && self.exit_code != 0,
        }
    }
}

/// Why a command was not run.
#[derive(Debug, thiserror::Error)]
pub enum CommandRefusal {
    /// Neither in the environment nor in `allowlist_externals`; tox's words.
    #[error("{0}")]
    NotAllowed(String),
    /// Only a prefix such as `-`; tox's words.
    #[error("cannot execute an empty command")]
    Empty,
    #[error("interrupted")]
    Interrupted,
}

impl CommandRefusal {
    /// A hint.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "write the program to run, or remove the command",
            _ => "to allow it, add it to `allowlist_externals` of the environment",
        }
    }
}

/// The common values of all commands of one environment.
#[derive(Clone)]
pub struct CommandSession {
    pub environment: String,
    pub programs: AllowedPrograms,
    /// Complete, PATH included.
    pub variables: EnvVariables,
    pub log_dir: PathBuf,
    /// Numbers the log files.
    pub log_number: Arc<AtomicUsize>,
    pub timeouts: Timeouts,
    /// The folder envo was started in, for displaying where a command runs.
    pub current_dir: PathBuf,
    /// [`ProcessGrouping::Shared`] for commands that run one at a time and may use the terminal,
    /// [`ProcessGrouping::Group`] for those of environments that run in parallel.
    pub grouping: ProcessGrouping,
    /// Run commands although an interrupt was requested (`interrupt_post_commands`); a second one still stops
    /// them.
    pub after_interrupt: bool,
    /// 0 to 5, as in the options.
    pub verbosity: u8,
    pub interrupt: Interrupt,
    pub reporter: Arc<dyn Reporter>,
    /// Programs named by commands that were not found, each with the command's run id.
    pub not_found: Arc<Mutex<Vec<(String, String)>>>,
    pub capture: CommandCapture,
}

/// What happens to the output of commands.
#[derive(Clone, Default)]
pub struct CommandCapture {
    /// `--no-capture`: children inherit standard output and error.
    pub inherits: bool,
    /// Hides secrets in it before anything else sees it.
    pub redactor: Redactor,
    /// Receives every outcome as well, for `--result-json`.
    pub record: Option<Arc<Mutex<Vec<CommandOutcome>>>>,
}

/// The programs that commands may run.
#[derive(Clone)]
pub struct AllowedPrograms {
    /// Folders of the environment that come first on PATH and whose programs may all be run.
    pub paths: Vec<PathBuf>,
    /// Globs besides the environment's own folders.
    pub allow: Vec<String>,
}

impl CommandSession {
    /// Adds a folder of the environment's programs after those there are, and before all others on PATH.
    pub fn add_path(&mut self, path: PathBuf) {
        self.programs.paths.push(path);
        let path = crate::execute::environment::search_path(
            &self.programs.paths,
            self.variables.get("PATH").unwrap_or_default(),
        );
        self.variables.set("PATH", path);
    }

    /// How to display a command that is not the user's: only at the highest verbosity.
    pub fn quiet_display(&self) -> CommandDisplay {
        if self.verbosity > 3 { CommandDisplay::Show } else { CommandDisplay::Hide }
    }

    /// Reports that a command starts, and begins its outcome. Only for a process that envo communicates with
    /// while it runs; [`CommandSession::execute`] does this for all others.
    pub fn announce(&self, request: &CommandRequest) -> CommandOutcome {
        let shell_command = self.capture.redactor.text(&shell_command(request));
        if request.shown != DisplayedCommand::Already {
            self.reporter.event(RunEvent::CommandStarted {
                environment: self.environment.clone(),
                run_id: request.run_id.clone(),
                cwd: shown_folder(&request.cwd, &self.current_dir),
                command: shell_command.clone(),
            });
        }
        CommandOutcome {
            exit_code: 0,
            out: CapturedOutput::default(),
            err: CapturedOutput::default(),
            seconds: 0.0,
            pid: None,
            shell_command,
            shown: request.display == CommandDisplay::Show,
            run_id: request.run_id.clone(),
            cwd: request.cwd.clone(),
            lives_on: false,
            start_error: None,
            argv: request.argv.clone(),
            started: Instant::now(),
        }
    }

    /// Reports how a command ended: as an error if its result does not satisfy `rule` (after its output, if
    /// that was hidden), else only at a higher verbosity. [`ExitRule::Any`] is reported as if success had
    /// been required, as in tox.
    pub fn conclude(&self, outcome: &CommandOutcome, rule: ExitRule) -> Result<(), i32> {
        let asked = if rule == ExitRule::NonZero { ExitRule::NonZero } else { ExitRule::Zero };
        let success = outcome.succeeded(asked);
        if !success && !outcome.shown {
            self.show_hidden(OutputStream::Out, &outcome.out);
            self.show_hidden(OutputStream::Error, &outcome.err);
        }
        self.reporter.event(RunEvent::CommandFinished {
            environment: self.environment.clone(),
            run_id: outcome.run_id.clone(),
            cwd: shown(&outcome.cwd),
            command: outcome.shell_command.clone(),
            exit_code: outcome.exit_code,
            seconds: outcome.seconds,
            pid: outcome.pid,
            level: if success { Level::Info } else { Level::Critical },
            tolerated: rule == ExitRule::Any,
        });
        match (success, outcome.exit_code) {
            (true, _) => Ok(()),
            (false, 0) => Err(1),
            (false, code) => Err(code),
        }
    }

    fn show_hidden(&self, stream: OutputStream, captured: &CapturedOutput) {
        if captured.is_empty() {
            return;
        }
        let mut bytes = captured.to_vec();
        if !captured.ends_with(b'\n') {
            bytes.push(b'\n');
        }
        self.reporter.event(RunEvent::Output { environment: self.environment.clone(), stream, bytes });
    }
}

/// The command for people: a program below its working directory by its relative path, with secrets redacted.
fn shell_command(request: &CommandRequest) -> String {
    let mut words = match &request.shown {
        DisplayedCommand::As(words) => words.clone(),
        DisplayedCommand::Itself | DisplayedCommand::Already => request.argv.clone(),
    };
    if let Some(program) = words.first_mut()
        && let Ok(relative) = Path::new(program.as_str()).strip_prefix(&request.cwd)
    {
        *program = os_text::decode(relative.as_os_str());
    }
    os_text::shown(&shlex::join(&shell::redact(&words))).into_owned()
}

/// A command's working directory as tox shows it: nothing for the current one, and for a parent the path from
/// there to the current one.
fn shown_folder(cwd: &Path, current: &Path) -> String {
    if cwd == current {
        return String::new();
    }
    shown(current.strip_prefix(cwd).unwrap_or(cwd))
}

fn shown(path: &Path) -> String {
    os_text::shown(&os_text::decode(path.as_os_str())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_shown_as_tox_shows_them() {
        let shown = |cwd: &str, current: &str| shown_folder(Path::new(cwd), Path::new(current));
        assert_eq!(shown("/a/b", "/a/b"), "");
        assert_eq!(shown("/a/b", "/a"), "/a/b");
        assert_eq!(shown("/a", "/a/b"), "b");
    }

    #[test]
    fn success_depends_on_the_exit_rule_and_needs_a_start() {
        let mut outcome = CommandOutcome {
            exit_code: 0,
            out: CapturedOutput::default(),
            err: CapturedOutput::default(),
            seconds: 0.0,
            pid: None,
            shell_command: String::new(),
            cwd: PathBuf::new(),
            run_id: String::new(),
            shown: true,
            lives_on: false,
            start_error: None,
            argv: Vec::new(),
            started: Instant::now(),
        };
        let rules = [ExitRule::Zero, ExitRule::Any, ExitRule::NonZero];
        let all = |outcome: &CommandOutcome| rules.map(|rule| outcome.succeeded(rule));
        assert_eq!(all(&outcome), [true, true, false]);
        outcome.exit_code = 2;
        assert_eq!(all(&outcome), [false, true, true]);
        outcome.start_error = Some("no".into());
        assert_eq!(all(&outcome), [false, true, false]);
    }
}
