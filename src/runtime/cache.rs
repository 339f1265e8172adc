//! The folder in which runtimes keep what is the same for every project: facts about interpreters, unpacked wheels,
//! tools of envo's own. Everything in it can be made again; nothing depends on it being writable.

use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::Variables;

/// `ENVO_CACHE_DIR`, else `$XDG_CACHE_HOME/envo`, else `~/.cache/envo`; `None` when none of them is an absolute path.
pub fn folder(variables: &Variables) -> Option<PathBuf> {
    let absolute = |name: &str| variables.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("ENVO_CACHE_DIR")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("envo")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache").join("envo")))
}

/// A short name for what `parts` say, for a file or folder of the cache.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file whole or not at all: others see the old content or the new.
///
/// # Errors
/// When the folder cannot be made or written to.
pub fn write_atomically(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path).map(drop).map_err(|error| error.error)
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
    fn keys_tell_parts_apart() {
        let parts = |parts: &[&str]| key(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(parts(&["ab", "c"]), parts(&["a", "bc"]));
        assert_eq!(parts(&["ab", "c"]), parts(&["ab", "c"]));
    }
}
