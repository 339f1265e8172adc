//! Whether a graph of services can work: a flat list of named checks, all of them run before anything starts, so that
//! everything that is wrong is told at once. Each error names the environments it is about and where they are written.

use std::collections::{BTreeMap, BTreeSet};

use super::fields;
use super::graph::{Graph, Member};
use super::instances::environment_of;
use crate::error::ConfigError;
use crate::model::service::{Port, Probe, Service, signal_number};

type Check = fn(&Graph, &[String], &mut Vec<ConfigError>);

/// What is looked for, by name.
const CHECKS: [(&str, Check); 14] = [
    ("cycle", cycle),
    ("unknown-dependency", unknown_dependency),
    ("duplicate-port", duplicate_port),
    ("instances-of-one-port", instances_of_one_port),
    ("bad-probe", bad_probe),
    ("bad-signal", bad_signal),
    ("own-field", own_field),
    ("service-not-in-depends", service_not_in_depends),
    ("not-a-service", not_a_service),
    ("service-field", service_field),
    ("ambiguous-variable", ambiguous_variable),
    ("nothing-to-adopt", nothing_to_adopt),
    ("no-sockets", no_sockets),
    ("watch-command-alone", watch_command_alone),
];

impl Graph {
    /// Everything that is wrong; empty when it can work. `known`: the names of all environments there are.
    pub fn check(&self, known: &[String]) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (_, check) in CHECKS {
            check(self, known, &mut errors);
        }
        errors
    }
}

/// The services among the members, with their positions.
fn services(graph: &Graph) -> impl Iterator<Item = (usize, &Member, &Service)> {
    graph.members.iter().enumerate().filter_map(|(at, member)| Some((at, member, member.service.as_ref()?)))
}

/// The texts of a service that may hold fields.
fn texts(service: &Service) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("serve", Some(&service.serve)),
        ("ready", service.ready.as_ref()),
        ("alive", service.alive.as_ref()),
        ("url", service.url.as_ref()),
        ("watch_command", service.watch_command.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((key, text?.as_str())))
}

/// The name of a member and where one of its keys is written.
fn key_of(member: &Member, key: &str) -> String {
    match member.service.as_ref().map(|service| service.place_of(key)) {
        Some(place) if !place.is_empty() => format!("`{}` ({place})", member.name),
        _ => format!("`{}`", member.name),
    }
}

fn cycle(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; graph.members.len()];
    for start in 0..graph.members.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // The way from the start to here: positions, and which dependency comes next.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((at, next)) = way.last_mut() {
            let Some(dependency) = graph.dependencies[*at].get(*next).copied() else {
                marks[*at] = Mark::Done;
                way.pop();
                continue;
            };
            *next += 1;
            match marks[dependency] {
                Mark::Done => {}
                Mark::New => {
                    marks[dependency] = Mark::Open;
                    way.push((dependency, 0));
                }
                Mark::Open => {
                    let from = way.iter().position(|(at, _)| *at == dependency).unwrap_or_default();
                    let circle: Vec<usize> = way[from..].iter().map(|(at, _)| *at).collect();
                    errors.push(cycle_error(graph, &circle));
                    return;
                }
            }
        }
    }
}

fn cycle_error(graph: &Graph, circle: &[usize]) -> ConfigError {
    let names: Vec<&str> = circle.iter().chain(circle.first()).map(|at| graph.members[*at].name.as_str()).collect();
    let mut error = ConfigError::handled(format!("circular dependency of services: {}", names.join(" → ")));
    for (position, at) in circle.iter().enumerate() {
        let next = &graph.members[circle[(position + 1) % circle.len()]];
        error = error.hint(format!("{} depends on `{}`", graph.members[*at].place(), next.name));
    }
    error
}

fn unknown_dependency(graph: &Graph, known: &[String], errors: &mut Vec<ConfigError>) {
    for member in graph.members.iter().filter(|member| member.service.is_some()) {
        for pattern in &member.depends {
            let is_glob = pattern.contains(['*', '?', '[']);
            let found = known.iter().chain(graph.members.iter().map(|one| &one.name)).any(|name| name == pattern);
            if is_glob || found {
                continue;
            }
            let mut error = ConfigError::handled(format!(
                "{} depends on `{pattern}`, which does not exist",
                key_of(member, "depends")
            ));
            if let Some(name) = near(pattern, known.iter().map(String::as_str)) {
                error = error.hint(format!("did you mean `{name}`?"));
            }
            errors.push(error);
        }
    }
}

fn duplicate_port(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    let mut taken: BTreeMap<u16, Vec<(&Member, &Service, &Port)>> = BTreeMap::new();
    for (_, member, service) in services(graph) {
        for port in &service.ports {
            let Some(number) = port.number else { continue };
            let others = taken.entry(number).or_default();
            let clashes = |(_, other, _): &&(&Member, &Service, &Port)| hosts_clash(&other.host, &service.host);
            if let Some((other, _, other_port)) = others.iter().find(clashes) {
                errors.push(ConfigError::handled(format!(
                    "{} and {} both have port {number} (`{}={number}` and `{}={number}`)",
                    key_of(other, "ports"),
                    key_of(member, "ports"),
                    other_port.name,
                    port.name
                )));
            }
            others.push((member, service, port));
        }
    }
}

/// Whether two that listen on the same number at these addresses are in each other's way.
fn hosts_clash(one: &str, other: &str) -> bool {
    let everywhere = |host: &str| matches!(host, "0.0.0.0" | "::" | "[::]" | "*" | "");
    let plain = |host: &str| if host == "localhost" { "127.0.0.1".to_owned() } else { host.to_ascii_lowercase() };
    plain(one) == plain(other) || everywhere(one) || everywhere(other)
}

fn instances_of_one_port(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph).filter(|(_, _, service)| service.instances > 1) {
        for port in service.ports.iter().filter(|port| port.number.is_some()) {
            let number = port.number.unwrap_or_default();
            errors.push(
                ConfigError::handled(format!(
                    "{} has {} `instances`, which cannot all have port {number} (`{}={number}`)",
                    key_of(member, "instances"),
                    service.instances,
                    port.name
                ))
                .hint(format!("write `{}` without a number, for each to get a port of its own", port.name)),
            );
        }
    }
}

fn bad_probe(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, text) in [("ready", Some(service.ready_text())), ("alive", service.alive.clone())] {
            let Some(text) = text else { continue };
            let wrong = match Probe::parse(&text) {
                Ok(Probe::Log { .. } | Probe::Notify | Probe::Exit) if key == "alive" => {
                    Some(ConfigError::handled("such a probe answers only once"))
                }
                Ok(_) if key == "alive" && ends(service) => {
                    Some(ConfigError::handled("with `ready = exit` it has ended when it is ready"))
                }
                Ok(Probe::Log { pattern }) => {
                    regex::bytes::Regex::new(&pattern).err().map(|error| ConfigError::handled(error.to_string()))
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if let Some(mut error) = wrong {
                error.message = format!("`{key} = {text}` of {}: {}", key_of(member, key), error.message);
                errors.push(error);
            }
        }
    }
}

/// Whether the service is a job: ready when it has ended.
fn ends(service: &Service) -> bool {
    matches!(Probe::parse(&service.ready_text()), Ok(Probe::Exit))
}

fn own_field(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, text) in texts(service) {
            for field in fields::own_ports(text) {
                let known = match field {
                    Some(name) => service.ports.iter().any(|port| port.name == name),
                    None => !service.ports.is_empty() || (key == "url" && log_groups(service).contains("port")),
                };
                if known {
                    continue;
                }
                let (written, remedy) = match field {
                    Some(name) => (format!("{{port:{name}}}"), format!("write `ports = {name}`")),
                    None => ("{port}".to_owned(), "write `ports = NAME`".to_owned()),
                };
                let named: Vec<&str> = service.ports.iter().map(|port| port.name.as_str()).collect();
                let mut error = ConfigError::handled(format!(
                    "`{key}` of {} has `{written}`, which it has no port for",
                    key_of(member, key)
                ));
                if let Some(near) = field.and_then(|field| near(field, named.iter().copied())) {
                    error = error.hint(format!("did you mean `{{port:{near}}}`?"));
                } else {
                    error = error.hint(remedy);
                }
                errors.push(error);
            }
        }
    }
}

/// The named groups of a service's `log:` probe, which become fields.
fn log_groups(service: &Service) -> BTreeSet<String> {
    let Ok(Probe::Log { pattern }) = Probe::parse(&service.ready_text()) else { return BTreeSet::new() };
    let Ok(regex) = regex::bytes::Regex::new(&pattern) else { return BTreeSet::new() };
    regex.capture_names().flatten().map(str::to_owned).collect()
}

fn service_not_in_depends(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (at, member, service) in services(graph) {
        let reachable = graph.reachable(at);
        for (key, text) in texts(service) {
            let named = fields::service_fields(text).into_iter().map(|(name, _)| known_as(graph, name));
            let named: BTreeSet<&str> = named.collect();
            for name in named.into_iter().filter(|name| !reachable.contains(name)) {
                errors.push(
                    ConfigError::handled(format!(
                        "`{key}` of {} names the service `{name}`, which is not in its `depends`",
                        key_of(member, key)
                    ))
                    .hint(format!("write `depends = {name}` in `{}`", member.name)),
                );
            }
        }
    }
}

/// The environment that is meant by the name of one of its instances, `web@2`.
fn known_as<'a>(graph: &Graph, name: &'a str) -> &'a str {
    if graph.members.iter().any(|member| member.name == name) { name } else { environment_of(name) }
}

/// The members that a text of a member names, with the key the text stands in and the field it asks for.
fn asked<'a>(graph: &'a Graph, service: &'a Service) -> impl Iterator<Item = (&'static str, &'a Member, &'a str)> {
    texts(service).flat_map(move |(key, text)| {
        fields::service_fields(text).into_iter().filter_map(move |(name, field)| {
            let name = known_as(graph, name);
            Some((key, graph.members.iter().find(|member| member.name == name)?, field))
        })
    })
}

fn not_a_service(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, other, field) in asked(graph, service).filter(|(_, other, _)| other.service.is_none()) {
            errors.push(
                ConfigError::handled(format!(
                    "`{key}` of {} asks for `{field}` of `{}`, which is not a service: it has no `serve` key",
                    key_of(member, key),
                    other.name
                ))
                .hint("what runs before a service and then ends has no address"),
            );
        }
    }
}

fn service_field(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, other, field) in asked(graph, service) {
            let Some(theirs) = &other.service else { continue };
            let Err(lacking) = has_field(theirs, field) else { continue };
            errors.push(ConfigError::handled(format!(
                "`{key}` of {} asks for `{field}` of {}, which has {lacking}",
                key_of(member, key),
                other.place()
            )));
        }
    }
}

/// The error says what the service lacks.
fn has_field(service: &Service, field: &str) -> Result<(), String> {
    let groups = log_groups(service);
    let has_port = !service.ports.is_empty() || groups.contains("port");
    match field.split_once(':') {
        Some(("port", name)) if service.ports.iter().any(|port| port.name == name) => Ok(()),
        Some(("port", name)) => Err(format!("no port named `{name}` in its `ports`")),
        None if field == "host" || groups.contains(field) => Ok(()),
        None if field == "port" && has_port => Ok(()),
        None if field == "port" => Err("no `ports`".to_owned()),
        None if matches!(field, "url" | "urls") && (has_port || service.url.is_some()) => Ok(()),
        None if matches!(field, "url" | "urls") => Err("neither `ports` nor `url`".to_owned()),
        None if field == "instance" => Ok(()),
        _ => {
            Err("no such field: there are url, urls, host, port, port:NAME and the named groups of its `ready = log:…`"
                .to_owned())
        }
    }
}

fn ambiguous_variable(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    let mut prefixes: BTreeMap<String, &Member> = BTreeMap::new();
    for (_, member, _) in services(graph) {
        let prefix = fields::variable_prefix(&member.name);
        if let Some(other) = prefixes.insert(prefix.clone(), member) {
            errors.push(
                ConfigError::handled(format!(
                    "{} and {} would both be told to others as `{prefix}_URL`",
                    other.place(),
                    member.place()
                ))
                .hint("give one of them a name that differs in more than punctuation and case"),
            );
        }
    }
}

fn nothing_to_adopt(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph).filter(|(_, _, service)| service.adopt) {
        let place = key_of(member, "adopt");
        if service.ports.iter().all(|port| port.number.is_none()) {
            errors.push(
                ConfigError::handled(format!(
                    "{place} is to `adopt` what answers on its port, and has no port with a number"
                ))
                .hint("write `ports = NAME=NUMBER`"),
            );
        } else if matches!(
            Probe::parse(&service.ready_text()),
            Ok(Probe::Log { .. } | Probe::Notify | Probe::Exit | Probe::Alive)
        ) {
            errors.push(
                ConfigError::handled(format!(
                    "{place} is to `adopt` what answers already, which `ready = {}` cannot find out",
                    service.ready_text()
                ))
                .hint("write a `tcp://`, `http://`, `unix://` or `cmd:` probe"),
            );
        }
    }
}

fn no_sockets(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        if service.listen_fds && service.ports.is_empty() {
            errors.push(
                ConfigError::handled(format!(
                    "{} is to get `listen_fds`, and has no `ports`",
                    key_of(member, "listen_fds")
                ))
                .hint("write `ports = NAME`"),
            );
        }
    }
}

fn watch_command_alone(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        if service.watch_command.is_some() && service.watch.iter().all(|pattern| pattern.starts_with('!')) {
            errors.push(
                ConfigError::handled(format!(
                    "{} has a `watch_command`, and `watch` names nothing to watch",
                    key_of(member, "watch_command")
                ))
                .hint("write paths or globs, as in `watch = src/**/*.py`"),
            );
        }
    }
}

/// The name that was probably meant.
fn near<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(name, written), name))
        .filter(|(distance, _)| *distance <= 1 + written.len() / 4)
        .min()
        .map(|(_, name)| name)
}

fn bad_signal(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for member in &graph.members {
        if let Some(service) = &member.service
            && signal_number(&service.stop_signal).is_none()
        {
            errors.push(ConfigError::handled(format!(
                "`stop_signal = {}` of {} is not a signal",
                service.stop_signal,
                key_of(member, "stop_signal")
            )));
        }
    }
}

#[cfg(test)]
mod tests;
