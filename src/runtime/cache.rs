//! Manages envo's cache folder, shared by all projects: facts about interpreters, unpacked wheels, envo's own tools.
//! Everything in it can be recreated; nothing may depend on it being writable.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::digest::hexadecimal;
use crate::model::EnvVariables;

/// `ENVO_CACHE_DIR`, else `$XDG_CACHE_HOME/envo`, else `~/.cache/envo`; `None` if none of them is an absolute path.
pub fn folder(variables: &EnvVariables) -> Option<PathBuf> {
    let absolute = |name: &str| variables.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("ENVO_CACHE_DIR")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("envo")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache").join("envo")))
}

/// A short name derived from `parts`, for a file or folder of the cache.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hexadecimal(&digest.finalize()[..12])
}

/// Writes a file atomically: others see the old content or the new.
pub fn write_atomically(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = crate::scratch::file_in(folder, ".tmp", 0o600)?;
    file.write_all(content)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Reads a value that [`write()`] stored; `None` if the file is missing or damaged.
pub fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let content = std::fs::read(file).ok()?;
    let (json, checksum) = content.split_last_chunk()?;
    (*checksum == self::checksum(json)).then(|| serde_json::from_slice(json).ok())?
}

/// Stores a value in a file with a checksum. Most values can be determined again, so callers may ignore errors.
pub fn write<T: Serialize>(file: &Path, value: &T) -> std::io::Result<()> {
    let mut content = serde_json::to_vec(value)?;
    content.push(b'\n');
    content.extend_from_slice(&checksum(&content));
    write_atomically(file, &content)
}

fn checksum(content: &[u8]) -> [u8; 8] {
    let hash = crc32fast::hash(content);
    std::array::from_fn(|index| b"0123456789abcdef"[(hash >> (28 - 4 * index)) as usize & 15])
}

/// Creates a folder and checks that this many bytes can be written to it: a disk may be full, a quota used up, a file
/// system read-only. Succeeds where that cannot be checked in advance.
pub fn check_room(folder: &Path, bytes: u64) -> std::io::Result<()> {
    use rustix::io::Errno;
    std::fs::create_dir_all(folder)?;
    let file = tempfile::tempfile_in(folder)?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(errno.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(pairs: &[(&str, &str)]) -> Option<PathBuf> {
        folder(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn the_folder_is_the_first_absolute_one_that_is_named() {
        let home = ("HOME", "/h");
        assert_eq!(folder_with(&[home]), Some("/h/.cache/envo".into()));
        assert_eq!(folder_with(&[home, ("XDG_CACHE_HOME", "/x")]), Some("/x/envo".into()));
        assert_eq!(folder_with(&[home, ("XDG_CACHE_HOME", "x")]), Some("/h/.cache/envo".into()));
        assert_eq!(folder_with(&[home, ("XDG_CACHE_HOME", "/x"), ("ENVO_CACHE_DIR", "/e")]), Some("/e".into()));
        assert_eq!(folder_with(&[]), None);
    }

    #[test]
    fn what_is_kept_is_read_only_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/file.json");
        assert_eq!(read::<Vec<u32>>(&file), None);
        write(&file, &vec![3, 11]).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("[3,11]\n{:08x}", crc32fast::hash(b"[3,11]\n")));
        assert_eq!(read::<Vec<u32>>(&file), Some(vec![3, 11]));
        let whole = std::fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] = if other[at] == b'2' { b'1' } else { b'2' };
            std::fs::write(&file, other).unwrap();
            assert_eq!(read::<Vec<u32>>(&file), None, "{at}");
            std::fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(read::<Vec<u32>>(&file), None, "{at}");
        }
    }

    #[test]
    fn a_folder_without_room_is_noticed_before_it_is_written_to() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        check_room(&folder, 1 << 16).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        assert!(check_room(&folder, 1 << 62).is_err());
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(check_room(&root.path().join("file"), 1).is_err());
        assert!(check_room(&root.path().join("file/below"), 1).is_err());
    }

    #[test]
    fn keys_tell_parts_apart() {
        let parts = |parts: &[&str]| key(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(parts(&["ab", "c"]), parts(&["a", "bc"]));
        assert_eq!(parts(&["ab", "c"]), parts(&["ab", "c"]));
    }
}
