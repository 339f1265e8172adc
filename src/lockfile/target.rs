//! Determines the Python that a lock is for. An environment that names a version (`py311`) is locked for exactly that
//! one, installed or not; one without a version (`lint`) for every Python from some version up, since its Python
//! differs between machines.

use std::str::FromStr;

use pep440_rs::{Operator, VersionSpecifiers};

use crate::model::{InterpreterLookup, PythonSpec};

/// The Python that a lock is for.
#[derive(Debug, Clone)]
pub struct LockTarget {
    /// The specs that select the interpreter.
    pub specs: Vec<String>,
    /// `3.11`: the version, or the lowest one.
    pub version: (u32, u32),
    /// Whether it is for this version only.
    pub exact: bool,
    /// Whether it is for CPython only.
    pub cpython: bool,
}

impl LockTarget {
    /// The target for an environment with `specs`. `lowest`: the oldest Python of the project or an earlier lock, used
    /// if the specs name no version. An interpreter is queried only if nothing else determines the version.
    pub fn of(specs: &[String], lookup: &dyn InterpreterLookup, lowest: Option<(u32, u32)>) -> Result<Self, String> {
        let parsed: Vec<PythonSpec> = specs.iter().map(|spec| PythonSpec::parse(spec)).collect();
        let named = match parsed.as_slice() {
            [one] => Some(one),
            // The choice among several depends on which are installed.
            several => {
                let found = lookup.find(specs);
                let fitting = found.and_then(|found| several.iter().find(|spec| spec.fits(&found)));
                fitting.or(several.first())
            }
        };
        let specs = specs.to_vec();
        let cpython = named.is_none_or(|spec| {
            let name = spec.implementation.as_deref().unwrap_or("cpython");
            spec.path.is_none() && matches!(name.to_lowercase().as_str(), "cpython" | "py" | "python")
        });
        if let Some((major, minor)) = named.and_then(|spec| spec.major.zip(spec.minor)) {
            return Ok(Self { specs, version: (major, minor), exact: true, cpython });
        }
        let of_specifier = named.and_then(|spec| lower_bound(spec.specifier.as_deref()?));
        let of_found = || lookup.find(&specs).map(|found| (found.version.major, found.version.minor));
        let Some(version) = of_specifier.or(lowest).or_else(of_found) else {
            let unanswered: String = lookup.unanswered().iter().map(|text| format!("; {text}")).collect();
            let specs = specs.join(", ");
            return Err(format!("could not find python interpreter matching any of the specs {specs}{unanswered}"));
        };
        Ok(Self { specs, version, exact: false, cpython: false })
    }

    /// `3.11`.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// The lock's `requires-python`.
    pub fn requires_python(&self) -> String {
        if self.exact { format!("=={}.*", self.dotted()) } else { format!(">={}", self.dotted()) }
    }
}

/// The part of the interpreter's choice that is the same on every machine.
pub fn input_lines(specs: &[String]) -> Vec<String> {
    let line = |spec: &String| {
        let parsed = PythonSpec::parse(spec);
        let name = parsed.implementation.as_deref().unwrap_or("cpython").to_lowercase();
        match (parsed.path, parsed.major, parsed.minor, parsed.specifier) {
            (Some(_), ..) => "any".to_owned(),
            (_, _, _, Some(specifier)) => specifier,
            (_, Some(major), Some(minor), _) => format!("{name}{major}.{minor}"),
            (_, Some(major), ..) => format!("{name}{major}"),
            _ => name,
        }
    };
    specs.iter().map(line).collect()
}

/// The lowest minor version that `requires-python` allows, if it has a bound.
pub fn lower_bound(requires_python: &str) -> Option<(u32, u32)> {
    let specifiers = VersionSpecifiers::from_str(requires_python).ok()?;
    let bounds = specifiers.iter().filter_map(|specifier| {
        let is_lower = matches!(
            specifier.operator(),
            Operator::GreaterThanEqual
                | Operator::GreaterThan
                | Operator::TildeEqual
                | Operator::Equal
                | Operator::EqualStar
        );
        let release = specifier.version().release().to_vec();
        let part = |at: usize| release.get(at).and_then(|number| u32::try_from(*number).ok());
        is_lower.then(|| Some((part(0)?, part(1).unwrap_or(0))))?
    });
    bounds.max().filter(|(major, _)| *major >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::interpreter::NoInterpreters;

    fn target(spec: &str, lowest: Option<(u32, u32)>) -> Result<(String, bool, bool), String> {
        let target = LockTarget::of(&[spec.to_owned()], &NoInterpreters, lowest)?;
        Ok((target.requires_python(), target.exact, target.cpython))
    }

    #[test]
    fn a_version_that_is_not_installed_is_locked_for_by_its_number() {
        assert_eq!(target("py314", None), Ok(("==3.14.*".to_owned(), true, true)));
        assert_eq!(target("pypy3.10", None), Ok(("==3.10.*".to_owned(), true, false)));
        assert_eq!(target(">=3.9", None), Ok((">=3.9".to_owned(), false, false)));
    }

    #[test]
    fn an_environment_without_a_version_is_locked_from_the_lowest_up() {
        assert_eq!(target("/usr/bin/python3", Some((3, 10))), Ok((">=3.10".to_owned(), false, false)));
        assert!(target("python", None).is_err());
    }

    #[test]
    fn inputs_name_no_path() {
        let lines = |spec: &str| input_lines(&[spec.to_owned()]).join(" ");
        assert_eq!(lines("/usr/bin/python3"), "any");
        assert_eq!(lines("py311"), "cpython3.11");
        assert_eq!(lines("pypy3.10"), "pypy3.10");
    }

    #[test]
    fn the_lowest_version_is_found_in_requirements() {
        for (text, bound) in
            [(">=3.9", Some((3, 9))), (">=3.8,!=3.9.*,<4", Some((3, 8))), ("==3.11.*", Some((3, 11))), ("<4", None)]
        {
            assert_eq!(lower_bound(text), bound, "{text}");
        }
    }
}
