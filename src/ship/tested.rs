//! Which files the tests of an environment have passed on. A release may be packed only if every one of its files was
//! among those that its tests used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::model::Interpreter;
use crate::runtime::cache;
use crate::ship::manifest::MemberKind;
use crate::ship::packages::{self, PackageSelection};
use crate::ship::piece::{Measured, Part, measure};
use crate::ship::project_files;
use crate::ship::refusal::Refusal;
use crate::ship::scripts::Launch;

/// The record of the last successful run of an environment's tests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestedFiles {
    /// When they passed, in seconds since 1970.
    pub passed: u64,
    /// `sys.version` and the digest of the interpreter.
    pub python: String,
    /// The digests of the files that they used, by their paths in a release.
    pub files: BTreeMap<String, String>,
}

/// Where records are kept.
fn file(work_dir: &Path, environment: &str) -> PathBuf {
    // A name may be long, and is not one that other programs look for.
    work_dir.join(".envo").join("pack").join("passed").join(sha256(environment))
}

/// An interpreter, so that another one is noticed.
pub fn identity(interpreter: &Interpreter) -> String {
    let digest = crate::bounded::digest(&interpreter.system_executable).unwrap_or_default();
    format!("{} {digest}", interpreter.version_text)
}

/// The environment that tests ran in.
#[derive(Debug, Clone, Copy)]
pub struct TestEnv<'a> {
    pub env_dir: &'a Path,
    pub libraries: &'a Path,
}

impl TestedFiles {
    /// Reads what is installed in environments, and the project's files; of two with the same path, the first counts.
    pub fn collect(
        environments: &[TestEnv<'_>],
        project: Vec<crate::ship::piece::Piece>,
        (python, passed): (String, u64),
    ) -> Result<Self, Refusal> {
        let mut found = Self { passed, python, files: BTreeMap::new() };
        found.add(&measure(project, &[])?);
        for environment in environments {
            let site = environment.env_dir.join(environment.libraries);
            let locked = packages::installed(&site).into_iter().map(|one| one.name).collect();
            let selection = PackageSelection {
                env_dir: environment.env_dir,
                libraries: environment.libraries,
                locked: &locked,
                project: None,
                launch: &Launch::Relative,
            };
            // What is installed in editable mode is in no file of the environment.
            found.add(&measure(selection.all_but_editable()?.pieces, &[])?);
        }
        Ok(found)
    }

    fn add(&mut self, measured: &[Measured]) {
        for one in measured {
            if let MemberKind::File { sha256, .. } = &one.member.kind {
                self.files.entry(one.member.path.clone()).or_insert_with(|| sha256.clone());
            }
        }
    }

    pub fn read(work_dir: &Path, environment: &str) -> Option<Self> {
        cache::read(&file(work_dir, environment))
    }

    pub fn write(&self, work_dir: &Path, environment: &str) -> std::io::Result<()> {
        cache::write(&file(work_dir, environment), self)
    }

    /// Forgets that tests have passed, before they run again.
    pub fn forget(work_dir: &Path, environment: &str) {
        let _ = std::fs::remove_file(file(work_dir, environment));
    }

    /// Why these tests did not test the release: a member that they did not use, or another interpreter.
    pub fn differs(&self, release: &[Measured], python: &str) -> Option<String> {
        if self.python != python {
            return Some("they ran with another Python".to_owned());
        }
        let counts = |one: &&Measured| one.piece.part != Part::Interpreter && is_compared(&one.member.path);
        release.iter().filter(counts).find_map(|one| {
            let MemberKind::File { sha256, .. } = &one.member.kind else { return None };
            let path = &one.member.path;
            match self.files.get(path) {
                Some(found) if found == sha256 => None,
                Some(_) => Some(format!("`{path}` has changed since")),
                None => Some(format!("they did not have `{path}`")),
            }
        })
    }
}

/// Scripts are written for the release, and compiled modules follow from their sources.
fn is_compared(path: &str) -> bool {
    let of_release =
        [project_files::FOLDER, packages::FOLDER].iter().any(|folder| path.starts_with(&format!("{folder}/")));
    let is_script = path.starts_with(&format!("{}/bin/", packages::FOLDER));
    of_release && !is_script && !path.ends_with(".pyc") && path != "env/pyvenv.cfg"
}

/// The `site-packages` of other environments that one sees through its `.pth` files.
pub fn layers(env_dir: &Path, libraries: &Path) -> Vec<(PathBuf, PathBuf)> {
    let site = env_dir.join(libraries);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&site).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pth") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for line in text.lines().map(str::trim).filter(|line| line.starts_with('/')) {
            // Only a folder of the same layout is another environment's.
            if let Some(env_dir) = Path::new(line).ancestors().nth(libraries.components().count())
                && env_dir.join(libraries) == Path::new(line)
                && Path::new(line) != site
            {
                found.push((env_dir.to_owned(), libraries.to_owned()));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ship::piece::{Origin, Piece};

    fn measured(path: &str, text: &str, part: Part) -> Vec<Measured> {
        measure(vec![Piece::new(path, Origin::Bytes(text.as_bytes().to_vec()), part)], &[]).unwrap()
    }

    #[test]
    fn a_file_that_tests_did_not_use_or_that_changed_since_is_named() {
        let mut tested = TestedFiles { python: "3".to_owned(), ..TestedFiles::default() };
        tested.add(&measured("env/lib/a.py", "1", Part::Application));
        assert_eq!(tested.differs(&measured("env/lib/a.py", "1", Part::Application), "3"), None);
        let changed = tested.differs(&measured("env/lib/a.py", "2", Part::Application), "3");
        assert_eq!(changed.as_deref(), Some("`env/lib/a.py` has changed since"));
        let unknown = tested.differs(&measured("app/b.py", "1", Part::Application), "3");
        assert_eq!(unknown.as_deref(), Some("they did not have `app/b.py`"));
        for path in ["env/bin/x", "env/lib/__pycache__/a.cpython-311.pyc", "run", "env/pyvenv.cfg"] {
            assert_eq!(tested.differs(&measured(path, "2", Part::Application), "3"), None, "{path}");
        }
        assert_eq!(tested.differs(&measured("python/x", "2", Part::Interpreter), "3"), None);
        assert!(tested.differs(&[], "3.1").is_some());
    }

    #[test]
    fn another_environment_is_seen_through_a_pth_file() {
        let folder = tempfile::tempdir().unwrap();
        let libraries = Path::new("lib/python3/site-packages");
        for name in ["web", "test"] {
            std::fs::create_dir_all(folder.path().join(name).join(libraries)).unwrap();
        }
        let other = folder.path().join("web").join(libraries);
        let text = format!("import x\n{}\n/usr/src\n", other.display());
        std::fs::write(folder.path().join("test").join(libraries).join("layer.pth"), text).unwrap();
        let found = layers(&folder.path().join("test"), libraries);
        assert_eq!(found, [(folder.path().join("web"), libraries.to_owned())]);
    }
}
