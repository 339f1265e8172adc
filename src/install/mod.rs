//! Translates requests to install into the command lines of an installer. Reads requirement files but starts no
//! process, so every case can be tested without a network.

pub mod choose;
pub mod groups;
pub mod packages;
pub mod pip;
pub mod pip_settings;
pub mod plan;
pub mod pylock;
pub mod reasons;
pub mod script;
pub mod uv;
pub mod uv_lock;
pub mod uv_sync;
pub mod wheel_file;

use std::path::PathBuf;

use crate::model::Command;

/// A request to install into an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallRequest {
    /// Options, requirements and files, as on pip's command line.
    pub arguments: Vec<String>,
    /// The part of the environment this is for: `deps`, `package_deps`, `package`, `requires`, … tox's run id is this
    /// with the prefix `install_`.
    pub of_type: String,
    /// Options that nested requirement files set, in tox's `key=value` form: an installer that cannot follow them must
    /// not be used.
    pub nested_options: Vec<String>,
    /// Whether nested files have requirements with options of their own.
    pub has_requirement_options: bool,
    /// A file to write before the installer starts (`pylock.txt`).
    pub file: Option<(PathBuf, String)>,
}

impl InstallRequest {
    pub fn new(of_type: &str, arguments: Vec<String>) -> Self {
        Self { arguments, of_type: of_type.to_owned(), ..Self::default() }
    }

    /// tox's name of the run: it labels the log file and the shown command.
    pub fn run_id(&self) -> String {
        format!("install_{}", self.of_type)
    }
}

/// The command that installs, and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallCommand {
    /// The command tox would run, which is shown and logged.
    pub shown: Command,
    /// The command that is run.
    pub run: Command,
    /// Additional variables for the command; they replace those of the same name.
    pub variables: Vec<(String, String)>,
    /// Variables of the environment to hide from the command, because they have no effect when tox installs.
    pub hidden_variables: &'static [&'static str],
    /// Why the faster installer is not used; shown with `-v`.
    pub note: Option<String>,
}

impl InstallCommand {
    /// The command to try if [`Self::run`] fails: pip resolves some requirements other installers reject, and its
    /// message is the one tox would show. `None` if pip was used already.
    pub fn fallback(&self) -> Option<&Command> {
        (self.run != self.shown).then_some(&self.shown)
    }
}

/// A program that installs. Returns the command for a request.
pub trait Installer: Send + Sync {
    /// The command line for `request`.
    fn command(&self, request: &InstallRequest) -> InstallCommand;
}
