//! Resolves dependency groups of `pyproject.toml` (PEP 735), including references to the project's own extras.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use crate::bounded;
use crate::error::ConfigError;
use crate::model::pep508::{Marker, Requirement, canonical_name};
use crate::python_text::python_repr;
use crate::python_text::repr;

/// The requirements of `groups` (normalised names), in canonical form, sorted.
pub fn resolve(root: &Path, groups: &[String]) -> Result<Vec<String>, ConfigError> {
    let file = root.join("pyproject.toml");
    if !file.exists() {
        return Err(fail(format!("no pyproject.toml found at {} to read dependency groups from", file.display())));
    }
    let could_not = |error: &dyn std::fmt::Display| fail(format!("could not read {}: {error}", file.display()));
    let text = bounded::read_text(&file).map_err(|error| could_not(&error))?;
    let project: Table = text.trim_start_matches('\u{feff}').parse().map_err(|error| could_not(&error))?;
    let Some(written) = project.get("dependency-groups") else {
        return Err(fail(format!("no dependency groups defined in {}", file.display())));
    };
    let Some(written) = written.as_table() else {
        return Err(fail(format!("dependency-groups is {} instead of table", python_type(written))));
    };
    let defined = DependencyGroups::new(written)?;
    let mut found = BTreeMap::new();
    for group in groups {
        defined.collect(group, &mut found)?;
    }
    let requirements = match OwnExtras::of(&project) {
        Some(own) => own.unwrap(found.into_values().collect())?,
        None => found.into_values().collect(),
    };
    let requirements: BTreeSet<String> = requirements.iter().map(ToString::to_string).collect();
    Ok(requirements.into_iter().collect())
}

fn fail(message: impl Into<String>) -> ConfigError {
    ConfigError::fail(message)
}

/// Equivalent requirements have the same key.
type RequirementKey = (String, BTreeSet<String>, BTreeSet<String>, Option<String>, Option<String>);

fn identity(requirement: &Requirement) -> RequirementKey {
    (
        canonical_name(&requirement.name),
        requirement.extras.iter().map(|extra| canonical_name(extra)).collect(),
        requirement.specifiers.clone(),
        requirement.url.clone(),
        requirement.marker.as_ref().map(ToString::to_string),
    )
}

struct DependencyGroups<'a> {
    /// By normalised name: the name as written and the group's value.
    defined: BTreeMap<String, (&'a str, &'a Value)>,
}

impl<'a> DependencyGroups<'a> {
    fn new(written: &'a Table) -> Result<Self, ConfigError> {
        let mut defined = BTreeMap::new();
        let mut names: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, value) in written {
            let normalized = canonical_name(name);
            match names.iter_mut().find(|(known, _)| *known == normalized) {
                Some((_, spellings)) => spellings.push(name),
                None => names.push((normalized.clone(), vec![name])),
            }
            defined.insert(normalized, (name.as_str(), value));
        }
        let twice = names.iter().filter(|(_, spellings)| spellings.len() > 1);
        let twice: Vec<String> = twice.map(|(name, spellings)| format!("{name} ({})", spellings.join(", "))).collect();
        if !twice.is_empty() {
            return Err(ConfigError::value(format!("Duplicate dependency group names: {}", twice.join(", "))));
        }
        Ok(Self { defined })
    }

    fn as_written(&self, group: &str) -> String {
        python_repr(self.defined.get(group).map_or(group, |(name, _)| *name))
    }

    /// Adds the requirements of a group and of those it includes; uses an explicit stack because includes may be nested
    /// a thousand deep.
    fn collect(&self, group: &str, found: &mut BTreeMap<RequirementKey, Requirement>) -> Result<(), ConfigError> {
        let mut done = BTreeSet::new();
        let mut path = vec![self.open(group.to_owned(), &[])?];
        while let Some((current, items)) = path.last_mut() {
            match items.next() {
                None => {
                    done.insert(std::mem::take(current));
                    path.pop();
                }
                Some(Value::String(text)) => {
                    let requirement = parse(text)?;
                    found.entry(identity(&requirement)).or_insert(requirement);
                }
                Some(Value::Table(table)) if table.len() == 1 && table.contains_key("include-group") => {
                    let name = table.get("include-group");
                    let name =
                        name.map_or_else(String::new, |name| name.as_str().map_or_else(|| repr(name), str::to_owned));
                    let name = canonical_name(&name);
                    // A group that was visited adds nothing.
                    if !done.contains(&name) {
                        path.push(self.open(name, &path)?);
                    }
                }
                Some(other) => return Err(fail(format!("invalid dependency group item: {}", repr(other)))),
            }
        }
        Ok(())
    }

    fn open(&self, group: String, path: &[Open<'a>]) -> Result<Open<'a>, ConfigError> {
        if path.iter().any(|(past, _)| *past == group) {
            let past: Vec<String> = path.iter().map(|(past, _)| self.as_written(past)).collect();
            let comma = if past.len() == 1 { "," } else { "" };
            let circle = format!("{} -> ({}{comma})", self.as_written(&group), past.join(", "));
            return Err(fail(format!("Cyclic dependency group include: {circle}")));
        }
        let Some((_, value)) = self.defined.get(&group) else {
            return Err(fail(format!("dependency group {} not found", self.as_written(&group))));
        };
        let value: &'a Value = value;
        match value.as_array() {
            Some(items) => Ok((group, items.iter())),
            None => Err(fail(format!("dependency group {} is not a list", self.as_written(&group)))),
        }
    }
}

/// A group and its remaining items.
type Open<'a> = (String, std::slice::Iter<'a, Value>);

fn parse(text: &str) -> Result<Requirement, ConfigError> {
    text.parse().map_err(|error| fail(format!("{} is not valid requirement due to {error}", python_repr(text))))
}

/// The extras the project itself defines.
struct OwnExtras<'a> {
    name: String,
    extras: BTreeMap<String, &'a Value>,
}

impl<'a> OwnExtras<'a> {
    fn of(project: &'a Table) -> Option<Self> {
        let project = project.get("project")?.as_table()?;
        let name = project.get("name")?.as_str().filter(|name| !name.is_empty())?;
        let defined = project.get("optional-dependencies").and_then(Value::as_table);
        let extras = defined.into_iter().flatten().map(|(name, value)| (canonical_name(name), value)).collect();
        Some(Self { name: canonical_name(name), extras })
    }

    /// Replaces requirements on the project itself by those of its extras.
    fn unwrap(&self, requirements: Vec<Requirement>) -> Result<Vec<Requirement>, ConfigError> {
        let mut pending: Vec<(Requirement, BTreeSet<Marker>)> =
            requirements.into_iter().map(|requirement| (requirement, BTreeSet::new())).collect();
        let mut seen = BTreeSet::new();
        let mut resolved = Vec::new();
        while let Some((mut requirement, mut markers)) = pending.pop() {
            if canonical_name(&requirement.name) != self.name {
                if !markers.is_empty() {
                    // Requirements of a conditional reference are subject to the same condition.
                    let mut all: Vec<Marker> = markers.into_iter().collect();
                    all.sort_by_key(ToString::to_string);
                    requirement.marker = Some(Marker::all(all.into_iter().chain(requirement.marker.take())));
                }
                resolved.push(requirement);
                continue;
            }
            markers.extend(requirement.marker.take());
            for extra in &requirement.extras {
                let name = canonical_name(extra);
                if !seen.insert((name.clone(), markers.clone())) {
                    continue;
                }
                let Some(required) = self.extras.get(&name) else {
                    return Err(fail(format!("extra {} not found in dependency groups", python_repr(extra))));
                };
                for text in required.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    pending.push((parse(text)?, markers.clone()));
                }
            }
        }
        Ok(resolved)
    }
}

pub(super) fn python_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "str",
        Value::Integer(_) => "int",
        Value::Float(_) => "float",
        Value::Boolean(_) => "bool",
        Value::Datetime(_) => "datetime",
        Value::Array(_) => "list",
        Value::Table(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, groups: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        std::fs::write(folder.path().join("pyproject.toml"), text).map_err(|error| error.to_string())?;
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        let place = folder.path().display().to_string();
        resolve(folder.path(), &groups).map_err(|error| error.message.replace(&place, "ROOT"))
    }

    #[test]
    fn groups_include_groups_whatever_the_spelling() -> Result<(), String> {
        let text = "[dependency-groups]\nMy_Test=['b>1,<2', {include-group='type.ing'}]\ntype-ing=['a ; os_name==\"x\"', 'B <2,>1']\n";
        assert_eq!(resolved(text, &["my-test"])?, ["a; os_name == \"x\"", "b<2,>1"]);
        Ok(())
    }

    #[test]
    fn requirements_on_the_project_become_those_of_its_extras() -> Result<(), String> {
        let text = "\u{feff}[project]\nname='My.Pkg'\n[project.optional-dependencies]\nx=['a','my-pkg[y]; os_name==\"p\"']\nY=['b; python_version>\"3\"']\n\
                    [dependency-groups]\ntest=['my_pkg[x]']";
        assert_eq!(resolved(text, &["test"])?, ["a", "b; os_name == \"p\" and python_version > \"3\""]);
        Ok(())
    }

    #[test]
    fn what_is_wrong_with_groups_is_told_in_the_words_of_tox() {
        for (text, expected) in [
            ("", "no dependency groups defined in ROOT/pyproject.toml"),
            ("dependency-groups=[]", "dependency-groups is list instead of table"),
            ("[dependency-groups]", "dependency group 'test' not found"),
            ("[dependency-groups]\nTest=1", "dependency group 'Test' is not a list"),
            ("[dependency-groups]\ntest=[{a=1}]", "invalid dependency group item: {'a': 1}"),
            (
                "[dependency-groups]\nTest=[{include-group='b'}]\nb=[{include-group='test'}]",
                "Cyclic dependency group include: 'Test' -> ('Test', 'b')",
            ),
            ("[dependency-groups]\ntest=[]\nTEST=[]", "Duplicate dependency group names: test (test, TEST)"),
            (
                "[dependency-groups]\ntest=['a b']",
                "'a b' is not valid requirement due to Expected semicolon (after name with no version specifier) or end\n    a b\n      ^",
            ),
            ("[project]\nname='p'\n[dependency-groups]\ntest=['p[z]']", "extra 'z' not found in dependency groups"),
        ] {
            assert_eq!(resolved(text, &["test"]), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_project_without_its_file_has_no_groups() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let message = resolve(folder.path(), &["a".to_owned()]).map_err(|error| error.message);
        let file = folder.path().join("pyproject.toml");
        let expected = format!("no pyproject.toml found at {} to read dependency groups from", file.display());
        assert_eq!(message, Err(expected));
        Ok(())
    }
}
