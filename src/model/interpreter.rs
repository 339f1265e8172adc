//! Facts about an interpreter that was found, and the layout of environments made from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// `sys.version_info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonVersion {
    pub major: u32,
    pub minor: u32,
    pub micro: u32,
    pub release_level: String,
    pub serial: u32,
}

/// What an interpreter reported about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The path it was run as.
    pub executable: PathBuf,
    /// The underlying interpreter: for one in a virtual environment, the one that environment was created
    /// from. Resolved.
    pub system_executable: PathBuf,
    /// `CPython`, `PyPy`, …
    pub implementation: String,
    pub version: PythonVersion,
    /// `sys.version`, complete.
    pub version_text: String,
    pub is_64_bit: bool,
    /// `sys.platform`.
    pub platform: String,
    /// The instruction set (`x86_64`), from `sysconfig.get_platform()`.
    pub machine: Option<String>,
    pub free_threaded: bool,
    pub debug: bool,
    #[serde(flatten)]
    pub layout: InterpreterLayout,
    /// PEP 508 marker variables, as in `packaging.markers.default_environment()`.
    pub markers: std::collections::BTreeMap<String, String>,
}

/// Where an interpreter has its files, and where an environment made from it has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterpreterLayout {
    /// `sys.base_prefix` (`sys.real_prefix` or `sys.prefix` on 2.7).
    pub base_prefix: PathBuf,
    /// `sys.base_exec_prefix`; differs from the prefix only if compiled modules are installed separately.
    pub base_exec_prefix: PathBuf,
    /// The standard library's folder.
    pub standard_library: PathBuf,
    /// Folders in which wheels of pip (and setuptools) may come with the interpreter: ensurepip's, a distribution's.
    pub bundled_wheels: Vec<PathBuf>,
    /// Where an environment's pure modules are installed, relative to it (`lib/python3.11/site-packages`).
    pub purelib: PathBuf,
    /// Where an environment's compiled modules are installed, relative to it.
    pub platlib: PathBuf,
}

impl Interpreter {
    /// `3.11`.
    pub fn dotted_version(&self) -> String {
        format!("{}.{}", self.version.major, self.version.minor)
    }

    /// The layout of an environment at `env_dir` made from this interpreter (POSIX).
    pub fn layout(&self, env_dir: &Path) -> EnvLayout {
        EnvLayout {
            bin_dir: env_dir.join("bin"),
            python: env_dir.join("bin").join("python"),
            purelib: env_dir.join(&self.layout.purelib),
            platlib: env_dir.join(&self.layout.platlib),
        }
    }
}

/// The paths of an environment's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvLayout {
    pub bin_dir: PathBuf,
    pub python: PathBuf,
    pub purelib: PathBuf,
    pub platlib: PathBuf,
}

/// Finds interpreters. Settings need it for the few values that depend on one (`env_site_packages_dir`,
/// `py_dot_ver`); the module `runtime` implements it, so that settings do not depend on processes.
pub trait InterpreterLookup: Send + Sync {
    /// The first interpreter that matches one of `specs`, tried in order; `None` if none does.
    fn find(&self, specs: &[String]) -> Option<Arc<Interpreter>>;

    /// The Python that tox would be installed in, used if a configuration names none: the one next to envo's
    /// own executable if there is one, else the first `python3` or `python` on PATH. An absolute path; it may
    /// not have been run yet.
    fn host_python(&self) -> PathBuf;

    /// Programs that did not report their facts in time and were killed, each with the reason.
    fn unanswered(&self) -> Vec<String> {
        Vec::new()
    }

    /// The `uv` program that fills environments of tox-uv's runners.
    fn uv(&self) -> Option<PathBuf>;
}

/// A machine without interpreters, for tests.
#[cfg(test)]
pub struct NoInterpreters;

#[cfg(test)]
impl InterpreterLookup for NoInterpreters {
    fn find(&self, _specs: &[String]) -> Option<Arc<Interpreter>> {
        None
    }

    fn host_python(&self) -> PathBuf {
        PathBuf::from("/python")
    }

    fn uv(&self) -> Option<PathBuf> {
        None
    }
}
