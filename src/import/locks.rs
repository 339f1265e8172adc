//! Converts locks of other programs to requirements with exact versions: as `constraints` of an environment, they make
//! `envo lock` start from the versions that a project has been tested with.
//! <https://pipenv.pypa.io/en/latest/pipfile.html> <https://python-poetry.org/docs/basic-usage/> <https://pdm-project.org/>

use std::collections::BTreeSet;

use serde_json::Value;
use toml::Table;

use crate::error::ConfigError;
use crate::model::pep508::{Requirement, canonical_name};

/// Lines of a constraints file, and notes on what it cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    pub lines: BTreeSet<String>,
    pub notes: Vec<String>,
}

impl Pins {
    /// As the text of a constraints file.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn add(&mut self, name: &str, version: Option<&str>, marker: &str) {
        let Some(version) =
            version.map(|version| version.trim_start_matches('=')).filter(|version| !["", "*"].contains(version))
        else {
            self.notes.push(format!("{name}: it has no version, such as one from a folder or repository"));
            return;
        };
        let marker = if marker.is_empty() { String::new() } else { format!(" ; {marker}") };
        let line = format!("{}=={version}{marker}", canonical_name(name));
        match line.parse::<Requirement>() {
            // A line break would begin a line of its own.
            Ok(_) if !line.contains(char::is_control) => drop(self.lines.replace(line)),
            _ => self.notes.push(format!("{name}: `{line}` is not a valid requirement")),
        }
    }

    fn checked(self, what: &str) -> Result<Self, ConfigError> {
        if self.lines.is_empty() && self.notes.is_empty() {
            return Err(ConfigError::handled(format!("it contains no packages, so it is not a {what}")));
        }
        Ok(self)
    }
}

/// `Pipfile.lock`: default and development packages together.
pub fn pipfile(text: &str) -> Result<Pins, ConfigError> {
    let lock: Value =
        serde_json::from_str(text).map_err(|error| ConfigError::handled(format!("it is not valid JSON: {error}")))?;
    let mut pins = Pins::default();
    let categories = lock.as_object().into_iter().flatten().filter(|(name, _)| *name != "_meta");
    for (_, packages) in categories {
        for (name, package) in packages.as_object().into_iter().flatten() {
            let text = |key: &str| package.get(key).and_then(Value::as_str);
            pins.add(name, text("version"), text("markers").unwrap_or_default());
        }
    }
    pins.checked("Pipfile.lock")
}

/// `poetry.lock` and `pdm.lock`, which are alike in what is needed here.
pub fn packages(text: &str, what: &str) -> Result<Pins, ConfigError> {
    let lock: Table = text
        .trim_start_matches('\u{feff}')
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::handled(format!("it is not valid TOML: {error}")))?;
    let mut pins = Pins::default();
    for package in lock.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let Some(name) = text("name") else { continue };
        let is_elsewhere = ["path", "git"].iter().any(|key| package.get(key).is_some())
            || package
                .get("source")
                .and_then(|source| source.get("type"))
                .and_then(toml::Value::as_str)
                .is_some_and(|kind| kind != "legacy");
        // A marker of poetry may be one per group; the union is what a constraint needs, which is no marker at all.
        let marker = text("marker").or_else(|| text("markers")).unwrap_or_default();
        pins.add(name, text("version").filter(|_| !is_elsewhere), marker);
    }
    pins.checked(what)
}

/// What `pip-compile` writes: requirements with exact versions; hashes and options are left out.
pub fn requirements(text: &str) -> Result<Pins, ConfigError> {
    let mut pins = Pins::default();
    for line in text.replace("\\\n", " ").lines() {
        let line = line.split(" #").next().unwrap_or_default().split(" --").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        match line.parse::<Requirement>() {
            Ok(requirement) => {
                let version = requirement.specifiers.iter().find_map(|one| one.strip_prefix("=="));
                let marker = requirement.marker.as_ref().map(ToString::to_string).unwrap_or_default();
                pins.add(&requirement.name, version, &marker);
            }
            Err(_) => pins.notes.push(format!("`{line}` is not a requirement with a version")),
        }
    }
    pins.checked("requirements file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_lock_comes_to_exact_versions() {
        let pipenv = r#"{"_meta": {"hash": {"sha256": "x"}}, "default": {"Six": {"version": "==1.16.0", "hashes": []},
            "here": {"path": "."}}, "develop": {"colorama": {"version": "==0.4.6", "markers": "sys_platform == 'win32'"}, "idna": {"version": "*"}}}"#;
        let pins = pipfile(pipenv).unwrap();
        assert_eq!(pins.text(), "colorama==0.4.6 ; sys_platform == 'win32'\nsix==1.16.0\n");
        let note = |name: &str| format!("{name}: it has no version, such as one from a folder or repository");
        assert_eq!(pins.notes, ["here", "idna"].map(note));
        let poetry = "[[package]]\nname = \"six\"\nversion = \"1.16.0\"\nmarkers = \"python_version < '4'\"\n\
                      [[package]]\nname = \"mine\"\nversion = \"1\"\n[package.source]\ntype = \"git\"\n[metadata]\nx = 1\n";
        let pins = packages(poetry, "poetry.lock").unwrap();
        assert_eq!((pins.text().as_str(), pins.notes.len()), ("six==1.16.0 ; python_version < '4'\n", 1));
        let compiled = "# by pip-compile\n--index-url https://x\nsix==1.16.0 \\\n    --hash=sha256:1\n    # via a\nA.b[c]==2 ; x\n\
                        idna==3 ; python_version >= '3' # why\n-e ./lib\nopen>=1\n";
        let pins = requirements(compiled).unwrap();
        assert_eq!(pins.text(), "idna==3 ; python_version >= \"3\"\nsix==1.16.0\n");
        assert_eq!(pins.notes.len(), 2);
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        assert!(pipfile("[]").is_err() && pipfile("{").is_err());
        assert!(packages("x = 1", "poetry.lock").is_err() && packages("x =", "pdm.lock").is_err());
        assert!(requirements("# nothing\n").is_err());
    }
}
