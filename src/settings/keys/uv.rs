//! The keys that tox-uv adds, and those of PEP 723 scripts.

use crate::settings::keys::DefaultValue::{Computed, Nothing, True};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::{Boolean, List, Set, Text};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("uv_resolution", Text, Nothing, "how uv chooses versions: highest, lowest or lowest-direct"),
    key("uv_seed", Boolean, Nothing, "install pip, and for old interpreters setuptools and wheel"),
    key("uv_python_preference", Text, Computed, "the interpreters that uv prefers; none leaves the choice to uv"),
    key("only_groups", Set, Nothing, "install only these dependency groups"),
    key("no_default_groups", Boolean, Computed, "exclude the project's default dependency groups"),
    key("uv_sync_flags", List, Nothing, "more options for `uv sync`"),
    key("uv_sync_locked", Boolean, True, "fail if the lock file is out of date"),
    // --- environments of scripts ---
    key("script", Text, Nothing, "the script to run, with its requirements as inline metadata (PEP 723)"),
];
