//! Which services and jobs a request needs, in what order, and whether that can work: a flat list of named checks, all
//! run before anything starts. Starts nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::fields;
use crate::error::ConfigError;
use crate::execute::glob;
use crate::model::service::{Probe, Service, signal_number};
use crate::model::{Environment, Service as ServiceKeys};

/// What the graph must know of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Globs, as written.
    pub depends: Vec<String>,
    /// `None`: an environment that runs to its end; a job, when a service depends on it.
    pub service: Option<ServiceKeys>,
}

impl From<&Environment> for Member {
    fn from(environment: &Environment) -> Self {
        Self {
            name: environment.name.clone(),
            depends: environment.depends.clone(),
            service: environment.service.clone(),
        }
    }
}

impl Member {
    /// Its name, and where it was written if that is known.
    fn place(&self) -> String {
        match self.service.as_ref().map(|service| service.location.as_str()) {
            Some(location) if !location.is_empty() => format!("`{}` ({location})", self.name),
            _ => format!("`{}`", self.name),
        }
    }
}

/// Environments and what they wait for. Positions are those in [`Graph::members`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    pub members: Vec<Member>,
    /// For each member the positions of what must be ready or done before it starts.
    pub dependencies: Vec<Vec<usize>>,
}

impl Graph {
    /// The part of `all` that `asked` needs: the asked-for environments themselves, the services any of them depends on,
    /// and whatever those services depend on, in the order of `all`. An environment without `serve` that only another
    /// such environment depends on is left out: there `depends` means order, as in tox.
    pub fn needed(all: &[Member], asked: &[String]) -> Self {
        let mut kept: BTreeSet<usize> = (0..all.len()).filter(|at| asked.contains(&all[*at].name)).collect();
        let mut open: Vec<usize> = kept.iter().copied().collect();
        while let Some(at) = open.pop() {
            for dependency in named(all, at) {
                let counts = all[at].service.is_some() || all[dependency].service.is_some();
                if counts && kept.insert(dependency) {
                    open.push(dependency);
                }
            }
        }
        Self::new(kept.into_iter().map(|at| all[at].clone()).collect())
    }

    /// All of `members`, whatever they depend on outside left aside.
    pub fn new(members: Vec<Member>) -> Self {
        let dependencies = (0..members.len())
            .map(|at| {
                let counts = |other: &usize| members[at].service.is_some() || members[*other].service.is_some();
                named(&members, at).into_iter().filter(counts).collect()
            })
            .collect();
        Self { members, dependencies }
    }

    /// All that the member at `at` depends on, directly or through others, by name.
    pub fn reachable(&self, at: usize) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![at];
        while let Some(one) = open.pop() {
            for dependency in &self.dependencies[one] {
                if found.insert(self.members[*dependency].name.as_str()) {
                    open.push(*dependency);
                }
            }
        }
        found
    }

    /// Everything that is wrong; empty when it can work. `known`: the names of all environments there are.
    pub fn check(&self, known: &[String]) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (_, check) in CHECKS {
            check(self, known, &mut errors);
        }
        errors
    }
}

/// The members whose names fit the globs of the one at `at`, itself left out unless it is named outright.
fn named(members: &[Member], at: usize) -> Vec<usize> {
    let fits = |other: usize| {
        members[at].depends.iter().any(|pattern| {
            if at == other { *pattern == members[at].name } else { glob::matches(pattern, &members[other].name) }
        })
    };
    (0..members.len()).filter(|other| fits(*other)).collect()
}

type Check = fn(&Graph, &[String], &mut Vec<ConfigError>);

/// What is looked for, by name.
const CHECKS: [(&str, Check); 6] = [
    ("cycle", cycle),
    ("unknown-dependency", unknown_dependency),
    ("duplicate-port", duplicate_port),
    ("service-not-in-depends", service_not_in_depends),
    ("bad-probe", bad_probe),
    ("bad-signal", bad_signal),
];

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
            let mut error =
                ConfigError::handled(format!("{} depends on `{pattern}`, which does not exist", member.place()));
            let near = known
                .iter()
                .map(|name| (strsim::damerau_levenshtein(name, pattern), name))
                .filter(|(distance, _)| *distance <= 1 + pattern.len() / 4)
                .min();
            if let Some((_, name)) = near {
                error = error.hint(format!("did you mean `{name}`?"));
            }
            errors.push(error);
        }
    }
}

fn duplicate_port(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    let mut taken: BTreeMap<(String, u16), &Member> = BTreeMap::new();
    for member in &graph.members {
        let Some(service) = &member.service else { continue };
        for (port, number) in service.ports.iter().filter_map(|port| port.number.map(|number| (port, number))) {
            if let Some(other) = taken.insert((service.host.clone(), number), member)
                && other.name != member.name
            {
                errors.push(ConfigError::handled(format!(
                    "{} and {} both have port {number} (`{}={number}`)",
                    other.place(),
                    member.place(),
                    port.name
                )));
            }
        }
    }
}

/// The texts of a service that may name others.
fn texts(service: &Service) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("serve", Some(&service.serve)),
        ("ready", service.ready.as_ref()),
        ("alive", service.alive.as_ref()),
        ("url", service.url.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((key, text?.as_str())))
}

fn service_not_in_depends(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for (at, member) in graph.members.iter().enumerate() {
        let Some(service) = &member.service else { continue };
        let reachable = graph.reachable(at);
        for (key, text) in texts(service) {
            for name in fields::services_named(text).into_iter().filter(|name| !reachable.contains(name)) {
                errors.push(
                    ConfigError::handled(format!(
                        "`{key}` of {} names the service `{name}`, which is not in its `depends`",
                        member.place()
                    ))
                    .hint(format!("write `depends = {name}` in `{}`", member.name)),
                );
            }
        }
    }
}

fn bad_probe(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for member in &graph.members {
        let Some(service) = &member.service else { continue };
        for (key, text) in [("ready", Some(service.ready_text())), ("alive", service.alive.clone())] {
            let Some(text) = text else { continue };
            let wrong = match Probe::parse(&text) {
                Ok(Probe::Log { .. } | Probe::Notify | Probe::Exit) if key == "alive" => {
                    Some(ConfigError::handled("such a probe answers only once"))
                }
                Ok(Probe::Log { pattern }) => {
                    regex::bytes::Regex::new(&pattern).err().map(|error| ConfigError::handled(error.to_string()))
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if let Some(mut error) = wrong {
                error.message = format!("`{key} = {text}` of {}: {}", member.place(), error.message);
                errors.push(error);
            }
        }
    }
}

fn bad_signal(graph: &Graph, _: &[String], errors: &mut Vec<ConfigError>) {
    for member in &graph.members {
        if let Some(service) = &member.service
            && signal_number(&service.stop_signal).is_none()
        {
            errors.push(ConfigError::handled(format!(
                "`stop_signal = {}` of {} is not a signal",
                service.stop_signal,
                member.place()
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::service::Port;

    fn service(name: &str, depends: &[&str]) -> Member {
        let location = format!("tox.ini:{}", name.len());
        Member {
            name: name.to_owned(),
            depends: depends.iter().map(|one| (*one).to_owned()).collect(),
            service: Some(Service { location, ..Service::new("run") }),
        }
    }

    fn job(name: &str, depends: &[&str]) -> Member {
        Member { service: None, ..service(name, depends) }
    }

    fn with(name: &str, change: impl FnOnce(&mut Service)) -> Member {
        let mut member = service(name, &[]);
        change(member.service.as_mut().unwrap());
        member
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.members.iter().map(|member| member.name.as_str()).collect()
    }

    fn messages(members: Vec<Member>, known: &[&str]) -> Vec<String> {
        let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
        Graph::new(members).check(&known).into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn a_request_brings_in_what_it_needs_and_nothing_else() {
        let all = vec![
            service("db", &["migrate"]),
            job("migrate", &["lint"]),
            job("lint", &[]),
            service("web", &["d?"]),
            service("other", &[]),
            job("app", &["web", "lint"]),
        ];
        let graph = Graph::needed(&all, &["app".to_owned()]);
        assert_eq!(names(&graph), ["db", "migrate", "web", "app"], "for `lint` it is order alone");
        assert_eq!(graph.dependencies, [vec![1], vec![], vec![0], vec![2]]);
        assert_eq!(names(&Graph::needed(&all, &["other".to_owned()])), ["other"]);
        assert!(names(&Graph::needed(&all, &["nothing".to_owned()])).is_empty());
    }

    #[test]
    fn globs_leave_out_the_environment_itself() {
        let graph = Graph::new(vec![service("svc-a", &["svc-*"]), service("svc-b", &[])]);
        assert_eq!(graph.dependencies, [vec![1], vec![]]);
        assert!(graph.check(&[]).is_empty());
    }

    #[test]
    fn a_cycle_is_printed_as_a_circle_with_its_lines() {
        let graph = Graph::new(vec![
            service("top", &["a"]),
            service("a", &["bb"]),
            service("bb", &["ccc"]),
            service("ccc", &["a"]),
        ]);
        let errors = graph.check(&[]);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].message, "circular dependency of services: a → bb → ccc → a");
        assert_eq!(errors[0].hints[0], "`a` (tox.ini:1) depends on `bb`");
        assert_eq!(messages(vec![service("a", &["a"])], &[]), ["circular dependency of services: a → a"]);
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        let members = vec![service("a", &["b", "c"]), service("b", &["d"]), service("c", &["d"]), service("d", &[])];
        assert!(messages(members, &[]).is_empty());
    }

    #[test]
    fn unknown_dependencies_are_named_with_what_was_meant() {
        let known = ["database".to_owned()];
        let errors = Graph::new(vec![service("a", &["databse", "x*"])]).check(&known);
        assert_eq!(errors[0].message, "`a` (tox.ini:1) depends on `databse`, which does not exist");
        assert_eq!(errors[0].hints, ["did you mean `database`?"]);
        assert_eq!(errors.len(), 1, "a glob may match nothing");
        assert!(messages(vec![job("a", &["nothing"])], &[]).is_empty(), "tox lets a job name anything");
    }

    #[test]
    fn two_services_cannot_have_one_port() {
        let port = |name: &str| vec![Port { name: name.to_owned(), number: Some(80) }];
        let members = vec![with("a", |one| one.ports = port("http")), with("bb", |one| one.ports = port("web"))];
        assert_eq!(messages(members, &[]), ["`a` (tox.ini:1) and `bb` (tox.ini:2) both have port 80 (`web=80`)"]);
        let elsewhere = |service: &mut Service| {
            service.ports = port("web");
            service.host = "127.0.0.2".into();
        };
        assert!(messages(vec![with("a", |one| one.ports = port("http")), with("bb", elsewhere)], &[]).is_empty());
    }

    #[test]
    fn only_services_in_depends_can_be_asked_for_their_fields() {
        let asks = |depends: &[&str]| {
            let mut member = service("a", depends);
            member.service.as_mut().unwrap().serve = "run {service:db:url}".into();
            vec![member, service("mid", &["db"]), service("db", &[])]
        };
        assert_eq!(
            messages(asks(&[]), &[]),
            ["`serve` of `a` (tox.ini:1) names the service `db`, which is not in its `depends`"]
        );
        assert!(messages(asks(&["mid"]), &["mid"]).is_empty(), "through another is good enough");
    }

    #[test]
    fn bad_probes_and_signals_are_found_before_anything_starts() {
        let ready = |text: &str| messages(vec![with("a", |one| one.ready = Some(text.into()))], &[]);
        assert!(ready("log:(").concat().starts_with("`ready = log:(` of `a` (tox.ini:1): regex parse error"));
        assert!(ready("nonsense").concat().contains("is not a probe"));
        assert!(ready("log:up (?P<port>[0-9]+)").is_empty());
        assert!(messages(vec![with("a", |one| one.alive = Some("exit".into()))], &[]).concat().contains("only once"));
        let signal = messages(vec![with("a", |one| one.stop_signal = "SIGNOPE".into())], &[]);
        assert_eq!(signal, ["`stop_signal = SIGNOPE` of `a` (tox.ini:1) is not a signal"]);
    }
}
