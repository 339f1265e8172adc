//! Remembers which projects keep their services' state elsewhere than in `.tox/.envo`, in the user's state
//! folder, so that services can be found and stopped even if the configuration cannot be read any more.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::model::EnvVariables;
use crate::serve::shim::instance_mark;

/// Remembers the state folder of the project with this root, unless it is the default one.
pub fn remember(variables: &EnvVariables, root: &Path, state_dir: &Path) -> io::Result<()> {
    let Some(record) = record(variables, root) else { return Ok(()) };
    if state_dir == root.join(".tox").join(".envo") {
        return match std::fs::remove_file(record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    fs_err::create_dir_all(record.parent().unwrap_or(root))?;
    fs_err::write(record, state_dir.as_os_str().as_bytes())
}

/// The state folder that was remembered.
pub fn recall(variables: &EnvVariables, root: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(OsString::from_vec(std::fs::read(record(variables, root)?).ok()?));
    path.is_absolute().then_some(path)
}

fn record(variables: &EnvVariables, root: &Path) -> Option<PathBuf> {
    Some(variables.state_folder()?.join("projects").join(instance_mark::project(root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_is_remembered_unless_it_is_the_usual_one() {
        let folder = tempfile::tempdir().unwrap();
        let variables: EnvVariables = [("ENVO_STATE_DIR".into(), folder.path().into())].into_iter().collect();
        let root = Path::new("/project");
        assert_eq!(recall(&variables, root), None);
        remember(&variables, root, Path::new("/elsewhere/.envo")).unwrap();
        assert_eq!(recall(&variables, root), Some("/elsewhere/.envo".into()));
        assert_eq!(recall(&variables, Path::new("/other")), None);
        remember(&variables, root, Path::new("/project/.tox/.envo")).unwrap();
        assert_eq!(recall(&variables, root), None);
        remember(&variables, root, Path::new("/project/.tox/.envo")).unwrap();
    }
}
