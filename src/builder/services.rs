//! Starts the services that a run's environments depend on when the first of them needs one, and stops them after the
//! last one is done. How services run is up to [`crate::serve`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rayon::prelude::*;

use crate::builder::env_builder::ReadyEnv;
use crate::builder::env_run::EnvRuns;
use crate::builder::secrets::RunSecrets;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::model::Command;
use crate::model::literal;
use crate::plan::Plan;
use crate::python_text::glob;
use crate::report::Buffered;
use crate::report::observers::observed;
use crate::serve::fields::{self, ServiceInstances};
use crate::serve::graph::{GraphMember, ServiceGraph};
use crate::serve::protocol::{ServiceDefinition, ServiceDependency};
use crate::serve::{HoldOptions, ServiceLease, SupervisorProgram, define};
use crate::settings::{asks_for_services, ensure_env_files, service_keys};

/// The folder for logs and ports of services, below the work directory.
pub const STATE_FOLDER: &str = ".envo";

/// The services that the environments of a run need.
#[derive(Default)]
pub struct RunServices {
    groups: Vec<ServiceGroup>,
    /// Environment → services whose fields it may use.
    visible: BTreeMap<String, BTreeSet<String>>,
}

/// Services that depend on each other: they start and stop together.
struct ServiceGroup {
    names: Vec<String>,
    /// The dependencies of each service.
    depends: Vec<Vec<ServiceDependency>>,
    /// Environments that are not done yet.
    users: Mutex<BTreeSet<String>>,
    state: Mutex<ServiceGroupState>,
}

enum ServiceGroupState {
    NotStarted,
    Running(Box<ServiceLease>),
    /// The services could not be started, for this reason.
    Failed(String),
    Stopped,
}

impl RunServices {
    /// Determines the services that `names` need.
    pub fn of(plan: &Plan, names: &[String]) -> Result<Self, ConfigError> {
        let members = members(plan, names)?;
        if members.iter().all(|member| member.service.is_none() && member.asks.is_empty()) {
            return Ok(Self::default());
        }
        let mut services = Self::default();
        let known: Vec<String> = plan.all()?.into_iter().map(|entry| entry.name.clone()).collect();
        let mut needed: BTreeSet<String> = BTreeSet::new();
        for name in names {
            let graph = ServiceGraph::needed(&as_requested(&members, name), std::slice::from_ref(name), names);
            graph.checked(&known).map_err(|error| plan.settings.at_values(error))?;
            let all: BTreeSet<String> = graph.members.iter().map(|member| member.name.clone()).collect();
            let others: BTreeSet<String> = all.into_iter().filter(|other| other != name).collect();
            needed.extend(others.iter().cloned());
            services.visible.insert(name.clone(), others);
        }
        needed.iter().try_for_each(|name| ensure_env_files(&plan.settings, name))?;
        let needed: Vec<GraphMember> = members.into_iter().filter(|member| needed.contains(&member.name)).collect();
        services.groups = groups(&ServiceGraph::new(needed));
        for group in &services.groups {
            let uses = |name: &&String| services.visible[*name].iter().any(|one| group.names.contains(one));
            group.users.lock().extend(names.iter().filter(uses).cloned());
        }
        Ok(services)
    }

    /// The environments to build for the services.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.groups.iter().flat_map(|group| &group.names)
    }

    pub fn are_needed_by(&self, environment: &str) -> bool {
        self.visible.get(environment).is_some_and(|names| !names.is_empty())
    }

    /// Starts all services that `environment` depends on, waits until they are ready, and returns their instances.
    pub fn start(&self, environment: &str, env_runs: &EnvRuns<'_>) -> Result<ServiceInstances, EnvError> {
        let Some(visible) = self.visible.get(environment) else { return Ok(ServiceInstances::default()) };
        let needed: Vec<&ServiceGroup> =
            self.groups.iter().filter(|group| group.names.iter().any(|name| visible.contains(name))).collect();
        let started: Vec<Result<ServiceInstances, EnvError>> = std::thread::scope(|scope| {
            let starting: Vec<_> = needed.iter().map(|group| scope.spawn(|| group.start(env_runs))).collect();
            let failed = |_| Err(EnvError::Fail("starting services has failed".to_owned()));
            starting.into_iter().map(|thread| thread.join().unwrap_or_else(failed)).collect()
        });
        let mut instances = ServiceInstances::default();
        for group in started {
            for instance in group?.only(visible).iter() {
                instances.insert(instance.clone());
            }
        }
        Ok(instances)
    }

    /// `environment` is done; stops services without remaining users.
    pub fn release(&self, environment: &str) -> Result<(), String> {
        let mut result = Ok(());
        for group in &self.groups {
            let mut users = group.users.lock();
            if users.remove(environment) && users.is_empty() {
                result = result.and(group.stop());
            }
        }
        result
    }

    /// Stops all services.
    pub fn close(&self, reporter: &dyn Reporter) {
        for group in &self.groups {
            if let Err(text) = group.stop() {
                reporter.error("ROOT", text);
            }
        }
    }
}

impl ServiceGroup {
    fn start(&self, env_runs: &EnvRuns<'_>) -> Result<ServiceInstances, EnvError> {
        // Locked while the services start, so that other environments wait here.
        let mut state = self.state.lock();
        if let ServiceGroupState::NotStarted = &*state {
            match self.build_and_start(env_runs) {
                Ok(held) => *state = ServiceGroupState::Running(Box::new(held)),
                Err(EnvError::Interrupted) => return Err(EnvError::Interrupted),
                Err(error) => *state = ServiceGroupState::Failed(error.to_string()),
            }
        }
        match &*state {
            ServiceGroupState::Running(held) => Ok(held.instances()),
            ServiceGroupState::Failed(reason) => Err(EnvError::Fail(reason.clone())),
            ServiceGroupState::NotStarted | ServiceGroupState::Stopped => Err(EnvError::Interrupted),
        }
    }

    fn build_and_start(&self, env_runs: &EnvRuns<'_>) -> Result<ServiceLease, EnvError> {
        let built = build_side_by_side(env_runs, &self.names)?;
        let definitions = built.into_iter().zip(&self.depends).map(|(built, depends)| {
            Ok(ServiceDefinition { depends: depends.clone(), ..defined(env_runs.secrets, built)? })
        });
        let run = env_runs.run;
        let options = HoldOptions {
            state_dir: run.project.work_dir.join(STATE_FOLDER),
            variables: run.host.clone(),
            reporter: Arc::clone(&run.output.reporter),
            interrupt: run.interrupt.clone(),
            show_output: run.verbosity > 2,
            change: false,
            force: false,
            client: "run".to_owned(),
            supervisor: SupervisorProgram::default(),
        };
        let definitions = definitions.collect::<Result<_, EnvError>>()?;
        ServiceLease::start(definitions, &options).map_err(|error| match EnvError::from(error) {
            EnvError::Internal(error) => EnvError::Fail(format!("{error:#}")),
            error => error,
        })
    }

    fn stop(&self) -> Result<(), String> {
        match std::mem::replace(&mut *self.state.lock(), ServiceGroupState::Stopped) {
            ServiceGroupState::Running(held) => held.stop().map_err(|error| format!("{error:#}")),
            ServiceGroupState::NotStarted | ServiceGroupState::Failed(_) | ServiceGroupState::Stopped => Ok(()),
        }
    }
}

/// The definition of a built environment, with its secrets.
pub fn defined(secrets: &RunSecrets, built: ReadyEnv) -> Result<ServiceDefinition, EnvError> {
    let ReadyEnv { environment, mut session } = built;
    secrets.give_to(&environment.name, &environment.variables, &mut session.variables)?;
    Ok(define(&environment, &session)?)
}

/// Builds environments in parallel. Output is held back and shown only for those that fail.
///
/// # Errors
/// If one of them cannot be built; the reason has been reported by then.
pub fn build_side_by_side(env_runs: &EnvRuns<'_>, names: &[String]) -> Result<Vec<ReadyEnv>, EnvError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(names.len()).build().map_err(anyhow::Error::from)?;
    let built: Vec<Result<ReadyEnv, EnvError>> =
        pool.install(|| names.par_iter().map(|name| build_quietly(env_runs, name)).collect());
    let mut interrupted = false;
    let mut failed: Vec<&str> = Vec::new();
    for (name, result) in names.iter().zip(&built) {
        match result {
            Ok(_) => {}
            Err(EnvError::Interrupted) => interrupted = true,
            Err(_) => failed.push(name),
        }
    }
    match failed.as_slice() {
        [] if interrupted => Err(EnvError::Interrupted),
        [] => built.into_iter().collect(),
        names => Err(EnvError::Fail(format!("{} could not be built", names.join(", ")))),
    }
}

pub fn build_quietly(env_runs: &EnvRuns<'_>, name: &str) -> Result<ReadyEnv, EnvError> {
    let live = Arc::clone(&env_runs.run.output.reporter);
    let Some(layout) = &env_runs.layout else { return built_or_reported(env_runs, name, live) };
    let held = Arc::new(Buffered::new(layout.clone(), Arc::clone(&live)));
    let reporter = observed(Arc::clone(&held) as Arc<dyn Reporter>, &env_runs.run.output.observers);
    let result = built_or_reported(env_runs, name, reporter);
    match &result {
        // The service's own commands report later, when this output is no longer of interest.
        Ok(_) => held.forget(),
        Err(_) => held.replay(live.as_ref()),
    }
    result.map(|built| built.reporting_to(live))
}

fn built_or_reported(env_runs: &EnvRuns<'_>, name: &str, reporter: Arc<dyn Reporter>) -> Result<ReadyEnv, EnvError> {
    let result = env_runs.build(name, Arc::clone(&reporter));
    env_runs.packager.release(name);
    match result {
        Err(error) if !matches!(error, EnvError::Interrupted) => {
            error.report(reporter.as_ref(), name);
            Err(error)
        }
        result => result,
    }
}

/// The environments `names` and all their direct and indirect dependencies.
fn members(plan: &Plan, names: &[String]) -> Result<Vec<GraphMember>, ConfigError> {
    let depends = plan.depends(names)?;
    if depends.iter().all(|(_, globs)| globs.is_empty()) && !asks_for_services(&plan.settings) {
        return Ok(Vec::new());
    }
    let all = plan.runs()?;
    let mut found: BTreeMap<String, GraphMember> = BTreeMap::new();
    let mut open: VecDeque<String> = names.iter().cloned().collect();
    while let Some(name) = open.pop_front() {
        if found.contains_key(&name) {
            continue;
        }
        let asked = names.contains(&name);
        let member = match plan.environment(&name) {
            Ok(environment) => GraphMember::from(&environment),
            // An invalid environment is reported when it runs; it may not be needed as a service.
            Err(_) if asked || !is_service(plan, &name)? => {
                let (depends, restarts_with, asks) = (Vec::new(), Vec::new(), Vec::new());
                GraphMember { name: name.clone(), depends, restarts_with, depends_inherited: None, service: None, asks }
            }
            Err(error) => return Err(error),
        };
        // For an environment that uses no service, `depends` only means order.
        if asked || member.service.is_some() || uses_services(plan, &all, &name)? {
            let fits = |other: &&String| member.depends.iter().any(|pattern| glob::matches(pattern, other));
            open.extend(all.iter().filter(fits).cloned());
        }
        found.insert(name, member);
    }
    let mut members: Vec<GraphMember> = found.into_values().collect();
    let position = |name: &String| all.iter().position(|one| one == name).unwrap_or(usize::MAX);
    members.sort_by_key(|member| position(&member.name));
    Ok(members)
}

/// Whether the environment `name` has a `serve` key.
pub fn is_service(plan: &Plan, name: &str) -> Result<bool, ConfigError> {
    let set = plan.settings.environment(name);
    Ok(service_keys(&plan.settings, &set)?.contains(&"serve"))
}

/// Whether the environment `name`, one of `known`, depends directly on a service.
pub fn uses_services(plan: &Plan, known: &[String], name: &str) -> Result<bool, ConfigError> {
    let depends = plan.depends(std::slice::from_ref(&name.to_owned()))?;
    for pattern in depends.iter().flat_map(|(_, patterns)| patterns) {
        for other in known.iter().filter(|other| glob::matches(pattern, other)) {
            if is_service(plan, other)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// `members` for running the commands of `name`, which is not started as a service then.
fn as_requested(members: &[GraphMember], name: &str) -> Vec<GraphMember> {
    let service = |member: &GraphMember| if member.name == name { None } else { member.service.clone() };
    members.iter().map(|member| GraphMember { service: service(member), ..member.clone() }).collect()
}

/// The connected components of the graph.
fn groups(graph: &ServiceGraph) -> Vec<ServiceGroup> {
    let mut group_of: Vec<usize> = (0..graph.members.len()).collect();
    for (at, dependencies) in graph.dependencies.iter().enumerate() {
        for dependency in dependencies {
            let (from, to) = (group_of[*dependency], group_of[at]);
            group_of.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
    }
    let distinct: BTreeSet<usize> = group_of.iter().copied().collect();
    let group = |id: usize| ServiceGroup {
        names: (0..group_of.len()).filter(|at| group_of[*at] == id).map(|at| graph.members[at].name.clone()).collect(),
        depends: (0..group_of.len()).filter(|at| group_of[*at] == id).map(|at| graph.dependencies_of(at)).collect(),
        users: Mutex::default(),
        state: Mutex::new(ServiceGroupState::NotStarted),
    };
    distinct.into_iter().map(group).collect()
}

/// Replaces the fields of services in commands.
pub fn fill(commands: Vec<Command>, instances: &ServiceInstances) -> Result<Vec<Command>, EnvError> {
    let fill = |word: String| match word.contains("{service:") || literal::has_literal(&word) {
        true => fields::fill(&word, instances),
        false => Ok(word),
    };
    let filled = commands.into_iter().map(|command| {
        let argv = command.argv.into_iter().map(fill).collect::<Result<_, ConfigError>>()?;
        Ok(Command { argv, ..command })
    });
    filled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, depends: &[&str], serves: bool) -> GraphMember {
        GraphMember {
            name: name.to_owned(),
            depends: depends.iter().map(|one| (*one).to_owned()).collect(),
            restarts_with: Vec::new(),
            depends_inherited: None,
            asks: Vec::new(),
            service: serves.then(|| crate::model::ServiceSettings::new("run")),
        }
    }

    #[test]
    fn services_that_depend_on_each_other_are_one_group() {
        let members =
            vec![member("a", &[], true), member("b", &["a"], true), member("c", &[], true), member("d", &["b"], true)];
        let names: Vec<Vec<String>> =
            groups(&ServiceGraph::new(members)).into_iter().map(|group| group.names).collect();
        assert_eq!(names, [vec!["c".to_owned()], vec!["a".into(), "b".into(), "d".into()]]);
    }

    #[test]
    fn an_environment_whose_commands_are_run_is_no_service_itself() {
        let members = vec![member("job", &[], false), member("db", &[], true), member("web", &["job", "db"], true)];
        let graph = ServiceGraph::needed(&as_requested(&members, "web"), &["web".to_owned()], &[]);
        let names: Vec<&str> = graph.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["db", "web"]);
    }

    #[test]
    fn only_words_that_name_services_are_touched() {
        let command = |words: &[&str]| Command::from_words(words.iter().map(|word| (*word).to_owned()).collect());
        let plain = vec![command(&["echo", "{port}", "{}"])];
        assert_eq!(fill(plain.clone(), &ServiceInstances::default()).unwrap(), plain);
        assert!(fill(vec![command(&["echo", "{service:db:url}"])], &ServiceInstances::default()).is_err());
    }
}
