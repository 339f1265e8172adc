//! Handles the requests of clients and sends the replies that need no waiting.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::serve::client::log_range::{LogRange, excerpt};
use crate::serve::instances::InstanceName;
use crate::serve::machine::MachineEvent as Happening;
use crate::serve::protocol::{
    ClientOperation, ClientRequest, HelloReply, LogPassage, OTHER_PROJECT, Reply, ReplyBody, RequestRefusal, UpRequest,
    UpResult, VERSION,
};
use crate::serve::supervisor::faults;
use crate::serve::supervisor::pending::{PendingKind, PendingRequest};
use crate::serve::supervisor::{Supervisor, SupervisorMessage};

/// How much of a log is sent at once.
const LARGEST_PASSAGE: usize = 1024 * 1024;
/// The stack of a thread that reads.
const SMALL_STACK: usize = 256 * 1024;

impl Supervisor {
    pub(super) fn answer(&mut self, connection: u64, request: ClientRequest) {
        let ClientRequest { id, operation } = request;
        let Some(one) = self.clients.connections.get(&connection) else { return };
        let (greeted, is_last) = (one.greeted, one.is_last);
        let answer = match operation {
            ClientOperation::Hello { protocol, client, state } => {
                self.hello(connection, protocol, client, state.as_deref())
            }
            _ if !greeted => Err(RequestRefusal::new("protocol", "a connection must begin with `hello`")),
            _ if self.ending => Err(RequestRefusal::new("ending", "the supervisor is ending")),
            ClientOperation::Up(_)
            | ClientOperation::Hold { .. }
            | ClientOperation::Wait { .. }
            | ClientOperation::Events
                if is_last =>
            {
                Err(too_many_open())
            }
            operation => match self.operate(connection, id, operation) {
                // It is answered later.
                Ok(None) => return,
                Ok(Some(answer)) => Ok(answer),
                Err(refusal) => Err(refusal),
            },
        };
        let reply = match answer {
            Ok(ok) => Reply::Answer { id, ok },
            Err(error) => Reply::Refusal { id, error },
        };
        self.send(connection, &reply);
    }

    fn hello(
        &mut self,
        connection: u64,
        protocol: u32,
        client: String,
        state_dir: Option<&Path>,
    ) -> Result<ReplyBody, RequestRefusal> {
        let server = format!("envo {}", env!("CARGO_PKG_VERSION"));
        if protocol != VERSION {
            let text = format!("the supervisor ({server}) uses version {VERSION} of the protocol, not {protocol}");
            let mut refusal = RequestRefusal::new("protocol", text);
            refusal.hints.push("stop the services with the envo that started them: `envo down`".to_owned());
            return Err(refusal);
        }
        if state_dir.is_some_and(|state_dir| !self.is_of(state_dir)) {
            let text = format!("this is the supervisor of another project, {}", self.project.state_dir.display());
            return Err(RequestRefusal::new(OTHER_PROJECT, text));
        }
        if let Some(one) = self.clients.connections.get_mut(&connection) {
            (one.greeted, one.client) = (true, client);
        }
        Ok(ReplyBody::Greeting(HelloReply { protocol: VERSION, server, pid: std::process::id() }))
    }

    fn operate(
        &mut self,
        connection: u64,
        id: u64,
        operation: ClientOperation,
    ) -> Result<Option<ReplyBody>, RequestRefusal> {
        let later = |supervisor: &mut Self, kind, until| {
            supervisor.clients.pending.push(PendingRequest { connection, id, kind, until });
            Ok(None)
        };
        match operation {
            ClientOperation::Hello { .. } => Ok(Some(ReplyBody::Done)),
            ClientOperation::Up(up) => {
                let wait = up.wait;
                let (wanted, changes) = self.up(connection, up)?;
                if !wait {
                    return Ok(Some(ReplyBody::Changes(changes)));
                }
                let all = self.machine.with_dependencies(wanted);
                later(self, PendingKind::Ready(all), None)
            }
            ClientOperation::Hold { names, worker, test, ttl, force_for } => {
                let up = UpRequest { requested: names, worker, test, ttl, force_for, ..UpRequest::default() };
                let (wanted, _) = self.up(connection, up)?;
                let all = self.machine.with_dependencies(wanted);
                later(self, PendingKind::Ready(all), None)
            }
            ClientOperation::Release { names, kill } => {
                let nodes = if names.is_empty() { None } else { Some(self.find(&names)?) };
                let before = self.before_release();
                let nodes = self.release(connection, nodes);
                if kill {
                    self.step(Happening::Kill);
                }
                later(self, PendingKind::Left { nodes, before }, None)
            }
            ClientOperation::Down { names } => {
                let before = self.before_release();
                let nodes = self.unpin(&names)?;
                later(self, PendingKind::Left { nodes, before }, None)
            }
            ClientOperation::Start { names, wait } => {
                let nodes = self.find_some(&names)?;
                self.refuse_unwanted(&nodes)?;
                let changes = self.changes_of(&nodes, Happening::Retry(nodes.clone()));
                let all = self.machine.with_dependencies(nodes);
                if wait { later(self, PendingKind::Ready(all), None) } else { Ok(Some(ReplyBody::Changes(changes))) }
            }
            ClientOperation::Stop { names } => {
                let nodes = self.find_some(&names)?;
                let stopped = self.running_with(&nodes);
                self.step(Happening::Halt(nodes.clone()));
                later(self, PendingKind::Stopped { nodes: nodes.into_iter().collect(), stopped }, None)
            }
            ClientOperation::Restart { names, wait } => {
                let nodes = self.find_some(&names)?;
                self.refuse_unwanted(&nodes)?;
                nodes.iter().for_each(|at| self.slots[*at].force.is_due = true);
                let changes = self.changes_of(&nodes, Happening::Restart(nodes.clone()));
                let all = self.machine.with_dependencies(nodes);
                if wait { later(self, PendingKind::Ready(all), None) } else { Ok(Some(ReplyBody::Changes(changes))) }
            }
            ClientOperation::Wait { names, timeout } => {
                let nodes: BTreeSet<usize> = self.find_some(&names)?.into_iter().collect();
                let patience = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let until = patience.map(|patience| self.now().saturating_add(patience));
                later(self, PendingKind::Ready(nodes), until)
            }
            ClientOperation::Ps => Ok(Some(ReplyBody::Services(self.status()))),
            ClientOperation::Fields { names } => {
                let nodes = if names.is_empty() { (0..self.slots.len()).collect() } else { self.find(&names)? };
                Ok(Some(ReplyBody::Instances(self.instances_of(&nodes.into_iter().collect()))))
            }
            ClientOperation::Logs { name, since, until, lines } => {
                let at = self.find_some(&[name])?.first().copied().unwrap_or_default();
                let time = |seconds: Option<f64>| {
                    let since_1970 = Duration::try_from_secs_f64(seconds?).ok()?;
                    UNIX_EPOCH.checked_add(since_1970)
                };
                let wanted = LogRange { lines, since: time(since), until: time(until) };
                self.read_log(connection, id, at, wanted);
                Ok(None)
            }
            ClientOperation::Events => {
                if let Some(one) = self.clients.connections.get_mut(&connection) {
                    one.events = true;
                }
                Ok(Some(ReplyBody::Done))
            }
            ClientOperation::Shutdown => {
                self.send(connection, &Reply::Answer { id, ok: ReplyBody::Done });
                let by = self.clients.connections.get(&connection).map_or_else(String::new, |one| one.client.clone());
                let _ = self.sender.send(SupervisorMessage::Signalled(1, by));
                Ok(None)
            }
        }
    }

    /// Reads a part of a log on a thread of its own, since a disk may be slow.
    fn read_log(&mut self, connection: u64, id: u64, at: usize, wanted: LogRange) {
        let (log_dir, name) = (self.project.log_dir.clone(), self.slots[at].which.name.clone());
        let sender = self.sender.clone();
        let read = move || {
            let answer = passage(&log_dir, &name, &wanted).map(ReplyBody::Log).map_err(|error| {
                RequestRefusal::new("unknown", format!("the log of `{name}` cannot be read: {error}"))
            });
            let _ = sender.send(SupervisorMessage::Found(connection, id, answer));
        };
        let failure = move |text| SupervisorMessage::Found(connection, id, Err(RequestRefusal::new("internal", text)));
        let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(SMALL_STACK);
        if let Err(error) = faults::spawn(thread, &self.sender, failure, read) {
            let error = RequestRefusal::new("unknown", format!("cannot start a thread to read the log: {error}"));
            self.send(connection, &Reply::Refusal { id, error });
        }
    }

    /// The nodes with these names: an instance, or all shared instances of an environment.
    fn find(&self, names: &[String]) -> Result<Vec<usize>, RequestRefusal> {
        let mut found = Vec::new();
        for name in names {
            let is_one =
                |which: &InstanceName| !which.is_apart && (which.environment == *name || which.shown.contains(name));
            let used = self.names.values().copied().filter(|at| !self.is_spare(*at));
            let all = used.filter(|at| is_one(&self.slots[*at].which));
            let mut all: Vec<usize> = all.chain(self.names.get(name).copied()).collect();
            all.sort_unstable();
            all.dedup();
            if all.is_empty() {
                return Err(self.unknown(name));
            }
            found.append(&mut all);
        }
        Ok(found)
    }

    pub(super) fn unknown(&self, name: &str) -> RequestRefusal {
        let mut refusal = RequestRefusal::new("unknown", format!("`{name}` is not among the running services"));
        let known = self.names.iter().filter(|(_, at)| !self.is_spare(**at)).map(|(name, _)| name.as_str());
        let known: Vec<&str> = known.collect();
        if !known.is_empty() {
            refusal.hints.push(format!("these are: {}", known.join(", ")));
        }
        refusal
    }

    fn find_some(&self, names: &[String]) -> Result<Vec<usize>, RequestRefusal> {
        if names.is_empty() {
            return Err(RequestRefusal::new("unknown", "no service was named"));
        }
        self.find(names)
    }

    /// Applies an event, and reports what it starts, restarts and leaves unchanged: the nodes, their
    /// dependencies, and nodes that restart with them.
    fn changes_of(&mut self, nodes: &[usize], happening: Happening) -> UpResult {
        let before: Vec<bool> = (0..self.slots.len()).map(|at| self.machine.is_over(at)).collect();
        self.step(happening);
        let mut changes = UpResult::default();
        for at in self.in_order(0..self.slots.len()) {
            let name = self.slots[at].prepared.name().to_owned();
            if before[at] && !self.machine.is_over(at) {
                changes.started.push(name);
            } else if !before[at] && self.machine.is_cycling(at) {
                changes.restarted.push(name);
            } else if nodes.contains(&at) {
                changes.unchanged.push(name);
            }
        }
        changes
    }

    /// The running ones among these nodes and their dependents.
    fn running_with(&self, nodes: &[usize]) -> BTreeSet<usize> {
        let depends = |at: &usize| self.machine.with_dependencies([*at]).iter().any(|one| nodes.contains(one));
        (0..self.slots.len()).filter(|at| !self.machine.is_over(*at) && depends(at)).collect()
    }

    /// Nodes in the order in which they start: each after its dependencies.
    pub(super) fn in_order(&self, nodes: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        // A dependent has all the dependencies of its dependency, and that one.
        nodes.sort_by_cached_key(|at| self.machine.with_dependencies([*at]).len());
        nodes
    }

    /// A service that is not held would stop as soon as it was started.
    fn refuse_unwanted(&self, nodes: &[usize]) -> Result<(), RequestRefusal> {
        match nodes.iter().find(|at| !self.machine.is_wanted(**at)) {
            None => Ok(()),
            Some(at) => {
                let name = self.slots[*at].prepared.name();
                let mut refusal =
                    RequestRefusal::new("stopped", format!("`{name}` is not running and no client holds it"));
                refusal.hints.push(format!("`envo up -e {name}` starts it"));
                Err(refusal)
            }
        }
    }

    fn unpin(&mut self, names: &[String]) -> Result<BTreeSet<usize>, RequestRefusal> {
        let nodes: BTreeSet<usize> =
            if names.is_empty() { self.clients.pinned.clone() } else { self.find(names)?.into_iter().collect() };
        self.clients.pinned.retain(|at| !nodes.contains(at));
        let all = self.machine.with_dependencies(nodes.iter().copied());
        self.forget_the_gone();
        self.update_wanted_now();
        Ok(if names.is_empty() { all } else { nodes })
    }
}

/// Nothing can be started: the remaining descriptors are for clients that stop something.
fn too_many_open() -> RequestRefusal {
    let mut refusal =
        RequestRefusal::new("descriptors", "the supervisor of the services has reached its limit of open files");
    refusal.hints.push("`envo stop NAME` and `envo down NAME` make room".to_owned());
    refusal.hints.push("raise the hard limit (`ulimit -Hn`) in the shell that starts services first".to_owned());
    refusal
}

fn passage(log_dir: &Path, name: &str, wanted: &LogRange) -> std::io::Result<LogPassage> {
    let mut end: Vec<u8> = Vec::new();
    let mut cut = false;
    excerpt(log_dir, name, wanted, &mut |block| {
        end.extend_from_slice(block);
        if end.len() > 2 * LARGEST_PASSAGE {
            end.drain(..end.len() - LARGEST_PASSAGE);
            cut = true;
        }
    })?;
    if end.len() > LARGEST_PASSAGE {
        end.drain(..end.len() - LARGEST_PASSAGE);
        cut = true;
    }
    if cut && let Some(at) = end.iter().position(|byte| *byte == b'\n') {
        // It begins with a whole line.
        end.drain(..=at);
    }
    Ok(LogPassage { text: String::from_utf8_lossy(&end).into_owned(), truncated: cut })
}
