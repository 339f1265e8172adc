//! The keys that say what is locked.

use crate::settings::keys::DefaultValue::{Nothing, Text};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The rows about locks.
pub(super) const KEYS: &[SettingKey] = &[
    key(
        "locked",
        ValueKind::Boolean,
        Nothing,
        "in `[tox]`: install what `envo lock` wrote and nothing else, as with `--locked`",
    ),
    key("lock_dir", ValueKind::Path, Text("locks"), "in `[tox]`: the folder of lock files, relative to the root"),
    key(
        "platforms",
        ValueKind::List,
        Nothing,
        "the machines that a lock is for, such as linux or aarch64-apple-darwin; all by default",
    ),
];
