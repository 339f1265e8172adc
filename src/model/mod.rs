//! Plain typed values that the other modules exchange. This module does not know the configuration, runs
//! nothing and reads no environment variable.

pub mod command;
pub mod deferred;
pub mod environment;
pub mod inputs;
pub mod interpreter;
pub mod literal;
pub mod lock_name;
pub mod pep508;
pub mod project;
pub mod provided;
pub mod python_pattern;
pub mod python_spec;
pub mod requirements;
pub mod runner;
pub mod runtime;
pub mod secret;
pub mod service;
pub mod variables;
pub mod version_specifier;

pub use command::{Command, ExitRule};
pub use deferred::Deferred;
pub use environment::{Environment, EnvironmentKind, PackageKind};
pub use inputs::EnvInputs;
pub use interpreter::{EnvLayout, Interpreter, InterpreterLookup};
pub use project::ProjectSettings;
pub use python_spec::PythonSpec;
pub use requirements::ParsedRequirementFile;
pub use runner::Runner;
pub use service::ServiceSettings;
pub use variables::EnvVariables;
