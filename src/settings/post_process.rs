//! Completes and checks a value after it was read: makes relative paths absolute, adds the fixed entries of lists, finds
//! contradictions.

use std::path::PathBuf;

use crate::error::{ConfigError, ErrorClass, Location};
use crate::model::pep508::Requirement;
use crate::model::requirements::RequirementText;
use crate::model::{Command, PythonSpec};
use crate::python_text::glob_paths;
use crate::python_text::path::normalized;
use crate::python_text::python_repr;
use crate::requirements::{RequirementKind, check_form, display_lines};
use crate::settings::Settings;
use crate::settings::base_python;
use crate::settings::config_set::ConfigSet;
use crate::settings::convert::sorted;
use crate::settings::keys::SettingKey;
use crate::settings::loader::{failed_to_load, may_refer, spellings};
use crate::settings::runners::{UV_PACKAGE_KINDS, checked_locked_package, checked_resolution};
use crate::settings::toml::load::toml_entry;
use crate::settings::toml::location::location_of;
use crate::settings::value::{IniValue, SettingValue};
use crate::source::{IniEntry, TomlValue};

/// Variables that every environment passes on.
const PASSED: &[&str] = &[
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "LANG",
    "LANGUAGE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CC",
    "CFLAGS",
    "CCSHARED",
    "CXX",
    "CPPFLAGS",
    "LD_LIBRARY_PATH",
    "LDFLAGS",
    "HOME",
    "FORCE_COLOR",
    "NO_COLOR",
    "NETRC",
    "PYTHON_GIL",
    "TMPDIR",
    "NIX_LD",
    "NIX_LD_LIBRARY_PATH",
    "SSH_AGENT_PID",
    "SSH_AUTH_SOCK",
    "PKG_CONFIG",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_SYSROOT_DIR",
    "REQUESTS_CA_BUNDLE",
];
/// Variables of the programs that create environments and install packages.
const PASSED_TO_PIP: &[&str] = &["PIP_*", "VIRTUALENV_*"];
const PASSED_TO_UV: &[&str] = &["UV_*", "VIRTUALENV_SYSTEM_SITE_PACKAGES"];
/// Variables that are passed on to a terminal only.
const PASSED_TO_TERMINAL: &[&str] = &["TERM", "TERMINFO"];

pub(super) const PACKAGE_KINDS: [&str; 8] =
    ["wheel", "sdist", "sdist-wheel", "editable", "editable-legacy", "deps-only", "skip", "external"];

impl Settings {
    pub(super) fn post_process(
        &self,
        set: &ConfigSet,
        key: &'static SettingKey,
        value: SettingValue,
    ) -> Result<SettingValue, ConfigError> {
        Ok(match (key.name, value) {
            ("tox_root", SettingValue::Path(path)) => SettingValue::Path(self.root().join(path)),
            ("work_dir", SettingValue::Path(path)) => SettingValue::Path(self.work_dir(path)?),
            // tox-uv shows it as it is written.
            ("package_root", value) if self.is_locked(set) => value,
            (
                "package_root" | "temp_dir" | "env_dir" | "env_tmp_dir" | "env_log_dir" | "meta_dir" | "pkg_dir",
                SettingValue::Path(path),
            ) => SettingValue::Path(self.tox_root()?.join(path)),
            ("change_dir", SettingValue::Path(path)) if path.is_relative() => {
                let full = self.tox_root()?.join(path);
                SettingValue::Path(full.canonicalize().unwrap_or_else(|_| normalized(&full)))
            }
            ("description", SettingValue::Text(text)) => SettingValue::Text(one_line(&text)),
            ("pass_env", SettingValue::List(entries)) => SettingValue::List(self.passed(set, entries)?),
            ("set_env", _) => {
                let mut variables = self.all_variables(set, &crate::settings::Trail::default())?;
                variables.sort();
                SettingValue::Variables(variables)
            }
            ("skip_missing_interpreters", SettingValue::Boolean(flag)) => {
                SettingValue::Boolean(self.skip_missing(flag))
            }
            ("install_command", SettingValue::Command(command)) => {
                SettingValue::Command(self.with_options(set, command)?)
            }
            ("base_python", SettingValue::List(specs)) => SettingValue::List(self.checked_base_python(set, specs)?),
            // uv knows groups under the names that are written.
            ("dependency_groups", value) if self.is_locked(set) => value,
            ("extras" | "dependency_groups", SettingValue::Set(names)) => {
                SettingValue::Set(sorted(names.iter().map(|name| normalize_name(name)).collect()))
            }
            ("uv_resolution", SettingValue::Text(value)) => checked_resolution(value)?,
            ("uv_python_preference", SettingValue::Text(value)) => {
                SettingValue::Text(self.checked_preference(set, &value)?)
            }
            ("package", SettingValue::Text(kind)) if self.is_locked(set) => {
                SettingValue::Text(checked_locked_package(set, kind)?)
            }
            ("package", SettingValue::Text(kind)) => SettingValue::Text(self.package_kind(set, kind)?),
            ("package_glob", SettingValue::Text(pattern)) => {
                SettingValue::Text(glob_paths::absolute(&self.tox_root()?, &pattern))
            }
            ("requires", SettingValue::List(requires)) => SettingValue::List(self.with_tox(requires)?),
            ("pylock", SettingValue::Text(path)) => self.checked_pylock(set, path)?,
            ("system_site_packages", SettingValue::Boolean(flag)) => {
                SettingValue::Boolean(flag || self.options.run.legacy.site_packages)
            }
            ("always_copy", SettingValue::Boolean(flag)) => {
                SettingValue::Boolean(flag || self.options.run.legacy.always_copy)
            }
            (_, value) => value,
        })
    }

    fn work_dir(&self, configured: PathBuf) -> Result<PathBuf, ConfigError> {
        match &self.options.project.work_dir {
            Some(folder) => {
                let full = self.options.process.current_dir.join(folder);
                Ok(full.canonicalize().unwrap_or_else(|_| normalized(&full)))
            }
            None => Ok(self.tox_root()?.join(configured)),
        }
    }

    fn always_passed(&self, set: &ConfigSet) -> impl Iterator<Item = &'static &'static str> {
        PASSED.iter().chain(if self.uses_uv(set) { PASSED_TO_UV } else { PASSED_TO_PIP })
    }

    fn passed(&self, set: &ConfigSet, entries: Vec<String>) -> Result<Vec<String>, ConfigError> {
        let terminal = if self.options.process.stdout_is_terminal { PASSED_TO_TERMINAL } else { &[] };
        let own = self.always_passed(set).chain(terminal).map(|name| (*name).to_owned());
        let all = sorted(entries.into_iter().chain(own).collect());
        let invalid: Vec<String> =
            all.iter().filter(|name| name.contains(char::is_whitespace)).map(|name| python_repr(name)).collect();
        if invalid.is_empty() {
            return Ok(all);
        }
        Err(ConfigError::fail(format!(
            "pass_env values cannot contain whitespace, use comma to have multiple values in a single line, invalid \
             values found {}",
            invalid.join(", ")
        )))
    }

    /// Finds what is wrong with `pass_env`. Most values are plain, which shows without working them out for every
    /// environment.
    pub fn check_pass_env(&self, set: &ConfigSet) -> Result<(), ConfigError> {
        match crate::settings::keys::find("pass_env") {
            Some(key) if self.is_plainly_right(set, key)? => Ok(()),
            _ => self.value(set, "pass_env").map(drop),
        }
    }

    /// Whether a list obviously has no entry with spaces: no override or substitution changes it, or the file has no such
    /// entry.
    fn is_plainly_right(&self, set: &ConfigSet, key: &'static SettingKey) -> Result<bool, ConfigError> {
        if set.memory_value(key.name).is_some() {
            return Ok(false);
        }
        for loader in self.loaders(set)?.iter().filter(|loader| self.mentions(loader, key)) {
            if self.overrides_of(loader, key).next().is_some() {
                return Ok(false);
            }
            if let Some(document) = self.toml() {
                let written = spellings(key).find_map(|spelling| toml_entry(document, loader, spelling));
                return Ok(written.is_some_and(has_plain_entries));
            }
            for entry in spellings(key).filter_map(|spelling| self.entry(loader, spelling)) {
                if let Some(raw) = self.process_raw(set, &entry.value)? {
                    return Ok(is_plain_list(&raw));
                }
            }
        }
        Ok(true)
    }

    /// Puts `--pre` where `{opts}` stands, or takes that away.
    fn with_options(&self, set: &ConfigSet, mut command: Command) -> Result<Command, ConfigError> {
        if self.uses_uv(set) {
            let options = self.uv_options(set)?;
            let at = command.argv.iter().position(|word| word == "{opts}");
            let place = at.map_or(command.argv.len()..command.argv.len(), |at| at..at + 1);
            command.argv.splice(place, options);
            return Ok(command);
        }
        let pre = self.boolean(set, "pip_pre")?;
        match command.argv.iter().position(|word| word == "{opts}") {
            Some(at) if pre => command.argv[at] = "--pre".to_owned(),
            Some(at) => {
                command.argv.remove(at);
            }
            None if pre => command.argv.push("--pre".to_owned()),
            None => {}
        }
        Ok(command)
    }

    fn checked_base_python(&self, set: &ConfigSet, specs: Vec<String>) -> Result<Vec<String>, ConfigError> {
        let explicit = self.says(set, "base_python")?;
        let specs: Vec<String> = specs.into_iter().filter(|spec| !spec.trim().is_empty()).collect();
        if explicit && !self.list(set, "base_python_file")?.is_empty() {
            return Err(ConfigError::fail("cannot set both base_python and base_python_file"));
        }
        let name = set.label();
        if explicit && specs.is_empty() {
            return Err(ConfigError::fail(format!("base_python for env {name} is empty")));
        }
        let ignore = self.boolean(self.core(), "ignore_base_python_conflict")?;
        let by_name = match base_python::of_environment(name) {
            Ok(Some(by_name)) => by_name,
            Ok(None) => return Ok(specs),
            Err(_) if ignore => return Ok(specs),
            Err(conflict) => return Err(conflict),
        };
        let wanted = PythonSpec::parse(&by_name);
        for spec in &specs {
            if self.conflicts(&wanted, spec)? {
                if ignore {
                    return Ok(vec![by_name]);
                }
                return Err(ConfigError::fail(format!("env name {name} conflicting with base python {spec}")));
            }
        }
        Ok(specs)
    }

    fn conflicts(&self, wanted: &PythonSpec, spec: &str) -> Result<bool, ConfigError> {
        let given = PythonSpec::parse(spec);
        let Some(path) = &given.path else { return Ok(base_python::conflict(wanted, &given)) };
        if let Some(interpreter) = self.interpreters.find(&[spec.to_owned()]) {
            return Ok(!wanted.fits(&interpreter));
        }
        let path = self.options.process.current_dir.join(path);
        if path.exists() {
            return Ok(false);
        }
        let message = format!("failed to query {} with code 2 err: 'No such file or directory'", path.display());
        Err(ConfigError::new(ErrorClass::Runtime, message))
    }

    /// Finds what keeps the interpreter of an environment from being looked for: a wrong `base_python`, and wrong variables,
    /// which tox hands to virtualenv. Only what is written is worked out.
    pub fn check_interpreter_request(&self, set: &ConfigSet) -> Result<(), ConfigError> {
        self.check_base_python(set)?;
        self.check_pass_env(set)?;
        self.check_set_env(set)?;
        for name in ["system_site_packages", "always_copy", "download"] {
            if !self.uses_uv(set) && self.is_written(set, name)? {
                self.value(set, name)?;
            }
        }
        Ok(())
    }

    fn check_base_python(&self, set: &ConfigSet) -> Result<(), ConfigError> {
        let is_written = |name| self.is_written(set, name);
        if base_python::asks_twice(set.label())
            || is_written("base_python")?
            || is_written("base_python_file")?
            || is_written("default_base_python")?
        {
            self.value(set, "base_python")?;
        }
        Ok(())
    }

    /// Whether a file, an override or a command says anything about the key for this set.
    pub(super) fn says(&self, set: &ConfigSet, name: &str) -> Result<bool, ConfigError> {
        let Some(key) = crate::settings::keys::find(name) else { return Ok(false) };
        Ok(set.memory_value(key.name).is_some() || self.first_mention(set, key)?.is_some())
    }

    /// Where the value that counts for this set was written; `None` where that is no file.
    pub fn location_of(&self, set: &ConfigSet, name: &str) -> Result<Option<Location>, ConfigError> {
        let Some(key) = crate::settings::keys::find(name) else { return Ok(None) };
        if self.toml().is_some() {
            return self.location_in_tables(set, key);
        }
        let found = self.first_mention(set, key)?.flatten();
        Ok(found.map(|entry| self.entry_location(entry)))
    }

    /// Where the environment's value for a key was written; `None` also when that cannot be told.
    pub fn written_at(&self, environment: &str, name: &str) -> Option<Location> {
        self.location_of(&self.environment(environment), name).ok().flatten()
    }

    fn location_in_tables(&self, set: &ConfigSet, key: &'static SettingKey) -> Result<Option<Location>, ConfigError> {
        let Some(loader) = self.loaders(set)?.iter().find(|loader| self.mentions(loader, key)) else { return Ok(None) };
        if self.overrides_of(loader, key).next().is_some() {
            return Ok(None);
        }
        let table = loader.path.join(".");
        Ok(spellings(key).find_map(|spelling| {
            let (line, column) = location_of(&self.source, &table, spelling)?;
            Some(Location { file: self.source.path.clone(), line, column, length: spelling.chars().count() })
        }))
    }

    /// The outer option says whether there is any; the inner one is `None` for an override.
    fn first_mention(
        &self,
        set: &ConfigSet,
        key: &'static SettingKey,
    ) -> Result<Option<Option<&IniEntry>>, ConfigError> {
        for loader in self.loaders(set)? {
            if self.overrides_of(loader, key).next().is_some() {
                return Ok(Some(None));
            }
            if self.toml().is_some() && self.mentions(loader, key) {
                return Ok(Some(None));
            }
            for entry in spellings(key).filter_map(|spelling| self.entry(loader, spelling)) {
                if self.process_raw(set, &entry.value)?.is_some() {
                    return Ok(Some(Some(entry)));
                }
            }
        }
        Ok(None)
    }

    fn package_kind(&self, set: &ConfigSet, kind: String) -> Result<String, ConfigError> {
        if !self.takes_package(set) {
            return Ok(kind);
        }
        if self.boolean(self.core(), "no_package")? || self.boolean(set, "skip_install")? {
            return Ok("skip".to_owned());
        }
        if !PACKAGE_KINDS.contains(&kind.as_str()) && self.has_other_than_python(set)? {
            // One of these languages may know it.
            return Ok(kind);
        }
        if !self.has_python(set)? {
            return Ok("skip".to_owned());
        }
        if self.options.run.package.install_package.is_some() {
            return Ok("external".to_owned());
        }
        if self.options.run.package.develop || self.boolean(set, "use_develop")? {
            return Ok("editable".to_owned());
        }
        if PACKAGE_KINDS.contains(&kind.as_str()) {
            return Ok(kind);
        }
        let mut kinds = PACKAGE_KINDS.to_vec();
        if self.uses_uv(set) {
            kinds.extend(UV_PACKAGE_KINDS);
            if kinds.contains(&kind.as_str()) {
                return Ok(kind);
            }
        }
        let message = format!("invalid package config type {kind} requested, must be one of {}", kinds.join(", "));
        Err(ConfigError::handled(message))
    }

    fn with_tox(&self, mut requires: Vec<String>) -> Result<Vec<String>, ConfigError> {
        let oldest = match self.value(self.core(), "min_version")? {
            SettingValue::Text(version) if version.parse::<pep440_rs::Version>().is_err() => {
                let message = format!("failed to load core.min_version: Invalid version: {}", python_repr(&version));
                let error =
                    ConfigError::handled(message).hint("write a version of tox, for example `min_version = 4.20`");
                return Err(self.at_value(error, self.location_of(self.core(), "min_version")?));
            }
            SettingValue::Text(version) => format!(">={version}"),
            _ => String::new(),
        };
        requires = requires.iter().map(|text| canonical_requirement(text)).collect();
        requires.push(format!("tox{oldest}"));
        Ok(requires)
    }

    fn checked_pylock(&self, set: &ConfigSet, path: String) -> Result<SettingValue, ConfigError> {
        if !path.is_empty() && !self.requirement_lines(set, "deps")?.is_empty() {
            return Err(ConfigError::fail("cannot use both 'deps' and 'pylock' in the same environment"));
        }
        Ok(SettingValue::Text(path))
    }

    /// The text of `deps` or `constraints` with the folder that relative paths in it start from.
    pub fn requirement_text(&self, set: &ConfigSet, key: &str) -> Result<RequirementText, ConfigError> {
        let text = match self.value(set, key)? {
            SettingValue::Requirements(text) => text,
            _ => String::new(),
        };
        Ok(RequirementText { text, root: self.tox_root()? })
    }

    /// The text of `constraints`, which may be nothing but files.
    pub fn constraint_text(&self, set: &ConfigSet) -> Result<RequirementText, ConfigError> {
        let text = self.requirement_text(set, "constraints")?;
        check_form(&text, RequirementKind::Constraints).map_err(|error| {
            let error = failed_to_load(set, "constraints", error);
            ConfigError { trail: vec!["constraints".to_owned()], ..error }
        })?;
        Ok(text)
    }

    fn requirement_lines(&self, set: &ConfigSet, key: &str) -> Result<Vec<String>, ConfigError> {
        let text = self.requirement_text(set, key)?;
        if text.text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let kind = if key == "deps" { RequirementKind::Deps } else { RequirementKind::Constraints };
        let shown = display_lines(&text, kind, &self.options.process.variables);
        // What is wrong with requirements shows when they are installed; constraints are read at once.
        if kind == RequirementKind::Deps { shown } else { shown.map_err(|error| failed_to_load(set, key, error)) }
    }

    /// A value as `config` shows it. Requirements show by their lines, which takes reading them.
    pub fn shown(&self, set: &ConfigSet, key: &str, value: &SettingValue) -> Result<IniValue, ConfigError> {
        match value {
            SettingValue::Requirements(_) => {
                Ok(IniValue { text: self.requirement_lines(set, key)?.join("\n"), is_list: true })
            }
            other => Ok(other.show()),
        }
    }
}

/// Whether the entries of a list between line breaks or commas have no blanks and refer to nothing.
fn is_plain_list(text: &str) -> bool {
    let separator = if text.contains('\n') { '\n' } else { ',' };
    !may_refer(text) && !text.split(separator).any(|entry| entry.trim().contains(char::is_whitespace))
}

fn has_plain_entries(value: &TomlValue) -> bool {
    let is_plain = |text: &str| !may_refer(text) && !text.contains(char::is_whitespace);
    value.is_array() && value.entries().all(|(_, entry)| entry.as_str().is_some_and(is_plain))
}

/// A requirement as Python's `packaging` writes it; an invalid one is unchanged.
fn canonical_requirement(text: &str) -> String {
    text.parse::<Requirement>().map_or_else(|_| text.trim().to_owned(), |requirement| requirement.to_string())
}

/// Replaces runs of whitespace with one space.
fn one_line(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii() && (!byte.is_ascii_control());
    if text.bytes().all(is_plain) && !text.contains("  ") {
        return text.to_owned();
    }
    let text = text.replace('\r', "");
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_whitespace() {
            result.push(character);
        } else if !result.ends_with(' ') {
            result.push(' ');
        }
    }
    result
}

/// PEP 503.
pub fn normalize_name(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '-' | '_' | '.' if result.ends_with('-') => {}
            '-' | '_' | '.' => result.push('-'),
            other => result.extend(other.to_lowercase()),
        }
    }
    result
}
