//! Resolves the names in expressions, seen from one set of settings.

use std::borrow::Cow;
use std::path::Path;

use crate::error::{ConfigError, ErrorClass};
use crate::model::literal;
use crate::os_text;
use crate::python_text::glob_paths;
use crate::python_text::path::{normalized, relative, resolved};
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::expand::{FoundReference, Reference, Trail, ValueLookup};
use crate::settings::keys::{self, DefaultValue};
use crate::settings::value::SettingValue;
use crate::settings::{Settings, TEST_PREFIX, toml_section};
use crate::source::TomlDocument;

/// The settings and the set whose value is being resolved.
pub struct LookupContext<'a> {
    pub settings: &'a Settings,
    pub set: &'a ConfigSet,
}

impl LookupContext<'_> {
    /// A value of a set, as text for another value. `None` if the set does not have the key.
    fn of_set(&self, set: &ConfigSet, name: &str, trail: &Trail) -> Result<Option<FoundReference>, ConfigError> {
        if !self.settings.defines(set, name) {
            return Ok(None);
        }
        let Some(key) = keys::find(name) else { return Ok(None) };
        if key.name == "set_env" && set.kind != SetKind::Core {
            return self.settings.set_env_lines(set, trail).map(|lines| Some(FoundReference::Text(lines)));
        }
        let value = match self.settings.load(set, key, trail) {
            Ok(value) => value,
            Err(error) if error.class == ErrorClass::Key => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = self.settings.shown(set, key.name, &value)?.text;
        let as_arguments = match value {
            SettingValue::Path(_) | SettingValue::List(_) | SettingValue::Set(_) => true,
            SettingValue::Text(_) => key.initial == DefaultValue::Constant,
            _ => false,
        };
        Ok(Some(if as_arguments { FoundReference::Arguments(text) } else { FoundReference::Text(text) }))
    }

    /// In a TOML file an environment's own values come first, and sections are written with their whole path.
    fn toml_reference(
        &self,
        document: &TomlDocument,
        reference: &Reference<'_>,
        trail: &Trail,
    ) -> Result<Option<FoundReference>, ConfigError> {
        let core = self.settings.core();
        let Some(section) = reference.section else {
            if self.set.name.is_some()
                && let Some(found) = self.of_set(self.set, reference.key, trail)?
            {
                return Ok(Some(found));
            }
            return self.of_set(core, reference.key, trail);
        };
        let environments = format!("{}.", toml_section(document, &[crate::settings::toml::ENV]));
        if let Some(name) = section.strip_prefix(&environments) {
            if !self.settings.has_settings(name, reference.key) {
                return Ok(None);
            }
            let set = self.settings.environment(name);
            return self.of_set(&set, reference.key, trail);
        }
        let path: Vec<String> = section.split('.').chain([reference.key]).map(str::to_owned).collect();
        if let Ok(value) = self.settings.raw_from_root(&path) {
            return Ok(Some(FoundReference::Raw(crate::settings::toml::load::as_text(value))));
        }
        if section == document.prefix.join(".") { self.of_set(core, reference.key, trail) } else { Ok(None) }
    }

    /// A value of a section as written, with the lines that apply here.
    fn of_section(&self, section: &str, key: &str, trail: &Trail) -> Result<Option<FoundReference>, ConfigError> {
        let Some(document) = self.settings.ini() else { return Ok(None) };
        let lower = key.to_lowercase();
        let entry = document.section(section).and_then(|_| document.get(section, &lower));
        let Some(entry) = entry else { return Ok(None) };
        let overrides = self.settings.overrides.of_section(section);
        let is_set_env = |key: &str| matches!(key, "set_env" | "setenv");
        if is_set_env(key) && overrides.iter().any(|one| is_set_env(&one.key)) {
            let raw = self.settings.process_raw(self.set, &entry.value)?.unwrap_or_default();
            return self
                .settings
                .overridden_set_env(self.set, section, &raw, trail)
                .map(|text| Some(FoundReference::Raw(text)));
        }
        let mut raw = Cow::Borrowed(entry.value.as_str());
        for one in overrides.iter().filter(|one| one.key == key) {
            raw = if one.append { format!("{raw}\n{}", one.value).into() } else { one.value.as_str().into() };
        }
        Ok(Some(FoundReference::Raw(self.settings.process_raw(self.set, &raw)?.unwrap_or_default().into_owned())))
    }
}

impl ValueLookup for LookupContext<'_> {
    fn reference(&self, reference: &Reference<'_>, trail: &Trail) -> Result<Option<FoundReference>, ConfigError> {
        if let Some(document) = self.settings.toml() {
            return self.toml_reference(document, reference, trail);
        }
        let core = self.settings.core();
        let Some(section) = reference.section else {
            if let Some(found) = self.of_set(core, reference.key, trail)? {
                return Ok(Some(found));
            }
            return if self.set.name.is_some() { self.of_set(self.set, reference.key, trail) } else { Ok(None) };
        };
        let core_name = self.settings.source.format.core_section().rsplit(':').next().unwrap_or_default();
        if section == core_name
            && let Some(found) = self.of_set(core, reference.key, trail)?
        {
            return Ok(Some(found));
        }
        if let Some(found) = self.of_section(section, reference.key, trail)? {
            return Ok(Some(found));
        }
        let environment = section.strip_prefix(TEST_PREFIX).and_then(|rest| rest.strip_prefix(':'));
        match environment {
            Some(name) if self.settings.is_declared(name) => {
                let set = self.settings.environment(name);
                self.of_set(&set, reference.key, trail)
            }
            _ => Ok(None),
        }
    }

    fn variable(&self, name: &str, trail: &Trail) -> Result<Option<FoundReference>, ConfigError> {
        let entry = format!("env:{name}");
        if self.set.name.is_some() {
            if let Some(at) = trail.0.iter().position(|one| *one == entry) {
                // A variable may refer to itself, which means this process's variable; through others it is a cycle.
                if trail.0.last() != Some(&entry) {
                    let circle: Vec<&str> = trail.0[at..].iter().map(|one| one.get(4..).unwrap_or(one)).collect();
                    let message = format!("circular chain between set env {}", circle.join(", "));
                    return Err(ConfigError::new(ErrorClass::MatchRecursion, message));
                }
            } else {
                match self.settings.set_env_value(self.set, name, &trail.with(entry)) {
                    Ok(Some(value)) => return Ok(Some(FoundReference::Text(value))),
                    Ok(None) => {}
                    // While `set_env` itself is being read, its own variables are not known yet.
                    Err(error) if error.class == ErrorClass::Circular && reads_set_env(trail) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.settings.options.process.variables.text(name).map(FoundReference::Raw))
    }

    fn positional(&self, trail: &Trail, program_first: bool) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(words) = self.settings.options.invocation.positional.as_ref() else { return Ok(None) };
        let loading_folder = trail.0.iter().any(|one| one.ends_with(".change_dir"));
        let paths = self.set.kind == SetKind::Run
            && self.settings.defines(self.set, "args_are_paths")
            && self.settings.value(self.set, "args_are_paths")? == SettingValue::Boolean(true)
            && !loading_folder;
        if !paths {
            return Ok(Some(words.clone()));
        }
        match self.settings.value(self.set, "change_dir")? {
            SettingValue::Path(folder) => Ok(Some(self.settings.rewrite_positional(words, &folder, program_first))),
            _ => Ok(Some(words.clone())),
        }
    }

    fn escaped_brace(&self) -> char {
        self.settings.escaped_brace()
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, ConfigError> {
        let pattern = literal::plain(pattern);
        let full = glob_paths::absolute(&self.settings.tox_root()?, &pattern);
        let found = glob_paths::paths(&full).map_err(|error| ConfigError::value(error.to_string()))?;
        Ok(found.into_iter().map(|path| self.settings.text_from_outside(path)).collect())
    }

    fn factor(&self, label: &str, default: Option<&str>) -> Result<Option<String>, ConfigError> {
        let templates = &self.settings.templates;
        if !templates.has_groups() {
            return Ok(None);
        }
        let fallback = || default.unwrap_or_default().to_owned();
        let name = self.set.name.as_deref();
        let (Some(group), Some(name)) = (templates.group(name, label), name) else { return Ok(Some(fallback())) };
        if let Some(text) = self.settings.options.process.variables.text(&format!("TOX_FACTOR_{label}")) {
            return Ok(Some(text));
        }
        if let Some(value) = group.value_in(name) {
            return Ok(Some(value.to_owned()));
        }
        // A value may have dashes of its own: the longest one that the name holds.
        let padded = format!("-{name}-");
        let held = group.values.iter().filter(|value| padded.contains(&format!("-{value}-")));
        // The first of several, as Python's `max` has it.
        let of_name = held.rev().max_by_key(|value| value.chars().count());
        let chosen = of_name.cloned().or_else(|| default.map(str::to_owned)).or_else(|| group.default.clone());
        Ok(Some(chosen.unwrap_or_default()))
    }

    fn is_terminal(&self) -> bool {
        self.settings.options.process.stdout_is_terminal
    }

    fn warn(&self, text: String) {
        self.settings.warn(text);
    }
}

pub(super) fn reads_set_env(trail: &Trail) -> bool {
    trail.0.iter().any(|one| one.ends_with(".set_env"))
}

impl Settings {
    /// Rewrites relative paths after `--`, which are relative to the current folder, to be relative to `folder`.
    pub(crate) fn rewrite_positional(&self, words: &[String], folder: &Path, program_first: bool) -> Vec<String> {
        let from = &self.options.process.current_dir;
        if from == folder {
            return words.to_vec();
        }
        let target = resolved(folder);
        let rewrite = |(at, word): (usize, &String)| {
            let path = from.join(os_text::encode(word));
            if word.is_empty() || Path::new(word).is_absolute() || !path.exists() {
                return word.clone();
            }
            let bare_first = at == 0 && !word.contains('/');
            if bare_first && (program_first || is_executable(&path)) {
                return word.clone();
            }
            let relative = os_text::decode(relative(&normalized(&path), &target).as_os_str());
            if relative.starts_with('-') && !word.starts_with('-') { format!("./{relative}") } else { relative }
        };
        words.iter().enumerate().map(rewrite).collect()
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
