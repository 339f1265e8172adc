//! Folders that an environment needs and that cannot be: below a file, too long a name, or around the project.

use std::io;
use std::path::{Path, PathBuf};

use crate::env_error::{EnvError, ErrorContext};
use crate::exit_code;
use crate::model::{Environment, ProjectSettings};

/// The longest name that a folder can have on any common file system, in bytes.
const LONGEST_NAME: usize = 255;

/// # Errors
/// When one of the environment's own folders, or of those it is in, cannot be.
pub fn check(environment: &Environment, project: &ProjectSettings) -> Result<(), EnvError> {
    // What is in the place of the environment's folder itself is judged when it is made; a file in the place of the
    // others gives way.
    let parent = |path: &Path| path.parent().unwrap_or(path).to_owned();
    let env_dir = &environment.env_dir;
    let folders: [(&str, &Path, PathBuf); 5] = [
        ("work_dir", &project.work_dir, project.work_dir.clone()),
        ("temp_dir", &project.temp_dir, project.temp_dir.clone()),
        ("env_dir", env_dir, parent(env_dir)),
        ("env_tmp_dir", &environment.tmp_dir, parent(&environment.tmp_dir)),
        ("env_log_dir", &environment.log_dir, parent(&environment.log_dir)),
    ];
    for (key, folder, needed) in &folders {
        check_place(key, folder, needed)?;
    }
    for (key, folder) in [("env_tmp_dir", &environment.tmp_dir), ("env_log_dir", &environment.log_dir)] {
        check_is_own(key, folder, project)?;
    }
    Ok(())
}

/// # Errors
/// When `change_dir` cannot be made a folder.
pub fn check_change_dir(change_dir: &Path) -> Result<(), EnvError> {
    check_place("change_dir", change_dir, change_dir)
}

/// Makes a folder that the setting `key` names.
///
/// # Errors
/// With the setting, when it cannot be made.
pub fn create(key: &str, folder: &Path) -> Result<(), EnvError> {
    check_place(key, folder, folder)?;
    std::fs::create_dir_all(folder).map_err(|error| cannot_create(key, folder, &error))
}

/// The error of the system about a folder that the setting `key` names.
pub fn cannot_create(key: &str, folder: &Path, error: &io::Error) -> EnvError {
    unusable(key, format!("{key} {} cannot be created: {error}", folder.display()))
}

/// `folder` cannot be if `needed`, itself or a folder above it, is something else.
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

/// A folder that every run empties may hold nothing but the environment's own files.
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

/// tox has an internal error here, and ends with this code.
fn unusable(key: &str, text: String) -> EnvError {
    let remedy = "name a folder that can be created, as seen from the project's folder".to_owned();
    EnvError::About(Box::new(ErrorContext {
        halt: EnvError::ExitSaying(exit_code::USAGE, text),
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
            let halt = create("change_dir", &wrong).unwrap_err();
            assert_eq!(halt.verdict().code, exit_code::USAGE);
            assert!(halt.to_string().starts_with("change_dir "), "{halt}");
        }
        for right in [root.path().join("a/b"), root.path().join("x".repeat(LONGEST_NAME))] {
            create("change_dir", &right).unwrap();
            assert!(right.is_dir());
        }
    }
}
