//! Merges the options of all lines as pip does.

use std::collections::BTreeSet;

use crate::model::pep508::canonical_name;
use crate::os_text;
use crate::python_text::path;
use crate::python_text::python_repr;
use crate::requirements::arguments::{BinaryOption, LineOptions};

const DEFAULT_INDEX_URL: &str = "https://pypi.org/simple";

#[derive(Debug, Clone, PartialEq, Eq)]
enum OptionValue {
    Flag,
    List(Vec<String>),
    Set(BTreeSet<String>),
}

/// By tox's names, in the order in which they were first set, which is the order they are stored in.
#[derive(Debug, Default)]
pub(super) struct MergedOptions(Vec<(&'static str, OptionValue)>);

impl MergedOptions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are requirement or constraint files.
    pub(super) fn names_files(&self) -> bool {
        self.get("requirements").is_some() || self.get("constraints").is_some()
    }

    fn get(&self, name: &str) -> Option<&OptionValue> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn list(&self, name: &str) -> Option<&[String]> {
        match self.get(name)? {
            OptionValue::List(list) => Some(list),
            _ => None,
        }
    }

    fn set(&mut self, name: &'static str, value: OptionValue) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds missing values.
    fn extend<'v>(&mut self, name: &'static str, values: impl IntoIterator<Item = &'v String>) {
        for value in values {
            let mut list = self.list(name).map(<[String]>::to_vec).unwrap_or_default();
            if !list.contains(value) {
                list.push(value.clone());
            }
            self.set(name, OptionValue::List(list));
        }
    }

    /// Adds the options of one line; paths in it are relative to the folder of `file`.
    pub(super) fn merge(&mut self, line: &LineOptions, file: &str) {
        self.extend("requirements", line.requirements.first());
        self.extend("constraints", line.constraints.first());
        if line.require_hashes {
            self.set("require_hashes", OptionValue::Flag);
        }
        self.extend("features_enabled", &line.features);
        if let Some(OptionValue::List(features)) = self.get("features_enabled") {
            let mut features = features.clone();
            features.sort();
            self.set("features_enabled", OptionValue::List(features));
        }
        self.merge_indexes(line);
        if let Some(link) = line.sources.find_links.first() {
            let beside = path::joined(&path::parent(file), link);
            let link = if beside.exists() { os_text::decode(beside.as_os_str()) } else { link.clone() };
            self.extend("find_links", [&link]);
        }
        if line.pre {
            self.set("pre", OptionValue::Flag);
        }
        if line.prefer_binary {
            self.set("prefer_binary", OptionValue::Flag);
        }
        self.extend("trusted_hosts", &line.trusted_hosts);
        if !line.binary.is_empty() {
            self.merge_binary(&line.binary);
        }
        if line.no_deps {
            self.set("no_deps", OptionValue::Flag);
        }
    }

    /// After `--no-index` all indexes are ignored, wherever they are.
    fn merge_indexes(&mut self, line: &LineOptions) {
        let mut urls = self.list("index_url").map(<[String]>::to_vec);
        if line.sources.no_index || urls.as_ref().is_some_and(Vec::is_empty) {
            return self.set("index_url", OptionValue::List(Vec::new()));
        }
        if let Some(url) = &line.sources.index_url {
            let urls = urls.get_or_insert_default();
            match urls.first_mut() {
                Some(first) => first.clone_from(url),
                None => urls.push(url.clone()),
            }
        }
        for url in &line.sources.extra_index_urls {
            let urls = urls.get_or_insert_with(|| vec![DEFAULT_INDEX_URL.to_owned()]);
            if !urls.contains(url) {
                urls.push(url.clone());
            }
        }
        if let Some(urls) = urls {
            self.set("index_url", OptionValue::List(urls));
        }
    }

    /// pip keeps one set per option over all lines, and a later value can remove names of an earlier one.
    fn merge_binary(&mut self, line: &[(BinaryOption, String)]) {
        for name in ["no_binary", "only_binary"] {
            if self.get(name).is_none() {
                self.set(name, OptionValue::Set(BTreeSet::new()));
            }
        }
        let taken = |name| match self.get(name) {
            Some(OptionValue::Set(names)) => names.clone(),
            _ => BTreeSet::new(),
        };
        let (mut none, mut only) = (taken("no_binary"), taken("only_binary"));
        for (option, value) in line {
            match option {
                BinaryOption::No => choose(value, &mut none, &mut only),
                BinaryOption::Only => choose(value, &mut only, &mut none),
            }
        }
        for (name, names) in [("no_binary", none), ("only_binary", only)] {
            if names.is_empty() {
                self.0.retain(|(known, _)| *known != name);
            } else {
                self.set(name, OptionValue::Set(names));
            }
        }
    }

    /// As arguments for pip, grouped by option.
    pub(super) fn groups(&self) -> Vec<Vec<String>> {
        let mut groups: Vec<Vec<String>> = Vec::new();
        self.valued(&mut groups, "requirements", "-r");
        self.valued(&mut groups, "constraints", "-c");
        match self.list("index_url") {
            None => {}
            Some([]) => groups.push(vec!["--no-index".to_owned()]),
            Some([first, extra @ ..]) => {
                if first != DEFAULT_INDEX_URL {
                    groups.push(vec!["-i".to_owned(), first.clone()]);
                }
                groups.extend(extra.iter().map(|url| vec!["--extra-index-url".to_owned(), url.clone()]));
            }
        }
        self.valued(&mut groups, "find_links", "-f");
        self.flag(&mut groups, "pre", "--pre");
        self.valued(&mut groups, "trusted_hosts", "--trusted-host");
        self.flag(&mut groups, "prefer_binary", "--prefer-binary");
        self.flag(&mut groups, "require_hashes", "--require-hashes");
        self.valued(&mut groups, "features_enabled", "--use-feature");
        // pip drops the names of an earlier `--no-binary` at `--only-binary :all:`, so that one comes first.
        let binary = [("no_binary", "--no-binary"), ("only_binary", "--only-binary")];
        let all = matches!(self.get("only_binary"), Some(OptionValue::Set(names)) if names.contains(":all:"));
        for (name, option) in if all { [binary[1], binary[0]] } else { binary } {
            if let Some(OptionValue::Set(names)) = self.get(name) {
                groups.push(vec![option.to_owned(), joined(names)]);
            }
        }
        self.flag(&mut groups, "no_deps", "--no-deps");
        groups
    }

    fn valued(&self, groups: &mut Vec<Vec<String>>, name: &str, option: &str) {
        let values = self.list(name).unwrap_or_default();
        groups.extend(values.iter().map(|value| vec![option.to_owned(), value.clone()]));
    }

    fn flag(&self, groups: &mut Vec<Vec<String>>, name: &str, option: &str) {
        if self.get(name).is_some() {
            groups.push(vec![option.to_owned()]);
        }
    }

    /// In tox's stored form: `name=value` with the value as shown by Python.
    pub(super) fn stored(&self) -> Vec<String> {
        let stored = self.0.iter().map(|(name, value)| match value {
            OptionValue::Flag => format!("{name}=True"),
            OptionValue::List(list) => {
                let list: Vec<String> = list.iter().map(|entry| python_repr(entry)).collect();
                format!("{name}=[{}]", list.join(", "))
            }
            OptionValue::Set(names) => format!("{name}={}", joined(names)),
        });
        stored.collect()
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Adds the names of `value` to `target`, as pip's `--no-binary` and `--only-binary` do.
fn choose(value: &str, target: &mut BTreeSet<String>, other: &mut BTreeSet<String>) {
    let mut names: Vec<&str> = value.split(',').collect();
    while let Some(all) = names.iter().position(|name| *name == ":all:") {
        other.clear();
        target.clear();
        target.insert(":all:".to_owned());
        names.drain(..=all);
        if !names.contains(&":none:") {
            return;
        }
    }
    for name in names {
        if name == ":none:" {
            target.clear();
            continue;
        }
        let name = canonical_name(name);
        other.remove(&name);
        target.insert(name);
    }
}
