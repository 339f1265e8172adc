//! Reads `[build-system]` of `pyproject.toml` (PEP 518, PEP 517): the backend of a project and its requirements. Starts
//! nothing.

use std::path::{Component, Path, PathBuf};

use toml::Table;

use crate::error::ConfigError;
use crate::model::pep508::Requirement;
use crate::package::pyproject;
use crate::python_text::python_repr;

const LEGACY_REQUIREMENT: &str = "setuptools>=40.8.0";
const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";

/// `[build-system]` with PEP 517's defaults for missing keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSystem {
    /// In canonical form.
    pub requires: Vec<String>,
    /// Folders inside the project that contain the backend itself, absolute.
    pub backend_path: Vec<PathBuf>,
    pub module: String,
    /// The object inside the module, if the module itself is not the backend.
    pub object: Option<String>,
}

impl BuildSystem {
    /// Reads `[build-system]` of the project at `root`.
    pub fn read(root: &Path) -> Result<Self, ConfigError> {
        let document = pyproject::read(root)?.unwrap_or_default();
        let nothing = Table::new();
        let table = match document.get("build-system") {
            None => &nothing,
            Some(toml::Value::Table(table)) => table,
            Some(other) => {
                return Err(ConfigError::fail(format!("build-system must be a table, got {}", pyproject::repr(other))));
            }
        };
        let backend_path = pyproject::strings(table, "build-system", "backend-path")?;
        let backend_path = backend_path.iter().map(|entry| in_tree(root, entry)).collect::<Result<_, _>>()?;
        let requires = if table.contains_key("requires") {
            let texts = pyproject::strings(table, "build-system", "requires")?;
            texts.iter().map(|text| canonical(text)).collect::<Result<_, _>>()?
        } else {
            vec![LEGACY_REQUIREMENT.to_owned()]
        };
        let backend = match table.get("build-backend") {
            None => LEGACY_BACKEND,
            Some(toml::Value::String(backend)) => backend,
            Some(other) => {
                let got = pyproject::repr(other);
                return Err(ConfigError::fail(format!("build-system.build-backend must be a string, got {got}")));
            }
        };
        let mut parts = backend.split(':');
        let module = parts.next().unwrap_or_default().to_owned();
        let object = parts.next().filter(|object| !object.is_empty()).map(str::to_owned);
        Ok(Self { requires, backend_path, module, object })
    }

    /// `module:object`, as the setting is written.
    pub fn key(&self) -> String {
        match &self.object {
            Some(object) => format!("{}:{object}", self.module),
            None => self.module.clone(),
        }
    }
}

/// A requirement in canonical form.
pub(super) fn canonical(text: &str) -> Result<String, ConfigError> {
    match text.parse::<Requirement>() {
        Ok(requirement) => Ok(requirement.to_string()),
        Err(error) => Err(ConfigError::fail(format!("invalid build requirement: {error}"))),
    }
}

fn in_tree(root: &Path, entry: &str) -> Result<PathBuf, ConfigError> {
    let relative = Path::new(entry);
    let leads_inside = !entry.contains('\0') && relative.is_relative() && stays_below(root, relative);
    if leads_inside {
        return Ok(root.join(relative));
    }
    let shown = python_repr(entry);
    Err(ConfigError::fail(format!(
        "build-system.backend-path entry {shown} must be a relative path inside the project {}",
        root.display()
    )))
}

/// Whether `relative` stays below `root` when all symbolic links are followed. Its components need not exist.
fn stays_below(root: &Path, relative: &Path) -> bool {
    let Ok(root) = root.canonicalize() else { return false };
    let mut location = root.clone();
    for component in relative.components() {
        match component {
            Component::ParentDir => {
                location.pop();
            }
            Component::Normal(name) => location.push(name),
            _ => {}
        }
        match location.canonicalize() {
            Ok(resolved) => location = resolved,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return false,
        }
    }
    location.starts_with(&root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<BuildSystem, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pyproject.toml"), toml).unwrap();
        let root = folder.path().display().to_string();
        BuildSystem::read(folder.path()).map_err(|error| error.message.replace(&root, "ROOT"))
    }

    #[test]
    fn a_project_that_says_nothing_is_built_by_setuptools() {
        let folder = tempfile::tempdir().unwrap();
        let bare = BuildSystem::read(folder.path()).unwrap();
        assert_eq!(bare.requires, ["setuptools>=40.8.0"]);
        assert_eq!((bare.module.as_str(), bare.object.as_deref()), ("setuptools.build_meta", Some("__legacy__")));
        assert_eq!(bare.key(), "setuptools.build_meta:__legacy__");
        assert_eq!(read("[project]\nname = 'x'").unwrap(), bare);
    }

    #[test]
    fn what_is_written_is_taken() {
        let system =
            read("[build-system]\nrequires = ['b >= 1']\nbuild-backend = 'x.y'\nbackend-path = ['.', 'new']").unwrap();
        assert_eq!(system.requires, ["b>=1"]);
        assert_eq!(system.key(), "x.y");
        assert_eq!(system.backend_path.len(), 2);
    }

    #[test]
    fn mistakes_are_reported_in_the_words_of_tox() {
        for (toml, expected) in [
            ("build-system = 3", "build-system must be a table, got 3"),
            ("[build-system]\nrequires = 'x'", "build-system.requires must be a list of strings, got 'x'"),
            ("[build-system]\nrequires = [1]", "build-system.requires must be a list of strings, got [1]"),
            ("[build-system]\nbuild-backend = []", "build-system.build-backend must be a string, got []"),
            (
                "[build-system]\nbackend-path = ['../x']",
                "build-system.backend-path entry '../x' must be a relative path inside the project ROOT",
            ),
            (
                "[build-system]\nbackend-path = ['/x']",
                "build-system.backend-path entry '/x' must be a relative path inside the project ROOT",
            ),
            (
                "[build-system]\nrequires = ['a b']",
                "invalid build requirement: Expected semicolon (after name with no version specifier) or end\n    a b\n      ^",
            ),
        ] {
            assert_eq!(read(toml).expect_err(toml), expected);
        }
    }

    #[test]
    fn a_backend_path_may_not_leave_the_project_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(folder.path(), root.join("out")).unwrap();
        std::fs::write(root.join("pyproject.toml"), "[build-system]\nbackend-path = ['out/x']").unwrap();
        assert!(BuildSystem::read(&root).expect_err("outside").message.contains("entry 'out/x' must be a relative"));
    }
}
