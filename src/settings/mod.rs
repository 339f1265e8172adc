//! Resolves raw text to typed values: factors, substitution, inheritance and overrides.
//!
//! [`Settings`] is the whole configuration; a [`ConfigSet`] is the project's part of it or an environment's. A value is
//! resolved on first use, with its location and trail for errors. Defaults are in [`defaults`].

mod activation;
pub mod base_python;
pub mod check;
pub mod config_set;
mod constants;
pub mod convert;
mod defaults;
mod definitions;
mod descriptions;
pub mod dotenv;
pub mod env_file;
pub mod expand;
pub mod external_values;
pub mod keys;
mod layers;
mod loader;
mod lookup;
mod nesting;
mod overrides;
pub mod plugins;
mod post_process;
mod runners;
mod runtimes;
pub mod schema;
mod secrets;
mod service;
mod set_env;
pub mod toml;
pub mod translate;
pub mod value;
mod value_location;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::cli::options::{EnvironmentChoice, Options};
use crate::error::{ConfigError, ErrorClass, Location};
use crate::factor;
use crate::model::InterpreterLookup;
use crate::settings::toml::EnvTemplates;
use crate::source::{ConfigDocument, ConfigSource, IniDocument, IniEntry, ReferencedValue, TomlDocument, TomlValue};
use config_set::{ConfigSet, SetKind};
use expand::Trail;
use keys::SettingKey;
use loader::SectionLoader;
use overrides::Overrides;
use value::SettingValue;

pub use activation::{activation_variables, pulled_in_files};
pub use defaults::{own_keys, service_keys};
pub use secrets::names_secrets;
pub use service::{asks_for_services, ensure_env_files};

/// The prefix of environments' sections.
pub const TEST_PREFIX: &str = "testenv";
/// The section that packaging environments inherit from.
pub const PACKAGE_BASE: &str = "pkgenv";

/// A project's configuration and the options of the command line.
pub struct Settings {
    pub source: ConfigSource,
    pub options: Arc<Options>,
    pub interpreters: Arc<dyn InterpreterLookup>,
    overrides: Overrides,
    root: PathBuf,
    /// Environment name → the sections whose header expands to it, in the order of the file.
    generated: FxHashMap<String, Vec<String>>,
    core: ConfigSet,
    facts: ProjectFacts,
    /// Packaging environments that uv creates.
    uv_packagers: Mutex<std::collections::HashSet<String>>,
    templates: EnvTemplates,
    environments: Mutex<FxHashMap<String, Arc<ConfigSet>>>,
    /// The sections for a name in `base`.
    bases: Mutex<FxHashMap<String, Arc<[Arc<SectionLoader>]>>>,
    warnings: Mutex<Vec<String>>,
    /// The settings for texts with fields, if they differ; see [`external_values`].
    marked: OnceLock<Option<Arc<Settings>>>,
    /// Set where these are such settings.
    marks_outside: OnceLock<()>,
}

/// Values of the whole project that are computed on first use.
pub struct ProjectFacts {
    default_runner: OnceLock<String>,
    /// Whether the project has a file that defines its packaging.
    is_packaged: OnceLock<bool>,
    declared: OnceLock<Vec<String>>,
}

impl Settings {
    pub fn new(
        source: ConfigSource,
        options: Arc<Options>,
        interpreters: Arc<dyn InterpreterLookup>,
    ) -> Result<Arc<Self>, ConfigError> {
        let overrides = Overrides::parse(&options.project.overrides).map_err(ConfigError::handled)?;
        let folder = source.path.parent().map(Path::to_owned).unwrap_or_default();
        let root = options.project.root_dir.as_ref().map_or(folder, |root| options.process.current_dir.join(root));
        let root = root.canonicalize().unwrap_or(root);
        let core = ConfigSet::core(core_section(&source));
        let templates = match &source.document {
            ConfigDocument::Ini(_) => EnvTemplates::default(),
            ConfigDocument::Toml(document) => {
                EnvTemplates::of(document).map_err(|error| value_location::at_part(&source, error))?
            }
        };
        let generated = generated_sections(&source);
        Ok(Arc::new(Self {
            source,
            options,
            interpreters,
            overrides,
            root,
            generated,
            core,
            facts: ProjectFacts {
                default_runner: OnceLock::new(),
                is_packaged: OnceLock::new(),
                declared: OnceLock::new(),
            },
            uv_packagers: Mutex::default(),
            templates,
            environments: Mutex::default(),
            bases: Mutex::default(),
            warnings: Mutex::default(),
            marked: OnceLock::new(),
            marks_outside: OnceLock::new(),
        }))
    }

    pub fn core(&self) -> &ConfigSet {
        &self.core
    }

    /// The settings of an environment; a run environment unless it was already defined as another kind.
    pub fn environment(&self, name: &str) -> Arc<ConfigSet> {
        self.environment_of_kind(name, SetKind::Run)
    }

    /// The settings of an environment, for reading a few of them. They are not cached, so that thousands of environments
    /// take the memory of one.
    pub fn glance(&self, name: &str) -> Arc<ConfigSet> {
        let known = self.environments.lock().get(name).map(Arc::clone);
        known.unwrap_or_else(|| Arc::new(self.fresh(name, SetKind::Run)))
    }

    fn fresh(&self, name: &str, kind: SetKind) -> ConfigSet {
        ConfigSet::environment(name, self.environment_section(name), kind)
    }

    /// The settings of an environment, created with `kind` if they do not exist.
    pub fn environment_of_kind(&self, name: &str, kind: SetKind) -> Arc<ConfigSet> {
        let mut known = self.environments.lock();
        if let Some(set) = known.get(name) {
            return Arc::clone(set);
        }
        let set = Arc::new(self.fresh(name, kind));
        known.insert(name.to_owned(), Arc::clone(&set));
        set
    }

    /// Changes the kind of an environment.
    pub fn redefine(&self, name: &str, kind: SetKind) -> Arc<ConfigSet> {
        let fresh = Arc::new(self.fresh(name, kind));
        self.environments.lock().insert(name.to_owned(), Arc::clone(&fresh));
        fresh
    }

    /// A value of the project or of an environment.
    pub fn value(&self, set: &ConfigSet, name: &str) -> Result<SettingValue, ConfigError> {
        let key = keys::find(name).ok_or_else(|| ConfigError::key(name))?;
        self.load(set, key, &Trail::default())
    }

    pub(crate) fn load(
        &self,
        set: &ConfigSet,
        key: &'static SettingKey,
        trail: &Trail,
    ) -> Result<SettingValue, ConfigError> {
        if let Some(value) = set.cached(key.name) {
            return Ok(value);
        }
        // Kept until the error has its place, which is looked for in what `base` names.
        let _loading = set.loading(key.name)?;
        let value = self.work_out(set, key, trail).map_err(|error| self.located(error, set, key))?;
        set.store(key.name, value.clone());
        Ok(value)
    }

    fn work_out(&self, set: &ConfigSet, key: &'static SettingKey, trail: &Trail) -> Result<SettingValue, ConfigError> {
        let value = match set.memory_value(key.name) {
            Some(value) => value,
            // Its variables are resolved one by one.
            None if key.kind == value::ValueKind::Variables => SettingValue::Variables(Vec::new()),
            None if key.initial == keys::DefaultValue::Constant => self.constant(set, key)?,
            None => match self.load_written(set, key, trail)? {
                Some(value) => value,
                None => self.default_value(set, key)?,
            },
        };
        self.post_process(set, key, value)
    }

    /// The error with the location of its value, unless it has a more precise one.
    fn located(&self, mut error: ConfigError, set: &ConfigSet, key: &'static SettingKey) -> ConfigError {
        if error.location.is_some() || !matches!(error.class, ErrorClass::Handled | ErrorClass::Fail) {
            return error;
        }
        let Ok(Some(place)) = self.location_of(set, key.name) else { return error };
        if error.trail.is_empty() {
            error.trail.push(format!("{}.{}", set.label(), key.name));
        }
        self.at_value(error, Some(place))
    }

    /// All environment names of the configuration, in tox's order: `env_list`, then sections, then those that conditions
    /// mention.
    pub fn declared_names(&self) -> Result<&[String], ConfigError> {
        if let Some(names) = self.facts.declared.get() {
            return Ok(names);
        }
        let mut names = self.find_names()?;
        names.extend(self.options.project.packaged.iter().map(|one| one.name.clone()));
        Ok(self.facts.declared.get_or_init(|| names))
    }

    /// Names of all sections of environments, expanded.
    pub fn section_names(&self) -> FxHashSet<&str> {
        let plain = self.ini().into_iter().flat_map(|document| &document.sections);
        let plain = plain.filter_map(|section| section.name.strip_prefix("testenv:"));
        let environments = self.toml().and_then(|document| document.table().get(toml::ENV)?.as_table());
        let tables = environments.into_iter().flat_map(TomlValue::keys);
        plain.chain(self.generated.keys().map(String::as_str)).chain(tables).collect()
    }

    pub fn is_declared(&self, name: &str) -> bool {
        self.declared_names().is_ok_and(|names| names.iter().any(|declared| declared == name))
    }

    /// Whether tox can answer for a key of an environment: one that neither the configuration nor the command line names has
    /// hardly any.
    pub(crate) fn has_settings(&self, environment: &str, key: &str) -> bool {
        if self.environment(environment).is_loading("base") {
            return matches!(key, "set_env" | "setenv" | "base");
        }
        let asked = match &self.options.selection.environments {
            EnvironmentChoice::Named(names) => names.iter().any(|name| name == environment),
            _ => false,
        };
        asked
            || matches!(key, "set_env" | "setenv" | "base")
            || self.is_declared(environment)
            || self.environment(environment).kind.is_package()
    }

    fn find_names(&self) -> Result<Vec<String>, ConfigError> {
        let SettingValue::Environments(explicit) = self.value(&self.core, "env_list")? else { return Ok(Vec::new()) };
        let mut names = DefinedNames::default();
        explicit.into_iter().for_each(|name| names.add(name));
        let Some(document) = self.ini() else {
            self.toml_names(&mut names)?;
            return Ok(names.ordered);
        };
        for header in document.sections.iter().filter_map(|section| section.name.strip_prefix("testenv:")) {
            let written_out = factor::expand_environments(header).map_err(|error| match error.class {
                ErrorClass::Handled => error.at(self.header_place(header)),
                _ => ConfigError::value(error.message),
            })?;
            written_out.into_iter().for_each(|name| names.add(name));
            if names.ordered.len() > factor::MOST_NAMES {
                return Err(factor::too_many(header).at(self.header_place(header)));
            }
        }
        let known: FxHashSet<&str> = names.ordered.iter().flat_map(|name| name.split('-')).collect();
        let mut mentioned: Vec<String> = Vec::new();
        let mut scan = |entry: &IniEntry| {
            let mut add = |name| mentioned.push(name);
            factor::mentioned_environments(&entry.value, &|factor| known.contains(factor), &mut add)
                .map_err(|error| error.at(self.entry_location(entry)))
        };
        // The defaults show in every section, and say the same in each.
        let mut defaults = Some(&document.defaults);
        for section in document.sections.iter().filter(|section| self.is_tox_section(&section.name)) {
            section.entries.iter().try_for_each(&mut scan)?;
            defaults.take().into_iter().flat_map(|section| &section.entries).try_for_each(&mut scan)?;
        }
        mentioned.into_iter().for_each(|name| names.add(name));
        Ok(names.ordered)
    }

    fn header_place(&self, header: &str) -> Location {
        let section = self.ini().and_then(|document| document.section(&format!("{TEST_PREFIX}:{header}")));
        let line = section.map_or(0, |section| section.line) + self.source.lines_before;
        Location { file: self.source.path.clone(), line, column: 1, length: 1 }
    }

    fn toml_names(&self, names: &mut DefinedNames) -> Result<(), ConfigError> {
        let Some(document) = self.toml() else { return Ok(()) };
        let environments = document.table().get(toml::ENV);
        if let Some(environments) = environments.and_then(TomlValue::as_table) {
            environments.keys().for_each(|name| names.add(name.to_owned()));
        }
        if let Some(other) = environments.filter(|environments| !environments.is_table()) {
            if let Some(entries) = other.array() {
                for entry in entries {
                    let name = entry.as_str().ok_or_else(|| {
                        let message = format!("Environment key must be string, got {}", entry.to_value());
                        self.at_part(ConfigError::handled(message).in_part(entry.span()))
                    })?;
                    names.add(name.to_owned());
                }
            } else if let Some(letters) = other.as_str() {
                letters.chars().for_each(|letter| names.add(letter.to_string()));
            } else {
                let message = format!("'{}' object is not iterable", toml::convert::python_type(other));
                let error = self.at_part(toml::convert::wrong(other, message));
                return Err(error.hint("`env` is the table of environments: write `[env.NAME]`"));
            }
        }
        self.templates.environments.iter().for_each(|(name, _)| names.add(name.clone()));
        Ok(())
    }

    /// The section of an environment, as keys of the file write it.
    pub fn environment_section(&self, name: &str) -> String {
        match &self.source.document {
            ConfigDocument::Ini(_) => format!("{TEST_PREFIX}:{name}"),
            ConfigDocument::Toml(document) => toml_section(document, &[toml::ENV, name]),
        }
    }

    /// Sections whose conditions can mention environments.
    fn is_tox_section(&self, name: &str) -> bool {
        let core = self.source.format.core_section();
        name == core || name == TEST_PREFIX || name.starts_with("testenv:")
    }

    pub(crate) fn ini(&self) -> Option<&IniDocument> {
        match &self.source.document {
            ConfigDocument::Ini(document) => Some(document),
            ConfigDocument::Toml(_) => None,
        }
    }

    pub(crate) fn toml(&self) -> Option<&TomlDocument> {
        match &self.source.document {
            ConfigDocument::Ini(_) => None,
            ConfigDocument::Toml(document) => Some(document),
        }
    }

    /// A raw value from anywhere in a TOML file. Values that are not tables on its path are warned about.
    ///
    /// # Errors
    /// If it does not exist; the message is the key as Python shows a missing one.
    pub(crate) fn raw_from_root(&self, path: &[String]) -> Result<&TomlValue, ConfigError> {
        let missing = |key: &str| ConfigError::value(crate::python_text::python_repr(key));
        let Some(document) = self.toml() else { return Err(missing("")) };
        match document.get_from_root(path) {
            ReferencedValue::Value(value) => Ok(value),
            ReferencedValue::Missing { step } => Err(missing(&step)),
            ReferencedValue::Blocked { step, value } => {
                let shown = crate::python_text::repr(&value.to_value());
                let message = format!("Failed to load key {step} as not dictionary {shown}");
                self.warn(message.clone());
                Err(missing(&message))
            }
        }
    }

    /// A raw value from anywhere in a TOML file, with the overrides that name it.
    pub(crate) fn toml_from_root(&self, path: &[String]) -> Result<TomlValue, ConfigError> {
        let mut found = self.raw_from_root(path)?.clone();
        let (Some(key), section) = (path.last(), path[..path.len().saturating_sub(1)].join(".")) else {
            return Err(ConfigError::key(""));
        };
        for one in self.overrides.of_section(&section).iter().filter(|one| one.key == *key) {
            found = toml::load::override_raw(found, one)?;
        }
        Ok(found)
    }

    pub(crate) fn warn(&self, text: String) {
        self.warnings.lock().push(text);
    }

    /// The parts that are needed several times.
    pub(crate) fn warn_once(&self, text: String) {
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// The warnings about values that were resolved since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }

    /// The canonical folder that relative settings start from before `tox_root` is known.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// A section below tox's own table, with the table's own path before it.
pub(crate) fn toml_section(document: &TomlDocument, path: &[&str]) -> String {
    let steps: Vec<&str> = document.prefix.iter().chain(path).copied().collect();
    steps.join(".")
}

fn core_section(source: &ConfigSource) -> &'static str {
    match &source.document {
        ConfigDocument::Ini(_) => source.format.core_section(),
        ConfigDocument::Toml(_) => "",
    }
}

#[derive(Default)]
struct DefinedNames {
    ordered: Vec<String>,
    seen: FxHashSet<String>,
}

impl DefinedNames {
    fn add(&mut self, name: String) {
        if !self.seen.contains(&name) {
            self.seen.insert(name.clone());
            self.ordered.push(name);
        }
    }
}

fn generated_sections(source: &ConfigSource) -> FxHashMap<String, Vec<String>> {
    let mut generated: FxHashMap<String, Vec<String>> = FxHashMap::default();
    let ConfigDocument::Ini(document) = &source.document else { return generated };
    for (at, section) in document.sections.iter().enumerate() {
        let Some(header) = section.name.strip_prefix("testenv:") else { continue };
        if !header.contains(['{', ',']) {
            // Plain names find their section without this table, unless a generative one came first.
            if let Some(sections) = generated.get_mut(header) {
                sections.push(section.name.clone());
            }
            continue;
        }
        if generated.len() > factor::MOST_NAMES {
            // Reading the names returns an error.
            break;
        }
        for name in factor::expand_environments(header).unwrap_or_default() {
            let plain = format!("testenv:{name}");
            let sections = generated.entry(name).or_default();
            if sections.is_empty() && document.position(&plain).is_some_and(|position| position < at) {
                sections.push(plain);
            }
            sections.push(section.name.clone());
        }
    }
    generated
}
