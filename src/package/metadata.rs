//! Reads a project's name, requirements and extras: from `pyproject.toml` if they are complete there (PEP
//! 621), from a wheel, or from the folder a backend prepared.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::ConfigError;
use crate::model::pep508::Requirement;
use crate::package::archive;
use crate::package::extras;
use crate::package::extras::ConditionalRequirement;
use crate::package::pyproject;

/// Core metadata, as far as needed for installation.
#[derive(Debug, Clone)]
pub struct CoreMetadata {
    pub name: String,
    requirements: Vec<ConditionalRequirement>,
    extras: BTreeSet<String>,
}

impl CoreMetadata {
    /// Reads `METADATA` as text. `origin`: the owner of the metadata, for messages.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        let origin = origin.display();
        let mut name = None;
        let mut requirements = Vec::new();
        let mut extras = BTreeSet::new();
        for (key, value) in headers(text) {
            match key.to_ascii_lowercase().as_str() {
                "name" => name = name.or(Some(value)),
                "provides-extra" => {
                    extras.insert(value);
                }
                "requires-dist" => {
                    let requirement: Requirement = value.parse().map_err(|error| {
                        ConfigError::fail(format!("could not read the metadata of {origin}: {error}"))
                    })?;
                    requirements.push(ConditionalRequirement::from_marker(requirement));
                }
                _ => {}
            }
        }
        let Some(name) = name else {
            return Err(ConfigError::fail(format!("no Name in the metadata of {origin}")));
        };
        Ok(Self { name, requirements, extras })
    }

    pub fn of_wheel(wheel: &Path) -> Result<Self, ConfigError> {
        Self::parse(&archive::wheel_metadata(wheel)?, wheel)
    }

    /// The text of a wheel's metadata.
    pub fn text_of_wheel(wheel: &Path) -> Result<String, ConfigError> {
        archive::wheel_metadata(wheel)
    }

    /// Reads the `.dist-info` folder created by `prepare_metadata_for_build_wheel`.
    pub fn of_folder(folder: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(folder.join("METADATA")).map_err(|error| {
            ConfigError::fail(format!("could not read the metadata of {}: {error}", folder.display()))
        })?;
        Self::parse(&text, folder)
    }

    /// The requirements that apply with `extras`, in canonical form.
    pub fn requirements(&self, extras: &[String]) -> Result<Vec<String>, ConfigError> {
        extras::select(&self.requirements, extras, &self.name, Some(&self.extras))
    }
}

/// The headers of an RFC 822 text, up to its first empty line; a line that begins with a space continues the
/// one before.
pub fn headers(text: &str) -> Vec<(&str, String)> {
    let mut headers: Vec<(&str, String)> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { break };
        headers.push((key, value.trim().to_owned()));
    }
    headers
}

/// The requirements of the project at `root` with `extras`, if its `pyproject.toml` lists them all; `None` if
/// a backend has to be asked.
pub fn static_requirements(root: &Path, extras: &[String]) -> Result<Option<Vec<String>>, ConfigError> {
    let Some(document) = pyproject::read(root)? else { return Ok(None) };
    let Some(project) = document.get("project") else { return Ok(None) };
    let Some(project) = project.as_table() else {
        return Err(ConfigError::fail(format!("project must be a table, got {}", pyproject::repr(project))));
    };
    for dynamic in pyproject::strings(project, "project", "dynamic")? {
        if dynamic == "dependencies" || (!extras.is_empty() && dynamic == "optional-dependencies") {
            return Ok(None);
        }
    }
    let requirement = |text: String| {
        text.parse::<Requirement>()
            .map_err(|error| ConfigError::fail(format!("invalid requirement in pyproject.toml: {error}")))
    };
    let mut conditionals = Vec::new();
    for text in pyproject::strings(project, "project", "dependencies")? {
        conditionals.push(ConditionalRequirement::always(requirement(text)?));
    }
    let mut available = BTreeSet::new();
    if let Some(optional) = project.get("optional-dependencies") {
        let Some(optional) = optional.as_table() else {
            let got = pyproject::repr(optional);
            return Err(ConfigError::fail(format!("project.optional-dependencies must be a table, got {got}")));
        };
        for extra in optional.keys() {
            available.insert(extra.clone());
            for text in pyproject::strings(optional, "project.optional-dependencies", extra)? {
                conditionals.push(ConditionalRequirement::of_extra(requirement(text)?, extra));
            }
        }
    }
    let name = project.get("name").and_then(toml::Value::as_str).unwrap_or(".");
    extras::select(&conditionals, extras, name, Some(&available)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn from_project(toml: &str, extras: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pyproject.toml"), toml).unwrap();
        static_requirements(folder.path(), &words(extras))
    }

    #[test]
    fn metadata_is_read_up_to_the_description() {
        let text = "Metadata-Version: 2.1\nname: demo\nSummary: x\n  more: here\nRequires-Dist: A (>=1)\n\
                    Provides-Extra: alpha\nRequires-Dist: B;extra=='alpha'\n\nRequires-Dist: C\n";
        let metadata = CoreMetadata::parse(text, Path::new("x")).unwrap();
        assert_eq!(metadata.name, "demo");
        assert_eq!(metadata.requirements(&[]).unwrap(), ["A>=1"]);
        assert_eq!(metadata.requirements(&words("alpha")).unwrap(), ["A>=1", "B"]);
        let error = metadata.requirements(&words("beta")).expect_err("unknown");
        assert_eq!(error.message, "extras not found for package demo: beta (available: alpha)");
    }

    #[test]
    fn invalid_metadata_is_refused_with_its_origin() {
        let refused = |text: &str| CoreMetadata::parse(text, Path::new("/w.whl")).expect_err("bad metadata").message;
        assert_eq!(refused("Version: 1\n"), "no Name in the metadata of /w.whl");
        assert_eq!(
            refused("Name: a\nRequires-Dist: b c\n"),
            "could not read the metadata of /w.whl: Expected semicolon (after name with no version specifier) or end\n    \
             b c\n      ^"
        );
    }

    #[test]
    fn requirements_come_from_pyproject_when_they_are_all_there() {
        for (toml, extras, expected) in [
            ("[project]", "", ""),
            ("[project]\ndependencies=['B', 'A']", "", "B A"),
            (
                "[project]\ndependencies=['A']\noptional-dependencies.alpha=['B']\noptional-dependencies.beta=['C']",
                "alpha",
                "A B",
            ),
            (
                "[project]\ndependencies=['A']\noptional-dependencies.alpha=['B']\noptional-dependencies.beta=['C']",
                "alpha beta",
                "A B C",
            ),
            ("[project]\ndependencies=['A']\noptional-dependencies.Foo_Bar=['B']", "foo-bar", "A B"),
            ("[project]\ndependencies=['A']\noptional-dependencies.alpha=[]", "alpha", "A"),
            ("[project]\ndependencies=['A']\ndynamic=['optional-dependencies']", "", "A"),
            ("[project]\nname='foo'\ndependencies=['foo[alpha]']\noptional-dependencies.alpha=['A']", "", "A"),
            (
                "[project]\nname='foo'\ndependencies=['A']\noptional-dependencies.alpha=['B']\n\
                 optional-dependencies.beta=['foo[alpha]']\noptional-dependencies.delta=['foo[beta]', 'D']",
                "delta",
                "A D B",
            ),
            (
                "[project]\nname='foo'\noptional-dependencies.alpha=['foo[beta]', 'A']\n\
                 optional-dependencies.beta=['foo[alpha]', 'B']",
                "alpha",
                "A B",
            ),
            ("\u{feff}[project]\ndependencies=['A; os_name == \"nt\"']", "", "A;os_name==\"nt\""),
        ] {
            let found = from_project(toml, extras).unwrap().unwrap();
            let found: Vec<String> = found.iter().map(|requirement| requirement.replace(' ', "")).collect();
            assert_eq!(found, words(expected), "{toml}");
        }
    }

    #[test]
    fn a_backend_is_asked_for_dynamic_or_missing_metadata() {
        for (toml, extras) in [
            ("", ""),
            ("[build-system]\nrequires=[]", ""),
            ("[project]\ndynamic=['dependencies']", ""),
            ("[project]\ndynamic=['optional-dependencies']", "alpha"),
        ] {
            assert_eq!(from_project(toml, extras).unwrap(), None, "{toml}");
        }
        assert_eq!(static_requirements(tempfile::tempdir().unwrap().path(), &[]).unwrap(), None);
    }

    #[test]
    fn mistakes_in_pyproject_are_named() {
        for (toml, extras, expected) in [
            ("project = 1", "", "project must be a table, got 1"),
            ("[project]\ndependencies = 'a'", "", "project.dependencies must be a list of strings, got 'a'"),
            ("[project]\noptional-dependencies = [1]", "", "project.optional-dependencies must be a table, got [1]"),
            (
                "[project]\noptional-dependencies.x = [true]",
                "",
                "project.optional-dependencies.x must be a list of strings, got [True]",
            ),
            ("[project]\nname='demo'", "alpha", "extras not found for package demo: alpha (available: none)"),
            (
                "[project]\ndependencies = ['a b']",
                "",
                "invalid requirement in pyproject.toml: Expected semicolon (after name with no version specifier) or end\n    a b\n      ^",
            ),
        ] {
            assert_eq!(from_project(toml, extras).expect_err(toml).message, expected);
        }
    }
}
