//! From a planned environment to one whose commands can run: created, installed, the project built and put in. Knows
//! what was done before ([`stamp`]) and does only what is missing.

pub mod command_set;
pub mod folders;
pub mod halt;
pub mod journal;
pub mod package;
pub mod stamp;
pub mod venv_redirect;
