//! The keys that say what an environment is made with: its languages, their packages, and who installs.

use crate::settings::keys::DefaultValue::{Nothing, Text};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The rows of what any environment has.
pub(super) const INSTALLING: &[SettingKey] = &[
    key("install_python", ValueKind::Boolean, Nothing, "let uv install an interpreter where none fits"),
    key(
        "installer",
        ValueKind::Text,
        Text("auto"),
        "which program installs: auto (uv where it can, else pip), pip or uv",
    ),
];

/// The rows of the languages.
pub(super) const KEYS: &[SettingKey] = &[
    key(
        "runtime",
        ValueKind::List,
        Text("python"),
        "the languages the environment is made for, each with a version after @",
    ),
    key("install_runtime", ValueKind::Boolean, Nothing, "fetch a runtime that is not installed"),
    key("node_deps", ValueKind::List, Nothing, "packages of npm's registry to install, in npm's notation"),
    key("ruby_deps", ValueKind::List, Nothing, "gems to install, each with a version requirement behind a blank"),
    key("go_deps", ValueKind::List, Nothing, "Go programs to build and install, as go install takes them"),
    key("rust_deps", ValueKind::List, Nothing, "Rust programs to build and install, as cargo install takes them"),
];
