//! Finds the location of a value in the file from that of its key, for errors.

use crate::error::{ConfigError, Location};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;

impl Settings {
    /// The error at the value of the key that is written at `key`, if anywhere: at the part of it that the message quotes,
    /// else at all of it, else (nothing is written) at the key.
    pub fn at_value(&self, error: ConfigError, key: Option<Location>) -> ConfigError {
        let Some(key) = key.filter(|_| error.location.is_none()) else { return error };
        let words = quoted(&error.message);
        error.at(self.within_value(key, &words))
    }

    /// Where `part` is written in the value of a key, else all of the value, else the key.
    pub fn location_within(&self, set: &ConfigSet, name: &str, part: &str) -> Option<Location> {
        let key = self.location_of(set, name).ok().flatten()?;
        Some(self.within_value(key, &[part.to_owned()]))
    }

    /// The first of the words that is there in the value of the key that is written at `key`.
    fn within_value(&self, key: Location, words: &[String]) -> Location {
        let first = key.line.saturating_sub(1 + self.source.lines_before);
        let lines = self.source.text.lines().skip(first);
        let mut parts = parts(lines, key.column - 1 + key.length, self.toml().is_some());
        parts.retain(|part| part.length > 0);
        let words = || words.iter().filter(|word| !word.is_empty());
        let within = |part: &LinePart<'_>| words().find_map(|word| Some((part.line, part.word(word)?)));
        let all = || parts.first().map(|part| (part.line, (part.column, part.length)));
        match parts.iter().find_map(within).or_else(all) {
            Some((line, (column, length))) => Location { line: key.line + line, column: column + 1, length, ..key },
            None => key,
        }
    }
}

/// What one line has of a value.
#[derive(Debug)]
struct LinePart<'a> {
    /// From the line of the key, as `column` from the line's start.
    line: usize,
    column: usize,
    length: usize,
    text: &'a str,
}

impl<'a> LinePart<'a> {
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
            let goes_on_before = is_inner(word.chars().next()) && is_inner(before.chars().next_back());
            let goes_on_after = is_inner(word.chars().next_back()) && is_inner(after.chars().next());
            !goes_on_before && !goes_on_after
        };
        let at = self.text.match_indices(word).map(|(at, _)| at).find(is_whole)?;
        let column = self.column + self.text[..at].chars().count();
        Some((column, word.chars().count()))
    }
}

/// The lines of the value whose key ends `end` characters after the first line's start.
fn parts<'a>(mut lines: impl Iterator<Item = &'a str>, end: usize, is_toml: bool) -> Vec<LinePart<'a>> {
    let Some(line) = lines.next() else { return Vec::new() };
    let after = line.char_indices().nth(end).map_or("", |(at, _)| &line[at..]);
    let delimiter = if is_toml { after.find('=') } else { after.find(['=', ':']) };
    let Some(delimiter) = delimiter else { return Vec::new() };
    let skipped = end + after[..=delimiter].chars().count();
    let value = &after[delimiter + 1..];
    if is_toml {
        return toml_parts(std::iter::once(value).chain(lines), skipped);
    }
    let more =
        lines.take_while(|line| line.starts_with([' ', '\t']) || line.is_empty() || line.starts_with(['#', ';']));
    let more = more.enumerate().filter(|(_, line)| !line.trim_start().starts_with(['#', ';']));
    let more = more.map(|(at, line)| LinePart::new(at + 1, 0, without_comment(line)));
    std::iter::once(LinePart::new(0, skipped, without_comment(value))).chain(more).collect()
}

fn without_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(before, _)| before)
}

/// The lines of a TOML value, of which the first begins behind the `=`, `skipped` characters after its line's start.
fn toml_parts<'a>(lines: impl Iterator<Item = &'a str>, skipped: usize) -> Vec<LinePart<'a>> {
    let mut found = Vec::new();
    let mut open = Open::default();
    for (at, line) in lines.enumerate() {
        let end = open.end_of_value(line);
        found.push(LinePart::new(at, if at == 0 { skipped } else { 0 }, &line[..end]));
        if open.is_nothing() {
            break;
        }
    }
    found
}

/// What is open at a place in a TOML value.
#[derive(Default)]
struct Open {
    quote: Option<char>,
    depth: usize,
}

impl Open {
    fn is_nothing(&self) -> bool {
        self.quote.is_none() && self.depth == 0
    }

    /// Where the value, or what this line has of it, ends.
    fn end_of_value(&mut self, line: &str) -> usize {
        let mut is_escaped = false;
        for (at, c) in line.char_indices() {
            match (self.quote, c) {
                _ if std::mem::take(&mut is_escaped) => {}
                (Some('"'), '\\') => is_escaped = true,
                (Some(open), _) if c == open => self.quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => self.quote = Some(c),
                (None, '[' | '{') => self.depth += 1,
                (None, ']' | '}' | ',') if self.depth == 0 => return at,
                (None, ']' | '}') => self.depth -= 1,
                (None, '#') => return at,
                _ => {}
            }
        }
        line.len()
    }
}

/// The texts that a message has in backticks or quotes, and of `key = value` the value alone, too; the longest first.
/// tox's own messages have a wrong number before `is not of type`, and a wrong word behind the last colon.
fn quoted(message: &str) -> Vec<String> {
    // What tox got instead of what it expected is all of the value.
    let message = message.split(", got ").next().unwrap_or_default();
    let of = |mark: char| message.split(mark).skip(1).step_by(2);
    let mut found: Vec<String> =
        of('`').chain(of('\'')).filter(|text| !text.trim().is_empty()).map(str::to_owned).collect();
    found.extend(found.clone().iter().filter_map(|text| Some(text.split_once(" = ")?.1.to_owned())));
    if let Some((_, last)) = message.rsplit_once(": ") {
        let word = last.split_once(" is not of type ").map_or(last, |(number, _)| number);
        // A truth value as TOML writes it.
        found.push(if matches!(word, "True" | "False") { word.to_lowercase() } else { word.to_owned() });
        found.extend(word.split_once(' ').map(|(first, _)| first.to_owned()));
    }
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
        let text = "a = [ # \"z\"\n  \"x\", # y\n  [\"y\"]\n]\nb = 1\n";
        let lines =
            [(0, 4, "[".to_owned()), (1, 2, "\"x\",".to_owned()), (2, 2, "[\"y\"]".to_owned()), (3, 0, "]".to_owned())];
        assert_eq!(shown(text, "a", true), lines);
        assert_eq!(shown("a = \"\"\"x\ny\"\"\"\nb = 1\n", "a", true).len(), 2);
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
        let part = LinePart::new(0, 4, " AB=1 'ä' B");
        assert_eq!([part.word("B"), part.word("AB"), part.word("A")], [Some((14, 1)), Some((5, 2)), None]);
        assert_eq!(quoted("`ab` of 'c' and `d`"), ["ab", "d", "c"]);
        assert_eq!(quoted("failed to load a.b: 3 is not of type 'str'"), ["str", "3"]);
        assert_eq!(quoted("unrecognized arguments: -x of y"), ["-x of y", "-x"]);
        assert_eq!(quoted("b expected str, got dict: {'A': 'x'}"), [""; 0]);
    }
}
