//! The settings of the project, or of one environment.

use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;

use crate::error::{ConfigError, ErrorClass};
use crate::factor::ActiveFactors;
use crate::model::Runner;
use crate::settings::Settings;
use crate::settings::keys;
use crate::settings::loader::SectionLoader;
use crate::settings::nesting::{Nesting, Step};
use crate::settings::set_env::SetEnv;
use crate::settings::value::SettingValue;

/// The kind of a set, which determines its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    Core,
    Run,
    Pep517Package,
    CommandPackage,
}

impl SetKind {
    pub fn is_package(self) -> bool {
        matches!(self, Self::Pep517Package | Self::CommandPackage)
    }
}

pub struct ConfigSet {
    /// The environment's name; `None` for the project's own settings.
    pub name: Option<String>,
    /// The section as a key of the file (`testenv:py310`), whether it exists or not.
    pub section: String,
    pub kind: SetKind,
    values: Mutex<SetValues>,
    /// Values that override those in files.
    memory: Mutex<SetValues>,
    /// The runner, once it is known; most settings depend on it.
    runner: Mutex<Option<Option<Runner>>>,
    /// Keys that are being resolved, with the thread that resolves them.
    loading: Mutex<Vec<(ThreadId, &'static str)>>,
    pub(super) factors: OnceLock<ActiveFactors>,
    /// The set's own section, if it exists.
    pub(super) own_loaders: OnceLock<Vec<Arc<SectionLoader>>>,
    /// That section and those it inherits from.
    pub(super) loaders: OnceLock<Vec<Arc<SectionLoader>>>,
    pub(super) variables: OnceLock<Arc<SetEnv>>,
    pub(super) defined: OnceLock<Vec<&'static str>>,
}

/// Values by key. An environment has few and most runs need fewer, so the search is linear.
#[derive(Default)]
struct SetValues(Vec<(&'static str, SettingValue)>);

impl SetValues {
    fn get(&self, key: &'static str) -> Option<&SettingValue> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn set(&mut self, key: &'static str, value: SettingValue) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key, value)),
        }
    }
}

impl ConfigSet {
    pub(super) fn core(section: &str) -> Self {
        Self::new(None, section.to_owned(), SetKind::Core)
    }

    pub(super) fn environment(name: &str, section: String, kind: SetKind) -> Self {
        Self::new(Some(name.to_owned()), section, kind)
    }

    fn new(name: Option<String>, section: String, kind: SetKind) -> Self {
        Self {
            name,
            section,
            kind,
            values: Mutex::default(),
            memory: Mutex::default(),
            runner: Mutex::default(),
            loading: Mutex::default(),
            factors: OnceLock::new(),
            own_loaders: OnceLock::new(),
            loaders: OnceLock::new(),
            variables: OnceLock::new(),
            defined: OnceLock::new(),
        }
    }

    /// The environment's name, or tox's word for the project's settings in messages.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("core")
    }

    pub(super) fn cached(&self, key: &'static str) -> Option<SettingValue> {
        self.values.lock().get(key).cloned()
    }

    pub(super) fn known_runner(&self) -> Option<Option<Runner>> {
        *self.runner.lock()
    }

    pub(super) fn store_runner(&self, runner: Option<Runner>) {
        *self.runner.lock() = Some(runner);
    }

    pub(super) fn store(&self, key: &'static str, value: SettingValue) {
        self.values.lock().set(key, value);
    }

    pub(super) fn memory_value(&self, key: &'static str) -> Option<SettingValue> {
        self.memory.lock().get(key).cloned()
    }

    /// Marks a key as being resolved, until the mark is dropped.
    ///
    /// # Errors
    /// A cycle over defaults, which no trail shows. Keys that decide which other keys exist do not exist while they are
    /// being resolved themselves.
    pub(super) fn loading(&self, key: &'static str) -> Result<LoadingKey<'_>, ConfigError> {
        const DECISIVE: [&str; 3] = ["runner", "package", "skip_install"];
        const ROUNDS: usize = 3;
        let entry = (thread::current().id(), key);
        let mut loading = self.loading.lock();
        let rounds = loading.iter().filter(|one| **one == entry).count();
        if rounds > 0 && DECISIVE.contains(&key) {
            return Err(ConfigError::key(key));
        }
        if rounds >= ROUNDS {
            return Err(ConfigError::new(ErrorClass::Recursion, "maximum recursion depth exceeded"));
        }
        let nesting = Nesting::enter(Step::Value)?;
        loading.push(entry);
        Ok(LoadingKey { set: self, entry, _nesting: nesting })
    }

    /// Whether this thread is resolving the key.
    pub(super) fn is_loading(&self, key: &'static str) -> bool {
        self.loading.lock().contains(&(thread::current().id(), key))
    }

    /// Sets a value that overrides the files, also if the key was already resolved.
    pub fn set_in_memory(&self, key: &'static str, value: SettingValue) {
        self.memory.lock().set(key, value);
        self.values.lock().0.clear();
        *self.runner.lock() = None;
    }
}

/// While this exists, a key of a set is being resolved.
pub(super) struct LoadingKey<'a> {
    set: &'a ConfigSet,
    entry: (ThreadId, &'static str),
    _nesting: Nesting,
}

impl Drop for LoadingKey<'_> {
    fn drop(&mut self) {
        let mut loading = self.set.loading.lock();
        if let Some(at) = loading.iter().rposition(|one| *one == self.entry) {
            loading.remove(at);
        }
    }
}

impl Settings {
    /// The keys of the set, in the order of `config`. As in tox, the keys for packaging that an environment has depend on
    /// their values.
    pub fn defined_keys(&self, set: &ConfigSet) -> Result<Vec<&'static str>, ConfigError> {
        if let Some(found) = set.defined.get() {
            return Ok(found.clone());
        }
        let mut found = keys::always(set.kind, self.runner(set)?);
        if self.takes_package(set) {
            found.extend(self.packaging_keys(set)?);
        }
        Ok(set.defined.get_or_init(|| found).clone())
    }

    /// Whether `name`, in any spelling, is a key of the set.
    pub(super) fn defines(&self, set: &ConfigSet, name: &str) -> bool {
        let Some(key) = keys::find(name) else { return false };
        // As in tox, an environment has no other keys until its base is known.
        if set.is_loading("base") {
            return matches!(key.name, "base" | "set_env");
        }
        // The runner may depend on the value that is being resolved, so the keys of all runners are included.
        if keys::may_have(set.kind, key.name) {
            return true;
        }
        set.kind == SetKind::Run && self.packaging_keys(set).is_ok_and(|found| found.contains(&key.name))
    }

    /// Unused keys in the files, sorted. As in tox, sections that are only referred to are skipped.
    pub fn unused_keys(&self, set: &ConfigSet) -> Result<Vec<String>, ConfigError> {
        self.unused_keys_but(set, &[])
    }

    /// [`Self::unused_keys`], with `unread` as further unused keys.
    pub fn unused_keys_but(&self, set: &ConfigSet, unread: &[&str]) -> Result<Vec<String>, ConfigError> {
        let mut defined = self.defined_keys(set)?;
        defined.retain(|key| !unread.contains(key));
        let Some(document) = self.ini() else { return self.unused_toml_keys(set, &defined) };
        let mut unused: Vec<String> = Vec::new();
        // Each loader's parent is the next one, so only the first one found counts.
        if let Some(section) = self.loaders(set)?.first().and_then(|loader| loader.file_section.as_deref()) {
            let own = document.section(section).map_or(&[][..], |section| &section.entries);
            for entry in own.iter().chain(&document.defaults.entries) {
                if !is_known(&defined, &entry.key) {
                    unused.push(entry.key.to_string());
                }
            }
        }
        unused.sort();
        unused.dedup();
        Ok(unused)
    }
}

/// Whether a key belongs to the set, or is one that tox does not have.
pub(super) fn is_known(defined: &[&str], name: &str) -> bool {
    keys::find(name).is_some_and(|key| defined.contains(&key.name) || keys::is_own(key.name))
}
