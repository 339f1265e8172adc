//! Converts lock files of PEP 751 to lines that pip can install.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use toml::{Table, Value};

use crate::bounded;
use crate::digest::sha256;
use crate::error::ConfigError;
use crate::install::groups::python_type;
use crate::model::EnvVariables;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::model::pep508::{Marker, Requirement, canonical_name};
use crate::python_text::ascii_json;
use crate::python_text::path;
use crate::python_text::python_repr;

/// A lock file and the part of it that an environment uses.
#[derive(Debug, Clone, Copy)]
pub struct Pylock<'a> {
    pub path: &'a Path,
    /// Normalised names.
    pub extras: &'a [String],
    /// Normalised names; if empty, the file's own default groups apply.
    pub groups: &'a [String],
    /// The marker variables of the environment's interpreter.
    pub markers: &'a BTreeMap<String, String>,
}

/// An error in the file and its location: `packages[0].name`.
struct PylockError {
    message: String,
    place: String,
}

impl PylockError {
    fn new(message: impl Into<String>, place: impl Into<String>) -> Self {
        Self { message: message.into(), place: place.into() }
    }

    fn inside(mut self, outer: &str) -> Self {
        self.place = if self.place.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.place) };
        self
    }
}

type CheckedPylock<T> = Result<T, PylockError>;

impl Pylock<'_> {
    /// A line for each locked package of the environment, with hashes if every package has some: pip checks either all
    /// or none.
    pub fn install_lines(&self) -> Result<Vec<String>, ConfigError> {
        let invalid =
            |reason: String| ConfigError::fail(format!("invalid pylock file {}: {reason}", self.path.display()));
        let text = bounded::read_text(self.path).map_err(|error| invalid(error.to_string()))?;
        self.lines_of(&text)
    }

    /// Converts the text of the file.
    pub fn lines_of(&self, text: &str) -> Result<Vec<String>, ConfigError> {
        let invalid =
            |reason: String| ConfigError::fail(format!("invalid pylock file {}: {reason}", self.path.display()));
        let table: Table =
            text.trim_start_matches('\u{feff}').parse().map_err(|error: toml::de::Error| invalid(error.to_string()))?;
        let lock = PylockContents::read(&table).map_err(|error| {
            let place =
                if error.place.is_empty() { String::new() } else { format!(" in {}", python_repr(&error.place)) };
            invalid(format!("{}{place}", error.message))
        })?;
        let groups = if self.groups.is_empty() { lock.default_groups } else { self.groups.iter().cloned().collect() };
        let environment =
            MarkerEnvironment { values: Some(self.markers), extras: self.extras.iter().cloned().collect(), groups };
        let mut entries = Vec::new();
        for package in &lock.packages {
            if self.applies(package, &environment).map_err(invalid)? {
                entries.push(self.entry(package)?);
            }
        }
        let hashed = entries.iter().all(|(_, hashes)| !hashes.is_empty());
        let line = |(mut line, hashes): (String, Vec<String>)| {
            if hashed {
                for hash in hashes {
                    line.push_str(&format!(" --hash={hash}"));
                }
            }
            line
        };
        Ok(entries.into_iter().map(line).collect())
    }

    fn applies(&self, package: &PylockPackage<'_>, environment: &MarkerEnvironment<'_>) -> Result<bool, String> {
        if let Some(marker) = &package.marker
            && !marker.holds(environment)?
        {
            return Ok(false);
        }
        let version = self.markers.get("python_full_version").and_then(|version| Version::from_str(version).ok());
        Ok(match (&package.requires_python, version) {
            (Some(wanted), Some(version)) => wanted.contains(&version),
            _ => true,
        })
    }

    /// The line of a package and its possible hashes.
    fn entry(&self, package: &PylockPackage<'_>) -> Result<(String, Vec<String>), ConfigError> {
        let name = &package.name;
        let text = |table: &Table, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
        let subdirectory = |table| text(table, "subdirectory");
        let fragment = |url: String, subdirectory: Option<String>| match subdirectory {
            Some(folder) => format!("{url}#subdirectory={folder}"),
            None => url,
        };
        let location = |table: &Table| {
            let url = text(table, "url");
            url.unwrap_or_else(|| self.uri(text(table, "path").as_deref().unwrap_or("."), None))
        };
        if let Some(directory) = package.table("directory") {
            let folder = text(directory, "path").unwrap_or_default();
            let uri = self.uri(&folder, subdirectory(directory).as_deref());
            let editable = directory.get("editable").and_then(Value::as_bool) == Some(true);
            let line = if editable { format!("-e {uri}") } else { format!("{name} @ {uri}") };
            return Ok((line, Vec::new()));
        }
        if let Some(vcs) = package.table("vcs") {
            let kind = text(vcs, "type").unwrap_or_default();
            let commit = text(vcs, "commit-id").unwrap_or_default();
            let folder = subdirectory(vcs).filter(|folder| !folder.is_empty());
            self.check(name, "vcs type", Some(&kind))?;
            self.check(name, "vcs url", text(vcs, "url").as_deref())?;
            self.check(name, "vcs commit-id", Some(&commit))?;
            self.check(name, "vcs subdirectory", folder.as_deref())?;
            let url = format!("{kind}+{}@{commit}", location(vcs));
            return Ok((format!("{name} @ {}", fragment(url, subdirectory(vcs))), Vec::new()));
        }
        if let Some(archive) = package.table("archive") {
            let folder = subdirectory(archive).filter(|folder| !folder.is_empty());
            self.check(name, "archive url", text(archive, "url").as_deref())?;
            self.check(name, "archive subdirectory", folder.as_deref())?;
            let url = fragment(location(archive), subdirectory(archive));
            return Ok((format!("{name} @ {url}"), self.hashes(name, archive)?));
        }
        let mut hashes = Vec::new();
        for distribution in package.table("sdist").into_iter().chain(package.wheels()) {
            hashes.extend(self.hashes(name, distribution)?);
        }
        let line = package.version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}=={version}"));
        Ok((line, hashes))
    }

    fn hashes(&self, package: &str, distribution: &Table) -> Result<Vec<String>, ConfigError> {
        let mut hashes = Vec::new();
        for (algorithm, value) in distribution.get("hashes").and_then(Value::as_table).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            self.check(package, "hash algorithm", Some(algorithm))?;
            self.check(package, &format!("{algorithm} hash"), Some(value))?;
            hashes.push(format!("{algorithm}:{value}"));
        }
        Ok(hashes)
    }

    /// Rejects blanks, which would turn the rest of the text into another requirement or option.
    fn check(&self, package: &str, field: &str, value: Option<&str>) -> Result<(), ConfigError> {
        match value {
            Some(value) if value.is_empty() || has_blank(value) => Err(ConfigError::fail(format!(
                "invalid pylock file {}: package {} {field} {} must be non-empty and contain no whitespace or control \
                 characters",
                self.path.display(),
                python_repr(package),
                python_repr(value)
            ))),
            _ => Ok(()),
        }
    }

    /// A path in the file, which is relative to it, as a `file:` URL.
    fn uri(&self, relative: &str, subdirectory: Option<&str>) -> String {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut target = folder.join(relative);
        target.extend(subdirectory);
        let resolved = path::resolved(&target).display().to_string();
        let mut uri = "file://".to_owned();
        for byte in resolved.bytes() {
            if byte.is_ascii_alphanumeric() || b"/_.-~".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                uri.push_str(&format!("%{byte:02X}"));
            }
        }
        uri
    }
}

fn has_blank(value: &str) -> bool {
    value.chars().any(|character| character.is_whitespace() || character.is_control())
}

/// A hash over the variables that `lines` refer to, so that a change of their values causes a new installation although
/// the values are not stored; `None` if there are none.
pub fn referenced_hash(lines: &[String], variables: &EnvVariables) -> Result<Option<String>, ConfigError> {
    let mut referenced = BTreeMap::new();
    for line in lines {
        for (at, _) in line.match_indices("${") {
            let name = line[at + 2..].split_once('}').map_or("", |(name, _)| name);
            let valid = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if name.is_empty() || !name.bytes().all(valid) {
                continue;
            }
            if let Some(value) = variables.text(name).filter(|value| !value.is_empty()) {
                referenced.insert(name.to_owned(), value);
            }
        }
    }
    if let Some((name, _)) = referenced.iter().find(|(_, value)| has_blank(value)) {
        let message = format!("pylock environment variable {name} contains whitespace or control characters");
        return Err(ConfigError::fail(message));
    }
    if referenced.is_empty() {
        return Ok(None);
    }
    // The text is that of Python's `json.dumps(…, sort_keys=True)`, so that tox gets the same hash.
    let quoted = |text: &String| serde_json::Value::String(text.clone()).to_string();
    let entries = referenced.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
    let text = format!("{{{}}}", entries.collect::<Vec<_>>().join(", "));
    Ok(Some(sha256(ascii_json(&text).as_bytes())))
}

/// The parts of a lock file that affect an installation.
struct PylockContents<'a> {
    default_groups: BTreeSet<String>,
    packages: Vec<PylockPackage<'a>>,
}

struct PylockPackage<'a> {
    name: String,
    version: Option<Version>,
    marker: Option<Marker>,
    requires_python: Option<VersionSpecifiers>,
    written: &'a Table,
}

impl<'a> PylockContents<'a> {
    fn read(table: &'a Table) -> CheckedPylock<Self> {
        let written = required(table, "lock-version", text)?;
        let version = parsed::<Version>(written, "lock-version")?;
        optional(table, "environments", texts)?;
        optional(table, "extras", texts)?;
        optional(table, "dependency-groups", texts)?;
        let default_groups = optional(table, "default-groups", texts)?.unwrap_or_default();
        required(table, "created-by", text)?;
        if let Some(wanted) = optional(table, "requires-python", text)? {
            parsed::<VersionSpecifiers>(wanted, "requires-python")?;
        }
        let mut packages = Vec::new();
        for (at, package) in required(table, "packages", list)?.iter().enumerate() {
            let place = format!("packages[{at}]");
            let package = package.as_table().ok_or_else(|| unexpected(package, "Mapping", &place))?;
            packages.push(PylockPackage::read(package).map_err(|error| error.inside(&place))?);
        }
        if version.release().first() != Some(&1) {
            return Err(PylockError::new(format!("pylock version {version} is not supported"), ""));
        }
        Ok(Self { default_groups: default_groups.into_iter().map(str::to_owned).collect(), packages })
    }
}

impl<'a> PylockPackage<'a> {
    fn read(table: &'a Table) -> CheckedPylock<Self> {
        let name = required(table, "name", text)?;
        let alphanumeric = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
        if canonical_name(name) != name || !alphanumeric(name.chars().next()) || !alphanumeric(name.chars().next_back())
        {
            return Err(PylockError::new(format!("Name {} is not normalized", python_repr(name)), "name"));
        }
        let version = optional(table, "version", text)?.map(|version| parsed(version, "version")).transpose()?;
        let requires_python =
            optional(table, "requires-python", text)?.map(|wanted| parsed(wanted, "requires-python")).transpose()?;
        let marker = match optional(table, "marker", text)? {
            Some(marker) => {
                let requirement = Requirement::from_str(&format!("a; {marker}"));
                requirement.map_err(|error| PylockError::new(error.message, "marker"))?.marker
            }
            None => None,
        };
        let package = Self { name: name.to_owned(), version, marker, requires_python, written: table };
        package.check_sources()?;
        Ok(package)
    }

    fn table(&self, key: &str) -> Option<&'a Table> {
        self.written.get(key).and_then(Value::as_table)
    }

    fn wheels(&self) -> impl Iterator<Item = &'a Table> {
        self.written.get("wheels").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
    }

    fn check_sources(&self) -> CheckedPylock<()> {
        let source = |key: &str, check: fn(&Table) -> CheckedPylock<()>| {
            let table = optional(self.written, key, mapping)?;
            table.map(|table| check(table).map_err(|error| error.inside(key))).transpose()
        };
        let direct = [
            source("vcs", |vcs| {
                required(vcs, "type", text)?;
                required(vcs, "commit-id", text)?;
                optional(vcs, "subdirectory", text)?;
                check_location(vcs)
            })?,
            source("directory", |directory| {
                required(directory, "path", text)?;
                optional(directory, "subdirectory", text)?;
                optional(directory, "editable", boolean).map(|_| ())
            })?,
            source("archive", |archive| {
                optional(archive, "subdirectory", text)?;
                check_hashes(archive)?;
                check_location(archive)
            })?,
        ];
        let direct = direct.iter().flatten().count();
        let distribution = |table: &Table| {
            check_hashes(table)?;
            check_location(table)
        };
        let mut distributions = usize::from(source("sdist", distribution)?.is_some());
        for (at, wheel) in optional(self.written, "wheels", list)?.into_iter().flatten().enumerate() {
            let place = format!("wheels[{at}]");
            let wheel = wheel.as_table().ok_or_else(|| unexpected(wheel, "Mapping", &place))?;
            distribution(wheel).map_err(|error| error.inside(&place))?;
            distributions += 1;
        }
        if distributions > 0 && direct > 0 {
            let message = "None of vcs, directory, archive must be set if sdist or wheels are set";
            return Err(PylockError::new(message, ""));
        }
        if distributions == 0 && direct != 1 {
            let message = "Exactly one of vcs, directory, archive must be set if sdist and wheels are not set";
            return Err(PylockError::new(message, ""));
        }
        Ok(())
    }
}

fn check_location(table: &Table) -> CheckedPylock<()> {
    let given = [optional(table, "url", text)?, optional(table, "path", text)?];
    if given.into_iter().flatten().any(|given| !given.is_empty()) {
        Ok(())
    } else {
        Err(PylockError::new("path or url must be provided", ""))
    }
}

fn check_hashes(table: &Table) -> CheckedPylock<()> {
    let hashes = required(table, "hashes", mapping)?;
    if hashes.is_empty() {
        return Err(PylockError::new("At least one hash must be provided", "hashes"));
    }
    if hashes.values().all(Value::is_str) {
        Ok(())
    } else {
        Err(PylockError::new("Hash values must be strings", "hashes"))
    }
}

/// A kind of value: its name in messages and how to read it.
type PylockValueKind<'a, T> = fn(&'a Value) -> Result<T, &'static str>;

fn text(value: &Value) -> Result<&str, &'static str> {
    value.as_str().ok_or("str")
}

fn boolean(value: &Value) -> Result<bool, &'static str> {
    value.as_bool().ok_or("bool")
}

fn list(value: &Value) -> Result<&Vec<Value>, &'static str> {
    value.as_array().ok_or("Sequence")
}

fn mapping(value: &Value) -> Result<&Table, &'static str> {
    value.as_table().ok_or("Mapping")
}

fn texts(value: &Value) -> Result<Vec<&str>, &'static str> {
    list(value)?.iter().map(text).collect()
}

fn optional<'a, T>(table: &'a Table, key: &str, kind: PylockValueKind<'a, T>) -> CheckedPylock<Option<T>> {
    let take = |value: &'a Value| kind(value).map_err(|expected| unexpected(value, expected, key));
    table.get(key).map(take).transpose()
}

fn required<'a, T>(table: &'a Table, key: &str, kind: PylockValueKind<'a, T>) -> CheckedPylock<T> {
    optional(table, key, kind)?.ok_or_else(|| PylockError::new("Missing required value", key))
}

fn unexpected(value: &Value, expected: &str, place: &str) -> PylockError {
    PylockError::new(format!("Unexpected type {} (expected {expected})", python_type(value)), place)
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(written: &str, place: &str) -> CheckedPylock<T> {
    written.parse().map_err(|error: T::Err| PylockError::new(error.to_string(), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "lock-version='1.0'\ncreated-by='test'\n";

    struct PylockSelection {
        extras: Vec<String>,
        groups: Vec<String>,
    }

    fn lines(text: &str, wanted: &PylockSelection) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = folder.path().canonicalize().map_err(|error| error.to_string())?;
        let path = root.join("pylock.toml");
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        let markers = [("python_full_version", "3.10.4"), ("sys_platform", "linux")];
        let markers = markers.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let lock = Pylock { path: &path, extras: &wanted.extras, groups: &wanted.groups, markers: &markers };
        let root = root.display().to_string();
        let lines = lock.install_lines().map_err(|error| error.message.replace(&root, "ROOT"))?;
        Ok(lines.into_iter().map(|line| line.replace(&root, "/ROOT")).collect())
    }

    fn plain(text: &str) -> Result<Vec<String>, String> {
        lines(&format!("{HEAD}{text}"), &PylockSelection { extras: Vec::new(), groups: Vec::new() })
    }

    #[test]
    fn locked_packages_become_lines_with_their_hashes() -> Result<(), String> {
        let text = "[[packages]]\nname='a'\nversion='1.0.RC1'\n[[packages.wheels]]\nurl='https://x/a.whl'\nhashes={sha256='1',md5='2'}\n\
                    [[packages]]\nname='b'\nmarker=\"sys_platform=='win32'\"\nsdist={path='b.tgz',hashes={sha256='3'}}\n\
                    [[packages]]\nname='c'\nrequires-python='>=3.11'\nsdist={path='c.tgz',hashes={sha256='4'}}\n";
        assert_eq!(plain(text)?, ["a==1.0rc1 --hash=sha256:1 --hash=md5:2"]);
        assert_eq!(plain("packages=[]")?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn one_source_without_hashes_leaves_all_unhashed() -> Result<(), String> {
        let text = "[[packages]]\nname='a'\nsdist={path='a.tgz',hashes={sha256='4'}}\n\
                    [[packages]]\nname='d'\ndirectory={path='./d d',editable=true}\n\
                    [[packages]]\nname='e'\ndirectory={path='e',subdirectory='f'}\n\
                    [[packages]]\nname='g'\nvcs={type='git',url='https://g/g',commit-id='123',subdirectory='s'}\n\
                    [[packages]]\nname='h'\narchive={path='h.zip',hashes={sha256='5'}}\n";
        let expected = [
            "a",
            "-e file:///ROOT/d%20d",
            "e @ file:///ROOT/e/f",
            "g @ git+https://g/g@123#subdirectory=s",
            "h @ file:///ROOT/h.zip",
        ];
        let lines: Vec<String> = plain(text)?.into_iter().map(|line| line.replace("///", "//")).collect();
        assert_eq!(lines, expected.map(|line| line.replace("///", "//")));
        Ok(())
    }

    #[test]
    fn groups_and_extras_choose_packages_and_default_groups_step_in() -> Result<(), String> {
        let text = format!(
            "{HEAD}default-groups=['dev']\n[[packages]]\nname='d'\nmarker=\"'dev' in dependency_groups\"\nsdist={{path='d',hashes={{a='1'}}}}\n\
             [[packages]]\nname='t'\nmarker=\"'test' in dependency_groups or 'x' in extras\"\nsdist={{path='t',hashes={{a='1'}}}}\n"
        );
        let wanted = |extras: &[&str], groups: &[&str]| PylockSelection {
            extras: extras.iter().map(|&name| name.to_owned()).collect(),
            groups: groups.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(lines(&text, &wanted(&[], &[]))?, ["d --hash=a:1"]);
        assert_eq!(lines(&text, &wanted(&[], &["test"]))?, ["t --hash=a:1"]);
        assert_eq!(lines(&text, &wanted(&["x"], &[]))?, ["d --hash=a:1", "t --hash=a:1"]);
        Ok(())
    }

    #[test]
    fn an_invalid_file_says_what_is_wrong_and_where() {
        for (text, expected) in [
            ("packages=[1]", "Unexpected type int (expected Mapping) in 'packages[0]'"),
            ("", "Missing required value in 'packages'"),
            ("[[packages]]\nname='A'", "Name 'A' is not normalized in 'packages[0].name'"),
            (
                "[[packages]]\nname='a'",
                "Exactly one of vcs, directory, archive must be set if sdist and wheels are not set in 'packages[0]'",
            ),
            (
                "[[packages]]\nname='a'\nsdist={path='x',hashes={}}",
                "At least one hash must be provided in 'packages[0].sdist.hashes'",
            ),
            (
                "[[packages]]\nname='a'\nvcs={type='git',url='u -e .',commit-id='1'}",
                "package 'a' vcs url 'u -e .' must be non-empty and contain no whitespace or control characters",
            ),
        ] {
            assert_eq!(plain(text), Err(format!("invalid pylock file ROOT/pylock.toml: {expected}")), "{text}");
        }
        let nothing = PylockSelection { extras: Vec::new(), groups: Vec::new() };
        let message = lines("lock-version='2.0'\ncreated-by='x'\npackages=[]", &nothing);
        assert_eq!(
            message,
            Err("invalid pylock file ROOT/pylock.toml: pylock version 2.0 is not supported".to_owned())
        );
        assert!(
            lines("x = [", &nothing)
                .is_err_and(|message| message.starts_with("invalid pylock file ROOT/pylock.toml: "))
        );
    }

    #[test]
    fn the_hash_of_referenced_variables_is_tox_s() -> Result<(), ConfigError> {
        let mut variables = EnvVariables::default();
        variables.set("TOKEN", "é\"x");
        variables.set("A", "b");
        let lines = ["a @ https://${TOKEN}@x/${A}/${MISSING}".to_owned()];
        // Computed with Python: sha256(json.dumps({"TOKEN": 'é"x', "A": "b"}, sort_keys=True)).
        let expected = "0d2ac7606419917172fc9d2b1a2ea51ff61d0625dcf773d6c0528d770fc5b9a2";
        assert_eq!(referenced_hash(&lines, &variables)?.as_deref(), Some(expected));
        variables.set("A", "b c");
        assert!(referenced_hash(&lines, &variables).is_err());
        assert_eq!(referenced_hash(&["plain".to_owned()], &variables)?, None);
        Ok(())
    }
}
