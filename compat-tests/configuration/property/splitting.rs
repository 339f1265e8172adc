//! Compares the splitting of commands into words with the real tox.

use super::oracle::Oracle;
use super::{answers, same_for_all, texts};

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
        (oracle.ask("words", text.as_str()), answers::of_words(text))
    });
}
