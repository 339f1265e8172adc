//! Selects environments by names on the command line, `env_list`, labels and factors.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cli::options::EnvironmentChoice;
use crate::did_you_mean::closest;
use crate::error::ConfigError;
use crate::settings::Settings;
use crate::settings::value::SettingValue;

/// Environment names in tox's order, each with whether it was requested.
#[derive(Debug, Default)]
pub struct NamedEnvs {
    pub ordered: Vec<(String, bool)>,
    seen: FxHashSet<String>,
}

impl NamedEnvs {
    fn add(&mut self, name: &str, active: bool) -> Result<(), ConfigError> {
        if !self.seen.contains(name) {
            check_name(name)?;
            self.seen.insert(name.to_owned());
            self.ordered.push((name.to_owned(), active));
        }
        Ok(())
    }
}

/// A name becomes a folder, so it must stay inside the working directory.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0') {
        let quoted = crate::python_text::python_repr(name);
        return Err(ConfigError::handled(format!("environment name {quoted} is not a valid single path component")));
    }
    Ok(())
}

/// Collects the names. `fallback`: whether `py` is selected if nothing else is.
pub fn names(settings: &Settings, fallback: bool) -> Result<NamedEnvs, ConfigError> {
    let mut named = NamedEnvs::default();
    let SettingValue::Environments(env_list) = settings.value(settings.core(), "env_list")? else { return Ok(named) };
    let choice = &settings.options.selection.environments;
    match choice {
        EnvironmentChoice::Default => env_list.iter().try_for_each(|name| named.add(name, true))?,
        EnvironmentChoice::All => {}
        EnvironmentChoice::Named(asked) => {
            check_requested(settings, &env_list, asked)?;
            asked.iter().try_for_each(|name| named.add(name, true))?;
        }
    }
    let all = *choice == EnvironmentChoice::All;
    let packaged = |name: &String| settings.options.project.packaged.iter().any(|one| one.name == *name);
    settings.declared_names()?.iter().try_for_each(|name| named.add(name, all && !packaged(name)))?;
    if let SettingValue::Labels(labels) = settings.value(settings.core(), "labels")? {
        labels.iter().flat_map(|(_, members)| members).try_for_each(|name| named.add(name, false))?;
    }
    let selection = &settings.options.selection;
    let nothing = !named.ordered.iter().any(|(_, active)| *active);
    if selection.labels.is_empty() && selection.factors.is_empty() && fallback && nothing {
        match named.ordered.iter_mut().find(|(name, _)| name == "py") {
            Some((_, active)) => *active = true,
            None => named.ordered.push(("py".to_owned(), true)),
        }
    }
    Ok(named)
}

/// Whether an environment of that name can be run: tox creates those whose factors it knows.
pub fn can_be_made(settings: &Settings, name: &str) -> bool {
    let Ok(SettingValue::Environments(env_list)) = settings.value(settings.core(), "env_list") else { return true };
    check_requested(settings, &env_list, &[name.to_owned()]).is_ok()
}

/// Checks that every name on the command line is known, or consists of known factors.
fn check_requested(settings: &Settings, env_list: &[String], asked: &[String]) -> Result<(), ConfigError> {
    let known: FxHashSet<&str> = settings.declared_names()?.iter().map(String::as_str).collect();
    if asked.iter().all(|name| known.contains(name.as_str())) {
        return Ok(());
    }
    let factors = KnownFactors::of(settings, env_list, &known);
    let mut message = String::new();
    for name in asked {
        let Err(suggestion) = factors.check(name, &known) else { continue };
        if !message.is_empty() {
            message.push('\n');
        }
        message.push_str(name);
        if let Some(suggestion) = suggestion {
            message.push_str(&format!(" - did you mean {suggestion}?"));
        }
    }
    if message.is_empty() {
        return Ok(());
    }
    let error = ConfigError::handled(format!("provided environments not found in configuration file:\n{message}"));
    Err(error.hint(settings.source.missing_hint().unwrap_or("`envo list` shows all environments")))
}

struct KnownFactors<'a> {
    /// Factors that may be combined freely.
    combinable: FxHashSet<&'a str>,
    all: Vec<&'a str>,
}

impl<'a> KnownFactors<'a> {
    fn of(settings: &'a Settings, env_list: &'a [String], known: &FxHashSet<&'a str>) -> Self {
        let of_sections = settings.section_names();
        let mut combinable: FxHashSet<&str> = env_list.iter().flat_map(|name| name.split('-')).collect();
        combinable.extend(known);
        combinable.insert(".pkg");
        let listed: FxHashSet<&str> = env_list.iter().map(String::as_str).collect();
        let by_condition = known.iter().filter(|name| !listed.contains(*name) && !of_sections.contains(*name));
        combinable.extend(by_condition.flat_map(|name| name.split('-')));
        let mut all: FxHashSet<&str> = known.iter().flat_map(|name| name.split('-')).collect();
        all.extend(&combinable);
        let mut all: Vec<&str> = all.into_iter().collect();
        all.sort_unstable();
        Self { combinable, all }
    }

    /// The error is the suggested name.
    fn check(&self, name: &str, known: &FxHashSet<&str>) -> Result<(), Option<String>> {
        if known.contains(name) || name.starts_with(".pkg_external") {
            return Ok(());
        }
        let normal: Vec<String> =
            name.split('-').map(|one| if is_python(one) { one.replace('.', "") } else { one.to_owned() }).collect();
        let normal = normal.join("-");
        if normal != name && known.contains(normal.as_str()) {
            return Err(Some(normal));
        }
        let mut suggestions: FxHashMap<&str, Option<&str>> = FxHashMap::default();
        let mut wrong = false;
        for factor in name.split('-') {
            if is_python(factor) || is_pre_release(factor) || self.combinable.contains(factor) {
                // tox omits correct factors from a suggestion, so in this case it is omitted.
                suggestions.insert(factor, None);
            } else {
                wrong = true;
                let close = closest(factor, self.all.iter().copied());
                suggestions.insert(factor, close.filter(|close| *close != factor));
            }
        }
        if !wrong {
            return Ok(());
        }
        let mut seen = FxHashSet::default();
        let parts: Option<Vec<&str>> =
            name.split('-').filter(|factor| seen.insert(*factor)).map(|factor| suggestions[factor]).collect();
        Err(parts.map(|parts| parts.join("-")))
    }
}

/// Whether a factor is an interpreter spec, even if the configuration does not mention it.
fn is_python(factor: &str) -> bool {
    const PREFIXES: [&str; 8] = ["pypy", "py", "cpython", "jython", "graalpy", "rustpython", "ironpython", ""];
    PREFIXES.iter().filter_map(|prefix| factor.strip_prefix(prefix)).any(is_python_version)
}

fn is_python_version(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let text = text.strip_suffix('d').unwrap_or(text);
    let text = text.strip_suffix('t').unwrap_or(text);
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.iter().all(digits) && (parts.len() == 1 || (parts.len() <= 3 && parts[0].len() == 1))
}

fn is_pre_release(factor: &str) -> bool {
    let candidate = factor
        .strip_prefix("rc.")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    candidate || matches!(factor, "alpha" | "beta")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_need_not_be_mentioned() {
        for name in ["py", "py312", "3.13", "pypy3.10", "py3.13t", "cpython3", "3", "310"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["lint", "py3.x", "31.2", "pytest"] {
            assert!(!is_python(name), "{name}");
        }
        assert!(is_pre_release("rc.1") && is_pre_release("beta") && !is_pre_release("rc"));
    }

    #[test]
    fn names_are_one_folder() {
        assert!(check_name("py311").is_ok());
        assert!(check_name("../x").is_err() && check_name("").is_err() && check_name("..").is_err());
    }
}
