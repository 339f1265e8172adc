//! Represents a lock file: read from a resolver's output or from `locks/`, normalised to be the same on every machine,
//! and written by [`crate::lockfile::write`]. Leaves out upload times and sizes of files: they decide nothing, and mirrors
//! may differ in them.
//! <https://packaging.python.org/en/latest/specifications/pylock-toml/>
//! <https://packaging.python.org/en/latest/specifications/pylock-toml/>

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::percent_decode_str;
use toml::{Table, Value};

use crate::bounded;
use crate::lockfile::error::{LockError, conflict_marker};
use crate::python_text::path::{normalized, relative};

/// The lock of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockDocument {
    pub requires_python: String,
    /// Sorted by name.
    pub packages: Vec<LockedPackage>,
    /// The requirements, by the name of the input; only for reporting changes.
    pub inputs: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LockedPackage {
    /// Normalised.
    pub name: String,
    /// `None` for a package from a folder or repository.
    pub version: Option<String>,
    pub marker: Option<String>,
    pub requires_python: Option<String>,
    /// The index of its files, without credentials.
    pub index: Option<String>,
    /// Its source if it is not a file of an index.
    pub source: Option<LockedSource>,
    pub sdist: Option<LockedFile>,
    /// Sorted by name.
    pub wheels: Vec<LockedFile>,
}

/// The source of a package that is not a file of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockedSource {
    /// A folder, relative to the lock.
    Directory {
        path: String,
        editable: bool,
        subdirectory: Option<String>,
    },
    Repository {
        kind: String,
        url: String,
        requested: Option<String>,
        commit: String,
        subdirectory: Option<String>,
    },
    Archive {
        file: LockedFile,
        subdirectory: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LockedFile {
    pub name: String,
    pub url: Option<String>,
    /// Relative to the lock.
    pub path: Option<String>,
    /// By the name of the algorithm.
    pub hashes: BTreeMap<String, String>,
}

impl LockDocument {
    /// Reads the lock at `file`.
    pub fn read(file: &Path) -> Result<Self, LockError> {
        let malformed = |reason: String| LockError::Malformed { file: file.to_owned(), reason };
        let text = bounded::read_text(file).map_err(|error| malformed(error.to_string()))?;
        if let Some(line) = conflict_marker(&text) {
            return Err(LockError::MergeConflict { file: file.to_owned(), line });
        }
        Self::parse(&text).map_err(malformed)
    }

    /// Parses a lock. Its paths are left unchanged.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: Table =
            text.trim_start_matches('\u{feff}').parse().map_err(|error: toml::de::Error| error.to_string())?;
        match table.get("lock-version").and_then(Value::as_str) {
            Some(version) if version.starts_with("1.") || version == "1" => {}
            Some(version) => return Err(format!("its lock-version {version} is not supported")),
            None => return Err("it has no lock-version".to_owned()),
        }
        let packages = match table.get("packages") {
            Some(Value::Array(packages)) => packages,
            _ => return Err("it has no packages".to_owned()),
        };
        let package = |value: &Value| {
            if has_control(value) {
                return Err("a package has a line break or another control character in it".to_owned());
            }
            let package =
                value.as_table().ok_or("a package is not a table".to_owned()).and_then(LockedPackage::parse)?;
            let has_blanks = package.words().any(|word| word.contains(char::is_whitespace));
            if has_blanks {
                return Err(format!("`{}` has blanks in its name, version or hashes", package.name));
            }
            Ok(package)
        };
        let inputs = table.get("tool").and_then(|tool| tool.get("envo")).and_then(Value::as_table);
        let inputs = inputs.into_iter().flatten().map(|(name, lines)| {
            let lines = lines.as_array().into_iter().flatten().filter_map(|line| Some(line.as_str()?.to_owned()));
            (name.clone(), lines.collect::<Vec<String>>())
        });
        // None are written as no key.
        let inputs = inputs.filter(|(_, lines)| !lines.is_empty());
        let mut document = Self {
            requires_python: text_of(&table, "requires-python").unwrap_or_default(),
            packages: packages.iter().map(package).collect::<Result<_, _>>()?,
            inputs: inputs.collect(),
        };
        document.packages.sort();
        Ok(document)
    }

    /// Makes paths that are relative to `from` relative to `to`, and turns `file:` URLs into paths.
    pub fn relocate(&mut self, from: &Path, to: &Path) {
        for package in &mut self.packages {
            let archive = match &mut package.source {
                Some(LockedSource::Directory { path, .. }) => {
                    *path = relocated(path, from, to);
                    None
                }
                Some(LockedSource::Archive { file, .. }) => Some(file),
                _ => None,
            };
            for file in package.wheels.iter_mut().chain(&mut package.sdist).chain(archive) {
                if let Some(path) = file.url.as_deref().and_then(local_path) {
                    (file.url, file.path) = (None, Some(path));
                }
                if let Some(path) = &file.path {
                    file.path = Some(relocated(path, from, to));
                }
            }
        }
    }

    /// The versions of packages from an index, as constraints.
    pub fn pins(&self) -> Vec<String> {
        let pin = |package: &LockedPackage| {
            let marker = package.marker.as_ref().map(|marker| format!(" ; {marker}")).unwrap_or_default();
            Some(format!("{}=={}{marker}", package.name, package.version.as_ref()?))
        };
        self.packages.iter().filter(|package| package.source.is_none()).filter_map(pin).collect()
    }

    /// The first package with that name.
    pub fn package(&self, name: &str) -> Option<&LockedPackage> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl LockedPackage {
    fn parse(table: &Table) -> Result<Self, String> {
        let name = text_of(table, "name").ok_or("a package has no name")?;
        let fail = |reason: String| format!("package {name}: {reason}");
        let part = |key: &str| table.get(key).and_then(Value::as_table);
        let file = |table: &Table| LockedFile::parse(table).map_err(fail);
        let source = match (part("directory"), part("vcs"), part("archive")) {
            (Some(directory), ..) => Some(LockedSource::Directory {
                path: text_of(directory, "path").ok_or_else(|| fail("its directory has no path".to_owned()))?,
                editable: directory.get("editable").and_then(Value::as_bool) == Some(true),
                subdirectory: text_of(directory, "subdirectory"),
            }),
            (_, Some(vcs), _) => Some(LockedSource::Repository {
                kind: text_of(vcs, "type").ok_or_else(|| fail("its vcs has no type".to_owned()))?,
                url: text_of(vcs, "url")
                    .or_else(|| text_of(vcs, "path"))
                    .ok_or_else(|| fail("its vcs has no url".to_owned()))?,
                requested: text_of(vcs, "requested-revision"),
                commit: text_of(vcs, "commit-id").ok_or_else(|| fail("its vcs has no commit-id".to_owned()))?,
                subdirectory: text_of(vcs, "subdirectory"),
            }),
            (_, _, Some(archive)) => {
                Some(LockedSource::Archive { file: file(archive)?, subdirectory: text_of(archive, "subdirectory") })
            }
            _ => None,
        };
        let mut wheels = Vec::new();
        for wheel in table.get("wheels").and_then(Value::as_array).into_iter().flatten() {
            wheels.push(file(wheel.as_table().ok_or_else(|| fail("a wheel is not a table".to_owned()))?)?);
        }
        wheels.sort();
        Ok(Self {
            version: text_of(table, "version"),
            marker: text_of(table, "marker"),
            requires_python: text_of(table, "requires-python"),
            index: text_of(table, "index").map(|index| crate::lockfile::inputs::without_credentials(&index)),
            source,
            sdist: part("sdist").map(file).transpose()?,
            wheels,
            name,
        })
    }

    /// The parts that must be a single word in an installer's input.
    fn words(&self) -> impl Iterator<Item = &str> {
        let archive = match &self.source {
            Some(LockedSource::Archive { file, .. }) => Some(file),
            _ => None,
        };
        let hashes =
            self.files().chain(archive).flat_map(|file| file.hashes.iter().flat_map(|(one, other)| [one, other]));
        [&self.name].into_iter().chain(&self.version).chain(hashes).map(String::as_str)
    }

    /// Every file it may be installed from.
    pub fn files(&self) -> impl Iterator<Item = &LockedFile> {
        let archive = match &self.source {
            Some(LockedSource::Archive { file, .. }) => Some(file),
            _ => None,
        };
        self.sdist.iter().chain(&self.wheels).chain(archive)
    }

    /// Distinguishes it from others of its name, for users.
    pub fn version_text(&self) -> &str {
        match (&self.version, &self.source) {
            (Some(version), _) => version,
            (None, Some(LockedSource::Repository { commit, .. })) => commit.get(..12).unwrap_or(commit),
            (None, Some(LockedSource::Directory { path, .. })) => path,
            _ => "",
        }
    }
}

impl LockedFile {
    fn parse(table: &Table) -> Result<Self, String> {
        let hashes: BTreeMap<String, String> = table
            .get("hashes")
            .and_then(Value::as_table)
            .into_iter()
            .flatten()
            .filter_map(|(algorithm, value)| Some((algorithm.clone(), value.as_str()?.to_owned())))
            .collect();
        let url = text_of(table, "url").map(|url| crate::lockfile::inputs::without_credentials(&url));
        let path = text_of(table, "path");
        let from = url.as_deref().or(path.as_deref()).ok_or("a file has neither url nor path")?;
        let name = text_of(table, "name").unwrap_or_else(|| last_part(from));
        if hashes.is_empty() {
            return Err(format!("{name} has no hash, so tampering with it could not be detected"));
        }
        Ok(Self { name, url, path, hashes })
    }
}

/// Whether a text in the value contains control characters, which could start a new line in an installer's input. The
/// TOML parser limits the depth.
fn has_control(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(char::is_control),
        Value::Array(values) => values.iter().any(has_control),
        Value::Table(table) => table.iter().any(|(key, value)| key.contains(char::is_control) || has_control(value)),
        _ => false,
    }
}

fn text_of(table: &Table, key: &str) -> Option<String> {
    table.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// The file's name at the end of a URL or path.
pub fn last_part(from: &str) -> String {
    let from = from.split(['#', '?']).next().unwrap_or_default();
    percent_decode_str(from.rsplit('/').next().unwrap_or_default()).decode_utf8_lossy().into_owned()
}

fn local_path(url: &str) -> Option<String> {
    let path = url.strip_prefix("file://")?;
    Some(percent_decode_str(path.split(['#', '?']).next().unwrap_or_default()).decode_utf8_lossy().into_owned())
}

fn relocated(path: &str, from: &Path, to: &Path) -> String {
    relative(&normalized(&from.join(path)), &normalized(to)).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "lock-version = \"1.0\"\ncreated-by = \"uv\"\n";

    #[test]
    fn what_is_no_lock_is_refused_with_the_reason() {
        for (text, reason) in [
            ("x = ", "TOML parse error"),
            ("packages = []", "it has no lock-version"),
            ("lock-version = \"2.0\"\npackages = []", "its lock-version 2.0 is not supported"),
            (HEAD, "it has no packages"),
            (&format!("{HEAD}packages = [1]"), "a package is not a table"),
            (&format!("{HEAD}[[packages]]\nversion = \"1\""), "a package has no name"),
            (
                &format!("{HEAD}[[packages]]\nname = \"a\"\nsdist = {{ url = \"https://x/a.tar.gz\" }}"),
                "a.tar.gz has no hash",
            ),
            (
                &format!("{HEAD}[[packages]]\nname = \"a\"\nwheels = [{{ hashes = {{ a = \"1\" }} }}]"),
                "neither url nor path",
            ),
        ] {
            let error = LockDocument::parse(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn paths_are_relative_to_where_the_lock_is_kept() {
        for (path, from, to, expected) in [
            ("../lib", "/p/tmp", "/p/locks", "../lib"),
            ("/p/w/a.whl", "/tmp/x", "/p/locks", "../w/a.whl"),
            ("../../p", "/tmp/x", "/p/locks", ".."),
            ("/p/locks", "/x", "/p/locks", "."),
        ] {
            assert_eq!(relocated(path, Path::new(from), Path::new(to)), expected, "{path}");
        }
    }

    #[test]
    fn files_of_this_machine_become_paths_and_secrets_are_left_out() {
        let text = format!(
            "{HEAD}[[packages]]\nname = \"six\"\nversion = \"1\"\nwheels = [{{ url = \"file:///p/w%20x/six-1.whl\", hashes = \
             {{ sha256 = \"1\" }} }}]\nsdist = {{ url = \"https://u:p@h/six-1.tar.gz\", hashes = {{ sha256 = \"2\" }} }}\n"
        );
        let mut document = LockDocument::parse(&text).unwrap();
        document.relocate(Path::new("/tmp"), Path::new("/p/locks"));
        let six = document.package("six").unwrap();
        assert_eq!((six.wheels[0].url.as_deref(), six.wheels[0].path.as_deref()), (None, Some("../w x/six-1.whl")));
        assert_eq!(six.sdist.as_ref().unwrap().url.as_deref(), Some("https://h/six-1.tar.gz"));
    }
}
