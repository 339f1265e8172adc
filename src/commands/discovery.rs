//! Creates the catalogue of interpreters for a command.

use crate::cli::options::Options;
use crate::runtime::python::PythonDiscovery;

/// A catalogue of interpreters, which searches on first use.
pub fn discovery(options: &Options) -> PythonDiscovery {
    let own_executable = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    PythonDiscovery::new(&options.process.variables, &options.run.interpreters.discover, own_executable.as_deref())
}
