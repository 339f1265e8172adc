//! The keys for secrets.

use crate::settings::keys::DefaultValue::Nothing;
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::{Boolean, OptionalMapping};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key(
        "secrets",
        OptionalMapping,
        Nothing,
        "variables for the environment's commands whose values are fetched when they run, each a NAME = PROVIDER:ADDRESS",
    ),
    key("secrets_in_shell", Boolean, Nothing, "also give the secrets to a shell that `envo shell` starts"),
];
