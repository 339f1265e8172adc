//! Reads Bundler's `Gemfile.lock`: sections of lines distinguished by their indentation.
//! <https://bundler.io/guides/rationale.html> <https://bundler.io/man/bundle-lock.1.html>

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::ecosystems::{Ecosystem, EcosystemContents, EcosystemPackage, PackageKey, PackageOrigin};

pub fn read(text: &str) -> Result<EcosystemContents, String> {
    let mut reading = GemfileLockReader::default();
    for (at, line) in text.lines().enumerate() {
        reading.line(line).ok_or_else(|| format!("line {} is not one that Bundler writes: `{line}`", at + 1))?;
    }
    if !reading.has_sections {
        return Err("it has no section `GEM`, `GIT` or `PATH`".to_owned());
    }
    Ok(reading.finish())
}

/// One gem, for one platform.
struct LockedGem {
    key: PackageKey,
    origin: PackageOrigin,
    requires: Vec<String>,
}

#[derive(Default)]
struct GemfileLockReader {
    section: String,
    remote: String,
    has_sections: bool,
    gems: Vec<LockedGem>,
    asked: Vec<String>,
    checksums: Vec<(PackageKey, (String, String))>,
}

impl GemfileLockReader {
    /// `None` for an invalid line.
    fn line(&mut self, line: &str) -> Option<()> {
        let content = line.trim_start_matches(' ');
        let indented = line.len() - content.len();
        if indented == 0 {
            line.clone_into(&mut self.section);
            self.has_sections |= matches!(line, "GEM" | "GIT" | "PATH");
            return Some(());
        }
        match (self.section.as_str(), indented) {
            ("GEM" | "GIT" | "PATH", 2) => {
                if let Some(remote) = content.strip_prefix("remote: ") {
                    remote.clone_into(&mut self.remote);
                }
            }
            ("GEM" | "GIT" | "PATH", 4) => {
                let gem = LockedGem { key: key(content)?, origin: self.origin(), requires: Vec::new() };
                self.gems.push(gem);
            }
            ("GEM" | "GIT" | "PATH", 6) => self.gems.last_mut()?.requires.push(name(content)),
            ("DEPENDENCIES", 2) => self.asked.push(name(content.trim_end_matches('!'))),
            ("CHECKSUMS", 2) => {
                // An unknown hash is left out.
                let key = key(content)?;
                let hashes = content.rsplit(' ').next()?.split(',').filter_map(|hash| hash.split_once('='));
                let known = hashes.map(|(kind, digits)| (key.clone(), (kind.to_owned(), digits.to_owned())));
                self.checksums.extend(known);
            }
            _ => {}
        }
        Some(())
    }

    fn origin(&self) -> PackageOrigin {
        match self.section.as_str() {
            "GEM" => PackageOrigin::Index,
            "PATH" if self.remote == "." => PackageOrigin::Own,
            _ => PackageOrigin::Elsewhere(self.remote.clone()),
        }
    }

    fn finish(self) -> EcosystemContents {
        // The first entry of a name counts; its gems for other platforms have the same key.
        let keys: BTreeMap<&str, &PackageKey> =
            self.gems.iter().rev().map(|gem| (gem.key.0.as_str(), &gem.key)).collect();
        let meant = |names: &[String]| -> BTreeSet<PackageKey> {
            names.iter().filter_map(|name| keys.get(name.as_str())).map(|key| (*key).clone()).collect()
        };
        let mut hashes: BTreeMap<&PackageKey, BTreeSet<(String, String)>> = BTreeMap::new();
        for (key, hash) in &self.checksums {
            hashes.entry(key).or_default().insert(hash.clone());
        }
        let mut contents = EcosystemContents::new(Ecosystem::RubyGems);
        contents.roots = meant(&self.asked);
        for gem in &self.gems {
            let package = EcosystemPackage {
                origin: gem.origin.clone(),
                hashes: hashes.get(&gem.key).cloned().unwrap_or_default(),
                url: None,
                requires: meant(&gem.requires),
                ..EcosystemPackage::default()
            };
            contents.add(gem.key.clone(), package);
        }
        contents
    }
}

/// The text before the version or its bounds.
fn name(content: &str) -> String {
    content.split(' ').next().unwrap_or_default().trim_end_matches('!').to_owned()
}

/// `NAME (VERSION)` or `NAME (VERSION-PLATFORM)`: gems for several platforms count as one.
fn key(content: &str) -> Option<PackageKey> {
    let version = content.split_once(" (")?.1.split_once(')')?.0;
    let version = version.split_once('-').map_or(version, |(version, _)| version);
    Some((name(content), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::ecosystems::tests::{lines, roots};

    const LOCK: &str = "GIT
  remote: https://h/own.git
  revision: abc
  branch: main
  specs:
    own (0.1.0)
      rack (>= 2)

PATH
  remote: .
  specs:
    app (1.0.0)
      nokogiri

GEM
  remote: https://rubygems.org/
  specs:
    nokogiri (1.16.0)
      mini_portile2 (~> 2.8.2)
      racc (~> 1.4)
    nokogiri (1.16.0-x86_64-linux)
      racc (~> 1.4)
    mini_portile2 (2.8.5)
    racc (1.7.3)
    rack (3.0.0)

PLATFORMS
  ruby
  x86_64-linux

DEPENDENCIES
  app!
  own!
  rack (~> 3.0)

CHECKSUMS
  app (1.0.0)
  nokogiri (1.16.0) sha256=aa
  nokogiri (1.16.0-x86_64-linux) sha256=bb
  rack (3.0.0) sha256=cc

BUNDLED WITH
   2.5.6
";

    #[test]
    fn gems_of_several_platforms_are_one_and_have_the_hashes_of_all() {
        let contents = read(LOCK).unwrap().without_own();
        assert_eq!(roots(&contents), ["nokogiri", "own", "rack"]);
        let expected = [
            "mini_portile2 2.8.5 →",
            "nokogiri 1.16.0 → mini_portile2 2.8.5, racc 1.7.3",
            "own 0.1.0 → rack 3.0.0",
            "racc 1.7.3 →",
            "rack 3.0.0 →",
        ];
        assert_eq!(lines(&contents), expected);
        let nokogiri = &contents.packages[&("nokogiri".to_owned(), "1.16.0".to_owned())];
        let digits: Vec<&str> = nokogiri.hashes.iter().map(|(_, digits)| digits.as_str()).collect();
        assert_eq!(digits, ["aa", "bb"]);
        let own = &contents.packages[&("own".to_owned(), "0.1.0".to_owned())];
        assert_eq!(own.origin, PackageOrigin::Elsewhere("https://h/own.git".to_owned()));
    }

    #[test]
    fn the_first_of_several_versions_is_the_one_that_is_required() {
        let lock =
            "GEM\n  specs:\n    a (2.0)\n      b (> 0)\n    b (1.0)\n    b (1.1-java)\n\nDEPENDENCIES\n  b\n  gone\n";
        let contents = read(lock).unwrap();
        assert_eq!(lines(&contents), ["a 2.0 → b 1.0", "b 1.0 →", "b 1.1 →"]);
        assert_eq!(contents.roots.iter().map(|(_, version)| version.as_str()).collect::<Vec<_>>(), ["1.0"]);
    }

    #[test]
    fn what_is_no_such_lock_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it has no section"),
            ("GEM\n  specs:\n    rack\n", "line 3 is not one that Bundler writes: `    rack`"),
            ("GEM\n      rack (1)\n", "line 2 is not one"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
