//! Records which clients want which services: leases of connections, services kept by `up`, and the
//! definitions that clients send.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::ServiceSettings;
use crate::model::service::{Probe, RestartPolicy};
use crate::serve::fields::ServiceInstance;
use crate::serve::instances::{self, ExpandedInstance, Namespaces, ServiceTemplate};
use crate::serve::machine::{MachineEvent as Happening, MachineNode, ReadyWhen};
use crate::serve::ports::{self, PortRegistry, PortReservation};
use crate::serve::prepared_definition::PreparedDefinition;
use crate::serve::protocol::{RequestRefusal, ServiceDefinition, ServiceTimeline, UpRequest, UpResult};
use crate::serve::supervisor::jobs::ForcedJobs;
use crate::serve::supervisor::probe_thread::ProbeThread;
use crate::serve::supervisor::{Member, Supervisor};
use crate::serve::supervisor::{MemberPorts, MemberReports, MemberRun, MemberTasks};

/// How an instance is added.
struct InstanceChange<'a> {
    /// Whether an instance that runs with another definition is restarted.
    restart: bool,
    /// The instances that the same request has already added.
    taken_in: &'a [(usize, bool)],
}

/// A larger number is probably a mistake.
const MOST_INSTANCES: u32 = 1000;

impl Supervisor {
    /// Adds the services that a client wants. Returns the nodes it requested, and the result for all.
    pub(super) fn up(&mut self, connection: u64, up: UpRequest) -> Result<(Vec<usize>, UpResult), RequestRefusal> {
        let UpRequest { services, requested, keep, force, force_for, change, events, worker, test, ttl, .. } = up;
        let namespaces = Namespaces { worker, test };
        if let Some(name) = namespaces.refused() {
            return Err(RequestRefusal::new(
                "configuration",
                format!("`{name}` is not a valid name for a worker or a test"),
            ));
        }
        self.check(&services, &requested)?;
        let sent: BTreeSet<String> = services.iter().map(|one| one.name.clone()).collect();
        let expanded = self.expand(services, &requested, &namespaces)?;
        if events && let Some(one) = self.clients.connections.get_mut(&connection) {
            one.events = true;
        }
        let mut changes = UpResult::default();
        let own: BTreeSet<String> = expanded.iter().map(|(one, _)| one.which.name.clone()).collect();
        let mut taken_in: Vec<(usize, bool)> = Vec::new();
        for (one, reservation) in expanded {
            let change = InstanceChange { restart: change, taken_in: &taken_in };
            let taken = self.add_instance(one, reservation, &change, &mut changes);
            taken_in.push(taken);
        }
        let asked = |at: &usize| requested.contains(&self.slots[*at].which.environment);
        let wanted: Vec<usize> = taken_in.iter().map(|(at, _)| *at).filter(asked).collect();
        let ttl = ttl.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        for at in &wanted {
            self.slots[*at].ttl = self.slots[*at].ttl.max(ttl);
        }
        self.connect(&taken_in);
        if force || force_for.is_some() {
            self.force_jobs(&wanted, force_for);
        }
        let done = self.done_among(&wanted);
        if keep {
            self.unpin_surplus(&sent, &own, &mut changes);
            self.clients.pinned.extend(&wanted);
            self.update_wanted();
        } else {
            self.hold(connection, &wanted);
        }
        self.step(Happening::Retry(wanted.clone()));
        for at in done.into_iter().filter(|at| self.machine.is_met(*at)) {
            self.publish_to(connection, self.left_out(at));
        }
        Ok((wanted, changes))
    }

    /// The finished jobs among the dependencies of `wanted`.
    fn done_among(&self, wanted: &[usize]) -> Vec<usize> {
        let all = self.machine.with_dependencies(wanted.iter().copied());
        all.into_iter().filter(|at| self.coming(*at).is_job() && self.machine.is_met(*at)).collect()
    }

    /// The requested instances, with reserved ports for the new ones. Stores the definitions.
    fn expand(
        &mut self,
        services: Vec<ServiceDefinition>,
        requested: &[String],
        namespaces: &Namespaces,
    ) -> Result<Vec<(ExpandedInstance, PortReservation)>, RequestRefusal> {
        let mut all = self.templates.clone();
        let mut open: Vec<String> = requested.to_vec();
        let mut scaled: BTreeSet<String> = BTreeSet::new();
        for definition in services {
            let name = definition.name.clone();
            let template = ServiceTemplate::new(definition);
            let instances = template.instances();
            if all.insert(name.clone(), template).is_some_and(|before| before.instances() != instances) {
                scaled.insert(name.clone());
            }
            open.push(name);
        }
        let mut asked: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = open.pop() {
            if let Some(template) = all.get(&name)
                && asked.insert(name)
            {
                open.extend(template.definition.depends.iter().map(|one| one.name.clone()));
            }
        }
        // Running dependents of services whose instances have changed must be updated.
        let depends =
            |template: &ServiceTemplate| template.definition.depends.iter().any(|one| scaled.contains(&one.name));
        let concerned = all.iter().filter(|(_, one)| depends(one)).map(|(name, _)| name.clone());
        let names: BTreeSet<String> = asked.iter().cloned().chain(concerned).collect();
        let mut expanded = instances::expand(&all, &names, namespaces);
        expanded
            .retain(|one| asked.contains(&one.which.environment) || self.names.contains_key(one.which.name.as_str()));
        let mut reservations = self.reserve_ports(&expanded)?;
        self.templates = all;
        let with_lease = |one: ExpandedInstance| {
            let reservation = reservations.remove(&one.which.name).unwrap_or_default();
            (one, reservation)
        };
        Ok(expanded.into_iter().map(with_lease).collect())
    }

    /// Adds an instance. Returns its node, and whether its definition has changed.
    fn add_instance(
        &mut self,
        one: ExpandedInstance,
        reservation: PortReservation,
        change: &InstanceChange<'_>,
        changes: &mut UpResult,
    ) -> (usize, bool) {
        let name = one.which.name.clone();
        let Some(at) = self.names.get(&name).copied() else {
            changes.started.push(name);
            return (self.add(one, reservation, change.taken_in), false);
        };
        let idle = self.machine.is_over(at);
        let same = self.slots[at].digest == one.digest;
        let list = match (same, idle) {
            (_, true) => &mut changes.started,
            (true, false) => &mut changes.unchanged,
            (false, false) if change.restart => &mut changes.restarted,
            (false, false) => &mut changes.outdated,
        };
        list.push(name);
        let slot = &mut self.slots[at];
        if same {
            // Its dependencies may have more or fewer instances by now.
            slot.next.as_mut().unwrap_or(&mut slot.prepared).definition = one.definition;
            slot.which = one.which;
        } else if change.restart || idle {
            slot.next =
                Some(PreparedDefinition::new(one.definition, Arc::clone(&self.reporter), &self.project.redactor));
            (slot.digest, slot.which) = (one.digest, one.which);
            return (at, true);
        }
        (at, false)
    }

    /// Releases instances that `up` has kept and that are surplus by now.
    fn unpin_surplus(&mut self, sent: &BTreeSet<String>, own: &BTreeSet<String>, changes: &mut UpResult) {
        let is_surplus = |at: &usize| {
            let which = &self.slots[*at].which;
            sent.contains(&which.environment) && !which.is_apart && !own.contains(&which.name)
        };
        let surplus: Vec<usize> = self.clients.pinned.iter().copied().filter(is_surplus).collect();
        for at in surplus {
            self.clients.pinned.remove(&at);
            changes.stopped.push(self.slots[at].which.name.clone());
        }
    }

    /// Refuses services that cannot work before anything is changed.
    fn check(&self, services: &[ServiceDefinition], requested: &[String]) -> Result<(), RequestRefusal> {
        let sent: BTreeMap<&str, &ServiceDefinition> = services.iter().map(|one| (one.name.as_str(), one)).collect();
        let known = |name: &str| sent.contains_key(name) || self.templates.contains_key(name);
        let configuration = |text: String| Err(RequestRefusal::new("configuration", text));
        for definition in services {
            let instances = definition.service.as_ref().map_or(1, |service| service.instances);
            if instances > MOST_INSTANCES {
                return configuration(format!(
                    "`{}`: instances = {instances} is above the limit of {MOST_INSTANCES}",
                    definition.name
                ));
            }
            if definition.name.is_empty() || definition.name.contains(['/', '\0']) || definition.name.starts_with('.') {
                return configuration(format!("`{}` is not a valid name for a service", definition.name));
            }
            if let Some(missing) = definition.depends.iter().find(|one| !known(&one.name)) {
                return configuration(format!(
                    "`{}` depends on `{}`, which does not exist",
                    definition.name, missing.name
                ));
            }
        }
        if let Some(name) = requested.iter().find(|name| !known(name)) {
            return Err(self.unknown(name));
        }
        let depends = |name: &str| -> Vec<&str> {
            let before = || self.templates.get(name).map(|template| &*template.definition);
            let definition = sent.get(name).copied().or_else(before);
            definition.map_or_else(Vec::new, |one| one.depends.iter().map(|one| one.name.as_str()).collect())
        };
        for start in sent.keys() {
            let mut seen = BTreeSet::new();
            let mut open = depends(start);
            while let Some(name) = open.pop() {
                if name == *start {
                    return configuration(format!("`{start}` depends on itself, directly or indirectly"));
                }
                if seen.insert(name.to_owned()) {
                    open.extend(depends(name));
                }
            }
        }
        Ok(())
    }

    /// Reserves ports for every new service before the first one starts, so that a port in use does not stop
    /// a set of services half-way.
    fn reserve_ports(
        &self,
        expanded: &[ExpandedInstance],
    ) -> Result<BTreeMap<String, PortReservation>, RequestRefusal> {
        let mut reservations = BTreeMap::new();
        let is_new = |one: &&ExpandedInstance| !self.names.contains_key(&one.which.name);
        let with_ports =
            |one: &&ExpandedInstance| one.definition.service.as_ref().is_some_and(|one| !one.address.ports.is_empty());
        let mut new = expanded.iter().filter(is_new).filter(with_ports).peekable();
        if new.peek().is_none() {
            return Ok(reservations);
        }
        let mut registry = PortRegistry::open(&self.project.state_dir, self.project.user_dir.as_deref());
        for ExpandedInstance { which, definition, .. } in new {
            let Some(service) = &definition.service else { continue };
            let reservation = ports::reserve(&mut registry, which, service).map_err(|error| RequestRefusal {
                kind: "port".to_owned(),
                message: error.message,
                hints: error.hints,
            })?;
            reservations.insert(which.name.clone(), reservation);
        }
        registry
            .close()
            .map_err(|error| RequestRefusal::new("port", format!("the ports cannot be remembered: {error}")))?;
        Ok(reservations)
    }

    /// Adds an instance, in the slot of a spare one if there is any.
    fn add(&mut self, one: ExpandedInstance, reservation: PortReservation, taken: &[(usize, bool)]) -> usize {
        let ExpandedInstance { which, definition, digest } = one;
        let service = definition.service.as_ref();
        let instance = ServiceInstance {
            name: which.name.clone(),
            host: service.map_or_else(String::new, |service| service.address.host.clone()),
            ports: reservation.ports.clone(),
            label: which.label.clone(),
            ..ServiceInstance::default()
        };
        let node = node(&definition, Vec::new(), Vec::new(), Duration::ZERO);
        let spare = if which.name == which.environment { None } else { self.reuse_spare(taken) };
        let name = which.name.clone();
        let slot = Member {
            place: place(&definition),
            prepared: PreparedDefinition::new(definition, Arc::clone(&self.reporter), &self.project.redactor),
            next: None,
            digest,
            which,
            visible: Vec::new(),
            instance,
            ports: MemberPorts { reservation, has_reservation: true },
            run: MemberRun {
                generation: spare.map_or(0, |at| self.slots[at].run.generation),
                running: None,
                started: None,
                exited: false,
                in_background: false,
                last_lines: Vec::new(),
            },
            tasks: MemberTasks {
                asking: None,
                waiting: ProbeThread::default(),
                watching: None,
                rebuilding: None,
                commands: None,
            },
            force: ForcedJobs::default(),
            data: None,
            ttl: Duration::ZERO,
            reports: MemberReports { timeline: ServiceTimeline::default(), failure_published: false, reported: None },
        };
        let at = match spare {
            Some(at) => {
                self.machine.replace(at, node);
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.machine.add(node)
            }
        };
        self.names.insert(name, at);
        at
    }

    /// Whether it is one of several instances, and no longer wanted. A job counts as wanted while its result
    /// exists.
    pub(super) fn is_spare(&self, at: usize) -> bool {
        let is_one_of_several = |at: usize| self.slots[at].which.name != self.slots[at].which.environment;
        let is_over = |at: usize| self.machine.is_over(at) && self.slots[at].run.running.is_none();
        let unused = is_one_of_several(at) && is_over(at) && !self.machine.is_wanted(at);
        let prepared = || self.slots[at].visible.iter().any(|one| is_one_of_several(*one) && !is_over(*one));
        unused && !(self.machine.is_met(at) && prepared())
    }

    /// Removes a spare instance and its dependents, so that its slot can be used again.
    fn reuse_spare(&mut self, taken: &[(usize, bool)]) -> Option<usize> {
        // The instances that this request has just added are about to be wanted.
        let is_spare = |at: &usize| self.is_spare(*at) && taken.iter().all(|(one, _)| one != at);
        let mut spares = (0..self.slots.len()).filter(is_spare);
        let spare = spares.next()?;
        let depends = |at: &usize| self.slots[*at].visible.contains(&spare);
        let mut forgotten: Vec<usize> = spares.filter(depends).collect();
        forgotten.push(spare);
        self.names.retain(|_, at| !forgotten.contains(at));
        Some(spare)
    }

    /// The definition that a service has when it starts next.
    pub(super) fn coming(&self, at: usize) -> &ServiceDefinition {
        let slot = &self.slots[at];
        &slot.next.as_ref().unwrap_or(&slot.prepared).definition
    }

    /// Gives the machine new definitions, or, if the flag is set, changed ones.
    fn connect(&mut self, taken_in: &[(usize, bool)]) {
        for (at, changed) in taken_in {
            let definition = self.coming(*at);
            let position = |name: &String| self.names.get(name).copied();
            let dependencies = definition.depends.iter().filter_map(|one| position(&one.name)).collect();
            let restarting = definition.depends.iter().filter(|one| one.restart);
            let restarts_with = restarting.filter_map(|one| position(&one.name)).collect();
            let node = node(definition, dependencies, restarts_with, self.slots[*at].ttl);
            self.slots[*at].place = place(self.coming(*at));
            self.machine.redefine(*at, node, *changed);
        }
        self.machine.connect();
        for at in 0..self.slots.len() {
            self.slots[at].visible = self.machine.dependencies_of(at).into_iter().collect();
        }
    }

    /// Forces the jobs that `wanted` need to run; with `once`, only those that have not run for it yet.
    fn force_jobs(&mut self, wanted: &[usize], once: Option<String>) {
        let all = self.machine.with_dependencies(wanted.iter().copied());
        let is_meant = |at: &usize| self.coming(*at).is_job() && (once.is_none() || self.slots[*at].force.once != once);
        let jobs: Vec<usize> = all.into_iter().filter(is_meant).collect();
        jobs.iter().for_each(|at| self.slots[*at].force = ForcedJobs { is_due: true, once: once.clone() });
        self.step(Happening::Restart(jobs));
    }

    pub(super) fn hold(&mut self, connection: u64, nodes: &[usize]) {
        if let Some(one) = self.clients.connections.get_mut(&connection) {
            one.holds.extend(nodes);
        }
        self.update_wanted();
    }

    /// Ends a lease, or the named part of it. Returns all nodes that were held, including dependencies.
    pub(super) fn release(&mut self, connection: u64, named: Option<Vec<usize>>) -> BTreeSet<usize> {
        let Some(one) = self.clients.connections.get_mut(&connection) else { return BTreeSet::new() };
        let nodes: BTreeSet<usize> = match named {
            None => std::mem::take(&mut one.holds),
            Some(named) => named.into_iter().filter(|at| one.holds.remove(at)).collect(),
        };
        let all = self.machine.with_dependencies(nodes);
        self.forget_the_gone();
        self.update_wanted();
        all
    }

    /// Releases what clients held that have ended before now, even if their threads have not reported it yet:
    /// the next release waits for the end of services that they were the last to want.
    pub(super) fn forget_the_gone(&mut self) {
        let gone = self.clients.connections.values_mut().filter(|one| !one.holds.is_empty() && one.outbox.is_hung_up());
        gone.for_each(|one| one.holds.clear());
    }

    fn wanted(&self) -> BTreeSet<usize> {
        let holds = self.clients.connections.values().flat_map(|one| &one.holds);
        self.clients.pinned.iter().chain(holds).copied().collect()
    }

    /// Gives the machine the nodes that are wanted now.
    pub(super) fn update_wanted(&mut self) {
        let now = self.now().as_secs_f64();
        let wanted = self.wanted();
        for at in self.machine.with_dependencies(wanted.iter().copied()) {
            if !self.machine.is_wanted(at) {
                self.slots[at].reports.timeline.requested = Some(now);
            }
        }
        self.step(Happening::Want(wanted));
    }

    /// Like [`Supervisor::update_wanted`], but without an `idle_timeout` for services that are not wanted.
    pub(super) fn update_wanted_now(&mut self) {
        self.update_wanted();
        self.step(Happening::DropKept);
    }

    /// The clients that hold a service, for people.
    pub(super) fn holders(&self, at: usize) -> Vec<String> {
        let holds = |nodes: &BTreeSet<usize>| self.machine.with_dependencies(nodes.iter().copied()).contains(&at);
        let clients = self.clients.connections.values().filter(|one| holds(&one.holds)).map(|one| one.client.clone());
        let pinned = holds(&self.clients.pinned).then(|| "up".to_owned());
        pinned.into_iter().chain(clients).collect()
    }
}

fn place(definition: &ServiceDefinition) -> String {
    match definition.service.as_ref().map(|service| service.location.as_str()) {
        None | Some("") => String::new(),
        Some(location) => format!(" ({location})"),
    }
}

fn node(
    definition: &ServiceDefinition,
    dependencies: Vec<usize>,
    restarts_with: Vec<usize>,
    ttl: Duration,
) -> MachineNode {
    let name = definition.name.clone();
    match &definition.service {
        None => MachineNode {
            name,
            dependencies,
            restarts_with,
            ready_when: ReadyWhen::Ended,
            ready_timeout: None,
            // Commands end by the timeouts of an interrupt.
            stop_timeout: Duration::from_secs(3600),
            success_exit_codes: vec![0],
            restart: RestartPolicy::No,
            restart_limit: 0,
            checks_alive: false,
            idle_timeout: ttl,
            keeps_state: false,
        },
        Some(service) => MachineNode {
            name,
            dependencies,
            restarts_with,
            ready_when: ready_when(service),
            ready_timeout: Some(service.probes.ready_timeout),
            stop_timeout: service.stopping.stop_timeout,
            success_exit_codes: service.restarts.success_exit_codes.clone(),
            restart: service.restarts.restart,
            restart_limit: service.restarts.restart_limit,
            checks_alive: service.probes.alive.is_some(),
            idle_timeout: service.stopping.idle_timeout.max(ttl),
            keeps_state: service.keeps_state(),
        },
    }
}

fn ready_when(service: &ServiceSettings) -> ReadyWhen {
    match Probe::parse(&service.ready_text()) {
        Ok(Probe::Alive) => ReadyWhen::Started,
        Ok(Probe::Exit) => ReadyWhen::Ended,
        _ => ReadyWhen::Probed,
    }
}
