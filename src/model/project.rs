//! The project as a whole: its folders and the settings that belong to no environment.

use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct ProjectSettings {
    /// The configuration file (it need not exist when none was found).
    pub config_file: PathBuf,
    /// `tox_root`: relative settings are relative to this.
    pub root: PathBuf,
    /// `work_dir`, by default `.tox` below the root.
    pub work_dir: PathBuf,
    pub temp_dir: PathBuf,
    pub package_root: PathBuf,
    /// Where locks are kept, by default `locks` below the root.
    pub lock_dir: PathBuf,
    /// The folder envo was started in.
    pub current_dir: PathBuf,
    /// `venv_redirect`, if it says anything.
    pub venv_redirect: Option<bool>,
    /// `venv_redirect_env`: the environment the project's `.venv` leads to.
    pub venv_redirect_env: Option<String>,
}
