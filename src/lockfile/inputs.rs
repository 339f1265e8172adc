//! Collects the inputs of a lock: everything in the project that affects an environment's contents. Each input has a
//! name and lines of text that are the same on every machine: their digest shows whether it changed, and the lines show
//! what changed. Reads the project's files; starts nothing.

use std::path::{Path, PathBuf};

use crate::bounded;
use crate::error::ConfigError;
use crate::install::InstallRequest;
use crate::install::groups;
use crate::install::script;
use crate::lockfile::document::LockDocument;
use crate::lockfile::index::lock_path;
use crate::lockfile::target;
use crate::model::environment::{PackageKind, Packaging};
use crate::model::{EnvVariables, Environment, ParsedRequirementFile, ProjectSettings};
use crate::package::static_requirements;
use crate::requirements;
use crate::requirements::RequirementKind;

/// Files with a project's requirements if they are not in `pyproject.toml`.
const METADATA_FILES: [&str; 3] = ["pyproject.toml", "setup.cfg", "setup.py"];

/// Variables in an environment's `set_env` that affect resolution.
const SETTINGS: [&str; 14] = [
    "PIP_CONSTRAINT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_BINARY",
    "PIP_NO_DEPS",
    "PIP_NO_INDEX",
    "PIP_ONLY_BINARY",
    "PIP_PRE",
    "PIP_REQUIREMENT",
    "UV_EXCLUDE_NEWER",
    "UV_INDEX",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
];

/// The input with the versions of the base, in a layer.
const LAYER: &str = "layer_on";

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockInput {
    /// The name in `envo.lock`.
    pub name: String,
    pub lines: Vec<String>,
}

/// All inputs of the lock of an environment's Python.
#[derive(Debug, Clone)]
pub struct LockInputs {
    pub inputs: Vec<LockInput>,
    /// The request to the resolver.
    pub request: InstallRequest,
    /// The oldest Python that the project supports.
    pub lowest: Option<(u32, u32)>,
    /// The project's own folder if the resolver has to ask its build backend for requirements; it is not part of the
    /// lock itself.
    pub asked_of: Option<PathBuf>,
    /// The lock of the environment that this one is a layer on.
    pub base: Option<BaseLock>,
}

/// The part of a base's lock that decides about the locks of its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseLock {
    pub environment: String,
    /// Its versions, as constraints.
    pub pins: Vec<String>,
    /// Its requirements, for error messages.
    pub requirements: Vec<String>,
}

/// The values with which inputs are read.
#[derive(Debug, Clone, Copy)]
pub struct LockInputReader<'a> {
    pub project: &'a ProjectSettings,
    /// The variables of the environment's processes.
    pub variables: &'a EnvVariables,
}

impl LockInputs {
    /// Reads the inputs of `environment`.
    pub fn read(environment: &Environment, reading: LockInputReader<'_>) -> Result<Self, ConfigError> {
        let mut collected = CollectedInputs {
            root: &reading.project.root,
            inputs: Vec::new(),
            request: InstallRequest::new("lock", Vec::new()),
        };
        let dependencies = &environment.contents.dependencies;
        if environment.has_python() {
            collected.add("python", target::input_lines(&environment.python.base_python));
        }
        collected.add("platforms", dependencies.platforms.clone());
        let deps = requirements::parse(&dependencies.deps.get()?, RequirementKind::Deps, reading.variables)?;
        collected.requirements("deps", &deps);
        let constraints = requirements::parse(
            &environment.contents.installation.constraints.get()?,
            RequirementKind::Constraints,
            reading.variables,
        )?;
        collected.requirements("constraints", &constraints);
        collected.request.has_requirement_options =
            deps.requirements.iter().any(|requirement| requirement.contains(" --config-settings "));
        if !dependencies.groups.is_empty() {
            let requirements = groups::resolve(&reading.project.package_root, &dependencies.groups)?;
            collected.named("groups", requirements);
        }
        let (mut lowest, mut asked_of) = (None, None);
        if let Some(script) = &environment.contents.script {
            lowest = collected.script(&reading.project.root, &script.path)?;
        }
        if let Some(packaging) = &environment.package.packaging {
            (lowest, asked_of) = collected.project(&reading.project.package_root, packaging)?;
        }
        collected.settings(environment)?;
        let CollectedInputs { inputs, request, .. } = collected;
        let mut read = Self { inputs, request, lowest, asked_of, base: None };
        if let Some(base) = &environment.relations.layer_on {
            // Without a lock, the base has no versions to keep to.
            read.lay_on(base, &LockDocument::read(&lock_path(reading.project, base)).unwrap_or_default());
        }
        Ok(read)
    }

    /// Makes them the inputs of a layer on `base`, whose lock this is.
    pub fn lay_on(&mut self, base: &str, document: &LockDocument) {
        let pins = document.pins();
        let lines = std::iter::once(base.to_owned()).chain(pins.iter().cloned()).collect();
        self.inputs.retain(|input| input.name != LAYER);
        self.inputs.push(LockInput { name: LAYER.to_owned(), lines });
        let requirements =
            document.inputs.iter().filter(|(name, _)| *name != LAYER).flat_map(|(_, lines)| lines).cloned();
        self.base = Some(BaseLock { environment: base.to_owned(), pins, requirements: requirements.collect() });
    }

    /// Adds the inputs of another language in the environment, and the files of its own lock.
    pub fn add_language(&mut self, root: &Path, language: &str, lines: &[String], files: &[PathBuf]) {
        let mut collected =
            CollectedInputs { root, inputs: std::mem::take(&mut self.inputs), request: InstallRequest::default() };
        collected.add(language, lines.to_vec());
        let line = |file: &PathBuf| {
            let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
            file_line(file, &name).unwrap_or_else(|| format!("{name} is missing"))
        };
        collected.add(&format!("{language}-lock"), files.iter().map(line).collect());
        self.inputs = collected.inputs;
    }
}

/// The oldest Python that the project names, and its folder if its backend has to be asked.
type ProjectInputs = (Option<(u32, u32)>, Option<PathBuf>);

struct CollectedInputs<'a> {
    root: &'a Path,
    inputs: Vec<LockInput>,
    request: InstallRequest,
}

impl CollectedInputs<'_> {
    fn add(&mut self, name: &str, lines: Vec<String>) {
        let root = self.root.display().to_string();
        let lines: Vec<String> = lines.iter().map(|line| without_credentials(&line.replace(&root, "."))).collect();
        if !lines.is_empty() {
            self.inputs.push(LockInput { name: name.to_owned(), lines });
        }
    }

    /// Parsed requirements, with the metadata of local ones.
    fn requirements(&mut self, name: &str, read: &ParsedRequirementFile) {
        let mut lines: Vec<String> = read.requirements.clone();
        lines.extend(read.options.iter().cloned());
        lines.sort();
        lines.extend(read.requirements.iter().flat_map(|requirement| self.local(requirement)));
        self.add(name, lines);
        self.request.arguments.extend(read.arguments.iter().cloned());
        self.request.nested_options.extend(read.nested_options.iter().cloned());
    }

    fn named(&mut self, name: &str, requirements: Vec<String>) {
        let mut lines = requirements.clone();
        lines.sort();
        self.add(name, lines);
        self.request.arguments.extend(requirements);
    }

    /// Adds the requirements of a script (PEP 723). Returns the oldest Python that it names.
    fn script(&mut self, root: &Path, script: &str) -> Result<Option<(u32, u32)>, ConfigError> {
        let metadata = script::of(root, script)?;
        let requires_python = metadata.requires_python();
        let mut lines: Vec<String> = requires_python.iter().map(|text| format!("requires-python {text}")).collect();
        let requirements: Vec<String> = metadata.requirements(script)?.lines().map(str::to_owned).collect();
        lines.extend(requirements.iter().cloned());
        let lowest = requires_python.and_then(target::lower_bound);
        self.add("script", lines);
        self.request.arguments.extend(requirements);
        Ok(lowest)
    }

    /// The contents of a local requirement's files.
    fn local(&self, requirement: &str) -> Vec<String> {
        let text = requirement.trim_start_matches("-e ").trim();
        let path = text.split_once(" @ file://").map_or(text, |(_, path)| path);
        let path = path.split(['[', ' ', '#', ';']).next().unwrap_or_default();
        let is_path = text.contains('/') || text.starts_with('.') || requirement.starts_with("-e ");
        if !is_path || path.contains("://") {
            return Vec::new();
        }
        let place = self.root.join(path);
        if place.is_file() {
            return file_line(&place, path).into_iter().collect();
        }
        METADATA_FILES.iter().filter_map(|name| file_line(&place.join(name), &format!("{path}/{name}"))).collect()
    }

    /// Adds the project's own requirements. Returns the oldest Python it names, and its folder if its backend has to be
    /// asked.
    fn project(&mut self, folder: &Path, packaging: &Packaging) -> Result<ProjectInputs, ConfigError> {
        let requires_python = requires_python(folder);
        let lowest = requires_python.as_deref().and_then(target::lower_bound);
        let mut lines: Vec<String> = requires_python.iter().map(|text| format!("requires-python {text}")).collect();
        let asks_backend = matches!(packaging.kind, PackageKind::External | PackageKind::EditableLegacy);
        let known = if asks_backend { None } else { static_requirements(folder, &packaging.extras)? };
        if let Some(requirements) = known {
            let mut sorted = requirements.clone();
            sorted.sort();
            lines.extend(sorted);
            self.add("project", lines);
            self.request.arguments.extend(requirements);
            return Ok((lowest, None));
        }
        lines.extend(packaging.extras.iter().map(|extra| format!("extra {extra}")));
        lines.extend(METADATA_FILES.iter().filter_map(|name| file_line(&folder.join(name), name)));
        self.add("project", lines);
        let extras =
            if packaging.extras.is_empty() { String::new() } else { format!("[{}]", packaging.extras.join(",")) };
        self.request.arguments.push(format!("{}{extras}", folder.display()));
        Ok((lowest, Some(folder.to_owned())))
    }

    fn settings(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let set = environment.variables.set.get()?;
        let mut lines: Vec<String> = set
            .iter()
            .filter(|(name, _)| SETTINGS.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        lines.sort();
        if environment.contents.installation.pip_pre {
            lines.push("pip_pre".to_owned());
        }
        self.add("settings", lines);
        Ok(())
    }
}

fn file_line(path: &Path, name: &str) -> Option<String> {
    Some(format!("{name} sha256:{}", bounded::digest(path).ok()?))
}

fn requires_python(folder: &Path) -> Option<String> {
    let text = bounded::read_text(folder.join("pyproject.toml")).ok()?;
    let table: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    Some(table.get("project")?.get("requires-python")?.as_str()?.to_owned())
}

/// Credentials do not change the contents of an index, and do not belong in a lock.
pub fn without_credentials(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        result.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(credentials) => &after[credentials + 1..],
            None => after,
        };
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_left_out_and_versions_of_repositories_are_not() {
        for (text, expected) in [
            ("PIP_INDEX_URL=https://u:p@host/simple", "PIP_INDEX_URL=https://host/simple"),
            ("https://a@b/x https://c:d@e/y", "https://b/x https://e/y"),
            ("git+https://host/x.git@main", "git+https://host/x.git@main"),
            ("attrs>=1", "attrs>=1"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }
}
