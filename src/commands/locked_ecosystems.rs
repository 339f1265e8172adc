//! Reads the locked packages of languages other than Python, for the verbs that inspect locks.

use anyhow::Result;

use crate::cli::options::Options;
use crate::commands::locking::{Locks, names_none};
use crate::error::ConfigError;
use crate::lock::ecosystems::{self, EcosystemContents};
use crate::lock::error::LockError;
use crate::lock::index::{LockIndex, LockIndexEntry, input_digest};

/// The locked packages of one language in an environment.
pub(super) struct EcosystemLock {
    pub environment: String,
    /// As `runtime` has it.
    pub runtime: String,
    pub contents: EcosystemContents,
}

/// All locked packages of other languages.
#[derive(Default)]
pub(super) struct LockedEcosystems {
    pub read: Vec<EcosystemLock>,
    /// Environments and languages whose locks envo does not read.
    pub left_out: Vec<(String, String)>,
}

impl LockedEcosystems {
    /// Those whose locks are not read, for people.
    pub fn left_out(&self) -> Vec<String> {
        self.left_out
            .iter()
            .map(|(environment, language)| format!("the packages of {language} in {environment}"))
            .collect()
    }

    /// Reports the locks that were not read, so that their absence is not read as a result.
    pub fn report_left_out(&self) {
        if !self.left_out.is_empty() {
            let text = format!("not included, use the languages' own tools: {}", self.left_out().join(", "));
            crate::commands::plain_hint(&text);
        }
    }
}

impl Locks {
    /// What the environments that were named, else all, have locked of other languages; nothing of those to `skip`.
    pub fn languages(&self, options: &Options, skip: &[String]) -> Result<LockedEcosystems> {
        let index = LockIndex::read(&self.project.root).map_err(ConfigError::from)?;
        let names =
            if names_none(options) { index.entries.keys().cloned().collect() } else { self.names(options, &index)? };
        let mut found = LockedEcosystems::default();
        for name in names {
            let Some(entry) = index.entries.get(&name) else { continue };
            let runtimes = entry.inputs.iter().filter_map(|(input, _)| input.strip_suffix("-lock"));
            for runtime in runtimes.filter(|runtime| !skip.iter().any(|skipped| skipped == runtime)) {
                match self.contents(options, &name, runtime, entry)? {
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
    fn contents(
        &self,
        options: &Options,
        name: &str,
        runtime: &str,
        entry: &LockIndexEntry,
    ) -> Result<Option<EcosystemContents>> {
        let input = format!("{runtime}-lock");
        let stale = || {
            let changes = vec![format!("{input} changed")];
            ConfigError::from(LockError::Stale { environment: name.to_owned(), changes })
        };
        let lockable = self.lockable(name, options)?.map_err(|_| stale())?;
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
