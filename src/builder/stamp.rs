//! Reads and writes `.tox-info.json` at the root of an environment: the record of finished work in tox's layout, so
//! that tox and envo can alternate on one folder. A section is recorded after its work is finished and the file is
//! replaced in one step, so an interrupted build never counts as finished.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::bounded;
use crate::python_text::ascii_json;

/// tox's sections, named after its classes.
pub mod section {
    /// Name and type of the environment.
    pub const ENVIRONMENT: &str = "ToxEnv";
    /// The interpreter it was made with.
    pub const PYTHON: &str = "Python";
    /// Dependencies of a run environment: `deps`, `dependency-groups`, `pylock`, `package_deps` (of `deps-only`).
    pub const RUN: &str = "PythonRun";
    /// The project in a run environment: `package_deps`.
    pub const PACKAGE: &str = "RunToxEnv";
    /// A packaging environment: `requires`, `deps`, `requires_for_build_…`.
    pub const PACKAGING: &str = "PythonPackageToxEnv";
}

/// The record's file, at the root of the environment.
pub const FILE_NAME: &str = ".tox-info.json";
/// Suffix of files that become a record once they are written.
const UNFINISHED: &str = ".tmp";

/// The section and sub-section that mark an environment as being removed; tox knows neither.
const REMOVAL: (&str, &str) = ("envo", "removal");

/// The record of one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamp {
    path: PathBuf,
    content: Map<String, Value>,
}

impl Stamp {
    /// Reads the record. A missing, unreadable or damaged file, or anything else at its path, is an empty record: the
    /// environment is then built again.
    pub fn read(env_dir: &Path) -> Self {
        let path = env_dir.join(FILE_NAME);
        // Reading a pipe or a device might never end.
        let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let text = if is_file { bounded::read(&path).ok() } else { None };
        let content = match text.and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(Value::Object(content)) => content,
            _ => Map::new(),
        };
        Self { path, content }
    }

    /// The recorded value, if any.
    pub fn get(&self, section: &str, sub_section: Option<&str>) -> Option<&Value> {
        let recorded = self.content.get(section)?;
        match sub_section {
            Some(name) => recorded.as_object()?.get(name),
            None => Some(recorded),
        }
    }

    /// The recorded value if it is an object: tox silently overwrites anything else.
    pub fn object(&self, section: &str, sub_section: Option<&str>) -> Option<&Map<String, Value>> {
        self.get(section, sub_section)?.as_object()
    }

    /// Whether exactly `value` was recorded.
    pub fn holds(&self, section: &str, sub_section: Option<&str>, value: &Value) -> bool {
        self.get(section, sub_section) == Some(value)
    }

    /// Records finished work and writes the file.
    pub fn record(&mut self, section: &str, sub_section: Option<&str>, value: Value) -> Result<()> {
        match sub_section {
            None => {
                self.content.insert(section.to_owned(), value);
            }
            Some(name) => {
                let recorded = self.content.entry(section).or_insert(Value::Null);
                if !recorded.is_object() {
                    *recorded = Value::Object(Map::new());
                }
                if let Some(recorded) = recorded.as_object_mut() {
                    recorded.insert(name.to_owned(), value);
                }
            }
        }
        self.write()
    }

    /// Replaces the record by a mark that the environment is being removed: what an interrupted removal leaves is
    /// unusable.
    pub fn begin_removal(env_dir: &Path) -> Result<()> {
        let mut stamp = Self { path: env_dir.join(FILE_NAME), content: Map::new() };
        stamp.record(REMOVAL.0, Some(REMOVAL.1), own_number(env_dir))
    }

    /// Whether envo was killed while removing the environment. A record written elsewhere, such as one that came with
    /// the project, names another folder.
    pub fn is_of_removal(&self) -> bool {
        let number = own_number(self.path.parent().unwrap_or(Path::new(".")));
        !number.is_null() && self.holds(REMOVAL.0, Some(REMOVAL.1), &number)
    }

    /// Clears the record; the file is removed with the environment's folder.
    pub fn reset(&mut self) {
        self.content.clear();
    }

    /// Removes unfinished records that a killed process left in `folder`. The environment must be locked, so that no
    /// other process is writing.
    pub fn sweep(folder: &Path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(FILE_NAME) && name.ends_with(UNFINISHED)) {
                // A leftover that cannot be removed does no harm.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn write(&self) -> Result<()> {
        let context = || format!("cannot write {}", self.path.display());
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(context)?;
        let mut file = tempfile::Builder::new()
            .prefix(&format!("{FILE_NAME}."))
            .suffix(UNFINISHED)
            .tempfile_in(folder)
            .with_context(context)?;
        // As Python's `json.dumps(…, indent=2)`: tox reads the file in the locale's encoding.
        let text = serde_json::to_string_pretty(&self.content).with_context(context)?;
        file.write_all(ascii_json(&text).as_bytes()).with_context(context)?;
        file.persist(&self.path).with_context(context)?;
        Ok(())
    }
}

/// A value that identifies a folder on this machine; null if it does not exist.
fn own_number(folder: &Path) -> Value {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = folder.symlink_metadata() else { return Value::Null };
    serde_json::json!({"device": metadata.dev(), "inode": metadata.ino()})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_reads_back_and_looks_as_python_writes_it() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut stamp = Stamp::read(folder.path());
        stamp.record("ToxEnv", None, json!({"name": "é𝄞", "type": "VirtualEnvRunner"}))?;
        stamp.record("PythonRun", Some("deps"), json!({"options": [], "requirements": ["a\"b"]}))?;
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME))?;
        let expected = "{\n  \"ToxEnv\": {\n    \"name\": \"\\u00e9\\ud834\\udd1e\",\n    \"type\": \"VirtualEnvRunner\"\n  },\n  \
                        \"PythonRun\": {\n    \"deps\": {\n      \"options\": [],\n      \"requirements\": [\n        \
                        \"a\\\"b\"\n      ]\n    }\n  }\n}";
        assert_eq!(text, expected);
        assert_eq!(Stamp::read(folder.path()), stamp);
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_record_is_compared_whole_and_in_any_order() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut stamp = Stamp::read(folder.path());
        assert!(!stamp.holds("A", Some("x"), &json!(1)));
        stamp.record("A", Some("x"), json!({"a": 1, "b": [2]}))?;
        assert!(stamp.holds("A", Some("x"), &json!({"b": [2], "a": 1})));
        assert!(!stamp.holds("A", Some("x"), &json!({"b": [2]})));
        assert!(stamp.object("A", None).is_some());
        Ok(())
    }

    #[test]
    fn a_damaged_file_counts_as_nothing_recorded() -> Result<()> {
        for text in ["", "{", "[1]", "null", "\u{feff}{}"] {
            let folder = tempfile::tempdir()?;
            std::fs::write(folder.path().join(FILE_NAME), text)?;
            assert!(Stamp::read(folder.path()).content.is_empty(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn sections_of_an_unexpected_shape_are_replaced() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(FILE_NAME), r#"{"PythonRun": ["deps"]}"#)?;
        let mut stamp = Stamp::read(folder.path());
        assert_eq!(stamp.get("PythonRun", Some("deps")), None);
        stamp.record("PythonRun", Some("deps"), json!({}))?;
        assert!(stamp.holds("PythonRun", None, &json!({"deps": {}})));
        Ok(())
    }

    #[test]
    fn a_removal_that_was_begun_leaves_nothing_else_on_record() -> Result<()> {
        let folder = tempfile::tempdir()?;
        Stamp::read(folder.path()).record("ToxEnv", None, json!({"name": "a"}))?;
        assert!(!Stamp::read(folder.path()).is_of_removal());
        Stamp::begin_removal(folder.path())?;
        let stamp = Stamp::read(folder.path());
        assert!(stamp.is_of_removal() && stamp.get("ToxEnv", None).is_none());
        Ok(())
    }

    #[test]
    fn a_removal_that_another_folder_tells_of_is_not_this_ones() -> Result<()> {
        let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
        Stamp::begin_removal(other.path())?;
        std::fs::copy(other.path().join(FILE_NAME), folder.path().join(FILE_NAME))?;
        assert!(!Stamp::read(folder.path()).is_of_removal());
        for forged in ["true", "{}", "null", r#"{"device": 0, "inode": 0}"#] {
            std::fs::write(folder.path().join(FILE_NAME), format!(r#"{{"envo": {{"removal": {forged}}}}}"#))?;
            assert!(!Stamp::read(folder.path()).is_of_removal(), "{forged}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_record_is_an_empty_record() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let pipe = folder.path().join(FILE_NAME);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
        assert_eq!(Stamp::read(folder.path()).get(section::ENVIRONMENT, None), None);
        Ok(())
    }

    #[test]
    fn a_link_is_neither_read_nor_written_through() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let outside = tempfile::tempdir()?;
        let target = outside.path().join("elsewhere.json");
        std::fs::write(&target, r#"{"A": 1}"#)?;
        std::os::unix::fs::symlink(&target, folder.path().join(FILE_NAME))?;
        let mut stamp = Stamp::read(folder.path());
        assert!(stamp.content.is_empty());
        stamp.record("B", None, json!(2))?;
        assert_eq!(std::fs::read_to_string(&target)?, r#"{"A": 1}"#);
        assert!(Stamp::read(folder.path()).holds("B", None, &json!(2)));
        Ok(())
    }
}
