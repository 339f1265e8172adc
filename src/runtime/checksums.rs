//! Detects damage in folders of the cache by a record with the size and checksum of every file, so that damaged
//! contents are fetched again. While files are unmodified since the record was made, only their metadata is checked.
//! Guards against accidents only: a user who may write to the cache may write the record too.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::runtime::cache;

pub const FILE_NAME: &str = "checksums.json";

/// From this size on, a file is synced to disk later, with the others.
const WORTH_WAITING_FOR: u64 = 1 << 20;

/// Modified, changed (each in seconds and nanoseconds), inode.
type State = (i64, i64, i64, i64, u64);

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    size: u64,
    checksum: u32,
    mode: u32,
    /// The state in which the content was last verified.
    state: State,
}

/// Keyed by the path below the folder.
type Record = BTreeMap<PathBuf, Entry>;

/// Whether the folder has a record and every file matches it. A file that was only touched, copied or given another
/// mode still matches; its mode is restored.
pub fn hold(folder: &Path) -> bool {
    let Some(mut record) = read(folder) else { return false };
    let mut changed = false;
    for (name, entry) in &mut record {
        match entry.check(&folder.join(name)) {
            Ok(is_new) => changed |= is_new,
            Err(_) => return false,
        }
    }
    if changed {
        // If it cannot be written, the contents are read again next time.
        let _ = cache::write(&folder.join(FILE_NAME), &record);
    }
    true
}

/// Records a complete folder and moves it to its final name, replacing a damaged one.
pub fn publish(unfinished: &Path, location: &Path) -> io::Result<()> {
    fs::set_permissions(unfinished, fs::Permissions::from_mode(0o755))?;
    write(unfinished)?;
    let Err(error) = fs::rename(unfinished, location) else { return Ok(()) };
    if hold(location) {
        // Another process was faster.
        return Ok(());
    }
    let old = unfinished.with_extension("old");
    fs::rename(location, &old).map_err(|_| error)?;
    let result = fs::rename(unfinished, location);
    let _ = fs::remove_dir_all(old);
    result
}

fn read(folder: &Path) -> Option<Record> {
    let record: Record = cache::read(&folder.join(FILE_NAME))?;
    // A record not written by this module could name any path.
    (!record.is_empty() && record.keys().all(|name| name.is_relative())).then_some(record)
}

/// Syncs large files before their record. After a crash, small ones are complete or missing, which their size shows.
fn write(folder: &Path) -> io::Result<()> {
    let mut record = Record::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
            let kind = entry?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let file = File::open(&path)?;
                let entry = Entry::of(&file)?;
                if entry.size >= WORTH_WAITING_FOR {
                    file.sync_data()?;
                }
                record.insert(path.strip_prefix(folder).unwrap_or(&path).to_owned(), entry);
            }
        }
    }
    cache::write(&folder.join(FILE_NAME), &record)
}

impl Entry {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let checksum = checksum(file)?;
        Ok(Self { size: metadata.len(), checksum, mode: mode(&metadata), state: state(&metadata) })
    }

    /// Whether the file's content had to be read to verify it.
    fn check(&mut self, path: &Path) -> io::Result<bool> {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_file() || metadata.len() != self.size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if state(&metadata) == self.state {
            return Ok(false);
        }
        if mode(&metadata) != self.mode {
            fs::set_permissions(path, fs::Permissions::from_mode(self.mode))?;
        }
        let now = Self::of(&File::open(path)?)?;
        if (now.size, now.checksum) != (self.size, self.checksum) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        *self = now;
        Ok(true)
    }
}

fn state(metadata: &Metadata) -> State {
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec(), metadata.ino())
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o777
}

fn checksum(mut file: &File) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "the content of a program";

    type Damage = (&'static str, fn(&Path));

    fn unfinished(root: &Path) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(root).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/program"), CONTENT).unwrap();
        fs::set_permissions(folder.path().join("bin/program"), fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn published(root: &Path) -> PathBuf {
        publish(unfinished(root).path(), &root.join("1.0")).unwrap();
        root.join("1.0")
    }

    #[test]
    fn whatever_damages_a_file_is_noticed_and_replaced() {
        let damages: [Damage; 6] = [
            ("truncated", |file| fs::write(file, &CONTENT[..9]).unwrap()),
            ("emptied", |file| fs::write(file, "").unwrap()),
            ("edited", |file| fs::write(file, CONTENT.to_uppercase()).unwrap()),
            ("edited, with its old time", |file| {
                let modified = fs::metadata(file).unwrap().modified().unwrap();
                fs::write(file, CONTENT.to_uppercase()).unwrap();
                File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
            }),
            ("removed", |file| fs::remove_file(file).unwrap()),
            ("replaced by a link", |file| {
                fs::remove_file(file).unwrap();
                std::os::unix::fs::symlink("/dev/null", file).unwrap();
            }),
        ];
        for (name, damage) in damages {
            let root = tempfile::tempdir().unwrap();
            let location = published(root.path());
            assert!(hold(&location), "{name}");
            damage(&location.join("bin/program"));
            assert!(!hold(&location), "{name}");
            published(root.path());
            assert!(hold(&location), "{name}");
            assert_eq!(fs::read_to_string(location.join("bin/program")).unwrap(), CONTENT);
            let left = fs::read_dir(root.path()).unwrap().count();
            assert_eq!(left, 1, "{name}: something was left behind");
        }
    }

    #[test]
    fn a_file_that_only_looks_changed_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        let location = published(root.path());
        let program = location.join("bin/program");
        File::options().write(true).open(&program).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(hold(&location));
        let metadata = fs::metadata(&program).unwrap();
        assert_eq!(mode(&metadata), 0o755);
        assert_eq!(read(&location).unwrap()[Path::new("bin/program")].state, state(&metadata));
    }

    #[test]
    fn a_folder_without_a_readable_record_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let location = published(root.path());
        let file = location.join(FILE_NAME);
        for record in ["", "{", "{}", "{}\n00000000"] {
            fs::write(&file, record).unwrap();
            assert!(!hold(&location), "{record}");
        }
        cache::write(&file, &Record::new()).unwrap();
        assert!(!hold(&location), "an empty record says nothing");
        let outside = root.path().join("outside");
        fs::write(&outside, CONTENT).unwrap();
        let entry = Entry::of(&File::open(&outside).unwrap()).unwrap();
        cache::write(&file, &Record::from([(outside, entry)])).unwrap();
        assert!(!hold(&location), "a record of what lies elsewhere");
        fs::remove_file(location.join(FILE_NAME)).unwrap();
        assert!(!hold(&location));
    }

    #[test]
    fn the_first_of_several_processes_wins() {
        let root = tempfile::tempdir().unwrap();
        let location = published(root.path());
        let inode = fs::metadata(&location).unwrap().ino();
        published(root.path());
        assert_eq!(fs::metadata(&location).unwrap().ino(), inode);
    }
}
