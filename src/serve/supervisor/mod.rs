//! Runs services around the state machine: one channel receives every event, and one thread passes them to
//! the machine, carries out its actions, and answers clients. It never waits for anything but that channel.

pub mod accept;
mod actions;
pub mod connection;
pub(in crate::serve) mod faults;
mod file_changes;
pub mod file_watcher;
mod hints;
mod jobs;
mod leases;
pub mod listening;
pub mod log;
mod moved;
pub mod moved_state;
pub mod output_watch;
mod pending;
pub mod probe_thread;
pub mod process;
mod record;
mod requests;
pub mod service_command;
pub mod service_context;
pub mod start_service;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::execute::tree;
use crate::model::ServiceSettings;
use crate::model::literal;
use crate::platform::memory;
use crate::redaction::Redactor;
use crate::serve::client::socket_path::ProjectClaim;
use crate::serve::fields::{ServiceInstance, ServiceInstances};
use crate::serve::instances::{InstanceName, ServiceTemplate};
use crate::serve::machine::{MachineEvent as Happening, MachineTime, NodeFailure, NodeState, ServiceMachine};
use crate::serve::ports::PortReservation;
use crate::serve::prepared_definition::PreparedDefinition;
use crate::serve::private;
use crate::serve::probe::{Canceller, ProbeResult};
use crate::serve::protocol::{ClientRequest, Reply, ReplyBody, RequestRefusal, ServiceEvent, ServiceTimeline};
use crate::serve::shim::ORPHAN_PATIENCE;
use crate::serve::shim::forker::ShimForker;
use crate::serve::shim::instance_mark;
use crate::serve::shim::message::ShimEvent;
use crate::serve::supervisor::connection::Outbox;
use crate::serve::supervisor::faults::FaultScope;
use crate::serve::supervisor::probe_thread::ProbeThread;
use crate::serve::supervisor::service_command::CommandFailure;
use crate::serve::supervisor::start_service::StartedService;

pub use jobs::{ForcedJobs, JobRecords};
pub use record::SupervisorRecord;

use pending::PendingRequest;

/// How long a new supervisor waits for its first client.
const FIRST_CLIENT: Duration = Duration::from_secs(20);

/// A message in the channel.
pub enum SupervisorMessage {
    Of {
        service: usize,
        /// The number of the start it belongs to.
        generation: u64,
        report: StartReport,
    },
    /// The commands before it have run, successfully or not.
    Prepared(usize, Result<(), CommandFailure>),
    /// Whether a running program that envo did not start responds as the service.
    Looked(usize, bool),
    /// The commands after it have run.
    Finished(usize),
    /// The reply to a request that takes time.
    Found(u64, u64, Result<ReplyBody, RequestRefusal>),
    /// A file in the service's `watch` setting has changed.
    FileChanged(usize, PathBuf),
    /// Its `watch_command` has ended, successfully or not.
    Rebuilt(usize, Result<(), String>),
    /// A client has connected. The flag: it uses the last available descriptors.
    Connected(u64, Arc<Outbox>, bool),
    Asked(u64, ClientRequest),
    Disconnected(u64),
    /// A report from commands that run around services.
    Report(RunEvent),
    /// Its socket was removed; clients find it at this one now.
    ListensAt(PathBuf),
    /// The supervisor was asked to end: how many times, and by whom.
    Signalled(usize, String),
    /// Has a fault when it is handled.
    #[cfg(test)]
    Faulty(FaultScope),
}

/// A report about one start of a service.
#[derive(Debug)]
pub enum StartReport {
    /// An event from its shim, and the last lines of its log if it has ended.
    Shim(ShimEvent, Vec<String>),
    /// Its shim has ended, and so have the processes that a killed shim left behind. With the last lines of
    /// its log.
    ShimEnded(Vec<String>),
    /// Its output has matched the `log:` probe.
    Matched(BTreeMap<String, String>),
    Answered(ProbeResult),
    /// The result of its `alive` probe.
    Alive(bool),
    /// A job has ended.
    JobEnded(i32),
    /// A problem that is not a failure of the service.
    Trouble(String),
}

/// The supervisor's state for one service or job.
pub struct Member {
    pub prepared: PreparedDefinition,
    /// Its definition for the next start, if that is another one.
    pub next: Option<PreparedDefinition>,
    pub digest: String,
    /// The name of the instance, and the namespace.
    pub which: InstanceName,
    /// Its direct and indirect dependencies.
    pub visible: Vec<usize>,
    pub instance: ServiceInstance,
    pub ports: MemberPorts,
    pub run: MemberRun,
    pub tasks: MemberTasks,
    /// Its location in error messages.
    pub place: String,
    /// Whether a job runs although it was done before.
    pub force: ForcedJobs,
    /// The identity of the folder with its data when it was ready last.
    pub data: Option<String>,
    /// How long a client wants it to keep running when it is no longer wanted.
    pub ttl: Duration,
    pub reports: MemberReports,
}

/// The ports of a service.
pub struct MemberPorts {
    pub reservation: PortReservation,
    /// Whether the ports are reserved for the next start.
    pub has_reservation: bool,
}

/// The current or last start of a service or job.
pub struct MemberRun {
    pub generation: u64,
    pub running: Option<StartedService>,
    pub started: Option<Instant>,
    pub exited: bool,
    /// Whether it left processes behind when it ended successfully.
    pub in_background: bool,
    /// Its last lines if it ended by itself.
    pub last_lines: Vec<String>,
}

/// The threads that work for a service or job.
pub struct MemberTasks {
    /// Cancels its `ready` or `alive` probe.
    pub asking: Option<Canceller>,
    /// What the current start waits for, or what its `alive` probe checks.
    pub waiting: ProbeThread,
    /// Ends watching its files.
    pub watching: Option<Canceller>,
    /// Whether its `watch_command` is running, and whether it must run once more.
    pub rebuilding: Option<bool>,
    /// Stops its commands before or after it, and jobs.
    pub commands: Option<Interrupt>,
}

/// What has been reported of a service or job.
pub struct MemberReports {
    pub timeline: ServiceTimeline,
    failure_published: bool,
    /// The last reported state.
    reported: Option<ServiceEvent>,
}

impl Member {
    /// Whether the service inherits listening sockets for its ports. They stay open when it restarts.
    pub fn gets_sockets(&self) -> bool {
        self.prepared.definition.service.as_ref().is_some_and(|service| service.address.listen_fds)
    }
}

/// A connected client.
struct ClientConnection {
    outbox: Arc<Outbox>,
    /// It uses the reserved descriptors: it may not stay, or start anything.
    is_last: bool,
    greeted: bool,
    client: String,
    /// The nodes it has requested.
    holds: BTreeSet<usize>,
    events: bool,
}

pub struct Supervisor {
    pub machine: ServiceMachine,
    pub slots: Vec<Member>,
    names: BTreeMap<String, usize>,
    /// The last definition received for each environment.
    templates: BTreeMap<String, ServiceTemplate>,
    /// The values of the ready services, by name.
    ready: BTreeMap<String, ServiceInstance>,
    pub reporter: Arc<dyn Reporter>,
    pub project: ProjectState,
    pub processes: ServiceProcesses,
    pub sender: Sender<SupervisorMessage>,
    begin: Instant,
    clients: SupervisorClients,
    /// It ends as soon as nothing runs, even with connected clients.
    ending: bool,
    /// Whether anything was done since memory was returned.
    stirred: bool,
}

/// The folders and files in which a supervisor keeps the state of its project.
pub struct ProjectState {
    pub state_dir: PathBuf,
    /// The user's state for all projects, such as reserved ports. `None`: nothing is known of other projects.
    pub user_dir: Option<PathBuf>,
    claim: ProjectClaim,
    /// Earlier locations of the project, before it was moved.
    left_behind: Vec<PathBuf>,
    pub log_dir: PathBuf,
    /// Hides the secrets of all its services.
    pub redactor: Redactor,
    record: SupervisorRecord,
    jobs: JobRecords,
}

/// How processes of services are started, recognized and measured.
pub struct ServiceProcesses {
    pub forker: ShimForker,
    /// The beginning of the mark of all its processes.
    mark: String,
    /// The resource usage of the processes below these shims when it was last measured.
    usage: Option<(Instant, Vec<u32>, Vec<Option<tree::ProcessUsage>>)>,
}

/// The connected clients, and what they have requested.
pub struct SupervisorClients {
    connections: BTreeMap<u64, ClientConnection>,
    /// The services that `up` started and `down` ends.
    pinned: BTreeSet<usize>,
    pending: Vec<PendingRequest>,
    had_client: bool,
}

/// What a supervisor is created from.
pub struct SupervisorParts {
    pub state_dir: PathBuf,
    pub user_dir: Option<PathBuf>,
    pub claim: ProjectClaim,
    pub forker: ShimForker,
    pub mark: String,
    pub sender: Sender<SupervisorMessage>,
    pub reporter: Arc<dyn Reporter>,
}

impl Supervisor {
    pub fn new(parts: SupervisorParts) -> std::io::Result<Self> {
        let log_dir = parts.state_dir.join("log");
        private::log_folder(&log_dir)?;
        Ok(Self {
            machine: ServiceMachine::default(),
            slots: Vec::new(),
            names: BTreeMap::new(),
            templates: BTreeMap::new(),
            ready: BTreeMap::new(),
            reporter: parts.reporter,
            project: ProjectState {
                record: SupervisorRecord::open(&parts.state_dir, &parts.mark),
                jobs: JobRecords::open(&parts.state_dir),
                state_dir: parts.state_dir,
                user_dir: parts.user_dir,
                claim: parts.claim,
                left_behind: Vec::new(),
                log_dir,
                redactor: Redactor::default(),
            },
            processes: ServiceProcesses { forker: parts.forker, mark: parts.mark, usage: None },
            sender: parts.sender,
            begin: Instant::now(),
            clients: SupervisorClients {
                connections: BTreeMap::new(),
                pinned: BTreeSet::new(),
                pending: Vec::new(),
                had_client: false,
            },
            ending: false,
            stirred: false,
        })
    }

    /// Runs until it is no longer needed.
    pub fn run(mut self, receiver: &Receiver<SupervisorMessage>) {
        while !self.is_done() {
            let timeout = self.deadline().map(|due| due.saturating_sub(self.now()));
            if timeout.is_none() && std::mem::take(&mut self.stirred) {
                // All starts are done; it may be long until the next event.
                memory::give_back();
            }
            let message = match timeout {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(timeout) => receiver.recv_timeout(timeout),
            };
            match message {
                Ok(message) => self.handle_contained(message),
                Err(RecvTimeoutError::Timeout) => self.contain(FaultScope::Supervisor, |one| one.step(Happening::Tick)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.contain(FaultScope::Supervisor, Self::report_failures);
        }
        self.processes.forker.end();
        self.project.record.close();
        for connection in self.clients.connections.values() {
            connection.outbox.close();
        }
        for connection in self.clients.connections.values() {
            connection.outbox.wait_until_ended();
        }
    }

    fn now(&self) -> MachineTime {
        self.begin.elapsed()
    }

    fn deadline(&self) -> Option<MachineTime> {
        let first_client = (!self.clients.had_client).then_some(FIRST_CLIENT);
        let patience = self.clients.pending.iter().filter_map(|pending| pending.until);
        self.machine.deadline().into_iter().chain(first_client).chain(patience).min()
    }

    /// Whether nothing runs and nothing is wanted.
    fn is_idle(&self) -> bool {
        let wanted =
            !self.clients.pinned.is_empty() || self.clients.connections.values().any(|one| !one.holds.is_empty());
        let over = (0..self.slots.len()).all(|at| self.machine.is_over(at) && self.slots[at].run.running.is_none());
        over && (!wanted || self.ending)
    }

    /// Whether it is idle and no request is expected.
    fn is_done(&self) -> bool {
        if !self.is_idle() {
            return false;
        }
        // A client that only receives events sees the end of its connection.
        let busy = self.clients.connections.values().any(|one| !one.events || one.outbox.is_owed())
            || !self.clients.pending.is_empty();
        self.ending || (!busy && (self.clients.had_client || self.now() >= FIRST_CLIENT))
    }

    /// Records that something may run from now on.
    pub fn record_start(&mut self) {
        self.project.record.started();
    }

    /// The mark of all processes of this start of a service.
    pub fn mark_of(&self, at: usize) -> String {
        instance_mark::start(&self.processes.mark, self.slots[at].prepared.name(), self.slots[at].run.generation)
    }

    fn step(&mut self, happening: Happening) {
        let mut happenings = std::collections::VecDeque::from([happening]);
        while let Some(happening) = happenings.pop_front() {
            let now = self.now();
            for action in self.machine.step(happening, now) {
                self.stirred = true;
                happenings.extend(self.lost_data(&action));
                happenings.extend(self.perform(action));
            }
        }
    }

    fn handle(&mut self, message: SupervisorMessage) {
        match message {
            SupervisorMessage::Of { service, generation, report } => {
                if self.slots[service].run.generation == generation {
                    self.handle_report(service, report);
                }
            }
            SupervisorMessage::ListensAt(socket) => self.project.claim.listens_at(socket, &self.project.state_dir),
            SupervisorMessage::Prepared(at, result) => {
                // The handle for stopping those commands is not needed any more, and owns descriptors.
                self.slots[at].tasks.commands = None;
                let happening = match result {
                    Ok(()) => Happening::Prepared(at),
                    Err(failure) => {
                        self.slots[at].run.last_lines = failure.last_lines;
                        Happening::PrepareFailed(at, failure.text)
                    }
                };
                self.step(happening);
            }
            SupervisorMessage::Looked(at, found) => {
                let happening = if found { Some(Happening::Adopted(at)) } else { self.prepare_own(at) };
                happening.into_iter().for_each(|happening| self.step(happening));
            }
            SupervisorMessage::Finished(at) => self.step(Happening::Finished(at)),
            SupervisorMessage::Found(connection, id, Ok(ok)) => self.send(connection, &Reply::Answer { id, ok }),
            SupervisorMessage::Found(connection, id, Err(error)) => {
                self.send(connection, &Reply::Refusal { id, error })
            }
            SupervisorMessage::Connected(id, outbox, is_last) => {
                self.clients.had_client = true;
                let (client, holds) = (String::new(), BTreeSet::new());
                let connection = ClientConnection { outbox, is_last, greeted: false, client, holds, events: false };
                self.clients.connections.insert(id, connection);
            }
            SupervisorMessage::FileChanged(at, path) => self.file_changed(at, &path),
            SupervisorMessage::Rebuilt(at, result) => self.rebuilt(at, result),
            SupervisorMessage::Asked(id, request) => self.answer(id, request),
            SupervisorMessage::Disconnected(id) => {
                self.clients.pending.retain(|pending| pending.connection != id);
                let Some(connection) = self.clients.connections.remove(&id) else { return };
                if !connection.holds.is_empty() {
                    self.update_wanted();
                    // A client in a terminal releases its services explicitly, unless it was killed.
                    if connection.events {
                        self.step(Happening::Abandon(ORPHAN_PATIENCE));
                    }
                }
            }
            SupervisorMessage::Report(event) => self.publish_report(event),
            #[cfg(test)]
            SupervisorMessage::Faulty(scope) => panic!("a fault of {scope:?}"),
            SupervisorMessage::Signalled(times, by) => {
                if !std::mem::replace(&mut self.ending, true) {
                    self.publish_stopping(by);
                }
                self.clients.pinned.clear();
                self.step(Happening::Stop);
                if times > 1 {
                    self.step(Happening::Kill);
                }
            }
        }
    }

    fn handle_report(&mut self, at: usize, report: StartReport) {
        match report {
            StartReport::Shim(ShimEvent::Started { leader, shim }, _) => {
                if let Some(running) = &mut self.slots[at].run.running {
                    running.processes = Some((leader, shim));
                }
                self.step(Happening::Started(at));
            }
            StartReport::Shim(ShimEvent::NotStarted(errno), _) => {
                let reason = not_started(self.slots[at].prepared.definition.service.as_ref(), errno);
                self.slots[at].run.running = None;
                self.step(Happening::StartFailed(at, reason));
            }
            StartReport::Shim(ShimEvent::Exited(code), last_lines) => {
                self.slots[at].run.in_background = self.has_gone_into_background(at, code);
                self.slots[at].run.exited = true;
                self.slots[at].run.last_lines = last_lines;
                self.slots[at].tasks.asking = None;
                let starting = self.machine.state(at) == NodeState::Starting;
                let lost = starting && start_service::finds_another_port(self, at);
                self.step(if lost { Happening::LostPort(at, code) } else { Happening::Exited(at, code) });
                self.warn_of_background(at);
            }
            // The end of the shim follows; a service is gone when its shim is.
            StartReport::Shim(ShimEvent::Gone, _) => {}
            StartReport::ShimEnded(last_lines) => self.all_ended(at, last_lines),
            StartReport::Matched(said) => {
                let taken = start_service::assign_fields(self, at, said);
                self.step(
                    taken.map_or_else(|text| Happening::ProbeImpossible(at, text), |()| Happening::ProbeSucceeded(at)),
                );
            }
            StartReport::Answered(ProbeResult::Yes) => self.step(Happening::ProbeSucceeded(at)),
            StartReport::Answered(ProbeResult::Never(reason)) => self.step(Happening::ProbeImpossible(at, reason)),
            StartReport::Answered(ProbeResult::Cancelled) => {}
            StartReport::Alive(alive) => {
                let before = self.machine.is_healthy(at);
                self.step(Happening::Alive(at, alive));
                if self.machine.is_healthy(at) != before {
                    self.publish_health(at);
                }
            }
            StartReport::JobEnded(code) => {
                self.step(Happening::Exited(at, code));
                self.step(Happening::Gone(at));
            }
            StartReport::Trouble(text) => self.reporter.warning(self.slots[at].prepared.name(), text),
        }
    }

    /// No process of a start is left.
    fn all_ended(&mut self, at: usize, last_lines: Vec<String>) {
        if self.slots[at].run.running.take().is_none() {
            return;
        }
        if !self.slots[at].run.exited {
            self.slots[at].run.last_lines = last_lines;
            self.slots[at].tasks.asking = None;
            self.step(Happening::Exited(at, -libc::SIGKILL));
        }
        self.step(Happening::Gone(at));
    }

    /// Reports new failures, and replies to the requests whose condition is met.
    fn report_failures(&mut self) {
        let mut failed: Vec<usize> = Vec::new();
        for at in 0..self.slots.len() {
            // The files of a failed service are still watched: the change that fixes it starts it again.
            if !self.machine.is_wanted(at) {
                self.slots[at].tasks.watching = None;
            }
            let has_failed = self.machine.failure(at).is_some();
            if has_failed != std::mem::replace(&mut self.slots[at].reports.failure_published, has_failed) && has_failed
            {
                failed.push(at);
            }
        }
        // A failure is reported before the failures it has caused.
        failed.sort_by_key(|at| matches!(self.machine.failure(*at), Some(NodeFailure::Needs(_))));
        failed.into_iter().for_each(|at| self.publish_failure(at));
        self.settle_pending();
    }

    /// The instances that the service at `at` may refer to.
    pub fn visible_instances(&self, at: usize) -> ServiceInstances {
        let known = self.slots[at].visible.iter().filter_map(|one| {
            let which = &self.slots[*one].which;
            Some((which.shown.clone(), self.ready.get(&which.name)?.clone()))
        });
        let mut instances = ServiceInstances::default();
        instances.show(known);
        instances
    }

    fn send(&self, id: u64, reply: &Reply) {
        if let Some(connection) = self.clients.connections.get(&id) {
            connection.outbox.push(reply);
        }
    }
}

/// Why a service did not start, with the likely cause.
fn not_started(service: Option<&ServiceSettings>, errno: i32) -> String {
    let error = std::io::Error::from_raw_os_error(errno);
    let command = service.map_or(String::new(), |service| format!("`serve = {}`: ", literal::plain(&service.serve)));
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => {
            ": is the program, or the interpreter in its first line, in the environment or on its PATH?"
        }
        std::io::ErrorKind::PermissionDenied => ": is the program executable?",
        _ => "",
    };
    format!("{command}{error}{remedy}")
}
