//! Reads Go's `go.mod` and `go.sum`: since Go 1.17 the first lists every module; before, only direct requirements, and
//! the second lists the others. Neither records which module requires which.
//! <https://go.dev/ref/mod>
//! <https://go.dev/ref/mod>

use std::collections::BTreeMap;

use crate::lock::ecosystems::{Ecosystem, EcosystemContents, EcosystemPackage, PackageKey, PackageOrigin, hexadecimal};

/// The first version whose `go.mod` is complete.
const COMPLETE: (u32, u32) = (1, 17);

/// The replacement of a module and its origin.
type GoReplacement = (PackageKey, PackageOrigin);

pub fn read(text: &str, sums: &str) -> Result<EcosystemContents, String> {
    let mut hashes = BTreeMap::new();
    for line in sums.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, version, hash] = words[..] else { return Err(format!("go.sum: `{line}` is not a valid line")) };
        if !version.ends_with("/go.mod") {
            let digits = hash.strip_prefix("h1:").and_then(hexadecimal);
            hashes.insert((name.to_owned(), version.to_owned()), digits.map(|digits| ("sha256".to_owned(), digits)));
        }
    }
    let module = GoModule::read(text)?;
    let mut needed = module.requires;
    if module.version < COMPLETE {
        needed.extend(hashes.keys().cloned());
    }
    let mut contents = EcosystemContents::new(Ecosystem::Go);
    for key in needed {
        let every_version = || module.replaced.get(&(key.0.clone(), String::new()));
        let replaced = module.replaced.get(&key).or_else(every_version).cloned();
        let (key, origin) = replaced.unwrap_or((key, PackageOrigin::Index));
        let package = EcosystemPackage {
            origin,
            hashes: hashes.get(&key).cloned().flatten().into_iter().collect(),
            ..EcosystemPackage::default()
        };
        contents.roots.insert(key.clone());
        contents.add(key, package);
    }
    Ok(contents)
}

#[derive(Default)]
struct GoModule {
    version: (u32, u32),
    requires: Vec<PackageKey>,
    /// By the replaced module; without a version: all of them.
    replaced: BTreeMap<PackageKey, GoReplacement>,
}

impl GoModule {
    fn read(text: &str) -> Result<Self, String> {
        let (mut module, mut block, mut is_module) = (Self::default(), None, false);
        for (at, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
            let (directive, rest) = match (block, words.as_slice()) {
                (_, []) => continue,
                (Some(_), [")"]) => {
                    block = None;
                    continue;
                }
                (None, [directive, "("]) => {
                    block = Some(*directive);
                    continue;
                }
                (Some(directive), words) => (directive, words),
                (None, [directive, rest @ ..]) => (*directive, rest),
            };
            is_module |= directive == "module";
            module
                .take(directive, rest)
                .ok_or_else(|| format!("line {} is not one that Go writes: `{line}`", at + 1))?;
        }
        if is_module { Ok(module) } else { Err("it names no `module`".to_owned()) }
    }

    fn take(&mut self, directive: &str, words: &[&str]) -> Option<()> {
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        match (directive, words) {
            ("go", [version]) => {
                let mut parts = version.split('.').map(str::parse);
                self.version = (parts.next()?.ok()?, parts.next()?.unwrap_or_default());
            }
            ("require", [name, version]) => self.requires.push(key(name, version)),
            ("replace", words) => {
                let at = words.iter().position(|word| *word == "=>")?;
                let (before, after) = (&words[..at], &words[at + 1..]);
                let before = key(before.first()?, before.get(1).unwrap_or(&""));
                let after = match after {
                    [name, version] => (key(name, version), PackageOrigin::Index),
                    [path] => (before.clone(), PackageOrigin::Elsewhere((*path).to_owned())),
                    _ => return None,
                };
                self.replaced.insert(before, after);
            }
            ("require", _) => return None,
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::ecosystems::tests::lines;

    const MODULE: &str = "module example.org/app // this one

go 1.22.1

toolchain go1.22.3

require example.org/leaf v1.0.0
require (
\texample.org/old v1.0.0 // indirect
\texample.org/near v1.0.0
)

replace example.org/old => example.org/new v1.1.0
replace example.org/near v1.0.0 => ../near
exclude example.org/bad v1.0.0
retract [v1.0.0, v1.1.0]
";

    const SUMS: &str = "example.org/leaf v1.0.0 h1:3q2+7w==\nexample.org/leaf v1.0.0/go.mod h1:AA==\n\
                        example.org/more v0.1.0 h1:AA==\n";

    #[test]
    fn every_module_that_is_needed_is_known_with_what_takes_its_place() {
        let contents = read(MODULE, SUMS).unwrap();
        assert_eq!(
            lines(&contents),
            ["example.org/leaf v1.0.0 →", "example.org/near v1.0.0 →", "example.org/new v1.1.0 →"]
        );
        let of = |name: &str| contents.packages.iter().find(|(key, _)| key.0.ends_with(name)).unwrap().1;
        assert_eq!(of("leaf").hashes, [("sha256".to_owned(), "deadbeef".to_owned())].into());
        assert_eq!(of("near").origin, PackageOrigin::Elsewhere("../near".to_owned()));
    }

    #[test]
    fn before_the_list_was_complete_the_sums_say_what_is_needed() {
        let contents = read("module m\ngo 1.16\nrequire example.org/leaf v1.0.0\n", SUMS).unwrap();
        assert_eq!(lines(&contents), ["example.org/leaf v1.0.0 →", "example.org/more v0.1.0 →"]);
    }

    #[test]
    fn what_is_no_such_lock_is_refused_with_the_reason() {
        for (text, sums, reason) in [
            ("", "", "it names no `module`"),
            ("module m\nrequire a\n", "", "line 2 is not one that Go writes: `require a`"),
            ("module m\nreplace a\n", "", "line 2 is not one"),
            ("module m\ngo x\n", "", "line 2 is not one"),
            ("module m\n", "a b\n", "go.sum: `a b` is not a valid line"),
        ] {
            let error = read(text, sums).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
