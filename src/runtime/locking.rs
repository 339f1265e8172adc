//! What it takes to write a language's own lock. Pure values: who carries them out is another room's business
//! ([`crate::builder`]).

use std::path::{Path, PathBuf};

use crate::runtime::{InstallStep, RuntimeInstallRequest};

/// What is to be locked.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeLockRequest<'a> {
    /// What the environment wants. [`crate::runtime::Place::folder`] is a folder for files that are needed meanwhile; it lies beside
    /// [`LockRequest::folder`], so that relative paths are the same in both.
    pub contents: RuntimeInstallRequest<'a>,
    /// Where the lock of the environment's own dependencies belongs, as [`folder`] names it.
    pub folder: &'a Path,
    pub upgrade: RuntimeUpgrade<'a>,
}

/// What of an existing lock may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeUpgrade<'a> {
    /// Only what has to.
    Nothing,
    /// These packages as well.
    Named(&'a [String]),
    Everything,
}

/// How a lock is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locking {
    /// Files to write first, relative to [`crate::runtime::Place::folder`].
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Commands to run then, in order.
    pub steps: Vec<InstallStep>,
    /// What comes out.
    pub results: Vec<LockFile>,
    /// Everything the lock depends on, the lock itself aside: when these are the same, it holds.
    pub inputs: Vec<String>,
}

/// A file that belongs to a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// Where the steps leave it.
    pub made: PathBuf,
    /// Where it belongs; the same where a tool writes it nowhere else.
    pub kept: PathBuf,
}

impl LockFile {
    /// One that is written where it belongs.
    pub fn next_to(path: PathBuf) -> Self {
        Self { made: path.clone(), kept: path }
    }

    /// One that is made in `scratch` and belongs into `folder`.
    pub fn moved(scratch: &Path, folder: &Path, name: &str) -> Self {
        Self { made: scratch.join(name), kept: folder.join(name) }
    }
}

/// The folder (in `locks`, the project's folder of locks) for the lock of what `runtime` installs into `environment` besides the project's own manifest.
pub fn folder(locks: &Path, runtime: &str, environment: &str) -> PathBuf {
    locks.join(format!("{runtime}.{environment}"))
}
