//! Has the locks of the languages that are not Python's written, each by its own tools, and knows what they depend on. What
//! they wrote counts only once everything could be locked.

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

/// The lock of one language in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageLock {
    pub runtime: &'static str,
    /// Its files, where they belong; not all of them need to exist.
    pub files: Vec<PathBuf>,
    /// Everything it depends on: when these are the same, it holds.
    pub inputs: Vec<String>,
    /// Where the lock of the environment's own dependencies is, for [`crate::model::runtime::RuntimeWish::lock`]; `None`
    /// when it is only the manifest's.
    pub folder: Option<PathBuf>,
}

/// What the tools of an environment's languages wrote, which does not count before it is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenLocks {
    locks: Vec<LanguageLock>,
    /// Those of the files of `locks`, in their order; `None` where no tool wrote one.
    contents: Vec<Option<Vec<u8>>>,
    /// The files that a tool writes nowhere but where they belong, as they were.
    before: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl WrittenLocks {
    /// The same as `locks` of an environment of which the same was asked.
    pub fn shared_with(&self, locks: Vec<LanguageLock>) -> Self {
        Self { locks, contents: self.contents.clone(), before: Vec::new() }
    }

    /// Puts every file where it belongs, each whole or not at all.
    pub fn publish(self) -> std::io::Result<()> {
        let files = self.locks.iter().flat_map(|lock| &lock.files);
        for (file, content) in files.zip(&self.contents) {
            restore(file, content.as_deref())?;
        }
        Ok(())
    }

    /// Leaves every file as it was.
    pub fn give_up(&self) {
        for (file, content) in &self.before {
            // What cannot be put back is in the hands of version control.
            let _ = restore(file, content.as_deref());
        }
    }
}

/// Has `file` hold this content; `None`: not be there. A file that no tool wrote, such as the sums of a module without
/// dependencies, belongs to no lock any more.
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
    /// The locks that belong to the environment, without looking for a program or writing anything.
    pub fn language_locks(&self) -> Result<Vec<LanguageLock>, EnvError> {
        let session = self.session(Vec::new())?;
        let mut locks = Vec::new();
        for part in self.languages_without_programs()? {
            let folder = self.lock_folder(&part);
            locks.extend(
                self.locking(&part, &session, RuntimeUpgrade::Nothing)?.map(|locking| lock(&part, &locking, &folder)),
            );
        }
        Ok(locks)
    }

    /// What the tools would be asked, as a text without the environment's name and folders in it: where it is the same for
    /// two environments, so are their locks. `None` when it differs from every other, as where a tool writes a lock beside
    /// the project's manifest.
    pub fn language_question(&self, upgrade: RuntimeUpgrade<'_>) -> Result<Option<String>, EnvError> {
        let session = self.session(Vec::new())?;
        let mut question = String::new();
        for part in self.languages_without_programs()? {
            let (folder, wish) = (self.lock_folder(&part), &part.wish);
            let Some(locking) = self.locking(&part, &session, upgrade)? else { continue };
            if locking.results.iter().any(|file| !file.kept.starts_with(&folder)) {
                return Ok(None);
            }
            let asked = format!("{:?}", (&wish.name, &wish.version, &wish.factor, wish.install, &locking));
            let scratch = scratch(&folder).display().to_string();
            question.push_str(&asked.replace(&scratch, "<scratch>").replace(&folder.display().to_string(), "<folder>"));
        }
        let own = ["TOX_ENV_NAME", "TOX_ENV_DIR", "VIRTUAL_ENV"].map(std::ffi::OsStr::new);
        let variables: Vec<_> = session.variables.iter().filter(|(name, _)| !own.contains(name)).collect();
        let env_dir = self.environment.env_dir.display().to_string();
        question.push_str(&format!("{variables:?}").replace(&env_dir, "<environment>"));
        Ok(Some(question))
    }

    /// Has the tools write them, each beside the place where it belongs wherever the tool can do so.
    ///
    /// # Errors
    /// As [`Site::language_locks`]; when a program is missing or fails. Then every file is as it was.
    pub fn lock_languages(&self, upgrade: RuntimeUpgrade<'_>) -> Result<WrittenLocks, EnvError> {
        let mut written = WrittenLocks::default();
        for part in self.find_languages()? {
            if let Err(halt) = self.lock_language(&part, upgrade, &mut written) {
                written.give_up();
                return Err(halt);
            }
        }
        Ok(written)
    }

    /// Which packages in the locks of `runtime` have newer versions, as its tool says; `None` when it cannot say.
    pub fn newer(&self, runtime: &str) -> Result<Option<Vec<NewerVersion>>, EnvError> {
        let mut found = None;
        for part in self.find_languages()?.iter().filter(|part| part.runtime.name() == runtime) {
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
        let surroundings = part.runtime.surroundings(&self.lock_location(part, &scratch, &session));
        self.surround(&mut session, surroundings)?;
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
        // The folder of locks goes, too, when nothing else is there.
        let _ = std::fs::remove_dir(&self.run.project.lock_dir);
        newer.map(Some)
    }

    fn lock_language(
        &self,
        part: &RuntimeInstallation,
        upgrade: RuntimeUpgrade<'_>,
        written: &mut WrittenLocks,
    ) -> Result<(), EnvError> {
        let programs = part.program_folder().map(Path::to_owned);
        let mut session = self.session(programs.into_iter().collect())?;
        session.allow = vec!["*".to_owned()];
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
        let surroundings = part.runtime.surroundings(&self.lock_location(part, scratch, session));
        self.surround(session, surroundings)?;
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
        let dependencies = part.wish.dependencies.get()?;
        let contents =
            RuntimeInstallRequest { place: self.lock_location(part, &scratch, session), dependencies: &dependencies };
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
        RuntimeLocation { lock: None, ..self.place(part, scratch, session) }
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

/// Asks a tool about what is newer, which changes nothing.
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

/// Beside the lock's own folder.
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
