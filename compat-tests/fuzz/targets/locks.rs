//! Locks of every kind: no panic, no hang, and what is made of them. The first byte of the input chooses the kind; of Go's
//! two files the sums come after a line of three dashes.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use envo::import::locks;
use envo::install::pylock::Pylock;
use envo::lock::ecosystems;
use envo::lock::graph::PackageGraph;
use envo::lockfile::document::LockDocument;

const LANGUAGES: [&str; 6] =
    ["package-lock.json", "pnpm-lock.yaml", "yarn.lock", "Cargo.lock", "Gemfile.lock", "go.mod"];

fn drawn(graph: &PackageGraph) {
    for graph in [graph, &graph.reversed()] {
        let tree = graph.tree();
        assert!(!tree.contains(|c: char| c.is_control() && c != '\n'), "{tree:?}");
        let _ = (graph.json(), graph.mermaid("x"));
    }
}

fn python(text: &str) {
    if let Ok(document) = LockDocument::parse(text) {
        let written = document.text();
        assert_eq!(LockDocument::parse(&written).as_ref(), Ok(&document), "{written}");
        drawn(&PackageGraph::new("a", &document, &Vec::new()));
    }
    let markers: BTreeMap<String, String> =
        [("python_full_version", "3.12.1"), ("python_version", "3.12"), ("sys_platform", "linux")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let lock = Pylock { path: Path::new("/nowhere/pylock.toml"), extras: &[], groups: &[], markers: &markers };
    for line in lock.lines_of(text).unwrap_or_default() {
        assert!(!line.contains(['\n', '\r']), "{line:?}");
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let kind = usize::from(*first) % (LANGUAGES.len() + 4);
    if let Some(name) = LANGUAGES.get(kind) {
        let (text, sums) = text.split_once("\n---\n").unwrap_or((&text, ""));
        if let Ok(Some(contents)) = ecosystems::parse(name, || Ok(text.to_owned()), || sums.to_owned()) {
            for (key, package) in &contents.packages {
                let _ = contents.reference(key, package);
            }
            drawn(&PackageGraph::of_language("a", "x", &contents));
        }
        return;
    }
    let pins = match kind - LANGUAGES.len() {
        0 => return python(&text),
        1 => locks::pipfile(&text),
        2 => locks::packages(&text, "poetry.lock"),
        _ => locks::requirements(&text),
    };
    if let Ok(pins) = pins {
        assert_eq!(pins.text().lines().count(), pins.lines.len(), "{:?}", pins.lines);
    }
});
