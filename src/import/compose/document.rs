//! Reads a compose file as one tree, with merge keys, interpolation, `extends` and the override file applied.
//! <https://docs.docker.com/reference/compose-file/merge/>

use yaml_rust2::Yaml;
use yaml_rust2::yaml::Hash;

use super::interpolation::{Interpolation, MAX_BYTES, variables_of};
use super::paths::{folder_of, joined};
use super::values::{entries, get, text};
use crate::error::ConfigError;
use crate::import::ProjectFiles;
use crate::source::yaml;

/// How many steps `extends` may take.
const MAX_STEPS: usize = 20;
/// How many values all services together may have once `extends` has repeated them.
const MAX_VALUES: usize = 1_000_000;

pub struct ComposeDocument {
    /// The names of services as they are written, and what they are.
    pub services: Vec<(String, Yaml)>,
    pub root: Yaml,
    pub interpolation: Interpolation,
    /// Extended services that are not there.
    pub notes: Vec<String>,
}

/// Reads the file `path`, whose text is `source`.
pub fn read(source: &str, path: &str, files: &ProjectFiles<'_>) -> Result<ComposeDocument, ConfigError> {
    let invalid = |reason: String| ConfigError::handled(format!("it is not valid YAML: {reason}"));
    let folder = folder_of(path);
    let known = (files.read)(&joined(folder, ".env")).map(|text| variables_of(&text)).transpose();
    let known = known.map_err(|reason| ConfigError::handled(format!(".env: {reason}")))?.unwrap_or_default();
    let mut interpolation = Interpolation { known, ..Interpolation::default() };
    let mut root = interpolation.value(merged_keys(yaml::parse(source).map_err(invalid)?));
    for name in overrides(path) {
        let Some(text) = (files.read)(&joined(folder, name)) else { continue };
        let over = yaml::parse(&text).map_err(|reason| ConfigError::handled(format!("{name}: {reason}")))?;
        root = merge(root, interpolation.value(merged_keys(over)), "");
    }
    let mut extending =
        ExtendsChain { root: &root, folder, files, interpolation: &mut interpolation, values: 0, notes: Vec::new() };
    let services: Vec<(String, Yaml)> = entries(get(&root, "services").unwrap_or(&Yaml::Null))
        .into_iter()
        .map(|(name, service)| {
            let extended = extending.service(&name, service.clone());
            (name, extended)
        })
        .collect();
    let notes = extending.notes;
    if interpolation.bytes > MAX_BYTES {
        let message = format!("its variables exceed {} MiB", MAX_BYTES >> 20);
        return Err(ConfigError::handled(message).hint("check `.env` for variables that contain others"));
    }
    if services.is_empty() {
        return Err(ConfigError::handled("it contains no `services`"));
    }
    Ok(ComposeDocument { services, root, interpolation, notes })
}

/// What Docker Compose reads besides a file with one of its usual names.
fn overrides(path: &str) -> &'static [&'static str] {
    match path.rsplit('/').next().unwrap_or_default() {
        "compose.yaml" | "compose.yml" => &["compose.override.yaml", "compose.override.yml"],
        "docker-compose.yaml" | "docker-compose.yml" => {
            &["docker-compose.override.yaml", "docker-compose.override.yml"]
        }
        _ => &[],
    }
}

/// The tree with `<<` worked in.
fn merged_keys(value: Yaml) -> Yaml {
    match value {
        Yaml::Array(list) => Yaml::Array(list.into_iter().map(merged_keys).collect()),
        Yaml::Hash(own) => {
            let mut result = Hash::new();
            let mut bases = Vec::new();
            for (key, value) in own {
                match (key.as_str(), merged_keys(value)) {
                    (Some("<<"), Yaml::Array(several)) => bases.extend(several),
                    (Some("<<"), one) => bases.push(one),
                    (_, value) => drop(result.insert(key, value)),
                }
            }
            for base in bases {
                for (key, value) in base.into_hash().unwrap_or_default() {
                    if !result.contains_key(&key) {
                        result.insert(key, value);
                    }
                }
            }
            Yaml::Hash(result)
        }
        other => other,
    }
}

struct ExtendsChain<'a> {
    root: &'a Yaml,
    folder: &'a str,
    files: &'a ProjectFiles<'a>,
    interpolation: &'a mut Interpolation,
    values: usize,
    notes: Vec<String>,
}

impl ExtendsChain<'_> {
    /// The service with everything that it extends.
    fn service(&mut self, name: &str, mut service: Yaml) -> Yaml {
        let mut other: Option<(Yaml, String)> = None;
        for _ in 0..MAX_STEPS {
            let Some(extends) = take(&mut service, "extends") else { return service };
            let wanted = get(&extends, "service").and_then(text).or_else(|| text(&extends)).unwrap_or_default();
            if let Some(file) = get(&extends, "file").and_then(text) {
                let folder = other.as_ref().map_or(self.folder, |(_, folder)| folder).to_owned();
                let path = joined(&folder, &file);
                let read = (self.files.read)(&path).and_then(|text| yaml::parse(&text).ok());
                let root = read.map_or(Yaml::Null, |root| self.interpolation.value(merged_keys(root)));
                other = Some((root, folder_of(&path).to_owned()));
            }
            let (root, folder) = other.as_ref().map_or((self.root, self.folder), |(root, folder)| (root, folder));
            let base = get(root, "services").and_then(|services| get(services, &wanted));
            self.values += base.map_or(0, count);
            let Some(base) = base.filter(|_| self.values < MAX_VALUES) else { break };
            service = merge(rebased(base.clone(), self.folder, folder), service, "");
        }
        self.notes.push(format!("{name}: the service it extends does not exist"));
        service
    }
}

fn take(value: &mut Yaml, key: &str) -> Option<Yaml> {
    match value {
        Yaml::Hash(own) => own.remove(&Yaml::String(key.to_owned())),
        _ => None,
    }
}

fn count(value: &Yaml) -> usize {
    match value {
        Yaml::Array(list) => 1 + list.iter().map(count).sum::<usize>(),
        Yaml::Hash(own) => 1 + own.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// A service of a file in another folder: its paths are relative to that.
fn rebased(service: Yaml, folder: &str, of: &str) -> Yaml {
    if folder == of {
        return service;
    }
    let from = of.strip_prefix(folder).unwrap_or(of).trim_start_matches('/').to_owned();
    let path = |value: &Yaml| match text(value) {
        Some(text) if !text.starts_with('/') => Yaml::String(joined(&from, &text)),
        _ => value.clone(),
    };
    let Yaml::Hash(mut own) = service else { return service };
    for (key, value) in &mut own {
        *value = match (key.as_str(), &*value) {
            (Some("build"), Yaml::Hash(build)) => {
                let mut build = build.clone();
                if let Some(context) = build.get_mut(&Yaml::String("context".to_owned())) {
                    *context = path(context);
                }
                Yaml::Hash(build)
            }
            (Some("env_file"), Yaml::Array(list)) => Yaml::Array(list.iter().map(path).collect()),
            (Some("build" | "env_file"), one) => path(one),
            (Some("volumes"), Yaml::Array(list)) => Yaml::Array(
                list.iter()
                    .map(
                        |one| if text(one).is_some_and(|text| text.starts_with('.')) { path(one) } else { one.clone() },
                    )
                    .collect(),
            ),
            (_, other) => other.clone(),
        };
    }
    Yaml::Hash(own)
}

/// `over` counts more than `base`; of what a key has several, it has both.
fn merge(base: Yaml, over: Yaml, key: &str) -> Yaml {
    let separator = match key {
        "environment" | "labels" | "args" | "annotations" | "sysctls" => Some('='),
        "extra_hosts" => Some(':'),
        "depends_on" => Some('\0'),
        _ => None,
    };
    let (base, over) = match separator {
        Some(separator) => (mapping(base, separator), mapping(over, separator)),
        None => (base, over),
    };
    match (base, over) {
        (Yaml::Hash(mut base), Yaml::Hash(over)) => {
            for (key, value) in over {
                let name = key.as_str().unwrap_or_default().to_owned();
                let value = match base.remove(&key) {
                    Some(before) => merge(before, value, &name),
                    None => value,
                };
                base.insert(key, value);
            }
            Yaml::Hash(base)
        }
        (Yaml::Array(mut base), Yaml::Array(over)) if !matches!(key, "command" | "entrypoint" | "test") => {
            over.into_iter().for_each(|one| {
                if !base.contains(&one) {
                    base.push(one)
                }
            });
            Yaml::Array(base)
        }
        (_, over) => over,
    }
}

/// A list such as `NAME=VALUE` as a mapping.
fn mapping(value: Yaml, separator: char) -> Yaml {
    let Yaml::Array(list) = &value else { return value };
    let pair = |one: &Yaml| {
        let text = text(one)?;
        let (name, value) = match text.split_once(separator) {
            Some((name, value)) => (name.to_owned(), Yaml::String(value.to_owned())),
            None => (text, Yaml::Null),
        };
        Some((Yaml::String(name), value))
    };
    Yaml::Hash(list.iter().filter_map(pair).collect())
}
