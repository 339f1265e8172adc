//! The keys that say what is locked.

use crate::settings::keys::Initial::{Nothing, Text};
use crate::settings::keys::{Key, key};
use crate::settings::value::Kind;

/// The rows about locks.
pub(super) const KEYS: &[Key] = &[
    key(
        "locked",
        Kind::Boolean,
        Nothing,
        "in `[tox]`: install what `envo lock` wrote and nothing else, as with `--locked`",
    ),
    key("lock_dir", Kind::Path, Text("locks"), "in `[tox]`: the folder of lock files, relative to the root"),
    key(
        "platforms",
        Kind::List,
        Nothing,
        "the machines that a lock is for, such as linux or aarch64-apple-darwin; all by default",
    ),
];
