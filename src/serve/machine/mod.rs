//! What services do next, as a pure state machine: events and the time go in, actions come out. It starts no process,
//! reads no clock and waits for nothing, so its tests move time by hand. The supervisor carries out its actions and
//! tells it what came of them.
//!
//! A node starts as soon as all it depends on is met, so independent branches run side by side. It is stopped when all
//! that depend on it are over. The first failure ends the whole set, in reverse order.

mod step;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::model::service::RestartPolicy;

/// The time since the machine was made.
pub type Now = Duration;

/// The first pause before a restart; it doubles with each one up to [`LONGEST_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A service that was ready for so long starts counting restarts anew.
pub const HEALTHY: Duration = Duration::from_secs(10);
/// A service that fails its `alive` probe so often in a row is restarted.
pub const ALIVE_FAILURES: u32 = 3;
/// How often a service is started over because something else had taken its port, before that counts as its failure.
pub const LOST_PORTS: u32 = 5;
/// How long after SIGKILL a process that does not go away (it hangs in the kernel) is given up.
pub const ABANDONED: Duration = Duration::from_secs(10);

/// When those that depend on a node may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyWhen {
    /// A probe has succeeded.
    Probed,
    /// It runs.
    Started,
    /// It has ended well: a job.
    Ended,
}

/// What the machine must know of a service or job.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// Positions of the nodes that must be met before this one starts.
    pub dependencies: Vec<usize>,
    pub ready_when: ReadyWhen,
    /// `None`: it may take as long as it likes.
    pub ready_timeout: Option<Duration>,
    pub stop_timeout: Duration,
    pub success_exit_codes: Vec<i32>,
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    /// Whether it has an `alive` probe.
    pub checks_alive: bool,
}

/// What happened. Numbers are positions of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
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
    /// Stop everything, in reverse order.
    Stop,
    /// End everything at once.
    Kill,
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
    /// Every node is met, for the first time.
    AllReady,
    /// Everything is over; nothing will happen any more.
    Over,
}

/// Why a node failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
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
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(text) => formatter.write_str(text),
            Self::Start(text) => write!(formatter, "cannot be started: {text}"),
            Self::ExitedEarly(code) => write!(formatter, "{} before it was ready", Ended(*code)),
            Self::Exited(code) => write!(formatter, "{}", Ended(*code)),
            Self::NotReady(time) => write!(formatter, "was not ready after {} s", time.as_secs_f64()),
            Self::Impossible(text) => write!(formatter, "can never be ready: {text}"),
            Self::GaveUp(times, code) => write!(formatter, "{} again after {times} restarts", Ended(*code)),
            Self::NotAlive(times) => {
                write!(formatter, "failed its `alive` probe {ALIVE_FAILURES} times in a row after {times} restarts")
            }
            Self::Unkillable => formatter.write_str("is still running after SIGKILL"),
        }
    }
}

/// An exit code in words.
struct Ended(i32);

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            code if code < 0 => write!(formatter, "was ended by signal {}", -code),
            code => write!(formatter, "exited with code {code}"),
        }
    }
}

/// How a node's part was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was stopped, or never started.
    Stopped,
    /// It ended well by itself: a job that is done, or a service that nothing needed any more.
    Exited(i32),
    Failed(Failure),
}

/// What a node that is being ended becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    End(End),
    Restart,
    /// Start at once, which does not count as a restart.
    StartOver,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// For its dependencies.
    Waiting,
    /// `cancelled`: it was asked to leave off.
    Preparing {
        cancelled: bool,
    },
    Starting {
        until: Option<Now>,
        running: bool,
    },
    Ready {
        since: Now,
    },
    /// Its processes are being ended. `patience`: when the next stronger means is due.
    Stopping {
        patience: Option<Now>,
        killed: bool,
        then: Then,
    },
    Backoff {
        until: Now,
    },
    Finishing {
        end: End,
    },
    Over {
        end: End,
    },
}

/// A node's state for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
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

impl State {
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
struct Member {
    node: Node,
    dependents: Vec<usize>,
    phase: Phase,
    /// Whether those that depend on it may start.
    met: bool,
    restarts: u32,
    /// It is not envo's: it is never stopped.
    adopted: bool,
    /// How often in a row its `alive` probe has failed.
    alive_failures: u32,
    lost_ports: u32,
}

impl Member {
    fn new(node: Node) -> Self {
        Self {
            node,
            dependents: Vec::new(),
            phase: Phase::Waiting,
            met: false,
            restarts: 0,
            adopted: false,
            alive_failures: 0,
            lost_ports: 0,
        }
    }
}

/// Whether the set is to run or to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aim {
    Run,
    Stop,
    Kill,
}

#[derive(Debug)]
pub struct Machine {
    members: Vec<Member>,
    aim: Aim,
    failure: Option<(usize, Failure)>,
    told_ready: bool,
    told_over: bool,
}

impl Machine {
    /// The dependencies of `nodes` must be positions among them without a cycle; the graph room checks that.
    pub fn new(nodes: Vec<Node>) -> Self {
        let mut members: Vec<Member> = nodes.into_iter().map(Member::new).collect();
        for at in 0..members.len() {
            for dependency in members[at].node.dependencies.clone() {
                members[dependency].dependents.push(at);
            }
        }
        Self { members, aim: Aim::Run, failure: None, told_ready: false, told_over: false }
    }

    pub fn state(&self, at: usize) -> State {
        match &self.members[at].phase {
            Phase::Waiting => State::Waiting,
            Phase::Preparing { .. } => State::Preparing,
            Phase::Starting { .. } => State::Starting,
            Phase::Ready { .. } => State::Ready,
            Phase::Backoff { .. } | Phase::Stopping { then: Then::Restart | Then::StartOver, .. } => State::Restarting,
            Phase::Stopping { .. } | Phase::Finishing { .. } => State::Stopping,
            Phase::Over { end: End::Stopped } => State::Stopped,
            Phase::Over { end: End::Exited(_) } => State::Exited,
            Phase::Over { end: End::Failed(_) } => State::Failed,
        }
    }

    /// Whether the node is to run, rather than to end.
    pub fn is_wanted(&self, at: usize) -> bool {
        self.aim == Aim::Run && !matches!(self.members[at].phase, Phase::Preparing { cancelled: true })
    }

    /// The first failure: the one that ended the set.
    pub fn failure(&self) -> Option<(usize, &Failure)> {
        self.failure.as_ref().map(|(at, failure)| (*at, failure))
    }

    pub fn name(&self, at: usize) -> &str {
        &self.members[at].node.name
    }

    /// When [`Event::Tick`] is due at the latest; `None`: only something else can change anything.
    pub fn deadline(&self) -> Option<Now> {
        self.members
            .iter()
            .filter_map(|member| match member.phase {
                Phase::Starting { until, .. } => until,
                Phase::Stopping { patience, .. } => patience,
                Phase::Backoff { until } => Some(until),
                _ => None,
            })
            .min()
    }
}
