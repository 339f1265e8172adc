//! Removes differences between runs, machines and programs from output.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// Replacements in the order they are made.
static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\x1b\[[0-9;]*[A-Za-z]", ""),
        (r"\b(\d+ (day|hour|minute)s? )*\d+(\.\d+)? seconds?\b", "[TIME] seconds"),
        (r"\b\d+(\.\d+)?=setup\[[\d.]+\]", "[TIME]=setup[[TIME]]"),
        (r"\b\d+\.\d+ ?s\b", "[TIME] s"),
        (r"\bpid=\d+", "pid=[PID]"),
        (r#"PYTHONHASHSEED("?[=:] ?"?)\d+"#, "PYTHONHASHSEED$1[SEED]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"(?m)[ \t]+$", ""),
    ]
    .into_iter()
    .map(|(pattern, replacement)| (Regex::new(pattern).expect("the pattern is valid"), replacement))
    .collect()
});

/// The seconds of single commands, as many as there are: `cmd[0.01,0.20]`.
static COMMAND_SECONDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\+cmd\[[\d.,]+\]").expect("the pattern is valid"));

/// `text` without paths of `folders` (each with the name it gets instead), times, process ids, seeds and ports.
pub fn apply(text: &str, folders: &[(&Path, &str)]) -> String {
    let mut text = text.replace("\r\n", "\n");
    for (folder, name) in folders {
        if let Ok(resolved) = folder.canonicalize() {
            text = text.replace(&*resolved.to_string_lossy(), name);
        }
        text = text.replace(&*folder.to_string_lossy(), name);
    }
    for (pattern, replacement) in PATTERNS.iter() {
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    COMMAND_SECONDS
        .replace_all(&text, |found: &regex::Captures<'_>| {
            let times = vec!["[TIME]"; found[0].split(',').count()];
            format!("+cmd[{}]", times.join(","))
        })
        .into_owned()
}

/// The line that ends an environment, as [`apply`] leaves it.
static RESULT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^\S+: \w+ [✔✖⚠] in \[TIME\] seconds.*\n").expect("the pattern is valid"));

/// Moves the lines that end environments to the end of `text`. tox prints them in a thread that waits for the end while
/// another starts the next environment, so on a busy machine they may appear too late.
pub fn results_last(text: &str) -> String {
    let results: String = RESULT.find_iter(text).map(|found| found.as_str()).collect();
    format!("{}{results}", RESULT.replace_all(text, ""))
}

#[test]
fn results_are_moved_to_the_end_in_their_order() {
    let text = "a: x\na: OK ✔ in [TIME] seconds\nb: x\nb: FAIL ✖ in [TIME] seconds\n  a: OK\n";
    assert_eq!(results_last(text), "a: x\nb: x\n  a: OK\na: OK ✔ in [TIME] seconds\nb: FAIL ✖ in [TIME] seconds\n");
}

#[test]
fn times_paths_and_numbers_are_taken_out() {
    assert_eq!(apply("in 1 second, in 2 minutes 0.5 seconds", &[]), "in [TIME] seconds, in [TIME] seconds");
    let text = "  a: OK (0.20=setup[0.18]+cmd[0.01,0.01] seconds)\nin /tmp/x/y pid=12 \n";
    assert_eq!(
        apply(text, &[(Path::new("/tmp/x"), "[ROOT]")]),
        "  a: OK ([TIME]=setup[[TIME]]+cmd[[TIME],[TIME]] seconds)\nin [ROOT]/y pid=[PID]\n"
    );
}
