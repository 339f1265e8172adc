//! What the supervisor sends to clients that asked for events.

use serde::{Deserialize, Serialize};

use crate::event::RunEvent;

/// One event. `time` is seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum TimedEvent {
    /// The state of a service or job has changed.
    Service(ServiceEvent),
    /// A service or job has failed, with the reason for people and its last lines.
    Failed(FailedService),
    /// A service or job is still starting, sent every second.
    Waiting(WaitingService),
    /// Progress and output of commands around services, and other messages for people.
    Report { report: RunEvent },
    /// The supervisor was asked to end, and stops everything, even if it is held.
    Ending(EndingService),
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceEvent {
    pub time: f64,
    pub service: String,
    /// The environment of the instance.
    #[serde(default)]
    pub environment: String,
    /// Like in `ps`.
    pub state: String,
    pub health: Option<String>,
    pub restarts: u32,
    pub pid: Option<u32>,
    pub url: Option<String>,
    /// Seconds since it was started.
    pub seconds: Option<f64>,
    /// What people are shown besides the state; `None`: this change is not shown.
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WaitingService {
    pub time: f64,
    pub service: String,
    /// What it waits for: an address, a command, or a description.
    pub target: String,
    /// Whole seconds since it was started.
    pub seconds: u64,
    /// What the probe saw last: `last answer 503`.
    pub seen: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FailedService {
    pub time: f64,
    pub service: String,
    /// With its location in the configuration and the last lines of the log.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EndingService {
    pub time: f64,
    /// `SIGTERM`, or a client by its name.
    pub cause: String,
}
