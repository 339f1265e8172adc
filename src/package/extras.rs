//! Selects a project's requirements for the requested extras. Markers other than those on `extra` are kept as
//! written: the installer evaluates them for the target interpreter.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::ConfigError;
use crate::model::pep508::{Marker, MarkerPart, Operand, Requirement, canonical_name};

/// A requirement and the extras that include it; `None` among them: it applies without any.
#[derive(Debug, Clone)]
pub struct ConditionalRequirement {
    requirement: Requirement,
    extras: BTreeSet<Option<String>>,
}

impl ConditionalRequirement {
    /// A requirement that applies without any extra, whatever its marker.
    pub fn always(requirement: Requirement) -> Self {
        Self { requirement, extras: BTreeSet::from([None]) }
    }

    /// A requirement of the extra `extra`.
    pub fn of_extra(requirement: Requirement, extra: &str) -> Self {
        Self { requirement, extras: BTreeSet::from([Some(canonical_name(extra))]) }
    }

    /// A requirement from built metadata, whose extras are given by `extra == "name"` in its marker.
    pub fn from_marker(mut requirement: Requirement) -> Self {
        let mut extras = BTreeSet::new();
        if let Some(marker) = requirement.marker.take() {
            let rest = take_extras(marker, &mut extras);
            requirement.marker = (!rest.0.is_empty()).then_some(rest);
        }
        if extras.is_empty() {
            extras.insert(None);
        }
        Self { requirement, extras }
    }
}

/// Removes the comparisons with `extra` from the top level of a marker, each with its `and` or `or`.
fn take_extras(marker: Marker, extras: &mut BTreeSet<Option<String>>) -> Marker {
    let is_connective = |part: &MarkerPart| matches!(part, MarkerPart::And | MarkerPart::Or);
    let mut rest: Vec<MarkerPart> = Vec::new();
    let mut parts = marker.0.into_iter().peekable();
    while let Some(part) = parts.next() {
        let Some(extra) = extra_of(&part) else {
            rest.push(part);
            continue;
        };
        extras.insert(Some(canonical_name(extra)));
        let before = rest.pop_if(|part| is_connective(part));
        let after = parts.next_if(is_connective);
        // Between two terms one connective has to remain. (tox drops both, which leaves no marker at all.)
        if let (Some(before), Some(_)) = (before, after) {
            rest.push(before);
        }
    }
    Marker(rest)
}

fn extra_of(part: &MarkerPart) -> Option<&str> {
    let MarkerPart::Comparison { left, operator, right } = part else { return None };
    if operator != "==" {
        return None;
    }
    let is_extra = |operand: &Operand| matches!(operand, Operand::Variable(name) if name == "extra");
    let (Operand::Variable(text) | Operand::Text(text)) = if is_extra(left) {
        right
    } else if is_extra(right) {
        left
    } else {
        return None;
    };
    Some(text)
}

/// An extra to visit, and the markers of the self-references that led to it.
type ExtraPath = (Option<String>, BTreeMap<String, Marker>);

/// The requirements that apply, in the order of `conditionals`, with references of the package to its own
/// extras followed. `available`: the package's extras; `None`: unknown, and not checked.
pub fn select(
    conditionals: &[ConditionalRequirement],
    extras: &[String],
    package: &str,
    available: Option<&BTreeSet<String>>,
) -> Result<Vec<String>, ConfigError> {
    let wanted: BTreeSet<String> = extras.iter().map(|extra| canonical_name(extra)).collect();
    if let Some(available) = available {
        check(&wanted, available, package)?;
    }
    let package = canonical_name(package);
    let start = wanted.into_iter().map(Some).chain([None]);
    let mut waiting: BTreeSet<ExtraPath> = start.map(|extra| (extra, BTreeMap::new())).collect();
    let mut visited: BTreeSet<ExtraPath> = BTreeSet::new();
    let mut found: Vec<String> = Vec::new();
    while !waiting.is_empty() {
        let mut next = BTreeSet::new();
        for conditional in conditionals {
            for (_, way) in waiting.iter().filter(|(extra, _)| conditional.extras.contains(extra)) {
                let requirement = &conditional.requirement;
                if canonical_name(&requirement.name) == package {
                    let way = way.iter().map(|(shown, marker)| (shown.clone(), marker.clone()));
                    let own = requirement.marker.iter().map(|marker| (marker.to_string(), marker.clone()));
                    let way: BTreeMap<String, Marker> = way.chain(own).collect();
                    next.extend(requirement.extras.iter().map(|name| (Some(canonical_name(name)), way.clone())));
                    continue;
                }
                let shown = along(requirement, way);
                if !found.contains(&shown) {
                    found.push(shown);
                }
            }
        }
        visited.append(&mut waiting);
        waiting = next.difference(&visited).cloned().collect();
    }
    Ok(found)
}

/// A requirement that applies only if the self-references that led to it do.
fn along(requirement: &Requirement, way: &BTreeMap<String, Marker>) -> String {
    if way.is_empty() {
        return requirement.to_string();
    }
    let mut requirement = requirement.clone();
    let own = requirement.marker.take();
    requirement.marker = Some(Marker::all(way.values().cloned().chain(own)));
    requirement.to_string()
}

fn check(wanted: &BTreeSet<String>, available: &BTreeSet<String>, package: &str) -> Result<(), ConfigError> {
    let available: BTreeSet<String> = available.iter().map(|extra| canonical_name(extra)).collect();
    let unknown: Vec<&str> = wanted.difference(&available).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let available: Vec<&str> = available.iter().map(String::as_str).collect();
    let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
    let unknown = unknown.join(", ");
    Err(ConfigError::fail(format!("extras not found for package {package}: {unknown} (available: {available})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(requirements: &[&str], extras: &[&str], package: &str) -> Vec<String> {
        let all: Vec<_> = requirements
            .iter()
            .map(|text| ConditionalRequirement::from_marker(text.parse().expect("a requirement")))
            .collect();
        let extras: Vec<String> = extras.iter().map(|&extra| extra.to_owned()).collect();
        select(&all, &extras, package, None).expect("nothing is checked")
    }

    const MANY: [&str; 6] = [
        "platformdirs>=4.3.8",
        "colorama>=0.4.6",
        "covdefaults>=1.2; (python_version == '2.7' or python_version == '3.11') and extra == 'testing'",
        "pytest>=5.4.1; python_version == '3.11' and extra == 'testing'",
        "sphinx>=3; extra == 'docs'",
        "sphinx-rtd-theme<1,>=0.4.3; extra == 'docs'",
    ];

    #[test]
    fn without_extras_only_the_unconditional_requirements_apply() {
        assert_eq!(selected(&MANY, &[], ""), ["platformdirs>=4.3.8", "colorama>=0.4.6"]);
    }

    #[test]
    fn other_markers_stay_as_written() {
        assert_eq!(
            selected(&MANY, &["testing", "docs"], ""),
            [
                "platformdirs>=4.3.8",
                "colorama>=0.4.6",
                "covdefaults>=1.2; python_version == \"2.7\" or python_version == \"3.11\"",
                "pytest>=5.4.1; python_version == \"3.11\"",
                "sphinx>=3",
                "sphinx-rtd-theme<1,>=0.4.3",
            ]
        );
    }

    #[test]
    fn references_to_own_extras_are_followed() {
        let requirements = [
            "no-extra",
            "dep1[magic]; extra=='dev'",
            "dep1; extra=='test'",
            "dep2[a,b]; extra=='test'",
            "dep3; extra=='docs'",
            "name; extra=='dev'",
            "Name[test]; extra=='dev'",
        ];
        assert_eq!(selected(&requirements, &["dev"], "name"), ["no-extra", "dep1[magic]", "dep1", "dep2[a,b]"]);
    }

    #[test]
    fn a_circle_of_own_extras_keeps_the_markers_along_every_way() {
        let requirements = [
            "six; extra == 'dev'",
            "name[dev]; python_version < '3.0' and extra == 'all'",
            "name[all]; sys_platform == 'win32' and extra == 'dev'",
        ];
        assert_eq!(
            selected(&requirements, &["all"], "name"),
            ["six; python_version < \"3.0\"", "six; python_version < \"3.0\" and sys_platform == \"win32\""]
        );
    }

    #[test]
    fn markers_along_nested_references_come_together() {
        let requirements = [
            "six; implementation_name == 'cpython' and extra == 'dev'",
            "name[dev]; sys_platform == 'win32' and extra == 'mid'",
            "name[mid]; python_version < '3.0' and extra == 'all'",
            "name[dev]; extra == 'other'",
        ];
        assert_eq!(
            selected(&requirements, &["all", "other"], "name"),
            [
                "six; implementation_name == \"cpython\"",
                "six; python_version < \"3.0\" and sys_platform == \"win32\" and implementation_name == \"cpython\"",
            ]
        );
    }

    #[test]
    fn one_of_several_extras_is_enough_in_any_spelling() {
        let requirements = ["filelock<4.0.0,>=3.9.0; extra == \"extras_1\" or extra == \"extras2\" or extra == 'x'"];
        for extra in ["extras-1", "Extras_1", "extras2", "x"] {
            assert_eq!(selected(&requirements, &[extra], ""), ["filelock<4.0.0,>=3.9.0"]);
        }
        assert!(selected(&requirements, &["y"], "").is_empty());
    }

    #[test]
    fn an_extra_may_stand_on_either_side_of_its_comparison() {
        let requirements = ["a; 'x' == extra", "b; os_name == 'nt' and 'x' == extra"];
        assert!(selected(&requirements, &[], "name").is_empty());
        assert_eq!(selected(&requirements, &["x"], "name"), ["a", "b; os_name == \"nt\""]);
    }

    #[test]
    fn an_extra_between_two_terms_leaves_them_tied() {
        let requirements = ["a; os_name == 'nt' and extra == 'x' and python_version < '3'"];
        assert_eq!(selected(&requirements, &["x"], ""), ["a; os_name == \"nt\" and python_version < \"3\""]);
    }

    #[test]
    fn an_unknown_extra_is_refused_in_the_words_of_tox() {
        let available: BTreeSet<String> = ["beta".to_owned(), "al_pha".to_owned()].into();
        let refused = |available: &BTreeSet<String>| {
            select(&[], &["typo".to_owned()], "pkg", Some(available)).expect_err("an unknown extra").message
        };
        assert_eq!(refused(&available), "extras not found for package pkg: typo (available: al-pha, beta)");
        assert_eq!(refused(&BTreeSet::new()), "extras not found for package pkg: typo (available: none)");
        assert!(select(&[], &["Al-Pha".to_owned()], "pkg", Some(&available)).is_ok());
        assert!(select(&[], &[], "pkg", Some(&available)).is_ok());
    }
}
