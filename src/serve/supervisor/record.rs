//! Which processes a supervisor has started, on disk, for the next one to find should this one be killed: a line for
//! each start, with the time each process was started, so that a number that was given away again is known as such.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::execute::tree;

/// In the state folder.
const FILE: &str = "running";

pub struct Record {
    path: PathBuf,
    file: Option<File>,
}

impl Record {
    pub fn open(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE), file: None }
    }

    /// `processes`: its first process, its shim and the keeper.
    pub fn started(&mut self, name: &str, processes: [u32; 3]) {
        if self.file.is_none() {
            self.file = File::create(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return };
        let pairs = processes.map(|pid| format!("{pid} {} ", tree::start_time(pid).unwrap_or_default()));
        // A disk that is full keeps no service from running; its processes can be told by their mark as well.
        let _ = writeln!(file, "{}{name}", pairs.concat());
    }

    /// Nothing runs any more.
    pub fn close(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Whether a supervisor has left without an end, and the shims, first processes and keepers it had then, each with the
    /// time of its start.
    pub fn left(state_dir: &Path) -> Option<Vec<(u32, u64)>> {
        let text = std::fs::read_to_string(state_dir.join(FILE)).ok()?;
        let pair = |one: Option<&str>, other: Option<&str>| Some((one?.parse().ok()?, other?.parse().ok()?));
        let pairs = text.lines().flat_map(|line| {
            let mut words = line.split(' ');
            [(); 3].map(|()| pair(words.next(), words.next()))
        });
        Some(pairs.flatten().filter(|(pid, time)| *pid > 1 && *time > 0).collect())
    }

    /// Forgets what was left.
    pub fn forget(state_dir: &Path) {
        let _ = std::fs::remove_file(state_dir.join(FILE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_is_known_to_the_next_unless_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::left(folder.path()), None);
        let own = std::process::id();
        let mut record = Record::open(folder.path());
        record.started("a b", [own; 3]);
        let time = tree::start_time(own).unwrap();
        assert_eq!(Record::left(folder.path()), Some(vec![(own, time); 3]));
        record.close();
        assert_eq!(Record::left(folder.path()), None);
        std::fs::write(folder.path().join(FILE), "nonsense\n1 5 0 0\n7 8 x\n").unwrap();
        assert_eq!(Record::left(folder.path()), Some(vec![(7, 8)]));
    }
}
