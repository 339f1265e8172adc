//! An environment's commands: everything that stays the same from one to the next.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::interrupt::Interrupt;
use crate::model::Variables;
use crate::model::environment::Timeouts;
use crate::report::Reporter;

/// Where a command's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// The user's terminal or pipe.
    User,
    /// Nothing.
    Off,
}

/// Whether a command's output is shown as it comes. It is kept either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    Show,
    Hide,
}

/// One command to run.
#[derive(Debug, Clone)]
pub struct Request {
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    /// `commands[0]`, `install_deps`, `freeze`, …
    pub run_id: String,
    pub stdin: Stdin,
    pub display: Display,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub exit_code: i32,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    pub seconds: f64,
    pub pid: Option<u32>,
    /// The command as a shell would take it, secrets taken out.
    pub shell_command: String,
    pub run_id: String,
    /// The command could not be started at all.
    pub start_error: Option<String>,
}

/// Why a command was not run.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not in the environment and not in `allowlist_externals`; tox's words.
    #[error("{0}")]
    NotAllowed(String),
    #[error("interrupted")]
    Interrupted,
}

/// What all commands of one environment have in common.
#[derive(Clone)]
pub struct Session {
    pub environment: String,
    /// Folders of the environment that come first on PATH and from which every program may be run.
    pub paths: Vec<PathBuf>,
    /// Complete, PATH included.
    pub variables: Variables,
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
    /// 0 to 5, as in the options.
    pub verbosity: u8,
    pub interrupt: Interrupt,
    pub reporter: Arc<dyn Reporter>,
}
