//! An environment's commands: what stays the same from one to the next, and running one of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::event::{Level, OutputStream, Reporter, RunEvent};
use crate::execute::captured::CapturedOutput;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::shell;
use crate::model::environment::Timeouts;
use crate::model::{EnvVariables, ExitRule};
use crate::os_text;
use crate::python_text::shlex;

/// Where a command's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStdin {
    /// The user's terminal or pipe.
    User,
    /// Nothing.
    Off,
}

impl CommandStdin {
    /// The user's if it is a terminal: a command must not eat what a pipe holds for somebody else.
    pub fn user_only() -> Self {
        if rustix::termios::isatty(std::io::stdin()) { Self::User } else { Self::Off }
    }
}

/// Whether a command's output is shown as it comes. It is kept either way, unless `--no-capture` gives it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandDisplay {
    Show,
    Hide,
    /// Hidden, and kept even with `--no-capture`, since envo itself reads it.
    Keep,
}

/// How a command is told to people and to its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DisplayedCommand {
    /// As it is.
    #[default]
    Itself,
    /// As these words, of which it does the work.
    As(Vec<String>),
    /// Not again: it is another attempt at what was told before.
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
    /// The command as a shell would take it, secrets taken out.
    pub shell_command: String,
    pub cwd: PathBuf,
    pub run_id: String,
    /// Whether the output was shown as it came.
    pub shown: bool,
    /// The process goes on: it is a backend that has answered one of several questions. It has no exit code yet.
    pub lives_on: bool,
    /// The command could not be started at all.
    pub start_error: Option<String>,
    /// The words that were started, the program as its file where it was found.
    pub argv: Vec<String>,
    pub started: Instant,
}

impl CommandOutcome {
    /// Whether the command did what `rule` asks of it. One that never started did not.
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
    /// Not in the environment and not in `allowlist_externals`; tox's words.
    #[error("{0}")]
    NotAllowed(String),
    /// Nothing but a mark; tox's words.
    #[error("cannot execute an empty command")]
    Empty,
    #[error("interrupted")]
    Interrupted,
}

impl CommandRefusal {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "write the program to run, or remove the command",
            _ => "if it should run, name it in `allowlist_externals` of the environment",
        }
    }
}

/// What all commands of one environment have in common.
#[derive(Clone)]
pub struct CommandSession {
    pub environment: String,
    /// Folders of the environment that come first on PATH and from which every program may be run.
    pub paths: Vec<PathBuf>,
    /// Complete, PATH included.
    pub variables: EnvVariables,
    /// Globs besides the environment's own folders.
    pub allow: Vec<String>,
    pub log_dir: PathBuf,
    /// Numbers the log files.
    pub log_number: Arc<AtomicUsize>,
    pub timeouts: Timeouts,
    /// The folder envo was started in, for showing where a command runs.
    pub current_dir: PathBuf,
    /// `--no-capture`: children inherit standard output and error.
    pub no_capture: bool,
    /// [`Grouping::Shared`] for commands that run one at a time and may use the terminal, [`Grouping::Group`] for those of
    /// environments that run side by side.
    pub grouping: ProcessGrouping,
    /// Run commands although an interrupt was asked for (`interrupt_post_commands`); a second one still stops them.
    pub after_interrupt: bool,
    /// 0 to 5, as in the options.
    pub verbosity: u8,
    pub interrupt: Interrupt,
    pub reporter: Arc<dyn Reporter>,
    /// Programs that commands named and that are nowhere, each with the command's run id.
    pub not_found: Arc<Mutex<Vec<(String, String)>>>,
    /// Where every outcome is kept as well, for `--result-json`.
    pub record: Option<Arc<Mutex<Vec<CommandOutcome>>>>,
}

impl CommandSession {
    /// Puts a folder of the environment's programs behind those there are, and before all others on PATH.
    pub fn add_path(&mut self, path: PathBuf) {
        self.paths.push(path);
        let path =
            crate::execute::environment::search_path(&self.paths, self.variables.get("PATH").unwrap_or_default());
        self.variables.set("PATH", path);
    }

    /// How to display a command that is none of the user's: only the very curious see it.
    pub fn quiet_display(&self) -> CommandDisplay {
        if self.verbosity > 3 { CommandDisplay::Show } else { CommandDisplay::Hide }
    }

    /// Tells the reporter that a command starts, and begins its outcome. Only for a process that envo talks with while it
    /// runs; [`Session::execute`] does this for all others.
    pub fn announce(&self, request: &CommandRequest) -> CommandOutcome {
        let shell_command = shell_command(request);
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

    /// Tells the reporter how a command ended: as an error when it did not do what `rule` asks (after its output, if that
    /// was hidden), else for the curious. [`ExitRule::Any`] is told as if success had been asked for, as in tox.
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
            cwd: outcome.cwd.display().to_string(),
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

/// The command for people: a program below the folder it runs in by its relative path, secrets taken out.
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

/// The folder a command runs in as tox shows it: nothing for the current one, and for one above it the way from there
/// to the current one.
fn shown_folder(cwd: &Path, current: &Path) -> String {
    if cwd == current {
        return String::new();
    }
    current.strip_prefix(cwd).unwrap_or(cwd).display().to_string()
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
    fn success_depends_on_what_was_asked_and_never_comes_without_a_start() {
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
