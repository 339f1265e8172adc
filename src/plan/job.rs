//! Selects the environments for a job of GitHub Actions if the project uses tox-gh or tox-gh-actions: those for the job's
//! Python instead of `env_list`. Has no effect outside of GitHub Actions.
//! <https://github.com/tox-dev/tox-gh>, <https://github.com/ymyzk/tox-gh-actions>
//!
//! tox uses these plugins if they are installed. envo assumes so if `requires` names them or the configuration has their
//! sections.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::cli::options::EnvironmentChoice;
use crate::error::ConfigError;
use crate::model::Interpreter;
use crate::settings::Settings;
use crate::settings::plugins::{EnvNameMapping, GhActions};
use crate::settings::value::SettingValue;

/// The variable that names the job's Python for tox-gh.
const GH_VERSION: &str = "TOX_GH_MAJOR_MINOR";

/// A job on GitHub Actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CiJob {
    pub plugin: CiPlugin,
    /// tox-gh selected several environments, and lists their results in the job's summary.
    pub tells_outcomes: bool,
}

/// The plugin to replace; if both are used, tox-gh, which replaces the list of environments instead of filtering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CiPlugin {
    Gh,
    GhActions,
}

/// Selects the environments by the job's Python. `tell` receives the plugins' messages. `None` if this is not a job, or
/// the project uses neither plugin.
pub fn choose(settings: &Settings, tell: &mut dyn FnMut(String)) -> Result<Option<CiJob>, ConfigError> {
    if settings.options.process.variables.text("GITHUB_ACTIONS").as_deref() != Some("true") {
        return Ok(None);
    }
    let mapping = settings.gh_mapping()?;
    if mapping.is_some() || settings.requires_distribution("tox-gh") {
        let several = choose_by_gh(settings, &mapping.unwrap_or_default(), tell)?;
        return Ok(Some(CiJob { plugin: CiPlugin::Gh, tells_outcomes: several }));
    }
    let sections = settings.gh_actions()?;
    if sections.is_some() || settings.requires_distribution("tox-gh-actions") {
        choose_by_gh_actions(settings, &sections.unwrap_or_default(), tell)?;
        return Ok(Some(CiJob { plugin: CiPlugin::GhActions, tells_outcomes: false }));
    }
    Ok(None)
}

/// Replaces `env_list` with the environments of the job's Python. Returns whether there are several.
fn choose_by_gh(
    settings: &Settings,
    mapping: &EnvNameMapping,
    tell: &mut dyn FnMut(String),
) -> Result<bool, ConfigError> {
    if settings.options.selection.environments != EnvironmentChoice::Default {
        return Ok(false);
    }
    tell("running tox-gh".to_owned());
    let words = match settings.options.process.variables.text(GH_VERSION).filter(|version| !version.is_empty()) {
        Some(version) => {
            let major = version.split('.').next().unwrap_or_default().to_owned();
            vec![version, major]
        }
        None => words_of_gh(&*job_python(settings)?),
    };
    let Some(names) = first_of(mapping, &words) else { return Ok(false) };
    tell(format!("tox-gh set {}", names.join(", ")));
    settings.core().set_in_memory("env_list", SettingValue::Environments(names.clone()));
    Ok(names.len() > 1)
}

/// Filters `env_list` by the job's Python and variables.
fn choose_by_gh_actions(
    settings: &Settings,
    sections: &GhActions,
    tell: &mut dyn FnMut(String),
) -> Result<(), ConfigError> {
    if settings.options.selection.environments != EnvironmentChoice::Default {
        let because = "envlist is explicitly given via TOXENV or -e option";
        tell(format!("tox-gh-actions won't override envlist because {because}"));
    }
    let listed = settings.list(settings.core(), "env_list")?;
    let words =
        words_of_gh_actions(&*interpreter(settings, &settings.interpreters.host_python().display().to_string())?);
    let alternatives = alternatives(sections, &words, &|name| settings.options.process.variables.text(name));
    let fits = |name: &String| {
        let factors: Vec<&str> = name.split('-').collect();
        alternatives.iter().any(|all| all.split('-').all(|factor| factors.contains(&factor)))
    };
    settings.core().set_in_memory("env_list", SettingValue::Environments(listed.into_iter().filter(fits).collect()));
    Ok(())
}

/// The sets of factors, joined by `-`, of which an environment must have one.
fn alternatives(sections: &GhActions, words: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let of_python = first_of(&sections.python, words);
    let of_variables = sections.variables.iter().filter_map(|(name, mapping)| first_of(mapping, &[variable(name)?]));
    let mut found = vec![String::new()];
    for factors in of_python.into_iter().chain(of_variables) {
        let with = |one: &String| factors.iter().map(|factor| joined(one, factor)).collect::<Vec<_>>();
        found = found.iter().flat_map(with).collect();
    }
    found.retain(|one| !one.is_empty());
    found
}

fn joined(one: &str, other: &str) -> String {
    if one.is_empty() { other.to_owned() } else { format!("{one}-{other}") }
}

fn first_of<'a>(mapping: &'a EnvNameMapping, words: &[String]) -> Option<&'a Vec<String>> {
    words.iter().find_map(|word| mapping.iter().find(|(key, _)| key == word)).map(|(_, names)| names)
}

/// The Python that the job has put first on PATH, else the host Python.
fn job_python(settings: &Settings) -> Result<Arc<Interpreter>, ConfigError> {
    let on_path = which::which_in_global(OsStr::new("python"), settings.options.process.variables.get("PATH")).ok();
    let python = on_path.and_then(|mut found| found.next()).unwrap_or_else(|| settings.interpreters.host_python());
    interpreter(settings, &python.display().to_string())
}

fn interpreter(settings: &Settings, path: &str) -> Result<Arc<Interpreter>, ConfigError> {
    settings.interpreters.find(&[path.to_owned()]).ok_or_else(|| {
        ConfigError::handled(format!(
            "failed to detect Python version from {path}, set {GH_VERSION} environment variable"
        ))
    })
}

fn words_of_gh(python: &Interpreter) -> Vec<String> {
    let (version, major) = (python.dotted_version(), python.version.major.to_string());
    if python.implementation == "PyPy" {
        vec![format!("pypy-{version}"), format!("pypy-{major}"), format!("pypy{major}")]
    } else if python.free_threaded {
        vec![format!("{version}t"), version, major]
    } else {
        vec![version, major]
    }
}

fn words_of_gh_actions(python: &Interpreter) -> Vec<String> {
    let threaded = if python.free_threaded { "t" } else { "" };
    let prefix = if python.implementation == "PyPy" { "pypy-" } else { "" };
    vec![
        format!("{prefix}{}{threaded}", python.dotted_version()),
        format!("{prefix}{}{threaded}", python.version.major),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(pairs: &[(&str, &[&str])]) -> EnvNameMapping {
        let owned = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs.iter().map(|(word, names)| ((*word).to_owned(), owned(names))).collect()
    }

    fn found(python: &[&str], platform: Option<&str>) -> Vec<String> {
        let sections = GhActions {
            python: mapping(&[("3.11", &["py311", "lint"]), ("3", &["py3"])]),
            variables: vec![("PLATFORM".to_owned(), mapping(&[("ubuntu", &["linux"]), ("any", &["linux", "mac"])]))],
        };
        let words: Vec<String> = python.iter().map(|word| (*word).to_owned()).collect();
        alternatives(&sections, &words, &|name| platform.filter(|_| name == "PLATFORM").map(str::to_owned))
    }

    #[test]
    fn factors_of_the_python_and_of_variables_are_combined() {
        assert_eq!(found(&["3.11", "3"], None), ["py311", "lint"]);
        assert_eq!(found(&["3.12", "3"], Some("any")), ["py3-linux", "py3-mac"]);
        assert_eq!(found(&["3.11", "3"], Some("other")), ["py311", "lint"]);
        assert_eq!(found(&["2.7", "2"], Some("ubuntu")), ["linux"]);
    }

    #[test]
    fn nothing_is_chosen_where_nothing_is_mapped() {
        assert!(found(&["2.7", "2"], None).is_empty());
    }
}
