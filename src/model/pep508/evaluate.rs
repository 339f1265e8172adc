//! Whether a marker holds in an environment, as `packaging.markers.Marker.evaluate` decides it.
//! <https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers>

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier};

use super::{Marker, MarkerPart, Operand, canonical_name};

/// The values of marker variables.
#[derive(Debug, Clone, Default)]
pub struct MarkerEnvironment<'a> {
    /// `python_version`, `sys_platform`, …
    pub values: Option<&'a BTreeMap<String, String>>,
    /// `extras` of a lock file.
    pub extras: BTreeSet<String>,
    /// `dependency_groups` of a lock file.
    pub groups: BTreeSet<String>,
}

/// Variables that are compared as versions if both sides are versions.
const VERSIONS: [&str; 4] = ["implementation_version", "platform_release", "python_full_version", "python_version"];

impl Marker {
    /// Whether the marker holds.
    pub fn holds(&self, environment: &MarkerEnvironment<'_>) -> Result<bool, String> {
        let mut any = false;
        let mut all = true;
        for part in &self.0 {
            match part {
                MarkerPart::And => {}
                MarkerPart::Or => {
                    any |= all;
                    all = true;
                }
                MarkerPart::Group(marker) => all &= marker.holds(environment)?,
                MarkerPart::Comparison { left, operator, right } => all &= compare(left, operator, right, environment)?,
            }
        }
        Ok(any || all)
    }
}

fn compare(
    left: &Operand,
    operator: &str,
    right: &Operand,
    environment: &MarkerEnvironment<'_>,
) -> Result<bool, String> {
    let (variable, is_left) = match (left, right) {
        (Operand::Variable(name), _) => (name, true),
        (Operand::Text(_), Operand::Variable(name)) => (name, false),
        (Operand::Text(_), Operand::Text(text)) => return Err(format!("`{text}` is not a marker variable")),
    };
    let other = match if is_left { right } else { left } {
        Operand::Text(text) | Operand::Variable(text) => text,
    };
    let set = match variable.as_str() {
        "extras" => Some(&environment.extras),
        "dependency_groups" => Some(&environment.groups),
        _ => None,
    };
    if let Some(set) = set {
        let contains = set.iter().any(|entry| canonical_name(entry) == canonical_name(other));
        return match (is_left, operator) {
            (false, "in") => Ok(contains),
            (false, "not in") => Ok(!contains),
            _ => Err(format!("Set-valued marker '{variable}' can only be used with the membership form")),
        };
    }
    let value = environment.values.and_then(|values| values.get(variable)).map(String::as_str);
    let Some(value) = value.or((variable == "extra").then_some("")) else {
        return Err(format!("'{variable}' is not known"));
    };
    // A Python built from its repository has the version `3.15.0a0+`, which is not a valid one.
    let repaired = if variable == "python_full_version" && value.ends_with('+') {
        format!("{value}local")
    } else {
        value.to_owned()
    };
    let (left, right) = if is_left { (repaired.as_str(), other.as_str()) } else { (other.as_str(), repaired.as_str()) };
    if VERSIONS.contains(&variable.as_str())
        && let Some(holds) = compare_versions(left, operator, right)
    {
        return Ok(holds);
    }
    match operator {
        "in" => Ok(right.contains(left)),
        "not in" => Ok(!right.contains(left)),
        "==" | "<=" | ">=" => Ok(left == right),
        "!=" => Ok(left != right),
        "<" | ">" => Ok(false),
        _ => Err(format!("Undefined <Op('{operator}')> on '{left}' and '{right}'.")),
    }
}

/// `None` if the right side is not a version.
fn compare_versions(left: &str, operator: &str, right: &str) -> Option<bool> {
    if matches!(operator, "in" | "not in") {
        return None;
    }
    if operator == "===" {
        return Some(left.eq_ignore_ascii_case(right));
    }
    let specifier = VersionSpecifier::from_str(&format!("{operator}{right}")).ok()?;
    Some(Version::from_str(left).is_ok_and(|version| specifier.contains(&version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pep508::Requirement;

    fn holds(marker: &str) -> Result<bool, String> {
        let values = [
            ("python_version", "3.10"),
            ("python_full_version", "3.10.4"),
            ("sys_platform", "linux"),
            ("os_name", "posix"),
            ("platform_release", "6.1.0-x"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let environment = MarkerEnvironment {
            values: Some(&values),
            extras: BTreeSet::from(["my-extra".to_owned()]),
            groups: BTreeSet::new(),
        };
        let requirement: Requirement = format!("a; {marker}").parse().map_err(|error| format!("{error}"))?;
        requirement.marker.map_or(Ok(true), |marker| marker.holds(&environment))
    }

    #[test]
    fn versions_are_compared_as_versions_and_the_rest_as_text() {
        for (marker, expected) in [
            ("python_version > '3.9'", true),
            ("'3.9' > python_version", false),
            ("python_version ~= '3.8'", true),
            ("python_full_version == '3.10.*'", true),
            ("python_version in '3.9 3.10'", true),
            ("python_version === '3.10'", true),
            ("platform_release >= '5'", false),
            ("sys_platform == 'linux'", true),
            ("sys_platform < 'win32'", false),
            ("'lin' in sys_platform", true),
            ("sys_platform == 'win32' or os_name == 'posix' and python_version >= '3'", true),
            ("(sys_platform == 'win32' or os_name == 'posix') and python_version < '3'", false),
            ("'My_Extra' in extras", true),
            ("'x' not in dependency_groups", true),
            ("extra == 'x'", false),
        ] {
            assert_eq!(holds(marker), Ok(expected), "{marker}");
        }
    }

    #[test]
    fn comparisons_without_meaning_are_errors() {
        for marker in ["sys_platform ~= 'x'", "extras == 'x'", "'a' == 'b'", "implementation_name == 'x'"] {
            assert!(holds(marker).is_err(), "{marker}");
        }
    }
}
