//! The runners of environments and their effect on settings: the runners of tox-uv have their own settings, and other
//! defaults for some of the common ones.

use crate::error::ConfigError;
use crate::model::{Command, Runner};
use crate::settings::Settings;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::value::SettingValue;

/// Distributions that register tox-uv's runners.
const TOX_UV: [&str; 2] = ["tox-uv", "tox-uv-bare"];

/// The values of `uv_resolution`.
const RESOLUTIONS: [&str; 3] = ["highest", "lowest", "lowest-direct"];

/// The values of `uv_python_preference`.
const PREFERENCES: [&str; 5] = ["none", "only-managed", "managed", "system", "only-system"];

/// The values of `package` for the lock runner.
const LOCKED_PACKAGE_KINDS: [&str; 5] = ["editable", "wheel", "skip", "uv", "uv-editable"];

/// The kinds of package that only tox-uv has: uv builds and installs the project itself.
pub(super) const UV_PACKAGE_KINDS: [&str; 2] = ["uv", "uv-editable"];

impl Settings {
    /// What makes the set's environment; `None` for the project's own settings and for a runner that nothing provides.
    pub fn runner(&self, set: &ConfigSet) -> Result<Option<Runner>, ConfigError> {
        let external = set.kind == SetKind::CommandPackage;
        match set.kind {
            SetKind::Core => Ok(None),
            SetKind::Run => match set.known_runner() {
                Some(known) => Ok(known),
                None => {
                    let runner = Runner::of(&self.text(set, "runner")?);
                    set.store_runner(runner);
                    Ok(runner)
                }
            },
            SetKind::Pep517Package | SetKind::CommandPackage => {
                let runner = if self.packages_with_uv(set.label()) { Runner::Uv } else { Runner::Virtualenv };
                Ok(Some(runner.packager(external)))
            }
        }
    }

    /// Whether uv creates the set's environment and installs into it. An invalid runner is reported elsewhere.
    pub(super) fn uses_uv(&self, set: &ConfigSet) -> bool {
        self.runner(set).ok().flatten().is_some_and(Runner::uses_uv)
    }

    pub(super) fn is_locked(&self, set: &ConfigSet) -> bool {
        set.kind == SetKind::Run && self.runner(set).ok().flatten() == Some(Runner::UvLock)
    }

    pub(super) fn runs_script(&self, set: &ConfigSet) -> bool {
        set.kind == SetKind::Run && self.runner(set).ok().flatten().is_some_and(Runner::runs_script)
    }

    /// Whether the set is that of an environment which the project may be packaged for.
    pub(super) fn takes_package(&self, set: &ConfigSet) -> bool {
        set.kind == SetKind::Run && self.runner(set).ok().flatten().is_none_or(Runner::takes_package)
    }

    /// Notes that a packaging environment is made by uv, as the environment is that asks for it.
    pub fn package_with_uv(&self, package_env: &str) {
        self.uv_packagers.lock().insert(package_env.to_owned());
    }

    /// A wheel environment of another interpreter (`.pkg-cpython312`) is made as the one it is named after.
    fn packages_with_uv(&self, name: &str) -> bool {
        let is = |known: &String| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        self.uv_packagers.lock().iter().any(is)
    }

    /// The runner of environments that name none. tox-uv makes its own the default where it is installed, which it is
    /// taken to be when the project requires it or names one of its runners.
    pub(super) fn default_runner(&self) -> String {
        let runner = self.facts.default_runner.get_or_init(|| match &self.options.project.default_runner {
            Some(named) => named.clone(),
            None if self.has_tox_uv() => Runner::Uv.name().to_owned(),
            None => Runner::Virtualenv.name().to_owned(),
        });
        runner.clone()
    }

    fn has_tox_uv(&self) -> bool {
        let named = |line: &str| line.contains("uv-venv-") && !line.trim_start().starts_with('#');
        self.source.text.contains("uv-venv-") && self.source.text.lines().any(named)
            || TOX_UV.iter().any(|name| self.requires_distribution(name))
    }

    /// Defaults that tox-uv has; `None` where it leaves tox's own.
    pub(super) fn uv_default(&self, set: &ConfigSet, key: &str) -> Result<Option<SettingValue>, ConfigError> {
        let uv = || self.interpreters.uv().map_or_else(|| "uv".to_owned(), |path| path.display().to_string());
        let command = |rest: &[&str]| {
            let words = std::iter::once(uv()).chain(rest.iter().map(|word| (*word).to_owned()));
            SettingValue::Command(Command::from_words(words.collect()))
        };
        Ok(Some(match key {
            "install_command" if self.uses_uv(set) => {
                let verbose: &[&str] = if self.options.output.verbosity > 3 { &["-v"] } else { &[] };
                command(&[&["pip", "install", "{opts}", "{packages}"], verbose].concat())
            }
            "list_dependencies_command" if self.uses_uv(set) => command(&["--color", "never", "pip", "freeze"]),
            "uv_python_preference" => SettingValue::text(self.default_python_preference()),
            "no_default_groups" => SettingValue::Boolean(!self.list(set, "dependency_groups")?.is_empty()),
            "package" if self.is_locked(set) => SettingValue::text("editable"),
            "package_root" if set.kind == SetKind::Run => SettingValue::Path(self.tox_root()?),
            _ => return Ok(None),
        }))
    }

    /// What uv's own variables say, else interpreters of the system rather than downloaded ones.
    fn default_python_preference(&self) -> String {
        let variables = &self.options.process.variables;
        if ["UV_NO_MANAGED_PYTHON", "UV_MANAGED_PYTHON"].iter().any(|name| variables.get(name).is_some()) {
            return "none".to_owned();
        }
        variables.text("UV_PYTHON_PREFERENCE").unwrap_or_else(|| "system".to_owned())
    }

    /// What is written must be one of uv's words; what uv's own variable says is uv's business.
    pub(super) fn checked_preference(&self, set: &ConfigSet, value: &str) -> Result<String, ConfigError> {
        if value.is_empty() {
            return Ok("system".to_owned());
        }
        if !PREFERENCES.contains(&value) && self.is_written(set, "uv_python_preference")? {
            return Err(not_one_of(set, "uv_python_preference", value, &PREFERENCES));
        }
        Ok(value.to_lowercase())
    }

    /// `{opts}` of an install command in uv's words.
    pub(super) fn uv_options(&self, set: &ConfigSet) -> Result<Vec<String>, ConfigError> {
        let mut options: Vec<String> = Vec::new();
        if self.boolean(set, "pip_pre")? {
            options.extend(["--prerelease", "allow"].map(str::to_owned));
        }
        let resolution = self.text(set, "uv_resolution")?;
        if !resolution.is_empty() {
            options.extend(["--resolution".to_owned(), resolution]);
        }
        Ok(options)
    }
}

pub(super) fn checked_locked_package(set: &ConfigSet, kind: String) -> Result<String, ConfigError> {
    if LOCKED_PACKAGE_KINDS.contains(&kind.as_str()) {
        return Ok(kind);
    }
    Err(not_one_of(set, "package", &kind, &LOCKED_PACKAGE_KINDS))
}

fn not_one_of(set: &ConfigSet, key: &str, value: &str, valid: &[&str]) -> ConfigError {
    let valid = valid.iter().map(|word| crate::python_text::python_repr(word)).collect::<Vec<_>>().join(", ");
    ConfigError::handled(format!("failed to load {}.{key}: {value} must be one of ({valid})", set.label()))
}

pub(super) fn checked_resolution(value: String) -> Result<SettingValue, ConfigError> {
    if value.is_empty() || RESOLUTIONS.contains(&value.as_str()) {
        return Ok(SettingValue::Text(value));
    }
    let quoted = crate::python_text::python_repr(&value);
    let valid = RESOLUTIONS.join(", ");
    Err(ConfigError::fail(format!("Invalid value for uv_resolution: {quoted}. Valid options are: {valid}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_resolution_is_refused() {
        assert!(checked_resolution("lowest".to_owned()).is_ok());
        assert!(checked_resolution("newest".to_owned()).is_err());
    }
}
