//! Whether a project may change a shell: its content counts, that is, the configuration and every file that it pulls in.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::activation::project::ActivatedProject;
use crate::digest::sha256;

/// What is known of a project's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Allowed, with the digest of the content.
    Allowed(String),
    /// Never allowed.
    Unknown,
    /// Something was allowed, but not this content.
    Changed,
    /// `deny` was called.
    Denied,
}

/// What was allowed, stored under the identity of the project and its configuration.
#[derive(Debug, Serialize, Deserialize)]
struct AllowedContent {
    /// The files besides the configuration, relative to the root.
    files: Vec<PathBuf>,
    /// The digest of all of them.
    digest: String,
}

/// The decisions of a user.
pub struct TrustStore {
    folder: PathBuf,
}

impl TrustStore {
    /// In the user's state folder.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("trust") }
    }

    pub fn of(&self, project: &ActivatedProject) -> Trust {
        let identity = identity(&project.root);
        if self.folder.join(format!("{identity}.denied")).exists() {
            return Trust::Denied;
        }
        let Some(content) = std::fs::read(&project.config).ok() else { return Trust::Unknown };
        let record = std::fs::read(self.folder.join(name(&identity, project, &content))).ok();
        let Some(record) = record.and_then(|text| serde_json::from_slice::<AllowedContent>(&text).ok()) else {
            let known = self.folder.join(format!("{identity}.known")).exists();
            return if known { Trust::Changed } else { Trust::Unknown };
        };
        let digest = digest(&project.root, &content, &record.files);
        if digest == record.digest { Trust::Allowed(digest) } else { Trust::Changed }
    }

    /// Allows the present content.
    pub fn allow(&self, project: &ActivatedProject, mut files: Vec<PathBuf>) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        files.sort();
        files.dedup();
        let identity = identity(&project.root);
        let content = std::fs::read(&project.config)?;
        let record = AllowedContent { digest: digest(&project.root, &content, &files), files };
        let _ = std::fs::remove_file(self.folder.join(format!("{identity}.denied")));
        std::fs::write(self.folder.join(format!("{identity}.known")), "")?;
        std::fs::write(self.folder.join(name(&identity, project, &content)), serde_json::to_vec(&record)?)
    }

    /// Refuses the project, whatever its content.
    pub fn deny(&self, project: &ActivatedProject) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(self.folder.join(format!("{}.denied", identity(&project.root))), "")
    }

    /// Forgets all decisions about the project.
    pub fn revoke(&self, project: &ActivatedProject) -> io::Result<()> {
        let identity = identity(&project.root);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&identity) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Worktrees of a repository share it, so that the same content is allowed in all of them.
fn identity(root: &Path) -> String {
    let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    let top = root.ancestors().find_map(|folder| Some((folder, repository(&folder.join(".git"))?)));
    let text = match top {
        Some((top, repository)) => {
            format!("{}\0{}", repository.display(), root.strip_prefix(top).unwrap_or(&root).display())
        }
        None => root.display().to_string(),
    };
    sha256(text)[..32].to_owned()
}

/// The folder of a repository that `.git` is or, in a worktree, names; the link back proves that it is one.
fn repository(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_path_buf());
    }
    let text = std::fs::read_to_string(git).ok()?;
    let worktree = git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    let back = std::fs::read_to_string(worktree.join("gitdir")).ok()?;
    let is_same = std::fs::canonicalize(back.trim()).ok()? == std::fs::canonicalize(git).ok()?;
    let common = std::fs::read_to_string(worktree.join("commondir")).ok()?;
    is_same.then(|| std::fs::canonicalize(worktree.join(common.trim())).ok())?
}

fn name(identity: &str, project: &ActivatedProject, content: &[u8]) -> String {
    let file = project.config.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{identity}-{}.json", &sha256([file.as_bytes(), b"\0", content].concat())[..32])
}

fn digest(root: &Path, content: &[u8], files: &[PathBuf]) -> String {
    let mut text = sha256(content);
    for file in files {
        let state = std::fs::read(root.join(file)).map_or_else(|_| "missing".to_owned(), sha256);
        text.push_str(&format!("\n{} {state}", file.display()));
    }
    sha256(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(root: &Path) -> ActivatedProject {
        let (root, config) = (root.to_path_buf(), root.join("tox.ini"));
        ActivatedProject { root, config, environment: "dev".into(), env_files: vec![".env".into()] }
    }

    #[test]
    fn content_is_allowed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("p"), folder.path().join("copy"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(root.join("tox.ini"), "a").unwrap();
        std::fs::write(other.join("tox.ini"), "a").unwrap();
        let store = TrustStore::new(folder.path());
        let one = project(&root);
        assert_eq!(store.of(&one), Trust::Unknown);
        store.allow(&one, vec![".env".into()]).unwrap();
        assert!(matches!(store.of(&one), Trust::Allowed(_)));
        assert_eq!(store.of(&project(&other)), Trust::Unknown, "a copy elsewhere is another project");
        std::fs::write(root.join(".env"), "A=1").unwrap();
        assert_eq!(store.of(&one), Trust::Changed, "a file that was missing");
        std::fs::remove_file(root.join(".env")).unwrap();
        assert!(matches!(store.of(&one), Trust::Allowed(_)));
        std::fs::write(root.join("tox.ini"), "b").unwrap();
        assert_eq!(store.of(&one), Trust::Changed);
        std::fs::write(root.join("tox.ini"), "a").unwrap();
        store.deny(&one).unwrap();
        assert_eq!(store.of(&one), Trust::Denied);
        store.revoke(&one).unwrap();
        assert_eq!(store.of(&one), Trust::Unknown);
    }

    #[test]
    fn a_worktree_with_the_same_content_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let (main, tree) = (folder.path().join("main"), folder.path().join("tree"));
        let links = main.join(".git/worktrees/tree");
        for one in [&links, &tree] {
            std::fs::create_dir_all(one).unwrap();
        }
        std::fs::write(tree.join(".git"), format!("gitdir: {}\n", links.display())).unwrap();
        std::fs::write(links.join("gitdir"), format!("{}\n", tree.join(".git").display())).unwrap();
        std::fs::write(links.join("commondir"), "../..\n").unwrap();
        for one in [&main, &tree] {
            std::fs::write(one.join("tox.ini"), "a").unwrap();
        }
        let store = TrustStore::new(folder.path());
        store.allow(&project(&main), Vec::new()).unwrap();
        assert!(matches!(store.of(&project(&tree)), Trust::Allowed(_)));
        std::fs::write(tree.join("tox.ini"), "b").unwrap();
        assert_eq!(store.of(&project(&tree)), Trust::Changed);
        std::fs::write(tree.join("tox.ini"), "a").unwrap();
        // A stranger's folder that claims to be a worktree is none.
        let forged = folder.path().join("forged");
        std::fs::create_dir_all(&forged).unwrap();
        std::fs::write(forged.join("tox.ini"), "a").unwrap();
        std::fs::write(forged.join(".git"), format!("gitdir: {}\n", links.display())).unwrap();
        assert_eq!(store.of(&project(&forged)), Trust::Unknown);
    }
}
