//! What is known on this machine of the licences of locked packages of Ruby, Rust and Go: from what is installed and from the
//! caches of their tools. Nothing is asked on the network.

use std::path::{Path, PathBuf};

use crate::lock::ecosystems::locked::EcosystemLock;
use crate::lock::ecosystems::{Ecosystem, PackageKey};
use crate::lock::licences::Licence;
use crate::lock::licences::python::{folders_of, text_of};
use crate::lock::project::ProjectLocks;
use crate::model::EnvVariables;

/// Adds the licences that no lock states.
pub fn add(locks: &ProjectLocks<'_>, languages: &mut [EcosystemLock]) {
    let variables = &locks.run.host;
    for one in languages {
        let ecosystem = one.contents.ecosystem;
        let folder =
            locks.plan.environment(&one.environment).map(|environment| environment.folders.env_dir.join(&one.runtime));
        let gems = folder.ok().into_iter();
        let caches: Vec<PathBuf> = match ecosystem {
            Ecosystem::RubyGems => gems.map(|folder| folder.join("specifications")).collect(),
            Ecosystem::CratesIo => crate_sources(variables),
            Ecosystem::Go => module_cache(variables).into_iter().collect(),
            Ecosystem::PyPi | Ecosystem::Npm => continue,
        };
        for (key, package) in one.contents.packages.iter_mut().filter(|(_, package)| package.licence.is_none()) {
            package.licence = caches.iter().find_map(|cache| licence_in(ecosystem, cache, key));
        }
    }
}

fn licence_in(ecosystem: Ecosystem, cache: &Path, (name, version): &PackageKey) -> Option<String> {
    // What a lock says must not lead out of the cache.
    let is_plain = |text: &str| !text.split('/').any(|part| matches!(part, "" | "." | ".."));
    if !is_plain(name) || !is_plain(version) {
        return None;
    }
    match ecosystem {
        Ecosystem::RubyGems => {
            let exact = cache.join(format!("{name}-{version}.gemspec"));
            text_of(&exact).and_then(|text| Licence::of_gemspec(&text))
        }
        Ecosystem::CratesIo => {
            let manifest = cache.join(format!("{name}-{version}")).join("Cargo.toml");
            text_of(&manifest).and_then(|text| Licence::of_crate(&text))
        }
        Ecosystem::Go => {
            let module = cache.join(format!("{}@{}", escaped(name), escaped(version)));
            let texts = ["LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING"];
            texts.iter().find_map(|file| Licence::of_text(&text_of(&module.join(file))?))
        }
        Ecosystem::PyPi | Ecosystem::Npm => None,
    }
}

fn set(variables: &EnvVariables, name: &str) -> Option<PathBuf> {
    variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where Go keeps modules. <https://go.dev/ref/mod#module-cache>
fn module_cache(variables: &EnvVariables) -> Option<PathBuf> {
    let in_path = || std::env::split_paths(variables.get("GOPATH")?).next().filter(|path| path.is_absolute());
    let above = || in_path().or_else(|| set(variables, "HOME").map(|home| home.join("go")));
    set(variables, "GOMODCACHE").or_else(|| above().map(|path| path.join("pkg/mod")))
}

/// Where cargo unpacks crates. <https://doc.rust-lang.org/cargo/guide/cargo-home.html>
fn crate_sources(variables: &EnvVariables) -> Vec<PathBuf> {
    let home = set(variables, "CARGO_HOME").or_else(|| set(variables, "HOME").map(|home| home.join(".cargo")));
    home.map_or_else(Vec::new, |home| folders_of(&home.join("registry/src")))
}

/// A path or version as the module cache writes it: `!` and a small letter for each capital.
/// <https://go.dev/ref/mod#module-cache>
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(character.to_ascii_lowercase());
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_where_each_tool_keeps_packages() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("rack-3.0.gemspec", "s.licenses = [\"MIT\".freeze]\n"),
            ("serde-1.0/Cargo.toml", "[package]\nlicense = \"MIT OR Apache-2.0\"\n"),
            (
                "github.com/!burnt!sushi/toml@v1.0/LICENSE",
                "Permission is hereby granted, free of charge, to any person obtaining a copy",
            ),
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let of =
            |ecosystem, name: &str, version: &str| licence_in(ecosystem, folder.path(), &(name.into(), version.into()));
        assert_eq!(of(Ecosystem::RubyGems, "rack", "3.0").as_deref(), Some("MIT"));
        assert_eq!(of(Ecosystem::CratesIo, "serde", "1.0").as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(of(Ecosystem::Go, "github.com/BurntSushi/toml", "v1.0").as_deref(), Some("MIT"));
        assert_eq!(of(Ecosystem::RubyGems, "rack", "4.0"), None);
        assert_eq!(of(Ecosystem::CratesIo, "../serde", "1.0"), None);
    }
}
