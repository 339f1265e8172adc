//! Resolves the variables of an environment: the configured ones whose markers apply, and tox's own.

use crate::error::ConfigError;
use crate::settings::Settings;
use crate::settings::set_env::SetEnv;
use crate::settings::set_env::expansion::expanding;

use crate::model::pep508::Marker;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::RawVariable;
use crate::settings::expand::Trail;
use crate::settings::expand::replace::{ReplaceStyle, replace};
use crate::settings::lookup::{LookupContext, reads_set_env};
use crate::settings::nesting::{Nesting, Step};
use crate::settings::value::SettingValue;

/// The limit for the variables of an environment in bytes.
const MOST_BYTES: usize = 64 << 20;

impl Settings {
    /// The value of one variable; `None` when it is not set.
    pub(in crate::settings) fn set_env_value(
        &self,
        set: &ConfigSet,
        name: &str,
        trail: &Trail,
    ) -> Result<Option<String>, ConfigError> {
        // As in tox, what `base` asks for is read now, whatever the variable.
        let early = if set.is_loading("base") { Some(self.set_env(set, trail)?) } else { None };
        if let Some(value) = self.exported_variable(set, name)? {
            return Ok(Some(value));
        }
        let variables = early.map_or_else(|| self.set_env(set, trail), Ok)?;
        let entries = self.set_env_entries(set, &variables, trail)?;
        if let Some(raw) = entries.get(name).filter(|raw| self.marker_holds(raw)) {
            return self.variable_value(set, &variables, (name, raw), trail).map(Some);
        }
        Ok(self.default_variables(set).into_iter().find(|(known, _)| known == name).map(|(_, value)| value))
    }

    fn variable_value(
        &self,
        set: &ConfigSet,
        variables: &SetEnv,
        (name, raw): (&str, &RawVariable),
        trail: &Trail,
    ) -> Result<String, ConfigError> {
        if let Some(known) = variables.values.lock().by_name.get(name) {
            return Ok(known.clone());
        }
        let _nesting = Nesting::enter(Step::Value)?;
        let entry = format!("env:{name}");
        let trail = if trail.0.last() == Some(&entry) { trail.clone() } else { trail.with(entry) };
        let context = LookupContext { settings: self, set };
        let value = replace(&context, &variables.prefix, ReplaceStyle::Plain, &raw.value, &trail)
            .map_err(|error| self.replacing_failed(set, error))?;
        // While the lines are being read, not all variables are known.
        if !reads_set_env(&trail) && !trail.contains(&expanding(set)) {
            let mut values = variables.values.lock();
            values.bytes += value.len();
            if values.bytes > MOST_BYTES {
                return Err(ConfigError::handled(format!(
                    "the variables of {}.set_env exceed {} MiB at {name}",
                    set.label(),
                    MOST_BYTES >> 20
                ))
                .hint("a variable that contains another one twice doubles its size"));
            }
            values.by_name.insert(name.to_owned(), value.clone());
        }
        Ok(value)
    }

    fn marker_holds(&self, raw: &RawVariable) -> bool {
        let Some(marker) = raw.marker.as_deref() else { return true };
        let Ok(marker) = marker.parse::<Marker>() else { return true };
        let host = self.interpreters.host_python().display().to_string();
        let Some(interpreter) = self.interpreters.find(&[host]) else { return true };
        let environment = MarkerEnvironment { values: Some(&interpreter.markers), ..MarkerEnvironment::default() };
        marker.holds(&environment).unwrap_or(true)
    }

    /// All variables with their values, in order: the configured ones, then tox's own.
    pub(in crate::settings) fn all_variables(
        &self,
        set: &ConfigSet,
        trail: &Trail,
    ) -> Result<Vec<(String, String)>, ConfigError> {
        let variables = self.set_env(set, trail)?;
        let entries = self.set_env_entries(set, &variables, trail);
        let entries = entries.map_err(|error| self.located_set_env(set, error))?;
        let exported = self.exported_variables(set)?;
        let mut result: Vec<(String, String)> = Vec::new();
        for (name, raw) in entries.iter().filter(|(_, raw)| self.marker_holds(raw)) {
            if !exported.iter().any(|(own, _)| own == name) {
                result.push((name.clone(), self.variable_value(set, &variables, (name, raw), trail)?));
            }
        }
        for (name, value) in self.default_variables(set) {
            if !entries.contains(&name) {
                result.push((name, value));
            }
        }
        result.extend(exported);
        Ok(result)
    }

    fn exported_variable(&self, set: &ConfigSet, name: &str) -> Result<Option<String>, ConfigError> {
        const NAMES: [&str; 7] =
            ["PYTHONIOENCODING", "TOX_ENV_NAME", "TOX_WORK_DIR", "TOX_ENV_DIR", "VIRTUAL_ENV", "PIP_USER", "PIP_PRE"];
        if !NAMES.contains(&name) {
            return Ok(None);
        }
        Ok(self.exported_variables(set)?.into_iter().find(|(own, _)| own == name).map(|(_, value)| value))
    }

    /// Variables that count whatever the configuration says.
    fn exported_variables(&self, set: &ConfigSet) -> Result<Vec<(String, String)>, ConfigError> {
        let path = |set: &ConfigSet, key| match self.value(set, key)? {
            SettingValue::Path(path) => Ok::<_, ConfigError>(crate::os_text::decode(path.as_os_str())),
            _ => Ok(String::new()),
        };
        let encoding = ("PYTHONIOENCODING".to_owned(), "utf-8".to_owned());
        if is_for_base(set) {
            return Ok(vec![encoding]);
        }
        let env_dir = path(set, "env_dir")?;
        let mut exported = vec![
            encoding,
            ("TOX_ENV_NAME".to_owned(), set.label().to_owned()),
            ("TOX_WORK_DIR".to_owned(), path(self.core(), "work_dir")?),
            ("TOX_ENV_DIR".to_owned(), env_dir.clone()),
        ];
        if !self.uses_uv(set) {
            exported.extend([("VIRTUAL_ENV".to_owned(), env_dir), ("PIP_USER".to_owned(), "0".to_owned())]);
        }
        // `--pre` is about what is tested, not about what builds it.
        if self.options.run.legacy.pip_pre && !set.kind.is_package() {
            exported.push(("PIP_PRE".to_owned(), "1".to_owned()));
        }
        Ok(exported)
    }

    /// Variables that count when the configuration says nothing.
    fn default_variables(&self, set: &ConfigSet) -> Vec<(String, String)> {
        if is_for_base(set) {
            return Vec::new();
        }
        let seed = self.options.run.hash_seed.map(|seed| ("PYTHONHASHSEED".to_owned(), seed.to_string()));
        if self.uses_uv(set) {
            return seed.into_iter().collect();
        }
        let version_check = ("PIP_DISABLE_PIP_VERSION_CHECK".to_owned(), "1".to_owned());
        seed.into_iter().chain([version_check]).collect()
    }
}

/// Whether the variables were read for `base`, or are now.
fn is_for_base(set: &ConfigSet) -> bool {
    set.variables.get().map_or_else(|| set.is_loading("base"), |variables| variables.for_base)
}
