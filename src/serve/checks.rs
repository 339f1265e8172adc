//! Checks a graph of services before anything starts. All checks run, so that every error is reported at
//! once; each names the environments involved and where they are defined.

mod asking;

use std::collections::{BTreeMap, HashMap, HashSet};

use asking::{not_a_service, own_field, service_field, service_not_in_depends, unknown_field};

use crate::did_you_mean::nearest;
use crate::error::{ConfigError, Location};
use crate::model::command::{Command, ExitRule};
use crate::model::environment::InheritedFrom;
use crate::model::service::{Probe, ServiceSettings, signal_number};
use crate::python_text::glob;
use crate::python_text::shlex;
use crate::serve::fields;
use crate::serve::graph::{GraphMember, ServiceGraph};
use crate::serve::probe::ReadinessQuestion;

type ServiceCheck = fn(&ServiceGraph, &ServiceCheckContext<'_>, &mut Vec<ConfigError>);

/// Searching for a similar name compares all names, so only the first errors get a suggestion.
const MOST_SUGGESTIONS: usize = 100;

/// What the checks know besides the graph.
struct ServiceCheckContext<'a> {
    /// The names of all environments.
    known: HashSet<&'a str>,
    /// Name → position in the graph.
    positions: HashMap<&'a str, usize>,
    /// Whether all members run at the same time; otherwise only members that have a common dependent do.
    together: bool,
}

/// The checks, by name.
const CHECKS: [(&str, ServiceCheck); 17] = [
    ("cycle", cycle),
    ("unknown-dependency", unknown_dependency),
    ("duplicate-port", duplicate_port),
    ("instances-of-one-port", instances_of_one_port),
    ("bad-host", bad_host),
    ("bad-probe", bad_probe),
    ("bad-signal", bad_signal),
    ("no-command", no_command),
    ("own-field", own_field),
    ("unknown-field", unknown_field),
    ("service-not-in-depends", service_not_in_depends),
    ("not-a-service", not_a_service),
    ("service-field", service_field),
    ("ambiguous-variable", ambiguous_variable),
    ("nothing-to-adopt", nothing_to_adopt),
    ("no-sockets", no_sockets),
    ("watch-command-alone", watch_command_alone),
];

impl ServiceGraph {
    /// All errors; empty if the graph is valid. `known`: the names of all environments.
    pub fn check(&self, known: &[String]) -> Vec<ConfigError> {
        self.check_all(known, true)
    }

    /// Like `check`, for members that are not all requested at once: they may use the same port unless
    /// something needs both.
    pub fn check_apart(&self, known: &[String]) -> Vec<ConfigError> {
        self.check_all(known, false)
    }

    fn check_all(&self, known: &[String], together: bool) -> Vec<ConfigError> {
        let names = || self.members.iter().map(|member| member.name.as_str());
        let context = ServiceCheckContext {
            known: known.iter().map(String::as_str).chain(names()).collect(),
            positions: names().enumerate().map(|(at, name)| (name, at)).collect(),
            together,
        };
        let mut errors = Vec::new();
        for (_, check) in CHECKS {
            check(self, &context, &mut errors);
        }
        errors
    }

    /// The same as a result.
    pub fn checked(&self, known: &[String]) -> Result<(), ConfigError> {
        ConfigError::of_several(self.check(known)).map_or(Ok(()), Err)
    }
}

/// The services among the members, with their positions.
fn services(graph: &ServiceGraph) -> impl Iterator<Item = (usize, &GraphMember, &ServiceSettings)> {
    graph.members.iter().enumerate().filter_map(|(at, member)| Some((at, member, member.service.as_ref()?)))
}

/// Where one of a member's keys is defined; `serve` if the key is not set.
fn location_of<'a>(member: &'a GraphMember, key: &str) -> Option<&'a Location> {
    let locations = member.service.as_ref().map(|service| &service.locations);
    let asked = member.asks.iter().find(|asking| asking.key == key).and_then(|asking| asking.place.as_ref());
    asked.or_else(|| locations.and_then(|locations| locations.get(key).or_else(|| locations.get("serve"))))
}

/// The name of a member and where one of its keys is defined.
fn key_of(member: &GraphMember, key: &str) -> String {
    match location_of(member, key) {
        Some(location) => format!("`{}` ({})", member.name, location.short()),
        None => format!("`{}`", member.name),
    }
}

/// An error in one of a member's keys. `message` gets the member's name and place.
fn wrong(member: &GraphMember, key: &str, message: impl FnOnce(&str) -> String) -> ConfigError {
    let error = ConfigError::handled(message(&key_of(member, key)));
    location_of(member, key).cloned().into_iter().fold(error, ConfigError::at)
}

fn no_command(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, text) in [("serve", Some(&service.serve)), ("watch_command", service.watching.watch_command.as_ref())]
        {
            let Some(text) = text.filter(|text| !is_command(text)) else { continue };
            let what = if is_open(text) { "whose quote is not closed" } else { "which does not name a program" };
            let error = wrong(member, key, |place| format!("`{key}` of {place} is `{text}`, {what}"));
            errors.push(error.hint("write a program and its arguments, without a leading `-`"));
        }
    }
}

/// Whether the text is a command that can be served: it names a program and does not start with `-` or `!`.
fn is_command(text: &str) -> bool {
    let command = Command::from_words(shlex::words(text));
    command.exit_rule == ExitRule::Zero
        && command.argv.first().is_some_and(|program| !program.is_empty())
        && !is_open(text)
}

/// Whether the name of its program begins with an unclosed quote, which splitting leaves in place.
fn is_open(text: &str) -> bool {
    shlex::words(text).first().is_some_and(|program| program.starts_with(['\'', '"']))
}

fn cycle(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    errors.extend(graph.cycles().iter().map(|cycle| cycle_error(graph, cycle)));
}

fn cycle_error(graph: &ServiceGraph, cycle: &[usize]) -> ConfigError {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|at| graph.members[*at].name.as_str()).collect();
    let mut error = ConfigError::handled(format!("circular dependency of services: {}", names.join(" → ")));
    for (position, at) in cycle.iter().enumerate() {
        let (member, next) = (&graph.members[*at], &graph.members[cycle[(position + 1) % cycle.len()]]);
        error = error.hint(format!("{} depends on `{}`", member.location(), next.name));
        if let Some(InheritedFrom { from, remedy }) = &member.depends_inherited {
            let name = &member.name;
            error = error.hint(format!("`depends` of `{name}` is inherited from {from}: write {remedy}"));
        }
    }
    error
}

fn unknown_dependency(graph: &ServiceGraph, context: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for member in graph.members.iter().filter(|member| member.service.is_some()) {
        for pattern in &member.depends {
            if glob::is_pattern(pattern) || context.known.contains(pattern.as_str()) {
                continue;
            }
            let mut error =
                wrong(member, "depends", |place| format!("{place} depends on `{pattern}`, which does not exist"));
            let candidates = context.known.iter().copied().filter(|_| errors.len() < MOST_SUGGESTIONS);
            if let Some(name) = nearest(pattern, candidates) {
                error = error.hint(format!("did you mean `{name}`?"));
            }
            errors.push(error);
        }
    }
}

/// Of members that must not run at the same time, in order: each with the first one before it that it does
/// run with.
fn clashes(
    graph: &ServiceGraph,
    context: &ServiceCheckContext<'_>,
    group: &[usize],
    clash: impl Fn(usize, usize) -> bool,
) -> Vec<(usize, usize)> {
    if context.together {
        let before = |(place, at): (usize, &usize)| {
            group[..place].iter().find(|other| clash(**other, *at)).map(|other| (*other, *at))
        };
        return group.iter().enumerate().filter_map(before).collect();
    }
    let dependents = graph.dependents();
    // Member → the members of the group that it needs.
    let mut needs: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut found = Vec::new();
    for at in group {
        let mut open = vec![*at];
        while let Some(one) = open.pop() {
            let needed = needs.entry(one).or_default();
            if needed.contains(at) {
                continue;
            }
            if let Some(other) = needed.iter().find(|other| clash(**other, *at)) {
                found.push((*other, *at));
                break;
            }
            needed.push(*at);
            open.extend(&dependents[one]);
        }
    }
    found
}

fn duplicate_port(graph: &ServiceGraph, context: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    let mut users: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, _, service) in services(graph) {
        for number in service.address.ports.iter().filter_map(|port| port.number) {
            let users = users.entry(number).or_default();
            if users.last() != Some(&at) {
                users.push(at);
            }
        }
    }
    let host = |at: usize| graph.members[at].service.as_ref().map_or("", |service| service.address.host.as_str());
    for (number, users) in users.iter().filter(|(_, users)| users.len() > 1) {
        for (one, other) in clashes(graph, context, users, |one, other| hosts_clash(host(one), host(other))) {
            let (one, other) = (&graph.members[one], &graph.members[other]);
            errors.push(wrong(other, "ports", |place| {
                format!(
                    "{} and {place} both have port {number} (`{}={number}` and `{}={number}`)",
                    key_of(one, "ports"),
                    port_name(one, *number),
                    port_name(other, *number)
                )
            }));
        }
    }
}

/// The service's name for the port with that number.
fn port_name(member: &GraphMember, number: u16) -> &str {
    let mut ports = member.service.iter().flat_map(|service| &service.address.ports);
    ports.find(|port| port.number == Some(number)).map_or("", |port| &port.name)
}

/// Whether two programs that listen on the same port at these addresses conflict.
fn hosts_clash(one: &str, other: &str) -> bool {
    let everywhere = |host: &str| matches!(host, "0.0.0.0" | "::" | "[::]" | "*" | "");
    let plain = |host: &str| if host == "localhost" { "127.0.0.1".to_owned() } else { host.to_ascii_lowercase() };
    plain(one) == plain(other) || everywhere(one) || everywhere(other)
}

fn instances_of_one_port(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph).filter(|(_, _, service)| service.instances > 1) {
        for port in service.address.ports.iter().filter(|port| port.number.is_some()) {
            let number = port.number.unwrap_or_default();
            let message = |place: &str| {
                let instances = service.instances;
                format!(
                    "{place} has {instances} `instances`, which cannot all have port {number} (`{}={number}`)",
                    port.name
                )
            };
            errors.push(
                wrong(member, "instances", message)
                    .hint(format!("write `{}` without a number, for each to get a port of its own", port.name)),
            );
        }
    }
}

fn bad_host(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    let in_names = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    for (_, member, service) in services(graph) {
        let host = service
            .address
            .host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&service.address.host);
        // An address may name its network interface after `%`.
        let address = host.split_once('%').map_or(host, |(address, _)| address);
        if address.parse::<std::net::IpAddr>().is_err() && !host.chars().all(in_names) {
            let error = wrong(member, "host", |place| {
                format!("`host = {}` of {place} is neither an address nor a name", service.address.host)
            });
            errors.push(error.hint("write one as `127.0.0.1`, `::1` or `localhost`"));
        }
    }
}

fn bad_probe(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, text) in [("ready", Some(service.ready_text())), ("alive", service.probes.alive.clone())] {
            let Some(text) = text else { continue };
            let cause = match Probe::parse(&text) {
                Ok(Probe::Log { .. } | Probe::Notify | Probe::Exit) if key == "alive" => {
                    Some(ConfigError::handled("such a probe succeeds only once"))
                }
                Ok(_) if key == "alive" && ends(service) => {
                    Some(ConfigError::handled("with `ready = exit` it has ended by the time it is ready"))
                }
                Ok(Probe::Log { pattern }) => {
                    regex::bytes::Regex::new(&pattern).err().map(|error| ConfigError::handled(one_line(&error)))
                }
                Ok(probe) => unreachable_target(&probe).map(ConfigError::handled),
                Err(error) => Some(error),
            };
            if let Some(cause) = cause {
                let error = wrong(member, key, |place| format!("`{key} = {text}` of {place}: {}", cause.message));
                errors.push(ConfigError { hints: cause.hints, ..error });
            }
        }
    }
}

/// The message of an error in a pattern, without the drawing that points at the position.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("invalid regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

/// Why an address can never be probed, whatever the values of its fields.
fn unreachable_target(probe: &Probe) -> Option<String> {
    let target = match probe {
        Probe::Http { url, status } => ReadinessQuestion::http(&fields::without_values(url), *status),
        Probe::Tcp { address } => ReadinessQuestion::tcp(&fields::without_values(address)),
        _ => return None,
    };
    target.err()
}

/// Whether the service counts as ready when it has ended.
fn ends(service: &ServiceSettings) -> bool {
    matches!(Probe::parse(&service.ready_text()), Ok(Probe::Exit))
}

fn ambiguous_variable(graph: &ServiceGraph, context: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    let mut prefixes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, member, _) in services(graph) {
        prefixes.entry(fields::variable_prefix(&member.name)).or_default().push(at);
    }
    for (prefix, members) in prefixes.iter().filter(|(_, members)| members.len() > 1) {
        for (one, other) in clashes(graph, context, members, |_, _| true) {
            errors.push(
                ConfigError::handled(format!(
                    "{} and {} would both define `{prefix}_URL`",
                    graph.members[one].location(),
                    graph.members[other].location()
                ))
                .hint("give one of them a name that differs in more than punctuation and case"),
            );
        }
    }
}

fn nothing_to_adopt(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph).filter(|(_, _, service)| service.address.adopt) {
        if service.address.ports.iter().all(|port| port.number.is_none()) {
            errors.push(
                wrong(member, "adopt", |place| format!("{place} has `adopt`, which needs a port with a number"))
                    .hint("write `ports = NAME=NUMBER`"),
            );
        } else if matches!(
            Probe::parse(&service.ready_text()),
            Ok(Probe::Log { .. } | Probe::Notify | Probe::Exit | Probe::Alive)
        ) {
            errors.push(
                wrong(member, "adopt", |place| {
                    format!(
                        "{place} has `adopt`, but `ready = {}` cannot check a running program",
                        service.ready_text()
                    )
                })
                .hint("write a `tcp://`, `http://`, `unix://` or `cmd:` probe"),
            );
        }
    }
}

fn no_sockets(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        if service.address.listen_fds && service.address.ports.is_empty() {
            errors.push(
                wrong(member, "listen_fds", |place| format!("{place} has `listen_fds` but declares no `ports`"))
                    .hint("write `ports = NAME`"),
            );
        }
    }
}

fn watch_command_alone(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        if service.watching.watch_command.is_some()
            && service.watching.watch.iter().all(|pattern| pattern.starts_with('!'))
        {
            errors.push(
                wrong(member, "watch_command", |place| {
                    format!("{place} has a `watch_command`, but its `watch` is empty")
                })
                .hint("write paths or globs, for example `watch = src/**/*.py`"),
            );
        }
    }
}

fn bad_signal(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for member in &graph.members {
        if let Some(service) = &member.service
            && signal_number(&service.stopping.stop_signal).is_none()
        {
            errors.push(wrong(member, "stop_signal", |place| {
                format!("`stop_signal = {}` of {place} is not a signal", service.stopping.stop_signal)
            }));
        }
    }
}

#[cfg(test)]
mod tests;
