//! What an environment gives to a shell, and the files that decide it.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::model::Environment;
use crate::settings::config_set::ConfigSet;
use crate::settings::{Settings, env_file};

/// The variables that tox sets for its own commands, which a person's shell does not need.
const OF_RUNS: [&str; 8] = [
    "TOX_ENV_NAME",
    "TOX_WORK_DIR",
    "TOX_ENV_DIR",
    "PIP_USER",
    "PIP_PRE",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
];

/// The variables of the files that `[envo]` names, then those of the environment, which count where both set one.
pub fn activation_variables(
    settings: &Settings,
    environment: &Environment,
    env_files: &[String],
) -> Result<Vec<(String, String)>, ConfigError> {
    let own = environment.variables.set.get()?;
    let lines: Vec<String> =
        env_files.iter().map(|file| optional(file).map_or(file.clone(), |file| format!("-{file}"))).collect();
    let outside = |name: &str| settings.options.process.variables.text(name);
    let mut variables = env_file::read(&lines.join("\n"), &settings.tox_root()?, &outside)?.variables;
    variables.retain(|(name, _)| own.iter().all(|(other, _)| other != name));
    variables.extend(own.into_iter().filter(|(name, _)| !OF_RUNS.contains(&name.as_str()) && name != "PATH"));
    Ok(variables)
}

fn optional(file: &str) -> Option<&str> {
    file.strip_prefix('?').map(str::trim_start)
}

/// The files besides the configuration that decide what the environment is and sets, relative to the project's root.
pub fn pulled_in_files(
    settings: &Settings,
    environment: &str,
    env_files: &[String],
    inputs: impl Iterator<Item = String>,
) -> Vec<PathBuf> {
    let set = settings.environment(environment);
    let of_environment = text_of(settings, &set, "env_file");
    let of_environment = of_environment.lines().map(|line| line.trim().trim_start_matches('-').trim());
    let of_project = env_files.iter().map(|file| optional(file).unwrap_or(file));
    let text = &settings.source.text;
    let included = text.match_indices("file|").map(|(at, mark)| &text[at + mark.len()..]);
    let included = included.map(|rest| rest.lines().next().unwrap_or_default().trim());
    let local = |file: &str| file.trim_start_matches("{tox_root}/").trim_start_matches("{toxinidir}/").to_owned();
    let named = of_environment.chain(of_project).chain(included).filter(|file| !file.is_empty()).map(local);
    inputs.chain(named).map(PathBuf::from).collect()
}

fn text_of(settings: &Settings, set: &ConfigSet, key: &str) -> String {
    match settings.says(set, key) {
        Ok(true) => settings.value(set, key).map_or_else(|_| String::new(), |value| value.show().text),
        _ => String::new(),
    }
}
