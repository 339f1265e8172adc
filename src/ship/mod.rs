//! Packs tested environments into files that run on other machines, checks such files, and installs them as releases.

pub mod archive;
pub mod bytecode;
pub mod contents;
mod elf;
mod host;
pub mod interpreter;
pub mod manifest;
pub mod packages;
pub mod piece;
pub mod project_files;
pub mod provenance;
pub mod reading;
mod record;
pub mod refusal;
pub mod releases;
pub mod scripts;
pub mod settings;
pub mod signature;
pub mod target;
pub mod test_recorder;
pub mod tested;
pub mod verify;
