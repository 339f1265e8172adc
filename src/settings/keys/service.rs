//! The keys of services. The meaning of their values is defined in [`crate::model::service`].

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("serve", ValueKind::Line, Nothing, "the program to keep running; makes the environment a service"),
    key("ports", ValueKind::Plain, Nothing, "TCP ports, each a NAME or NAME=NUMBER"),
    key("host", ValueKind::Text, Nothing, "the address the service listens on"),
    key("url", ValueKind::Text, Nothing, "the URL that the service's dependents receive"),
    key("ready", ValueKind::Text, Nothing, "the probe that decides when the service is ready"),
    key("ready_timeout", ValueKind::Plain, Nothing, "seconds to wait until the service is ready before it has failed"),
    key("probe_timeout", ValueKind::Plain, Nothing, "the time limit in seconds for one attempt of a probe"),
    key("alive", ValueKind::Text, Nothing, "a probe that checks the running service repeatedly"),
    key(
        "restart",
        ValueKind::Text,
        Nothing,
        "when to restart a service whose process has exited: no, on-failure or always",
    ),
    key("restart_limit", ValueKind::Plain, Nothing, "the number of restarts before giving up"),
    key("success_exit_codes", ValueKind::Plain, Nothing, "exit codes that count as success"),
    key("stop_signal", ValueKind::Text, Nothing, "the signal that asks the service to stop"),
    key(
        "stop_timeout",
        ValueKind::Plain,
        Nothing,
        "seconds to wait after the stop signal before the service is killed",
    ),
    key("adopt", ValueKind::Plain, Nothing, "use a server that is already listening on the fixed port"),
    key("share", ValueKind::Text, Nothing, "start one instance per session, per worker or per test"),
    key("data", ValueKind::Text, Nothing, "the folder for the service's data, kept after the service stops"),
    key("persistent", ValueKind::Plain, Nothing, "the service keeps its data across restarts"),
    key("idle_timeout", ValueKind::Plain, Nothing, "seconds to keep the service running after its last user"),
    key("pty", ValueKind::Plain, Nothing, "run the service in a pseudo-terminal"),
    key("listen_fds", ValueKind::Plain, Nothing, "pass the listening sockets of the ports to the service (LISTEN_FDS)"),
    key("watch", ValueKind::Plain, Nothing, "paths and globs whose changes restart the service; `!` excludes some"),
    key(
        "watch_command",
        ValueKind::Line,
        Nothing,
        "a command to run after a change, instead of restarting the service",
    ),
    key(
        "profiles",
        ValueKind::Plain,
        Nothing,
        "start the service only in these profiles, or if another environment needs it",
    ),
    key("instances", ValueKind::Plain, Nothing, "the number of instances to run, each with its own ports"),
    key(
        "env_file",
        ValueKind::Plain,
        Nothing,
        "files with variables as NAME=VALUE lines; a leading `-` makes a file optional",
    ),
];
