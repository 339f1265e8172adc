//! What an environment with a `serve` key says about itself. The specification is `docs/services.md`.

use std::time::Duration;

use super::Command;

/// A port a service listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `None`: envo picks a free one.
    pub number: Option<u16>,
}

/// How to find out whether a service can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET that answers 2xx or 3xx, or exactly `status` when one is given. The text is an `http://` or `https://` URL.
    Http { url: String, status: Option<u16> },
    /// A TCP connection can be made to `host:port`.
    Tcp { address: String },
    /// A Unix socket can be connected to.
    Unix { path: String },
    /// A command exits with 0.
    Command { command: Command },
    /// A line of the service's output matches; named groups become fields.
    Log { pattern: String },
    /// The service says `READY=1` on `$NOTIFY_SOCKET`.
    Notify,
    /// The service is a job: ready when it has ended well.
    Exit,
    /// Ready as soon as it runs.
    Alive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    #[default]
    No,
    OnFailure,
    Always,
}

/// The service keys of one environment. Texts may still hold `{port}`, `{host}` and `{service:…}` fields, which are
/// only known when the service and those it depends on run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `serve`, before its fields are filled in.
    pub serve: String,
    pub ports: Vec<Port>,
    pub host: String,
    /// Before its fields are filled in; `None`: derived from the probe.
    pub url: Option<String>,
    /// `ready`, before its fields are filled in; `None`: TCP on the first port, or alive.
    pub ready: Option<String>,
    pub ready_timeout: Duration,
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    pub success_exit_codes: Vec<i32>,
    /// `SIGTERM` and the like.
    pub stop_signal: String,
    pub stop_timeout: Duration,
    /// Where the keys were written, for error messages: `tox.ini:12`.
    pub location: String,
}
