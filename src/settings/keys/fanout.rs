//! The keys for choosing the environments that a change affects.

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::List;

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
];
