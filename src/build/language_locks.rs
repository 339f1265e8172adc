//! Writes the locks of the languages that are not Python's, each by its own tools, and knows what they depend on.

use std::path::{Path, PathBuf};

use super::halt::Halt;
use super::language_steps::Work;
use super::languages::{Part, remove, write_files};
use super::prepare::Site;
use crate::execute::session::Session;
use crate::report::event::Phase;
use crate::runtime::locking::{self, LockRequest, Locking, Upgrade};
use crate::runtime::{Place, Request};

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

impl Site {
    /// The locks that belong to the environment, without looking for a program or writing anything.
    ///
    /// # Errors
    /// What is wrong with the project's files or the settings.
    pub fn language_locks(&self) -> Result<Vec<LanguageLock>, Halt> {
        let session = self.session(Vec::new())?;
        let mut locks = Vec::new();
        for part in self.languages_without_programs()? {
            let folder = self.lock_folder(&part);
            locks
                .extend(self.locking(&part, &session, Upgrade::Nothing)?.map(|locking| lock(&part, &locking, &folder)));
        }
        Ok(locks)
    }

    /// Writes them, each whole or not at all.
    ///
    /// # Errors
    /// As [`Site::language_locks`]; when a program is missing or fails.
    pub fn lock_languages(&self, upgrade: Upgrade<'_>) -> Result<Vec<LanguageLock>, Halt> {
        let mut locks = Vec::new();
        for part in self.find_languages()? {
            let programs = part.program_folder().map(Path::to_owned);
            let mut session = self.session(programs.into_iter().collect())?;
            session.allow = vec!["*".to_owned()];
            let folder = self.lock_folder(&part);
            let Some(locking) = self.locking(&part, &session, upgrade)? else { continue };
            let scratch = scratch(&folder);
            remove(&scratch)?;
            let result = self.write_lock(&part, &locking, &mut session, &scratch);
            remove(&scratch)?;
            result?;
            locks.push(lock(&part, &locking, &folder));
        }
        Ok(locks)
    }

    fn write_lock(&self, part: &Part, locking: &Locking, session: &mut Session, scratch: &Path) -> Result<(), Halt> {
        self.phase(Phase::Install);
        fs_err::create_dir_all(scratch)?;
        let surroundings = part.runtime.surroundings(&self.lock_place(part, scratch, session));
        self.surround(session, surroundings)?;
        write_files(scratch, &locking.files)?;
        // What is written where it belongs is put back unless all of it succeeds.
        let in_place = locking.results.iter().filter(|file| file.made == file.kept);
        let before: Vec<(&Path, Option<Vec<u8>>)> =
            in_place.map(|file| (file.kept.as_path(), std::fs::read(&file.kept).ok())).collect();
        let carried_out = locking.steps.iter().try_for_each(|step| self.carry_out(part, step, session, Work::Lock));
        if let Err(halt) = carried_out {
            for (path, content) in before {
                match content {
                    Some(content) if std::fs::read(path).ok().as_ref() != Some(&content) => {
                        crate::runtime::cache::write_atomically(path, &content)?;
                    }
                    Some(_) => {}
                    None => drop(std::fs::remove_file(path)),
                }
            }
            return Err(halt);
        }
        // A file that no tool wrote, such as the sums of a module without dependencies, belongs to no lock any more.
        for file in locking.results.iter().filter(|file| file.made != file.kept) {
            match std::fs::read(&file.made) {
                Ok(content) if std::fs::read(&file.kept).is_ok_and(|old| old == content) => {}
                Ok(content) => crate::runtime::cache::write_atomically(&file.kept, &content)?,
                Err(_) => drop(std::fs::remove_file(&file.kept)),
            }
        }
        Ok(())
    }

    fn locking(&self, part: &Part, session: &Session, upgrade: Upgrade<'_>) -> Result<Option<Locking>, Halt> {
        let folder = self.lock_folder(part);
        let scratch = scratch(&folder);
        let dependencies = part.wish.dependencies.get()?;
        let contents = Request { place: self.lock_place(part, &scratch, session), dependencies: &dependencies };
        part.runtime
            .locking(&LockRequest { contents, folder: &folder, upgrade })
            .map_err(|text| self.wrong(part, &text))
    }

    fn lock_place<'a>(&'a self, part: &'a Part, scratch: &'a Path, session: &'a Session) -> Place<'a> {
        Place { lock: None, ..self.place(part, scratch, session) }
    }

    fn lock_folder(&self, part: &Part) -> PathBuf {
        locking::folder(&self.run.project.lock_dir, part.runtime.name(), &self.environment.name)
    }
}

/// Beside the lock's own folder.
fn scratch(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".unfinished-{name}"))
}

fn lock(part: &Part, locking: &Locking, folder: &Path) -> LanguageLock {
    let files: Vec<PathBuf> = locking.results.iter().map(|file| file.kept.clone()).collect();
    LanguageLock {
        runtime: part.runtime.name(),
        folder: files.iter().any(|file| file.starts_with(folder)).then(|| folder.to_owned()),
        files,
        inputs: locking.inputs.clone(),
    }
}
