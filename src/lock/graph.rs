//! Builds and draws the dependency graph of a lock's packages. The lock does not contain it; it comes from the
//! resolver, run again with every version fixed, or from the metadata of installed packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::lock::ecosystems::{EcosystemContents, PackageKey};
use crate::lockfile::document::LockDocument;
use crate::model::pep508::{Requirement, canonical_name};
use crate::model::runtime::DEFAULT;
use crate::package::CoreMetadata;
use crate::python_text::escaped;

/// The depth of a tree.
const DEEPEST: usize = 100;

/// The packages of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageGraph {
    pub environment: String,
    /// The name in `runtime`.
    pub language: String,
    /// Versions by name; a lock for several platforms may have several of one package. If several are used at once, as
    /// in Node.js, the name of each is `NAME@VERSION`.
    pub versions: BTreeMap<String, Vec<String>>,
    /// The requirements of each package, by name.
    pub requires: BTreeMap<String, BTreeSet<String>>,
    /// The project's direct requirements.
    pub roots: BTreeSet<String>,
}

/// Pairs of a package and the one that requires it; `None`: the project does.
pub type PackageEdges = Vec<(String, Option<String>)>;

/// A package to draw: its name, the prefix of its line, and whether it is the last of its level.
type Line<'a> = (&'a String, Rc<str>, bool);

/// The lines of a level, the last one first: they are popped from the end.
fn level<'a>(names: &'a BTreeSet<String>, before: &str) -> impl Iterator<Item = Line<'a>> {
    let before: Rc<str> = before.into();
    names.iter().rev().enumerate().map(move |(at, name)| (name, Rc::clone(&before), at == 0))
}

impl PackageGraph {
    pub fn new(environment: &str, document: &LockDocument, edges: &PackageEdges) -> Self {
        let (environment, language) = (environment.to_owned(), DEFAULT.to_owned());
        let mut graph = Self { environment, language, ..Self::default() };
        for package in &document.packages {
            graph.versions.entry(package.name.clone()).or_default().push(package.version_text().to_owned());
        }
        let names: BTreeSet<&String> = document.packages.iter().map(|package| &package.name).collect();
        let known = |name: &String| names.contains(name);
        for (name, requirer) in edges {
            match requirer {
                Some(requirer) if known(requirer) && known(name) => {
                    graph.requires.entry(requirer.clone()).or_default().insert(name.clone());
                }
                None if known(name) => {
                    graph.roots.insert(name.clone());
                }
                _ => {}
            }
        }
        let asked = document.inputs.iter().filter(|(name, _)| ["deps", "groups", "project"].contains(&name.as_str()));
        for line in asked.flat_map(|(_, lines)| lines) {
            let name = line.parse::<Requirement>().map(|requirement| canonical_name(&requirement.name));
            graph.roots.extend(name.ok().filter(|name| known(name)));
        }
        graph.with_unasked()
    }

    /// The packages in the lock of another language.
    pub fn of_language(environment: &str, language: &str, contents: &EcosystemContents) -> Self {
        // Sorted by name.
        let names: Vec<&String> = contents.packages.keys().map(|(name, _)| name).collect();
        let several: BTreeSet<&String> = names.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        let named = |(name, version): &PackageKey| {
            if several.contains(name) { format!("{name}@{version}") } else { name.clone() }
        };
        let mut graph = Self { environment: environment.to_owned(), language: language.to_owned(), ..Self::default() };
        for (key, package) in &contents.packages {
            graph.versions.insert(named(key), vec![key.1.clone()]);
            if !package.requires.is_empty() {
                graph.requires.insert(named(key), package.requires.iter().map(named).collect());
            }
        }
        graph.roots = contents.roots.iter().map(named).collect();
        graph.with_unasked()
    }

    /// Treats packages without a known requirer as roots: their requirement could not be parsed, such as a path.
    fn with_unasked(mut self) -> Self {
        let required: BTreeSet<&String> = self.requires.values().flatten().collect();
        let unasked = self.versions.keys().filter(|name| !required.contains(name)).cloned().collect::<Vec<_>>();
        self.roots.extend(unasked);
        self
    }

    fn title(&self) -> String {
        if self.language == DEFAULT {
            return self.environment.clone();
        }
        format!("{} ({})", self.environment, self.language)
    }

    /// The reversed graph: from a requirement to the packages that require it.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut requires: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (requirer, names) in &self.requires {
            for name in names {
                requires.entry(name.clone()).or_default().insert(requirer.clone());
            }
        }
        let roots = self.versions.keys().filter(|name| !self.requires.contains_key(*name)).cloned().collect();
        Self { requires, roots, ..self.clone() }
    }

    /// A tree for users. A package that was drawn is not expanded again, and levels too deep to read are left out.
    pub fn tree(&self) -> String {
        let mut text = format!("{}\n", self.title());
        let mut drawn = BTreeSet::new();
        let mut open: Vec<Line<'_>> = level(&self.roots, "").collect();
        while let Some((name, before, is_last)) = open.pop() {
            let (branch, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            let children = self.requires.get(name).filter(|names| !names.is_empty());
            let is_deep = before.chars().count() >= DEEPEST * 4;
            let is_new = is_deep || drawn.insert(name);
            let mark = match children {
                Some(_) if is_deep => " (and what it requires)",
                Some(_) if !is_new => " (see above)",
                _ => "",
            };
            text.push_str(&format!("{before}{branch}{}{mark}\n", self.label(name)));
            if let Some(children) = children.filter(|_| is_new && !is_deep) {
                open.extend(level(children, &format!("{before}{below}")));
            }
        }
        text
    }

    fn label(&self, name: &str) -> String {
        let versions = self.versions.get(name).map(|versions| versions.join(", ")).unwrap_or_default();
        let name = name.strip_suffix(&format!("@{versions}")).unwrap_or(name);
        escaped(format!("{name} {versions}").trim_end())
    }

    /// The graph for programs.
    pub fn json(&self) -> Value {
        let packages: Vec<Value> = self
            .versions
            .iter()
            .map(|(name, versions)| {
                json!({
                    "name": name,
                    "versions": versions,
                    "requires": self.requires.get(name).cloned().unwrap_or_default(),
                })
            })
            .collect();
        json!({"environment": self.environment, "language": self.language, "roots": self.roots, "packages": packages})
    }

    /// The body of a flowchart; the names of its nodes begin with `prefix`.
    pub fn mermaid(&self, prefix: &str) -> String {
        let numbers: BTreeMap<&String, usize> = self.versions.keys().enumerate().map(|(at, name)| (name, at)).collect();
        let mut text = format!("    subgraph {prefix}[\"{}\"]\n", self.title().replace('"', "#quot;"));
        for (name, number) in &numbers {
            text.push_str(&format!("        {prefix}_{number}[\"{}\"]\n", self.label(name).replace('"', "#quot;")));
        }
        text.push_str("    end\n");
        for (name, number) in &numbers {
            for child in self.requires.get(*name).into_iter().flatten().filter_map(|child| numbers.get(child)) {
                text.push_str(&format!("    {prefix}_{number} --> {prefix}_{child}\n"));
            }
        }
        text
    }
}

/// Parses the resolver's annotated requirements: `idna==3.7  # via requests`.
pub fn edges_of_annotations(text: &str) -> PackageEdges {
    let mut edges = Vec::new();
    for line in text.lines() {
        let Some((requirement, via)) = line.split_once("# via ") else { continue };
        let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
        let name = canonical_name(&requirement[..end.unwrap_or(requirement.len())]);
        // The fixed versions are not requirements.
        for requirer in via.split(',').map(str::trim).filter(|requirer| !requirer.starts_with("-c ")) {
            let is_file = requirer.starts_with('-') || requirer.contains(['(', '/']);
            edges.push((name.clone(), (!is_file).then(|| canonical_name(requirer))));
        }
    }
    edges
}

/// Reads the metadata of the packages installed in a folder.
pub fn edges_of_installed(site_packages: &Path) -> PackageEdges {
    let mut edges = Vec::new();
    for entry in std::fs::read_dir(site_packages).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "dist-info") {
            continue;
        }
        let Ok(metadata) = CoreMetadata::of_folder(&path) else { continue };
        let requirer = canonical_name(&metadata.name);
        for text in metadata.requirements(&[]).unwrap_or_default() {
            if let Ok(requirement) = text.parse::<Requirement>() {
                edges.push((canonical_name(&requirement.name), Some(requirer.clone())));
            }
        }
    }
    edges.sort();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::document::LockedPackage;

    fn graph() -> PackageGraph {
        let package = |(name, version): (&str, &str)| LockedPackage {
            name: name.to_owned(),
            version: Some(version.to_owned()),
            ..LockedPackage::default()
        };
        let packages = [("certifi", "1"), ("idna", "3"), ("requests", "2"), ("trustme", "1")].map(package).to_vec();
        let inputs = [("deps".to_owned(), vec!["requests".to_owned(), "trustme>=1".to_owned()])].into();
        let document = LockDocument { packages, inputs, ..LockDocument::default() };
        let text = "certifi==1   # via -c /tmp/pins.txt, requests\nidna==3 ; x == '1'  # via requests, trustme\n\
                    requests==2  # via -r - (stdin), trustme\ntrustme==1\n";
        PackageGraph::new("py", &document, &edges_of_annotations(text))
    }

    proptest::proptest! {
        #[test]
        fn a_graph_of_any_lock_is_plain_text(name in "[a-z.]{0,3}(\r|\t|\u{1b}\\[2J|\u{202e}|\u{7}|\u{0}|[a-z])?", version in "[0-9]?(\r|\u{1b}\\[2J|\u{202e}|\n)?") {
            let package = LockedPackage { name, version: Some(version), ..LockedPackage::default() };
            let text = LockDocument { packages: vec![package], ..LockDocument::default() }.text();
            if let Ok(read) = LockDocument::parse(&text) {
                let graph = PackageGraph::new("a", &read, &Vec::new());
                proptest::prop_assert!(!graph.tree().replace('\n', "").contains(crate::python_text::misleads));
            }
        }
    }

    #[test]
    fn a_tree_shows_everything_once() {
        let expected = "py
├── requests 2
│   ├── certifi 1
│   └── idna 3
└── trustme 1
    ├── idna 3
    └── requests 2 (see above)
";
        assert_eq!(graph().tree(), expected);
    }

    #[test]
    fn reversed_it_shows_who_requires() {
        let expected = "py
├── certifi 1
│   └── requests 2
│       └── trustme 1
└── idna 3
    ├── requests 2 (see above)
    └── trustme 1
";
        assert_eq!(graph().reversed().tree(), expected);
    }

    #[test]
    fn programs_get_the_same() {
        let json = graph().json();
        assert_eq!(json["packages"][2]["requires"], json!(["certifi", "idna"]));
        assert_eq!(json["roots"], json!(["requests", "trustme"]));
        let drawn = graph().mermaid("e0");
        assert!(drawn.contains("e0_2[\"requests 2\"]") && drawn.contains("e0_2 --> e0_0"), "{drawn}");
    }

    #[test]
    fn several_versions_of_a_package_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("package-lock.json");
        let text = r#"{"packages": {"": {"dependencies": {"a": "1", "b": "2"}}, "node_modules/b": {"version": "2.0.0"},
            "node_modules/a": {"version": "1.0.0", "dependencies": {"b": "1"}},
            "node_modules/a/node_modules/b": {"version": "1.0.0"}}}"#;
        std::fs::write(&file, text).unwrap();
        let contents = crate::lock::ecosystems::read(&[file]).unwrap().unwrap();
        let graph = PackageGraph::of_language("js", "node", &contents);
        assert_eq!(graph.tree(), "js (node)\n├── a 1.0.0\n│   └── b 1.0.0\n└── b 2.0.0\n");
        assert_eq!(graph.json()["packages"][0]["requires"], json!(["b@1.0.0"]));
        assert!(graph.reversed().tree().contains("├── b 1.0.0\n│   └── a 1.0.0\n"), "{}", graph.reversed().tree());
    }

    #[test]
    fn what_is_installed_says_what_it_requires() {
        let folder = tempfile::tempdir().unwrap();
        let info = folder.path().join("a-1.dist-info");
        std::fs::create_dir(&info).unwrap();
        let text =
            "Metadata-Version: 2.1\nName: A\nVersion: 1\nRequires-Dist: B_b>=1\nRequires-Dist: c; extra == 'x'\n";
        std::fs::write(info.join("METADATA"), text).unwrap();
        assert_eq!(edges_of_installed(folder.path()), [("b-b".to_owned(), Some("a".to_owned()))]);
    }
}
