//! The keys for packing an environment.

use crate::settings::keys::DefaultValue::{Nothing, Text};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("pack_command", ValueKind::Command, Nothing, "the command that a packed release starts with its script `run`"),
    key("pack_tests", ValueKind::List, Nothing, "environments that must have passed on exactly the packed files"),
    key(
        "pack_interpreter",
        ValueKind::Text,
        Text("bundled"),
        "the Python of a release: bundled, or system for the one at the same path on the target machine",
    ),
    key(
        "pack_include",
        ValueKind::List,
        Nothing,
        "files of the project to pack besides its package, in the syntax of .gitignore",
    ),
    key(
        "pack_exclude",
        ValueKind::List,
        Nothing,
        "paths in the release that are left out, in the syntax of .gitignore",
    ),
    key(
        "pack_base",
        ValueKind::Text,
        Text("none"),
        "what an image is based on: none for the glibc of this machine and nothing else, or debian:SUITE",
    ),
    key(
        "pack_prefix",
        ValueKind::Text,
        Nothing,
        "the folder of the release in an image and a .deb [default: /opt/NAME]",
    ),
    key("pack_user", ValueKind::Text, Nothing, "the user that the release runs as in an image and a systemd unit"),
    key("pack_units", ValueKind::List, Text("service"), "the systemd units of a .deb: service, socket; empty for none"),
    key("pack_keep", ValueKind::Plain, Text("5"), "the number of releases that an installation keeps"),
    key(
        "pack_sign",
        ValueKind::Text,
        Nothing,
        "the key to sign with: `minisign:PATH` of a secret key without a password",
    ),
];
