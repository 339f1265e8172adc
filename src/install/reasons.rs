//! Explains in tox's words why an existing environment has to be recreated.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::python_text::value_repr;

/// The record of one part of the environment, see [`crate::builder::stamp::Stamp::object`].
pub(super) type RecordedInstallation<'a> = Option<&'a Map<String, Value>>;

/// tox's version of the stored form; a record of another version is not compared.
pub(super) const REDACTION_FORMAT: u32 = 1;

/// Why the record of another environment (another name or type) cannot be used.
pub fn environment_changed(old: &Value, new: &Value) -> String {
    format!("env type changed from {} to {}", value_repr(old), value_repr(new))
}

/// Why an environment with another interpreter cannot be used: what was added, removed and changed.
pub fn python_changed(old: &Map<String, Value>, new: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    let mut part = |verb: &str, entries: Vec<String>| {
        if !entries.is_empty() {
            parts.push(format!("{verb} {}", entries.join(" | ")));
        }
    };
    let only_in = |one: &Map<String, Value>, other: &Map<String, Value>| {
        let missing = one.iter().filter(|(key, _)| !other.contains_key(*key));
        missing.map(|(key, value)| format!("{key}={}", value_repr(value))).collect::<Vec<_>>()
    };
    part("added", only_in(new, old));
    part("removed", only_in(old, new));
    let changed = new.iter().filter_map(|(key, value)| {
        let before = old.get(key).filter(|before| *before != value)?;
        Some(format!("{key}={}->{}", value_repr(before), value_repr(value)))
    });
    part("changed", changed.collect());
    format!("python {}", parts.join(", "))
}

/// Why the installed packages cannot be updated by installing more; `None` if they can.
pub(super) fn dependencies_changed(old: &Map<String, Value>, new: &Value) -> Option<String> {
    if old.get("redaction_format") != Some(&json!(REDACTION_FORMAT)) {
        return Some("install cache format changed".to_owned());
    }
    for (part, key, skipped) in [("install flag(s)", "options", 0), ("constraint(s)", "constraints", 3)] {
        if old.get(key) != new.get(key) {
            let before = strings(Some(old), key);
            let now = strings(new.as_object(), key);
            return Some(format!(
                "changed {part}{}{}",
                listed(" removed ", &before, &now, skipped),
                listed(" added ", &now, &before, skipped)
            ));
        }
    }
    let before = strings(Some(old), "requirements");
    let removed: Vec<&str> = before.difference(&strings(new.as_object(), "requirements")).copied().collect();
    if !removed.is_empty() {
        return Some(format!("requirements removed: {}", removed.join(" ")));
    }
    let before = old.get("constraint_options").unwrap_or(&Value::Null);
    let now = &new["constraint_options"];
    (before != now).then(|| format!("constraint options changed: old={} new={}", value_repr(before), value_repr(now)))
}

/// The entries of `one` missing from `other`, each without its first `skipped` characters.
fn listed(verb: &str, one: &BTreeSet<&str>, other: &BTreeSet<&str>, skipped: usize) -> String {
    let entries: Vec<&str> = one.difference(other).map(|entry| entry.get(skipped..).unwrap_or("")).collect();
    if entries.is_empty() { String::new() } else { format!("{verb}{}", entries.join(", ")) }
}

/// The texts recorded below `key`.
pub(super) fn strings<'v>(recorded: RecordedInstallation<'v>, key: &str) -> BTreeSet<&'v str> {
    let list = recorded.and_then(|recorded| recorded.get(key)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_interpreter_are_told_as_python_shows_values() {
        let old = json!({"version_info": [3, 10, 0, "final", 0], "executable": "/a", "virtualenv version": "20"});
        let new = json!({"version_info": [3, 11, 0, "final", 0], "executable": "/a", "x": null});
        let (Some(old_map), Some(new_map)) = (old.as_object(), new.as_object()) else { unreachable!() };
        let expected = "python added x=None, removed virtualenv version='20', changed \
                        version_info=[3, 10, 0, 'final', 0]->[3, 11, 0, 'final', 0]";
        assert_eq!(python_changed(old_map, new_map), expected);
        let (old, new) = (json!({"name": "a", "type": "X"}), json!({"name": "a", "type": "Y"}));
        let expected = "env type changed from {'name': 'a', 'type': 'X'} to {'name': 'a', 'type': 'Y'}";
        assert_eq!(environment_changed(&old, &new), expected);
    }
}
