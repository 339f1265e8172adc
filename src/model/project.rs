//! The project as a whole: its folders and the settings that do not belong to an environment.

use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct ProjectSettings {
    /// The configuration file (a path that need not exist if none was found).
    pub config_file: PathBuf,
    /// `tox_root`: relative settings are relative to this.
    pub root: PathBuf,
    /// `work_dir`, by default `.tox` below the root.
    pub work_dir: PathBuf,
    pub temp_dir: PathBuf,
    pub package_root: PathBuf,
    /// The folder for locks, by default `locks` below the root.
    pub lock_dir: PathBuf,
    /// The folder envo was started in.
    pub current_dir: PathBuf,
    /// `venv_redirect`, if it is set.
    pub venv_redirect: Option<bool>,
    /// `venv_redirect_env`: the environment that the project's `.venv` links to.
    pub venv_redirect_env: Option<String>,
}
