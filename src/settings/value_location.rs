//! Finds the location of a value in the file from that of its key, for errors.

use crate::error::{ConfigError, Location};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::source::{ConfigSource, Span, TomlValue};

impl Settings {
    /// The error at the value of the key that is written at `key`, if anywhere: at the part of it that the message quotes,
    /// else at all of it, else (nothing is written) at the key.
    pub fn at_value(&self, error: ConfigError, key: Option<Location>) -> ConfigError {
        let error = self.at_part(error);
        let Some(key) = key.filter(|_| error.location.is_none()) else { return error };
        let words = quoted(&error.message);
        error.at(self.within_value(key, &words))
    }

    /// Errors about services, which know where a key is written: at the part of its value that the message quotes after
    /// naming that place, else at all of it.
    pub fn at_values(&self, mut error: ConfigError) -> ConfigError {
        error.further = error.further.into_iter().map(|other| self.at_values(other)).collect();
        if let Some(key) = error.location.take_if(|key| key.file == self.source.path) {
            let place = format!("({})", key.short());
            let about = error.message.split_once(&place).map_or(error.message.as_str(), |(_, about)| about);
            error.location = Some(Box::new(self.within_value(*key, &quoted(about))));
        }
        error
    }

    /// The error at the part of a TOML value that it is about, if it names one.
    pub fn at_part(&self, error: ConfigError) -> ConfigError {
        at_part(&self.source, error)
    }

    /// The error at a text of a TOML file, or at what it quotes of it.
    pub(super) fn in_text(&self, error: ConfigError, text: Span) -> ConfigError {
        let words = quoted(&error.message);
        let lines = lines_of(&self.source.text, &text);
        let found = find(&lines, &words).map(|(at, length)| at..at + length);
        error.in_part(found.unwrap_or(text))
    }

    /// Where `part` is written in the value of a key, else all of the value, else the key.
    pub fn location_within(&self, set: &ConfigSet, name: &str, part: &str) -> Option<Location> {
        let key = self.location_of(set, name).ok().flatten()?;
        Some(self.within_value(key, &[part.to_owned()]))
    }

    /// The first of the words that is there in the value of the key that is written at `key`.
    fn within_value(&self, key: Location, words: &[String]) -> Location {
        let text = self.source.text.as_str();
        let first = key.line.saturating_sub(1 + self.source.lines_before);
        let line_start =
            if first == 0 { 0 } else { text.match_indices('\n').nth(first - 1).map_or(0, |(at, _)| at + 1) };
        let characters = |count: usize| text[line_start..].char_indices().nth(count).map_or(0, |(at, _)| at);
        let key_start = line_start + characters(key.column - 1);
        let (lines, all) = match self.toml() {
            None => {
                let lines = ini_lines(text, line_start + characters(key.column - 1 + key.length));
                let all = lines.first().map(|(at, line)| *at..*at + line.len());
                (lines, all)
            }
            Some(document) => match document.root.root().written_at(key_start) {
                None => (Vec::new(), None),
                Some(value) => {
                    let texts = scalars_in(value);
                    let whole =
                        |span: &&Span| words.iter().any(|word| text[(*span).clone()].trim_matches(['"', '\'']) == word);
                    let lines =
                        texts.iter().filter(whole).chain(&texts).flat_map(|span| lines_of(text, span)).collect();
                    (lines, Some(value.span()))
                }
            },
        };
        let found = find(&lines, words).map(|(at, length)| at..at + length).or(all);
        found.map_or(key, |part| location(&self.source, &part))
    }
}

/// The error at the part of a TOML value that it is about, if it names one.
pub fn at_part(source: &ConfigSource, mut error: ConfigError) -> ConfigError {
    match error.part.take() {
        Some(part) => error.at(location(source, &part)),
        None => error,
    }
}

/// The location of a part of the text, as far as it is on one line.
fn location(source: &ConfigSource, part: &Span) -> Location {
    let (before, written) = (&source.text[..part.start], &source.text[part.clone()]);
    let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1 + source.lines_before;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let length = match written.split_once('\n') {
        None => written.chars().count(),
        // A comment may follow the bracket that opens a list or a table.
        Some(_) if written.starts_with(['[', '{']) => 1,
        Some((first, _)) => first.trim_end().chars().count(),
    };
    Location { file: source.path.clone(), line, column, length }
}

/// Where the texts and numbers of a TOML value are written.
fn scalars_in(value: &TomlValue) -> Vec<Span> {
    if value.scalar().is_some() {
        return vec![value.span()];
    }
    value.entries().flat_map(|(_, entry)| scalars_in(entry)).collect()
}

/// A line of a value without blanks around it, and its offset in the file's text.
type Line<'a> = (usize, &'a str);

fn trimmed(at: usize, line: &str) -> Option<Line<'_>> {
    let text = line.trim();
    (!text.is_empty()).then(|| (at + line.len() - line.trim_start().len(), text))
}

/// The lines of a part of the text, each with its offset.
fn lines<'a>(text: &'a str, part: &Span) -> impl Iterator<Item = Line<'a>> {
    text[part.clone()].split_inclusive('\n').scan(part.start, |at, line| {
        *at += line.len();
        Some((*at - line.len(), line))
    })
}

fn lines_of<'a>(text: &'a str, part: &Span) -> Vec<Line<'a>> {
    lines(text, part).filter_map(|(at, line)| trimmed(at, line)).collect()
}

/// The lines of the value whose key ends at `end`, without comments.
fn ini_lines(text: &str, end: usize) -> Vec<Line<'_>> {
    let rest = end..text.len();
    let mut lines = lines(text, &rest);
    let first = lines.next().and_then(|(at, line)| Some((at, line, line.find(['=', ':'])? + 1)));
    let Some((at, line, delimiter)) = first else { return Vec::new() };
    let first = (at + delimiter, &line[delimiter..]);
    let more = lines.take_while(|(_, line)| line.starts_with([' ', '\t', '\r', '\n', '#', ';']));
    let more = more.filter(|(_, line)| !line.trim_start().starts_with(['#', ';']));
    let all = std::iter::once(first).chain(more);
    all.filter_map(|(at, line)| trimmed(at, without_comment(line))).collect()
}

fn without_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(before, _)| before)
}

/// Offset and length of the first of the words that is there, line by line.
fn find(lines: &[Line<'_>], words: &[String]) -> Option<(usize, usize)> {
    let words = || words.iter().filter(|word| !word.is_empty());
    lines.iter().find_map(|(at, line)| words().find_map(|word| Some((at + word_in(line, word)?, word.len()))))
}

/// The offset of `word` in the line, if it is there as one.
fn word_in(line: &str, word: &str) -> Option<usize> {
    let is_inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_whole = |at: &usize| {
        let (before, after) = (&line[..*at], &line[at + word.len()..]);
        let continues_before = is_inner(word.chars().next()) && is_inner(before.chars().next_back());
        let continues_after = is_inner(word.chars().next_back()) && is_inner(after.chars().next());
        !continues_before && !continues_after
    };
    line.match_indices(word).map(|(at, _)| at).find(is_whole)
}

/// The texts that a message has in backticks or quotes, and of `key = value` the value alone, too; the longest first.
/// tox's own messages have a wrong word behind the last colon.
fn quoted(message: &str) -> Vec<String> {
    // What tox got instead of what it expected is all of the value.
    let message = message.split(", got ").next().unwrap_or_default();
    let of = |mark: char| message.split(mark).skip(1).step_by(2);
    let mut found: Vec<String> =
        of('`').chain(of('\'')).filter(|text| !text.trim().is_empty()).map(str::to_owned).collect();
    found.extend(found.clone().iter().filter_map(|text| Some(text.split_once(" = ")?.1.to_owned())));
    if let Some((_, word)) = message.rsplit_once(": ") {
        found.push(word.to_owned());
        found.extend(word.split_once(' ').map(|(first, _)| first.to_owned()));
    }
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_value_are_found_behind_its_key_or_below_it() {
        assert_eq!(ini_lines("a = x y # z\nb = 1\n", 1), [(4, "x y")]);
        assert_eq!(ini_lines("a: x=1\n", 1), [(3, "x=1")]);
        assert_eq!(ini_lines("a =\n  x\n# c\n\n  y\n[b]\n", 1), [(6, "x"), (15, "y")]);
        assert_eq!(ini_lines("[a]\n", 2), []);
        assert_eq!(lines_of("a = \"\"\"x\n y\"\"\"\n", &(4..14)), [(4, "\"\"\"x"), (10, "y\"\"\"")]);
    }

    #[test]
    fn what_a_message_quotes_is_found_as_a_word() {
        let line = "AB=1 'ä' B";
        assert_eq!([word_in(line, "B"), word_in(line, "AB"), word_in(line, "A")], [Some(10), Some(0), None]);
        assert_eq!(quoted("`ab` of 'c' and `d`"), ["ab", "d", "c"]);
        assert_eq!(quoted("unrecognized arguments: -x of y"), ["-x of y", "-x"]);
        assert_eq!(quoted("b expected str, got dict: {'A': 'x'}"), [""; 0]);
    }
}
