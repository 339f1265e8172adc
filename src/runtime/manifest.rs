//! Reads a project's own files: the parts that the runtimes share.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::bounded;
use crate::digest::sha256;
use crate::python_text::path::{relative, resolved};
use crate::runtime::InstallStep;

/// The content of a file of the project; `None` if it does not exist.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match bounded::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// An entry of [`crate::runtime::RuntimeContents::inputs`]: a file's name and content.
pub fn input(name: &str, content: &[u8]) -> String {
    format!("{name} sha256:{}", sha256(content))
}

/// How a dependency on a folder is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderDependencies {
    /// Linked, so that only this file of it affects the installation.
    Linked(&'static str),
    /// Built from all its files.
    Copied,
}

/// Folders of a project without sources.
const NO_SOURCES: [&str; 5] = [".git", ".tox", "node_modules", "target", "vendor"];

/// The inputs for dependencies: their text, and the state of the files and folders they name.
pub fn dependency_inputs(dependencies: &[String], project: &Path, folders: FolderDependencies) -> Vec<String> {
    let with_content = |dependency: &String| {
        let Some(path) = local_path(dependency, project) else { return dependency.clone() };
        let file = match folders {
            FolderDependencies::Linked(name) if path.is_dir() => path.join(name),
            FolderDependencies::Copied if path.is_dir() => return format!("{dependency} {}", state_of(&path)),
            _ => path,
        };
        let digest = bounded::digest(&file);
        digest.map_or_else(|_| dependency.clone(), |digest| format!("{dependency} sha256:{digest}"))
    };
    dependencies.iter().map(with_content).collect()
}

/// Fingerprints a folder's files without reading them.
fn state_of(folder: &Path) -> String {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_dir() {
                files.push(format!(
                    "{} {} {}.{}",
                    entry.path().display(),
                    metadata.len(),
                    metadata.mtime(),
                    metadata.mtime_nsec()
                ));
            } else if NO_SOURCES.iter().all(|name| entry.file_name() != *name) {
                open.push(entry.path());
            }
        }
    }
    files.sort();
    crate::runtime::cache::key(files.iter().map(String::as_bytes))
}

/// The file or folder that a dependency names, if it is written as a path.
pub fn local_path(dependency: &str, project: &Path) -> Option<PathBuf> {
    let text = dependency.strip_prefix("file:").unwrap_or(dependency);
    let is_path = text.starts_with(['.', '/']) || text.len() < dependency.len();
    is_path.then(|| project.join(text))
}

/// A step of the words `argv` in `cwd`.
pub fn step<const N: usize>(argv: [&str; N], cwd: &Path, cause: &str) -> InstallStep {
    let argv = argv.map(str::to_owned).to_vec();
    InstallStep { argv, cwd: cwd.to_owned(), variables: Vec::new(), cause: cause.to_owned(), offline: None }
}

/// The path without `.` and, as far as they can be resolved, `..`.
pub fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(parts.components().next_back(), Some(Component::Normal(_))) => {
                parts.pop();
            }
            Component::ParentDir if parts.has_root() => {}
            other => parts.push(other),
        }
    }
    parts
}

/// The relative path from the folder `target`, which need not exist yet, to `path`; both are absolute.
pub fn way_from(target: &Path, path: &Path) -> PathBuf {
    // `..` in a folder behind a link means the parent of the link's target.
    relative(&resolved(&normal(path)), &resolved(target))
}
