//! What tox-uv adds to environments, and what environments of scripts have.

use crate::settings::keys::Initial::{Computed, Nothing, True};
use crate::settings::keys::{Key, key};
use crate::settings::value::Kind;

/// The table's rows.
pub(super) const KEYS: &[Key] = &[
    key("uv_resolution", Kind::Text, Nothing, "how uv chooses versions: highest, lowest or lowest-direct"),
    key(
        "uv_seed",
        Kind::Boolean,
        Nothing,
        "put pip, and for old interpreters setuptools and wheel, into the environment",
    ),
    key("uv_python_preference", Kind::Text, Computed, "which interpreters uv prefers; none leaves that to uv"),
    key("only_groups", Kind::Set, Nothing, "install nothing but these dependency groups"),
    key("no_default_groups", Kind::Boolean, Computed, "leave the project's default dependency groups out"),
    key("uv_sync_flags", Kind::List, Nothing, "more options for `uv sync`"),
    key("uv_sync_locked", Kind::Boolean, True, "fail when the lock file does not fit the project any more"),
    // --- environments of scripts ---
    key("script", Kind::Text, Nothing, "the script of the environment, which says itself what it needs (PEP 723)"),
];
