//! Which distributions are installed beside an interpreter, from the names of their folders: nothing is started for it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::Interpreter;
use crate::model::pep508::canonical_name;

/// The packages that belong to an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distributions {
    folders: Vec<PathBuf>,
}

impl Distributions {
    /// Those of the environment, or the installation, whose program `bin/python` the interpreter was found as.
    pub fn of(interpreter: &Interpreter) -> Self {
        let prefix = interpreter.executable.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let mut folders = vec![prefix.join(&interpreter.purelib)];
        let other = prefix.join(&interpreter.platlib);
        if !folders.contains(&other) {
            folders.push(other);
        }
        Self { folders }
    }

    /// The version of a distribution, by its normalised name.
    pub fn version(&self, name: &str) -> Option<String> {
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        entries.into_iter().find_map(|entry| {
            let file_name = entry.file_name();
            let (found, version) = file_name.to_str()?.strip_suffix(".dist-info")?.split_once('-')?;
            (canonical_name(found) == name).then(|| version.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_folder_tells_the_version() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("Tox_Docker-5.1.dist-info"))?;
        fs::create_dir(folder.path().join("tox"))?;
        let distributions = Distributions { folders: vec![PathBuf::from("/nowhere"), folder.path().to_owned()] };
        assert_eq!(distributions.version("tox-docker").as_deref(), Some("5.1"));
        assert_eq!(distributions.version("tox"), None);
        Ok(())
    }
}
