//! The keys for locks.

use crate::settings::keys::DefaultValue::{Nothing, Text};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::{Boolean, List, Path};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("locked", Boolean, Nothing, "in `[tox]`: install exactly the locked packages, as with `--locked`"),
    key("lock_dir", Path, Text("locks"), "in `[tox]`: the folder of lock files, relative to the root"),
    key("platforms", List, Nothing, "the platforms to lock for, such as linux or aarch64-apple-darwin; all by default"),
];
