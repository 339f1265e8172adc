//! What an environment is made from, as one value with one digest: caches, `list` and the choice of affected environments
//! compare it.

use std::collections::BTreeMap;

use crate::digest::sha256;

/// The settings and files that an environment is made from and run with. Paths are relative to the project's root, so
/// that the value is the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvInputs {
    /// The settings that decide what is installed, by key; those of its packaging environment and its bases too.
    pub contents: BTreeMap<String, String>,
    /// All others that affect a run, such as its commands.
    pub behaviour: BTreeMap<String, String>,
    /// The digests of requirement, constraint, lock and metadata files; `None`: the file does not exist.
    pub files: BTreeMap<String, Option<String>>,
}

impl EnvInputs {
    /// The digest of what is installed: the same digest, the same environment. Commands do not count.
    pub fn digest(&self) -> String {
        let mut text = String::new();
        let files = self.files.iter().map(|(name, digest)| (name, digest.as_deref().unwrap_or("missing")));
        let contents = self.contents.iter().map(|(key, value)| (key, value.as_str()));
        for (name, value) in contents.chain(files) {
            // Lengths keep a value from looking like the next name.
            text.push_str(&format!("{} {} {name} {value}\n", name.len(), value.len()));
        }
        sha256(text)
    }

    /// The keys whose values differ from those of `other`.
    pub fn changed_settings(&self, other: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        for (one, other) in [(&self.contents, &other.contents), (&self.behaviour, &other.behaviour)] {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            changed.extend(keys.filter(|key| one.get(*key) != other.get(*key)).cloned());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(contents: &[(&str, &str)], files: &[(&str, Option<&str>)]) -> EnvInputs {
        EnvInputs {
            contents: contents.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            behaviour: BTreeMap::new(),
            files: files.iter().map(|(name, digest)| ((*name).to_owned(), digest.map(str::to_owned))).collect(),
        }
    }

    #[test]
    fn the_digest_depends_on_contents_and_files_and_not_on_commands() {
        let one = inputs(&[("deps", "a")], &[("r.txt", Some("1"))]);
        let mut other = one.clone();
        other.behaviour.insert("commands".into(), "x".into());
        assert_eq!(one.digest(), other.digest());
        assert_ne!(one.digest(), inputs(&[("deps", "b")], &[("r.txt", Some("1"))]).digest());
        assert_ne!(one.digest(), inputs(&[("deps", "a")], &[("r.txt", None)]).digest());
        assert_ne!(inputs(&[("a", "b c 1")], &[]).digest(), inputs(&[("a", "b"), ("c", "1")], &[]).digest());
    }

    #[test]
    fn changed_settings_are_named_whichever_side_has_them() {
        let (one, other) = (inputs(&[("deps", "a"), ("x", "1")], &[]), inputs(&[("deps", "b"), ("y", "1")], &[]));
        assert_eq!(one.changed_settings(&other), ["deps", "x", "y"]);
        assert!(one.changed_settings(&one).is_empty());
    }
}
