//! Makes and inspects the locks of a project: everything that `envo lock`, `update`, `graph`, `sbom`, `outdated` and
//! `audit` decide. The files themselves belong to [`crate::lockfile`]; the verbs only show the results.
//!
//! [`ProjectLocks`] is the project with its locks. [`job`] resolves and writes ([`resolve`] runs a resolver, [`prune`]
//! removes what no platform needs), [`check`] compares, and [`ecosystems`] does the same for the locks of other languages.

pub mod audit;
pub mod changes;
pub mod check;
pub mod dependencies;
pub mod ecosystems;
pub mod graph;
pub mod job;
mod layers;
pub mod licences;
mod origins;
pub mod osv;
pub mod outdated;
mod project;
pub mod prune;
mod resolve;
pub mod sbom;
pub mod service;
mod severity;

pub use crate::lock::project::{LockableEnv, ProjectLocks, names_none};

use crate::bounded;
use crate::model::ProjectSettings;

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
