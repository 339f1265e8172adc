//! Tests of reading and showing configuration: `list`, `config`, `config --check`, `quickstart`, `import`, and invalid
//! files.

mod affected;
mod bad_input;
mod bounds;
mod carets;
mod config;
mod config_agreement;
mod config_check;
pub mod differential;
mod env_files;
mod export;
mod fanout;
mod import;
mod list;
mod os_text;
mod property;
mod quickstart;
mod schema;
mod set_env;
