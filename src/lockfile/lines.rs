//! Converts a lock's packages to requirement lines with hashes, as pip before 26 reads them, and selects those that
//! apply to an environment.

use std::path::Path;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};

use crate::lockfile::document::{LockedFile, LockedPackage, LockedSource};
use crate::model::pep508::Marker;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::python_text::path::normalized;

/// The lines of packages with hashes, and of those that cannot have any. `folder`: the lock's folder.
pub fn of(packages: &[LockedPackage], folder: &Path) -> (Vec<String>, Vec<String>) {
    let (mut hashed, mut others) = (Vec::new(), Vec::new());
    for package in packages {
        let name = &package.name;
        let hashes = |files: &mut dyn Iterator<Item = &LockedFile>| {
            let hash = |(algorithm, value): (&String, &String)| format!(" --hash={algorithm}:{value}");
            files.flat_map(|file| file.hashes.iter().map(hash)).collect::<String>()
        };
        let fragment = |subdirectory: &Option<String>| {
            subdirectory.as_ref().map(|folder| format!("#subdirectory={folder}")).unwrap_or_default()
        };
        match &package.source {
            Some(LockedSource::Directory { path, editable, subdirectory }) => {
                let place = folder.join(path).join(subdirectory.as_deref().unwrap_or_default());
                let place = normalized(&place).display().to_string();
                others.push(if *editable { format!("-e {place}") } else { format!("{name} @ file://{place}") });
            }
            Some(LockedSource::Repository { kind, url, commit, subdirectory, .. }) => {
                // pip before 24.1 misreads the URL of a local repository in the other notation.
                others.push(match (url.starts_with("file:"), subdirectory) {
                    (true, Some(folder)) => format!("{kind}+{url}@{commit}#egg={name}&subdirectory={folder}"),
                    (true, None) => format!("{kind}+{url}@{commit}#egg={name}"),
                    _ => format!("{name} @ {kind}+{url}@{commit}{}", fragment(subdirectory)),
                });
            }
            Some(LockedSource::Archive { file, subdirectory }) => {
                let place = location_of(file, folder);
                hashed.push(format!(
                    "{name} @ {place}{}{}",
                    fragment(subdirectory),
                    hashes(&mut std::iter::once(file))
                ));
            }
            None => {
                let version = package.version.as_deref().unwrap_or_default();
                hashed.push(format!("{name}=={version}{}", hashes(&mut package.files())));
            }
        }
    }
    (hashed, others)
}

fn location_of(file: &LockedFile, folder: &Path) -> String {
    match (&file.url, &file.path) {
        (Some(url), _) => url.clone(),
        (None, Some(path)) => format!("file://{}", normalized(&folder.join(path)).display()),
        (None, None) => String::new(),
    }
}

/// Whether the package applies to such an environment.
pub fn applies(package: &LockedPackage, around: &MarkerEnvironment<'_>) -> Result<bool, String> {
    let Some(marker) = &package.marker else { return Ok(true) };
    let wrong = |_| format!("package {} has an invalid marker: {marker}", package.name);
    marker.parse::<Marker>().map_err(wrong)?.holds(around)
}

/// Whether `requires_python` allows this Python version.
pub fn fits_python(requires_python: &str, version: &str) -> bool {
    let (Ok(specifiers), Ok(version)) = (VersionSpecifiers::from_str(requires_python), Version::from_str(version))
    else {
        return requires_python.is_empty();
    };
    // A pre-release of a Python counts as that Python.
    specifiers.contains(&version.only_release())
}

/// Whether both versions are equal: `1.0` is `1`.
pub fn same_version(one: &str, other: &str) -> bool {
    one == other || matches!((Version::from_str(one), Version::from_str(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::document::LockDocument;

    #[test]
    fn packages_become_lines_with_hashes_where_there_can_be_some() {
        let text = r#"lock-version = "1.0"
[[packages]]
name = "archive"
archive = { path = "../w/archive-1.zip", subdirectory = "s", hashes = { sha256 = "1" } }
[[packages]]
name = "folder"
directory = { path = "../lib", editable = true }
[[packages]]
name = "repository"
vcs = { type = "git", url = "https://h/x", commit-id = "abc" }
[[packages]]
name = "here"
vcs = { type = "git", url = "file:///h/x", commit-id = "abc", subdirectory = "s" }
[[packages]]
name = "six"
version = "1"
wheels = [{ url = "https://h/six.whl", hashes = { sha256 = "2", sha512 = "3" } }]
"#;
        let (hashed, others) = of(&LockDocument::parse(text).unwrap().packages, Path::new("/p/locks"));
        assert_eq!(
            hashed,
            [
                "archive @ file:///p/w/archive-1.zip#subdirectory=s --hash=sha256:1",
                "six==1 --hash=sha256:2 --hash=sha512:3"
            ]
        );
        assert_eq!(
            others,
            ["-e /p/lib", "git+file:///h/x@abc#egg=here&subdirectory=s", "repository @ git+https://h/x@abc"]
        );
    }

    #[test]
    fn a_python_fits_or_does_not() {
        for (wanted, version, fits) in [
            ("==3.11.*", "3.11.7", true),
            ("==3.11.*", "3.12.0", false),
            (">=3.13", "3.13.0rc1", true),
            ("", "3", true),
        ] {
            assert_eq!(fits_python(wanted, version), fits, "{wanted} {version}");
        }
        assert!(same_version("1.0", "1") && same_version("x", "x") && !same_version("1.0", "1.0.1"));
    }
}
