//! Builds environments until their commands can run: creates them, installs their contents, builds and installs the
//! project. Reads what earlier runs did ([`stamp`]) and does only what is missing. [`coordinator`] does this for a set
//! of environments and runs their commands.

pub mod assembly;
mod contents;
pub mod coordinator;
pub mod env_builder;
pub mod env_run;
mod environment_folders;
mod first_program;
pub mod folders;
mod installation;
pub mod journal;
pub mod layer;
pub mod lock;
pub mod locked_contents;
pub mod log_groups;
mod missing_program;
pub mod package;
pub mod packaging_env;
pub mod phases;
pub mod prebuilder;
mod prebuilt;
pub mod preconditions;
mod project_package;
pub mod provision;
mod queue;
pub mod redirect_env;
mod requirement_check;
pub mod run_context;
pub mod runtime_locks;
mod runtime_steps;
mod runtime_swap;
mod runtimes;
mod script_contents;
pub mod secrets;
pub mod services;
pub mod stamp;
mod uv_contents;
pub mod venv_redirect;
pub mod verdict;
