//! Follows the project when its folder is renamed or moved while services run.

use std::path::{Path, PathBuf};

use crate::serve::private;
use crate::serve::supervisor::Supervisor;

impl Supervisor {
    /// Whether this is the supervisor of the project with the state folder `state_dir`, which may have been
    /// moved there: it has the lock in that folder, or takes it if its own was deleted. A copy of the project
    /// has another lock.
    pub(super) fn is_of(&mut self, state_dir: &Path) -> bool {
        if self.project.claim.is_in(state_dir) {
            // A folder can have several paths.
            if state_dir != self.project.state_dir && !self.project.claim.is_in(&self.project.state_dir) {
                self.move_to(state_dir);
            }
            return true;
        }
        let is_taken = state_dir.is_absolute() && self.project.claim.renew_in(state_dir);
        if is_taken {
            self.move_to(state_dir);
        }
        is_taken
    }

    fn move_to(&mut self, state_dir: &Path) {
        let (from, to) = moved(&self.project.state_dir, state_dir);
        self.project.left_behind.push(from);
        self.project.left_behind.retain(|folder| *folder != to);
        self.project.state_dir = state_dir.to_path_buf();
        self.project.log_dir = state_dir.join("log");
        // It is created again when a log is written.
        let _ = private::log_folder(&self.project.log_dir);
        self.project.record.move_to(state_dir);
        self.project.jobs.move_to(state_dir);
    }

    /// Refuses to start a service with a definition from before the project was moved, which would create the
    /// old folder again.
    pub fn ensure_not_left_behind(&self, cwd: &Path) -> Result<(), String> {
        match self.project.left_behind.iter().find(|folder| cwd.starts_with(folder) && !cwd.exists()) {
            None => Ok(()),
            Some(folder) => Err(format!(
                "the project is no longer in {}: `envo up` starts its services at the new location",
                folder.display()
            )),
        }
    }
}

/// The folder that was moved, from its state folder before and after: the project, or only its work folder.
fn moved(before: &Path, after: &Path) -> (PathBuf, PathBuf) {
    let (mut from, mut to) = (before, after);
    for _ in 0..2 {
        if let (Some(one), Some(other)) = (from.parent(), to.parent())
            && from.file_name() == to.file_name()
        {
            (from, to) = (one, other);
        }
    }
    (from.to_path_buf(), to.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moved_folder_is_the_project_or_its_work_folder() {
        let of = |before: &str, after: &str| moved(Path::new(before), Path::new(after));
        let both = |one: &str, other: &str| (PathBuf::from(one), PathBuf::from(other));
        assert_eq!(of("/a/one/.tox/.envo", "/a/two/.tox/.envo"), both("/a/one", "/a/two"));
        assert_eq!(of("/a/one/.tox/.envo", "/b/one/.tox/.envo"), both("/a/one", "/b/one"));
        assert_eq!(of("/var/one/.envo", "/var/two/.envo"), both("/var/one", "/var/two"));
        assert_eq!(of("/.envo", "/.envo"), both("/", "/"));
    }
}
