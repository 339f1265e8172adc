//! Checks whether a lock is up to date: its inputs are unchanged, and its file is as written. Resolves nothing;
//! differences in an input are determined only if it changed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bounded;
use crate::digest::sha256;
use crate::lockfile::INDEX;
use crate::lockfile::document::{LockDocument, LockedPackage};
use crate::lockfile::error::LockError;
use crate::lockfile::index::{self, LockIndex, LockIndexEntry, input_digest};
use crate::lockfile::inputs::LockInput;
use crate::model::ProjectSettings;
use crate::python_text::path::normalized;

/// Checks that the lock of `environment` in `project` is up to date and returns its entry.
pub fn verify<'a>(
    project: &ProjectSettings,
    index: &'a LockIndex,
    environment: &str,
    inputs: &[LockInput],
) -> Result<&'a LockIndexEntry, LockError> {
    let Some(entry) = index.entries.get(environment) else {
        return Err(LockError::NotLocked { environment: environment.to_owned(), index: INDEX.to_owned() });
    };
    let changed = changed(entry, inputs);
    if !changed.is_empty() {
        // The lock itself contains the lines; without it only the names are known.
        let before = LockDocument::read(&index::lock_path(project, environment)).unwrap_or_default();
        let changes = changed.iter().map(|name| described(name, &before, inputs)).collect();
        return Err(LockError::Stale { environment: environment.to_owned(), changes });
    }
    if !entry.lock.is_empty() {
        verify_file(project, environment, entry)?;
    }
    Ok(entry)
}

/// Reads the lock of an environment after checking that its file is as written.
pub fn read(project: &ProjectSettings, environment: &str, entry: &LockIndexEntry) -> Result<LockDocument, LockError> {
    verify_file(project, environment, entry)?;
    LockDocument::read(&index::lock_path(project, environment))
}

fn verify_file(project: &ProjectSettings, environment: &str, entry: &LockIndexEntry) -> Result<(), LockError> {
    let path = index::lock_path(project, environment);
    let file = shown_path(project, &path);
    let content = match bounded::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LockError::Missing { environment: environment.to_owned(), file });
        }
        Err(error) => return Err(LockError::Malformed { file: path, reason: error.to_string() }),
    };
    let found = sha256(&content);
    if found == entry.lock {
        return Ok(());
    }
    if let Some(line) = crate::lockfile::error::conflict_marker(&String::from_utf8_lossy(&content)) {
        return Err(LockError::MergeConflict { file: path, line });
    }
    Err(LockError::Edited { file, wanted: entry.lock.clone(), found })
}

/// Installers reuse unpacked files, so a local file that changed since is detected here.
pub fn verify_local(packages: &[LockedPackage], folder: &Path) -> Result<(), LockError> {
    for package in packages {
        for file in package.files() {
            let (Some(path), Some(wanted)) = (&file.path, file.hashes.get("sha256")) else { continue };
            let Ok(found) = bounded::digest(folder.join(path)) else { continue };
            if found != *wanted {
                let (package, wanted) = (package.name.clone(), format!("sha256:{wanted}"));
                let file = normalized(&folder.join(path)).display().to_string();
                return Err(LockError::OtherFile { package, file, wanted, found });
            }
        }
    }
    Ok(())
}

/// A lock's path for users.
pub fn shown_path(project: &ProjectSettings, path: &Path) -> String {
    path.strip_prefix(&project.root).unwrap_or(path).display().to_string()
}

/// The names of changed inputs.
fn changed(entry: &LockIndexEntry, inputs: &[LockInput]) -> Vec<String> {
    let before = |name: &str| entry.inputs.iter().find(|(known, _)| known == name).map(|(_, digest)| digest.as_str());
    let mut names: Vec<String> = inputs
        .iter()
        .filter(|input| before(&input.name) != Some(input_digest(&input.lines).as_str()))
        .map(|input| input.name.clone())
        .collect();
    let is_gone = |name: &str| inputs.iter().all(|input| input.name != name);
    names.extend(entry.inputs.iter().map(|(name, _)| name.clone()).filter(|name| is_gone(name)));
    names
}

/// `deps changed: added attrs>=22`.
fn described(name: &str, before: &LockDocument, inputs: &[LockInput]) -> String {
    let now: BTreeSet<&str> =
        inputs.iter().filter(|input| input.name == name).flat_map(|input| &input.lines).map(String::as_str).collect();
    let then: BTreeSet<&str> = before.inputs.get(name).into_iter().flatten().map(String::as_str).collect();
    let part = |verb: &str, one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
        let lines: Vec<&str> = one.difference(other).map(|line| shown(line)).collect();
        (!lines.is_empty()).then(|| format!("{verb} {}", lines.join(", ")))
    };
    let mut parts: Vec<String> = Vec::new();
    if !before.inputs.is_empty() {
        parts.extend(part("added", &now, &then));
        parts.extend(part("removed", &then, &now));
    }
    if parts.is_empty() { format!("{name} changed") } else { format!("{name} changed: {}", parts.join(", ")) }
}

/// A file is shown by its name.
fn shown(line: &str) -> &str {
    line.split_once(" sha256:").map_or(line, |(name, _)| name)
}

/// The entry of an environment whose lock has this text.
pub fn entry(lock: Option<&str>, inputs: &[LockInput]) -> LockIndexEntry {
    LockIndexEntry {
        lock: lock.map(sha256).unwrap_or_default(),
        inputs: inputs.iter().map(|input| (input.name.clone(), input_digest(&input.lines))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, lines: &[&str]) -> LockInput {
        LockInput { name: name.to_owned(), lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    struct LockedInputs {
        project: ProjectSettings,
        _folder: tempfile::TempDir,
        index: LockIndex,
    }

    impl LockedInputs {
        fn new(inputs: &[LockInput]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().to_owned();
            let project = ProjectSettings {
                config_file: root.join("tox.ini"),
                lock_dir: root.join("locks"),
                work_dir: root.clone(),
                temp_dir: root.clone(),
                package_root: root.clone(),
                current_dir: root.clone(),
                root,
                venv_redirect: None,
                venv_redirect_env: None,
            };
            let inputs_of_lock = inputs.iter().map(|input| (input.name.clone(), input.lines.clone())).collect();
            let text = LockDocument { inputs: inputs_of_lock, ..LockDocument::default() }.text();
            crate::lockfile::write::replace(&index::lock_path(&project, "py3.11"), text.as_bytes()).unwrap();
            let entries = [("py3.11".to_owned(), entry(Some(&text), inputs))].into();
            Self { project, _folder: folder, index: LockIndex { entries } }
        }

        fn matches(&self, inputs: &[LockInput]) -> Result<(), String> {
            verify(&self.project, &self.index, "py3.11", inputs).map(drop).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_lock_holds_until_an_input_changes_and_says_which() {
        let inputs = [input("python", &["cpython3.11"]), input("deps", &["a", "b"])];
        let locked = LockedInputs::new(&inputs);
        assert_eq!(locked.matches(&inputs), Ok(()));
        for (inputs, change) in [
            (
                vec![input("python", &["cpython3.11"]), input("deps", &["a", "c>1"])],
                "deps changed: added c>1, removed b",
            ),
            (
                vec![input("python", &["cpython3.12"]), inputs[1].clone()],
                "python changed: added cpython3.12, removed cpython3.11",
            ),
            (vec![inputs[0].clone()], "deps changed: removed a, b"),
            (vec![inputs[0].clone(), inputs[1].clone(), input("groups", &["x"])], "groups changed: added x"),
        ] {
            assert_eq!(locked.matches(&inputs), Err(format!("the lock of py3.11 is stale: {change}")));
        }
    }

    #[test]
    fn a_lock_that_was_edited_or_is_gone_does_not_hold() {
        let inputs = [input("python", &["cpython3.11"])];
        let locked = LockedInputs::new(&inputs);
        let file = index::lock_path(&locked.project, "py3.11");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen('1', "2", 1)).unwrap();
        let error = locked.matches(&inputs).unwrap_err();
        assert!(error.starts_with("locks/pylock.py3_11.toml is not what envo wrote: sha256:"), "{error}");
        std::fs::write(&file, format!("<<<<<<< HEAD\n{text}")).unwrap();
        assert!(locked.matches(&inputs).unwrap_err().ends_with("pylock.py3_11.toml:1 has a merge conflict marker"));
        std::fs::remove_file(&file).unwrap();
        let expected = "locks/pylock.py3_11.toml is missing, which is the lock of py3.11".to_owned();
        assert_eq!(locked.matches(&inputs), Err(expected));
        assert!(verify(&locked.project, &locked.index, "other", &inputs).is_err());
    }
}
