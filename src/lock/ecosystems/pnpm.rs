//! Reads pnpm's `pnpm-lock.yaml` in its versions 6 and 9. <https://github.com/pnpm/spec/blob/master/lockfile/9.0.md>

use std::collections::BTreeSet;

use yaml_rust2::Yaml;

use crate::lock::ecosystems::{
    Ecosystem, EcosystemContents, EcosystemPackage, PackageKey, PackageOrigin, hashes_of_integrity,
};
use crate::source::yaml;

pub fn read(text: &str) -> Result<EcosystemContents, String> {
    let lock = &yaml::parse(text).map_err(|error| format!("it is not valid YAML: {error}"))?;
    let version = match &lock["lockfileVersion"] {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        _ => return Err("it has no `lockfileVersion`".to_owned()),
    };
    // Since version 9 a package's requirements are in a separate section.
    let edges = match version.split('.').next() {
        Some("6") => &lock["packages"],
        Some("9") => &lock["snapshots"],
        _ => return Err(format!("its lockfileVersion {version} is not known, only 6 and 9 are")),
    };
    let mut contents = EcosystemContents::new(Ecosystem::Npm);
    for (path, package) in entries(&lock["packages"]) {
        let key = key(path).ok_or_else(|| format!("`{path}` names no version"))?;
        let resolution = &package["resolution"];
        let elsewhere = |from: &str| PackageOrigin::Elsewhere(from.to_owned());
        let from = ["directory", "repo"].iter().find_map(|kind| resolution[*kind].as_str());
        let integrity = resolution["integrity"].as_str();
        let tarball = resolution["tarball"].as_str();
        let package = EcosystemPackage {
            origin: from.or(tarball.filter(|_| integrity.is_none())).map_or(PackageOrigin::Index, elsewhere),
            hashes: integrity.map(hashes_of_integrity).unwrap_or_default(),
            url: tarball.map(str::to_owned),
            requires: BTreeSet::new(),
            ..EcosystemPackage::default()
        };
        contents.add(key, package);
    }
    for (path, snapshot) in entries(edges) {
        let key = key(path).ok_or_else(|| format!("`{path}` names no version"))?;
        let requires = required(snapshot, &contents);
        if let Some(package) = contents.packages.get_mut(&key) {
            package.requires.extend(requires);
        }
    }
    let importers = entries(&lock["importers"]).map(|(_, importer)| importer);
    for importer in importers.chain(std::iter::once(lock)) {
        let asked = required(importer, &contents);
        contents.roots.extend(asked);
    }
    Ok(contents)
}

fn entries(yaml: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    yaml.as_hash().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str()?, value)))
}

/// `NAME@VERSION`, before version 9 with a slash, both possibly followed by peer dependencies: `(react@18.0.0)`.
fn key(path: &str) -> Option<PackageKey> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.split_once('(').map_or(path, |(path, _)| path);
    // The name may begin with `@`.
    let at = path.get(1..)?.find('@')? + 1;
    Some((path[..at].to_owned(), path[at + 1..].to_owned()))
}

fn required(entry: &Yaml, contents: &EcosystemContents) -> BTreeSet<PackageKey> {
    let kinds = ["dependencies", "optionalDependencies", "devDependencies"];
    let named = kinds.iter().flat_map(|kind| entries(&entry[*kind]));
    let key = |(name, value): (&str, &Yaml)| {
        let version = value.as_str().or_else(|| value["version"].as_str())?;
        let plain = version.split_once('(').map_or(version, |(version, _)| version);
        let own = (name.to_owned(), plain.to_owned());
        // The version of an alias contains the real name.
        let known = |key: &PackageKey| contents.packages.contains_key(key);
        if known(&own) { Some(own) } else { key(version).filter(known) }
    };
    named.filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::ecosystems::tests::{lines, roots};

    const NINE: &str = "lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      '@s/tool': {specifier: ^1, version: 1.0.0(leaf@2.0.0)}
      near: {specifier: 'link:../near', version: 'link:../near'}
    devDependencies:
      other: {specifier: 'npm:leaf@1', version: leaf@1.0.0}
packages:
  '@s/tool@1.0.0':
    resolution: {integrity: sha512-3q2+7w==}
  leaf@1.0.0:
    resolution: {integrity: sha1-AA==, tarball: https://r/leaf.tgz}
  leaf@2.0.0:
    resolution: {tarball: https://codeload.example/leaf}
snapshots:
  '@s/tool@1.0.0(leaf@2.0.0)':
    dependencies:
      leaf: 2.0.0
  leaf@1.0.0: {}
  leaf@2.0.0: {}
";

    const SIX: &str = "lockfileVersion: '6.0'
dependencies:
  leaf:
    specifier: ^1
    version: 1.0.0
packages:
  /leaf@1.0.0:
    resolution: {integrity: sha1-AA==}
    dependencies:
      '@s/more': 2.0.0
  /@s/more@2.0.0:
    resolution: {integrity: sha1-AA==}
";

    #[test]
    fn both_versions_say_who_requires_what() {
        let contents = read(NINE).unwrap();
        assert_eq!(roots(&contents), ["@s/tool", "leaf"]);
        assert_eq!(lines(&contents), ["@s/tool 1.0.0 → leaf 2.0.0", "leaf 1.0.0 →", "leaf 2.0.0 →"]);
        let leaf = &contents.packages[&("leaf".to_owned(), "2.0.0".to_owned())];
        assert_eq!(leaf.origin, PackageOrigin::Elsewhere("https://codeload.example/leaf".to_owned()));
        let contents = read(SIX).unwrap();
        assert_eq!(roots(&contents), ["leaf"]);
        assert_eq!(lines(&contents), ["@s/more 2.0.0 →", "leaf 1.0.0 → @s/more 2.0.0"]);
    }

    #[test]
    fn what_is_no_such_lock_is_refused_with_the_reason() {
        for (text, reason) in [
            ("a: [", "it is not valid YAML: line "),
            ("", "it has no `lockfileVersion`"),
            ("lockfileVersion: 5.4", "its lockfileVersion 5.4 is not known"),
            ("lockfileVersion: '9.0'\npackages: {leaf: {}}", "`leaf` names no version"),
            ("lockfileVersion: '9.0'\npackages: {'': {}}", "`` names no version"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
