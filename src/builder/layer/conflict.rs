//! Finds the two requirements behind a version that a layer and its base would have differently, and where both are
//! written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};

use crate::builder::env_builder::EnvBuilder;
use crate::builder::installation::Installing;
use crate::builder::layer::{LayerBase, installed};
use crate::env_error::EnvError;
use crate::error::{ConfigError, Location};
use crate::install::InstallRequest;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::model::pep508::{Requirement, canonical_name};
use crate::model::{EnvLayout, Environment, Interpreter};
use crate::package::CoreMetadata;
use crate::scratch::Scratch;
use crate::settings::Settings;

/// A search for requirements of a layer that its base does not satisfy.
pub struct ConflictSearch<'a> {
    pub env: &'a EnvBuilder,
    pub base: &'a LayerBase,
    pub request: &'a InstallRequest,
}

/// A requirement that the base's version does not satisfy.
struct Conflict {
    requirement: Requirement,
    /// The package that has the requirement, as `NAME VERSION`; `None`: the environment's settings do.
    requirer: Option<String>,
    /// The location of the requirement, or of one that leads to it.
    location: Option<Location>,
}

impl ConflictSearch<'_> {
    /// Looks at the requirements themselves.
    pub fn among_requirements(&self, interpreter: &Interpreter) -> Option<ConfigError> {
        let versions = self.base.versions();
        let requirement = requirements_in(&self.request.arguments)
            .into_iter()
            .find(|requirement| is_refused(requirement, &versions, interpreter))?;
        let name = canonical_name(&requirement.name);
        let location = written(&self.base.settings, &self.env.environment, &name).and_then(|line| line.location);
        Some(self.error(&Conflict { requirement, requirer: None, location }))
    }

    /// Looks at the requirements of what would be installed without the base. An installer's own explanation is not
    /// read.
    pub fn by_resolving(&self, installing: &mut Installing<'_>) -> Option<ConfigError> {
        let folder = Scratch::new_in(&self.env.environment.folders.env_dir, ".layer-").ok()?;
        installing.install_elsewhere(self.request, folder.path()).ok().filter(|succeeded| *succeeded)?;
        let purelib = folder.path().to_owned();
        let layout =
            EnvLayout { purelib: purelib.clone(), platlib: purelib.clone(), ..installing.layout().ok()?.clone() };
        let interpreter = installing.interpreter().ok()?;
        let versions = self.base.versions();
        for (name, package) in installed(&layout) {
            let Ok(metadata) = CoreMetadata::of_folder(&package.folder) else { continue };
            for text in metadata.requirements(&[]).unwrap_or_default() {
                let Ok(requirement) = text.parse::<Requirement>() else { continue };
                // What the base has of the package itself is not installed.
                if versions.contains_key(&name) || !is_refused(&requirement, &versions, interpreter) {
                    continue;
                }
                let edges = edges_of_installed(&layout);
                let origin = origin(&self.base.settings, &self.env.environment, &edges, &name);
                let requirer = Some(format!("{} {}", metadata.name, package.version));
                let location = origin.and_then(|line| line.location);
                return Some(self.error(&Conflict { requirement, requirer, location }));
            }
        }
        None
    }

    fn error(&self, conflict: &Conflict) -> ConfigError {
        let (layer, base) = (&self.env.environment.name, &self.base.environment.name);
        let name = canonical_name(&conflict.requirement.name);
        let version = self.base.versions().remove(&name).unwrap_or_default();
        let requirement = Requirement { marker: None, ..conflict.requirement.clone() };
        let text = match &conflict.requirer {
            Some(requirer) => format!("{requirer}, which `{layer}` needs, requires `{requirement}`"),
            None => format!("`{layer}` requires `{requirement}`"),
        };
        let text = format!("{text}, but `{base}`, which `{layer}` is a layer on, has {name} {version}");
        let error = ConfigError::fail(text).hint(because(self.base, &name, &version));
        let error = error.hint("change one of the two requirements, so that both can have the same version");
        located(self.base, layer, error, conflict.location.clone())
    }
}

/// The error for a package that was installed into a layer in another version than its base has.
pub fn of_installed(env: &EnvBuilder, base: &LayerBase, (name, theirs): (&str, &str), own: &str) -> EnvError {
    let (layer, below) = (&env.environment.name, &base.environment.name);
    let text = format!("`{layer}` has {name} {own}, but `{below}`, which it is a layer on, has {name} {theirs}");
    let error = ConfigError::fail(text).hint(because(base, name, theirs));
    let error = error.hint("a layer uses the packages of its base; change one of the two requirements");
    let location = written(&base.settings, &env.environment, name).and_then(|line| line.location);
    located(base, layer, error, location).into()
}

/// The error with the location, or that of the layer's `layer_on`.
fn located(base: &LayerBase, layer: &str, error: ConfigError, location: Option<Location>) -> ConfigError {
    let location = location.or_else(|| base.settings.written_at(layer, "layer_on"));
    location.into_iter().fold(error, ConfigError::at)
}

/// The requirements among the words of a request.
fn requirements_in(arguments: &[String]) -> Vec<Requirement> {
    let mut found = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "-r" | "-c" | "-e") {
            words.next();
        } else if let Ok(requirement) = word.parse() {
            found.push(requirement);
        }
    }
    found
}

fn is_refused(requirement: &Requirement, versions: &BTreeMap<String, String>, interpreter: &Interpreter) -> bool {
    let around = MarkerEnvironment { values: Some(&interpreter.markers), ..MarkerEnvironment::default() };
    let applies = requirement.marker.as_ref().is_none_or(|marker| marker.holds(&around).unwrap_or(false));
    let Some(version) = versions.get(&canonical_name(&requirement.name)).filter(|_| applies) else { return false };
    let specifiers: Vec<&str> = requirement.specifiers.iter().map(String::as_str).collect();
    match (VersionSpecifiers::from_str(&specifiers.join(",")), Version::from_str(version)) {
        (Ok(specifiers), Ok(version)) => !specifiers.contains(&version),
        // The installer decides about what is no version.
        _ => false,
    }
}

/// Why the base has the package, as a sentence.
fn because(base: &LayerBase, name: &str, version: &str) -> String {
    let owner = base.chain().find(|base| installed(&base.layout).contains_key(name)).unwrap_or(base);
    let below = &owner.environment.name;
    let edges = edges_of_installed(&owner.layout);
    let Some(line) = origin(&base.settings, &owner.environment, &edges, name) else {
        return format!("`{below}` has {name} {version} because the project or one of its packages requires it");
    };
    let place = line.location.as_ref().and_then(|place| Some((place.file.file_name()?.to_string_lossy(), place.line)));
    let place = place.map_or_else(String::new, |(file, line)| format!(" ({file}:{line})"));
    let leads = if line.name == name { "" } else { ", which requires it" };
    format!("`{below}` has {name} {version} for `{}`{place}{leads}", line.text)
}

/// A requirement in the settings of an environment.
struct WrittenRequirement {
    text: String,
    /// The package that it names, normalised.
    name: String,
    location: Option<Location>,
}

/// The requirement in `deps` that names the package.
fn written(settings: &Settings, environment: &Environment, package: &str) -> Option<WrittenRequirement> {
    let deps = environment.contents.dependencies.deps.get().ok()?;
    let line = deps.text.lines().map(str::trim).find(|line| {
        let text = line.split(" #").next().unwrap_or_default().trim();
        text.parse::<Requirement>().is_ok_and(|requirement| canonical_name(&requirement.name) == package)
    })?;
    let set = settings.environment(&environment.name);
    let location = settings.location_within(&set, "deps", line);
    Some(WrittenRequirement { text: line.to_owned(), name: package.to_owned(), location })
}

/// A package and one that requires it, both normalised.
type RequirementEdge = (String, String);

/// The requirements of the packages in a folder.
fn edges_of_installed(layout: &EnvLayout) -> Vec<RequirementEdge> {
    let mut edges = Vec::new();
    for (requirer, package) in installed(layout) {
        let requirements = CoreMetadata::of_folder(&package.folder).and_then(|metadata| metadata.requirements(&[]));
        for text in requirements.unwrap_or_default() {
            if let Ok(requirement) = text.parse::<Requirement>() {
                edges.push((canonical_name(&requirement.name), requirer.clone()));
            }
        }
    }
    edges
}

/// The requirement in `deps` that leads to the package.
fn origin(
    settings: &Settings,
    environment: &Environment,
    edges: &[RequirementEdge],
    package: &str,
) -> Option<WrittenRequirement> {
    let mut seen = BTreeSet::from([package]);
    let mut open = VecDeque::from([package]);
    while let Some(name) = open.pop_front() {
        if let Some(line) = written(settings, environment, name) {
            return Some(line);
        }
        let requirers = edges.iter().filter(|(required, _)| required == name).map(|(_, requirer)| requirer.as_str());
        open.extend(requirers.filter(|requirer| seen.insert(requirer)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requirements_are_read_from_a_request() {
        let words = ["flask<3", "-r", "requirements.txt", "--pre", "-e", ".", "six @ https://h/six.whl"];
        let found = requirements_in(&words.map(str::to_owned));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["flask<3", "six @ https://h/six.whl"]);
    }
}
