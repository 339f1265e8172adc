//! The part of `envo lock` that other languages have in it: their own tools write their own locks.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use super::locking::{Lockable, Locks};
use crate::build::language_locks::LanguageLock;
use crate::model::runtime::DEFAULT;
use crate::runtime::locking;

pub(super) struct Languages<'a> {
    pub locks: &'a Locks,
    pub upgrade: locking::Upgrade<'a>,
}

impl Languages<'_> {
    /// Has the tools of other languages write their own locks, side by side where no two write the same file. `kept`: whose
    /// locks hold.
    ///
    /// # Errors
    /// When one of them fails.
    pub(super) fn lock(&self, lockables: &mut [Lockable], kept: &[bool]) -> Result<()> {
        let needed = |(at, lockable): &(usize, &Lockable)| {
            lockable.environment.runtimes.iter().any(|wish| wish.name != DEFAULT) && !kept[*at]
        };
        let mut chains: Vec<Chain> = Vec::new();
        for (at, lockable) in lockables.iter().enumerate().filter(needed) {
            let locks = self.locks.site(&lockable.environment).language_locks().map_err(anyhow::Error::new)?;
            let mut chain =
                Chain { positions: vec![at], files: locks.into_iter().flat_map(|lock| lock.files).collect() };
            chains.retain_mut(|other| {
                let shared = other.files.iter().any(|file| chain.files.contains(file));
                if shared {
                    chain.take_before(other);
                }
                !shared
            });
            chains.push(chain);
        }
        let shared: &[Lockable] = lockables;
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Vec<LanguageLock>)>> {
            let mut written = Vec::new();
            while let Some(chain) = chains.get(next.fetch_add(1, Ordering::Relaxed)) {
                for &at in &chain.positions {
                    written.push((at, self.of(&shared[at])?));
                }
            }
            Ok(written)
        };
        let most = std::thread::available_parallelism().map_or(1, NonZero::get);
        let written: Vec<Result<_>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..most.min(chains.len())).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|result| result.unwrap_or_else(|_| Err(anyhow::anyhow!("a lock was given up")))).collect()
        });
        let root = &self.locks.project.root;
        for (at, locks) in written.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            let inputs = &mut lockables[at].inputs;
            let is_language =
                |name: &str| locks.iter().any(|lock| name == lock.runtime || name == format!("{}-lock", lock.runtime));
            inputs.inputs.retain(|input| !is_language(&input.name));
            for lock in &locks {
                inputs.add_language(root, lock.runtime, &lock.inputs, &lock.files);
            }
        }
        Ok(())
    }

    fn of(&self, lockable: &Lockable) -> Result<Vec<LanguageLock>> {
        let environment = &lockable.environment;
        let written = self.locks.site(environment).lock_languages(self.upgrade);
        written.map_err(|halt| anyhow::Error::new(halt).context(format!("cannot lock {}", environment.name)))
    }
}

/// Environments whose languages have lock files in common, in their order.
struct Chain {
    positions: Vec<usize>,
    files: Vec<PathBuf>,
}

impl Chain {
    fn take_before(&mut self, other: &mut Self) {
        other.positions.append(&mut self.positions);
        std::mem::swap(&mut self.positions, &mut other.positions);
        self.files.append(&mut other.files);
    }
}
