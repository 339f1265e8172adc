//! Rejects folders of an environment that cannot be created: below a file, with too long a name, or containing the
//! project.

use std::io;
use std::path::{Path, PathBuf};

use crate::env_error::{EnvError, ErrorContext};
use crate::exit_code;
use crate::model::{Environment, ProjectSettings};

/// The longest folder name on common file systems, in bytes.
const LONGEST_NAME: usize = 255;

/// # Errors
/// If one of the environment's own folders, or one of their parents, cannot be created.
pub fn check(environment: &Environment, project: &ProjectSettings) -> Result<(), EnvError> {
    // The environment's own path is checked when it is created; a file at one of the other paths is replaced.
    let parent = |path: &Path| path.parent().unwrap_or(path).to_owned();
    let env_dir = &environment.folders.env_dir;
    let folders: [(&str, &Path, PathBuf); 5] = [
        ("work_dir", &project.work_dir, project.work_dir.clone()),
        ("temp_dir", &project.temp_dir, project.temp_dir.clone()),
        ("env_dir", env_dir, parent(env_dir)),
        ("env_tmp_dir", &environment.folders.tmp_dir, parent(&environment.folders.tmp_dir)),
        ("env_log_dir", &environment.folders.log_dir, parent(&environment.folders.log_dir)),
    ];
    for (key, folder, needed) in &folders {
        check_place(key, folder, needed)?;
    }
    for (key, folder) in [("env_tmp_dir", &environment.folders.tmp_dir), ("env_log_dir", &environment.folders.log_dir)]
    {
        check_is_own(key, folder, project)?;
    }
    Ok(())
}

/// # Errors
/// If `change_dir` cannot be created.
pub fn check_change_dir(change_dir: &Path) -> Result<(), EnvError> {
    check_place("change_dir", change_dir, change_dir)
}

/// Creates the folder that the setting `key` names.
///
/// # Errors
/// Names the setting if the folder cannot be created.
pub fn create(key: &str, folder: &Path) -> Result<(), EnvError> {
    check_place(key, folder, folder)?;
    std::fs::create_dir_all(folder).map_err(|error| cannot_create(key, folder, &error))
}

/// The system's error about the folder that the setting `key` names.
pub fn cannot_create(key: &str, folder: &Path, error: &io::Error) -> EnvError {
    unusable(key, format!("{key} {} cannot be created: {error}", folder.display()))
}

/// Fails if `needed`, which is `folder` or one of its parents, is not a folder.
fn check_place(key: &str, folder: &Path, needed: &Path) -> Result<(), EnvError> {
    if let Some(name) = folder.iter().find(|name| name.len() > LONGEST_NAME) {
        let text = format!("{key} cannot be created: a name in it has {} bytes, more than {LONGEST_NAME}", name.len());
        return Err(unusable(key, text));
    }
    let there = needed.ancestors().find(|path| path.exists());
    let Some(file) = there.filter(|path| !path.is_dir()) else { return Ok(()) };
    let (shown, file) = (folder.display(), file.display());
    Err(unusable(key, format!("{key} {shown} cannot be created: {file} is a file")))
}

/// A folder that every run empties must contain only the environment's own files.
fn check_is_own(key: &str, folder: &Path, project: &ProjectSettings) -> Result<(), EnvError> {
    let Ok(emptied) = fs_err::canonicalize(folder) else { return Ok(()) };
    for (what, held) in [("the project", &project.root), ("the work folder", &project.work_dir)] {
        if fs_err::canonicalize(held).is_ok_and(|held| held.starts_with(&emptied)) {
            let text = format!("{key} {} holds {what}, and would be emptied by every run", folder.display());
            return Err(EnvError::Fail(text).about(key, "name a folder of the environment's own, as the default does"));
        }
    }
    Ok(())
}

/// tox has an internal error here and exits with this code.
fn unusable(key: &str, text: String) -> EnvError {
    let remedy = "name a folder that can be created, as seen from the project's folder".to_owned();
    EnvError::About(Box::new(ErrorContext {
        error: EnvError::ExitSaying(exit_code::USAGE, text),
        key: key.to_owned(),
        remedy,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_below_files_and_with_endless_names_cannot_be() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let long = root.path().join("x".repeat(LONGEST_NAME + 1));
        for wrong in [file.clone(), file.join("below/further"), long] {
            let error = create("change_dir", &wrong).unwrap_err();
            assert_eq!(error.verdict().code, exit_code::USAGE);
            assert!(error.to_string().starts_with("change_dir "), "{error}");
        }
        for right in [root.path().join("a/b"), root.path().join("x".repeat(LONGEST_NAME))] {
            create("change_dir", &right).unwrap();
            assert!(right.is_dir());
        }
    }
}
