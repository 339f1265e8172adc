//! The change of a shell's variables, and its reversal: a variable that was changed meanwhile keeps its value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use serde::{Deserialize, Serialize};

use crate::activation::cache::BuiltActivation;
use crate::digest::sha256;
use crate::model::EnvVariables;

/// The variable with the record of what was changed. Shells started inside inherit it together with the changes.
pub const RECORD: &str = "ENVO_ACTIVE";

/// The stamp of `envo shell`, which the hook leaves alone.
pub const OF_SHELL: &str = "shell";

/// What was changed, and how to undo it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedChange {
    /// What it was made from: the root and the content of the project.
    pub stamp: String,
    /// The values before, and a digest of those after; `None`: it was not set.
    variables: BTreeMap<String, (Option<Vec<u8>>, String)>,
    /// The folders that were added to PATH.
    paths: Vec<String>,
}

impl AppliedChange {
    /// The record that these variables have.
    pub fn of(variables: &EnvVariables) -> Option<Self> {
        serde_json::from_str(&variables.text(RECORD)?).ok()
    }

    /// The variables without the change.
    pub fn undone(&self, variables: &EnvVariables) -> EnvVariables {
        let mut result = variables.clone();
        result.remove(RECORD);
        for (name, (before, after)) in &self.variables {
            if variables.get(name).map(fingerprint).as_ref() != Some(after) {
                continue;
            }
            match before {
                Some(value) => result.set(name, OsString::from_vec(value.clone())),
                None => result.remove(name),
            }
        }
        if let Some(path) = result.get("PATH").map(OsStr::to_owned) {
            let mut entries: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b':').collect();
            for added in &self.paths {
                if let Some(at) = entries.iter().position(|entry| *entry == added.as_bytes()) {
                    entries.remove(at);
                }
            }
            result.set("PATH", OsString::from_vec(entries.join(&b':')));
        }
        result
    }
}

/// The variables with what was built for a project, and the record of that.
pub fn applied(variables: &EnvVariables, built: &BuiltActivation, stamp: &str) -> EnvVariables {
    let mut result = variables.clone();
    let mut change = AppliedChange { stamp: stamp.to_owned(), variables: BTreeMap::new(), paths: built.paths.clone() };
    for (name, value) in built.variables.iter().filter(|(name, _)| is_name(name) && name != "PATH") {
        let before = variables.get(name).map(|value| value.as_bytes().to_vec());
        change.variables.insert(name.clone(), (before, fingerprint(OsStr::new(value))));
        result.set(name, value);
    }
    let path = variables.get("PATH").unwrap_or_default().as_bytes();
    let added = built.paths.iter().map(String::as_bytes).chain((!path.is_empty()).then_some(path));
    result.set("PATH", OsString::from_vec(added.collect::<Vec<_>>().join(&b':')));
    result.set(RECORD, serde_json::to_string(&change).unwrap_or_default());
    result
}

/// What differs between two sets of variables; `None`: it is not set.
pub fn difference(before: &EnvVariables, after: &EnvVariables) -> Vec<(String, Option<OsString>)> {
    let changed = after.iter().filter(|(name, value)| before.get(&name.to_string_lossy()) != Some(value));
    let changed = changed.map(|(name, value)| (name.to_string_lossy().into_owned(), Some(value.to_owned())));
    let gone = before.iter().filter(|(name, _)| after.get(&name.to_string_lossy()).is_none());
    changed.chain(gone.map(|(name, _)| (name.to_string_lossy().into_owned(), None))).collect()
}

/// Whether every shell can have a variable of that name.
pub fn is_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_inner) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The record must not repeat values: it would keep those of secrets.
fn fingerprint(value: &OsStr) -> String {
    sha256(value.as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> EnvVariables {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn built() -> BuiltActivation {
        BuiltActivation {
            paths: vec!["/p/bin".into()],
            variables: vec![
                ("A".into(), "it's \n\"new\"".into()),
                ("B".into(), "2".into()),
                ("no-name".into(), "x".into()),
            ],
            ..BuiltActivation::default()
        }
    }

    #[test]
    fn leaving_restores_everything() {
        for before in [
            variables(&[("A", "old"), ("PATH", "/bin:/usr/bin"), ("C", "c")]),
            variables(&[("B", ""), ("PATH", "/p/bin:/bin")]),
        ] {
            let inside = applied(&before, &built(), "stamp");
            assert_eq!(inside.text("A").unwrap(), "it's \n\"new\"");
            assert!(inside.text("PATH").unwrap().starts_with("/p/bin:"));
            let change = AppliedChange::of(&inside).unwrap();
            assert_eq!(change.stamp, "stamp");
            assert_eq!(change.undone(&inside), before);
        }
    }

    #[test]
    fn what_was_changed_meanwhile_is_kept() {
        let before = variables(&[("A", "old"), ("PATH", "/bin")]);
        let mut inside = applied(&before, &built(), "stamp");
        inside.set("A", "mine");
        inside.remove("B");
        inside.set("PATH", "/mine:/p/bin:/bin");
        let after = AppliedChange::of(&inside).unwrap().undone(&inside);
        assert_eq!(after, variables(&[("A", "mine"), ("PATH", "/mine:/bin")]));
    }

    #[test]
    fn only_what_differs_is_changed() {
        let (before, after) = (variables(&[("A", "1"), ("B", "2"), ("C", "3")]), variables(&[("A", "1"), ("B", "x")]));
        let changes = difference(&before, &after);
        assert_eq!(changes, [("B".to_owned(), Some("x".into())), ("C".to_owned(), None)]);
    }
}
