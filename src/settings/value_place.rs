//! Where in the file a value is, from where its key is: what an error points at.

use super::Settings;
use crate::error::{ConfigError, Location};

impl Settings {
    /// The error at the value of the key that is written at `key`, if anywhere: at the part of it that the message quotes,
    /// else at all of it, else (nothing is written) at the key.
    pub fn at_value(&self, error: ConfigError, key: Option<Location>) -> ConfigError {
        let Some(key) = key.filter(|_| error.location.is_none()) else { return error };
        let first = key.line.saturating_sub(1 + self.source.lines_before);
        let lines = self.source.text.lines().skip(first);
        let mut parts = parts(lines, key.column - 1 + key.length, self.toml().is_some());
        parts.retain(|part| part.length > 0);
        let quoted = quoted(&error.message);
        let within = |part: &Part<'_>| quoted.iter().find_map(|text| Some((part.line, part.word(text)?)));
        let all = || parts.first().map(|part| (part.line, (part.column, part.length)));
        match parts.iter().find_map(within).or_else(all) {
            Some((line, (column, length))) => {
                error.at(Location { line: key.line + line, column: column + 1, length, ..key })
            }
            None => error.at(key),
        }
    }
}

/// What one line has of a value.
#[derive(Debug)]
struct Part<'a> {
    /// From the line of the key, as `column` from the line's start.
    line: usize,
    column: usize,
    length: usize,
    text: &'a str,
}

impl<'a> Part<'a> {
    /// What of a line is left behind `skipped` characters, without blanks around it.
    fn new(line: usize, skipped: usize, rest: &'a str) -> Self {
        let text = rest.trim();
        let column = skipped + rest.chars().count() - rest.trim_start().chars().count();
        Self { line, column, length: text.chars().count(), text }
    }

    /// Column and length of `word`, if it is there as one.
    fn word(&self, word: &str) -> Option<(usize, usize)> {
        let is_inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let is_whole = |at: &usize| {
            let (before, after) = (&self.text[..*at], &self.text[at + word.len()..]);
            !is_inner(before.chars().next_back()) && !is_inner(after.chars().next())
        };
        let at = self.text.match_indices(word).map(|(at, _)| at).find(is_whole)?;
        let column = self.column + self.text[..at].chars().count();
        Some((column, word.chars().count()))
    }
}

/// The lines of the value whose key ends `end` characters after the first line's start.
fn parts<'a>(mut lines: impl Iterator<Item = &'a str>, end: usize, is_toml: bool) -> Vec<Part<'a>> {
    let Some(line) = lines.next() else { return Vec::new() };
    let after = line.char_indices().nth(end).map_or("", |(at, _)| &line[at..]);
    let delimiter = if is_toml { after.find('=') } else { after.find(['=', ':']) };
    let Some(delimiter) = delimiter else { return Vec::new() };
    let skipped = end + after[..=delimiter].chars().count();
    let value = &after[delimiter + 1..];
    if is_toml {
        // The first line says enough of what goes on for several.
        return vec![Part::new(0, skipped, &value[..end_of_value(value)])];
    }
    let more =
        lines.take_while(|line| line.starts_with([' ', '\t']) || line.is_empty() || line.starts_with(['#', ';']));
    let more = more.enumerate().filter(|(_, line)| !line.trim_start().starts_with(['#', ';']));
    let more = more.map(|(at, line)| Part::new(at + 1, 0, without_comment(line)));
    std::iter::once(Part::new(0, skipped, without_comment(value))).chain(more).collect()
}

fn without_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(before, _)| before)
}

/// Where a TOML value, or what its line has of it, ends.
fn end_of_value(text: &str) -> usize {
    let (mut quote, mut depth) = (None, 0_usize);
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if std::mem::take(&mut is_escaped) => {}
            (Some('"'), '\\') => is_escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}' | ',') if depth == 0 => return at,
            (None, ']' | '}') => depth -= 1,
            (None, '#') => return at,
            _ => {}
        }
    }
    text.len()
}

/// The texts that a message has in backticks or quotes, and of `key = value` the value alone, too; the longest first.
fn quoted(message: &str) -> Vec<&str> {
    let of = |mark: char| message.split(mark).skip(1).step_by(2);
    let mut found: Vec<&str> = of('`').chain(of('\'')).filter(|text| !text.trim().is_empty()).collect();
    let values: Vec<&str> = found.iter().filter_map(|text| Some(text.split_once(" = ")?.1)).collect();
    found.extend(values);
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, key: &str, is_toml: bool) -> Vec<(usize, usize, String)> {
        let parts = parts(text.lines(), key.len(), is_toml);
        parts.into_iter().map(|part| (part.line, part.column, part.text.to_owned())).collect()
    }

    #[test]
    fn a_value_is_found_behind_its_key_or_below_it() {
        assert_eq!(shown("a = x y # z\nb = 1\n", "a", false), [(0, 4, "x y".to_owned())]);
        assert_eq!(shown("a: x=1\n", "a", false), [(0, 3, "x=1".to_owned())]);
        let below = [(0, 3, String::new()), (1, 2, "x".to_owned()), (3, 2, "y".to_owned())];
        assert_eq!(shown("a =\n  x\n# c\n  y\n[b]\n", "a", false), below);
        assert_eq!(shown("[a]\n", "a", true), []);
        for (text, expected) in [
            ("a = \"x # \\\" y\" # z", "\"x # \\\" y\""),
            ("a = [[1], {b = 2}] # z", "[[1], {b = 2}]"),
            ("a = 3, b = 4 }", "3"),
            ("a = 3 }", "3"),
            ("a = [", "["),
            ("a = '\\', b", "'\\'"),
        ] {
            assert_eq!(shown(text, "a", true), [(0, 4, expected.to_owned())], "{text}");
        }
    }

    #[test]
    fn what_a_message_quotes_is_found_as_a_word() {
        let part = Part::new(0, 4, " AB=1 'ä' B");
        assert_eq!([part.word("B"), part.word("AB"), part.word("A")], [Some((14, 1)), Some((5, 2)), None]);
        assert_eq!(quoted("`ab` of 'c' and `d`"), ["ab", "d", "c"]);
    }
}
