//! Settings that no file can change: names, paths inside the environment, and properties of its interpreter.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{ConfigError, ErrorClass};
use crate::model::python_spec::PythonSpec;
use crate::model::{Interpreter, Runner};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::keys::SettingKey;
use crate::settings::loader::PLATFORM;
use crate::settings::value::SettingValue;

impl Settings {
    pub(super) fn constant(&self, set: &ConfigSet, key: &'static SettingKey) -> Result<SettingValue, ConfigError> {
        Ok(match key.name {
            "config_file_path" => SettingValue::Path(self.source.path.clone()),
            "tox_root_name" => {
                SettingValue::text(self.root().file_name().map(crate::os_text::decode).unwrap_or_default())
            }
            "home" => SettingValue::Path(self.home()),
            "host_python" => SettingValue::Path(self.interpreters.host_python()),
            "on_platform" => SettingValue::text(PLATFORM),
            "env_name" => SettingValue::text(set.label()),
            "env_site_packages_dir" => {
                SettingValue::Path(self.location(set, |interpreter| interpreter.layout.purelib.clone())?)
            }
            "env_site_packages_dir_plat" => {
                SettingValue::Path(self.location(set, |interpreter| interpreter.layout.platlib.clone())?)
            }
            // Without an interpreter, tox does not know the folder of programs; tox-uv does.
            "env_bin_dir" if self.uses_uv(set) => SettingValue::Path(self.path(set, "env_dir")?.join("bin")),
            "env_python" if self.uses_uv(set) => SettingValue::Path(self.path(set, "env_dir")?.join("bin/python")),
            "env_bin_dir" => SettingValue::Path(self.location(set, |_| PathBuf::from("bin"))?),
            "env_python" => SettingValue::Path(self.env_python(set)?),
            "py_dot_ver" | "py_impl" | "py_free_threaded" | "py_debug" => self.python_fact(set, key.name)?,
            "package_tox_env_type" => {
                let external = self.text(set, "package")? == "external";
                let runner = self.runner(set)?.unwrap_or(Runner::Virtualenv);
                SettingValue::text(runner.packager(external).name())
            }
            other => return Err(ConfigError::key(other)),
        })
    }

    /// A property of the environment's Python. With tox-uv's runners it is that of the requested one, installed or not:
    /// uv may download it.
    fn python_fact(&self, set: &ConfigSet, name: &str) -> Result<SettingValue, ConfigError> {
        let asked = if self.uses_uv(set) { self.list(set, "base_python")?.into_iter().next() } else { None };
        if let Some(spec) = asked.map(|text| PythonSpec::parse(&text)).filter(|spec| spec.path.is_none()) {
            return Ok(match name {
                "py_dot_ver" => {
                    SettingValue::text(format!("{}.{}", spec.major.unwrap_or_default(), spec.minor.unwrap_or_default()))
                }
                "py_impl" => {
                    SettingValue::text(spec.implementation.unwrap_or_else(|| "cpython".to_owned()).to_lowercase())
                }
                "py_free_threaded" => SettingValue::Boolean(spec.free_threaded.unwrap_or_default()),
                _ => SettingValue::Boolean(false),
            });
        }
        let interpreter = self.interpreter(set)?;
        Ok(match name {
            "py_dot_ver" => SettingValue::text(interpreter.dotted_version()),
            "py_impl" => SettingValue::text(interpreter.implementation.to_lowercase()),
            "py_free_threaded" => SettingValue::Boolean(interpreter.free_threaded),
            _ => SettingValue::Boolean(interpreter.debug),
        })
    }

    fn home(&self) -> PathBuf {
        self.options.process.variables.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// The interpreter of an environment, under the name that virtualenv gives it first. Where a virtualenv of a certain
    /// version makes the environment, tox does not ask it and expects a `python`.
    fn env_python(&self, set: &ConfigSet) -> Result<PathBuf, ConfigError> {
        let pinned = !self.text(set, "virtualenv_spec")?.is_empty();
        self.location(set, |interpreter| {
            let name = match interpreter.implementation.as_str() {
                "PyPy" if !pinned => "pypy3",
                "GraalVM" if !pinned => "graalpy",
                _ => "python",
            };
            Path::new("bin").join(name)
        })
    }

    /// A path inside the environment.
    fn location(&self, set: &ConfigSet, part: impl Fn(&Interpreter) -> PathBuf) -> Result<PathBuf, ConfigError> {
        let interpreter = self.find_interpreter(set)?.ok_or_else(|| {
            if self.text(set, "virtualenv_spec").is_ok_and(|spec| !spec.is_empty()) {
                return ConfigError::skip("no interpreter discovered");
            }
            let specs = self.list(set, "base_python").unwrap_or_default();
            let last = specs.last().cloned().unwrap_or_default();
            ConfigError::skip(format!("failed to find interpreter for Builtin discover of python_spec='{last}'"))
        })?;
        Ok(self.path(set, "env_dir")?.join(part(&interpreter)))
    }

    pub(super) fn find_interpreter(&self, set: &ConfigSet) -> Result<Option<Arc<Interpreter>>, ConfigError> {
        if !self.uses_uv(set) {
            // tox has virtualenv look for it, which needs the variables that are passed on.
            self.check_pass_env(set)?;
        }
        Ok(self.interpreters.find(&self.list(set, "base_python")?))
    }

    /// The interpreter that creates the environment.
    pub fn interpreter(&self, set: &ConfigSet) -> Result<Arc<Interpreter>, ConfigError> {
        if let Some(found) = self.find_interpreter(set)? {
            return Ok(found);
        }
        let unanswered = self.interpreters.unanswered().into_iter().map(|text| format!("; {text}"));
        let specs = self.list(set, "base_python")?.join(", ") + &unanswered.collect::<String>();
        if self.boolean(set, "skip_missing_interpreters")? {
            let message = format!("could not find python interpreter with spec(s): {specs}");
            return Err(ConfigError::skip(message));
        }
        let message = format!("could not find python interpreter matching any of the specs {specs}");
        Err(ConfigError::new(ErrorClass::NoInterpreter, message))
    }
}
