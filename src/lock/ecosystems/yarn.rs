//! Reads `yarn.lock`: Yarn 1 has a format of its own, later versions use YAML. Blocks are named by requirements such as
//! `leaf@^1.0.0`, and a package lists its requirements by such names.
//! <https://classic.yarnpkg.com/lang/en/docs/yarn-lock/> <https://yarnpkg.com/advanced/lexicon>
//! <https://classic.yarnpkg.com/lang/en/docs/yarn-lock/> <https://yarnpkg.com/advanced/lexicon>

use std::collections::BTreeMap;

use yaml_rust2::Yaml;

use crate::lock::ecosystems::{
    Ecosystem, EcosystemContents, EcosystemPackage, PackageKey, PackageOrigin, hashes_of_integrity,
};
use crate::source::yaml;

pub fn read(text: &str) -> Result<EcosystemContents, String> {
    let is_later = text.lines().any(|line| line.starts_with("__metadata:"));
    let blocks = if is_later { later(text)? } else { first(text)? };
    if blocks.is_empty() && !is_later && !text.contains("yarn lockfile v1") {
        return Err("it is not a lock of Yarn".to_owned());
    }
    let named: BTreeMap<&str, &PackageKey> =
        blocks.iter().flat_map(|block| block.names.iter().map(|name| (name.as_str(), &block.key))).collect();
    let mut contents = EcosystemContents::new(Ecosystem::Npm);
    for block in &blocks {
        let requires = block.requires.iter().flat_map(|names| names.iter().find_map(|name| named.get(name.as_str())));
        let mut package = block.package.clone();
        package.requires = requires.map(|key| (*key).clone()).collect();
        contents.add(block.key.clone(), package);
    }
    Ok(contents)
}

/// One package and the requirements it satisfies.
struct YarnEntry {
    names: Vec<String>,
    key: PackageKey,
    package: EcosystemPackage,
    /// The possible names of each requirement.
    requires: Vec<Vec<String>>,
}

/// The name in `NAME@RANGE`, which may itself begin with `@`.
fn name_of(asked: &str) -> Option<&str> {
    let at = asked.get(1..)?.find('@')? + 1;
    Some(&asked[..at])
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn first(text: &str) -> Result<Vec<YarnEntry>, String> {
    let mut blocks: Vec<YarnEntry> = Vec::new();
    let mut has_requirements = false;
    for (at, line) in text.lines().enumerate() {
        let content = line.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let wrong = || format!("line {} is not one that Yarn writes: `{line}`", at + 1);
        match line.len() - content.len() {
            0 => {
                let asked = content.strip_suffix(':').ok_or_else(wrong)?;
                let names: Vec<String> = asked.split(", ").map(|name| unquoted(name).to_owned()).collect();
                let name = names.first().and_then(|name| name_of(name)).ok_or_else(wrong)?.to_owned();
                let real = names[0].split_once("@npm:").and_then(|(_, real)| name_of(real)).map(str::to_owned);
                blocks.push(YarnEntry {
                    key: (real.unwrap_or(name), String::new()),
                    names,
                    package: EcosystemPackage::default(),
                    requires: Vec::new(),
                });
            }
            2 if content.ends_with(':') => {
                has_requirements = matches!(content, "dependencies:" | "optionalDependencies:")
            }
            indented => {
                let block = blocks.last_mut().ok_or_else(wrong)?;
                let (key, value) = content.split_once(' ').ok_or_else(wrong)?;
                let (key, value) = (unquoted(key), unquoted(value));
                match (indented, key) {
                    (2, "version") => value.clone_into(&mut block.key.1),
                    (2, "resolved") => block.resolved(value),
                    (2, "integrity") => block.package.hashes.extend(hashes_of_integrity(value)),
                    (4, name) if has_requirements => block.requires.push(vec![format!("{name}@{value}")]),
                    _ => {}
                }
            }
        }
    }
    match blocks.iter().find(|block| block.key.1.is_empty()) {
        Some(block) => Err(format!("`{}` has no version", block.key.0)),
        None => Ok(blocks),
    }
}

impl YarnEntry {
    fn resolved(&mut self, url: &str) {
        let (url, digits) = url.split_once('#').map_or((url, None), |(url, digits)| (url, Some(digits)));
        let is_file = url.starts_with("http") && !url.ends_with(".git");
        let is_digest = |digits: &&str| digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_file {
            self.package.origin = PackageOrigin::Elsewhere(url.to_owned());
            return;
        }
        self.package.url = Some(url.to_owned());
        let sha1 = digits.filter(is_digest).map(|digits| ("sha1".to_owned(), digits.to_owned()));
        self.package.hashes.extend(sha1);
    }
}

fn later(text: &str) -> Result<Vec<YarnEntry>, String> {
    let document = yaml::parse(text).map_err(|error| format!("it is not valid YAML: {error}"))?;
    let lock = document.as_hash().ok_or("it holds nothing")?;
    let mut blocks = Vec::new();
    for (asked, entry) in lock.iter().filter_map(|(asked, entry)| Some((asked.as_str()?, entry))) {
        if asked == "__metadata" {
            continue;
        }
        let resolution = entry["resolution"].as_str();
        let (name, from) = resolution
            .and_then(|resolution| Some((name_of(resolution)?, resolution)))
            .map(|(name, resolution)| (name, &resolution[name.len() + 1..]))
            .ok_or_else(|| format!("`{asked}` has no resolution"))?;
        let version = match &entry["version"] {
            Yaml::String(text) | Yaml::Real(text) => text.clone(),
            Yaml::Integer(number) => number.to_string(),
            _ => return Err(format!("`{asked}` has no version")),
        };
        let origin = match from.split_once(':') {
            // A patched package has the name and version of the original.
            Some(("npm" | "patch", _)) => PackageOrigin::Index,
            Some(("workspace", _)) => PackageOrigin::Own,
            _ => PackageOrigin::Elsewhere(from.to_owned()),
        };
        let required = entry["dependencies"].as_hash().into_iter().flatten();
        let names = required.filter_map(|(name, range)| {
            let (name, range) =
                (name.as_str()?, range.as_str().map_or_else(|| number(range), |text| Some(text.to_owned()))?);
            // Before version 8 the lock leaves the protocol out.
            Some(vec![format!("{name}@{range}"), format!("{name}@npm:{range}")])
        });
        blocks.push(YarnEntry {
            names: asked.split(", ").map(str::to_owned).collect(),
            key: (name.to_owned(), version),
            package: EcosystemPackage { origin, ..EcosystemPackage::default() },
            requires: names.collect(),
        });
    }
    Ok(blocks)
}

/// A range such as `1`, which YAML parses as a number.
fn number(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Real(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::ecosystems::tests::{lines, roots};

    const FIRST: &str = r#"# THIS IS AN AUTOGENERATED FILE. DO NOT EDIT THIS FILE DIRECTLY.
# yarn lockfile v1


"@s/tool@^1.0.0", "@s/tool@^1.0.1":
  version "1.0.1"
  resolved "https://r/tool.tgz#0123456789012345678901234567890123456789"
  integrity sha512-3q2+7w==
  dependencies:
    leaf "^2"
  optionalDependencies:
    "@s/none" "1"

alias@npm:leaf@1:
  version "1.0.0"
  resolved "https://r/leaf-1.tgz"

leaf@^2:
  version "2.0.0"
  resolved "git+ssh://git@h/leaf.git#abc"
"#;

    const LATER: &str = r#"__metadata:
  version: 8
  cacheKey: 10c0

"app@workspace:.":
  version: 0.0.0-use.local
  resolution: "app@workspace:."
  dependencies:
    leaf: "npm:^1"
  languageName: unknown

"leaf@npm:^1":
  version: 1.0.0
  resolution: "leaf@npm:1.0.0"
  dependencies:
    "@s/more": 2
  checksum: 10c0/aa

"@s/more@npm:2, @s/more@npm:^2.0":
  version: 2.0.0
  resolution: "@s/more@npm:2.0.0"
"#;

    #[test]
    fn what_was_asked_for_leads_to_the_package() {
        let contents = read(FIRST).unwrap();
        assert_eq!(lines(&contents), ["@s/tool 1.0.1 → leaf 2.0.0", "leaf 1.0.0 →", "leaf 2.0.0 →"]);
        let tool = &contents.packages[&("@s/tool".to_owned(), "1.0.1".to_owned())];
        assert_eq!((tool.hashes.len(), tool.url.as_deref()), (2, Some("https://r/tool.tgz")));
        let leaf = &contents.packages[&("leaf".to_owned(), "2.0.0".to_owned())];
        assert_eq!(leaf.origin, PackageOrigin::Elsewhere("git+ssh://git@h/leaf.git".to_owned()));
        let contents = read(LATER).unwrap().without_own();
        assert_eq!(roots(&contents), ["leaf"]);
        assert_eq!(lines(&contents), ["@s/more 2.0.0 →", "leaf 1.0.0 → @s/more 2.0.0"]);
        assert_eq!(read("# yarn lockfile v1\n").unwrap().packages.len(), 0);
    }

    #[test]
    fn what_is_no_such_lock_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is not a lock of Yarn"),
            ("leaf\n", "line 1 is not one that Yarn writes: `leaf`"),
            ("  version \"1\"\n", "line 1 is not one"),
            ("leaf@1:\n  version\n", "line 2 is not one"),
            ("leaf@1:\n", "`leaf` has no version"),
            ("__metadata: [", "it is not valid YAML"),
            ("__metadata:\n  version: 8\n\"leaf@npm:1\":\n  version: 1.0.0\n", "`leaf@npm:1` has no resolution"),
            (
                "__metadata:\n  version: 8\n\"leaf@npm:1\":\n  resolution: \"leaf@npm:1\"\n",
                "`leaf@npm:1` has no version",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
