//! Locks the exact contents of environments, so that they are the same on every machine and next year. A lock is a
//! standard file (PEP 751) per Python environment below `locks/`; `envo.lock` is the index of them, one line per
//! environment, so that two branches that lock different environments merge without a conflict.
//!
//! This module collects the inputs of a lock ([`inputs`]), runs a resolver ([`resolve`]), normalises and writes the
//! result ([`document`]), and checks whether a lock is up to date ([`verify`]). It must not install anything: `builder`
//! does that.
//! <https://packaging.python.org/en/latest/specifications/pylock-toml/>

pub mod changes;
pub mod document;
pub mod ecosystems;
pub mod error;
pub mod graph;
pub mod index;
pub mod inputs;
pub mod licences;
pub mod lines;
pub mod name;
mod origins;
pub mod osv;
pub mod prune;
pub mod resolve;
pub mod sbom;
pub mod service;
mod severity;
pub mod target;
pub mod verify;
pub mod write;

use crate::bounded;
use crate::model::{Environment, ProjectSettings};

/// The index, at the project's root.
pub const INDEX: &str = "envo.lock";

/// Another lock that already fixes the environment's contents, so that it has none of envo's; `None` if not found.
pub fn has_its_own(environment: &Environment, project: &ProjectSettings) -> Option<String> {
    if environment.uv.as_ref().is_some_and(|uv| uv.sync.is_some()) {
        return Some("uv.lock says what it contains".to_owned());
    }
    let pylock = &environment.dependencies.pylock;
    let own = index::lock_path(project, &environment.name);
    (!pylock.is_empty() && project.package_root.join(pylock) != own)
        .then(|| format!("`pylock = {pylock}` says what it contains"))
}

/// The project's name in `pyproject.toml`.
pub fn project_name(project: &ProjectSettings) -> Option<String> {
    let text = bounded::read_text(project.package_root.join("pyproject.toml")).ok()?;
    let table: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    Some(table.get("project")?.get("name")?.as_str()?.to_owned())
}

/// Whether setuptools would mistake the folder of locks for a package: without configuration it takes every folder at a
/// project's root for one, unless its name begins with a dot or an underscore.
pub fn disturbs_setuptools(project: &ProjectSettings) -> bool {
    let root = &project.package_root;
    let Ok(inside) = project.lock_dir.strip_prefix(root) else { return false };
    let is_hidden = inside.to_string_lossy().starts_with(['.', '_']);
    if is_hidden || root.join("src").is_dir() || ["setup.py", "setup.cfg"].iter().any(|name| root.join(name).exists()) {
        return false;
    }
    let Ok(text) = bounded::read_text(root.join("pyproject.toml")) else { return false };
    let Ok(table) = text.trim_start_matches('\u{feff}').parse::<toml::Table>() else { return false };
    let system = table.get("build-system");
    let backend = system.and_then(|system| system.get("build-backend")).and_then(toml::Value::as_str);
    let own = table.get("tool").and_then(|tool| tool.get("setuptools"));
    let says = |key: &str| own.is_some_and(|own| own.get(key).is_some());
    system.is_some()
        && backend.is_none_or(|backend| backend.starts_with("setuptools"))
        && !says("packages")
        && !says("py-modules")
}
