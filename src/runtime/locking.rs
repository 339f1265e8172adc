//! Describes how a runtime's own lock is written, as plain values; [`crate::builder`] carries it out.

use std::path::{Path, PathBuf};

use crate::runtime::{InstallStep, RuntimeInstallRequest};

/// A request to lock dependencies.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeLockRequest<'a> {
    /// The environment's dependencies. Its [`crate::runtime::RuntimeLocation::folder`] is a scratch folder next to
    /// [`RuntimeLockRequest::folder`], so that relative paths are the same in both.
    pub contents: RuntimeInstallRequest<'a>,
    /// The folder for the lock of the environment's own dependencies, as [`folder`] names it.
    pub folder: &'a Path,
    pub upgrade: RuntimeUpgrade<'a>,
}

/// Which packages of an existing lock may change their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeUpgrade<'a> {
    /// Only those that must.
    Nothing,
    /// These packages as well.
    Named(&'a [String]),
    Everything,
}

/// The files, commands and results of writing a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locking {
    /// Files to write first, relative to [`crate::runtime::RuntimeLocation::folder`].
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Commands to run next, in order.
    pub steps: Vec<InstallStep>,
    /// The files of the lock.
    pub results: Vec<LockFile>,
    /// All inputs of the lock, except the lock itself: while they stay the same, it is valid.
    pub inputs: Vec<String>,
}

/// A file that belongs to a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// The path at which the steps write it.
    pub made: PathBuf,
    /// Its final path; the same if a tool can write it only there.
    pub kept: PathBuf,
}

impl LockFile {
    /// A file written at its final path.
    pub fn next_to(path: PathBuf) -> Self {
        Self { made: path.clone(), kept: path }
    }

    /// A file written in `scratch` that belongs into `folder`.
    pub fn moved(scratch: &Path, folder: &Path, name: &str) -> Self {
        Self { made: scratch.join(name), kept: folder.join(name) }
    }
}

/// The folder (in `locks`, the project's folder of locks) for the lock of what `runtime` installs into `environment` besides the project's own manifest.
pub fn folder(locks: &Path, runtime: &str, environment: &str) -> PathBuf {
    locks.join(format!("{runtime}.{environment}"))
}
