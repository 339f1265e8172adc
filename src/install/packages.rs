//! Creates the requests that install the project's own packages and their requirements.

use super::InstallRequest;
use crate::error::ConfigError;
use crate::model::pep508::{Requirement, canonical_name};
use crate::model::requirements::RequirementText;
use crate::package::{BuiltPackage, PackageFile};

/// The requirements of a text in canonical form; `None` if it contains anything else.
pub fn plain_requirements(deps: &RequirementText) -> Option<Vec<String>> {
    let lines = deps.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.parse::<Requirement>().ok().map(|requirement| requirement.to_string())).collect()
}

/// The requirements of built packages, with replacements from `--force-dep`.
pub fn requirements(requirements: Vec<String>, forced: &[Requirement]) -> Result<Vec<String>, ConfigError> {
    if forced.is_empty() {
        return Ok(requirements);
    }
    let replaced = requirements.into_iter().map(|text| {
        let requirement: Requirement = text.parse().map_err(|error| ConfigError::fail(format!("{error}")))?;
        let name = canonical_name(&requirement.name);
        let replacement = forced.iter().rfind(|forced| canonical_name(&forced.name) == name);
        Ok(replacement.map_or(text, ToString::to_string))
    });
    replaced.collect()
}

/// The arguments that install `deps`, with replacements from `--force-dep`; those without a requirement of the same
/// name are appended.
pub fn forced_arguments(mut arguments: Vec<String>, forced: &[Requirement]) -> Vec<String> {
    let mut left: Vec<(String, &Requirement)> = Vec::new();
    for requirement in forced {
        let name = canonical_name(&requirement.name);
        match left.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = requirement,
            None => left.push((name, requirement)),
        }
    }
    for argument in &mut arguments {
        let Ok(requirement) = argument.parse::<Requirement>() else { continue };
        let name = canonical_name(&requirement.name);
        if let Some(at) = left.iter().position(|(known, _)| *known == name) {
            *argument = left.remove(at).1.to_string();
        }
    }
    arguments.extend(left.into_iter().map(|(_, requirement)| requirement.to_string()));
    arguments
}

/// The installations of the packages themselves, on every run: constraints do not apply, since their requirements are
/// installed already.
pub fn requests(packages: &[BuiltPackage]) -> Vec<InstallRequest> {
    let mut settings: Vec<(&str, &str)> = Vec::new();
    let mut files = Vec::new();
    let mut editable = Vec::new();
    for package in packages {
        let path = package.path.display().to_string();
        match &package.file {
            PackageFile::Wheel | PackageFile::Editable => files.push(path),
            PackageFile::Sdist { config_settings } => {
                for (key, value) in config_settings {
                    settings.retain(|(known, _)| known != key);
                    settings.push((key, value));
                }
                files.push(path);
            }
            PackageFile::EditableLegacy => editable.push(path),
        }
    }
    files.sort();
    editable.sort();
    let base = || vec!["--force-reinstall".to_owned(), "--no-deps".to_owned()];
    let mut requests = Vec::new();
    if !files.is_empty() {
        let mut arguments = base();
        arguments.extend(settings.iter().map(|(key, value)| format!("--config-settings={key}={value}")));
        arguments.extend(files);
        requests.push(InstallRequest::new("package", arguments));
    }
    if !editable.is_empty() {
        let mut arguments = base();
        arguments.extend(editable.into_iter().flat_map(|path| ["-e".to_owned(), path]));
        requests.push(InstallRequest::new("package", arguments));
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forced_dependencies_replace_those_of_their_name_and_are_added_where_there_are_none() {
        let forced = ["other==2", "A_b<3", "a-b<2"].map(|text| text.parse().expect("a requirement"));
        let arguments = ["-r", "other.txt", "a.b[x]>1", "c", "--pre"].map(str::to_owned).to_vec();
        assert_eq!(forced_arguments(arguments, &forced), ["-r", "other.txt", "a-b<2", "c", "--pre", "other==2"]);
        assert_eq!(forced_arguments(vec!["c".to_owned()], &[]), ["c"]);
    }

    #[test]
    fn packages_are_installed_by_force_and_without_what_they_require() {
        let package =
            |path: &str, file| BuiltPackage { path: path.into(), file, requirements: vec!["R[x]>1".to_owned()] };
        let config_settings = vec![("k".to_owned(), "v".to_owned())];
        let built = [
            package("/b.whl", PackageFile::Wheel),
            package("/a.tar.gz", PackageFile::Sdist { config_settings }),
            package("/src", PackageFile::EditableLegacy),
        ];
        let requests: Vec<String> = requests(&built).iter().map(|request| request.arguments.join(" ")).collect();
        let start = "--force-reinstall --no-deps";
        let expected = [format!("{start} --config-settings=k=v /a.tar.gz /b.whl"), format!("{start} -e /src")];
        assert_eq!(requests, expected);
        let forced: Vec<Requirement> = "r==3".parse().into_iter().collect();
        let required = built[0].requirements.clone();
        assert_eq!(requirements(required.clone(), &forced), Ok(vec!["r==3".to_owned()]));
        assert_eq!(requirements(required, &[]), Ok(vec!["R[x]>1".to_owned()]));
    }
}
