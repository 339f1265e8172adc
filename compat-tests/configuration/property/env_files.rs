//! Compares files of variables with the real Docker Compose.

use std::collections::BTreeMap;

use envo::settings::env_file;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::compose::Compose;
use super::texts;
use crate::support::machine;

/// What is set where both programs run.
const OUTSIDE: &[(&str, &str)] = &[("HOST", "machine"), ("EMPTY", "")];

/// Errors that envo reports where Compose uses only part of the text, or sets a variable that cannot be intended.
const STRICTER: [&str; 3] =
    ["text follows the closing quote", "is not a valid variable name", "a value cannot hold a NUL character"];

const VALUES: &[&str] = &[
    "a", "b c", " ", "  ", "\t", "'", "'", "\"", "\"", "\\", "\\\\", "\\'", "\\\"", "\\n", "\\t", "\\a", "\\c",
    "\\x07", "\\0101", "\\07", "\\0777", "\\$", "$", "$$", "$A", "$HOST", "$NONE", "$1", "${A}", "${HOST}", "${EMPTY",
    "${NONE", "${A", "}", "}", "{", "${", ":-", "-", ":+", "+", ":?", "?", "=", ":", "#", " #", " # c", "\n", "\r\n",
    "é", "😀", "\u{85}", "\u{a0}", "\u{3000}", "/", ".",
];

const LINES: &[&str] = &[
    "A=1\n",
    "B='two\nlines'\n",
    "C=\"\"\n",
    "HOST\n",
    "NONE\n",
    "export A\n",
    "# no\n",
    "\n",
    " \t\r\n",
    "A",
    "B",
    "export ",
    "export",
    "=",
    " = ",
    ": ",
    "\t",
    "é",
    "1",
    ".",
    "-",
    "[0]",
];

/// Statements with a value that is mostly well formed, and anything else.
fn text() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["A=", "B=", "B =", "export C=", "D: ", " EMPTY="]);
    let quotes = prop::sample::select(vec!["", "", "\"", "\"", "'"]);
    let statement = (names, quotes, texts::of_pieces(VALUES, 6), prop::sample::select(vec!["\n", "\r\n", " # c\n"]));
    let statement = statement.prop_map(|(name, quote, value, end)| format!("{name}{quote}{value}{quote}{end}"));
    let line = prop_oneof![5 => statement, 1 => texts::of_pieces(LINES, 4)];
    // At the end of a file without a line break, Compose takes a name for a value.
    (prop::bool::weighted(0.1), prop::collection::vec(line, 1..4))
        .prop_map(|(mark, lines)| format!("{}{}\n", if mark { "\u{feff}" } else { "" }, lines.concat()))
}

/// What envo makes of it, or its message.
fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("text.env"), text).expect("a file can be written");
    let outside = |name: &str| OUTSIDE.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
    let found = env_file::read("text.env", folder.path(), &outside).map_err(|error| error.message)?;
    Ok(found.variables.into_iter().collect())
}

#[test]
fn files_of_variables_mean_what_they_mean_to_compose() {
    let Some(compose) = Compose::find() else {
        return machine::notice("there is no Docker Compose to compare files of variables with");
    };
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let texts: Vec<String> =
        (0..2_000).map(|_| text().new_tree(&mut runner).expect("nothing is filtered").current()).collect();
    let (mut readable, mut wrong) = (Vec::new(), Vec::new());
    for text in &texts {
        match read(text) {
            Ok(variables) => readable.push((text.as_str(), variables)),
            Err(message) => wrong.push((text.as_str(), message)),
        }
    }
    assert!(readable.len() > 500 && wrong.len() > 100, "{} and {}", readable.len(), wrong.len());
    let mut different = Vec::new();
    compare(&compose, &readable, &mut different);
    let wrong = wrong.iter().filter(|(_, message)| !STRICTER.iter().any(|one| message.contains(one)));
    for (text, message) in wrong.take(100) {
        if let Ok(found) = compose.read(&[*text], OUTSIDE) {
            different.push(format!("{text:?}\n  envo reports {message}\n  Compose reads {found:?}"));
        }
    }
    assert!(different.is_empty(), "{} texts:\n{}", different.len(), different.join("\n"));
}

/// Halves what Compose refuses until the text that it refuses is alone.
fn compare(compose: &Compose, texts: &[(&str, BTreeMap<String, String>)], different: &mut Vec<String>) {
    let all: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
    match compose.read(&all, OUTSIDE) {
        Ok(found) => {
            for ((text, variables), found) in texts.iter().zip(found) {
                if *variables != found {
                    different.push(format!("{text:?}\n  envo reads {variables:?}\n  Compose reads {found:?}"));
                }
            }
        }
        Err(message) if texts.len() == 1 => {
            different.push(format!("{:?}\n  envo reads {:?}\n  Compose reports {message}", all[0], texts[0].1));
        }
        Err(_) => {
            let (first, second) = texts.split_at(texts.len() / 2);
            compare(compose, first, different);
            compare(compose, second, different);
        }
    }
}
