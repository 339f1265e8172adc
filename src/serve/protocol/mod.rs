//! What a client and the supervisor say to each other: JSON, one message a line, as `docs/protocol.md` describes it. Only
//! the words; the sockets are somebody else's.

mod definition;
mod event;

pub use definition::{ServiceDefinition, ServiceDependency, VariablesJson};
pub use event::{EndingService, FailedService, ServiceEvent, TimedEvent, WaitingService};

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::serve::fields::ServiceInstance;

/// The hidden verb.
pub const SUPERVISOR_VERB: &str = "__supervise";

/// Raised when a client of before would misunderstand a supervisor of now, or the other way round.
pub const VERSION: u32 = 1;

/// The kind of a refusal by the supervisor of another project.
pub const ELSEWHERE: &str = "elsewhere";

/// The longest line either side takes, its end included: what a stack of some hundred services with large variables
/// needs, and little enough to be kept in memory.
pub const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// What a client asks. Answers carry the same `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientRequest {
    pub id: u64,
    #[serde(flatten)]
    pub operation: ClientOperation,
}

/// The operations, by the name in `op`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum ClientOperation {
    /// Comes first on every connection. Answered with a [`Greeting`].
    Hello {
        protocol: u32,
        /// Who asks, for `ps`: `envo serve (pid 7)`.
        client: String,
        /// The state folder of the project whose supervisor is meant. That of another project refuses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<PathBuf>,
    },
    Up(UpRequest),
    /// Adds services of the running set, and what they depend on, to this connection's lease. Answered with
    /// [`Instances`](Answer::Instances) once they are ready.
    Hold {
        /// Those of environments.
        names: Vec<String>,
        /// As in [`Up`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        force_for: Option<String>,
    },
    /// Ends this connection's lease. Answered with the [`Left`] when what only it held is gone.
    Release {
        /// No names: all it holds.
        #[serde(default)]
        names: Vec<String>,
        /// Kill instead of asking to stop.
        #[serde(default)]
        kill: bool,
    },
    /// Lets go of what `up` with `keep` started; no names: of all of it. Answered with the [`Left`] when what nothing
    /// else holds is gone.
    Down {
        #[serde(default)]
        names: Vec<String>,
    },
    /// Starts services that were stopped or have failed.
    Start {
        names: Vec<String>,
        #[serde(default)]
        wait: bool,
    },
    /// Stops services, after those that depend on them, until they are started. Answered when they are gone.
    Stop {
        names: Vec<String>,
    },
    Restart {
        names: Vec<String>,
        #[serde(default)]
        wait: bool,
    },
    /// Answered when the services are ready, with an error when one never will be.
    Wait {
        names: Vec<String>,
        /// Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    /// Answered with a [`Status`] of every service there is.
    Ps,
    /// Answered with what is known of services that are ready; no names: of all.
    Fields {
        #[serde(default)]
        names: Vec<String>,
    },
    /// Answered with a [`Passage`].
    Logs {
        name: String,
        /// Seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<f64>,
        /// Only so many of the last lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<usize>,
    },
    /// From now on this connection is told [`News`].
    Events,
    /// Stops everything, whoever holds it, and ends the supervisor. Answered before that.
    Shutdown,
}

/// Asks for services. The connection holds what it wants until it releases it or ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UpRequest {
    /// What is wanted and all it depends on.
    pub services: Vec<ServiceDefinition>,
    /// Those of them that are wanted for their own sake.
    pub want: Vec<String>,
    /// Keep them when this connection ends, until `down`.
    #[serde(default)]
    pub keep: bool,
    /// Answer only when all are ready.
    #[serde(default)]
    pub wait: bool,
    /// Run jobs again that were done before.
    #[serde(default)]
    pub force: bool,
    /// The same, but each job only once for this value: all clients of one test run give the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_for: Option<String>,
    /// As if `events` had been asked before.
    #[serde(default)]
    pub events: bool,
    /// Restart what runs by another definition; otherwise it is used as it is.
    #[serde(default)]
    pub change: bool,
    /// Whose instance is meant of what is not for all: `share = worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The same for `share = test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// For how many seconds it is kept after nobody wants it any more, if that is longer than its `idle_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<f64>,
}

/// The answer to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    pub protocol: u32,
    /// As in `envo 0.1.0`.
    pub server: String,
    pub pid: u32,
}

/// The answer to `up` without `wait`: what became of every service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpResult {
    pub started: Vec<String>,
    pub restarted: Vec<String>,
    pub unchanged: Vec<String>,
    /// Run by another definition, and were left so.
    pub outdated: Vec<String>,
    /// Instances that are too many by now.
    #[serde(default)]
    pub stopped: Vec<String>,
}

/// The answer to `down` and `release`: what goes on, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseResult {
    pub stopped: Vec<String>,
    pub held: Vec<(String, Vec<String>)>,
    /// What envo used without having started it, and left running.
    #[serde(default)]
    pub adopted: Vec<String>,
    /// Nothing is left to do for the supervisor: it ends with this connection.
    #[serde(default)]
    pub last: bool,
}

/// What is known of an instance that is ready.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceInfo {
    #[serde(flatten)]
    pub instance: ServiceInstance,
    pub environment: String,
    /// What those who depend on it get as variables.
    pub variables: BTreeMap<String, String>,
    /// Of its first process.
    pub pid: Option<u32>,
    /// A path.
    pub log: String,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogPassage {
    pub text: String,
    /// Whether it is only the end of what was asked for.
    pub cut: bool,
}

/// One service or job in the answer to `ps`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: String,
    /// Of which it is an instance.
    #[serde(default)]
    pub environment: String,
    /// Whether it is a job: it ends by itself, and others wait for that.
    pub job: bool,
    /// `waiting`, `preparing`, `starting`, `ready`, `stopping`, `restarting`, `stopped`, `exited`, `failed`, `adopted`.
    pub state: String,
    /// `healthy` or `unhealthy`; nothing for what has no `alive` probe or does not run.
    pub health: Option<String>,
    pub restarts: u32,
    /// Of its first process.
    pub pid: Option<u32>,
    pub host: String,
    pub ports: Vec<(String, u16)>,
    pub url: Option<String>,
    /// Seconds since it was started.
    pub uptime: Option<f64>,
    /// Seconds of processor time of its processes that run.
    pub cpu: Option<f64>,
    /// Resident bytes of all its processes.
    pub memory: Option<u64>,
    /// Who wants it.
    pub leases: Vec<String>,
    /// What it depends on.
    pub depends: Vec<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Seconds from the set's first start to the moments of its last start, for pictures: asked for, started, ready.
    pub timeline: ServiceTimeline,
    pub log: String,
}

/// Moments in seconds since the supervisor began.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceTimeline {
    /// When it was first wanted.
    pub wanted: Option<f64>,
    /// When all it depends on was ready.
    pub began: Option<f64>,
    /// When its process was started.
    pub started: Option<f64>,
    pub ready: Option<f64>,
}

/// What was asked and could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestRefusal {
    /// What kind it is, for programs: `protocol`, `unknown`, `failed`, `port`, `timeout`, `configuration`, `ending`,
    /// `elsewhere`.
    pub kind: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl RequestRefusal {
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into(), hints: Vec::new() }
    }

    /// The message, and each hint on a line of its own.
    pub fn explained(&self) -> String {
        self.hints.iter().fold(self.message.clone(), |text, hint| format!("{text}\nhelp: {hint}"))
    }
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyBody {
    Done,
    Greeting(HelloReply),
    Changes(UpResult),
    Instances(Vec<InstanceInfo>),
    Log(LogPassage),
    Left(ReleaseResult),
    Services(Vec<ServiceStatus>),
}

/// A line from the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    Answer { id: u64, ok: ReplyBody },
    Refusal { id: u64, error: RequestRefusal },
    News(TimedEvent),
}

/// A message as the line that is sent.
pub fn to_line(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
