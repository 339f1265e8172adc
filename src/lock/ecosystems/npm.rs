//! Reads npm's `package-lock.json` in its versions 2 and 3: a folder of `node_modules` per package, in which Node.js
//! finds requirements by searching that folder and all its parents.
//! <https://docs.npmjs.com/cli/v11/configuring-npm/package-lock-json>

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::lock::ecosystems::{
    Ecosystem, EcosystemContents, EcosystemPackage, PackageKey, PackageOrigin, hashes_of_integrity,
};

const FOLDER: &str = "node_modules/";

/// How much text the paths may have in which requirements are searched, in bytes. Large projects need a hundredth.
const MOST_TEXT: usize = 1 << 30;

pub fn read(text: &str) -> Result<EcosystemContents, String> {
    let lock: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("it is not valid JSON: {error}"))?;
    let Some(packages) = lock.get("packages").and_then(Value::as_object) else {
        return Err("it has no `packages`: npm 7 and newer write them".to_owned());
    };
    // Folders have the names of the links that lead to them.
    let links = packages.iter().filter(|(_, entry)| entry["link"] == true);
    let links: BTreeMap<&str, &str> =
        links.filter_map(|(path, entry)| Some((entry["resolved"].as_str()?, path.as_str()))).collect();
    let mut keys = BTreeMap::new();
    for (path, entry) in packages.iter().filter(|(_, entry)| entry["link"] != true) {
        keys.insert(path.as_str(), key(path, links.get(path.as_str()).copied(), entry)?);
    }
    let mut contents = EcosystemContents::new(Ecosystem::Npm);
    let mut text_left = MOST_TEXT;
    for (path, key) in &keys {
        let entry = &packages[*path];
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let package = EcosystemPackage {
            origin: origin(path, text("resolved")),
            hashes: text("integrity").map(hashes_of_integrity).unwrap_or_default(),
            url: text("resolved").filter(|url| url.starts_with("http")).map(str::to_owned),
            requires: required(path, packages, &keys, &mut text_left)?,
            licence: text("license").map(str::to_owned),
        };
        contents.add(key.clone(), package);
    }
    Ok(contents)
}

/// The name and version of the package at `path`, which may be the target of a link.
fn key(path: &str, link: Option<&str>, entry: &Value) -> Result<PackageKey, String> {
    let named = link.unwrap_or(path);
    let of_path = named.rsplit_once(FOLDER).map_or(named, |(_, name)| name);
    let name = entry.get("name").and_then(Value::as_str).unwrap_or(of_path);
    match entry.get("version").and_then(Value::as_str) {
        Some(version) => Ok((name.to_owned(), version.to_owned())),
        // Folders need no version.
        None if !path.contains(FOLDER) => Ok((name.to_owned(), String::new())),
        None => Err(format!("`{path}` has no version")),
    }
}

fn origin(path: &str, resolved: Option<&str>) -> PackageOrigin {
    match resolved {
        _ if path.starts_with("../") || path.starts_with('/') => PackageOrigin::Elsewhere(path.to_owned()),
        _ if !path.contains(FOLDER) => PackageOrigin::Own,
        Some(from) if !from.starts_with("http") => PackageOrigin::Elsewhere(from.to_owned()),
        _ => PackageOrigin::Index,
    }
}

fn required(
    path: &str,
    packages: &Map<String, Value>,
    keys: &BTreeMap<&str, PackageKey>,
    text_left: &mut usize,
) -> Result<BTreeSet<PackageKey>, String> {
    let kinds = ["dependencies", "optionalDependencies", "peerDependencies", "devDependencies"];
    // Development dependencies of a published package are not in the lock.
    let kinds = &kinds[..if path.contains(FOLDER) { 3 } else { 4 }];
    let names = kinds.iter().filter_map(|kind| packages[path].get(kind)?.as_object()).flat_map(Map::keys);
    let mut required = BTreeSet::new();
    for name in names {
        let place = found(path, name, packages, text_left)?;
        required.extend(place.and_then(|place| keys.get(place)).cloned());
    }
    Ok(required)
}

/// The path at which Node.js finds `name` from `path`; `None` if it is optional and missing.
fn found<'a>(
    path: &str,
    name: &str,
    packages: &'a Map<String, Value>,
    text_left: &mut usize,
) -> Result<Option<&'a str>, String> {
    let mut above = Some(path);
    while let Some(folder) = above {
        let place = if folder.is_empty() { format!("{FOLDER}{name}") } else { format!("{folder}/{FOLDER}{name}") };
        *text_left = text_left.checked_sub(place.len()).ok_or("its packages are nested too deep")?;
        if let Some((place, entry)) = packages.get_key_value(&place) {
            let target = entry.get("resolved").and_then(Value::as_str).filter(|_| entry["link"] == true);
            return Ok(Some(target.unwrap_or(place)));
        }
        above = match folder.rsplit_once('/') {
            Some((above, _)) => Some(above),
            None if folder.is_empty() => None,
            None => Some(""),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::ecosystems::tests::{lines, roots};

    const LOCK: &str = r#"{"name": "app", "lockfileVersion": 3, "packages": {
        "": {"name": "app", "dependencies": {"debug": "^4", "part": "1", "git": "x/y"}, "devDependencies": {"@s/tool": "1"}},
        "part": {"version": "1.0.0", "dependencies": {"debug": "^2"}},
        "part/node_modules/debug": {"version": "2.6.9", "resolved": "https://r/debug-2.tgz", "dependencies": {"ms": "2"}},
        "node_modules/part": {"resolved": "part", "link": true},
        "node_modules/debug": {"version": "4.0.0", "resolved": "https://r/debug-4.tgz", "integrity": "sha512-3q2+7w==",
            "dependencies": {"ms": "^2"}, "peerDependencies": {"gone": "1"}, "devDependencies": {"git": "1"}},
        "node_modules/debug/node_modules/ms": {"version": "2.1.0", "resolved": "https://r/ms.tgz"},
        "node_modules/ms": {"version": "2.0.0", "resolved": "https://r/ms-2.tgz"},
        "node_modules/alias": {"name": "real", "version": "1.0.0", "resolved": "https://r/real.tgz"},
        "node_modules/git": {"version": "1.0.0", "resolved": "git+ssh://git@h/x/y.git#abc"},
        "node_modules/@s/tool": {"version": "1.0.0", "dependencies": {"debug": "4", "alias": "1"}}
    }}"#;

    #[test]
    fn each_package_requires_what_node_finds_for_it() {
        let contents = read(LOCK).unwrap();
        let own = [("app".to_owned(), String::new()), ("part".to_owned(), "1.0.0".to_owned())];
        assert!(own.iter().all(|key| contents.packages[key].origin == PackageOrigin::Own));
        let git = &contents.packages[&("git".to_owned(), "1.0.0".to_owned())];
        assert_eq!(git.origin, PackageOrigin::Elsewhere("git+ssh://git@h/x/y.git#abc".to_owned()));
        let contents = contents.without_own();
        assert_eq!(roots(&contents), ["@s/tool", "debug", "debug", "git"]);
        let expected = [
            "@s/tool 1.0.0 → debug 4.0.0, real 1.0.0",
            "debug 2.6.9 → ms 2.0.0",
            "debug 4.0.0 → ms 2.1.0",
            "git 1.0.0 →",
            "ms 2.0.0 →",
            "ms 2.1.0 →",
            "real 1.0.0 →",
        ];
        assert_eq!(lines(&contents), expected);
        let debug = &contents.packages[&("debug".to_owned(), "4.0.0".to_owned())];
        assert_eq!(debug.hashes, [("sha512".to_owned(), "deadbeef".to_owned())].into());
        assert_eq!(debug.url.as_deref(), Some("https://r/debug-4.tgz"));
    }

    #[test]
    fn packages_nested_without_measure_are_refused() {
        let path = "a/".repeat(1 << 15);
        let names = (0..1000).map(|number| format!("\"x{number}\": \"1\"")).collect::<Vec<_>>().join(",");
        let lock = format!("{{\"packages\": {{\"{path}b\": {{\"dependencies\": {{{names}}}}}}}}}");
        assert_eq!(read(&lock).unwrap_err(), "its packages are nested too deep");
    }

    #[test]
    fn what_is_no_such_lock_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is not valid JSON"),
            ("[]", "it has no `packages`"),
            (r#"{"lockfileVersion": 1, "dependencies": {}}"#, "it has no `packages`"),
            (r#"{"packages": {"node_modules/a": {}}}"#, "`node_modules/a` has no version"),
            (r#"{"packages": {"node_modules/a": 1}}"#, "`node_modules/a` has no version"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
