//! Facts about a Python that was found, and where an environment made from it keeps its parts.

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

/// What an interpreter answered when it was asked about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The path it was asked under.
    pub executable: PathBuf,
    /// The interpreter behind it: for one in a virtual environment, the one that environment was made from. Resolved.
    pub system_executable: PathBuf,
    /// `CPython`, `PyPy`, …
    pub implementation: String,
    pub version: PythonVersion,
    /// `sys.version`, whole.
    pub version_text: String,
    pub is_64_bit: bool,
    /// `sys.platform`.
    pub platform: String,
    /// The instruction set (`x86_64`), from `sysconfig.get_platform()`.
    pub machine: Option<String>,
    pub free_threaded: bool,
    pub debug: bool,
    /// `sys.base_prefix` (`sys.real_prefix` or `sys.prefix` on 2.7).
    pub base_prefix: PathBuf,
    /// `sys.base_exec_prefix`; differs from the prefix only where compiled modules live apart.
    pub base_exec_prefix: PathBuf,
    /// The standard library's folder.
    pub standard_library: PathBuf,
    /// Folders in which wheels of pip (and setuptools) may come with the interpreter: ensurepip's, a distribution's.
    pub bundled_wheels: Vec<PathBuf>,
    /// Where pure modules of an environment go, relative to it (`lib/python3.11/site-packages`).
    pub purelib: PathBuf,
    /// Where compiled modules of an environment go, relative to it.
    pub platlib: PathBuf,
    /// PEP 508 marker variables, as `packaging.markers.default_environment()` gives them.
    pub markers: std::collections::BTreeMap<String, String>,
}

impl Interpreter {
    /// `3.11`.
    pub fn dotted_version(&self) -> String {
        format!("{}.{}", self.version.major, self.version.minor)
    }

    /// Where an environment made from this interpreter at `env_dir` has its parts (POSIX layout).
    pub fn layout(&self, env_dir: &Path) -> EnvLayout {
        EnvLayout {
            bin_dir: env_dir.join("bin"),
            python: env_dir.join("bin").join("python"),
            purelib: env_dir.join(&self.purelib),
            platlib: env_dir.join(&self.platlib),
        }
    }
}

/// The places of an environment's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvLayout {
    pub bin_dir: PathBuf,
    pub python: PathBuf,
    pub purelib: PathBuf,
    pub platlib: PathBuf,
}

/// Finds interpreters. Settings need it for the few values that depend on one (`env_site_packages_dir`, `py_dot_ver`);
/// the runtime room implements it, so that settings stay ignorant of processes.
pub trait InterpreterLookup: Send + Sync {
    /// The first interpreter that fits one of `specs`, tried in order; `None` when none does.
    fn find(&self, specs: &[String]) -> Option<Arc<Interpreter>>;

    /// The Python envo stands in for when a configuration says nothing: beside envo's own executable if there is one,
    /// else the first `python3` or `python` on PATH. An absolute path; need not have been asked anything yet.
    fn host_python(&self) -> PathBuf;

    /// What was asked what it is and had to be killed for want of an end, each with the reason.
    fn unanswered(&self) -> Vec<String> {
        Vec::new()
    }

    /// The `uv` program that environments of tox-uv's runners are filled with.
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
