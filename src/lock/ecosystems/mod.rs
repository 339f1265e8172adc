//! The locks of other languages: one reader per format, all with the same result, a list of packages with version,
//! hashes and requirements. [`locked`] finds the files of a project's environments, [`writing`] has the languages' own
//! tools write them.

mod bundler;
mod cargo;
mod go;
pub mod locked;
mod npm;
mod pnpm;
pub mod versions;
pub mod writing;
mod yarn;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

use crate::bounded;

/// The public registries of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    PyPi,
    Npm,
    RubyGems,
    CratesIo,
    Go,
}

impl Ecosystem {
    /// The name in OSV. <https://ossf.github.io/osv-schema/#defined-ecosystems>
    pub fn name(self) -> &'static str {
        match self {
            Self::PyPi => "PyPI",
            Self::Npm => "npm",
            Self::RubyGems => "RubyGems",
            Self::CratesIo => "crates.io",
            Self::Go => "Go",
        }
    }

    /// The language's name for users.
    pub fn language(self) -> &'static str {
        match self {
            Self::PyPi => "Python",
            Self::Npm => "Node.js",
            Self::RubyGems => "Ruby",
            Self::CratesIo => "Rust",
            Self::Go => "Go",
        }
    }

    /// The package URL of a package. <https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst>
    fn url(self, name: &str, version: &str) -> String {
        let kind = match self {
            Self::PyPi => "pypi",
            Self::Npm => "npm",
            Self::RubyGems => "gem",
            Self::CratesIo => "cargo",
            Self::Go => "golang",
        };
        let escaped = |text: &str| text.replace('%', "%25").replace('@', "%40").replace('+', "%2B");
        format!("pkg:{kind}/{}@{}", escaped(name), escaped(version))
    }
}

/// Identifies a package: its name and version.
pub type PackageKey = (String, String);

/// The origin of a package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PackageOrigin {
    /// The ecosystem's index, or a mirror of it.
    #[default]
    Index,
    /// The project itself, which is in no index.
    Own,
    /// A folder, repository or URL.
    Elsewhere(String),
}

/// One package of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EcosystemPackage {
    pub origin: PackageOrigin,
    /// Algorithms, by Python's names, and hexadecimal digits.
    pub hashes: BTreeSet<(String, String)>,
    /// The URL of its file.
    pub url: Option<String>,
    pub requires: BTreeSet<PackageKey>,
    /// The licence, if the lock states it.
    pub licence: Option<String>,
}

/// The packages of one language in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcosystemContents {
    pub ecosystem: Ecosystem,
    pub packages: BTreeMap<PackageKey, EcosystemPackage>,
    /// The project's direct requirements, if the lock states them.
    pub roots: BTreeSet<PackageKey>,
}

impl EcosystemContents {
    fn new(ecosystem: Ecosystem) -> Self {
        Self { ecosystem, packages: BTreeMap::new(), roots: BTreeSet::new() }
    }

    /// Adds a package, or new facts about an existing one.
    fn add(&mut self, key: PackageKey, package: EcosystemPackage) {
        let known = self.packages.entry(key).or_default();
        known.hashes.extend(package.hashes);
        known.requires.extend(package.requires);
        known.url = known.url.take().or(package.url);
        known.licence = known.licence.take().or(package.licence);
        if package.origin != PackageOrigin::Index {
            known.origin = package.origin;
        }
    }

    fn merge(&mut self, other: Self) {
        self.roots.extend(other.roots);
        other.packages.into_iter().for_each(|(key, package)| self.add(key, package));
    }

    /// Replaces the project's own folders among the roots by their requirements.
    #[must_use]
    fn without_own(mut self) -> Self {
        let own: BTreeSet<PackageKey> = self
            .packages
            .iter()
            .filter(|(_, one)| one.origin == PackageOrigin::Own)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &own {
            if let Some(package) = self.packages.remove(key) {
                self.roots.extend(package.requires);
            }
        }
        for package in self.packages.values_mut() {
            package.requires.retain(|key| !own.contains(key));
        }
        let packages = &self.packages;
        self.roots.retain(|key| packages.contains_key(key));
        self
    }

    /// The reference in a bill of materials: its package URL, or its origin.
    pub fn reference(&self, key: &PackageKey, package: &EcosystemPackage) -> String {
        match &package.origin {
            PackageOrigin::Elsewhere(from) => format!("{}:{}@{from}", self.ecosystem.name(), key.0),
            _ => self.ecosystem.url(&key.0, &key.1),
        }
    }
}

/// Reads the locks among `files`; `None` if none of them has a known format.
pub fn read(files: &[PathBuf]) -> Result<Option<EcosystemContents>, String> {
    let mut found: Option<EcosystemContents> = None;
    for file in files {
        let Some(contents) = read_one(file).map_err(|reason| format!("{}: {reason}", file.display()))? else {
            continue;
        };
        match &mut found {
            Some(found) => found.merge(contents),
            None => found = Some(contents),
        }
    }
    Ok(found.map(EcosystemContents::without_own))
}

fn read_one(file: &Path) -> Result<Option<EcosystemContents>, String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // A module without requirements has no sums.
    let sums = || bounded::read_text(file.with_file_name("go.sum")).unwrap_or_default();
    parse(name, || text_of(file), sums)
}

/// Parses a lock with that file name; `None` for an unknown name. `sums` is for Go.
pub fn parse(
    name: &str,
    text: impl FnOnce() -> Result<String, String>,
    sums: impl FnOnce() -> String,
) -> Result<Option<EcosystemContents>, String> {
    let reader: fn(&str) -> Result<EcosystemContents, String> = match name {
        "package-lock.json" | "npm-shrinkwrap.json" => npm::read,
        "pnpm-lock.yaml" => pnpm::read,
        "yarn.lock" => yarn::read,
        "Cargo.lock" => cargo::read,
        "Gemfile.lock" | "gems.locked" => bundler::read,
        "go.mod" => return go::read(&text()?, &sums()).map(Some),
        _ => return Ok(None),
    };
    reader(&text()?).map(Some)
}

fn text_of(file: &Path) -> Result<String, String> {
    let text = bounded::read_text(file).map_err(|error| error.to_string())?;
    match crate::lockfile::error::conflict_marker(&text) {
        Some(line) => Err(format!("line {line} is a merge conflict marker")),
        None => Ok(text),
    }
}

/// The hashes in `sha512-BASE64 sha1-BASE64` (<https://www.w3.org/TR/SRI/>); anything else is left out.
fn hashes_of_integrity(text: &str) -> BTreeSet<(String, String)> {
    let hash = |word: &str| {
        let (algorithm, digest) = word.split_once('-')?;
        Some((algorithm.to_owned(), hexadecimal(digest.split('?').next()?)?))
    };
    text.split_whitespace().filter_map(hash).collect()
}

/// Converts base 64 to hexadecimal digits.
fn hexadecimal(text: &str) -> Option<String> {
    let bytes = STANDARD_PAD_INDIFFERENT.decode(text).ok()?;
    (!bytes.is_empty()).then(|| crate::digest::hexadecimal(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a 1 → b 2, c 3` for each package.
    pub(super) fn lines(contents: &EcosystemContents) -> Vec<String> {
        let name = |(name, version): &PackageKey| format!("{name} {version}");
        let line = |(key, package): (&PackageKey, &EcosystemPackage)| {
            let requires: Vec<String> = package.requires.iter().map(name).collect();
            format!("{} → {}", name(key), requires.join(", ")).trim_end().to_owned()
        };
        contents.packages.iter().map(line).collect()
    }

    pub(super) fn roots(contents: &EcosystemContents) -> Vec<&str> {
        contents.roots.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn hashes_are_told_in_hexadecimal_digits() {
        let hashes = hashes_of_integrity("sha1-3q2+7w== sha512-AA nonsense sha256-! sha384-AAAAA");
        let expected = [("sha1", "deadbeef"), ("sha512", "00")];
        assert_eq!(hashes, expected.map(|(name, digits)| (name.to_owned(), digits.to_owned())).into());
    }

    /// One package that requires the next, in the format of each lock.
    #[test]
    fn chains_of_thirty_thousand_packages_are_read_and_drawn() {
        const COUNT: usize = 30_000;
        let chain = |link: &dyn Fn(usize, usize) -> String, between: &str| {
            (0..COUNT).map(|at| link(at, at + 1)).collect::<Vec<_>>().join(between)
        };
        let npm = chain(
            &|at, next| {
                format!("\"node_modules/p{at}\": {{\"version\": \"1\", \"dependencies\": {{\"p{next}\": \"1\"}}}}")
            },
            ",",
        );
        let cargo = |at, next| {
            format!(
                "[[package]]\nname = \"p{at}\"\nversion = \"1\"\nsource = \"sparse+x\"\ndependencies = [\"p{next}\"]"
            )
        };
        let packages = chain(&|at, _| format!("  p{at}@1: {{resolution: {{integrity: x}}}}"), "\n");
        let snapshots = chain(&|at, next| format!("  p{at}@1: {{dependencies: {{p{next}: '1'}}}}"), "\n");
        for (name, text) in [
            ("package-lock.json", format!("{{\"packages\": {{{npm}}}}}")),
            (
                "yarn.lock",
                chain(&|at, next| format!("p{at}@1:\n  version \"1\"\n  dependencies:\n    p{next} \"1\""), "\n\n"),
            ),
            ("pnpm-lock.yaml", format!("lockfileVersion: '9.0'\npackages:\n{packages}\nsnapshots:\n{snapshots}\n")),
            (
                "Gemfile.lock",
                format!("GEM\n  specs:\n{}\n", chain(&|at, next| format!("    p{at} (1)\n      p{next}"), "\n")),
            ),
            ("Cargo.lock", chain(&cargo, "\n")),
        ] {
            let contents = parse(name, || Ok(text), String::new).unwrap().unwrap();
            let contents = contents.without_own();
            assert_eq!(contents.packages.len(), COUNT, "{name}");
            let requirements: usize = contents.packages.values().map(|package| package.requires.len()).sum();
            assert_eq!(requirements, COUNT - 1, "{name}");
            let graph = crate::lock::graph::PackageGraph::of_language("a", "x", &contents);
            assert!(graph.tree().contains("(and what it requires)"), "{name}");
        }
        let many = |line: &dyn Fn(usize) -> String| (0..COUNT).map(line).collect::<String>();
        let requires = many(&|at| format!("require m/{at} v1\n"));
        let module = format!("module m\n{requires}{}", many(&|at| format!("replace m/{at} => n/{at} v2\n")));
        let contents = parse("go.mod", || Ok(module), String::new).unwrap().unwrap();
        assert!(contents.packages.keys().all(|(name, version)| name.starts_with("n/") && version == "v2"));
        let versions =
            many(&|at| format!("[[package]]\nname = \"p\"\nversion = \"{at}\"\ndependencies = [\"p {at}\"]\n"));
        let contents = parse("Cargo.lock", || Ok(versions), String::new).unwrap().unwrap();
        assert_eq!(contents.packages.len(), COUNT);
    }

    #[test]
    fn package_urls_are_those_of_the_specification() {
        assert_eq!(Ecosystem::Npm.url("@babel/core", "7.0.0"), "pkg:npm/%40babel/core@7.0.0");
        assert_eq!(Ecosystem::Go.url("golang.org/x/text", "v0.3.0"), "pkg:golang/golang.org/x/text@v0.3.0");
        assert_eq!(Ecosystem::CratesIo.url("a", "1.0.0+b"), "pkg:cargo/a@1.0.0%2Bb");
    }

    #[test]
    fn files_that_are_no_locks_are_passed_over_and_broken_ones_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let manifest = file("package.json", "{");
        assert_eq!(read(std::slice::from_ref(&manifest)), Ok(None));
        let error = read(&[manifest, file("package-lock.json", "{")]).unwrap_err();
        assert!(error.contains("package-lock.json: it is not valid JSON"), "{error}");
        let error = read(&[file("Cargo.lock", "version = 4\n<<<<<<< HEAD\n")]).unwrap_err();
        assert!(error.contains("line 2 is a merge conflict marker"), "{error}");
        assert!(read(&[folder.path().join("Gemfile.lock")]).is_err());
        let sums = file("go.sum", "");
        let mods = file("go.mod", "module m\n\ngo 1.22\n");
        assert_eq!(read(&[mods, sums]).unwrap().unwrap().packages.len(), 0);
    }
}
