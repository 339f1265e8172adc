//! Who wants what: leases of connections, what `up` keeps, and taking in the definitions of services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Slot, Supervisor};
use crate::model::Service;
use crate::model::service::{Probe, RestartPolicy};
use crate::serve::fields::Instance;
use crate::serve::machine::{Event as Happening, Node, ReadyWhen};
use crate::serve::ports::{self, Book, Lease};
use crate::serve::prepared::Prepared;
use crate::serve::protocol::{Changes, Definition, Refusal, Timeline, Up};

impl Supervisor {
    /// Takes in what a client wants. Answers the nodes it wants for their own sake, and what becomes of all.
    pub(super) fn up(&mut self, connection: u64, up: Up) -> Result<(Vec<usize>, Changes), Refusal> {
        let Up { services, want, keep, force, change, events, .. } = up;
        self.check(&services, &want)?;
        let mut leases = self.lease_ports(&services)?;
        if events && let Some(one) = self.connections.get_mut(&connection) {
            one.events = true;
        }
        let mut changes = Changes::default();
        let mut taken_in = Vec::new();
        for definition in services {
            let (name, digest) = (definition.name.clone(), definition.digest());
            match self.names.get(&name).copied() {
                None => {
                    let lease = leases.remove(&name).unwrap_or_default();
                    taken_in.push((self.add(definition, digest, lease), false));
                    changes.started.push(name);
                }
                Some(at) => {
                    let idle = self.machine.is_over(at);
                    let same = self.slots[at].digest == digest;
                    let list = match (same, idle) {
                        (_, true) => &mut changes.started,
                        (true, false) => &mut changes.unchanged,
                        (false, false) if change => &mut changes.restarted,
                        (false, false) => &mut changes.outdated,
                    };
                    list.push(name);
                    if !same && (change || idle) {
                        self.slots[at].next = Some(Prepared::new(definition, Arc::clone(&self.reporter)));
                        self.slots[at].digest = digest;
                        taken_in.push((at, true));
                    }
                }
            }
        }
        self.connect(&taken_in);
        let wanted: Vec<usize> = want.iter().filter_map(|name| self.names.get(name).copied()).collect();
        if force {
            self.force_jobs(&wanted);
        }
        if keep {
            self.pinned.extend(&wanted);
            self.want();
        } else {
            self.hold(connection, &wanted);
        }
        self.step(Happening::Retry(wanted.clone()));
        Ok((wanted, changes))
    }

    /// Refuses what cannot work before anything is changed.
    fn check(&self, services: &[Definition], want: &[String]) -> Result<(), Refusal> {
        let sent: BTreeMap<&str, &Definition> = services.iter().map(|one| (one.name.as_str(), one)).collect();
        let known = |name: &str| sent.contains_key(name) || self.names.contains_key(name);
        let configuration = |text: String| Err(Refusal::new("configuration", text));
        for definition in services {
            if definition.name.is_empty() || definition.name.contains(['/', '\0']) || definition.name.starts_with('.') {
                return configuration(format!("`{}` is no name for a service", definition.name));
            }
            if let Some(missing) = definition.depends.iter().find(|one| !known(&one.name)) {
                return configuration(format!(
                    "`{}` depends on `{}`, which is not there",
                    definition.name, missing.name
                ));
            }
        }
        if let Some(name) = want.iter().find(|name| !known(name)) {
            return configuration(format!("`{name}` is wanted, but it is not there"));
        }
        let depends = |name: &str| -> Vec<&str> {
            let running = || self.names.get(name).map(|at| self.coming(*at));
            let definition = sent.get(name).copied().or_else(running);
            definition.map_or_else(Vec::new, |one| one.depends.iter().map(|one| one.name.as_str()).collect())
        };
        for start in sent.keys() {
            let mut seen = BTreeSet::new();
            let mut open = depends(start);
            while let Some(name) = open.pop() {
                if name == *start {
                    return configuration(format!("`{start}` depends on itself, directly or through others"));
                }
                if seen.insert(name.to_owned()) {
                    open.extend(depends(name));
                }
            }
        }
        Ok(())
    }

    /// Gives every new service its ports before the first one starts, so that a port that is taken stops nothing
    /// half-way.
    fn lease_ports(&self, services: &[Definition]) -> Result<BTreeMap<String, Lease>, Refusal> {
        let mut leases = BTreeMap::new();
        let mut book = Book::open(&self.state_dir, self.user_dir.as_deref());
        for definition in services.iter().filter(|one| !self.names.contains_key(&one.name)) {
            let Some(service) = &definition.service else { continue };
            let lease = ports::lease(&mut book, &definition.name, service).map_err(|error| Refusal {
                kind: "port".to_owned(),
                message: error.message,
                hints: error.hints,
            })?;
            leases.insert(definition.name.clone(), lease);
        }
        book.close()
            .map_err(|error| Refusal::new("port", format!("the ports cannot be kept for the next time: {error}")))?;
        Ok(leases)
    }

    fn add(&mut self, definition: Definition, digest: String, lease: Lease) -> usize {
        let name = definition.name.clone();
        let service = definition.service.as_ref();
        let instance = Instance {
            name: name.clone(),
            host: service.map_or_else(String::new, |service| service.host.clone()),
            ports: lease.ports.clone(),
            ..Instance::default()
        };
        let at = self.machine.add(node(&definition, Vec::new(), Vec::new()));
        self.names.insert(name, at);
        self.slots.push(Slot {
            place: place(&definition),
            prepared: Prepared::new(definition, Arc::clone(&self.reporter)),
            next: None,
            digest,
            visible: Vec::new(),
            instance,
            lease,
            leased: true,
            generation: 0,
            running: None,
            asking: None,
            halt: None,
            started: None,
            exited: false,
            gone: false,
            last_lines: Vec::new(),
            forced: false,
            timeline: Timeline::default(),
            told_failure: false,
        });
        at
    }

    /// What a service is when it starts next.
    fn coming(&self, at: usize) -> &Definition {
        let slot = &self.slots[at];
        &slot.next.as_ref().unwrap_or(&slot.prepared).definition
    }

    /// Tells the machine of definitions that are new, or, where the flag is set, others than before.
    fn connect(&mut self, taken_in: &[(usize, bool)]) {
        for (at, changed) in taken_in {
            let definition = self.coming(*at);
            let position = |name: &String| self.names.get(name).copied();
            let dependencies = definition.depends.iter().filter_map(|one| position(&one.name)).collect();
            let restarting = definition.depends.iter().filter(|one| one.restart);
            let restarts_with = restarting.filter_map(|one| position(&one.name)).collect();
            let node = node(definition, dependencies, restarts_with);
            self.slots[*at].place = place(self.coming(*at));
            self.machine.redefine(*at, node, *changed);
        }
        for at in 0..self.slots.len() {
            let all = self.machine.with_dependencies([at]);
            let names = all.into_iter().filter(|one| *one != at).map(|one| self.machine.name(one).to_owned());
            self.slots[at].visible = names.collect();
        }
    }

    fn force_jobs(&mut self, wanted: &[usize]) {
        let all = self.machine.with_dependencies(wanted.iter().copied());
        let jobs: Vec<usize> = all.into_iter().filter(|at| self.coming(*at).is_job()).collect();
        jobs.iter().for_each(|at| self.slots[*at].forced = true);
        self.step(Happening::Restart(jobs));
    }

    pub(super) fn hold(&mut self, connection: u64, nodes: &[usize]) {
        if let Some(one) = self.connections.get_mut(&connection) {
            one.holds.extend(nodes);
        }
        self.want();
    }

    /// Ends a lease. Answers all it held, dependencies included.
    pub(super) fn release(&mut self, connection: u64) -> BTreeSet<usize> {
        let Some(one) = self.connections.get_mut(&connection) else { return BTreeSet::new() };
        let nodes = std::mem::take(&mut one.holds);
        let all = self.machine.with_dependencies(nodes);
        self.want();
        all
    }

    fn wanted(&self) -> BTreeSet<usize> {
        let holds = self.connections.values().flat_map(|one| &one.holds);
        self.pinned.iter().chain(holds).copied().collect()
    }

    /// Tells the machine what is wanted by now.
    pub(super) fn want(&mut self) {
        let now = self.now().as_secs_f64();
        let wanted = self.wanted();
        for at in self.machine.with_dependencies(wanted.iter().copied()) {
            if !self.machine.is_wanted(at) {
                self.slots[at].timeline.wanted = Some(now);
            }
        }
        self.step(Happening::Want(wanted));
    }

    /// As [`Supervisor::want`], but what nobody wants is not kept for a while either.
    pub(super) fn want_now(&mut self) {
        self.want();
        self.step(Happening::DropKept);
    }

    /// Who wants a service, for people.
    pub(super) fn holders(&self, at: usize) -> Vec<String> {
        let holds = |nodes: &BTreeSet<usize>| self.machine.with_dependencies(nodes.iter().copied()).contains(&at);
        let clients = self.connections.values().filter(|one| holds(&one.holds)).map(|one| one.client.clone());
        let pinned = holds(&self.pinned).then(|| "up".to_owned());
        pinned.into_iter().chain(clients).collect()
    }
}

fn place(definition: &Definition) -> String {
    match definition.service.as_ref().map(|service| service.location.as_str()) {
        None | Some("") => String::new(),
        Some(location) => format!(" ({location})"),
    }
}

fn node(definition: &Definition, dependencies: Vec<usize>, restarts_with: Vec<usize>) -> Node {
    let name = definition.name.clone();
    match &definition.service {
        None => Node {
            name,
            dependencies,
            restarts_with,
            ready_when: ReadyWhen::Ended,
            ready_timeout: None,
            // Commands end by the timeouts of an interrupt, which are their own.
            stop_timeout: Duration::from_secs(3600),
            success_exit_codes: vec![0],
            restart: RestartPolicy::No,
            restart_limit: 0,
            checks_alive: false,
            idle_timeout: Duration::ZERO,
        },
        Some(service) => Node {
            name,
            dependencies,
            restarts_with,
            ready_when: ready_when(service),
            ready_timeout: Some(service.ready_timeout),
            stop_timeout: service.stop_timeout,
            success_exit_codes: service.success_exit_codes.clone(),
            restart: service.restart,
            restart_limit: service.restart_limit,
            checks_alive: service.alive.is_some(),
            idle_timeout: service.idle_timeout,
        },
    }
}

fn ready_when(service: &Service) -> ReadyWhen {
    match Probe::parse(&service.ready_text()) {
        Ok(Probe::Alive) => ReadyWhen::Started,
        Ok(Probe::Exit) => ReadyWhen::Ended,
        _ => ReadyWhen::Probed,
    }
}
