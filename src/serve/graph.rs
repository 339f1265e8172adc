//! Finds the services and jobs that a request needs, and their order. It does not check whether they can work
//! (see `checks`) and starts nothing.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::model::environment::InheritedFrom;
use crate::model::service::AddressUse;
use crate::model::{Environment, ServiceSettings as ServiceKeys};
use crate::python_text::glob;
use crate::serve::protocol::ServiceDependency;

/// What the graph knows of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphMember {
    pub name: String,
    /// Globs, as written.
    pub depends: Vec<String>,
    /// The ones among them whose restart restarts this member.
    pub restarts_with: Vec<String>,
    /// Where `depends` was inherited from, if not set in the environment's own section.
    pub depends_inherited: Option<InheritedFrom>,
    /// `None`: an environment that runs to its end; a job if a service depends on it.
    pub service: Option<ServiceKeys>,
    /// The uses of service addresses in its variables and commands.
    pub asks: Vec<AddressUse>,
}

impl From<&Environment> for GraphMember {
    fn from(environment: &Environment) -> Self {
        Self {
            name: environment.name.clone(),
            depends: environment.relations.depends.clone(),
            restarts_with: environment.relations.restarts_with.clone(),
            depends_inherited: environment.relations.depends_inherited.clone(),
            service: environment.service.clone(),
            asks: environment.relations.asks.clone(),
        }
    }
}

impl GraphMember {
    /// Its name, and where it is defined if that is known.
    pub(super) fn location(&self) -> String {
        match self.service.as_ref().map(|service| service.location.as_str()) {
            Some(location) if !location.is_empty() => format!("`{}` ({location})", self.name),
            _ => format!("`{}`", self.name),
        }
    }
}

/// Environments and their dependencies. Numbers are positions in [`ServiceGraph::members`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceGraph {
    pub members: Vec<GraphMember>,
    /// For each member the positions of the members that must be ready or done before it starts.
    pub dependencies: Vec<Vec<usize>>,
}

impl ServiceGraph {
    /// The part of `all` that `asked` needs, in the order of `all`: the requested environments, the services
    /// that any of them depends on, and the jobs that prepare those. An environment without `serve` is a job
    /// for a service that depends on it, and for an environment that depends on it and shares a service with
    /// it, unless it is one of `run`, which were selected to run. Between all others `depends` only means
    /// order, as in tox.
    pub fn needed(all: &[GraphMember], asked: &[String], run: &[String]) -> Self {
        let asked: HashSet<&str> = asked.iter().map(String::as_str).collect();
        let run: HashSet<&str> = run.iter().map(String::as_str).collect();
        let mut kept: BTreeSet<usize> = (0..all.len()).filter(|at| asked.contains(all[*at].name.as_str())).collect();
        let mut open: Vec<usize> = kept.iter().copied().collect();
        let dependencies = counting(all);
        while let Some(at) = open.pop() {
            for dependency in &dependencies[at] {
                let serves = all[at].service.is_some() || all[*dependency].service.is_some();
                if (serves || !run.contains(all[*dependency].name.as_str())) && kept.insert(*dependency) {
                    open.push(*dependency);
                }
            }
        }
        Self::new(kept.into_iter().map(|at| all[at].clone()).collect())
    }

    /// A graph of all `members`, ignoring dependencies on others.
    pub fn new(members: Vec<GraphMember>) -> Self {
        let dependencies = counting(&members);
        Self { members, dependencies }
    }

    /// For each member the positions of its dependents.
    pub fn dependents(&self) -> Vec<Vec<usize>> {
        let mut dependents = vec![Vec::new(); self.members.len()];
        for (at, dependencies) in self.dependencies.iter().enumerate() {
            dependencies.iter().for_each(|on| dependents[*on].push(at));
        }
        dependents
    }

    /// The graph without the members that `is_broken` and without their dependents.
    #[must_use]
    pub fn without(self, is_broken: impl Fn(&GraphMember) -> bool) -> Self {
        let mut left_out: Vec<bool> = self.members.iter().map(is_broken).collect();
        let mut open: Vec<usize> = (0..left_out.len()).filter(|at| left_out[*at]).collect();
        if open.is_empty() {
            return self;
        }
        let dependents = self.dependents();
        while let Some(at) = open.pop() {
            for dependent in &dependents[at] {
                if !std::mem::replace(&mut left_out[*dependent], true) {
                    open.push(*dependent);
                }
            }
        }
        Self::new(self.members.into_iter().zip(left_out).filter_map(|(member, out)| (!out).then_some(member)).collect())
    }

    /// The dependencies of the member at `at`, for a supervisor.
    pub fn dependencies_of(&self, at: usize) -> Vec<ServiceDependency> {
        let dependency = |other: &usize| {
            let name = &self.members[*other].name;
            let restart = self.members[at].restarts_with.iter().any(|pattern| glob::matches(pattern, name));
            ServiceDependency { name: name.clone(), restart }
        };
        self.dependencies[at].iter().map(dependency).collect()
    }

    /// Cycles: each member waits for the next and the last for the first, which precedes the others in the
    /// graph. No member is in two of the cycles.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum VisitMark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![VisitMark::New; self.members.len()];
        let mut is_told = vec![false; self.members.len()];
        let mut cycles = Vec::new();
        for start in 0..self.members.len() {
            if marks[start] != VisitMark::New {
                continue;
            }
            // The path from the start to here: positions, and the index of the next dependency.
            let mut way: Vec<(usize, usize)> = vec![(start, 0)];
            marks[start] = VisitMark::Open;
            while let Some((at, next)) = way.last_mut() {
                let Some(dependency) = self.dependencies[*at].get(*next).copied() else {
                    marks[*at] = VisitMark::Done;
                    way.pop();
                    continue;
                };
                *next += 1;
                match marks[dependency] {
                    VisitMark::New => {
                        marks[dependency] = VisitMark::Open;
                        way.push((dependency, 0));
                    }
                    VisitMark::Open if !is_told[dependency] && !is_told[*at] => {
                        let from = way.iter().rposition(|(at, _)| *at == dependency).unwrap_or_default();
                        let mut cycle: Vec<usize> = way[from..].iter().map(|(at, _)| *at).collect();
                        cycle.iter().for_each(|at| is_told[*at] = true);
                        let first = cycle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(first, _)| first);
                        cycle.rotate_left(first);
                        cycles.push(cycle);
                    }
                    VisitMark::Open | VisitMark::Done => {}
                }
            }
        }
        cycles
    }

    /// Whether the member at `from` depends on the one at `to`, directly or through others.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        if self.dependencies[from].contains(&to) {
            return true;
        }
        let mut seen: HashSet<usize> = HashSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            for dependency in &self.dependencies[at] {
                if *dependency == to {
                    return true;
                }
                if seen.insert(*dependency) {
                    open.push(*dependency);
                }
            }
        }
        false
    }
}

/// For each member the dependencies that must be ready or done before it starts: services and jobs.
fn counting(members: &[GraphMember]) -> Vec<Vec<usize>> {
    let mut names = MemberNames::new(members);
    let written: Vec<Vec<usize>> = (0..members.len()).map(|at| names.depended_on(at)).collect();
    let serves = |at: usize, other: usize| members[at].service.is_some() || members[other].service.is_some();
    let with_services: Vec<Vec<usize>> = written
        .iter()
        .enumerate()
        .map(|(at, written)| written.iter().copied().filter(|other| serves(at, *other)).collect())
        .collect();
    // Environments without `serve` → what they use. Only computed if two of them use something.
    let mut used: HashMap<usize, HashSet<usize>> = HashMap::new();
    let mut is_job_for = |job: usize, at: usize| {
        if job == at || with_services[job].is_empty() || with_services[at].is_empty() {
            return false;
        }
        for one in [job, at] {
            used.entry(one).or_insert_with(|| reached(&with_services, one));
        }
        !used[&job].is_disjoint(&used[&at])
    };
    let mut counting = Vec::with_capacity(members.len());
    for (at, written) in written.iter().enumerate() {
        let counts = |other: &usize| serves(at, *other) || is_job_for(*other, at);
        counting.push(written.iter().copied().filter(counts).collect());
    }
    counting
}

/// The members that can be reached from `at` over `dependencies`.
fn reached(dependencies: &[Vec<usize>], at: usize) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        open.extend(dependencies[at].iter().copied().filter(|other| seen.insert(*other)));
    }
    seen
}

/// Finds members by the names in `depends`: a plain name by lookup, a glob by one pass over all members.
struct MemberNames<'a> {
    members: &'a [GraphMember],
    positions: HashMap<&'a str, usize>,
    of_globs: HashMap<&'a str, Vec<usize>>,
}

impl<'a> MemberNames<'a> {
    fn new(members: &'a [GraphMember]) -> Self {
        let positions = members.iter().enumerate().map(|(at, member)| (member.name.as_str(), at)).collect();
        Self { members, positions, of_globs: HashMap::new() }
    }

    /// The dependencies of the member at `at`, without itself unless it is named literally.
    fn depended_on(&mut self, at: usize) -> Vec<usize> {
        let mut found: BTreeSet<usize> = BTreeSet::new();
        for pattern in &self.members[at].depends {
            if !glob::is_pattern(pattern) {
                found.extend(self.positions.get(pattern.as_str()));
                continue;
            }
            let matching = self.of_globs.entry(pattern).or_insert_with(|| {
                let parsed = glob::GlobPattern::new(pattern);
                (0..self.members.len()).filter(|other| parsed.matches(&self.members[*other].name)).collect()
            });
            found.extend(matching.iter().filter(|other| **other != at || *pattern == self.members[at].name));
        }
        found.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceSettings;

    fn service(name: &str, depends: &[&str]) -> GraphMember {
        let location = format!("tox.ini:{}", name.len());
        GraphMember {
            name: name.to_owned(),
            depends: depends.iter().map(|one| (*one).to_owned()).collect(),
            restarts_with: Vec::new(),
            depends_inherited: None,
            asks: Vec::new(),
            service: Some(ServiceSettings { location, ..ServiceSettings::new("run") }),
        }
    }

    fn job(name: &str, depends: &[&str]) -> GraphMember {
        GraphMember { service: None, ..service(name, depends) }
    }

    fn names(graph: &ServiceGraph) -> Vec<&str> {
        graph.members.iter().map(|member| member.name.as_str()).collect()
    }

    #[test]
    fn a_request_includes_exactly_its_dependencies() {
        let all = vec![
            service("db", &["migrate"]),
            job("migrate", &["lint"]),
            job("lint", &[]),
            service("web", &["d?"]),
            service("other", &[]),
            job("app", &["web", "lint"]),
        ];
        let graph = ServiceGraph::needed(&all, &["app".to_owned()], &[]);
        assert_eq!(names(&graph), ["db", "migrate", "web", "app"], "for `lint` it only means order");
        assert_eq!(graph.dependencies, [vec![1], vec![], vec![0], vec![2]]);
        assert_eq!(names(&ServiceGraph::needed(&all, &["other".to_owned()], &[])), ["other"]);
        assert!(names(&ServiceGraph::needed(&all, &["nothing".to_owned()], &[])).is_empty());
    }

    #[test]
    fn jobs_prepare_services_for_their_users_and_otherwise_mean_order() {
        let all = vec![
            service("db", &[]),
            service("api", &["db"]),
            service("mail", &[]),
            job("migrate", &["db"]),
            job("seed", &["migrate", "db"]),
            job("unit", &["mail"]),
            job("app", &["seed", "api", "unit", "plain"]),
            job("plain", &[]),
            job("report", &["app"]),
        ];
        let needed = |asked: &str, run: &[&str]| {
            let run: Vec<String> = run.iter().map(|one| (*one).to_owned()).collect();
            let graph = ServiceGraph::needed(&all, &[asked.to_owned()], &run);
            graph.members.into_iter().map(|member| member.name).collect::<Vec<_>>()
        };
        assert_eq!(needed("app", &[]), ["db", "api", "migrate", "seed", "app"]);
        assert_eq!(needed("app", &["app", "seed"]), ["db", "api", "app"], "it was selected to run");
        assert_eq!(needed("report", &[]), ["report"]);
        let graph = ServiceGraph::new(all.clone());
        assert_eq!(graph.dependencies[6], [1, 4]);
        assert!(graph.dependencies[8].is_empty());
    }

    #[test]
    fn globs_leave_out_the_environment_itself() {
        let graph = ServiceGraph::new(vec![service("svc-a", &["svc-*"]), service("svc-b", &[])]);
        assert_eq!(graph.dependencies, [vec![1], vec![]]);
        assert!(graph.check(&[]).is_empty());
    }
}
