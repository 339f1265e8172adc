//! From a planned environment to one whose commands can run: created, installed, the project built and put in. Knows
//! what was done before ([`stamp`]) and does only what is missing. [`coordinator`] does this for a set of environments
//! and has their commands run.

pub mod ahead;
pub mod assembly;
mod contents;
pub mod coordinator;
mod environment_folders;
mod first_program;
pub mod folders;
mod forerun;
mod installation;
pub mod journal;
pub mod language_locks;
mod language_steps;
mod language_swap;
mod languages;
pub mod lock;
pub mod locked_contents;
pub mod log_groups;
mod missing_program;
pub mod package;
pub mod packaging;
pub mod phases;
pub mod preconditions;
pub mod prepare;
mod project_package;
pub mod provision;
mod queue;
pub mod redirect_target;
mod requirement_check;
pub mod run;
mod script_contents;
pub mod services;
pub mod stamp;
pub mod turn;
mod uv_contents;
pub mod venv_redirect;
mod verdict;
