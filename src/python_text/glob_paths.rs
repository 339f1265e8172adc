//! Finds the paths that match a pattern, with the rules of Python's `glob`. Names that are not UTF-8 match like others,
//! in the characters of [`os_text`].

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::os_text;
use crate::python_text::glob::{self, GlobPattern, is_pattern};

/// How much text the paths of one pattern may have, in bytes.
const MOST_TEXT: usize = 64 * 1024 * 1024;
/// In how many ways a folder may be reached. Links between folders multiply them.
const MOST_WAYS: usize = 1000;

/// Any folders, in the patterns of [`paths`].
const ANY_FOLDERS: &str = "**";

#[derive(Debug, thiserror::Error)]
#[error("`{0}` matches too many paths (more than {limit} MiB of text, or {MOST_WAYS} to one folder)", limit = MOST_TEXT >> 20)]
pub struct TooManyPaths(String);

/// The paths that match, in order. `**` stands for any number of folders; one that contains itself through a link is
/// not entered again.
pub fn paths(pattern: &str) -> Result<Vec<String>, TooManyPaths> {
    find(pattern, ANY_FOLDERS)
}

/// The same for a pattern that is relative to `folder`.
pub fn paths_below(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, TooManyPaths> {
    let found = paths(&absolute(folder, pattern))?;
    Ok(found.iter().map(|path| path_of(path)).collect())
}

/// The pattern, which is relative to `folder`.
pub fn absolute(folder: &Path, pattern: &str) -> String {
    if pattern.starts_with('/') {
        return pattern.to_owned();
    }
    format!("{}/{pattern}", glob::escape(&os_text::decode(folder.as_os_str())))
}

/// The same as [`paths`] with `**` like `*`.
pub fn paths_without_recursion(pattern: &str) -> Result<Vec<String>, TooManyPaths> {
    find(pattern, "")
}

fn find(pattern: &str, any_folders: &str) -> Result<Vec<String>, TooManyPaths> {
    let first = pattern.split_inclusive('/').take_while(|part| !is_pattern(part)).map(str::len).sum();
    let (literal, rest) = pattern.split_at(first);
    let mut found = FoundPaths { paths: Vec::new(), text: 0 };
    let too_many = |_| TooManyPaths(pattern.to_owned());
    let exists = |path: &str| path_of(path).symlink_metadata().is_ok();
    if rest.is_empty() {
        return Ok(if exists(literal) { vec![literal.to_owned()] } else { Vec::new() });
    }
    found.add(literal.to_owned()).map_err(too_many)?;
    let mut parts = rest.split('/').peekable();
    while let Some(part) = parts.next() {
        let ends = if parts.peek().is_some() { "/" } else { "" };
        for folder in found.next() {
            if part == any_folders {
                if path_of(&folder).is_dir() {
                    found.add_below(folder, !ends.is_empty()).map_err(too_many)?;
                }
            } else if is_pattern(part) {
                let shape = GlobPattern::new(part);
                let is_hidden = part.starts_with('.');
                for (name, is_folder) in entries(&folder).filter(|(name, _)| is_hidden || !name.starts_with('.')) {
                    if shape.matches(&name) && (is_folder || ends.is_empty()) {
                        found.add(format!("{folder}{name}{ends}")).map_err(too_many)?;
                    }
                }
            } else if exists(&format!("{folder}{part}")) {
                found.add(format!("{folder}{part}{ends}")).map_err(too_many)?;
            }
        }
    }
    found.paths.sort();
    Ok(found.paths)
}

struct FoundPaths {
    /// Folders end with `/`.
    paths: Vec<String>,
    text: usize,
}

/// A limit was exceeded.
struct BeyondLimit;

impl FoundPaths {
    fn add(&mut self, path: String) -> Result<(), BeyondLimit> {
        self.text += path.len();
        if self.text > MOST_TEXT {
            return Err(BeyondLimit);
        }
        self.paths.push(path);
        Ok(())
    }

    /// The paths so far, which the next part of the pattern begins from.
    fn next(&mut self) -> Vec<String> {
        self.text = 0;
        std::mem::take(&mut self.paths)
    }

    /// Adds a folder and everything below it.
    fn add_below(&mut self, folder: String, only_folders: bool) -> Result<(), BeyondLimit> {
        // Each with the number of folders above it.
        let mut open = vec![(folder, 0)];
        let mut above: Vec<(u64, u64)> = Vec::new();
        let mut ways: HashMap<(u64, u64), usize> = HashMap::new();
        while let Some((folder, depth)) = open.pop() {
            above.truncate(depth);
            let Ok(identity) = path_of(&folder).metadata().map(|one| (one.dev(), one.ino())) else { continue };
            if !above.contains(&identity) {
                let ways = ways.entry(identity).or_default();
                *ways += 1;
                if *ways > MOST_WAYS {
                    return Err(BeyondLimit);
                }
                above.push(identity);
                for (name, is_folder) in entries(&folder).filter(|(name, _)| !name.starts_with('.')) {
                    let path = format!("{folder}{name}");
                    if is_folder {
                        open.push((format!("{path}/"), depth + 1));
                    }
                    if !only_folders {
                        self.add(path)?;
                    }
                }
            }
            if only_folders || depth == 0 {
                self.add(folder)?;
            }
        }
        Ok(())
    }
}

/// The empty path is the current folder.
fn path_of(path: &str) -> PathBuf {
    if path.is_empty() { PathBuf::from(".") } else { PathBuf::from(os_text::encode(path)) }
}

/// The names in a folder, with whether each is a folder or a link to one.
fn entries(folder: &str) -> impl Iterator<Item = (String, bool)> + use<> {
    let entries = std::fs::read_dir(path_of(folder)).into_iter().flatten().flatten();
    entries.map(|entry| {
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => entry.path().is_dir(),
        };
        (os_text::decode(&entry.file_name()), is_folder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn found(folder: &Path, pattern: &str) -> Vec<String> {
        let root = format!("{}/", folder.display());
        let found = paths(&format!("{root}{pattern}")).unwrap();
        found.iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect()
    }

    #[test]
    fn patterns_find_what_python_finds() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/b/.c")).unwrap();
        for file in ["x.py", "a/y.py", "a/b/z.py", "a/b/.h.py", "a/b/.c/w.py", "a/[1]"] {
            fs::write(root.join(file), "").unwrap();
        }
        symlink("gone", root.join("a/link")).unwrap();
        // The expected lists are those of `sorted(glob.glob(pattern, recursive=True))`.
        let cases: [(&str, &[&str]); 17] = [
            ("x.py", &["x.py"]),
            ("none", &[]),
            ("*", &["a", "x.py"]),
            ("*/", &["a/"]),
            ("a/", &["a/"]),
            ("x.py/", &[]),
            ("?/*.py", &["a/y.py"]),
            ("a/l*", &["a/link"]),
            ("a/[[]1]", &["a/[1]"]),
            ("a/b/.*", &["a/b/.c", "a/b/.h.py"]),
            ("a/*/z.py", &["a/b/z.py"]),
            ("*/../x.py", &["a/../x.py"]),
            ("**/*.py", &["a/b/z.py", "a/y.py", "x.py"]),
            ("**/.h.py", &["a/b/.h.py"]),
            ("a/**", &["a/", "a/[1]", "a/b", "a/b/z.py", "a/link", "a/y.py"]),
            ("a/**/", &["a/", "a/b/"]),
            ("a/b**", &["a/b"]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(found(root, pattern), expected, "{pattern}");
        }
        let pattern = format!("{}/**/y.py", root.display());
        assert_eq!(paths_without_recursion(&pattern).unwrap().len(), 1);
    }

    #[test]
    fn names_that_are_not_utf_8_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join(OsStr::from_bytes(b"d\xff"));
        fs::create_dir(&below).unwrap();
        fs::write(below.join(OsStr::from_bytes(b"\xfe.py")), "").unwrap();
        for pattern in ["*/?.py", "d?/*.py", "**/*.py"] {
            let found = paths_below(folder.path(), pattern).unwrap();
            assert_eq!(found, [below.join(OsStr::from_bytes(b"\xfe.py"))], "{pattern}");
        }
    }

    #[test]
    fn links_to_the_folders_above_are_not_followed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/x"), "").unwrap();
        for link in ["a/1", "a/2", "3"] {
            symlink(folder.path(), folder.path().join(link)).unwrap();
        }
        assert_eq!(found(folder.path(), "**/x"), ["a/x"]);
    }

    #[test]
    fn links_that_double_paths_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for level in 0..40 {
            let below = folder.path().join(format!("{level}"));
            fs::create_dir(&below).unwrap();
            for link in ["a", "b"] {
                symlink(format!("../{}", level + 1), below.join(link)).unwrap();
            }
        }
        let error = paths(&format!("{}/**/x", folder.path().display())).unwrap_err();
        assert!(error.to_string().contains("/**/x` matches too many paths (more than 64 MiB"), "{error}");
    }
}
