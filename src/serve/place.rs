//! Where a project's supervisor is found: a Unix socket in a folder that belongs to the user alone, under a short name
//! made from the project's state folder, so that no project's path is too long; and the lock that keeps a second
//! supervisor away.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::{instance_mark, ports};
use crate::execute::tree;
use crate::model::Variables;

/// What a socket's path may have, its closing zero included, on the systems with the least.
const LONGEST_PATH: usize = 104;

/// In the state folder: held by the supervisor, whose process number is its text.
const LOCK: &str = "supervisor.lock";

/// In the state folder: the path of the socket.
const RECORD: &str = "socket";

#[derive(Debug, Clone)]
pub struct Place {
    /// `.envo` in the work folder, absolute. Logs, ports and the lock are there.
    pub state_dir: PathBuf,
    /// What concerns all projects of the user. `None`: there is no such folder.
    pub user_dir: Option<PathBuf>,
    pub socket: PathBuf,
}

impl Place {
    /// The place of the project whose state is kept in `state_dir`, which is made. `variables`: those this process was
    /// started with.
    ///
    /// # Errors
    /// When a folder cannot be made, or none can be had that nobody else may write to.
    pub fn of(state_dir: &Path, variables: &Variables) -> io::Result<Self> {
        fs_err::create_dir_all(state_dir)?;
        let state_dir = fs_err::canonicalize(state_dir)?;
        let name = format!("{}.socket", instance_mark::project(&state_dir));
        let user_dir = ports::user_folder(variables);
        if let Some(socket) = recorded(&state_dir, &name) {
            return Ok(Self { state_dir, user_dir, socket });
        }
        let mut reason = io::Error::from(io::ErrorKind::NotFound);
        for folder in folders(variables) {
            let socket = folder.join(&name);
            if socket.as_os_str().len() >= LONGEST_PATH {
                continue;
            }
            match private(&folder) {
                Ok(()) => return Ok(Self { state_dir, user_dir, socket }),
                Err(error) => reason = io::Error::new(error.kind(), format!("{}: {error}", folder.display())),
            }
        }
        Err(reason)
    }

    /// A connection to the supervisor; `None` when there is none.
    pub fn connect(&self) -> Option<UnixStream> {
        UnixStream::connect(&self.socket).ok().filter(is_own)
    }

    /// The lock of a supervisor; `None`: somebody has it.
    ///
    /// # Errors
    /// When there can be no such file.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        let path = self.state_dir.join(LOCK);
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?.into_parts().0;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            // On a file system without locks (some network ones) the socket has to do.
            Err(TryLockError::Error(_)) => Ok(Some(file)),
        }
    }

    /// The supervisor's process number, by what it wrote into the lock.
    pub fn supervisor_pid(&self) -> Option<u32> {
        let pid = std::fs::read_to_string(self.state_dir.join(LOCK)).ok()?.trim().parse().ok()?;
        tree::is_running(pid).then_some(pid)
    }

    /// Listens in place of a supervisor that is gone. Only for who has the lock.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(&self) -> io::Result<UnixListener> {
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&self.socket)?;
        // Without it only those find the supervisor who have the same variables.
        let _ = std::fs::write(self.state_dir.join(RECORD), self.socket.as_os_str().as_bytes());
        Ok(listener)
    }
}

/// Where a supervisor listens or has listened, if that may still be so: commands that envo runs have fewer variables than
/// the shell has in which somebody said `envo up`, and should find what that started.
fn recorded(state_dir: &Path, name: &str) -> Option<PathBuf> {
    let socket = PathBuf::from(OsString::from_vec(std::fs::read(state_dir.join(RECORD)).ok()?));
    let is_socket = std::fs::symlink_metadata(&socket).is_ok_and(|metadata| metadata.file_type().is_socket());
    let named = socket.is_absolute() && socket.file_name().is_some_and(|own| own == name);
    let is_safe = || socket.parent().is_some_and(|folder| private(folder).is_ok());
    (named && is_socket && is_safe()).then_some(socket)
}

/// Whether the other end belongs to the user this process runs as.
pub fn is_own(stream: &UnixStream) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid());
    // Elsewhere the folder has to do, which nobody else can enter.
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        true
    }
}

/// Where the socket may be, the best first.
fn folders(variables: &Variables) -> Vec<PathBuf> {
    let named = |name| variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = rustix::process::geteuid().as_raw();
    let runtime = named("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()).map(|path| path.join("envo"));
    let temporary = named("TMPDIR").filter(|path| path.is_absolute());
    let below = |path: PathBuf| path.join(format!("envo-{user}"));
    runtime.into_iter().chain(temporary.map(below)).chain([below("/tmp".into())]).collect()
}

/// Makes a folder that belongs to the user alone, or finds that it is one.
fn private(folder: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = std::fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is somebody else's"));
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(runtime: &Path) -> Variables {
        [("XDG_RUNTIME_DIR".into(), runtime.into())].into_iter().collect()
    }

    #[test]
    fn the_socket_is_in_a_private_folder_and_has_a_short_name_whatever_the_project_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(200)).join("y".repeat(200));
        let place = Place::of(&long, &variables(folder.path())).unwrap();
        assert!(place.socket.starts_with(folder.path().join("envo")));
        assert_eq!(std::fs::metadata(folder.path().join("envo")).unwrap().mode() & 0o777, 0o700);
        let _listener = place.listen().unwrap();
        assert!(place.connect().is_some());
        let other = Place::of(&folder.path().join("other"), &variables(folder.path())).unwrap();
        assert_ne!(other.socket, place.socket);
        assert!(other.connect().is_none());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_closed_and_one_that_is_no_folder_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("envo");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        private(&open).unwrap();
        assert_eq!(std::fs::metadata(&open).unwrap().mode() & 0o777, 0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert_eq!(private(&link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_runtime_folder_with_too_long_a_path_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(120));
        let place = Place::of(&folder.path().join("state"), &variables(&long)).unwrap();
        assert!(!place.socket.starts_with(folder.path()), "{place:?}");
    }

    #[test]
    fn who_has_other_variables_finds_the_socket_as_long_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (state, other) = (folder.path().join("state"), folder.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        let place = Place::of(&state, &variables(folder.path())).unwrap();
        let _listener = place.listen().unwrap();
        assert_eq!(Place::of(&state, &variables(&other)).unwrap().socket, place.socket);
        std::fs::remove_file(&place.socket).unwrap();
        assert!(Place::of(&state, &variables(&other)).unwrap().socket.starts_with(&other));
        // A record of something else is none.
        std::fs::write(state.join(RECORD), "/etc/passwd").unwrap();
        assert!(Place::of(&state, &variables(&other)).unwrap().socket.starts_with(&other));
    }

    #[test]
    fn only_one_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(&folder.path().join("state"), &variables(folder.path())).unwrap();
        let lock = place.try_lock().unwrap().unwrap();
        assert!(place.try_lock().unwrap().is_none());
        // A process that another test is just starting has it open as well.
        lock.unlock().unwrap();
        assert!(place.try_lock().unwrap().is_some());
    }
}
