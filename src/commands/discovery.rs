//! The catalogue of interpreters of a command.

use crate::cli::options::Options;
use crate::runtime::python::PythonDiscovery;

/// A catalogue of interpreters. It looks for none yet.
pub fn discovery(options: &Options) -> PythonDiscovery {
    let own_executable = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    PythonDiscovery::new(&options.variables, &options.run.discover, own_executable.as_deref())
}
