//! Reads and writes `envo.lock`: the locked environments, with digests of their inputs and locks. One line per
//! environment, each complete in itself; a line that differs from envo's format is rejected, because it decides what
//! may be installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::digest::sha256;
use crate::lockfile::INDEX;
use crate::lockfile::error::{LockError, conflict_marker};
use crate::model::ProjectSettings;
use crate::model::lock_name;

const HEAD: &str =
    "# envo.lock 1: written by `envo lock`, one line per environment: the lock's digest, then its inputs'.\n";

/// The index of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockIndex {
    pub entries: BTreeMap<String, LockIndexEntry>,
}

/// One locked environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockIndexEntry {
    /// SHA-256 of its lock file; empty for an environment without Python, which has none.
    pub lock: String,
    /// A digest of each input, by its name, in order.
    pub inputs: Vec<(String, String)>,
}

/// The path of the index of the project at `root`.
pub fn path(root: &Path) -> PathBuf {
    root.join(INDEX)
}

/// The path of an environment's lock.
pub fn lock_path(project: &ProjectSettings, environment: &str) -> PathBuf {
    project.lock_dir.join(lock_name::file_name(environment))
}

impl LockIndex {
    /// Reads the index at `root`; a missing one is empty.
    pub fn read(root: &Path) -> Result<Self, LockError> {
        let file = path(root);
        match bounded::read_text(&file) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(LockError::Malformed { file, reason: error.to_string() }),
        }
    }

    fn parse(text: &str, file: &Path) -> Result<Self, LockError> {
        if let Some(line) = conflict_marker(text) {
            return Err(LockError::MergeConflict { file: file.to_owned(), line });
        }
        let malformed = |line: usize, reason: &str| LockError::Malformed {
            file: file.to_owned(),
            reason: format!("line {line} {reason}"),
        };
        let Some(rest) = text.strip_prefix(HEAD) else {
            return Err(malformed(1, "is not the one that envo writes"));
        };
        if !rest.is_empty() && !rest.ends_with('\n') {
            return Err(malformed(text.lines().count(), "is cut off"));
        }
        let mut entries = BTreeMap::new();
        for (at, line) in rest.lines().enumerate() {
            let (name, entry) = entry(line).ok_or_else(|| malformed(at + 2, "is not one that envo writes"))?;
            if entries.insert(name, entry).is_some() {
                return Err(malformed(at + 2, "locks an environment a second time"));
            }
        }
        Ok(Self { entries })
    }

    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, entry) in &self.entries {
            text.push_str(&lock_name::encoded(name));
            let lock = if entry.lock.is_empty() { "none".to_owned() } else { format!("sha256:{}", entry.lock) };
            text.push_str(&format!(" lock={lock}"));
            for (input, digest) in &entry.inputs {
                text.push_str(&format!(" {input}={digest}"));
            }
            text.push('\n');
        }
        text
    }

    /// Replaces the index at `root`, unless it is unchanged.
    pub fn write(&self, root: &Path) -> std::io::Result<()> {
        let file = path(root);
        let text = self.text();
        if std::fs::read(&file).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        crate::lockfile::write::replace(&file, text.as_bytes())
    }
}

fn entry(line: &str) -> Option<(String, LockIndexEntry)> {
    let mut words = line.split(' ');
    let name = lock_name::decoded(words.next()?)?;
    let lock = words.next()?.strip_prefix("lock=")?;
    let lock = if lock == "none" { "" } else { lock.strip_prefix("sha256:").filter(|digits| is_digest(digits, 64))? };
    let inputs = words
        .map(|word| {
            let (input, digits) = word.split_once('=')?;
            (is_digest(digits, INPUT_DIGITS) && !input.is_empty()).then(|| (input.to_owned(), digits.to_owned()))
        })
        .collect::<Option<Vec<_>>>()?;
    Some((name, LockIndexEntry { lock: lock.to_owned(), inputs }))
}

/// The number of digits kept of an input's digest: enough to notice a change, short enough to read a line.
const INPUT_DIGITS: usize = 16;

/// The digest of an input that consists of `lines`.
pub fn input_digest(lines: &[String]) -> String {
    sha256(lines.join("\n").as_bytes()).chars().take(INPUT_DIGITS).collect()
}

fn is_digest(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> LockIndex {
        let entry = |lock: &str| LockIndexEntry {
            lock: lock.to_owned(),
            inputs: vec![("python".to_owned(), input_digest(&["3.11".to_owned()]))],
        };
        let entries = [("py3.11", entry(&sha256(b"x"))), ("js", entry(""))];
        LockIndex { entries: entries.map(|(name, entry)| (name.to_owned(), entry)).into() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = index().text();
        assert_eq!(text.lines().count(), 3);
        assert_eq!(LockIndex::parse(&text, Path::new("envo.lock")), Ok(index()));
    }

    #[test]
    fn no_byte_can_be_changed_without_notice() {
        let text = index().text();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert_ne!(LockIndex::parse(&changed, Path::new("envo.lock")), Ok(index()), "byte {at}: {changed}");
        }
        assert!(LockIndex::parse(&text[..text.len() - 1], Path::new("envo.lock")).is_err());
    }

    #[test]
    fn a_conflict_is_told_with_its_line() {
        let text = format!("{HEAD}<<<<<<< HEAD\n");
        let error = LockIndex::parse(&text, Path::new("envo.lock"));
        assert_eq!(error, Err(LockError::MergeConflict { file: "envo.lock".into(), line: 2 }));
    }

    #[test]
    fn an_environment_stands_in_it_once() {
        let text = index().text();
        let twice = format!("{text}{}\n", text.lines().last().unwrap_or_default());
        let error = LockIndex::parse(&twice, Path::new("envo.lock")).map_err(|error| error.to_string());
        assert_eq!(error, Err("envo.lock: line 4 locks an environment a second time".to_owned()));
    }
}
