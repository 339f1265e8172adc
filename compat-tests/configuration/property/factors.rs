//! Compares environment lists, ranges and conditional lines with the real tox.

use std::collections::HashSet;

use envo::factor::{self, ActiveFactors};
use proptest::prelude::Strategy;
use proptest::sample::select;
use serde_json::json;

use super::oracle::Oracle;
use super::{answers, same_for_all, texts};

/// What expressions of factors are made of.
const PIECES: &[&str] = &[
    "a",
    "py",
    "3",
    "10",
    "12",
    "9",
    "0",
    "-",
    "-",
    "{",
    "{",
    "}",
    "}",
    ",",
    ",",
    "!",
    ".",
    "*",
    "?",
    "[",
    "]",
    "[!",
    "_",
    " ",
    "\t",
    "\u{1f}",
    "\u{85}",
    "\u{a0}",
    "{10-13}",
    "{10-}",
    "{-13}",
    "{a,b}",
    "{,a}",
    "{}",
    "py3{9-11}",
    "é",
    "\u{903}",
    "²",
    "Ⅷ",
    "٣",
    "四",
    "\n",
    "😀",
    "+",
    "linux",
    "x86_64",
    "arm64",
];

/// What the values of settings with conditions are made of.
const VALUE_PIECES: &[&str] = &[
    "a", "b", "py", "10", "11", "lint", "linux", "win32", "x86_64", "arm64", "-", ",", ", ", "!", "{a,b}", "{10-12}",
    ":", ": ", ": ", ": ", ":\n", ":\t", ":\u{1f}", ":\u{a0}", "\n", "\n", "\n", "\n\n", "\\", "\\\n", " ", " x", "#",
    "\u{1f}", "\u{85}", "²", "\u{903}", "https://", "{", "}", "[", "*", ".", "\r",
];

const NAMES: &[&str] = &[
    "a", "b", "py", "py-a", "a-b", "a-lint", "10", "py-10", "py-11-b", "a-arm64", "x86_64", "a-amd64", "a--b", "win32",
    "é",
];

/// Products of many braces grow without bounds in tox and in envo alike.
fn is_small(text: &str) -> bool {
    text.matches('{').count() < 6
}

#[test]
fn ranges_are_written_out_as_by_tox() {
    let oracle = Oracle::start();
    same_for_all(texts::of_pieces(PIECES, 10), &oracle, |oracle, text| {
        (oracle.ask("ranges", text.as_str()), json!(factor::expand_ranges(text).expect("short ranges")))
    });
}

#[test]
fn environment_lists_are_written_out_as_by_tox() {
    let oracle = Oracle::start();
    same_for_all(texts::of_pieces(PIECES, 12).prop_filter("small", |text| is_small(text)), &oracle, |oracle, text| {
        let found = match factor::expand_environments(text) {
            Ok(names) => json!(names),
            Err(error) => json!({ "error": error.message }),
        };
        (oracle.ask("environments", text.as_str()), found)
    });
}

#[test]
fn conditional_lines_are_kept_as_by_tox() {
    let oracle = Oracle::start();
    let values = texts::of_pieces(VALUE_PIECES, 24).prop_filter("small", |text| is_small(text));
    same_for_all((values, select(NAMES)), &oracle, |oracle, (value, name)| {
        let active = ActiveFactors::of(Some(name), &oracle.platform, &oracle.machine);
        let expected = oracle.ask("conditions", json!({ "value": value, "name": name }));
        (expected, answers::of_conditions(value, &active))
    });
}

#[test]
fn conditions_mention_the_environments_that_tox_finds() {
    let oracle = Oracle::start();
    let values = texts::of_pieces(VALUE_PIECES, 24).prop_filter("small", |text| is_small(text));
    same_for_all(values, &oracle, |oracle, value| {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        factor::mentioned_environments(value, &|_| false, &mut |name| {
            if seen.insert(name.clone()) {
                found.push(name);
            }
        })
        .expect("few enough");
        (oracle.ask("mentioned", value.as_str()), json!(found))
    });
}
