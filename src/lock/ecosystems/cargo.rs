//! Reads Cargo's `Cargo.lock`: a table per crate, whose requirements are named as briefly as is unambiguous.
//! <https://doc.rust-lang.org/cargo/guide/cargo-toml-vs-cargo-lock.html>

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::lock::ecosystems::{Ecosystem, EcosystemContents, EcosystemPackage, PackageKey, PackageOrigin};

pub fn read(text: &str) -> Result<EcosystemContents, String> {
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| format!("it is not valid TOML: {}", error.message()))?;
    // The lock of a crate without dependencies contains only the crate itself.
    let Some(packages) = table.get("package").and_then(Value::as_array) else {
        return Err("it has no `package`".to_owned());
    };
    let mut keys: Vec<PackageKey> = Vec::new();
    for package in packages {
        let text = |key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("name"), text("version")) {
            (Some(name), Some(version)) => keys.push((name, version)),
            (name, _) => return Err(format!("the package `{}` has no version", name.unwrap_or_default())),
        }
    }
    let mut versions: BTreeMap<&str, BTreeMap<&str, &PackageKey>> = BTreeMap::new();
    for key in &keys {
        versions.entry(&key.0).or_default().insert(&key.1, key);
    }
    // Before version 3 the checksums are in a separate table.
    let apart = table.get("metadata").and_then(Value::as_table);
    let mut contents = EcosystemContents::new(Ecosystem::CratesIo);
    for (package, key) in packages.iter().zip(&keys) {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let source = text("source");
        let of_metadata = || apart?.get(&format!("checksum {} {} ({})", key.0, key.1, source?))?.as_str();
        let checksum = text("checksum").or_else(of_metadata);
        let required = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let package = EcosystemPackage {
            origin: origin(source),
            hashes: checksum.map(|digits| ("sha256".to_owned(), digits.to_owned())).into_iter().collect(),
            url: None,
            requires: required.filter_map(|named| meant(named.as_str()?, &versions)).collect(),
            ..EcosystemPackage::default()
        };
        contents.add(key.clone(), package);
    }
    Ok(contents)
}

fn origin(source: Option<&str>) -> PackageOrigin {
    match source {
        None => PackageOrigin::Own,
        Some(source) if source.starts_with("registry+") || source.starts_with("sparse+") => PackageOrigin::Index,
        Some(source) => PackageOrigin::Elsewhere(source.to_owned()),
    }
}

/// The package named by `NAME`, `NAME VERSION` or `NAME VERSION (SOURCE)`.
fn meant(named: &str, versions: &BTreeMap<&str, BTreeMap<&str, &PackageKey>>) -> Option<PackageKey> {
    let mut words = named.split(' ');
    let of_name = versions.get(words.next()?)?;
    let key = words.next().map_or_else(|| of_name.values().next(), |version| of_name.get(version))?;
    Some((*key).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::ecosystems::tests::{lines, roots};

    const LOCK: &str = r#"
version = 4
[[package]]
name = "app"
version = "0.1.0"
dependencies = ["bitflags 2.6.0", "own"]
[[package]]
name = "bitflags"
version = "1.3.2"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "aa"
[[package]]
name = "bitflags"
version = "2.6.0"
source = "sparse+https://index.example/"
[[package]]
name = "own"
version = "1.0.0"
source = "git+https://h/own?branch=main#abc"
dependencies = ["bitflags 1.3.2 (registry+https://github.com/rust-lang/crates.io-index)"]
[metadata]
"checksum bitflags 2.6.0 (sparse+https://index.example/)" = "bb"
"#;

    #[test]
    fn crates_of_one_name_are_told_apart() {
        let contents = read(LOCK).unwrap().without_own();
        assert_eq!(roots(&contents), ["bitflags", "own"]);
        assert_eq!(lines(&contents), ["bitflags 1.3.2 →", "bitflags 2.6.0 →", "own 1.0.0 → bitflags 1.3.2"]);
        let hashes: Vec<&str> =
            contents.packages.values().flat_map(|package| &package.hashes).map(|(_, digits)| digits.as_str()).collect();
        assert_eq!(hashes, ["aa", "bb"]);
        let own = &contents.packages[&("own".to_owned(), "1.0.0".to_owned())];
        assert_eq!(
            contents.reference(&("own".to_owned(), "1.0.0".to_owned()), own),
            "crates.io:own@git+https://h/own?branch=main#abc"
        );
    }

    #[test]
    fn what_is_no_such_lock_is_refused_with_the_reason() {
        for (text, reason) in [
            ("x = ", "it is not valid TOML"),
            ("version = 4", "it has no `package`"),
            ("[[package]]\nname = \"a\"", "the package `a` has no version"),
            ("package = [1]", "the package `` has no version"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
