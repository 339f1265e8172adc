//! What the supervisor tells those who asked for events.

use serde::{Deserialize, Serialize};

use crate::event::RunEvent;

/// One piece of news. `time` is seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum TimedEvent {
    /// A service or job is in another state.
    Service(ServiceEvent),
    /// A service or job has failed, with the reason for people and its last lines.
    Failed(FailedService),
    /// A service or job is still being started, told every second.
    Waiting(WaitingService),
    /// What commands around services do and write, and whatever else is for people.
    Report { report: RunEvent },
    /// The supervisor was told to end, and stops everything, whoever holds it.
    Ending(EndingService),
    /// What a later supervisor tells.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceEvent {
    pub time: f64,
    pub service: String,
    /// Of which it is an instance.
    #[serde(default)]
    pub environment: String,
    /// As in `ps`.
    pub state: String,
    pub health: Option<String>,
    pub restarts: u32,
    pub pid: Option<u32>,
    pub url: Option<String>,
    /// Seconds since it was started.
    pub seconds: Option<f64>,
    /// What people are told besides the state; `None`: nothing of this change.
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WaitingService {
    pub time: f64,
    pub service: String,
    /// What it waits for: an address, a command, or words.
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
    /// With the place in the configuration and the last lines of the log.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EndingService {
    pub time: f64,
    /// Who said so: `SIGTERM`, or a client by its name.
    pub by: String,
}
