//! Checks whether the locks are up to date, for `envo lock --check`.

use anyhow::Result;

use crate::lock::job::lockable_envs;
use crate::lock::layers::with_bases;
use crate::lock::project::{ProjectLocks, names_none};
use crate::lockfile::error::LockError;
use crate::lockfile::verify::verify;

/// How the locks compare with the configuration.
pub struct LockCheck {
    /// The number of environments that were checked.
    pub count: usize,
    /// Those whose locks are out of date.
    pub stale: Vec<(String, LockError)>,
    /// Locked environments that are no longer defined.
    pub gone: Vec<String>,
}

pub fn check(locks: &ProjectLocks<'_>) -> Result<LockCheck> {
    let index = locks.index()?;
    let names = with_bases(&locks.plan, locks.names(&index)?)?;
    let (lockables, _) = lockable_envs(locks, &names)?;
    let stale = lockables.iter().filter_map(|lockable| {
        let name = &lockable.environment.name;
        verify(&locks.project, &index, name, &lockable.inputs.inputs).err().map(|error| (name.clone(), error))
    });
    let is_gone = |name: &&String| lockables.iter().all(|one| one.environment.name != **name);
    let gone =
        if names_none(locks.options) { index.entries.keys().filter(is_gone).cloned().collect() } else { Vec::new() };
    Ok(LockCheck { count: lockables.len(), stale: stale.collect(), gone })
}
