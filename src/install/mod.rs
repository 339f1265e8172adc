//! What has to be installed becomes the arguments of an installer. Pure: nothing here starts a process, so every case is
//! tested without a network.

use crate::model::Command;

/// What to install into an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallRequest {
    /// Options, requirements and files, as the installer's command line takes them.
    pub arguments: Vec<String>,
    /// Which part of the environment this is for, as in tox's run ids: `deps`, `package_deps`, `package`, `requires`, …
    pub of_type: String,
}

/// A program that installs. Given a request it says which command does the work.
pub trait Installer: Send + Sync {
    /// The command line for `request`.
    fn command(&self, request: &InstallRequest) -> Command;

    /// The command that lists what is installed, in `pip freeze` form.
    fn freeze(&self) -> Command;
}
