//! What has to be installed becomes the arguments of an installer. Pure but for reading requirement files: nothing here
//! starts a process, so every case is tested without a network.

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

/// What to install into an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallRequest {
    /// Options, requirements and files, as pip's command line takes them.
    pub arguments: Vec<String>,
    /// Which part of the environment this is for: `deps`, `package_deps`, `package`, `requires`, … tox's run id is this
    /// with `install_` before it.
    pub of_type: String,
    /// Options that nested requirement files set, in tox's `key=value` form: an installer that cannot follow them has to
    /// pass.
    pub nested_options: Vec<String>,
    /// Requirements of nested files that carry options of their own.
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

/// The command that installs, and how it is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallCommand {
    /// What tox would run, and what is shown and logged.
    pub shown: Command,
    /// What does the work.
    pub run: Command,
    /// Variables the work needs beyond the environment's own; they replace those of the same name.
    pub variables: Vec<(String, String)>,
    /// Variables of the environment that the work must not see: what they decide is not decided where tox installs.
    pub hidden_variables: &'static [&'static str],
    /// Why the faster installer is passed over, to be said with `-v`.
    pub note: Option<String>,
}

impl InstallCommand {
    /// The command that has to be tried when [`Self::run`] fails: pip resolves what other installers refuse, and its
    /// message is the one tox would show. `None` when pip did the work already.
    pub fn fallback(&self) -> Option<&Command> {
        (self.run != self.shown).then_some(&self.shown)
    }
}

/// A program that installs. Given a request it says which command does the work.
pub trait Installer: Send + Sync {
    /// The command line for `request`.
    fn command(&self, request: &InstallRequest) -> InstallCommand;
}
