//! The keys that make an environment a service. What their values mean is in [`crate::model::service`].

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("serve", ValueKind::Line, Nothing, "the program to keep running; makes the environment a service"),
    key("ports", ValueKind::Plain, Nothing, "TCP ports, each a name or NAME=NUMBER"),
    key("host", ValueKind::Text, Nothing, "the address the service listens on"),
    key("url", ValueKind::Text, Nothing, "what those that depend on the service are told"),
    key("ready", ValueKind::Text, Nothing, "the probe that says when the service can be used"),
    key("ready_timeout", ValueKind::Plain, Nothing, "seconds after which a service that is not ready has failed"),
    key("probe_timeout", ValueKind::Plain, Nothing, "seconds that one attempt of a probe may take"),
    key("alive", ValueKind::Text, Nothing, "a probe that a running service must keep passing"),
    key("restart", ValueKind::Text, Nothing, "what the end of the service's process does: no, on-failure or always"),
    key("restart_limit", ValueKind::Plain, Nothing, "how many restarts before giving up"),
    key("success_exit_codes", ValueKind::Plain, Nothing, "exit codes that count as a good end"),
    key("stop_signal", ValueKind::Text, Nothing, "the signal that asks the service to stop"),
    key("stop_timeout", ValueKind::Plain, Nothing, "seconds after which a service that does not stop is killed"),
    key("adopt", ValueKind::Plain, Nothing, "use what already answers on the fixed port"),
    key("share", ValueKind::Text, Nothing, "one instance per test run, per worker or per test"),
    key("data", ValueKind::Text, Nothing, "the folder with the service's data, which outlive it"),
    key("persistent", ValueKind::Plain, Nothing, "what was put into the service is still there after a restart"),
    key("idle_timeout", ValueKind::Plain, Nothing, "seconds the service is kept after its last user"),
    key("pty", ValueKind::Plain, Nothing, "let the service write to a pseudo-terminal"),
    key("listen_fds", ValueKind::Plain, Nothing, "hand the sockets of the ports to the service, open (LISTEN_FDS)"),
    key(
        "watch",
        ValueKind::Plain,
        Nothing,
        "paths and globs, a change of which restarts the service; `!` leaves some out",
    ),
    key("watch_command", ValueKind::Line, Nothing, "what a change runs instead of restarting the service"),
    key("profiles", ValueKind::Plain, Nothing, "start the service only in these profiles, or when something needs it"),
    key("instances", ValueKind::Plain, Nothing, "how many of the service run, each with ports of its own"),
    key(
        "env_file",
        ValueKind::Plain,
        Nothing,
        "files of NAME=VALUE lines for the variables; `-` before one that may be missing",
    ),
];
