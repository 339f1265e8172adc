//! Checks that everything the texts of services refer to will exist: the service's own ports, and addresses
//! of its dependencies.

use std::collections::BTreeSet;

use crate::did_you_mean::nearest;
use crate::error::ConfigError;
use crate::model::service::{Probe, ServiceSettings};
use crate::python_text::glob;
use crate::serve::checks::{ServiceCheckContext, services, wrong};
use crate::serve::fields;
use crate::serve::fields::environment_of;
use crate::serve::graph::{GraphMember, ServiceGraph};

/// The texts of a service that may contain fields of its own.
fn texts(service: &ServiceSettings) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("serve", Some(&service.serve)),
        ("ready", service.probes.ready.as_ref()),
        ("alive", service.probes.alive.as_ref()),
        ("url", service.address.url.as_ref()),
        ("data", service.storage.data.as_ref()),
        ("watch_command", service.watching.watch_command.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((key, text?.as_str())))
}

/// The texts of a member that may refer to other services. A service runs `serve`, never its `commands`.
fn asking_texts(member: &GraphMember) -> impl Iterator<Item = (&'static str, &str)> {
    let serves = member.service.is_some();
    let beside = member.asks.iter().filter(move |asking| !serves || asking.key != "commands");
    member.service.iter().flat_map(texts).chain(beside.map(|asking| (asking.key, asking.text.as_str())))
}

pub(super) fn own_field(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        for (key, text) in texts(service) {
            for field in fields::own_ports(text) {
                let known = match field {
                    Some(name) => service.address.ports.iter().any(|port| port.name == name),
                    None => {
                        !service.address.ports.is_empty() || (knows_groups(key) && log_groups(service).contains("port"))
                    }
                };
                if known {
                    continue;
                }
                let (written, remedy) = match field {
                    Some(name) => (format!("{{port:{name}}}"), format!("write `ports = {name}`")),
                    None => ("{port}".to_owned(), "write `ports = NAME`".to_owned()),
                };
                let named: Vec<&str> = service.address.ports.iter().map(|port| port.name.as_str()).collect();
                let mut error = wrong(member, key, |place| {
                    format!("`{key}` of {place} uses `{written}` but declares no such port")
                });
                if let Some(near) = field.and_then(|field| nearest(field, named.iter().copied())) {
                    error = error.hint(format!("did you mean `{{port:{near}}}`?"));
                } else {
                    error = error.hint(remedy);
                }
                errors.push(error);
            }
        }
    }
}

/// Addresses contain no braces of their own, so text in braces is a field, and one that is never filled in is
/// a mistake.
pub(super) fn unknown_field(graph: &ServiceGraph, _: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (_, member, service) in services(graph) {
        let groups = log_groups(service);
        for (key, text) in texts(service).filter(|(key, text)| *key == "url" || is_address(text)) {
            for field in fields::all(text) {
                let known = matches!(field, "host" | "port" | "instance")
                    || field.starts_with("port:")
                    || (field.starts_with("service:") && !fields::service_fields(&format!("{{{field}}}")).is_empty())
                    || (knows_groups(key) && groups.contains(field));
                if known {
                    continue;
                }
                let error =
                    wrong(member, key, |place| format!("`{key}` of {place} has `{{{field}}}`, which is not a field"));
                let names = ["host", "port", "instance"].into_iter().chain(groups.iter().map(String::as_str));
                errors.push(match nearest(field, names) {
                    Some(near) => error.hint(format!("did you mean `{{{near}}}`?")),
                    None => error.hint(
                        "fields are {host}, {port}, {port:NAME}, {instance}, {service:ENV:FIELD}, and in `url` and `alive` the \
                         named groups of `ready = log:…`",
                    ),
                });
            }
        }
    }
}

/// Whether a key is evaluated after the service's `log:` probe has matched.
fn knows_groups(key: &str) -> bool {
    matches!(key, "url" | "alive" | "watch_command")
}

/// Whether a text is a probe of an address.
fn is_address(text: &str) -> bool {
    matches!(Probe::parse(text), Ok(Probe::Http { .. } | Probe::Tcp { .. } | Probe::Unix { .. }))
}

/// The named groups of a service's `log:` probe, which become fields.
fn log_groups(service: &ServiceSettings) -> BTreeSet<String> {
    let Ok(Probe::Log { pattern }) = Probe::parse(&service.ready_text()) else { return BTreeSet::new() };
    let Ok(regex) = regex::bytes::Regex::new(&pattern) else { return BTreeSet::new() };
    regex.capture_names().flatten().map(str::to_owned).collect()
}

pub(super) fn service_not_in_depends(
    graph: &ServiceGraph,
    context: &ServiceCheckContext<'_>,
    errors: &mut Vec<ConfigError>,
) {
    for (at, member) in graph.members.iter().enumerate() {
        for (key, text) in asking_texts(member) {
            let named = fields::service_fields(text).into_iter().map(|(name, _)| known_as(context, name));
            let named: BTreeSet<&str> = named.collect();
            let is_missing = |name: &&str| context.positions.get(name).is_none_or(|other| !graph.reaches(at, *other));
            for name in named.into_iter().filter(is_missing) {
                let gives_order = member.depends.iter().any(|pattern| glob::matches(pattern, name));
                errors.push(if gives_order && context.known.contains(name) {
                    wrong(member, key, |place| {
                        format!("`{key}` of {place} uses an address of `{name}`, which is not a service: it has no `serve` key")
                    })
                } else {
                    wrong(member, key, |place| {
                        format!("`{key}` of {place} names the service `{name}`, which is not in its `depends`")
                    })
                    .hint(format!("write `depends = {name}` in `{}`", member.name))
                });
            }
        }
    }
}

/// The environment of an instance name such as `web@2`.
fn known_as<'a>(context: &ServiceCheckContext<'_>, name: &'a str) -> &'a str {
    if context.positions.contains_key(name) { name } else { environment_of(name) }
}

/// The dependencies that a text of the member at `at` refers to, with the key of the text and the field.
fn asked<'a>(
    graph: &'a ServiceGraph,
    context: &ServiceCheckContext<'_>,
    at: usize,
) -> Vec<(&'static str, &'a GraphMember, &'a str)> {
    let fields = asking_texts(&graph.members[at])
        .flat_map(|(key, text)| fields::service_fields(text).into_iter().map(move |(name, field)| (key, name, field)));
    let of_graph = |(key, name, field)| {
        let other = context.positions.get(known_as(context, name)).filter(|other| graph.reaches(at, **other))?;
        Some((key, &graph.members[*other], field))
    };
    fields.filter_map(of_graph).collect()
}

pub(super) fn not_a_service(graph: &ServiceGraph, context: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (at, member) in graph.members.iter().enumerate() {
        for (key, other, field) in asked(graph, context, at).into_iter().filter(|(_, other, _)| other.service.is_none())
        {
            errors.push(
                wrong(member, key, |place| {
                    let other = &other.name;
                    format!(
                        "`{key}` of {place} uses `{field}` of `{other}`, which is not a service: it has no `serve` key"
                    )
                })
                .hint("a job, which runs before a service and then ends, has no address"),
            );
        }
    }
}

pub(super) fn service_field(graph: &ServiceGraph, context: &ServiceCheckContext<'_>, errors: &mut Vec<ConfigError>) {
    for (at, member) in graph.members.iter().enumerate() {
        for (key, other, field) in asked(graph, context, at) {
            let Some(theirs) = &other.service else { continue };
            let Err(lacking) = has_field(theirs, field) else { continue };
            errors.push(wrong(member, key, |place| {
                format!("`{key}` of {place} uses `{field}` of {}, which has {lacking}", other.location())
            }));
        }
    }
}

/// Whether the service has the field; the error names what is missing.
fn has_field(service: &ServiceSettings, field: &str) -> Result<(), String> {
    let groups = log_groups(service);
    let has_port = !service.address.ports.is_empty() || groups.contains("port");
    match field.split_once(':') {
        Some(("port", name)) if service.address.ports.iter().any(|port| port.name == name) => Ok(()),
        Some(("port", name)) => Err(format!("no port named `{name}` in its `ports`")),
        None if field == "host" || groups.contains(field) => Ok(()),
        None if field == "port" && has_port => Ok(()),
        None if field == "port" => Err("no `ports`".to_owned()),
        None if matches!(field, "url" | "urls") && (has_port || service.address.url.is_some()) => Ok(()),
        None if matches!(field, "url" | "urls") => Err("neither `ports` nor `url`".to_owned()),
        None if field == "instance" => Ok(()),
        _ => {
            Err("no such field: the fields are url, urls, host, port, port:NAME and the named groups of its `ready = log:…`"
                .to_owned())
        }
    }
}
