//! What services do next, as a pure state machine: events and the time go in, actions come out. It starts no process,
//! reads no clock and waits for nothing, so its tests move time by hand. The supervisor carries out its actions and
//! tells it what came of them.
//!
//! A node runs while somebody wants it, or what depends on it; the shell says which nodes those are. It starts as soon as
//! all it depends on is met, so independent branches run side by side, and is stopped when all that depend on it are
//! down. What fails stays failed until it is asked for again; what waits for it fails at once, and what runs already
//! goes on.

mod settle;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::model::service::RestartPolicy;

/// The time since the machine was made.
pub type MachineTime = Duration;

/// The first pause before a restart; it doubles with each one up to [`LONGEST_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A service that was ready for so long starts counting restarts anew.
pub const HEALTHY: Duration = Duration::from_secs(10);
/// A service that fails its `alive` probe so often in a row is restarted.
pub const ALIVE_FAILURES: u32 = 3;
/// A service that is ready as soon as it runs has to run for so long: one that ends at once was never ready.
pub const SETTLED: Duration = Duration::from_millis(300);
/// How often it is reported that a node is still being started.
pub const REMINDER: Duration = Duration::from_secs(1);
/// How often a service is started over because something else had taken its port, before that counts as its failure.
pub const LOST_PORTS: u32 = 5;
/// How long after SIGKILL a process that does not go away (it hangs in the kernel) is given up.
pub const ABANDONED: Duration = Duration::from_secs(10);

/// When those that depend on a node may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyWhen {
    /// A probe has succeeded.
    Probed,
    /// It runs, and has done so for [`SETTLED`].
    Started,
    /// It has ended well: a job.
    Ended,
}

/// What the machine must know of a service or job.
#[derive(Debug, Clone)]
pub struct MachineNode {
    pub name: String,
    /// Positions of the nodes that must be met before this one starts.
    pub dependencies: Vec<usize>,
    /// Those of them whose restart restarts this one too.
    pub restarts_with: Vec<usize>,
    pub ready_when: ReadyWhen,
    /// `None`: it may take as long as it likes.
    pub ready_timeout: Option<Duration>,
    pub stop_timeout: Duration,
    pub success_exit_codes: Vec<i32>,
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    /// Whether it has an `alive` probe.
    pub checks_alive: bool,
    /// How long it is kept when nobody wants it any more.
    pub idle_timeout: Duration,
    /// Whether what others have put into it is still there after a restart.
    pub keeps_state: bool,
}

/// What happened. Numbers are positions of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineEvent {
    /// Nothing but time.
    Tick,
    /// What must run before the node has run.
    Prepared(usize),
    PrepareFailed(usize, String),
    /// Instead of being prepared: something that envo did not start is the service already.
    Adopted(usize),
    Started(usize),
    StartFailed(usize, String),
    ProbeSucceeded(usize),
    /// What the node waits for can never come true.
    ProbeImpossible(usize, String),
    /// The node's first process has ended; others that it started may still run. The code is negative for a signal.
    Exited(usize, i32),
    /// As [`Event::Exited`], before it was ready, and something else listens on a port that was free to choose. Another
    /// port has been chosen.
    LostPort(usize, i32),
    /// Its `alive` probe was asked once.
    Alive(usize, bool),
    /// No process of the node is left.
    Gone(usize),
    /// What must run after the node has run.
    Finished(usize),
    /// These nodes are wanted from now on, all they depend on included, and no others.
    Want(BTreeSet<usize>),
    /// Nothing is wanted any more.
    Stop,
    /// What nobody wants is not kept for its `idle_timeout` any longer.
    DropKept,
    /// What is not wanted is not asked to end any more but killed.
    Kill,
    /// Who wanted what nobody wants any more was killed: all of it has this long to end at most.
    Abandon(Duration),
    /// Somebody wants these to run: those that were halted or have failed get another chance, all they depend on too.
    Retry(Vec<usize>),
    /// Somebody wants these not to run, whoever else wants them to, until [`Event::Retry`].
    Halt(Vec<usize>),
    /// Stop these and start them again.
    Restart(Vec<usize>),
    /// As if the job had run just now and ended well. Instead of [`Event::Prepared`].
    AlreadyDone(usize),
    /// What others have put into the node is gone, although it keeps its state.
    StateLost(usize),
}

/// What the supervisor is to do. Numbers are positions of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run what must run before the node, and answer with [`Event::Prepared`], or with [`Event::Adopted`] when it may
    /// adopt and there is something to adopt.
    Prepare(usize),
    /// Start it, and answer with [`Event::Started`] or [`Event::StartFailed`]; later with [`Event::Exited`] and
    /// [`Event::Gone`].
    Start(usize),
    /// Ask whether it is ready until it is or until it stops.
    Probe(usize),
    /// Ask its `alive` probe now and then until it stops, and tell each answer with [`Event::Alive`].
    CheckAlive(usize),
    /// Ask all its processes to end.
    Terminate(usize),
    /// Kill all its processes.
    Kill(usize),
    /// Run what must run after the node, and answer with [`Event::Finished`].
    Finish(usize),
    /// It is in another state: tell people.
    Changed(usize),
    /// It has been starting for so many whole seconds: tell people what it waits for.
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
    /// It was restarted so often, and ended once more.
    GaveUp(u32, i32),
    /// It was restarted so often, and its `alive` probe failed once more.
    NotAlive(u32),
    /// It is still there after SIGKILL.
    Unkillable,
    /// What it depends on has failed: the name.
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

/// Why a node will not get ready by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverReady {
    /// This one has failed: the node itself or one it depends on.
    Failed(usize),
    /// The user has stopped this one: the node itself or one it depends on.
    Halted(usize),
    /// Nobody has asked for it.
    Unwanted,
    /// It has ended well by itself.
    Ended,
}

/// How a node's part was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEnd {
    /// It was stopped, or never started.
    Stopped,
    /// It ended well by itself: a job that is done, or a service that nothing needed any more.
    Exited(i32),
    Failed(NodeFailure),
}

/// What a node that is being ended becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AfterStop {
    End(NodeEnd),
    Restart,
    /// Start at once, which does not count as a restart.
    StartOver,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NodePhase {
    /// For its dependencies.
    Waiting,
    /// `cancelled`: it was asked to leave off.
    Preparing {
        cancelled: bool,
    },
    Starting {
        since: MachineTime,
        until: Option<MachineTime>,
        running: bool,
        /// When it counts as ready if it still runs.
        settled: Option<MachineTime>,
        /// For how many seconds it has been reported to be starting.
        reminded: u64,
    },
    Ready {
        since: MachineTime,
    },
    /// Its processes are being ended. `patience`: when the next stronger means is due.
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

/// A node's state for people.
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
    /// Whether those that depend on it may start.
    met: bool,
    restarts: u32,
    /// It is not envo's: it is never stopped.
    adopted: bool,
    /// How often in a row its `alive` probe has failed.
    alive_failures: u32,
    lost_ports: u32,
    wanted: bool,
    /// Until when it is kept though nobody wants it.
    kept_until: Option<MachineTime>,
    /// The user has stopped it.
    halted: bool,
    /// It has to be down once before it may run again.
    cycling: bool,
    /// It is killed where others are asked to end.
    hurried: bool,
    /// How long it has to end at most, if less than it says itself.
    abandoned: Option<Duration>,
    /// Why it failed when it did so last, until it is tried again.
    failure: Option<NodeFailure>,
    /// How often it has lost what others had put into it. A job that ran before has prepared nothing of what is there now.
    epoch: u64,
    /// Whether its last start was of a definition that keeps its state.
    kept_state: bool,
    /// The epochs of what a job depends on, directly or through others, when its turn came last.
    prepared_for: BTreeMap<usize, u64>,
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
            halted: false,
            cycling: false,
            hurried: false,
            abandoned: None,
            failure: None,
            epoch: 0,
            kept_state: false,
            prepared_for: BTreeMap::new(),
        }
    }

    /// Those that depend on it may not start any more.
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
    /// Adds a node, which nobody wants yet. What it depends on must have been added before; the graph room sees to it
    /// that there is no cycle.
    pub fn add(&mut self, node: MachineNode) -> usize {
        let at = self.members.len();
        for dependency in &node.dependencies {
            self.members[*dependency].dependents.push(at);
        }
        self.members.push(NodeRecord::new(node));
        at
    }

    /// Puts a node, which nobody wants yet, in the place of one that is over and that nobody wants. [`Machine::connect`]
    /// is due then.
    pub fn replace(&mut self, at: usize, node: MachineNode) {
        let epoch = self.members[at].epoch + 1;
        self.members[at] = NodeRecord { epoch, ..NodeRecord::new(node) };
    }

    /// Gives a node another definition. `restart`: if it runs, it is restarted with it. [`Machine::connect`] is due then.
    pub fn redefine(&mut self, at: usize, node: MachineNode, restart: bool) {
        let member = &mut self.members[at];
        member.node = node;
        if restart {
            (member.restarts, member.halted, member.cycling) = (0, false, true);
        }
    }

    /// Finds out anew who depends on whom.
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

    /// Whether those that depend on it may start.
    pub fn is_met(&self, at: usize) -> bool {
        self.members[at].met && !self.members[at].cycling
    }

    /// Whether nothing of it runs, and nothing is about to.
    pub fn is_over(&self, at: usize) -> bool {
        matches!(self.members[at].phase, NodePhase::Over { .. })
    }

    /// Whether it has to be down once before it may run again.
    pub fn is_cycling(&self, at: usize) -> bool {
        self.members[at].cycling
    }

    /// Whether somebody wants it, or what depends on it.
    pub fn is_wanted(&self, at: usize) -> bool {
        self.members[at].wanted
    }

    /// Why the node will not get ready unless somebody does something; `None`: it is, or it may.
    pub fn never(&self, at: usize) -> Option<NeverReady> {
        let member = &self.members[at];
        if self.is_met(at) || member.cycling {
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

    /// Which of those a failed node depends on has failed by itself.
    fn root_of_failure(&self, at: usize) -> usize {
        let Some(NodeFailure::Needs(name)) = &self.members[at].failure else { return at };
        let needs = self.dependencies_of(at);
        let found = needs.iter().find(|one| self.members[**one].node.name == *name && self.failure(**one).is_some());
        found.map_or(at, |one| self.root_of_failure(*one))
    }

    /// Whether nobody wants it and it runs on for its `idle_timeout`.
    pub fn is_kept(&self, at: usize) -> bool {
        !self.members[at].wanted && self.members[at].kept_until.is_some()
    }

    pub fn is_adopted(&self, at: usize) -> bool {
        self.members[at].adopted
    }

    pub fn restarts(&self, at: usize) -> u32 {
        self.members[at].restarts
    }

    /// Whether its `alive` probe has answered when it was asked last.
    pub fn is_healthy(&self, at: usize) -> bool {
        self.members[at].alive_failures == 0
    }

    /// Which user's stop keeps the node from running: its own or that of one it depends on.
    pub fn halted_by(&self, at: usize) -> Option<usize> {
        if self.members[at].halted {
            return Some(at);
        }
        self.with_dependencies([at]).into_iter().find(|one| self.members[*one].halted)
    }

    /// Whether the node is restarted, or was given up, because its `alive` probe failed.
    pub fn has_failed_alive(&self, at: usize) -> bool {
        self.members[at].alive_failures >= ALIVE_FAILURES
    }

    /// Why the node failed when it did so last.
    pub fn failure(&self, at: usize) -> Option<&NodeFailure> {
        self.members[at].failure.as_ref()
    }

    /// The node and all it depends on, directly or through others.
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

    /// All a node depends on, directly or through others.
    pub fn dependencies_of(&self, at: usize) -> BTreeSet<usize> {
        let mut all = self.with_dependencies([at]);
        all.remove(&at);
        all
    }

    /// When [`Event::Tick`] is due at the latest; `None`: only something else can change anything.
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

/// When a node that has been starting since then is to be reported again.
fn reminder(since: MachineTime, reminded: u64) -> MachineTime {
    since.saturating_add(REMINDER.saturating_mul(u32::try_from(reminded + 1).unwrap_or(u32::MAX)))
}
