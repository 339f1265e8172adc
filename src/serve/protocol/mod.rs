//! The messages between a client and the supervisor: JSON, one message a line, as `docs/protocol.md`
//! describes it. It does not know about sockets.

mod definition;
mod event;

pub use definition::{DefinedCommands, ServiceDefinition, ServiceDependency, VariablesJson};
pub use event::{EndingService, FailedService, ServiceEvent, TimedEvent, WaitingService};

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::serve::fields::ServiceInstance;

/// The hidden command.
pub const SUPERVISOR_VERB: &str = "__supervise";

/// Raised if an earlier client would misunderstand a current supervisor, or the other way round.
pub const VERSION: u32 = 2;

/// The kind of a refusal by the supervisor of another project.
pub const OTHER_PROJECT: &str = "other-project";

/// The longest line either side accepts, including its end: enough for some hundred services with large
/// variables, and small enough for memory.
pub const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// A request of a client. Replies carry the same `id`.
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
    /// Comes first on every connection. Answered with a [`HelloReply`].
    Hello {
        protocol: u32,
        /// Who asks, for `ps`: `envo serve (pid 7)`.
        client: String,
        /// The state folder of the intended project. The supervisor of another project refuses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<PathBuf>,
    },
    Up(UpRequest),
    /// Adds running services and their dependencies to this connection's lease. Answered with
    /// [`Instances`](ReplyBody::Instances) once they are ready.
    Hold {
        /// Names of environments.
        names: Vec<String>,
        /// Like in [`UpRequest`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        force_for: Option<String>,
    },
    /// Ends this connection's lease. Answered with a [`ReleaseResult`] when the services that only it held
    /// are gone.
    Release {
        /// No names: all it holds.
        #[serde(default)]
        names: Vec<String>,
        /// Kill instead of asking to stop.
        #[serde(default)]
        kill: bool,
    },
    /// Releases the services that `up` with `keep` started; no names: all of them. Answered with a
    /// [`ReleaseResult`] when those that no other client holds are gone.
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
    /// Stops services, after their dependents, until they are started. Answered when they are gone.
    Stop {
        names: Vec<String>,
    },
    Restart {
        names: Vec<String>,
        #[serde(default)]
        wait: bool,
    },
    /// Answered when the services are ready, with an error if one never will be.
    Wait {
        names: Vec<String>,
        /// Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    /// Answered with a [`ServiceStatus`] of every service.
    Ps,
    /// Answered with the [`InstanceInfo`] of ready services; no names: of all.
    Fields {
        #[serde(default)]
        names: Vec<String>,
    },
    /// Answered with a [`LogPassage`].
    Logs {
        name: String,
        /// Seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<f64>,
        /// Only this many of the last lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<usize>,
    },
    /// From now on this connection receives every [`TimedEvent`].
    Events,
    /// Stops everything, even if it is held, and ends the supervisor. Answered before that.
    Shutdown,
}

/// Requests services. The connection holds the requested ones until it releases them or ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UpRequest {
    /// The requested services and their dependencies.
    pub services: Vec<ServiceDefinition>,
    /// The ones among them that are requested themselves.
    pub requested: Vec<String>,
    /// Keep them when this connection ends, until `down`.
    #[serde(default)]
    pub keep: bool,
    /// Answer only when all are ready.
    #[serde(default)]
    pub wait: bool,
    /// Run jobs again that were done before.
    #[serde(default)]
    pub force: bool,
    /// The same, but each job only once for this value: all clients of one test run send the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_for: Option<String>,
    /// Like a preceding `events` request.
    #[serde(default)]
    pub events: bool,
    /// Restart services that run with another definition; otherwise they are used as they are.
    #[serde(default)]
    pub change: bool,
    /// The client's name for instances that are not shared by all: `share = worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The same for `share = test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// For how many seconds services keep running when they are no longer wanted, if that is longer than
    /// their `idle_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<f64>,
}

/// The reply to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    pub protocol: u32,
    /// For example `envo 0.1.0`.
    pub server: String,
    pub pid: u32,
}

/// The reply to `up` without `wait`: the result for every service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpResult {
    pub started: Vec<String>,
    pub restarted: Vec<String>,
    pub unchanged: Vec<String>,
    /// They run with another definition, and were left unchanged.
    pub outdated: Vec<String>,
    /// Surplus instances.
    #[serde(default)]
    pub stopped: Vec<String>,
}

/// The reply to `down` and `release`: the services that keep running, and their holders.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseResult {
    pub stopped: Vec<String>,
    pub held: Vec<(String, Vec<String>)>,
    /// Services that envo used without having started them, and left running.
    #[serde(default)]
    pub adopted: Vec<String>,
    /// The supervisor has nothing left to do: it ends with this connection.
    #[serde(default)]
    pub ending: bool,
}

impl ReleaseResult {
    /// A line for each service that keeps running, for people.
    pub fn going_on(&self) -> impl Iterator<Item = String> + '_ {
        let adopted = self.adopted.iter().map(|name| format!("{name} left running: envo did not start it"));
        let held = self.held.iter().map(|(name, holders)| {
            if holders.iter().any(|holder| holder == "up") {
                format!("{name} keeps running: `envo up` started it, `envo down` stops it")
            } else {
                format!("{name} keeps running: {} needs it", holders.join(", "))
            }
        });
        adopted.chain(held)
    }
}

/// A ready instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceInfo {
    #[serde(flatten)]
    pub instance: ServiceInstance,
    pub environment: String,
    /// The variables that its dependents get.
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
    /// Whether it is only the end of the requested part.
    pub truncated: bool,
}

/// One service or job in the reply to `ps`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: String,
    /// The environment of the instance.
    #[serde(default)]
    pub environment: String,
    /// Whether it is a job: it ends by itself, and others wait for that.
    pub job: bool,
    /// `waiting`, `preparing`, `starting`, `ready`, `stopping`, `restarting`, `stopped`, `exited`, `failed`, `adopted`.
    pub state: String,
    /// `healthy` or `unhealthy`; absent without an `alive` probe or if it does not run.
    pub health: Option<String>,
    pub restarts: u32,
    /// Of its first process.
    pub pid: Option<u32>,
    #[serde(flatten)]
    pub address: ServiceAddress,
    #[serde(flatten)]
    pub usage: ServiceUsage,
    /// The clients that hold it.
    pub leases: Vec<String>,
    /// Its dependencies.
    pub depends: Vec<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Seconds from the supervisor's start to the steps of its last start, for charts: requested, began,
    /// started, ready.
    pub timeline: ServiceTimeline,
    pub log: String,
}

/// Where a service can be reached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceAddress {
    pub host: String,
    pub ports: Vec<(String, u16)>,
    pub url: Option<String>,
}

/// The resources that a running service uses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceUsage {
    /// Seconds since it was started.
    pub uptime: Option<f64>,
    /// Seconds of processor time of its running processes.
    pub cpu: Option<f64>,
    /// Resident bytes of all its processes.
    pub memory: Option<u64>,
}

/// Times in seconds since the supervisor started.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceTimeline {
    /// When it was first requested.
    pub requested: Option<f64>,
    /// When all its dependencies were ready.
    pub dependencies_ready: Option<f64>,
    /// When its process was started.
    pub started: Option<f64>,
    pub ready: Option<f64>,
}

/// A request that could not be fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestRefusal {
    /// The kind, for programs: `protocol`, `unknown`, `failed`, `port`, `timeout`, `configuration`, `ending`,
    /// `other-project`.
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

/// The content of a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyBody {
    Done,
    Greeting(HelloReply),
    Changes(UpResult),
    Instances(Vec<InstanceInfo>),
    Log(LogPassage),
    Released(ReleaseResult),
    Services(Vec<ServiceStatus>),
}

/// A line from the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    Answer { id: u64, ok: ReplyBody },
    Refusal { id: u64, error: RequestRefusal },
    Event(TimedEvent),
}

/// A message as one line of JSON.
pub fn to_line(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
