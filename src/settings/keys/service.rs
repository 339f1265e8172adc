//! The keys of services. The meaning of their values is defined in [`crate::model::service`].

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::{Line, Plain, Text};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("serve", Line, Nothing, "the program to keep running; makes the environment a service"),
    key("ports", Plain, Nothing, "TCP ports, each a NAME or NAME=NUMBER"),
    key("host", Text, Nothing, "the address the service listens on"),
    key("url", Text, Nothing, "the URL that the service's dependents receive"),
    key("ready", Text, Nothing, "the probe that decides when the service is ready"),
    key("ready_timeout", Plain, Nothing, "seconds to wait until the service is ready before it has failed"),
    key("probe_timeout", Plain, Nothing, "the time limit in seconds for one attempt of a probe"),
    key("alive", Text, Nothing, "a probe that checks the running service repeatedly"),
    key("restart", Text, Nothing, "when to restart a service whose process has exited: no, on-failure or always"),
    key("restart_limit", Plain, Nothing, "the number of restarts before giving up"),
    key("success_exit_codes", Plain, Nothing, "exit codes that count as success"),
    key("stop_signal", Text, Nothing, "the signal that asks the service to stop"),
    key("stop_timeout", Plain, Nothing, "seconds to wait after the stop signal before the service is killed"),
    key("adopt", Plain, Nothing, "use a server that is already listening on the fixed port"),
    key("share", Text, Nothing, "start one instance per session, per worker or per test"),
    key("data", Text, Nothing, "the folder for the service's data, kept after the service stops"),
    key("persistent", Plain, Nothing, "the service keeps its data across restarts"),
    key("idle_timeout", Plain, Nothing, "seconds to keep the service running after its last user"),
    key("pty", Plain, Nothing, "run the service in a pseudo-terminal"),
    key("listen_fds", Plain, Nothing, "pass the listening sockets of the ports to the service (LISTEN_FDS)"),
    key("watch", Plain, Nothing, "paths and globs whose changes restart the service; `!` excludes some"),
    key("watch_command", Line, Nothing, "a command to run after a change, instead of restarting the service"),
    key("profiles", Plain, Nothing, "start the service only in these profiles, or if another environment needs it"),
    key("instances", Plain, Nothing, "the number of instances to run, each with its own ports"),
    key("env_file", Plain, Nothing, "files with variables as NAME=VALUE lines; a leading `-` makes a file optional"),
];
