//! The keys that make an environment a service. What their values mean is in [`crate::model::service`].

use crate::settings::keys::Initial::Nothing;
use crate::settings::keys::{Key, key};
use crate::settings::value::Kind;

/// The table's rows.
pub(super) const KEYS: &[Key] = &[
    key("serve", Kind::Line, Nothing, "the program to keep running; makes the environment a service"),
    key("ports", Kind::Plain, Nothing, "TCP ports, each a name or NAME=NUMBER"),
    key("host", Kind::Text, Nothing, "the address the service listens on"),
    key("url", Kind::Text, Nothing, "what those that depend on the service are told"),
    key("ready", Kind::Text, Nothing, "the probe that says when the service can be used"),
    key("ready_timeout", Kind::Plain, Nothing, "seconds after which a service that is not ready has failed"),
    key("probe_timeout", Kind::Plain, Nothing, "seconds that one attempt of a probe may take"),
    key("alive", Kind::Text, Nothing, "a probe that a running service must keep passing"),
    key("restart", Kind::Text, Nothing, "what the end of the service's process does: no, on-failure or always"),
    key("restart_limit", Kind::Plain, Nothing, "how many restarts before giving up"),
    key("success_exit_codes", Kind::Plain, Nothing, "exit codes that count as a good end"),
    key("stop_signal", Kind::Text, Nothing, "the signal that asks the service to stop"),
    key("stop_timeout", Kind::Plain, Nothing, "seconds after which a service that does not stop is killed"),
    key("adopt", Kind::Plain, Nothing, "use what already answers on the fixed port"),
    key("share", Kind::Text, Nothing, "one instance per test run, per worker or per test"),
    key("data", Kind::Text, Nothing, "the folder with the service's data, which outlive it"),
    key("persistent", Kind::Plain, Nothing, "what was put into the service is still there after a restart"),
    key("idle_timeout", Kind::Plain, Nothing, "seconds the service is kept after its last user"),
    key("pty", Kind::Plain, Nothing, "let the service write to a pseudo-terminal"),
    key("listen_fds", Kind::Plain, Nothing, "hand the sockets of the ports to the service, open (LISTEN_FDS)"),
    key("watch", Kind::Plain, Nothing, "paths and globs, a change of which restarts the service; `!` leaves some out"),
    key("watch_command", Kind::Line, Nothing, "what a change runs instead of restarting the service"),
    key("profiles", Kind::Plain, Nothing, "start the service only in these profiles, or when something needs it"),
    key("instances", Kind::Plain, Nothing, "how many of the service run, each with ports of its own"),
    key(
        "env_file",
        Kind::Plain,
        Nothing,
        "files of NAME=VALUE lines for the variables; `-` before one that may be missing",
    ),
];
