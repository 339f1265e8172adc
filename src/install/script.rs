//! Reads the PEP 723 block of a Python script: its Python versions and dependencies.
//! <https://packaging.python.org/en/latest/specifications/inline-script-metadata/>

use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};
use toml::{Table, Value};

use super::groups::python_type;
use crate::error::ConfigError;
use crate::model::environment::ScriptSource;
use crate::model::interpreter::PythonVersion;
use crate::model::pep508::Requirement;
use crate::python_text::path;
use crate::python_text::python_repr;
use crate::python_text::repr;

/// A block has a few lines; a larger file is not a script.
const LARGEST: u64 = 5 * 1024 * 1024;

/// The block of one script.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScriptMetadata {
    /// `requires-python` as written.
    requires_python: Option<(String, VersionSpecifiers)>,
    /// `dependencies` as written, validated only when they are installed.
    dependencies: Option<Value>,
}

/// The script's path, which must exist below the project's root.
fn locate(root: &Path, script: &str) -> Result<PathBuf, ConfigError> {
    let path = path::joined(root, script);
    let found = path::resolved(&path);
    if !found.starts_with(path::resolved(root)) {
        let message = format!("script path {} escapes tox_root {}", python_repr(script), root.display());
        return Err(ConfigError::fail(message));
    }
    if !found.is_file() {
        return Err(ConfigError::fail(format!("script file not found: {}", path.display())));
    }
    Ok(found)
}

pub fn check_base_python(script: &ScriptSource) -> Result<(), ConfigError> {
    if !script.sets_base_python {
        return Ok(());
    }
    let text = "cannot set base_python with virtualenv-pep-723 runner; use requires-python in the script";
    Err(ConfigError::fail(text))
}

/// The metadata of an environment's script; empty if it has no block.
pub fn of(root: &Path, script: &str) -> Result<ScriptMetadata, ConfigError> {
    if script.is_empty() { Ok(ScriptMetadata::default()) } else { read(&locate(root, script)?) }
}

/// Reads the block of the script at `path`.
fn read(path: &Path) -> Result<ScriptMetadata, ConfigError> {
    let cannot = |error: std::io::Error| ConfigError::fail(format!("cannot read {}: {error}", path.display()));
    let size = path.metadata().map_err(cannot)?.len();
    if size > LARGEST {
        let shown = path.display();
        return Err(ConfigError::fail(format!(
            "script file {shown} is {size} bytes, exceeds the {LARGEST} byte limit"
        )));
    }
    let invalid =
        |error: String| ConfigError::fail(format!("invalid inline script metadata in {}: {error}", path.display()));
    let text = String::from_utf8(std::fs::read(path).map_err(cannot)?).map_err(|error| invalid(error.to_string()))?;
    ScriptMetadata::parse(&text).map_err(invalid)
}

impl ScriptMetadata {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
        let mut blocks = blocks(&text);
        let Some(block) = blocks.pop() else { return Ok(Self::default()) };
        if !blocks.is_empty() {
            return Err("multiple [script] metadata blocks found in script".to_owned());
        }
        let mut table: Table = block.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let requires_python = match table.remove("requires-python") {
            None => None,
            Some(Value::String(text)) => {
                let specifiers = specifiers(&text)?;
                Some((text, specifiers))
            }
            Some(other) => return Err(format!("requires-python must be a string, got {}", python_type(&other))),
        };
        Ok(Self { requires_python, dependencies: table.remove("dependencies") })
    }

    /// `requires-python` as written.
    pub fn requires_python(&self) -> Option<&str> {
        self.requires_python.as_ref().map(|(text, _)| text.as_str())
    }

    pub fn check_interpreter(&self, version: &PythonVersion) -> Result<(), ConfigError> {
        let Some((written, specifiers)) = &self.requires_python else { return Ok(()) };
        let release = [version.major, version.minor, version.micro].map(u64::from);
        let version = Version::new(release);
        if specifiers.contains(&version) {
            return Ok(());
        }
        let written = python_repr(written);
        Err(ConfigError::fail(format!("python {version} does not satisfy requires-python {written}")))
    }

    /// The requirements, one per line. `script` is named in errors.
    pub fn requirements(&self, script: &str) -> Result<String, ConfigError> {
        let entries = match &self.dependencies {
            None => return Ok(String::new()),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                let shown = repr(other);
                return Err(ConfigError::fail(format!("invalid dependencies {shown} in {script}: expected a list")));
            }
        };
        let mut lines = Vec::with_capacity(entries.len());
        for entry in entries {
            let parsed = match entry {
                Value::String(text) => text.parse::<Requirement>().map(|_| text).map_err(|error| error.to_string()),
                other => Err(format!("expected string or bytes-like object, got '{}'", python_type(other))),
            };
            let line = parsed.map_err(|error| {
                ConfigError::fail(format!("invalid dependency {} in {script}: {error}", repr(entry)))
            })?;
            lines.push(line.as_str());
        }
        Ok(lines.join("\n"))
    }
}

fn specifiers(text: &str) -> Result<VersionSpecifiers, String> {
    // Trailing or repeated commas have no meaning.
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        part.parse::<VersionSpecifiers>().map_err(|_| {
            format!("invalid requires-python {}: Invalid specifier: {}", python_repr(text), python_repr(part))
        })?;
    }
    parts.join(",").parse().map_err(|error| format!("invalid requires-python {}: {error}", python_repr(text)))
}

/// The contents of all `script` blocks: comment lines between `# /// script` and the last `# ///` of the same comment.
fn blocks(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let start = at + 1;
        let Some(kind) = block_type(lines[at]) else {
            at = start;
            continue;
        };
        let is_content = |line: &&&str| **line == "#" || line.starts_with("# ");
        let length = lines[start..].iter().take_while(is_content).count();
        let Some(end) = lines[start..start + length].iter().rposition(|line| *line == "# ///") else {
            at = start;
            continue;
        };
        if kind == "script" {
            let content = lines[start..start + end].iter();
            found.push(content.map(|line| format!("{}\n", line.get(2..).unwrap_or_default())).collect());
        }
        at = start + end + 1;
    }
    found
}

fn block_type(line: &str) -> Option<&str> {
    let kind = line.strip_prefix("# /// ")?;
    let fits = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        let metadata = ScriptMetadata::parse(text)?;
        let version = PythonVersion { major: 3, minor: 11, micro: 7, release_level: "final".to_owned(), serial: 0 };
        metadata.check_interpreter(&version).map_err(|error| error.message)?;
        metadata.requirements("x.py").map_err(|error| error.message)
    }

    fn with(content: &str) -> Result<String, String> {
        parsed(&format!("#!/usr/bin/env python\n# /// script\n{content}\n# ///\nprint()\n"))
    }

    #[test]
    fn a_block_says_what_a_script_needs() {
        let text = "\u{feff}# /// script\r\n#\r\n# dependencies = [\r\n#   'a>=1',\r\n# 'b; python_version > \"3\"',\r\n# ]\r\n# ///";
        assert_eq!(parsed(text).as_deref(), Ok("a>=1\nb; python_version > \"3\""));
        assert_eq!(parsed("print()").as_deref(), Ok(""));
        assert_eq!(with("# requires-python = '>=3.11,<4,'").as_deref(), Ok(""));
    }

    #[test]
    fn lines_that_are_no_comments_of_the_right_shape_end_a_block_before_it_is_one() {
        for line in ["#requires-python = '>=99'", "## dependencies = ['a']", "# requires-python = '>=99'\n", "x = 1"] {
            assert_eq!(with(line).as_deref(), Ok(""), "{line}");
        }
        assert_eq!(parsed("# /// script\n# dependencies = ['a']\n").as_deref(), Ok(""));
        assert_eq!(parsed("# /// other\n# dependencies = ['a']\n# ///\n").as_deref(), Ok(""));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        let two = parsed("# /// script\n# ///\n\n# /// script\n# requires-python = '>=99'\n# ///\n");
        assert_eq!(two.unwrap_err(), "multiple [script] metadata blocks found in script");
        let found = |line: &str| with(line).unwrap_err();
        assert_eq!(found("# requires-python = '>=99'"), "python 3.11.7 does not satisfy requires-python '>=99'");
        assert_eq!(found("# requires-python = 42"), "requires-python must be a string, got int");
        assert_eq!(found("# requires-python = 'x y'"), "invalid requires-python 'x y': Invalid specifier: 'x y'");
        assert_eq!(found("# dependencies = 42"), "invalid dependencies 42 in x.py: expected a list");
        assert_eq!(found("# dependencies = ''"), "invalid dependencies '' in x.py: expected a list");
        assert!(
            found("# dependencies = ['a', '-i http://x']").starts_with("invalid dependency '-i http://x' in x.py: ")
        );
        assert!(found("# dependencies = [\"a\\n-e .\"]").starts_with("invalid dependency 'a\\n-e .' in x.py: "));
        assert!(found("# dependencies = [42]").starts_with("invalid dependency 42 in x.py: "));
        assert!(!found("# dependencies = [broken").is_empty());
    }

    #[test]
    fn a_script_stays_below_the_root() -> Result<(), std::io::Error> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        std::fs::create_dir(&root)?;
        std::fs::write(root.join("a.py"), "")?;
        std::fs::write(folder.path().join("b.py"), "")?;
        assert!(locate(&root, "a.py").is_ok());
        assert!(locate(&root, "../root/a.py").is_ok());
        let message = |script: &str| locate(&root, script).unwrap_err().message;
        assert!(message("../b.py").contains("escapes tox_root"));
        assert!(message("sub/../../missing.py").contains("escapes tox_root"));
        assert!(message("missing.py").starts_with("script file not found: "));
        Ok(())
    }
}
