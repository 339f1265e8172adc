//! Computes the defaults that depend on other settings.

use std::path::PathBuf;

use crate::bounded;
use crate::cli::options::SkipMissing;
use crate::error::{ConfigError, ErrorClass};
use crate::model::{Command, Interpreter, PythonSpec};
use crate::python_text::glob;
use crate::settings::Settings;
use crate::settings::base_python;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::convert::{boolean, convert};
use crate::settings::keys::{self, DefaultValue, SettingKey};
use crate::settings::value::{SettingValue, ValueKind};

impl Settings {
    pub(super) fn default_value(&self, set: &ConfigSet, key: &'static SettingKey) -> Result<SettingValue, ConfigError> {
        match key.initial {
            DefaultValue::Nothing => Ok(nothing(key.kind_in(set.kind))),
            DefaultValue::True => Ok(SettingValue::Boolean(true)),
            DefaultValue::Text(text) => convert(key.kind_in(set.kind), text),
            DefaultValue::Number(number) => Ok(SettingValue::Float(number)),
            DefaultValue::Constant => self.constant(set, key),
            DefaultValue::Computed => self.computed(set, key),
        }
    }

    fn computed(&self, set: &ConfigSet, key: &'static SettingKey) -> Result<SettingValue, ConfigError> {
        let core = self.core();
        if let Some(value) = self.uv_default(set, key.name)? {
            return Ok(value);
        }
        Ok(match key.name {
            "tox_root" => SettingValue::Path(self.root().to_owned()),
            "package_root" if set.kind == SetKind::Core => SettingValue::Path(self.tox_root()?),
            "package_root" => SettingValue::Path(self.path(core, "package_root")?),
            "work_dir" => SettingValue::Path(self.tox_root()?.join(".tox")),
            "temp_dir" => SettingValue::Path(self.path(core, "work_dir")?.join(".tmp")),
            "base" => self.default_base(set),
            "runner" => SettingValue::text(self.default_runner()),
            "skip_missing_interpreters" if set.kind == SetKind::Core => SettingValue::Boolean(false),
            "skip_missing_interpreters" => self.value(core, "skip_missing_interpreters")?,
            "package_env" => self.default_package_env(set)?,
            "env_dir" => SettingValue::Path(self.path(core, "work_dir")?.join(set.label())),
            "env_tmp_dir" => SettingValue::Path(self.path(core, "work_dir")?.join(set.label()).join("tmp")),
            "env_log_dir" => SettingValue::Path(self.path(core, "work_dir")?.join(set.label()).join("log")),
            "recreate" => {
                let kept = set.kind.is_package() && self.options.run.package.no_recreate_package;
                SettingValue::Boolean(self.options.run.recreate && !kept)
            }
            "commands" => SettingValue::Commands(self.default_commands(set)?),
            "change_dir" => SettingValue::Path(self.tox_root()?),
            "list_dependencies_command" => convert(key.kind, "python -m pip freeze --all")?,
            "install_command" => self.default_install_command(set)?,
            "default_base_python" => SettingValue::List(vec![self.interpreters.host_python().display().to_string()]),
            "base_python" => self.default_base_python(set)?,
            "system_site_packages" => self.said_by_variables(set, &["VIRTUALENV_SYSTEM_SITE_PACKAGES"])?,
            "always_copy" => self.said_by_variables(set, &["VIRTUALENV_COPIES", "VIRTUALENV_ALWAYS_COPY"])?,
            "download" => self.said_by_variables(set, &["VIRTUALENV_DOWNLOAD"])?,
            "virtualenv_spec" => SettingValue::text(old_virtualenv_for(&self.list(set, "base_python")?)),
            "package" => SettingValue::text(self.default_package()?),
            "wheel_build_env" => self.default_wheel_environment(set)?,
            "meta_dir" => SettingValue::Path(self.path(set, "env_dir")?.join(".meta")),
            "pkg_dir" => SettingValue::Path(self.path(set, "env_dir")?.join("dist")),
            "fresh_subprocess" => SettingValue::Boolean(self.backend_is_setuptools(set)?),
            "package_glob" => {
                let folder = self.path(set, "env_tmp_dir")?.join("dist");
                SettingValue::text(format!("{}/*", glob::escape(&crate::os_text::decode(folder.as_os_str()))))
            }
            other => return Err(ConfigError::key(other)),
        })
    }

    fn default_package_env(&self, set: &ConfigSet) -> Result<SettingValue, ConfigError> {
        if set.kind == SetKind::Core {
            return Ok(SettingValue::text(".pkg"));
        }
        let name = self.text(self.core(), "package_env")?;
        let external = self.text(set, "package")? == "external";
        Ok(SettingValue::text(if external { format!("{name}_external") } else { name }))
    }

    fn default_install_command(&self, set: &ConfigSet) -> Result<SettingValue, ConfigError> {
        let isolated = if self.interpreter(set)?.version.major == 2 { "-E" } else { "-I" };
        let words = ["python", isolated, "-m", "pip", "install", "{opts}", "{packages}"];
        Ok(SettingValue::Command(Command::from_words(words.map(str::to_owned).to_vec())))
    }

    /// A script's environment runs the script.
    fn default_commands(&self, set: &ConfigSet) -> Result<Vec<Command>, ConfigError> {
        if !self.runs_script(set) {
            return Ok(Vec::new());
        }
        let script = self.text(set, "script")?;
        if script.is_empty() {
            return Ok(Vec::new());
        }
        let script = crate::os_text::decode(self.tox_root()?.join(crate::os_text::encode(&script)).as_os_str());
        let words = ["python".to_owned(), script].into_iter();
        let positional = self.options.invocation.positional.iter().flatten().cloned();
        Ok(vec![Command::from_words(words.chain(positional).collect())])
    }

    fn default_base_python(&self, set: &ConfigSet) -> Result<SettingValue, ConfigError> {
        match base_python::of_environment(set.label()) {
            Ok(Some(spec)) => return Ok(SettingValue::List(vec![spec])),
            Ok(None) => {}
            Err(conflict) if self.boolean(self.core(), "ignore_base_python_conflict")? => drop(conflict),
            Err(conflict) => return Err(conflict),
        }
        let files = self.list(set, "base_python_file")?;
        if files.is_empty() {
            let base = if self.says(set, "default_base_python")? { None } else { self.base_of_layer(set)? };
            return match base {
                Some(base) => self.value(&base, "base_python"),
                None => self.value(set, "default_base_python"),
            };
        }
        self.read_version_files(&files).map(|version| SettingValue::List(vec![version])).map_err(|error| {
            let place = self.location_of(set, "base_python_file").ok().flatten();
            self.at_value(error, place)
                .hint("use a file whose first line is a version, such as `3.12` or `cpython3.12`")
        })
    }

    fn read_version_files(&self, files: &[String]) -> Result<String, ConfigError> {
        for file in files {
            let path = self.tox_root()?.join(crate::os_text::encode(file));
            if !path.exists() {
                continue;
            }
            if !path.is_file() {
                return Err(ConfigError::fail(format!("base_python_file: '{file}' is not a regular file")));
            }
            let text = bounded::read_text(&path)
                .map_err(|error| ConfigError::fail(format!("base_python_file: cannot read '{file}': {error}")))?;
            let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
            if let Some(version) = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#')) {
                let spec = PythonSpec::parse(version);
                if spec.path.is_some() || spec.major.is_none() {
                    let message = format!("base_python_file: '{file}' does not contain a Python version specifier");
                    return Err(ConfigError::fail(message));
                }
                return Ok(version.to_owned());
            }
        }
        let quoted: Vec<String> = files.iter().map(|file| format!("'{file}'")).collect();
        Err(ConfigError::fail(format!("base_python_file: no valid Python version found in {}", quoted.join(", "))))
    }

    /// A boolean that virtualenv's own variables may set.
    fn said_by_variables(&self, set: &ConfigSet, names: &[&str]) -> Result<SettingValue, ConfigError> {
        self.list(set, "pass_env")?;
        for name in names {
            let text = match self.set_env_value(set, name, &crate::settings::Trail::default()) {
                Ok(Some(text)) => Some(text),
                Ok(None) => self.options.process.variables.text(name),
                // A missing file of variables is reported where the variables are used.
                Err(error) if error.class == ErrorClass::Fail => self.options.process.variables.text(name),
                Err(error) => return Err(error),
            };
            if let Some(text) = text {
                return boolean(&text).map(SettingValue::Boolean);
            }
        }
        Ok(SettingValue::Boolean(false))
    }

    fn default_package(&self) -> Result<&'static str, ConfigError> {
        let root = self.tox_root()?;
        // The same for every environment, of which there may be thousands.
        let packaged = *self
            .facts
            .is_packaged
            .get_or_init(|| ["pyproject.toml", "setup.py", "setup.cfg"].iter().any(|file| root.join(file).exists()));
        Ok(if packaged { "sdist" } else { "skip" })
    }

    /// A wheel is built with an interpreter like the environment's own: the packaging environment's, when that fits.
    fn default_wheel_environment(&self, set: &ConfigSet) -> Result<SettingValue, ConfigError> {
        let package_env = self.text(set, "package_env")?;
        let own = self.interpreter(set).map_err(|error| {
            if error.class != ErrorClass::NoInterpreter {
                return error;
            }
            let specs = self.list(set, "base_python").unwrap_or_default().join(",");
            ConfigError::skip(format!("could not resolve base python with {specs}"))
        })?;
        let builder = self.environment_of_kind(&package_env, SetKind::Pep517Package);
        let shared = self.interpreter(&builder)?;
        if same_abi(&own, &shared) {
            return Ok(SettingValue::text(package_env));
        }
        let threaded = if own.free_threaded { "t" } else { "" };
        let debug = if own.debug { "d" } else { "" };
        let (major, minor) = (own.version.major, own.version.minor);
        let implementation = own.implementation.to_lowercase();
        Ok(SettingValue::text(format!("{package_env}-{implementation}{major}{minor}{threaded}{debug}")))
    }

    /// setuptools keeps state between calls, so it gets a fresh process each time.
    fn backend_is_setuptools(&self, set: &ConfigSet) -> Result<bool, ConfigError> {
        let file = self.path(set, "package_root")?.join("pyproject.toml");
        let Ok(text) = bounded::read_text(&file) else { return Ok(true) };
        let Ok(table) = toml::from_str::<toml::Table>(&text) else { return Ok(true) };
        let system = table.get("build-system").and_then(toml::Value::as_table);
        let backend = system.and_then(|system| system.get("build-backend")).and_then(toml::Value::as_str);
        Ok(backend.is_none_or(|name| name.split('.').next() == Some("setuptools")))
    }

    /// The keys for packaging that a run environment has, which depend on their values.
    pub(super) fn packaging_keys(&self, set: &ConfigSet) -> Result<Vec<&'static str>, ConfigError> {
        if self.boolean(self.core(), "no_package")? {
            return Ok(vec!["package"]);
        }
        let mut found = vec!["skip_install"];
        if self.boolean(set, "skip_install")? {
            found.push("package");
            return Ok(found);
        }
        if self.options.run.package.install_package.is_none() {
            found.push("use_develop");
        }
        found.push("package");
        let package = self.text(set, "package")?;
        if package != "skip" && self.package_of_runtime(set)?.is_none() {
            found.extend(["package_env", "package_tox_env_type"]);
        }
        if matches!(package.as_str(), "wheel" | "sdist-wheel" | "editable") {
            found.push("wheel_build_env");
        }
        Ok(found)
    }

    /// Whether a command line option decides about skipping.
    pub(super) fn skip_missing(&self, configured: bool) -> bool {
        match self.options.run.interpreters.skip_missing_interpreters {
            SkipMissing::Configured => configured,
            SkipMissing::Yes => true,
            SkipMissing::No => false,
        }
    }

    // --- typed access ------------------------------------------------------------------------------------------------

    pub fn tox_root(&self) -> Result<PathBuf, ConfigError> {
        self.path(self.core(), "tox_root")
    }

    pub fn path(&self, set: &ConfigSet, key: &str) -> Result<PathBuf, ConfigError> {
        match self.value(set, key)? {
            SettingValue::Path(path) => Ok(path),
            other => Err(mismatch(key, &other)),
        }
    }

    pub fn boolean(&self, set: &ConfigSet, key: &str) -> Result<bool, ConfigError> {
        match self.value(set, key)? {
            SettingValue::Boolean(flag) => Ok(flag),
            other => Err(mismatch(key, &other)),
        }
    }

    pub fn text(&self, set: &ConfigSet, key: &str) -> Result<String, ConfigError> {
        match self.value(set, key)? {
            SettingValue::Text(text) => Ok(text),
            other => Err(mismatch(key, &other)),
        }
    }

    pub fn list(&self, set: &ConfigSet, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.value(set, key)? {
            SettingValue::List(entries) | SettingValue::Set(entries) | SettingValue::Environments(entries) => {
                Ok(entries)
            }
            other => Err(mismatch(key, &other)),
        }
    }

    pub fn commands(&self, set: &ConfigSet, key: &str) -> Result<Vec<Command>, ConfigError> {
        match self.value(set, key)? {
            SettingValue::Commands(commands) => Ok(commands),
            other => Err(mismatch(key, &other)),
        }
    }
}

fn mismatch(key: &str, found: &SettingValue) -> ConfigError {
    ConfigError::new(ErrorClass::Type, format!("{key} has an unexpected type: {}", found.show().text))
}

fn nothing(kind: ValueKind) -> SettingValue {
    match kind {
        ValueKind::Text | ValueKind::Plain | ValueKind::Line => SettingValue::text(""),
        ValueKind::OptionalText
        | ValueKind::OptionalBoolean
        | ValueKind::OptionalMapping
        | ValueKind::Path
        | ValueKind::Command => SettingValue::Absent,
        ValueKind::Boolean => SettingValue::Boolean(false),
        ValueKind::Integer => SettingValue::Integer(0),
        ValueKind::Float => SettingValue::Float(0.0),
        ValueKind::List | ValueKind::RequirementList => SettingValue::List(Vec::new()),
        ValueKind::Set => SettingValue::Set(Vec::new()),
        ValueKind::Environments => SettingValue::Environments(Vec::new()),
        ValueKind::Labels => SettingValue::Labels(Vec::new()),
        ValueKind::Commands => SettingValue::Commands(Vec::new()),
        ValueKind::Variables => SettingValue::Variables(Vec::new()),
        ValueKind::Requirements | ValueKind::Constraints => SettingValue::Requirements(String::new()),
    }
}

fn same_abi(one: &Interpreter, other: &Interpreter) -> bool {
    (one.version.major, one.version.minor, &one.implementation, one.free_threaded, one.debug)
        == (other.version.major, other.version.minor, &other.implementation, other.free_threaded, other.debug)
}

/// The newest Python that a virtualenv release no longer supports, and that release.
/// <https://virtualenv.pypa.io/en/latest/reference/compatibility.html>
const DROPS: [((u32, u32), &str); 2] = [((3, 6), "20.22.0"), ((3, 8), "21.5.0")];

/// The virtualenv that still supports these interpreters; empty if the current one supports any of them.
fn old_virtualenv_for(specs: &[String]) -> String {
    let mut oldest: Option<usize> = None;
    for spec in specs.iter().map(|spec| PythonSpec::parse(spec)) {
        let (Some(major), Some(minor)) = (spec.major, spec.minor) else { return String::new() };
        let Some(at) = DROPS.iter().position(|(newest, _)| (major, minor) <= *newest) else { return String::new() };
        oldest = Some(oldest.map_or(at, |known| known.min(at)));
    }
    oldest.map_or_else(String::new, |at| format!("virtualenv<{}", DROPS[at].1))
}

/// The keys for services that an environment sets.
pub fn service_keys(settings: &Settings, set: &ConfigSet) -> Result<Vec<&'static str>, ConfigError> {
    mentioned(settings, set, keys::of_services())
}

/// The keys that an environment sets and tox does not have.
pub fn own_keys(settings: &Settings, set: &ConfigSet) -> Result<Vec<&'static str>, ConfigError> {
    mentioned(settings, set, keys::own())
}

fn mentioned(
    settings: &Settings,
    set: &ConfigSet,
    keys: impl Iterator<Item = &'static SettingKey>,
) -> Result<Vec<&'static str>, ConfigError> {
    let loaders = settings.loaders(set)?;
    let is_used = |key: &&SettingKey| loaders.iter().any(|loader| settings.mentions(loader, key));
    Ok(keys.filter(is_used).map(|key| key.name).collect())
}
