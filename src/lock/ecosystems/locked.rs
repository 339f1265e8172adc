//! Reads the locked packages of languages other than Python, for the verbs that inspect locks.

use anyhow::Result;

use crate::error::ConfigError;
use crate::lock::ecosystems::{self, EcosystemContents};
use crate::lock::project::ProjectLocks;
use crate::lockfile::error::LockError;
use crate::lockfile::index::{LockIndexEntry, input_digest};

/// The locked packages of one language in an environment.
pub struct EcosystemLock {
    pub environment: String,
    /// As `runtime` has it.
    pub runtime: String,
    pub contents: EcosystemContents,
}

/// Environments and languages whose locks envo does not read.
pub type LeftOutLocks = Vec<(String, String)>;

/// All locked packages of other languages.
#[derive(Default)]
pub struct LockedEcosystems {
    pub read: Vec<EcosystemLock>,
    pub left_out: LeftOutLocks,
}

/// Environments and languages for users.
pub fn languages_of_environments(names: &[(String, String)]) -> Vec<String> {
    names.iter().map(|(environment, language)| format!("the packages of {language} in {environment}")).collect()
}

impl ProjectLocks<'_> {
    /// What the environments that were named, else all, have locked of other languages; nothing of those to `skip`.
    pub fn languages(&self, skip: &[String]) -> Result<LockedEcosystems> {
        let index = self.index()?;
        let mut found = LockedEcosystems::default();
        for name in self.locked_names(&index)? {
            let Some(entry) = index.entries.get(&name) else { continue };
            let runtimes = entry.inputs.iter().filter_map(|(input, _)| input.strip_suffix("-lock"));
            for runtime in runtimes.filter(|runtime| !skip.iter().any(|skipped| skipped == runtime)) {
                match self.contents(&name, runtime, entry)? {
                    Some(contents) => {
                        let (environment, runtime) = (name.clone(), runtime.to_owned());
                        found.read.push(EcosystemLock { environment, runtime, contents });
                    }
                    None => found.left_out.push((name.clone(), runtime.to_owned())),
                }
            }
        }
        Ok(found)
    }

    /// `None` if envo does not read the lock's format.
    fn contents(&self, name: &str, runtime: &str, entry: &LockIndexEntry) -> Result<Option<EcosystemContents>> {
        let input = format!("{runtime}-lock");
        let stale = || {
            let changes = vec![format!("{input} changed")];
            ConfigError::from(LockError::Stale { environment: name.to_owned(), changes })
        };
        let lockable = self.lockable(name)?.map_err(|_| stale())?;
        let now = lockable.inputs.inputs.iter().find(|known| known.name == input);
        let locked = entry.inputs.iter().find(|(known, _)| *known == input).map(|(_, digest)| digest);
        if now.map(|now| input_digest(&now.lines)).as_ref() != locked {
            return Err(stale().into());
        }
        let locks = self.env_builder(&lockable.environment).runtime_locks().map_err(anyhow::Error::new)?;
        let files: Vec<_> =
            locks.into_iter().filter(|lock| lock.runtime == runtime).flat_map(|lock| lock.files).collect();
        ecosystems::read(&files).map_err(|reason| ConfigError::handled(reason).into())
    }
}
