//! Joins and resolves paths like Python's `pathlib`.

use std::path::{Component, Path, PathBuf};

use crate::os_text;

/// `base / text`, without `.` and repeated separators.
pub fn joined(base: &Path, text: &str) -> PathBuf {
    base.join(os_text::encode(text)).components().filter(|component| *component != Component::CurDir).collect()
}

/// The folder of `file`.
pub fn parent(file: &str) -> PathBuf {
    Path::new(&os_text::encode(file)).parent().unwrap_or(Path::new("")).to_owned()
}

/// The last part of a path and what is before it; a path of dots has no last part.
pub fn split_name(text: &str) -> (PathBuf, String) {
    let path = PathBuf::from(os_text::encode(text));
    match path.components().next_back() {
        Some(Component::Normal(name)) => (path.parent().unwrap_or(Path::new("")).to_owned(), os_text::decode(name)),
        Some(Component::ParentDir) => (path.parent().unwrap_or(Path::new("")).to_owned(), "..".to_owned()),
        _ => (path, String::new()),
    }
}

/// `os.path.normpath` for absolute paths: without `.` and `..`; links are not resolved.
pub fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

/// `path` as seen from the folder `start`; both are absolute and without `..`.
pub fn relative(path: &Path, start: &Path) -> PathBuf {
    let common = path.components().zip(start.components()).take_while(|(one, other)| one == other).count();
    let up = start.components().skip(common).map(|_| Component::ParentDir);
    let result: PathBuf = up.chain(path.components().skip(common)).collect();
    if result.as_os_str().is_empty() { PathBuf::from(".") } else { result }
}

/// `path` with links resolved and `..` removed, whether it exists or not.
pub fn resolved(path: &Path) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            other => {
                result.push(other);
                if let Ok(resolved) = result.canonicalize() {
                    result = resolved;
                }
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together_as_python_does() {
        assert_eq!(joined(Path::new("/a"), "./b//c/../d"), Path::new("/a/b/c/../d"));
        assert_eq!(joined(Path::new("/a"), "/b"), Path::new("/b"));
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/d")), Path::new("../b/c"));
        assert_eq!(relative(Path::new("/a"), Path::new("/a")), Path::new("."));
        assert_eq!(normalized(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(split_name("./a/b[x]"), (PathBuf::from("./a"), "b[x]".to_owned()));
        assert_eq!(split_name(".").1, "");
        assert_eq!(split_name("..").1, "..");
        assert_eq!(split_name("/").1, "");
    }

    #[test]
    fn a_path_is_resolved_even_when_it_does_not_exist() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().canonicalize()?;
        assert_eq!(resolved(&root.join("no/../such/./file")), root.join("such/file"));
        #[cfg(unix)]
        {
            std::fs::create_dir(root.join("real"))?;
            std::os::unix::fs::symlink(root.join("real"), root.join("link"))?;
            assert_eq!(resolved(&root.join("link/file")), root.join("real/file"));
        }
        Ok(())
    }
}
