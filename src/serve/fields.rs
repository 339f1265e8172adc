//! Fills in the fields `{port}`, `{host}` and `{service:…}` with the values of running instances, never of
//! the plan. Other text in braces stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::{Command, ExitRule, literal};
use crate::python_text::shlex;

/// Separates the environment from the label of the instance.
pub const MARK: char = '@';

/// A running service, as its dependents see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceInstance {
    pub name: String,
    pub host: String,
    /// By name, in the order of the setting.
    pub ports: Vec<(String, u16)>,
    pub url: Option<String>,
    /// The named groups that a `log:` probe matched. A group `port` is a port that the program chose itself.
    pub fields: BTreeMap<String, String>,
    /// What distinguishes it from other instances of its environment.
    #[serde(skip)]
    pub label: String,
    /// The URLs of all instances, if it represents several.
    #[serde(skip)]
    pub urls: Vec<String>,
}

impl ServiceInstance {
    /// The port without a name: the one matched in the log, else the first.
    fn main_port(&self) -> Option<String> {
        self.fields.get("port").cloned().or_else(|| self.ports.first().map(|(_, number)| number.to_string()))
    }

    fn port(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    /// Sets `url` as dependents see it: the configured one, or one made from the host and the port.
    pub fn derive_url(&mut self, scheme: &str) {
        if self.url.is_none() {
            self.url = self.main_port().map(|port| format!("{scheme}://{}:{port}", bracketed(&self.host)));
        }
    }

    fn own_field(&self, field: &str) -> Option<Result<String, ConfigError>> {
        let missing = |what: String| Err(ConfigError::handled(format!("`{}` has {what}", self.name)));
        let answer = match field.split_once(':') {
            None if field == "host" => Ok(self.host.clone()),
            None if field == "instance" => Ok(self.label.clone()),
            None if field == "port" => self.main_port().map_or_else(|| missing("no `ports`".to_owned()), Ok),
            Some(("port", name)) => self
                .port(name)
                .map_or_else(|| missing(format!("no port named `{name}` in its `ports`")), |port| Ok(port.to_string())),
            None if matches!(field, "url" | "urls") => return None,
            _ => Ok(self.fields.get(field)?.clone()),
        };
        Some(answer)
    }

    fn service_field(&self, field: &str) -> Result<String, ConfigError> {
        if let Some(answer) = self.own_field(field) {
            return answer;
        }
        if field == "urls" {
            let own = self.url.iter().cloned().collect();
            let all: &Vec<String> = if self.urls.is_empty() { &own } else { &self.urls };
            return Ok(all.join(","));
        }
        if field == "url" {
            let no_url = || {
                ConfigError::handled(format!("`{}` has no url", self.name))
                    .hint("set `ports` or `url` in its own section")
            };
            return self.url.clone().ok_or_else(no_url);
        }
        self.fields.get(field).cloned().ok_or_else(|| {
            ConfigError::handled(format!("`{}` has no field `{field}`", self.name))
                .hint("fields are url, urls, host, port, port:NAME and the named groups of its `ready = log:…`")
        })
    }

    pub fn variables(&self) -> Vec<(String, String)> {
        let prefix = variable_prefix(&self.name);
        let mut variables = vec![(format!("{prefix}_HOST"), self.host.clone())];
        variables.extend(self.url.clone().map(|url| (format!("{prefix}_URL"), url)));
        if !self.urls.is_empty() {
            variables.push((format!("{prefix}_URLS"), self.urls.join(",")));
        }
        variables.extend(self.main_port().map(|port| (format!("{prefix}_PORT"), port)));
        for (name, number) in &self.ports {
            variables.push((format!("{prefix}_PORT_{}", variable_part(name)), number.to_string()));
        }
        variables
    }
}

/// The prefix of the variables that describe a service to its dependents.
pub fn variable_prefix(name: &str) -> String {
    format!("ENVO_{}", variable_part(name))
}

/// A name as part of a variable name: upper case, with `_` for everything but letters and digits.
fn variable_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The address as written in a URL: an IPv6 address in brackets.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// The environment of an instance, by the instance's name.
pub fn environment_of(name: &str) -> &str {
    name.split_once(MARK).map_or(name, |(environment, _)| environment)
}

/// The running services that an environment may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceInstances(BTreeMap<String, ServiceInstance>);

impl ServiceInstances {
    pub fn insert(&mut self, instance: ServiceInstance) {
        self.0.insert(instance.name.clone(), instance);
    }

    pub fn get(&self, name: &str) -> Option<&ServiceInstance> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &ServiceInstance> {
        self.0.values()
    }

    /// Only the instances of these environments: an environment sees only what it depends on.
    #[must_use]
    pub fn only(&self, environments: &BTreeSet<String>) -> Self {
        let own = |name: &str| environments.contains(name) || environments.contains(environment_of(name));
        Self(self.0.iter().filter(|(name, _)| own(name)).map(|(name, one)| (name.clone(), one.clone())).collect())
    }

    /// Adds instances under the names that their dependents use. The first of several represents the
    /// environment and has the URLs of all.
    pub fn show(&mut self, shown: impl IntoIterator<Item = (Vec<String>, ServiceInstance)>) {
        for (names, instance) in shown {
            for name in names {
                let instance = ServiceInstance { name: name.clone(), ..instance.clone() };
                self.insert(instance);
            }
        }
        let several = self.0.keys().filter(|name| name.as_str() != environment_of(name));
        let environments: BTreeSet<String> = several.map(|name| environment_of(name).to_owned()).collect();
        for environment in environments {
            let mut urls: Vec<String> = Vec::new();
            for (_, one) in self.0.iter().filter(|(name, _)| environment_of(name) == environment) {
                urls.extend(one.url.iter().filter(|url| !urls.contains(url)).cloned().collect::<Vec<_>>());
            }
            if let Some(first) = self.0.get_mut(&environment) {
                first.urls = urls;
            }
        }
    }

    /// `ENVO_<ENV>_URL` and its relatives, for dependents of these services.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.0.values().flat_map(ServiceInstance::variables).collect()
    }
}

/// Fills in `{service:…}` for a dependent of `instances`.
pub fn fill(text: &str, instances: &ServiceInstances) -> Result<String, ConfigError> {
    fill_with(text, None, instances)
}

/// Fills in the fields in a service's own keys: `{port}`, `{port:NAME}`, `{host}`, and `{service:…}` of its
/// dependencies.
pub fn fill_own(text: &str, own: &ServiceInstance, instances: &ServiceInstances) -> Result<String, ConfigError> {
    fill_with(text, Some(own), instances)
}

/// The words of a command with their fields filled in: split first, so that a value with spaces stays one
/// word.
pub fn words(text: &str, own: &ServiceInstance, instances: &ServiceInstances) -> Result<Vec<String>, ConfigError> {
    let command = Command::from_words(shlex::words(text));
    if command.argv.is_empty() || command.exit_rule != ExitRule::Zero {
        return Err(ConfigError::handled(format!("`{text}` is not a command that can be served")));
    }
    command.argv.iter().map(|word| fill_own(word, own, instances)).collect()
}

fn fill_with(text: &str, own: Option<&ServiceInstance>, instances: &ServiceInstances) -> Result<String, ConfigError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from_brace) = rest.split_at(at);
        filled.push_str(&literal::plain(before));
        let value = match inside(from_brace) {
            Some(field) => value_of(field, own, instances)?.map(|value| (value, field.len() + 2)),
            None => None,
        };
        let taken = match value {
            Some((value, length)) => {
                filled.push_str(&value);
                length
            }
            None => {
                filled.push('{');
                1
            }
        };
        rest = &from_brace[taken..];
    }
    filled.push_str(&literal::plain(rest));
    Ok(filled)
}

/// The text between `{` and the next `}`; `None` if that cannot be a field.
fn inside(from_brace: &str) -> Option<&str> {
    let field = &from_brace[1..from_brace.find('}')?];
    (!field.contains(['{', '\n'])).then_some(field)
}

fn value_of(
    field: &str,
    own: Option<&ServiceInstance>,
    instances: &ServiceInstances,
) -> Result<Option<String>, ConfigError> {
    if let Some((name, field)) = service_field(field) {
        let instance = instances.get(name).ok_or_else(|| not_depended_on(name))?;
        return instance.service_field(field).map(Some);
    }
    own.and_then(|own| own.own_field(field)).transpose()
}

/// The parts of `service:ENV:FIELD`.
fn service_field(field: &str) -> Option<(&str, &str)> {
    field.strip_prefix("service:")?.split_once(':')
}

fn not_depended_on(name: &str) -> ConfigError {
    ConfigError::handled(format!("`{{service:{name}:…}}` names `{name}`, which is not in `depends`"))
        .hint(format!("add `{name}` to `depends`"))
}

/// The text with a placeholder for every possible field.
pub fn without_values(text: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        match inside(rest) {
            Some(field) => {
                filled.push('1');
                rest = &rest[field.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// All texts in braces.
pub fn all(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').filter_map(|(at, _)| inside(&text[at..]))
}

/// The fields of services that a text uses, for checks before anything runs: service and field. A brace after
/// a backslash is text.
pub fn service_fields(text: &str) -> Vec<(&str, &str)> {
    let fields = text.match_indices("{service:").filter(|(at, _)| !text[..*at].ends_with('\\'));
    fields.filter_map(|(at, _)| inside(&text[at..])).filter_map(service_field).collect()
}

/// The service's own ports that its text uses: `{port:NAME}`, or `None` for `{port}`.
pub fn own_ports(text: &str) -> Vec<Option<&str>> {
    let field = |(at, _): (usize, &str)| match inside(&text[at..])? {
        "port" => Some(None),
        field => Some(Some(field.strip_prefix("port:")?)),
    };
    text.match_indices("{port").filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> ServiceInstance {
        let mut instance = ServiceInstance {
            name: "my-db.1".into(),
            host: "127.0.0.1".into(),
            ports: vec![("sql".into(), 5432), ("admin-ui".into(), 81)],
            ..ServiceInstance::default()
        };
        instance.fields.insert("token".into(), "t0k".into());
        instance.derive_url("tcp");
        instance
    }

    fn instances() -> ServiceInstances {
        let mut instances = ServiceInstances::default();
        instances.insert(database());
        instances
    }

    #[test]
    fn every_field_of_a_dependency_is_filled_in() {
        for (text, expected) in [
            ("{service:my-db.1:url}/x", "tcp://127.0.0.1:5432/x"),
            ("{service:my-db.1:host}", "127.0.0.1"),
            ("a{service:my-db.1:port}b{service:my-db.1:port:admin-ui}", "a5432b81"),
            ("{service:my-db.1:token}", "t0k"),
        ] {
            assert_eq!(fill(text, &instances()).unwrap(), expected);
        }
    }

    #[test]
    fn a_service_knows_its_own_ports_and_host() {
        assert_eq!(
            fill_own("--bind {host}:{port} --ui {port:admin-ui}", &database(), &ServiceInstances::default()).unwrap(),
            "--bind 127.0.0.1:5432 --ui 81"
        );
        let error = fill_own("{port:http}", &database(), &ServiceInstances::default()).unwrap_err();
        assert_eq!(error.message, "`my-db.1` has no port named `http` in its `ports`");
        let error = fill_own(
            "{port}",
            &ServiceInstance { name: "a".into(), ..ServiceInstance::default() },
            &ServiceInstances::default(),
        );
        assert_eq!(error.unwrap_err().message, "`a` has no `ports`");
    }

    #[test]
    fn other_braces_are_left_alone() {
        for text in ["{}", "{", "}{", "{\"a\": {\"b\": 1}}", "{posargs}", "{port", "{service:x}", "{{x}}", "é{ü}"] {
            assert_eq!(fill(text, &instances()).unwrap(), text);
        }
        assert_eq!(fill("{port} {host}", &instances()).unwrap(), "{port} {host}", "these are a service's own");
        assert_eq!(fill("{ {service:my-db.1:port} }", &instances()).unwrap(), "{ 5432 }");
    }

    #[test]
    fn an_unknown_service_or_field_is_an_error() {
        let message = |text: &str| fill(text, &instances()).unwrap_err().message;
        assert_eq!(message("{service:cache:url}"), "`{service:cache:…}` names `cache`, which is not in `depends`");
        assert_eq!(message("{service:my-db.1:nope}"), "`my-db.1` has no field `nope`");
        assert_eq!(message("{service:my-db.1:port:http}"), "`my-db.1` has no port named `http` in its `ports`");
        assert!(fill("{service:my-db.1:url}", &instances().only(&BTreeSet::from(["other".to_owned()]))).is_err());
    }

    #[test]
    fn a_port_the_program_chose_itself_is_the_port() {
        let mut instance = ServiceInstance { name: "a".into(), host: "::1".into(), ..ServiceInstance::default() };
        instance.fields.insert("port".into(), "9000".into());
        instance.derive_url("http");
        assert_eq!(instance.url.as_deref(), Some("http://[::1]:9000"));
        assert_eq!(fill_own("{port}", &instance, &ServiceInstances::default()).unwrap(), "9000");
    }

    #[test]
    fn dependents_get_variables_without_asking() {
        let variables = instances().variables();
        let expected = [
            ("ENVO_MY_DB_1_HOST", "127.0.0.1"),
            ("ENVO_MY_DB_1_URL", "tcp://127.0.0.1:5432"),
            ("ENVO_MY_DB_1_PORT", "5432"),
            ("ENVO_MY_DB_1_PORT_SQL", "5432"),
            ("ENVO_MY_DB_1_PORT_ADMIN_UI", "81"),
        ];
        assert_eq!(variables.len(), expected.len());
        for (name, value) in expected {
            assert!(variables.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
    }

    #[test]
    fn services_that_a_text_names_are_found() {
        assert!(service_fields(r"\{service:a:url}").is_empty());
        let found = service_fields("x {service:a:url} {service:b:port:c}{service:bad}{service:d");
        assert_eq!(found, [("a", "url"), ("b", "port:c")]);
        assert_eq!(own_ports("{port} {port:x}{ports}{port:{port"), [None, Some("x")]);
    }
}
