//! Decides what services do next, as a pure state machine: events and the time go in, actions come out. It
//! starts no process, reads no clock and waits for nothing, so its tests set the time. The supervisor carries
//! out its actions and reports the results as events.
//!
//! A node runs while it, or one of its dependents, is wanted; the supervisor says which nodes are. It starts
//! as soon as its dependencies are met, so independent branches run in parallel, and it is stopped when its
//! dependents are down. A failed node stays failed until it is requested again; nodes that wait for it fail
//! at once, and running ones keep running.

mod settle;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::model::service::RestartPolicy;

/// The time since the machine was created.
pub type MachineTime = Duration;

/// The first pause before a restart; it doubles with each restart up to [`LONGEST_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A service that was ready for this long starts counting restarts from zero.
pub const HEALTHY: Duration = Duration::from_secs(10);
/// A service that fails its `alive` probe this many times in a row is restarted.
pub const ALIVE_FAILURES: u32 = 3;
/// How long a service without a probe has to run before it is ready: one that ends at once was never ready.
pub const SETTLED: Duration = Duration::from_millis(300);
/// How often a node that is still starting is reported.
pub const REMINDER: Duration = Duration::from_secs(1);
/// How often a service is started again because another program took its port, before that counts as a
/// failure.
pub const LOST_PORTS: u32 = 5;
/// How long after SIGKILL the machine gives up on a process that does not end (it hangs in the kernel).
pub const ABANDONED: Duration = Duration::from_secs(10);

/// When the dependents of a node may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyWhen {
    /// A probe has succeeded.
    Probed,
    /// It has been running for [`SETTLED`].
    Started,
    /// It has ended successfully: a job.
    Ended,
}

/// What the machine knows of a service or job.
#[derive(Debug, Clone)]
pub struct MachineNode {
    pub name: String,
    /// Positions of the nodes that must be met before this one starts.
    pub dependencies: Vec<usize>,
    /// The ones among them whose restart restarts this one too.
    pub restarts_with: Vec<usize>,
    pub ready_when: ReadyWhen,
    /// `None`: there is no limit.
    pub ready_timeout: Option<Duration>,
    pub stop_timeout: Duration,
    pub success_exit_codes: Vec<i32>,
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    /// Whether it has an `alive` probe.
    pub checks_alive: bool,
    /// How long it keeps running when it is no longer wanted.
    pub idle_timeout: Duration,
    /// Whether the data that others put into it outlives a restart.
    pub keeps_state: bool,
}

/// An event. Numbers are positions of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineEvent {
    /// Only time has passed.
    Tick,
    /// The commands before the node have run.
    Prepared(usize),
    PrepareFailed(usize, String),
    /// Instead of `Prepared`: the service already runs, and envo did not start it.
    Adopted(usize),
    Started(usize),
    StartFailed(usize, String),
    ProbeSucceeded(usize),
    /// The probe of the node can never succeed.
    ProbeImpossible(usize, String),
    /// The node's first process has ended; others that it started may still run. The code is negative for a
    /// signal.
    Exited(usize, i32),
    /// Like [`MachineEvent::Exited`], before the node was ready, and another program listens on a port that
    /// envo had chosen. Another port has been chosen.
    LostPort(usize, i32),
    /// The result of one `alive` probe.
    Alive(usize, bool),
    /// No process of the node is left.
    Gone(usize),
    /// The commands after the node have run.
    Finished(usize),
    /// Exactly these nodes are wanted from now on, with their dependencies.
    Want(BTreeSet<usize>),
    /// No node is wanted any more.
    Stop,
    /// Nodes that are not wanted stop now, without their `idle_timeout`.
    DropKept,
    /// Nodes that are stopping are killed.
    Kill,
    /// The client that wanted these nodes last was killed: they all have at most this long to end.
    Abandon(Duration),
    /// These were requested: halted or failed ones and their dependencies get another chance.
    Retry(Vec<usize>),
    /// These must not run, even if they are wanted, until [`MachineEvent::Retry`].
    Halt(Vec<usize>),
    /// Stop these and start them again.
    Restart(Vec<usize>),
    /// As if the job had just run and ended successfully. Instead of [`MachineEvent::Prepared`].
    AlreadyDone(usize),
    /// The data in the node is lost, although it keeps its state.
    StateLost(usize),
}

/// What the supervisor must do. Numbers are positions of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run the commands before the node, and reply with [`MachineEvent::Prepared`], or with
    /// [`MachineEvent::Adopted`] if it may adopt a running service and there is one.
    Prepare(usize),
    /// Start it, and reply with [`MachineEvent::Started`] or [`MachineEvent::StartFailed`]; later with
    /// [`MachineEvent::Exited`] and [`MachineEvent::Gone`].
    Start(usize),
    /// Probe its readiness until it is ready or stops.
    Probe(usize),
    /// Run its `alive` probe regularly until it stops, and report each result with [`MachineEvent::Alive`].
    CheckAlive(usize),
    /// Ask all its processes to end.
    Terminate(usize),
    /// Kill all its processes.
    Kill(usize),
    /// Run the commands after the node, and reply with [`MachineEvent::Finished`].
    Finish(usize),
    /// Its state has changed: report it.
    Changed(usize),
    /// It has been starting for this many whole seconds: report what it waits for.
    StillStarting(usize, u64),
}

/// Why a node failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeFailure {
    Prepare(String),
    Start(String),
    /// It ended before it was ready.
    ExitedEarly(i32),
    /// It ended after it was ready.
    Exited(i32),
    NotReady(Duration),
    Impossible(String),
    /// It ended once more after this many restarts.
    GaveUp(u32, i32),
    /// Its `alive` probe failed once more after this many restarts.
    NotAlive(u32),
    /// It still runs after SIGKILL.
    Unkillable,
    /// A dependency has failed: its name.
    Needs(String),
}

impl fmt::Display for NodeFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(text) => formatter.write_str(text),
            Self::Start(text) => write!(formatter, "cannot be started: {text}"),
            Self::ExitedEarly(code) => write!(formatter, "{} before it was ready", ExitInWords(*code)),
            Self::Exited(code) => write!(formatter, "{}", ExitInWords(*code)),
            Self::NotReady(time) => write!(formatter, "was not ready after {} s", time.as_secs_f64()),
            Self::Impossible(text) => write!(formatter, "can never be ready: {text}"),
            Self::GaveUp(times, code) => write!(formatter, "{} again after {times} restarts", ExitInWords(*code)),
            Self::NotAlive(times) => {
                write!(formatter, "failed its `alive` probe {ALIVE_FAILURES} times in a row after {times} restarts")
            }
            Self::Needs(name) => write!(formatter, "cannot start: it depends on `{name}`, which has failed"),
            Self::Unkillable => formatter.write_str("is still running after SIGKILL"),
        }
    }
}

/// An exit code in words.
struct ExitInWords(i32);

impl fmt::Display for ExitInWords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            code if code < 0 => write!(formatter, "was ended by signal {}", -code),
            code => write!(formatter, "exited with code {code}"),
        }
    }
}

/// Why a node will not become ready by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverReady {
    /// This one has failed: the node itself or a dependency.
    Failed(usize),
    /// The user has stopped this one: the node itself or a dependency.
    Halted(usize),
    /// It was not requested.
    Unwanted,
    /// It has ended successfully by itself.
    Ended,
}

/// How a run of a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEnd {
    /// It was stopped, or never started.
    Stopped,
    /// It ended successfully by itself: a job that is done, or a service that was no longer needed.
    Exited(i32),
    Failed(NodeFailure),
}

/// What happens to a node after it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AfterStop {
    End(NodeEnd),
    Restart,
    /// Start at once; this does not count as a restart.
    StartOver,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NodePhase {
    /// For its dependencies.
    Waiting,
    /// `cancelled`: it was asked to stop.
    Preparing {
        cancelled: bool,
    },
    Starting {
        since: MachineTime,
        until: Option<MachineTime>,
        running: bool,
        /// When it counts as ready if it still runs.
        settled: Option<MachineTime>,
        /// For how many seconds it has been reported as starting.
        reminded: u64,
    },
    Ready {
        since: MachineTime,
    },
    /// Its processes are being ended. `patience`: when the next stronger signal is due.
    Stopping {
        patience: Option<MachineTime>,
        killed: bool,
        then: AfterStop,
    },
    Backoff {
        until: MachineTime,
    },
    Finishing {
        end: NodeEnd,
    },
    Over {
        end: NodeEnd,
    },
}

/// A node's state as reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    Waiting,
    Preparing,
    Starting,
    Ready,
    Stopping,
    Restarting,
    Stopped,
    Exited,
    Failed,
}

impl NodeState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
struct NodeRecord {
    node: MachineNode,
    dependents: Vec<usize>,
    phase: NodePhase,
    /// Whether its dependents may start.
    met: bool,
    restarts: u32,
    /// envo did not start it, and never stops it.
    adopted: bool,
    /// How many times in a row its `alive` probe has failed.
    alive_failures: u32,
    lost_ports: u32,
    wanted: bool,
    /// Until when it keeps running although it is not wanted.
    kept_until: Option<MachineTime>,
    stop: StopRequest,
    /// Why it failed last, until it is tried again.
    failure: Option<NodeFailure>,
    /// How often it has lost its data. What a job prepared in it before is gone with the data.
    epoch: u64,
    /// Whether its last start used a definition that keeps its state.
    kept_state: bool,
    /// The epochs of a job's direct and indirect dependencies when it last began.
    prepared_for: BTreeMap<usize, u64>,
}

/// How a node was requested to stop.
#[derive(Debug)]
struct StopRequest {
    /// The user has stopped it.
    halted: bool,
    /// It has to be down once before it may run again.
    cycling: bool,
    /// It is killed instead of being asked to end.
    hurried: bool,
    /// The most time it has to end, if less than its own timeout.
    abandoned: Option<Duration>,
}

impl NodeRecord {
    fn new(node: MachineNode) -> Self {
        Self {
            node,
            dependents: Vec::new(),
            phase: NodePhase::Over { end: NodeEnd::Stopped },
            met: false,
            restarts: 0,
            adopted: false,
            alive_failures: 0,
            lost_ports: 0,
            wanted: false,
            kept_until: None,
            stop: StopRequest { halted: false, cycling: false, hurried: false, abandoned: None },
            failure: None,
            epoch: 0,
            kept_state: false,
            prepared_for: BTreeMap::new(),
        }
    }

    /// Its dependents may not start any more.
    fn unmeet(&mut self) {
        if std::mem::take(&mut self.met) && !self.kept_state {
            self.epoch += 1;
        }
    }

    /// It begins to run.
    fn begin_epoch(&mut self) {
        self.kept_state = self.node.keeps_state;
        if !self.kept_state {
            self.epoch += 1;
        }
    }

    fn is_down(&self) -> bool {
        matches!(self.phase, NodePhase::Waiting | NodePhase::Over { .. })
    }
}

#[derive(Debug, Default)]
pub struct ServiceMachine {
    members: Vec<NodeRecord>,
}

impl ServiceMachine {
    /// Adds a node, which is not wanted yet. Its dependencies must have been added before; the graph ensures
    /// that there is no cycle.
    pub fn add(&mut self, node: MachineNode) -> usize {
        let at = self.members.len();
        for dependency in &node.dependencies {
            self.members[*dependency].dependents.push(at);
        }
        self.members.push(NodeRecord::new(node));
        at
    }

    /// Replaces a node that is over and not wanted with one that is not wanted yet. [`ServiceMachine::connect`] must
    /// follow.
    pub fn replace(&mut self, at: usize, node: MachineNode) {
        let epoch = self.members[at].epoch + 1;
        self.members[at] = NodeRecord { epoch, ..NodeRecord::new(node) };
    }

    /// Gives a node another definition. `restart`: if it runs, it is restarted with it. [`ServiceMachine::connect`]
    /// must follow.
    pub fn redefine(&mut self, at: usize, node: MachineNode, restart: bool) {
        let member = &mut self.members[at];
        member.node = node;
        if restart {
            (member.restarts, member.stop.halted, member.stop.cycling) = (0, false, true);
        }
    }

    /// Recomputes the dependents of all nodes.
    pub fn connect(&mut self) {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.members.len()];
        for (at, member) in self.members.iter().enumerate() {
            for dependency in &member.node.dependencies {
                dependents[*dependency].push(at);
            }
        }
        for (member, dependents) in self.members.iter_mut().zip(dependents) {
            member.dependents = dependents;
        }
    }

    pub fn state(&self, at: usize) -> NodeState {
        match &self.members[at].phase {
            NodePhase::Waiting => NodeState::Waiting,
            NodePhase::Preparing { .. } => NodeState::Preparing,
            NodePhase::Starting { .. } => NodeState::Starting,
            NodePhase::Ready { .. } => NodeState::Ready,
            NodePhase::Backoff { .. } | NodePhase::Stopping { then: AfterStop::Restart | AfterStop::StartOver, .. } => {
                NodeState::Restarting
            }
            NodePhase::Stopping { .. } | NodePhase::Finishing { .. } => NodeState::Stopping,
            NodePhase::Over { end: NodeEnd::Stopped } => NodeState::Stopped,
            NodePhase::Over { end: NodeEnd::Exited(_) } => NodeState::Exited,
            NodePhase::Over { end: NodeEnd::Failed(_) } => NodeState::Failed,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether its dependents may start.
    pub fn is_met(&self, at: usize) -> bool {
        self.members[at].met && !self.members[at].stop.cycling
    }

    /// Whether it does not run and is not about to.
    pub fn is_over(&self, at: usize) -> bool {
        matches!(self.members[at].phase, NodePhase::Over { .. })
    }

    /// Whether it has to be down once before it may run again.
    pub fn is_cycling(&self, at: usize) -> bool {
        self.members[at].stop.cycling
    }

    /// Whether it or one of its dependents is wanted.
    pub fn is_wanted(&self, at: usize) -> bool {
        self.members[at].wanted
    }

    /// Why the node will not become ready without an intervention; `None`: it is ready, or may become so.
    pub fn never(&self, at: usize) -> Option<NeverReady> {
        let member = &self.members[at];
        if self.is_met(at) || member.stop.cycling {
            return None;
        }
        if member.failure.is_some() {
            return Some(NeverReady::Failed(self.root_of_failure(at)));
        }
        if let Some(by) = self.halted_by(at) {
            return Some(NeverReady::Halted(by));
        }
        if !member.wanted {
            return Some(NeverReady::Unwanted);
        }
        matches!(member.phase, NodePhase::Over { end: NodeEnd::Exited(_) }).then_some(NeverReady::Ended)
    }

    /// The dependency of a failed node that failed first.
    fn root_of_failure(&self, at: usize) -> usize {
        let Some(NodeFailure::Needs(name)) = &self.members[at].failure else { return at };
        let needs = self.dependencies_of(at);
        let found = needs.iter().find(|one| self.members[**one].node.name == *name && self.failure(**one).is_some());
        found.map_or(at, |one| self.root_of_failure(*one))
    }

    /// Whether it is not wanted but keeps running for its `idle_timeout`.
    pub fn is_kept(&self, at: usize) -> bool {
        !self.members[at].wanted && self.members[at].kept_until.is_some()
    }

    pub fn is_adopted(&self, at: usize) -> bool {
        self.members[at].adopted
    }

    pub fn restarts(&self, at: usize) -> u32 {
        self.members[at].restarts
    }

    /// Whether its last `alive` probe succeeded.
    pub fn is_healthy(&self, at: usize) -> bool {
        self.members[at].alive_failures == 0
    }

    /// The stopped node that keeps this one from running: itself or a dependency.
    pub fn halted_by(&self, at: usize) -> Option<usize> {
        if self.members[at].stop.halted {
            return Some(at);
        }
        self.with_dependencies([at]).into_iter().find(|one| self.members[*one].stop.halted)
    }

    /// Whether the node is being restarted, or was given up, because its `alive` probe failed.
    pub fn has_failed_alive(&self, at: usize) -> bool {
        self.members[at].alive_failures >= ALIVE_FAILURES
    }

    /// Why the node failed last.
    pub fn failure(&self, at: usize) -> Option<&NodeFailure> {
        self.members[at].failure.as_ref()
    }

    /// The nodes and their direct and indirect dependencies.
    pub fn with_dependencies(&self, at: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = at.into_iter().collect();
        while let Some(one) = open.pop() {
            if found.insert(one) {
                open.extend(&self.members[one].node.dependencies);
            }
        }
        found
    }

    /// The direct and indirect dependencies of a node.
    pub fn dependencies_of(&self, at: usize) -> BTreeSet<usize> {
        let mut all = self.with_dependencies([at]);
        all.remove(&at);
        all
    }

    /// When [`MachineEvent::Tick`] is due at the latest; `None`: only another event can change anything.
    pub fn deadline(&self) -> Option<MachineTime> {
        let due = |member: &NodeRecord| match member.phase {
            NodePhase::Starting { since, until, settled, reminded, .. } => {
                [until, settled, Some(reminder(since, reminded))].into_iter().flatten().min()
            }
            NodePhase::Stopping { patience, .. } => patience,
            NodePhase::Backoff { until } => Some(until),
            _ => None,
        };
        self.members.iter().flat_map(|member| due(member).into_iter().chain(member.kept_until)).min()
    }
}

/// When a node that has been starting since then must be reported again.
fn reminder(since: MachineTime, reminded: u64) -> MachineTime {
    since.saturating_add(REMINDER.saturating_mul(u32::try_from(reminded + 1).unwrap_or(u32::MAX)))
}
