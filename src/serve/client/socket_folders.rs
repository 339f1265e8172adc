//! The folders for the sockets of supervisors: each belongs to the user alone, and its path is short enough
//! for a socket.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::EnvVariables;

/// Folders for the socket, in order of preference.
pub fn folders(variables: &EnvVariables) -> Vec<PathBuf> {
    let named = |name| variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let runtime = named("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()).map(|path| path.join("envo"));
    let temporary = named("TMPDIR").filter(|path| path.is_absolute());
    runtime.into_iter().chain(temporary.map(temporary_folder)).chain([temporary_folder("/tmp".into())]).collect()
}

pub fn temporary_folder(temporary: PathBuf) -> PathBuf {
    temporary.join(own_name())
}

/// The name of the user's folder for sockets in a shared folder.
pub fn own_name() -> String {
    format!("envo-{}", rustix::process::geteuid().as_raw())
}

/// A new folder for one socket, with a name that cannot be taken beforehand.
pub fn folder_apart() -> io::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix(&format!("{}-", own_name())).tempdir_in("/tmp")?.keep())
}

pub fn is_apart(folder: &Path) -> bool {
    let name = folder.file_name().and_then(std::ffi::OsStr::to_str);
    name.and_then(|name| name.strip_prefix(&own_name())).is_some_and(|rest| rest.starts_with('-'))
}
