//! The keys for an environment's languages, their packages and installers.

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{DefaultValue, SettingKey, key};
use crate::settings::value::ValueKind::{Boolean, List, Text};

/// The rows for any environment.
pub(super) const INSTALLING: &[SettingKey] = &[
    key("install_python", Boolean, Nothing, "let uv install a Python interpreter if none matches"),
    key(
        "installer",
        Text,
        DefaultValue::Text("auto"),
        "the program that installs packages: auto (uv if possible, else pip), pip or uv",
    ),
    key(
        "layer_on",
        Text,
        Nothing,
        "the environment whose packages this one uses; it contains only the packages that it adds",
    ),
];

/// The rows for languages.
pub(super) const KEYS: &[SettingKey] = &[
    key(
        "runtime",
        List,
        DefaultValue::Text("python"),
        "the languages of the environment, each with an optional version after @",
    ),
    key("install_runtime", Boolean, Nothing, "download runtimes that are not installed"),
    key("node_deps", List, Nothing, "npm packages to install, in the syntax of npm install"),
    key("ruby_deps", List, Nothing, "gems to install, each with an optional version requirement after a space"),
    key("go_deps", List, Nothing, "Go programs to build and install, in the syntax of go install"),
    key("rust_deps", List, Nothing, "Rust programs to build and install, in the syntax of cargo install"),
];
