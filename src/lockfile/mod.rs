//! The files of locks, so that environments have the same contents on every machine and next year. A lock is a standard
//! file (PEP 751) per Python environment below `locks/`; `envo.lock` is the index of them, one line per environment, so
//! that two branches that lock different environments merge without a conflict.
//!
//! Reads and writes both ([`document`], [`index`]), collects the inputs of a lock ([`inputs`]) and checks whether it is
//! still up to date ([`verify`]). Resolves and installs nothing: `lock` and `builder` do that.
//! <https://packaging.python.org/en/latest/specifications/pylock-toml/>

pub mod document;
pub mod error;
pub mod index;
pub mod inputs;
pub mod lines;
pub mod target;
pub mod verify;
pub mod write;

use crate::model::{Environment, ProjectSettings};

/// The index, at the project's root.
pub const INDEX: &str = "envo.lock";

/// Another lock that already fixes the environment's contents, so that it has none of envo's; `None` if not found.
pub fn has_its_own(environment: &Environment, project: &ProjectSettings) -> Option<String> {
    if environment.contents.uv.as_ref().is_some_and(|uv| uv.sync.is_some()) {
        return Some("uv.lock says what it contains".to_owned());
    }
    let pylock = &environment.contents.dependencies.pylock;
    let own = index::lock_path(project, &environment.name);
    (!pylock.is_empty() && project.package_root.join(pylock) != own)
        .then(|| format!("`pylock = {pylock}` says what it contains"))
}
