//! Compares where expressions begin and end with the real tox.

use envo::settings::expand::parse::{TextPart, parse};
use proptest::prop_oneof;

use super::oracle::Oracle;
use super::{answers, same_for_all, texts};

const PIECES: &[&str] = &[
    "a", "env", "posargs", "/", " ", "\n", "{", "{", "{", "}", "}", "}", ":", ":", "::", "[", "]", "[]", "[[", "\\",
    "\\", "\\\\", "\\{", "\\}", "\\[", "\\]", "\\:", "{}", "{:}", "{a}", "[a]b", "é", "\u{1f}", "\0", "=", ",",
];

#[test]
fn expressions_begin_and_end_where_tox_sees_them() {
    let oracle = Oracle::start();
    let values = prop_oneof![3 => texts::of_pieces(PIECES, 24), 1 => texts::changed_fixtures()];
    same_for_all(values, &oracle, |oracle, text| {
        (oracle.ask("expressions", text.as_str()), answers::of_parts(&parse(text)))
    });
}

/// All text and all arguments of a parsed text.
fn size(parts: &[TextPart]) -> usize {
    parts
        .iter()
        .map(|part| match part {
            TextPart::Text(text) => text.len(),
            TextPart::Expression(arguments) => arguments.iter().map(|argument| 1 + size(argument)).sum(),
        })
        .sum()
}

#[test]
fn what_parsing_gives_grows_no_faster_than_the_text() {
    for piece in ["{", "}", "{a:", "{a}", "[]", "\\{", "{a:{b}:", "\\", ":{", "[", "{}}{"] {
        let parsed = |length: usize| size(&parse(&piece.repeat(length)));
        let (short, long) = (parsed(10_000), parsed(100_000));
        assert!(long <= short * 11, "{piece:?}: {short} for 10,000, {long} for 100,000");
    }
}
