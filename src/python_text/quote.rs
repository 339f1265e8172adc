//! Quoting words for a POSIX shell, and line breaks as Python sees them.

use super::shlex;

/// Python's `splitlines`.
pub fn split_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_line_break) {
        lines.push(&rest[..at]);
        let width =
            if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(1, char::len_utf8) };
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Words as one line of a POSIX shell; line breaks inside a word become spaces, because settings are split into lines first.
pub fn quote_words(words: &[String]) -> String {
    shlex::join(&words.iter().map(|word| split_lines(word).join(" ")).collect::<Vec<_>>())
}

/// Characters at which Python's `splitlines` breaks.
pub fn is_line_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
