//! The keys for choosing the environments that a change affects, and for environments that run at the same time.

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::{Boolean, List};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key(
        "inputs",
        List,
        Nothing,
        "the files whose changes affect the environment (`--affected`), in the syntax of .gitignore; by default all but documentation",
    ),
    key(
        "inputs_exclude",
        List,
        Nothing,
        "files whose changes do not affect the environment, in the syntax of .gitignore",
    ),
    key(
        "parallel_share_cores",
        Boolean,
        Nothing,
        "in parallel runs, limit the workers of `pytest -n auto` to the environment's share of the processors",
    ),
];
