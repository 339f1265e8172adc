//! Writes the locks of other languages with their own tools, for `envo lock`.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;

use crate::builder::runtime_locks::WrittenLocks;
use crate::lock::project::{LockableEnv, ProjectLocks};
use crate::model::runtime::DEFAULT;
use crate::runtime::locking;

pub struct EcosystemLocking<'a> {
    pub locks: &'a ProjectLocks<'a>,
    pub upgrade: locking::RuntimeUpgrade<'a>,
}

/// What was written for environments, by their position; it does not count before it is published.
pub struct WrittenLockFiles(Vec<(usize, WrittenLocks)>);

impl WrittenLockFiles {
    /// Publishes all files, and records them in the inputs.
    pub fn publish(self, locks: &ProjectLocks<'_>, lockables: &mut [LockableEnv]) -> Result<()> {
        let positions: Vec<usize> = self.0.iter().map(|(at, _)| *at).collect();
        for (at, written) in self.0 {
            let name = &lockables[at].environment.name;
            written.publish().with_context(|| format!("cannot write a lock of {name}"))?;
        }
        if !positions.is_empty() {
            // The tools worked in it; it goes when nothing else is there.
            let _ = std::fs::remove_dir(&locks.project.lock_dir);
        }
        for at in positions {
            let lockable = &mut lockables[at];
            // Some tools put into the manifest, too, what they found.
            let now = locks.env_builder(&lockable.environment).runtime_locks().map_err(anyhow::Error::new)?;
            let is_language =
                |name: &str| now.iter().any(|lock| name == lock.runtime || name == format!("{}-lock", lock.runtime));
            lockable.inputs.inputs.retain(|input| !is_language(&input.name));
            for lock in &now {
                lockable.inputs.add_language(&locks.project.root, lock.runtime, &lock.inputs, &lock.files);
            }
        }
        Ok(())
    }

    /// Leaves every file as it was.
    pub fn give_up(&self, locks: &ProjectLocks<'_>) {
        // What several environments write was first seen by the first of them.
        self.0.iter().rev().for_each(|(_, written)| written.give_up());
        // The tools worked in it; it goes when nothing else is there.
        let _ = std::fs::remove_dir(&locks.project.lock_dir);
    }
}

/// Those whose languages have something to write, with their positions.
fn needed<'a>(lockables: &'a [LockableEnv], kept: &'a [bool]) -> impl Iterator<Item = (usize, &'a LockableEnv)> {
    let has_languages =
        |lockable: &LockableEnv| lockable.environment.runtimes.iter().any(|runtime| runtime.name != DEFAULT);
    lockables.iter().enumerate().filter(move |(at, lockable)| has_languages(lockable) && !kept[*at])
}

impl EcosystemLocking<'_> {
    /// Writes them while `beside` does its part.
    pub fn write_next_to<T>(
        &self,
        lockables: &[LockableEnv],
        kept: &[bool],
        beside: impl FnOnce() -> T,
    ) -> (T, Result<WrittenLockFiles>) {
        if needed(lockables, kept).next().is_none() {
            return (beside(), Ok(WrittenLockFiles(Vec::new())));
        }
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| self.write(lockables, kept));
            let given_up = || anyhow::anyhow!("locking of other languages was cancelled");
            (beside(), writing.join().unwrap_or_else(|_| Err(given_up())))
        })
    }

    /// Has the tools of other languages write their own locks, side by side where no two write the same file, and what is
    /// asked twice once. `kept`: whose locks hold.
    ///
    /// # Errors
    /// When one of them fails. Then every file is as it was.
    fn write(&self, lockables: &[LockableEnv], kept: &[bool]) -> Result<WrittenLockFiles> {
        let chains = self.chains(lockables, kept)?;
        let (next, written) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || -> Result<()> {
            while let Some(chain) = chains.get(next.fetch_add(1, Ordering::Relaxed)) {
                for &at in &chain.positions {
                    let locks = self.of(&lockables[at])?;
                    written.lock().push((at, locks));
                }
                let Some(&first) = chain.positions.first() else { continue };
                for &at in &chain.alike {
                    let site = self.locks.env_builder(&lockables[at].environment);
                    let own = site.runtime_locks().map_err(anyhow::Error::new)?;
                    let mut written = written.lock();
                    let shared =
                        written.iter().find(|(known, _)| *known == first).map(|(_, locks)| locks.shared_with(own));
                    written.extend(shared.map(|shared| (at, shared)));
                }
            }
            Ok(())
        };
        let most = std::thread::available_parallelism().map_or(1, NonZero::get);
        let ended: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..most.min(chains.len())).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|result| result.unwrap_or_else(|_| Err(anyhow::anyhow!("locking was cancelled")))).collect()
        });
        let written = WrittenLockFiles(written.into_inner());
        match ended.into_iter().collect::<Result<()>>() {
            Ok(()) => Ok(written),
            Err(error) => {
                written.give_up(self.locks);
                Err(error)
            }
        }
    }

    fn chains(&self, lockables: &[LockableEnv], kept: &[bool]) -> Result<Vec<SharedLockChain>> {
        let mut chains: Vec<SharedLockChain> = Vec::new();
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for (at, lockable) in needed(lockables, kept) {
            let site = self.locks.env_builder(&lockable.environment);
            if let Some(question) = site.lock_key(self.upgrade).map_err(anyhow::Error::new)? {
                let first = *asked.entry(question).or_insert(at);
                if let Some(chain) = chains.iter_mut().find(|chain| first != at && chain.positions.contains(&first)) {
                    chain.alike.push(at);
                    continue;
                }
            }
            let locks = site.runtime_locks().map_err(anyhow::Error::new)?;
            let files = locks.into_iter().flat_map(|lock| lock.files).collect();
            let mut chain = SharedLockChain { positions: vec![at], alike: Vec::new(), files };
            chains.retain_mut(|other| {
                let shared = other.files.iter().any(|file| chain.files.contains(file));
                if shared {
                    chain.take_before(other);
                }
                !shared
            });
            chains.push(chain);
        }
        Ok(chains)
    }

    fn of(&self, lockable: &LockableEnv) -> Result<WrittenLocks> {
        let environment = &lockable.environment;
        let written = self.locks.env_builder(environment).lock_runtimes(self.upgrade);
        written.map_err(|halt| anyhow::Error::new(halt).context(format!("cannot lock {}", environment.name)))
    }
}

/// Environments whose languages have lock files in common, in their order.
struct SharedLockChain {
    positions: Vec<usize>,
    /// Those of which the same is asked as of the first, in files of their own.
    alike: Vec<usize>,
    files: Vec<PathBuf>,
}

impl SharedLockChain {
    fn take_before(&mut self, other: &mut Self) {
        other.positions.append(&mut self.positions);
        std::mem::swap(&mut self.positions, &mut other.positions);
        self.alike.append(&mut other.alike);
        self.files.append(&mut other.files);
    }
}
