//! What the variables of an environment are: the configured ones with markers that hold, and tox's own.

use super::SetEnv;
use super::expansion::expanding;
use crate::error::{ConfigError, ErrorClass};
use crate::settings::{Settings, lock};

/// How many variables may refer to one another before the value is given up; tox gives up at about as many.
const DEEPEST: usize = 150;
use crate::model::pep508::Marker;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::settings::config_set::ConfigSet;
use crate::settings::definitions::Raw;
use crate::settings::expand::Trail;
use crate::settings::expand::replace::{Style, replace};
use crate::settings::lookup::{Context, reads_set_env};
use crate::settings::value::Value;

impl Settings {
    /// The value of one variable; `None` when it is not set.
    pub(in crate::settings) fn set_env_value(
        &self,
        set: &ConfigSet,
        name: &str,
        trail: &Trail,
    ) -> Result<Option<String>, ConfigError> {
        if let Some(value) = self.exported_variable(set, name)? {
            return Ok(Some(value));
        }
        let variables = self.set_env(set, trail)?;
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
        (name, raw): (&str, &Raw),
        trail: &Trail,
    ) -> Result<String, ConfigError> {
        if let Some(known) = lock(&variables.values).get(name) {
            return Ok(known.clone());
        }
        let entry = format!("env:{name}");
        let trail = if trail.0.last() == Some(&entry) { trail.clone() } else { trail.with(entry) };
        if trail.0.len() > DEEPEST {
            let message = format!("variables of set_env refer to each other more than {DEEPEST} deep at {name}");
            return Err(ConfigError::new(ErrorClass::MatchRecursion, message));
        }
        let context = Context { settings: self, set };
        let value = replace(&context, &variables.prefix, Style::Plain, &raw.value, &trail)
            .map_err(|error| self.replacing_failed(set, error))?;
        // While the lines are being read, not all variables are known.
        if !reads_set_env(&trail) && !trail.contains(&expanding(set)) {
            lock(&variables.values).insert(name.to_owned(), value.clone());
        }
        Ok(value)
    }

    fn marker_holds(&self, raw: &Raw) -> bool {
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
        let entries = entries.map_err(|error| self.placed_set_env(set, error))?;
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
            Value::Path(path) => Ok::<_, ConfigError>(path.display().to_string()),
            _ => Ok(String::new()),
        };
        let env_dir = path(set, "env_dir")?;
        let mut exported = vec![
            ("PYTHONIOENCODING".to_owned(), "utf-8".to_owned()),
            ("TOX_ENV_NAME".to_owned(), set.label().to_owned()),
            ("TOX_WORK_DIR".to_owned(), path(self.core(), "work_dir")?),
            ("TOX_ENV_DIR".to_owned(), env_dir.clone()),
        ];
        if !self.uses_uv(set) {
            exported.extend([("VIRTUAL_ENV".to_owned(), env_dir), ("PIP_USER".to_owned(), "0".to_owned())]);
        }
        // `--pre` is about what is tested, not about what builds it.
        if self.options.run.pip_pre && !set.kind.is_package() {
            exported.push(("PIP_PRE".to_owned(), "1".to_owned()));
        }
        Ok(exported)
    }

    /// Variables that count when the configuration says nothing.
    fn default_variables(&self, set: &ConfigSet) -> Vec<(String, String)> {
        let seed = self.options.run.hash_seed.map(|seed| ("PYTHONHASHSEED".to_owned(), seed.to_string()));
        if self.uses_uv(set) {
            return seed.into_iter().collect();
        }
        let version_check = ("PIP_DISABLE_PIP_VERSION_CHECK".to_owned(), "1".to_owned());
        seed.into_iter().chain([version_check]).collect()
    }
}
