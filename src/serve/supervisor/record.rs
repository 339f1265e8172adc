//! Records on disk that services run, so that the next supervisor can end the rest if this one is killed: the
//! mark of their processes, and the identity of the lock. A process is ended only if its mark proves that it
//! is this supervisor's, and the file counts only in its original folder: in a copy of the project it
//! describes the original.

use std::path::{Path, PathBuf};

use crate::serve::client::socket_path;
use crate::serve::private;
use crate::serve::shim::instance_mark;

/// In the state folder.
const FILE: &str = "running";

pub struct SupervisorRecord {
    path: PathBuf,
    mark: String,
    written: bool,
}

impl SupervisorRecord {
    pub fn open(state_dir: &Path, mark: &str) -> Self {
        Self { path: state_dir.join(FILE), mark: mark.to_owned(), written: false }
    }

    /// Records that something runs.
    pub fn started(&mut self) {
        if !self.written {
            self.write();
        }
    }

    fn write(&mut self) {
        let Some((device, inode)) = self.path.parent().and_then(socket_path::lock_id) else { return };
        // A full disk must not keep a service from running.
        let _ = private::replace(&self.path, format!("{} {device} {inode}\n", self.mark).as_bytes());
        self.written = true;
    }

    /// Sets the project's new state folder, with this or another lock.
    pub fn move_to(&mut self, state_dir: &Path) {
        self.path = state_dir.join(FILE);
        if self.written {
            self.write();
        }
    }

    /// Records that nothing runs any more.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.written) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// The mark of a supervisor of this project that was killed.
    pub fn left(state_dir: &Path) -> Option<String> {
        let text = String::from_utf8(private::read(&state_dir.join(FILE))?).ok()?;
        let mut words = text.split_ascii_whitespace();
        let mark = words.next().filter(|mark| instance_mark::is_supervisor(mark))?;
        let lock = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (socket_path::lock_id(state_dir) == Some(lock)).then(|| mark.to_owned())
    }

    /// Removes the record.
    pub fn forget(state_dir: &Path) {
        let _ = std::fs::remove_file(state_dir.join(FILE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_valid_after_a_move_but_not_in_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let [state, moved, copy] = ["state", "moved", "copy"].map(|name| folder.path().join(name));
        for one in [&state, &copy] {
            std::fs::create_dir(one).unwrap();
            std::fs::write(one.join("supervisor.lock"), "7").unwrap();
        }
        let mark = instance_mark::supervisor(&instance_mark::project(&state));
        assert_eq!(SupervisorRecord::left(&state), None);
        let mut record = SupervisorRecord::open(&state, &mark);
        record.started();
        assert_eq!(SupervisorRecord::left(&state).as_ref(), Some(&mark));
        std::fs::copy(state.join(FILE), copy.join(FILE)).unwrap();
        assert_eq!(SupervisorRecord::left(&copy), None);
        std::fs::rename(&state, &moved).unwrap();
        assert_eq!(SupervisorRecord::left(&moved).as_ref(), Some(&mark));
        record.move_to(&moved);
        record.close();
        assert_eq!(SupervisorRecord::left(&moved), None);
    }

    #[test]
    fn a_file_that_names_no_single_supervisor_is_about_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("supervisor.lock"), "").unwrap();
        let (device, inode) = socket_path::lock_id(folder.path()).unwrap();
        for mark in ["", "/", "1", "0123456789abcdef-", "0123456789abcdef-1-2", "0123456789abcdef--/", "../../-1-2/"] {
            std::fs::write(folder.path().join(FILE), format!("{mark} {device} {inode}\n")).unwrap();
            assert_eq!(SupervisorRecord::left(folder.path()), None, "{mark}");
        }
        std::fs::write(folder.path().join(FILE), "4242 99 4242 99 4242 99 db\n").unwrap();
        assert_eq!(SupervisorRecord::left(folder.path()), None);
    }
}
