//! What the runtimes have in common when they read a project's own files.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Step;

/// The content of a file of the project; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// An entry of [`super::Contents::inputs`]: the file's name and what is in it.
pub fn input(name: &str, content: &[u8]) -> String {
    let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} sha256:{digest}")
}

/// The inputs that dependencies are: their text, and the content of files that they name.
pub fn dependency_inputs(dependencies: &[String], project: &Path) -> Vec<String> {
    let with_content = |dependency: &String| match local_path(dependency, project) {
        Some(path) if path.is_file() => match std::fs::read(&path) {
            Ok(content) => input(dependency, &content),
            Err(_) => dependency.clone(),
        },
        _ => dependency.clone(),
    };
    dependencies.iter().map(with_content).collect()
}

/// The file or folder that a dependency means, when it is written as a path.
pub fn local_path(dependency: &str, project: &Path) -> Option<PathBuf> {
    let text = dependency.strip_prefix("file:").unwrap_or(dependency);
    let is_path = text.starts_with(['.', '/']) || text.len() < dependency.len();
    is_path.then(|| project.join(text))
}

/// A step of the words `argv` in `cwd`.
pub fn step<const N: usize>(argv: [&str; N], cwd: &Path, cause: &str) -> Step {
    Step { argv: argv.map(str::to_owned).to_vec(), cwd: cwd.to_owned(), cause: cause.to_owned() }
}
