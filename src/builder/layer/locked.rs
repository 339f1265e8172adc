//! What a layer installs from its lock: what its base does not have.

use std::path::{Path, PathBuf};

use crate::builder::env_builder::EnvBuilder;
use crate::builder::layer::conflict;
use crate::env_error::EnvError;
use crate::lockfile::document::{LockDocument, LockedPackage};
use crate::lockfile::lines::same_version;

/// The layer's part of its lock, in its folder; installers want such a name.
const PART: &str = "pylock.layer.toml";

/// Leaves out what the base has. Returns the lock to install and the packages in it.
///
/// # Errors
/// If the base has another version of a package, or the lock cannot be written.
pub fn without_base(
    env: &EnvBuilder,
    file: PathBuf,
    packages: Vec<LockedPackage>,
) -> Result<(PathBuf, Vec<LockedPackage>), EnvError> {
    let Some(base) = &env.base else { return Ok((file, packages)) };
    let theirs = base.versions();
    let mut own = Vec::new();
    for package in packages {
        match (theirs.get(&package.name), &package.version) {
            (None, _) => own.push(package),
            (Some(version), Some(locked)) if !same_version(version, locked) => {
                return Err(conflict::of_installed(env, base, (&package.name, version), locked));
            }
            _ => {}
        }
    }
    let folder = &env.environment.folders.env_dir;
    let mut part = LockDocument { packages: own, ..LockDocument::default() };
    part.relocate(file.parent().unwrap_or(Path::new(".")), folder);
    let file = folder.join(PART);
    fs_err::write(&file, part.text())?;
    Ok((file, part.packages))
}
