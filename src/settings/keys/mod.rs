//! The table of all setting keys. Lookup, `config`, warnings about unused keys, suggestions and the reference docs use it.
//! Each file holds one part of the rows; `shown` lists the keys of each kind of environment.
//! <https://tox.wiki/en/4.67.15/reference/config.html>

mod environment;
mod fanout;
mod lock;
mod pack;
mod packaging;
mod project;
mod runtime;
mod secrets;
mod service;
mod shown;
mod uv;

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

pub use shown::{CORE, always, may_have};

use crate::settings::config_set::SetKind;
use crate::settings::value::ValueKind;

/// The value of a key that is not set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// Empty, false or absent, depending on the kind.
    Nothing,
    True,
    Text(&'static str),
    Number(f64),
    /// Computed from other settings (`defaults`).
    Computed,
    /// Never read from a file; a constant in tox.
    Constant,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct SettingKey {
    pub name: &'static str,
    /// Older spellings.
    pub aliases: &'static [&'static str],
    pub kind: ValueKind,
    pub initial: DefaultValue,
    pub doc: &'static str,
}

impl SettingKey {
    /// The kind of the key's value in a set: `labels` maps labels to environments in `[tox]`, and lists labels elsewhere.
    pub fn kind_in(&self, set: SetKind) -> ValueKind {
        match self.kind {
            ValueKind::Labels if set != SetKind::Core => ValueKind::Set,
            kind => kind,
        }
    }

    /// The name and the older spellings.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The older spellings the key has in a set: only the project's `package_env` has one.
    pub fn aliases_in(&self, set: SetKind) -> &'static [&'static str] {
        if self.name == "package_env" && set != SetKind::Core { &[] } else { self.aliases }
    }
}

const fn key(name: &'static str, kind: ValueKind, initial: DefaultValue, doc: &'static str) -> SettingKey {
    SettingKey { name, aliases: &[], kind, initial, doc }
}

const fn aliased(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: ValueKind,
    initial: DefaultValue,
    doc: &'static str,
) -> SettingKey {
    SettingKey { name, aliases, kind, initial, doc }
}

/// tox's keys, in the order of the reference docs.
const OF_TOX: [&[SettingKey]; 4] = [project::KEYS, environment::KEYS, uv::KEYS, packaging::KEYS];

/// The keys that tox does not have; `config` shows them only if they are used.
const OWN: [&[SettingKey]; 7] =
    [runtime::INSTALLING, service::KEYS, secrets::KEYS, runtime::KEYS, lock::KEYS, pack::KEYS, fanout::KEYS];

/// All keys, tox's first.
pub fn all() -> impl Iterator<Item = &'static SettingKey> {
    OF_TOX.into_iter().flatten().chain(own())
}

/// All keys that tox does not have.
pub fn own() -> impl Iterator<Item = &'static SettingKey> {
    OWN.into_iter().flatten()
}

/// The keys of services.
pub fn of_services() -> impl Iterator<Item = &'static SettingKey> {
    service::KEYS.iter()
}

/// The keys for the languages of an environment.
pub fn of_runtimes() -> impl Iterator<Item = &'static SettingKey> {
    runtime::KEYS.iter()
}

/// The current and the older spellings of every key.
pub fn spellings() -> impl Iterator<Item = &'static str> {
    all().flat_map(SettingKey::spellings)
}

/// Whether tox does not have the key.
pub fn is_own(name: &str) -> bool {
    own().any(|key| key.name == name)
}

/// The key of that name or older spelling.
pub fn find(name: &str) -> Option<&'static SettingKey> {
    BY_SPELLING.get(name).copied()
}

static BY_SPELLING: LazyLock<FxHashMap<&'static str, &'static SettingKey>> =
    LazyLock::new(|| all().flat_map(|key| key.spellings().map(move |spelling| (spelling, key))).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_means_two_keys() {
        let mut seen = std::collections::HashSet::new();
        for name in spellings() {
            assert!(seen.insert(name), "{name} is listed twice");
        }
    }
}
