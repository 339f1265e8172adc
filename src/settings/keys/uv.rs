//! What tox-uv adds to environments, and what environments of scripts have.

use crate::settings::keys::DefaultValue::{Computed, Nothing, True};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("uv_resolution", ValueKind::Text, Nothing, "how uv chooses versions: highest, lowest or lowest-direct"),
    key(
        "uv_seed",
        ValueKind::Boolean,
        Nothing,
        "put pip, and for old interpreters setuptools and wheel, into the environment",
    ),
    key("uv_python_preference", ValueKind::Text, Computed, "which interpreters uv prefers; none leaves that to uv"),
    key("only_groups", ValueKind::Set, Nothing, "install nothing but these dependency groups"),
    key("no_default_groups", ValueKind::Boolean, Computed, "leave the project's default dependency groups out"),
    key("uv_sync_flags", ValueKind::List, Nothing, "more options for `uv sync`"),
    key("uv_sync_locked", ValueKind::Boolean, True, "fail when the lock file does not fit the project any more"),
    // --- environments of scripts ---
    key("script", ValueKind::Text, Nothing, "the script of the environment, which says itself what it needs (PEP 723)"),
];
