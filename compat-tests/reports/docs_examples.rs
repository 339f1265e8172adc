//! Tests the documentation: its console blocks show real output, and its links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::filters;
use crate::support::project::Project;

/// README and everything in docs.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let docs = root.join("docs").read_dir().expect("docs is there");
    pages.extend(
        docs.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "md")),
    );
    pages.sort();
    pages
}

/// A block marked `console`: its fixture, and each command with the output that is shown below it.
struct Example {
    place: String,
    fixture: String,
    steps: Vec<(String, String)>,
}

/// Finds every `console` block of a page. The line before it names the fixture: `<!-- fixture: demo -->`.
fn examples(page: &Path) -> Vec<Example> {
    let text = fs::read_to_string(page).expect("the page is there");
    let mut found = Vec::new();
    let mut fixture = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- fixture: ").and_then(|rest| rest.strip_suffix(" -->")) {
            fixture = Some(name.to_owned());
        } else if line == "```console" {
            let place = format!("{}:{}", page.display(), number + 1);
            let fixture = fixture.take().unwrap_or_else(|| panic!("{place}: the line before must name a fixture"));
            let mut steps: Vec<(String, String)> = Vec::new();
            for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
                if let Some(command) = line.strip_prefix("$ ") {
                    steps.push((command.to_owned(), String::new()));
                } else {
                    let (_, output) = steps.last_mut().unwrap_or_else(|| panic!("{place}: begin with a `$ ` line"));
                    output.push_str(line);
                    output.push('\n');
                }
            }
            found.push(Example { place, fixture, steps });
        }
    }
    found
}

/// A shown output as a pattern: filtered as what is printed will be, and a line `…` is any number of lines.
fn pattern(shown: &str) -> Regex {
    let lines: String = filters::apply(shown, &[])
        .lines()
        .map(|line| if line.trim() == "…" { "(?:.*\n)*".to_owned() } else { regex::escape(line) + "\n" })
        .collect();
    Regex::new(&format!("^{lines}$")).expect("the pattern is valid")
}

#[test]
fn console_blocks_show_what_happens() {
    let mut count = 0;
    for example in pages().iter().flat_map(|page| examples(page)) {
        let project = Project::fixture(&example.fixture);
        for (command, shown) in &example.steps {
            let words: Vec<_> = command.split_whitespace().collect();
            assert_eq!(words[0], "envo", "{}: only envo can be run here", example.place);
            let printed = project.run_merged(&words[1..]).stdout;
            assert!(
                pattern(shown).is_match(&printed),
                "{}: `{command}` is shown to print\n{shown}\nbut prints\n{printed}",
                example.place
            );
            count += 1;
        }
    }
    assert!(count > 0, "there is no example at all");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)").expect("the pattern is valid");
    for page in pages() {
        let text = fs::read_to_string(&page).expect("the page is there");
        for found in link.captures_iter(&text) {
            let target = page.parent().expect("a page lies in a folder").join(&found[1]);
            assert!(target.exists(), "{} links to {}, which is not there", page.display(), &found[1]);
        }
    }
}

#[test]
fn exit_codes_are_documented_as_they_are() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exit-codes.md")).expect("it is there");
    for code in [
        envo::exit_code::OK,
        envo::exit_code::FAILED,
        envo::exit_code::USAGE,
        envo::exit_code::UNREACHABLE,
        envo::exit_code::CONFIG_EXCEPTION,
        envo::exit_code::HANDLED_ERROR,
    ] {
        let row = format!("| {} |", envo::exit_code::to_shell(code));
        assert!(page.contains(&row), "docs/exit-codes.md has no row `{row}`");
    }
}
