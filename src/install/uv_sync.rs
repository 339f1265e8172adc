//! Translates the settings of tox-uv's runners to uv's arguments and to the records of their environments. Starts
//! nothing.
//! <https://github.com/tox-dev/tox-uv>

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::InstallRequest;
use crate::bounded;
use crate::error::ConfigError;
use crate::model::environment::{UvProject, UvSettings, UvSync};
use crate::model::pep508::canonical_name;
use crate::model::{EnvVariables, Interpreter, PythonSpec};

/// Further inputs of `uv sync`.
#[derive(Debug, Clone, Copy)]
pub struct UvSyncConditions<'a> {
    /// The project's root, uv's working folder.
    pub root: &'a Path,
    /// The variables of the environment's processes.
    pub variables: &'a EnvVariables,
    pub recreate: bool,
    /// Whether another package is installed instead of the project (`--installpkg`).
    pub other_package: bool,
    /// 0 to 5.
    pub verbosity: u8,
    /// The Python of the environment, in uv's notation.
    pub python: &'a str,
}

/// The arguments of uv that bring an environment in line with the lock file.
pub fn arguments(
    settings: &UvSettings,
    sync: &UvSync,
    around: &UvSyncConditions<'_>,
) -> Result<Vec<String>, ConfigError> {
    let mut words = vec!["sync".to_owned()];
    let mut add = |parts: &[&str]| words.extend(parts.iter().map(|part| (*part).to_owned()));
    let root = sync.package_root.display().to_string();
    if sync.package_root != around.root {
        add(&["--directory", &root]);
    }
    let says_frozen = sync.flags.iter().any(|flag| flag == "--frozen");
    let frozen = is_set(around.variables.text("UV_FROZEN").as_deref());
    if sync.locked && !frozen && !says_frozen {
        add(&["--locked"]);
    }
    if frozen && !says_frozen {
        add(&["--frozen"]);
    }
    if settings.python_preference != "none" {
        add(&["--python-preference", &settings.python_preference]);
    }
    if !settings.resolution.is_empty() {
        add(&["--resolution", &settings.resolution]);
    }
    sync.extras.iter().for_each(|extra| add(&["--extra", extra]));
    if sync.no_default_groups {
        add(&["--no-default-groups"]);
    }
    if around.other_package || sync.package == "skip" {
        add(&["--no-install-project"]);
    }
    if around.recreate && !sync.flags.iter().any(|flag| flag == "--reinstall") {
        add(&["--reinstall"]);
    }
    if around.verbosity > 3 {
        add(&["-v"]);
    }
    if matches!(sync.package.as_str(), "wheel" | "uv") {
        add(&["--no-editable", "--reinstall-package", &project_name(&sync.package_root)?]);
    }
    sync.groups.iter().for_each(|group| add(&["--group", group]));
    sync.only_groups.iter().for_each(|group| add(&["--only-group", group]));
    sync.flags.iter().for_each(|flag| add(&[flag]));
    add(&["-p", around.python]);
    Ok(words)
}

/// The file that `uv sync` will not find, if any: uv looks for its project from `package_root` upwards, and makes no lock
/// file when it is to follow one.
/// <https://docs.astral.sh/uv/concepts/projects/sync/>
pub fn missing_file(sync: &UvSync, variables: &EnvVariables) -> Option<&'static str> {
    let elsewhere = |flag: &String| flag.starts_with("--project") || flag.starts_with("--directory");
    let names = ["UV_PROJECT", "UV_WORKING_DIRECTORY", "UV_WORKING_DIR"];
    if names.iter().any(|name| variables.text(name).is_some()) || sync.flags.iter().any(elsewhere) {
        return None;
    }
    let is_there = |name: &str| sync.package_root.ancestors().any(|folder| folder.join(name).exists());
    let names_lock = |flag: &String| flag == "--frozen" || flag == "--locked";
    let wants_lock = sync.locked
        || sync.flags.iter().any(names_lock)
        || ["UV_FROZEN", "UV_LOCKED"].iter().any(|name| is_set(variables.text(name).as_deref()));
    if !is_there("pyproject.toml") {
        return Some("pyproject.toml");
    }
    (wants_lock && !is_there("uv.lock")).then_some("uv.lock")
}

fn is_set(value: Option<&str>) -> bool {
    !matches!(value.unwrap_or_default().to_lowercase().as_str(), "" | "0" | "false" | "no" | "off")
}

/// The names in `[tool.uv.sources]` that come from the project's workspace, as written. tox-uv reads the
/// `pyproject.toml` in the folder of the configuration.
pub fn workspace_sources(config_file: &Path) -> Result<BTreeSet<String>, ConfigError> {
    let table = pyproject(config_file.parent().unwrap_or(Path::new(".")))?;
    let sources = table.get("tool").and_then(|tool| tool.get("uv")).and_then(|uv| uv.get("sources"));
    let sources = sources.and_then(toml::Value::as_table);
    let from_workspace = |source: &toml::Value| source.get("workspace").and_then(toml::Value::as_bool) == Some(true);
    let names = sources.into_iter().flatten().filter(|(_, source)| from_workspace(source));
    Ok(names.map(|(name, _)| name.clone()).collect())
}

/// The content of `pyproject.toml` in `folder`; empty if it does not exist.
fn pyproject(folder: &Path) -> Result<toml::Table, ConfigError> {
    let text = bounded::read_text(folder.join("pyproject.toml")).unwrap_or_default();
    text.parse().map_err(|error| ConfigError::handled(format!("invalid pyproject.toml: {error}")))
}

fn project_name(root: &Path) -> Result<String, ConfigError> {
    let table = pyproject(root)?;
    let name = table.get("project").and_then(|project| project.get("name")).and_then(toml::Value::as_str);
    name.map(str::to_owned).ok_or_else(|| ConfigError::handled("Could not detect project name"))
}

/// The first spec of an environment in uv's notation: a path unchanged, else implementation and version.
pub fn python_request(specs: &[String], interpreter: &Interpreter) -> String {
    let spec = PythonSpec::parse(specs.first().map_or("", String::as_str));
    if let Some(path) = spec.path {
        return path.display().to_string();
    }
    let version = &interpreter.version;
    let threaded = if interpreter.free_threaded { "+freethreaded" } else { "" };
    let implementation = interpreter.implementation.to_lowercase();
    match (spec.major, spec.minor) {
        (None, _) => implementation,
        (Some(major), None) => format!("{implementation}{major}{threaded}"),
        _ => format!("{implementation}{}.{}{threaded}", version.major, version.minor),
    }
}

/// The record of the interpreter in `.tox-info.json` as tox-uv writes it: of a requested version, only the requested
/// parts.
pub fn python_stamp(settings: &UvSettings, specs: &[String], interpreter: &Interpreter) -> Value {
    let spec = PythonSpec::parse(specs.first().map_or("", String::as_str));
    let version = &interpreter.version;
    let info = if spec.path.is_some() {
        json!([version.major, version.minor, version.micro, version.release_level, version.serial])
    } else {
        json!([spec.major.unwrap_or(0), spec.minor.unwrap_or(0), spec.micro.unwrap_or(0), "", 0])
    };
    let mut stamp = json!({"version_info": info, "seed": settings.seed});
    if settings.python_preference != "none" {
        stamp["python_preference"] = Value::from(settings.python_preference.clone());
    }
    stamp["venv"] = Value::from(".");
    stamp
}

/// Has uv build and install the project.
pub fn project(project: &UvProject) -> InstallRequest {
    let extras = if project.extras.is_empty() { String::new() } else { format!("[{}]", project.extras.join(",")) };
    let mut arguments = vec!["--reinstall".to_owned()];
    if project.editable {
        arguments.push("-e".to_owned());
    }
    arguments.push(format!("{}{extras}", project.path.display()));
    InstallRequest::new("package", arguments)
}

/// The request as tox-uv passes it to uv: `--reinstall` for pip's `--force-reinstall`, and built packages with their
/// names before their paths.
pub fn in_uv_words(request: &InstallRequest) -> InstallRequest {
    let is_package = matches!(request.of_type.as_str(), "package" | "external");
    let word = |argument: &String| match argument.as_str() {
        "--force-reinstall" => "--reinstall".to_owned(),
        path if is_package && !path.starts_with('-') => match distribution(path) {
            Some(name) => format!("{name}@{path}"),
            None => path.to_owned(),
        },
        _ => argument.clone(),
    };
    InstallRequest { arguments: request.arguments.iter().map(word).collect(), ..request.clone() }
}

/// The normalised name at the start of a package's file name.
fn distribution(path: &str) -> Option<String> {
    let file = Path::new(path).file_name()?.to_str()?;
    let name = match file.strip_suffix(".whl") {
        Some(wheel) => wheel.split_once('-')?.0,
        None => file.strip_suffix(".tar.gz").or_else(|| file.strip_suffix(".zip"))?.rsplit_once('-')?.0,
    };
    Some(canonical_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(change: impl Fn(&mut UvSync), variables: &[(&str, &str)]) -> String {
        let mut sync = UvSync {
            package: "editable".to_owned(),
            package_root: "/p".into(),
            extras: Vec::new(),
            groups: vec!["tests".to_owned()],
            only_groups: Vec::new(),
            no_default_groups: true,
            locked: true,
            flags: Vec::new(),
        };
        change(&mut sync);
        let settings = UvSettings {
            seed: false,
            python_preference: "system".to_owned(),
            resolution: String::new(),
            project: None,
            sync: None,
        };
        let mut own = EnvVariables::default();
        variables.iter().for_each(|(name, value)| own.set(name, value));
        let around = UvSyncConditions {
            root: Path::new("/p"),
            variables: &own,
            recreate: false,
            other_package: false,
            verbosity: 2,
            python: "cpython3.11",
        };
        arguments(&settings, &sync, &around).map_or_else(|error| error.message, |words| words.join(" "))
    }

    #[test]
    fn a_lock_file_is_followed_strictly_unless_told_otherwise() {
        let rest = "--python-preference system --no-default-groups --group tests";
        assert_eq!(words(|_| {}, &[]), format!("sync --locked {rest} -p cpython3.11"));
        assert_eq!(words(|_| {}, &[("UV_FROZEN", "1")]), format!("sync --frozen {rest} -p cpython3.11"));
        assert_eq!(words(|sync| sync.locked = false, &[]), format!("sync {rest} -p cpython3.11"));
        let frozen = words(|sync| sync.flags.push("--frozen".to_owned()), &[("UV_FROZEN", "1")]);
        assert_eq!(frozen, format!("sync {rest} --frozen -p cpython3.11"));
    }

    #[test]
    fn built_packages_are_named_before_their_paths() {
        let named = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            in_uv_words(&InstallRequest::new("package", arguments)).arguments.join(" ")
        };
        let wheel = named(&["--force-reinstall", "--no-deps", "/t/My_Demo-1-py3-none-any.whl"]);
        assert_eq!(wheel, "--reinstall --no-deps my-demo@/t/My_Demo-1-py3-none-any.whl");
        assert_eq!(named(&["/t/my-demo-1.0.tar.gz"]), "my-demo@/t/my-demo-1.0.tar.gz");
        assert_eq!(named(&["--reinstall", "-e", "/t/project[x]"]), "--reinstall -e /t/project[x]");
    }

    #[test]
    fn a_wheel_of_a_project_without_a_name_is_refused() {
        assert_eq!(words(|sync| sync.package = "wheel".to_owned(), &[]), "Could not detect project name");
    }
}
