//! What is wrong with a configuration, found all at once: `config --check`. A flat list of checks, each of which only
//! looks; what tox would stumble over one by one, or silently pass over, is told with its place.

use std::collections::HashSet;
use std::sync::Arc;

use super::config_set::{ConfigSet, SetKind};
use super::keys::{self, CORE, Initial, Key};
use super::toml::place::line_of;
use super::{PACKAGE_BASE, Settings, TEST_PREFIX, factor};
use crate::error::{ConfigError, ErrorClass, Location};
use crate::source::Entry;

/// How alike two spellings must be to be taken for each other, from 0 to 1.
const ALIKE: f64 = 0.85;

/// Factors that hold without standing in a name: platforms and machines.
const SURROUNDINGS: [&str; 12] =
    ["linux", "darwin", "win32", "cygwin", "freebsd", "aix", "x86_64", "amd64", "aarch64", "arm64", "i686", "i386"];

/// Keys that only some run environments have, depending on how they are packaged.
const PACKAGING: [&str; 5] = ["skip_install", "use_develop", "package", "package_env", "wheel_build_env"];

struct Subject<'a> {
    settings: &'a Settings,
    environments: &'a [Arc<ConfigSet>],
    text: &'a str,
}

type Check = fn(&Subject<'_>) -> Vec<ConfigError>;

const CHECKS: [Check; 5] = [unknown_keys, unreachable_factors, undefined_references, missing_files, unusable_values];

/// Everything that is wrong, in the order of the file as far as places are known. `text` is the configuration file's.
pub fn findings(settings: &Settings, environments: &[Arc<ConfigSet>], text: &str) -> Vec<ConfigError> {
    let subject = Subject { settings, environments, text };
    let mut found: Vec<ConfigError> = Vec::new();
    let mut places: HashSet<(usize, usize)> = HashSet::new();
    for (at, check) in CHECKS.iter().enumerate() {
        for one in check(&subject) {
            // A line that one check complains about is not complained about by those after it, nor once an environment.
            let known = match &one.location {
                Some(place) => (0..at).any(|earlier| places.contains(&(earlier, place.line))),
                None => found.iter().any(|other| other.message == one.message),
            };
            let repeated = found.iter().any(|other| other.location == one.location && one.location.is_some());
            if known || repeated {
                continue;
            }
            if let Some(place) = &one.location {
                places.insert((at, place.line));
            }
            found.push(one);
        }
    }
    found.sort_by_key(|one| one.location.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column)));
    found
}

impl Subject<'_> {
    /// The values of the sections that are tox's own, with the section's name.
    fn entries(&self) -> Vec<(&str, &Entry)> {
        let sections = self.settings.ini().into_iter().flat_map(|document| &document.sections);
        let own = sections.filter(|section| self.kind(&section.name).is_some());
        own.flat_map(|section| section.entries.iter().map(|entry| (section.name.as_str(), entry))).collect()
    }

    /// What a section is about; `None` for those of other programs and those that only lend values.
    fn kind(&self, section: &str) -> Option<SetKind> {
        let prefix = section.split(':').next().unwrap_or_default();
        if section == self.settings.source.format.core_section() {
            Some(SetKind::Core)
        } else if prefix == TEST_PREFIX || prefix == PACKAGE_BASE {
            Some(SetKind::Run)
        } else {
            None
        }
    }

    /// The place of `part` on a line of the file, from one.
    fn place(&self, line: usize, part: &str) -> Location {
        let text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let column = text.find(part).map_or(1, |at| text[..at].chars().count() + 1);
        Location { file: self.settings.source.path.clone(), line, column, length: part.chars().count() }
    }

    /// Whether some value refers to a key, which then need not be a setting.
    fn is_referred_to(&self, section: &str, key: &str) -> bool {
        let spellings = [format!("{{[{section}]{key}}}"), format!("{{[{section}]{key}:"), format!("{{{key}}}")];
        spellings.iter().any(|text| self.text.contains(text))
    }

    /// Where the value of a set's key is written.
    fn place_of_value(&self, set: &ConfigSet, key: &Key) -> Option<Location> {
        let loaders = self.settings.loaders(set).ok()?;
        let spellings = || std::iter::once(key.name).chain(key.aliases.iter().copied());
        loaders.iter().find_map(|loader| {
            let entry = spellings().find_map(|spelling| self.settings.entry(loader, spelling));
            let in_table = || spellings().find_map(|spelling| self.place_in_table(&loader.path.join("."), spelling));
            entry.map(|entry| self.settings.location_of(entry)).or_else(in_table)
        })
    }

    fn place_in_table(&self, table: &str, key: &str) -> Option<Location> {
        line_of(self.text, table, key).map(|line| self.place(line, key))
    }
}

fn belongs(name: &str, kind: SetKind) -> bool {
    let Some(key) = keys::find(name) else { return false };
    if kind == SetKind::Core {
        return CORE.contains(&key.name);
    }
    let kinds = [SetKind::Run, SetKind::Pep517Package, SetKind::CommandPackage];
    keys::is_own(key.name)
        || PACKAGING.contains(&key.name)
        || kinds.into_iter().any(|kind| keys::may_have(kind, key.name))
}

/// Keys that nothing reads.
fn unknown_keys(subject: &Subject<'_>) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (section, entry) in subject.entries() {
        let kind = subject.kind(section).unwrap_or(SetKind::Run);
        if !belongs(&entry.key, kind) && !subject.is_referred_to(section, &entry.key) {
            found.push(unknown_key(&entry.key, section, kind).at(subject.settings.location_of(entry)));
        }
    }
    if subject.settings.ini().is_none() {
        let core = std::iter::once(subject.settings.core());
        for set in core.chain(subject.environments.iter().map(Arc::as_ref)) {
            for name in subject.settings.unused_keys(set).unwrap_or_default() {
                let error = unknown_key(&name, &set.section, set.kind);
                let place = subject.place_in_table(&set.section, &name);
                found.push(place.into_iter().fold(error, ConfigError::at));
            }
        }
    }
    found
}

fn unknown_key(name: &str, section: &str, kind: SetKind) -> ConfigError {
    let section = if section.is_empty() { "the project's table".to_owned() } else { format!("`[{section}]`") };
    let other = if kind == SetKind::Core { SetKind::Run } else { SetKind::Core };
    if belongs(name, other) {
        let where_to = if kind == SetKind::Core { "of environments" } else { "of the project" };
        return ConfigError::handled(format!("the key `{name}` has no meaning in {section}"))
            .hint(format!("`{name}` is a key {where_to}"));
    }
    let error = ConfigError::handled(format!("unknown key `{name}` in {section}"));
    let spellings = keys::KEYS.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()));
    hinted(error, name, spellings.filter(|spelling| belongs(spelling, kind)))
}

fn hinted<'a>(error: ConfigError, text: &str, candidates: impl Iterator<Item = &'a str>) -> ConfigError {
    let alike = candidates.map(|candidate| (strsim::jaro_winkler(text, candidate), candidate));
    let nearest = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((_, candidate)) => error.hint(format!("did you mean `{candidate}`?")),
        None => error,
    }
}

/// Conditions on factors that no environment of `env_list` or of a section has.
fn unreachable_factors(subject: &Subject<'_>) -> Vec<ConfigError> {
    let settings = subject.settings;
    let listed = settings.list(settings.core(), "env_list").unwrap_or_default();
    let named = settings.section_names();
    let names = listed.iter().map(String::as_str).chain(named);
    let mut known: HashSet<String> =
        names.flat_map(|name| factor::expand_environments(name).unwrap_or_default()).collect();
    known = known.iter().flat_map(|name| name.split('-')).map(str::to_owned).collect();
    known.extend(SURROUNDINGS.map(str::to_owned));
    let mut found = Vec::new();
    for (_, entry) in subject.entries() {
        for (line, number) in entry.value.split('\n').zip(entry.lines.iter()) {
            factor::mentioned_environments(line, &|factor| known.contains(factor), &mut |name| {
                for one in name.split('-').filter(|one| !known.contains(*one) && !names_python(one)) {
                    let error = ConfigError::handled(format!("no environment has the factor `{one}`"));
                    let error = error.at(subject.place(number, one));
                    found.push(hinted(error, one, known.iter().map(String::as_str)));
                }
            });
        }
    }
    found
}

/// Whether a factor names a Python, so that an environment can be asked for that no section mentions.
fn names_python(factor: &str) -> bool {
    let version = ["pypy", "cpython", "python", "py"].iter().find_map(|name| factor.strip_prefix(name));
    version.unwrap_or(factor).chars().all(|character| character.is_ascii_digit() || character == '.')
}

/// `{[section]key}` without a default where there is no such value; tox leaves these as they are written.
fn undefined_references(subject: &Subject<'_>) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (_, entry) in subject.entries() {
        for (line, number) in entry.value.split('\n').zip(entry.lines.iter()) {
            for (at, _) in line.match_indices("{[").filter(|(at, _)| !line[..*at].ends_with('\\')) {
                let Some((section, rest)) = line[at + 2..].split_once(']') else { continue };
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
                let Some(end) = end.filter(|end| *end > 0 && rest[*end..].starts_with('}')) else { continue };
                let key = &rest[..end];
                if let Some(error) = undefined(subject, section, key) {
                    found.push(error.at(subject.place(number, &format!("{{[{section}]{key}}}"))));
                }
            }
        }
    }
    found
}

fn undefined(subject: &Subject<'_>, section: &str, key: &str) -> Option<ConfigError> {
    let settings = subject.settings;
    let document = settings.ini()?;
    if document.section(section).is_some() && document.get(section, &key.to_lowercase()).is_some() {
        return None;
    }
    let core = settings.source.format.core_section().rsplit(':').next().unwrap_or_default();
    let environment = section.strip_prefix(TEST_PREFIX).and_then(|rest| rest.strip_prefix(':'));
    let computed = (section == core && belongs(key, SetKind::Core))
        || environment.is_some_and(|name| settings.is_declared(name) && belongs(key, SetKind::Run));
    if computed {
        return None;
    }
    Some(match document.section(section) {
        Some(found) => hinted(
            ConfigError::handled(format!("undefined reference: `[{section}]` has no key `{key}`")),
            key,
            found.entries.iter().map(|entry| entry.key.as_str()),
        ),
        None => hinted(
            ConfigError::handled(format!("undefined reference: there is no section `[{section}]`")),
            section,
            document.sections.iter().map(|section| section.name.as_str()),
        ),
    })
}

/// Files of requirements and constraints that are not there.
fn missing_files(subject: &Subject<'_>) -> Vec<ConfigError> {
    let Ok(root) = subject.settings.tox_root() else { return Vec::new() };
    let here = root.display().to_string();
    let mut found = Vec::new();
    for (_, entry) in subject.entries() {
        let Some(key) = keys::find(&entry.key) else { continue };
        for (line, number) in entry.value.split('\n').zip(entry.lines.iter()) {
            let Some(named) = named_file(key.name, line) else { continue };
            let path = named.replace("{toxinidir}", &here).replace("{tox_root}", &here).replace("{/}", "/");
            if path.is_empty() || path.contains(['{', '$']) || path.contains("://") || root.join(&path).exists() {
                continue;
            }
            let error = ConfigError::handled(format!("there is no file `{path}`"));
            found.push(error.at(subject.place(number, named)));
        }
    }
    found
}

/// The file a line of a setting names, as it is written.
fn named_file<'a>(key: &str, line: &'a str) -> Option<&'a str> {
    let line = line.split_once(" #").map_or(line, |(before, _)| before).trim();
    // A condition may stand before.
    let rest = line.split_once(": ").map_or(line, |(_, rest)| rest.trim());
    let options: &[&str] = match key {
        "deps" => &["--requirement", "--constraint", "-r", "-c"],
        "constraints" => &["--constraint", "-c", ""],
        _ => return None,
    };
    let named = options.iter().find_map(|option| rest.strip_prefix(option))?;
    Some(named.trim_start_matches(['=', ' ']).trim())
}

/// Values that cannot be worked out: circular references, wrong types. What depends on interpreters is left out.
fn unusable_values(subject: &Subject<'_>) -> Vec<ConfigError> {
    let settings = subject.settings;
    let mut found = Vec::new();
    let core = std::iter::once(settings.core());
    for set in core.chain(subject.environments.iter().map(Arc::as_ref)) {
        let defined = match settings.defined_keys(set) {
            Ok(defined) => defined,
            Err(error) => {
                found.push(error);
                continue;
            }
        };
        for key in defined.into_iter().filter_map(keys::find).filter(|key| key.initial != Initial::Constant) {
            if !settings.is_written(set, key.name).unwrap_or(true) {
                continue;
            }
            let value = settings.value(set, key.name).and_then(|value| settings.shown(set, key.name, &value));
            // Substitution that goes round in a circle is only warned about.
            for warning in settings.take_warnings() {
                let place = subject.place_of_value(set, key);
                found.push(place.into_iter().fold(ConfigError::handled(warning), ConfigError::at));
            }
            if let Err(error) = value {
                let of_machine =
                    matches!(error.class, ErrorClass::Skip | ErrorClass::NoInterpreter | ErrorClass::RunnerUnavailable);
                let place = subject.place_of_value(set, key);
                found.extend((!of_machine).then(|| place.into_iter().fold(error, ConfigError::at)));
            }
        }
    }
    found
}
