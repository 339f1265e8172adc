//! Checks which folder or file of `src` may use which. The table of `docs/architecture.md` is the rule; it is read
//! here, so that document and test cannot differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A folder or file at the top of `src`, and those it may use, in the table's order.
type Rows = Vec<(String, BTreeSet<String>)>;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table below the heading "Order".
fn rows() -> Rows {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the document is there");
    let (_, section) = text.split_once("\n## Order\n").expect("it has the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    let name = Regex::new("`([a-z_]+)`").expect("it is a pattern");
    let names = |cell: &str| name.captures_iter(cell).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    let cells = section.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').collect::<Vec<_>>());
    cells.map(|cells| (names(cells[1]).remove(0), names(cells[2]).into_iter().collect())).collect()
}

pub(super) fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first names of the paths in `{a, b::{c, d}, e}`, of which the opening brace has been read.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut head) = (1, Vec::new(), String::new());
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && character == ',') {
            heads.push(std::mem::take(&mut head));
        } else {
            head.push(character);
        }
        if depth == 0 {
            break;
        }
    }
    heads.iter().filter_map(|path| path.trim().split("::").next().map(str::to_owned)).collect()
}

/// What stands at the top of `src` and is named by a path in `text`: `crate::name`, or `super::name` from as deep as that.
fn uses(text: &str, depth: usize) -> BTreeSet<String> {
    let path = Regex::new(r"\b(crate|super)((?:\s*::\s*super)*)\s*::\s*(\w+|\{)").expect("it is a pattern");
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect();
    let mut found = BTreeSet::new();
    for path in path.captures_iter(&code) {
        let climbed = 1 + path[2].matches("super").count();
        if &path[1] == "super" && climbed != depth {
            continue;
        }
        if &path[3] == "{" {
            found.extend(heads(&code[path.get(0).map_or(0, |whole| whole.end())..]));
        } else {
            found.insert(path[3].to_owned());
        }
    }
    found
}

/// Every arrow between two names at the top of `src`, with the files that draw it.
fn arrows() -> BTreeMap<(String, String), Vec<String>> {
    let src = root().join("src");
    let mut files = Vec::new();
    source_files(&src, &mut files);
    let tops: BTreeSet<String> = top_names();
    let mut arrows: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&src).expect("it is below").with_extension("");
        let mut module: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        let top = module[0].clone();
        // The root declares everything and starts the program.
        if !tops.contains(&top) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("it can be read");
        for used in uses(&text, module.len()) {
            if used != top && tops.contains(&used) {
                let shown = Path::new("src").join(file.strip_prefix(&src).expect("it is below"));
                arrows.entry((top.clone(), used)).or_default().push(shown.display().to_string());
            }
        }
    }
    arrows
}

/// The folders and files at the top of `src`, apart from the root itself.
fn top_names() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("src")).expect("it can be listed").flatten();
    let names =
        entries.map(|entry| entry.path().with_extension("").file_name().map(|n| n.to_string_lossy().into_owned()));
    names.flatten().filter(|name| !["lib", "main"].contains(&name.as_str())).collect()
}

#[test]
fn every_use_follows_the_order_of_the_document() {
    let rows: BTreeMap<_, _> = rows().into_iter().collect();
    let arrows = arrows();
    let mut wrong = Vec::new();
    for ((from, to), files) in &arrows {
        let allowed = rows.get(from).cloned().unwrap_or_default();
        if !allowed.contains(to) {
            let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
            wrong.push(format!("{from} → {to} in {}\n    rule: {from} may use {allowed}", files.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "against the order of docs/architecture.md:\n{}", wrong.join("\n"));
    for (from, allowed) in &rows {
        for to in allowed {
            assert!(arrows.contains_key(&(from.clone(), to.clone())), "docs/architecture.md: {from} does not use {to}");
        }
    }
}

#[test]
fn only_platform_asks_for_the_operating_system() {
    let condition = Regex::new("target_os|target_vendor|target_env").expect("it is a pattern");
    let mut files = Vec::new();
    source_files(&root().join("src"), &mut files);
    // A test may need a program that one system does not have.
    files.retain(|file| !file.starts_with(root().join("src/platform")) && !file.ends_with("tests.rs"));
    let asks = |file: &PathBuf| condition.is_match(&fs::read_to_string(file).expect("it can be read"));
    let wrong: Vec<_> = files.into_iter().filter(asks).collect();
    assert!(wrong.is_empty(), "what differs between systems belongs into src/platform: {wrong:?}");
}

#[test]
fn the_order_has_one_row_each_and_points_upwards_only() {
    let rows = rows();
    let mut above = BTreeSet::new();
    for (name, allowed) in &rows {
        let later: Vec<_> = allowed.difference(&above).collect();
        assert!(later.is_empty(), "docs/architecture.md: {name} uses {later:?}, which is not listed above it");
        assert!(above.insert(name.clone()), "docs/architecture.md: {name} has two rows");
    }
    assert_eq!(above, top_names(), "docs/architecture.md has a row for everything at the top of src");
}

#[test]
fn paths_are_found_in_every_way_they_can_be_written() {
    let found = |text, depth| uses(text, depth).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(
        found("use crate::serve::{self, Held};\n// use crate::plan;\nfn f() { crate::lock::open() }", 2),
        "lock serve"
    );
    assert_eq!(found("use crate::{model::{Command, Runner}, event};", 2), "event model");
    assert_eq!(found("use super::super::builder::run;\nuse super::plan::Plan;", 2), "builder");
    assert_eq!(found("use super::event::Event;", 1), "event");
}
