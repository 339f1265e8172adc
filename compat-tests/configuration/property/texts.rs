//! Generates texts: syntax elements of the readers in random combinations, and fixtures with a few changes.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::prop_oneof;
use proptest::sample::select;

/// Pieces in any order.
pub fn of_pieces(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    vec(select(pieces), 0..most).prop_map(|pieces| pieces.concat())
}

/// Pieces of the texts that tox reads, and characters that Python and Rust see differently.
pub const ANY: &[&str] = &[
    "a",
    "b",
    "A",
    "py",
    "1",
    "10",
    "-",
    "_",
    ".",
    " ",
    "  ",
    "\t",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "[",
    "]",
    "[]",
    "{",
    "}",
    "{}",
    "=",
    ":",
    ": ",
    "#",
    ";",
    ",",
    "!",
    "*",
    "?",
    "\\",
    "\\\\",
    "\"",
    "'",
    "/",
    "\u{b}",
    "\u{c}",
    "\u{1c}",
    "\u{1d}",
    "\u{1e}",
    "\u{1f}",
    "\u{85}",
    "\u{a0}",
    "\u{200b}",
    "\u{2028}",
    "\u{2029}",
    "\u{3000}",
    "\u{feff}",
    "\u{f8ff}",
    "\0",
    "\u{7f}",
    "\u{ad}",
    "é",
    "É",
    "ß",
    "ẞ",
    "İ",
    "ı",
    "Σ",
    "ΑΣ",
    "Ǆ",
    "ǅ",
    "ﬀ",
    "\u{301}",
    "\u{903}",
    "²",
    "½",
    "Ⅷ",
    "٣",
    "四",
    "😀",
    "\u{10ffff}",
    "\u{e000}",
    "\u{378}",
    "𞤀",
];

const INDENTS: &[&str] = &[
    "", "", "", "", "", " ", "  ", "    ", "\t", "\t ", " \t", "\u{a0}", "\u{b}", "\u{c}", "\u{1c}", "\u{1f}",
    "\u{85}", "\u{2028}", "\u{3000}", "\r",
];

const BODIES: &[&str] = &[
    "[a]",
    "[A]",
    "[b]",
    "[a b]",
    "[ a ]",
    "[DEFAULT]",
    "[default]",
    "[tox]",
    "[testenv:py]",
    "[a]]",
    "[[a]",
    "[]",
    "[",
    "]",
    "[a",
    "a]",
    "[a] # x",
    "[a] b = c",
    "[a]b]",
    "[]]",
    "[\u{a0}]",
    "[é]",
    "a = 1",
    "A = 2",
    "a: 1",
    "b=",
    "b:",
    "b",
    "=",
    ":",
    "= x",
    ": x",
    "==",
    "a == b",
    "a := b",
    "a=b=c",
    "a:b=c",
    "a b = c",
    "# x",
    "; x",
    "#",
    "a = 1 # x",
    "a = 1 ; x",
    "a #= 1",
    "x",
    "1",
    "x = {a}",
    "É = 1",
    "é = 1",
    "İ = 1",
    "i\u{307} = 1",
    "ΑΣ = 1",
    "ας = 1",
    "ẞ = 1",
    "ß = 1",
    "a\u{1f}= 1",
    "a = \u{1f}",
    "a = \u{f8ff}",
    "\u{f8ff}",
    "\u{f8ff} = 1",
    "a = [b]",
    "a = \\",
    "",
    "",
    "",
];

const ENDINGS: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    " \n",
    "\t\n",
    "\u{1f}\n",
    "\u{85}",
    "\u{2028}\n",
    "\n \n",
    "",
];

/// INI files: lines with something before and after them, among them very long ones.
fn ini_lines() -> impl Strategy<Value = String> {
    let body = prop_oneof![
        60 => select(BODIES).prop_map(str::to_owned),
        20 => of_pieces(ANY, 6),
        1 => (select(BODIES), 1_000..10_000usize).prop_map(|(body, length)| format!("{body}{}", "x ".repeat(length))),
    ];
    let line =
        (select(INDENTS), body, select(ENDINGS)).prop_map(|(indent, body, ending)| format!("{indent}{body}{ending}"));
    // Most files have to begin with a header, or nearly all would end at their first line.
    (select(&["", "[a]\n", "[a]\n", "[tox]\n", "[DEFAULT]\n", "\u{feff}[a]\n"][..]), vec(line, 0..10))
        .prop_map(|(start, lines)| format!("{start}{}", lines.concat()))
}

pub fn ini() -> impl Strategy<Value = String> {
    prop_oneof![4 => ini_lines(), 1 => of_pieces(ANY, 30), 2 => changed_fixtures()]
}

/// A few lines of a fixture with some pieces put in, taken out or doubled.
pub fn changed_fixtures() -> impl Strategy<Value = String> {
    let lines: Vec<String> =
        fixtures().iter().flat_map(|text| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>()).collect();
    let change = (any::<u32>(), 0..6usize, select(ANY));
    (0..lines.len(), 1..15usize, vec(change, 0..6)).prop_map(move |(start, count, changes)| {
        let mut text = lines[start..lines.len().min(start + count)].concat();
        for (place, length, piece) in changes {
            let at = text.floor_char_boundary(place as usize % (text.len() + 1));
            let end = text.floor_char_boundary(text.len().min(at + length));
            text.replace_range(at..end.max(at), piece);
        }
        text
    })
}

/// The `tox.ini` of every fixture.
fn fixtures() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut paths: Vec<_> =
        folder.read_dir().expect("there are fixtures").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path.join("tox.ini")).ok()).collect()
}
