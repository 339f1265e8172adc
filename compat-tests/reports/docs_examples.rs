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
fn configurations_on_the_pages_about_other_tools_have_no_mistakes() {
    let block = Regex::new(r"(?s)```ini\n(.*?)```").expect("the pattern is valid");
    let mut count = 0;
    for page in pages().iter().filter(|page| page.file_name().unwrap().to_string_lossy().starts_with("from-")) {
        let text = fs::read_to_string(page).expect("the page is there");
        for found in block.captures_iter(&text) {
            let project = Project::new().ini(&found[1]);
            let outcome = project.run(["config", "--check"]);
            assert_eq!(outcome.stdout, "no problems found\n", "{}:\n{}{}", page.display(), &found[1], outcome.stderr);
            project.run(["list"]).succeeds();
            count += 1;
        }
    }
    assert!(count > 4, "{count}");
}

#[test]
fn the_recording_of_the_first_page_shows_what_the_program_prints() {
    let picture = include_str!("../../docs/assets/demo.svg");
    let description = picture.split("<desc>").nth(1).and_then(|rest| rest.split("</desc>").next());
    let text = description.expect("it has a description").replace("&gt;", ">").replace("&amp;", "&");
    let shown = text.strip_prefix("$ envo run\n").expect("the command is its first line");
    assert!(!picture.contains("href") && !picture.contains("url("), "it loads nothing");
    let printed = Project::fixture("demo").run_merged(["run"]).stdout;
    assert!(
        pattern(shown).is_match(&printed),
        "`.ci/recording` writes it again; it shows\n{shown}\nbut it is\n{printed}"
    );
}

#[test]
fn problem_matchers_find_file_line_and_message() {
    let matchers: serde_json::Value =
        serde_json::from_str(include_str!("../../.github/actions/setup-envo/problems.json")).expect("it is JSON");
    for (owner, lines, expected) in [
        (
            "envo-lint",
            &["src/a.py:3:7: F401 `os` imported but unused"][..],
            &["src/a.py", "3", "`os` imported but unused"][..],
        ),
        (
            "envo-lint",
            &["src/a.py:3: error: Incompatible types  [assignment]"],
            &["src/a.py", "3", "Incompatible types  [assignment]"],
        ),
        ("envo-pytest", &["tests/test_a.py:12: AssertionError"], &["tests/test_a.py", "12", "AssertionError"]),
        (
            "envo-traceback",
            &["  File \"app/main.py\", line 5, in load", "    return 1 / 0", "ZeroDivisionError: division by zero"],
            &["app/main.py", "5", "ZeroDivisionError: division by zero"],
        ),
        (
            "envo-check",
            &["error: unknown key `serv` in `[testenv:a]`", "  --> tox.ini:3:1"],
            &["tox.ini", "3", "unknown key `serv` in `[testenv:a]`"],
        ),
    ] {
        let all = matchers["problemMatcher"].as_array().expect("a list");
        let matcher = all.iter().find(|matcher| matcher["owner"] == owner).expect("it exists");
        let patterns = matcher["pattern"].as_array().expect("a list");
        assert_eq!(patterns.len(), lines.len(), "{owner}");
        let mut found = std::collections::HashMap::new();
        for (pattern, line) in patterns.iter().zip(lines) {
            let regex = Regex::new(pattern["regexp"].as_str().expect("a text")).expect("a pattern");
            let groups = regex.captures(line).unwrap_or_else(|| panic!("{owner}: {line}"));
            for part in ["file", "line", "message"] {
                if let Some(group) = pattern[part].as_u64() {
                    found.insert(part, groups[usize::try_from(group).expect("small")].to_owned());
                }
            }
        }
        let found: Vec<&str> = ["file", "line", "message"].iter().map(|part| found[part].as_str()).collect();
        assert_eq!(found, expected, "{owner}");
    }
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
