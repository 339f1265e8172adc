//! Resolves the shims of version managers (pyenv, asdf, mise): scripts on PATH that look up the active version and run
//! it. Running one costs tens of milliseconds and fails if no version is active, so this reads the same files itself.
//! Starts no process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::model::EnvVariables;

/// Files with a version, and the word that a line must begin with.
const VERSION_FILES: [(&str, Option<&str>); 2] = [(".python-version", None), (".tool-versions", Some("python"))];

/// Variables that name the active version; they take precedence over files.
const VERSION_VARIABLES: [&str; 3] = ["PYENV_VERSION", "MISE_PYTHON_VERSION", "ASDF_PYTHON_VERSION"];

/// Larger files are not version files.
const LARGEST_VERSION_FILE: u64 = 4096;

/// Whether `path` is in a shim folder of a version manager.
pub fn is_shim(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|name| name == "shims")
}

/// The program the shim at `path` would run in `current_dir`; `None` if no active version has such a program.
pub fn target(path: &Path, variables: &EnvVariables, current_dir: &Path) -> Option<PathBuf> {
    let (root, name) = (path.parent()?.parent()?, path.file_name()?);
    let installs: Vec<PathBuf> = [root.join("versions"), root.join("installs").join("python")]
        .into_iter()
        .filter(|folder| folder.is_dir())
        .collect();
    active_versions(root, variables, current_dir).iter().find_map(|version| {
        installs.iter().find_map(|folder| {
            let program = installation(folder, version)?.join("bin").join(name);
            is_program(&program).then_some(program)
        })
    })
}

pub fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn active_versions(root: &Path, variables: &EnvVariables, current_dir: &Path) -> Vec<String> {
    let named = VERSION_VARIABLES.iter().find_map(|name| variables.text(name).filter(|value| !value.is_empty()));
    if let Some(value) = named {
        return value.split([':', ' ']).filter(|version| !version.is_empty()).map(str::to_owned).collect();
    }
    let home = variables.get("HOME").map(Path::new);
    let nearest = current_dir
        .ancestors()
        .chain(home)
        .find_map(|folder| VERSION_FILES.iter().find_map(|(name, word)| read_versions(&folder.join(name), *word)));
    nearest.or_else(|| read_versions(&root.join("version"), None)).unwrap_or_default()
}

/// The versions a file names, in order; `None` if it does not exist or names none.
fn read_versions(file: &Path, word: Option<&str>) -> Option<Vec<String>> {
    let metadata = fs::metadata(file).ok()?;
    if !metadata.is_file() || metadata.len() > LARGEST_VERSION_FILE {
        return None;
    }
    let content = fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&content);
    let versions: Vec<String> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter_map(|line| match word {
            Some(word) => line.trim_start().strip_prefix(word).filter(|rest| rest.starts_with(char::is_whitespace)),
            None => Some(line),
        })
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    (!versions.is_empty()).then_some(versions)
}

/// The folder of a version: exactly that, or the newest with the name as a prefix (`3.11` for 3.11.7).
fn installation(folder: &Path, version: &str) -> Option<PathBuf> {
    let version = version.strip_prefix("python-").unwrap_or(version);
    if version.contains('/') || matches!(version, "." | ".." | "system") {
        return None;
    }
    let exact = folder.join(version);
    if exact.is_dir() {
        return Some(exact);
    }
    let prefix = format!("{version}.");
    let patch = |name: &str| name.strip_prefix(&prefix).and_then(|rest| rest.parse::<u32>().ok());
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some((patch(entry.ok()?.file_name().to_str()?)?, prefix.as_str())))
        .max()
        .map(|(patch, prefix)| folder.join(format!("{prefix}{patch}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PyenvShim {
        folder: tempfile::TempDir,
    }

    impl PyenvShim {
        fn new(versions: &[&str]) -> Self {
            let pyenv = Self { folder: tempfile::tempdir().unwrap() };
            for version in versions {
                pyenv.program(&format!("root/versions/{version}/bin/python3"));
            }
            pyenv.program("root/shims/python3");
            fs::create_dir_all(pyenv.path("project/below")).unwrap();
            pyenv
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn program(&self, name: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn target(&self, variables: &[(&str, &str)]) -> Option<String> {
            let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let target = target(&self.path("root/shims/python3"), &variables, &self.path("project/below"))?;
            let version = target.strip_prefix(self.path("root/versions")).unwrap().iter().next().unwrap();
            Some(version.to_str().unwrap().to_owned())
        }
    }

    #[test]
    fn a_variable_goes_before_the_nearest_file_before_the_global_version() {
        let pyenv = PyenvShim::new(&["3.8.1", "3.9.1", "3.10.1"]);
        assert_eq!(pyenv.target(&[]), None);
        fs::write(pyenv.path("root/version"), "3.8.1\n").unwrap();
        assert_eq!(pyenv.target(&[]).as_deref(), Some("3.8.1"));
        fs::write(pyenv.path("project/.python-version"), "# mine\n3.9.1\n").unwrap();
        assert_eq!(pyenv.target(&[]).as_deref(), Some("3.9.1"));
        assert_eq!(pyenv.target(&[("PYENV_VERSION", "3.10.1")]).as_deref(), Some("3.10.1"));
        assert_eq!(pyenv.target(&[("PYENV_VERSION", "system")]), None);
    }

    #[test]
    fn a_shortened_version_means_its_newest_patch() {
        let pyenv = PyenvShim::new(&["3.9.2", "3.9.10", "3.9-dev"]);
        assert_eq!(pyenv.target(&[("PYENV_VERSION", "3.9")]).as_deref(), Some("3.9.10"));
        assert_eq!(pyenv.target(&[("PYENV_VERSION", "3")]), None);
    }

    #[test]
    fn the_first_active_version_that_has_the_program_is_taken() {
        let pyenv = PyenvShim::new(&["3.9.2"]);
        fs::create_dir_all(pyenv.path("root/versions/3.7.1/bin")).unwrap();
        assert_eq!(pyenv.target(&[("PYENV_VERSION", "3.7.1:3.6.1:3.9.2")]).as_deref(), Some("3.9.2"));
    }

    #[test]
    fn tool_versions_name_python_among_others() {
        let pyenv = PyenvShim::new(&["3.9.2"]);
        fs::write(pyenv.path("project/.tool-versions"), "nodejs 20.1\npython 3.7.1 3.9.2 # comment\n").unwrap();
        assert_eq!(pyenv.target(&[]).as_deref(), Some("3.9.2"));
    }

    #[test]
    fn versions_that_lead_elsewhere_and_odd_files_are_ignored() {
        let pyenv = PyenvShim::new(&["3.9.2"]);
        for value in ["..", ".", "../versions/3.9.2", "/", "no such"] {
            assert_eq!(pyenv.target(&[("PYENV_VERSION", value)]), None, "{value}");
        }
        fs::write(pyenv.path("root/version"), "3.9.2\n").unwrap();
        fs::write(pyenv.path("project/.python-version"), vec![b'x'; 5000]).unwrap();
        fs::create_dir(pyenv.path("project/below/.python-version")).unwrap();
        fs::write(pyenv.path("project/below/.tool-versions"), b"\xff\xfe").unwrap();
        assert_eq!(pyenv.target(&[]).as_deref(), Some("3.9.2"));
    }
}
