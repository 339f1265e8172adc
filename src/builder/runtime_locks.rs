//! Has the locks of other runtimes than Python written, each by its own tools, and lists their inputs. The written
//! locks take effect only after everything could be locked.

use std::path::{Path, PathBuf};

use crate::builder::env_builder::EnvBuilder;
use crate::builder::runtime_steps::StepPurpose;
use crate::builder::runtimes::{RuntimeInstallation, remove, write_files};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::EnvPhase;
use crate::execute::process::{self, Spawn};
use crate::execute::session::CommandSession;
use crate::runtime::locking::{self, Locking, RuntimeLockRequest, RuntimeUpgrade};
use crate::runtime::outdated::{NewerVersion, OutdatedOutput, OutdatedQuery};
use crate::runtime::{InstallStep, RuntimeInstallRequest, RuntimeLocation};

/// The lock of one runtime in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageLock {
    pub runtime: &'static str,
    /// Its files, at their final paths; not all of them need to exist.
    pub files: Vec<PathBuf>,
    /// All its inputs: while they stay the same, the lock is valid.
    pub inputs: Vec<String>,
    /// The folder with the lock of the environment's own dependencies, for
    /// [`crate::model::runtime::RuntimeRequirement::lock`]; `None` if the lock is only the manifest's.
    pub folder: Option<PathBuf>,
}

/// Locks written by the tools of an environment's runtimes, not in effect until they are published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenLocks {
    locks: Vec<LanguageLock>,
    /// The contents for the files of `locks`, in their order; `None` where no tool wrote one.
    contents: Vec<Option<Vec<u8>>>,
    /// The previous contents of files that a tool can write only at their final path.
    before: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl WrittenLocks {
    /// The same contents for the `locks` of an environment with the same inputs.
    pub fn shared_with(&self, locks: Vec<LanguageLock>) -> Self {
        Self { locks, contents: self.contents.clone(), before: Vec::new() }
    }

    /// Moves every file to its final path, each completely or not at all.
    pub fn publish(self) -> std::io::Result<()> {
        let files = self.locks.iter().flat_map(|lock| &lock.files);
        for (file, content) in files.zip(&self.contents) {
            restore(file, content.as_deref())?;
        }
        Ok(())
    }

    /// Restores every file.
    pub fn give_up(&self) {
        for (file, content) in &self.before {
            // A file that cannot be restored is left to version control.
            let _ = restore(file, content.as_deref());
        }
    }
}

/// Writes `content` to `file`; `None` removes it. A file that no tool wrote, such as the sums of a module without
/// dependencies, no longer belongs to any lock.
fn restore(file: &Path, content: Option<&[u8]>) -> std::io::Result<()> {
    match content {
        Some(content) if std::fs::read(file).is_ok_and(|there| there == content) => Ok(()),
        Some(content) => crate::runtime::cache::write_atomically(file, content),
        None => match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

impl EnvBuilder {
    /// The locks of the environment, without looking for a program or writing anything.
    pub fn runtime_locks(&self) -> Result<Vec<LanguageLock>, EnvError> {
        let session = self.session(Vec::new())?;
        let mut locks = Vec::new();
        for part in self.runtimes_without_programs()? {
            let folder = self.lock_folder(&part);
            locks.extend(
                self.locking(&part, &session, RuntimeUpgrade::Nothing)?.map(|locking| lock(&part, &locking, &folder)),
            );
        }
        Ok(locks)
    }

    /// A key for what the tools would be asked, without the environment's name and folders: environments with the same
    /// key have the same locks. `None` if no other environment can share it, for example if a tool writes its lock next
    /// to the project's manifest.
    pub fn lock_key(&self, upgrade: RuntimeUpgrade<'_>) -> Result<Option<String>, EnvError> {
        let session = self.session(Vec::new())?;
        let mut question = String::new();
        for part in self.runtimes_without_programs()? {
            let (folder, requirement) = (self.lock_folder(&part), &part.requirement);
            let Some(locking) = self.locking(&part, &session, upgrade)? else { continue };
            if locking.results.iter().any(|file| !file.kept.starts_with(&folder)) {
                return Ok(None);
            }
            let asked = format!(
                "{:?}",
                (&requirement.name, &requirement.version, &requirement.factor, requirement.install, &locking)
            );
            let scratch = scratch(&folder).display().to_string();
            question.push_str(&asked.replace(&scratch, "<scratch>").replace(&folder.display().to_string(), "<folder>"));
        }
        let own = ["TOX_ENV_NAME", "TOX_ENV_DIR", "VIRTUAL_ENV"].map(std::ffi::OsStr::new);
        let variables: Vec<_> = session.variables.iter().filter(|(name, _)| !own.contains(name)).collect();
        let env_dir = self.environment.folders.env_dir.display().to_string();
        question.push_str(&format!("{variables:?}").replace(&env_dir, "<environment>"));
        Ok(Some(question))
    }

    /// Has the tools write the locks, next to their final paths wherever the tool can do so.
    ///
    /// # Errors
    /// As for [`EnvBuilder::runtime_locks`]; if a program is missing or fails. Every file is then as it was.
    pub fn lock_runtimes(&self, upgrade: RuntimeUpgrade<'_>) -> Result<WrittenLocks, EnvError> {
        let mut written = WrittenLocks::default();
        for part in self.find_runtimes()? {
            if let Err(error) = self.lock_runtime(&part, upgrade, &mut written) {
                written.give_up();
                return Err(error);
            }
        }
        Ok(written)
    }

    /// Newer versions of packages in the locks of `runtime`, as its tool reports them; `None` if it cannot.
    pub fn newer(&self, runtime: &str) -> Result<Option<Vec<NewerVersion>>, EnvError> {
        let mut found = None;
        for part in self.find_runtimes()?.iter().filter(|part| part.runtime.name() == runtime) {
            if let Some(newer) = self.newer_of(part)? {
                found.get_or_insert_with(Vec::new).extend(newer);
            }
        }
        Ok(found)
    }

    fn newer_of(&self, part: &RuntimeInstallation) -> Result<Option<Vec<NewerVersion>>, EnvError> {
        let programs = part.program_folder().map(Path::to_owned);
        let mut session = self.session(programs.into_iter().collect())?;
        let Some(locking) = self.locking(part, &session, RuntimeUpgrade::Nothing)? else { return Ok(None) };
        let scratch = scratch(&self.lock_folder(part));
        let runtime_variables = part.runtime.runtime_variables(&self.lock_location(part, &scratch, &session));
        self.add_variables(&mut session, runtime_variables)?;
        let locks = locking.results.iter().filter(|file| file.kept.is_file());
        let questions: Vec<OutdatedQuery> = locks.filter_map(|file| part.runtime.newer(file)).collect();
        if questions.is_empty() {
            return Ok(None);
        }
        let is_made = |step: &InstallStep| step.cwd.starts_with(&scratch);
        if !questions.iter().flat_map(|question| &question.steps).any(is_made) {
            return query_all(&questions, &session).map(Some);
        }
        remove(&scratch)?;
        let ready = write_files(&scratch, &locking.files).map_err(EnvError::from);
        let newer = ready.and_then(|()| query_all(&questions, &session));
        remove(&scratch)?;
        // An empty folder of locks is removed too.
        let _ = std::fs::remove_dir(&self.run.project.lock_dir);
        newer.map(Some)
    }

    fn lock_runtime(
        &self,
        part: &RuntimeInstallation,
        upgrade: RuntimeUpgrade<'_>,
        written: &mut WrittenLocks,
    ) -> Result<(), EnvError> {
        let programs = part.program_folder().map(Path::to_owned);
        let mut session = self.session(programs.into_iter().collect())?;
        session.programs.allow = vec!["*".to_owned()];
        let folder = self.lock_folder(part);
        let Some(locking) = self.locking(part, &session, upgrade)? else { return Ok(()) };
        let in_place = locking.results.iter().filter(|file| file.made == file.kept);
        written.before.extend(in_place.map(|file| (file.kept.clone(), std::fs::read(&file.kept).ok())));
        let scratch = scratch(&folder);
        remove(&scratch)?;
        let carried_out = self.write_lock(part, &locking, &mut session, &scratch);
        if carried_out.is_ok() {
            written.contents.extend(locking.results.iter().map(|file| std::fs::read(&file.made).ok()));
            written.locks.push(lock(part, &locking, &folder));
        }
        remove(&scratch)?;
        carried_out
    }

    fn write_lock(
        &self,
        part: &RuntimeInstallation,
        locking: &Locking,
        session: &mut CommandSession,
        scratch: &Path,
    ) -> Result<(), EnvError> {
        self.phase(EnvPhase::Install);
        fs_err::create_dir_all(scratch)?;
        let runtime_variables = part.runtime.runtime_variables(&self.lock_location(part, scratch, session));
        self.add_variables(session, runtime_variables)?;
        write_files(scratch, &locking.files)?;
        locking.steps.iter().try_for_each(|step| self.run_steps(part, step, session, StepPurpose::Lock))
    }

    fn locking(
        &self,
        part: &RuntimeInstallation,
        session: &CommandSession,
        upgrade: RuntimeUpgrade<'_>,
    ) -> Result<Option<Locking>, EnvError> {
        let folder = self.lock_folder(part);
        let scratch = scratch(&folder);
        let dependencies = part.requirement.dependencies.get()?;
        let contents = RuntimeInstallRequest {
            location: self.lock_location(part, &scratch, session),
            dependencies: &dependencies,
        };
        part.runtime
            .locking(&RuntimeLockRequest { contents, folder: &folder, upgrade })
            .map_err(|text| self.wrong(part, &text))
    }

    fn lock_location<'a>(
        &'a self,
        part: &'a RuntimeInstallation,
        scratch: &'a Path,
        session: &'a CommandSession,
    ) -> RuntimeLocation<'a> {
        RuntimeLocation { lock: None, ..self.location(part, scratch, session) }
    }

    fn lock_folder(&self, part: &RuntimeInstallation) -> PathBuf {
        locking::folder(&self.run.project.lock_dir, part.runtime.name(), &self.environment.name)
    }
}

fn query_all(questions: &[OutdatedQuery], session: &CommandSession) -> Result<Vec<NewerVersion>, EnvError> {
    let mut newer = Vec::new();
    for question in questions {
        newer.extend(query(question, session)?);
    }
    Ok(newer)
}

/// Queries a tool for newer versions; changes nothing.
fn query(question: &OutdatedQuery, session: &CommandSession) -> Result<Vec<NewerVersion>, EnvError> {
    let mut answers = Vec::with_capacity(question.steps.len());
    let mut asked = String::new();
    let failed =
        |asked: &str, reason: &str| ConfigError::fail(format!("what is newer cannot be known: `{asked}`: {reason}"));
    for step in &question.steps {
        asked = step.argv.join(" ");
        let Some((program, arguments)) = step.argv.split_first() else { continue };
        let mut variables = session.variables.clone();
        step.variables.iter().for_each(|(name, value)| variables.set(name, value));
        let mut spawn = Spawn::new(program, arguments, variables);
        spawn.cwd = Some(step.cwd.clone());
        let (code, out, error) =
            process::finish_or_kill(spawn, &session.interrupt).map_err(|error| failed(&asked, &error.to_string()))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        answers.push(OutdatedOutput { code, out: text(out), error: text(error) });
    }
    Ok((question.read)(&answers).map_err(|reason| failed(&asked, &reason))?)
}

/// A folder next to the lock's own.
fn scratch(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".unfinished-{name}"))
}

fn lock(part: &RuntimeInstallation, locking: &Locking, folder: &Path) -> LanguageLock {
    let files: Vec<PathBuf> = locking.results.iter().map(|file| file.kept.clone()).collect();
    LanguageLock {
        runtime: part.runtime.name(),
        folder: files.iter().any(|file| file.starts_with(folder)).then(|| folder.to_owned()),
        files,
        inputs: locking.inputs.clone(),
    }
}
