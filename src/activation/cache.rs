//! What a project gives to shells, as its last build has left it: the only thing that a prompt waits for.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::sha256;

/// The result of a build for one content of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltActivation {
    /// The digest of the content that it was built from.
    pub content: String,
    /// The folders of programs, for the front of PATH.
    pub paths: Vec<String>,
    pub variables: Vec<(String, String)>,
    /// It could not be built.
    pub failed: bool,
}

/// The files of one project in the user's state folder.
pub struct ActivationCache {
    folder: PathBuf,
    id: String,
}

impl ActivationCache {
    pub fn new(state: &Path, root: &Path) -> Self {
        let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
        let id = sha256(root.display().to_string())[..32].to_owned();
        Self { folder: state.join("activation"), id }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}.{suffix}", self.id))
    }

    /// What was built from this content.
    pub fn built(&self, content: &str) -> Option<BuiltActivation> {
        let text = std::fs::read(self.path("json")).ok()?;
        serde_json::from_slice::<BuiltActivation>(&text).ok().filter(|built| built.content == content)
    }

    /// Replaces it at once, readable for the user only.
    pub fn store(&self, built: &BuiltActivation) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&file, built)?;
        file.persist(self.path("json")).map(drop).map_err(|error| error.error)
    }

    /// The lock that a build holds.
    pub fn lock(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        File::options().create(true).append(true).open(self.path("lock"))
    }

    /// The output of builds in the background.
    pub fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// The mark of a shell that has unloaded the project.
    pub fn unloaded(&self, shell: u32) -> PathBuf {
        self.path(&format!("unloaded-{shell}"))
    }
}
