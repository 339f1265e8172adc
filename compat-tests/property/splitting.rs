//! Commands split into words against the real tox.

use envo::settings::split;
use serde_json::json;

use super::oracle::Oracle;
use super::{same_for_all, texts};

/// Mostly what splitting looks at.
const PIECES: &[&str] = &[
    "a", "b c", " ", "  ", "\t", "\n", "\r", "\u{b}", "\u{c}", "\u{1c}", "\u{85}", "\u{a0}", "\u{3000}", "'", "'",
    "\"", "\"", "\\", "\\", "\\\\", "\\\n", "''", "\"\"", "#", ";", "-", "- ", "&&", "|", "(", "$", "é", "😀", "\0",
    "=", "[]",
];

#[test]
fn commands_split_into_the_words_that_tox_sees() {
    let oracle = Oracle::start();
    same_for_all(texts::of_pieces(PIECES, 14), &oracle, |oracle, text| {
        (oracle.ask("words", text.as_str()), json!(with_dash_apart(split::words(text))))
    });
}

/// tox takes the dash that ignores an exit code off the first word in the same step.
fn with_dash_apart(mut words: Vec<String>) -> Vec<String> {
    if let Some(program) = words.first_mut().filter(|word| *word != "-")
        && let Some(rest) = program.strip_prefix('-')
    {
        *program = rest.to_owned();
        words.insert(0, "-".to_owned());
    }
    words
}
