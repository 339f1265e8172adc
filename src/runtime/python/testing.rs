//! Shared by the tests of this module: variables with a cache of their own, and real interpreters of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{EnvVariables, Interpreter, InterpreterLookup};
use crate::runtime::python::discovery::PythonDiscovery;

/// This process's variables, with envo's cache in `cache`; fetching is disabled unless a test enables it.
#[allow(clippy::disallowed_methods)]
pub fn variables(cache: &Path) -> EnvVariables {
    let mut variables: EnvVariables = std::env::vars_os().collect();
    variables.set("ENVO_CACHE_DIR", cache);
    variables.set("ENVO_OFFLINE", "1");
    variables
}

pub fn discovery(cache: &Path) -> PythonDiscovery {
    PythonDiscovery::new(&variables(cache), &[], None)
}

/// A Python 3 of this machine. Every machine that runs the tests must have one.
pub fn python3() -> PathBuf {
    interpreter("python3").expect("the tests need a python3").system_executable.clone()
}

pub fn interpreter(spec: &str) -> Option<Arc<Interpreter>> {
    let folder = tempfile::tempdir().ok()?;
    discovery(folder.path()).find(&[spec.to_owned()])
}
