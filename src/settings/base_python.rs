//! Derives the interpreter from an environment's name, and checks that settings agree with it.
//! <https://tox.wiki/en/4.67.15/reference/config.html#base_python>

use crate::error::ConfigError;
use crate::model::PythonSpec;

const IMPLEMENTATIONS: [&str; 7] = ["pypy", "py", "cpython", "jython", "graalpy", "rustpython", "ironpython"];

/// The interpreter spec in the name of an environment, if any.
pub fn of_environment(name: &str) -> Result<Option<String>, ConfigError> {
    let spec = |asking: &str| explicit_version(asking).unwrap_or_else(|| asking.to_owned());
    let mut found: Vec<String> = asking(name).map(spec).collect();
    if found.len() > 1 {
        let message = format!("conflicting factors {} in {name}", found.join(", "));
        return Err(ConfigError::value(message).hint(
            "an environment has one Python: keep one of these in its name, or let `base_python` alone say it with \
             `ignore_base_python_conflict = true` in the project's settings",
        ));
    }
    Ok(found.pop())
}

/// An error if several factors of the name are interpreter specs.
pub fn asks_twice(name: &str) -> bool {
    asking(name).nth(1).is_some()
}

/// The interpreter specs in the name: one factor, or two if the second is a version (`pypy-3.10`).
fn asking(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        while let Some(text) = rest {
            let (factor, after) = text.split_once('-').map_or((text, None), |(factor, after)| (factor, Some(after)));
            rest = after;
            if let Some(after) = after {
                let second = after.split('-').next().unwrap_or_default();
                let pair = &text[..=factor.len() + second.len()];
                if explicit_version(pair).is_some() {
                    rest = after.split_once('-').map(|(_, rest)| rest);
                    return Some(pair);
                }
            }
            if is_python_factor(factor) || explicit_version(factor).is_some() {
                return Some(factor);
            }
        }
        None
    })
}

/// `py311`, `pypy3.10`, `cpython`, `py313t`; but not `py` alone.
fn is_python_factor(factor: &str) -> bool {
    if factor == "py" {
        return false;
    }
    IMPLEMENTATIONS.iter().filter_map(|name| factor.strip_prefix(name)).any(is_version_with_flags)
}

/// Nothing, or a digit from 2 to 9, an optional dot, up to two more digits, then optionally `t` and `d`.
fn is_version_with_flags(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let text = text.strip_suffix('d').unwrap_or(text);
    let text = text.strip_suffix('t').unwrap_or(text);
    let mut characters = text.chars();
    if !characters.next().is_some_and(|first| ('2'..='9').contains(&first)) {
        return false;
    }
    let rest = characters.as_str();
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    rest.len() <= 2 && rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// `3.12`, `3.13t`, `pypy-3.10`, as a spec.
fn explicit_version(text: &str) -> Option<String> {
    let (prefix, version) = match text.split_once('-') {
        Some(("pypy", version)) => ("pypy", version),
        Some(("cpython", version)) => ("", version),
        Some(_) => return None,
        None => ("", text),
    };
    let digits = version.trim_end_matches('d');
    let digits = if version.len() - digits.len() > 1 { return None } else { digits };
    let digits = digits.strip_suffix('t').unwrap_or(digits);
    let (major, minor) = digits.split_once('.')?;
    let valid = matches!(major, "2" | "3") && !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| format!("{prefix}{version}"))
}

/// Whether `given` contradicts a part of `wanted`.
pub fn conflict(wanted: &PythonSpec, given: &PythonSpec) -> bool {
    let lower = |spec: &PythonSpec| spec.implementation.as_ref().map(|name| name.to_lowercase());
    fn differs<T: PartialEq>(wanted: &Option<T>, given: &Option<T>) -> bool {
        wanted.is_some() && wanted != given
    }
    differs(&lower(wanted), &lower(given))
        || differs(&wanted.major, &given.major)
        || differs(&wanted.minor, &given.minor)
        || differs(&wanted.micro, &given.micro)
        || differs(&wanted.architecture, &given.architecture)
        || differs(&wanted.machine, &given.machine)
        || differs(&wanted.free_threaded, &given.free_threaded)
        || differs(&wanted.debug, &given.debug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ask_for_interpreters() {
        let asked = |name| of_environment(name).expect("no conflict");
        assert_eq!(asked("py311-django").as_deref(), Some("py311"));
        assert_eq!(asked("3.12").as_deref(), Some("3.12"));
        assert_eq!(asked("lint-3.12").as_deref(), Some("3.12"));
        assert_eq!(asked("pypy-3.10").as_deref(), Some("pypy3.10"));
        assert_eq!(asked("pypy3").as_deref(), Some("pypy3"));
        assert_eq!(asked("py3.13t").as_deref(), Some("py3.13t"));
        assert_eq!(asked("py"), None);
        assert_eq!(asked("pytest"), None);
        assert_eq!(asked("lint"), None);
        assert_eq!(
            of_environment("py310-py311").expect_err("two").message,
            "conflicting factors py310, py311 in py310-py311"
        );
        assert_eq!(asked("lint-pypy-3.10-x").as_deref(), Some("pypy3.10"));
        assert_eq!(asked("cpython-3.13-lint").as_deref(), Some("3.13"));
        assert!(asks_twice("py310-py311") && asks_twice("a-3.10-pypy"));
        assert!(!asks_twice("pypy-3.10") && !asks_twice("py-py311") && !asks_twice("lint"));
    }
}
