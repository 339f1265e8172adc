//! Python's `shlex` in the two ways tox uses it, and `shlex.quote`: POSIX rules, no comments. Ours, because the crate `shlex`
//! splits at comments, treats `\$` in double quotes as an escape, and does not report open quotes.
//! <https://docs.python.org/3/library/shlex.html#parsing-rules>

/// Characters that `shlex.quote` leaves alone besides letters and digits.
const SAFE: &str = "@%+=:,./-_";

/// The words of a line. Text after an open quote or escape is one word, as in tox's commands.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = WordReader { characters: line.char_indices().peekable(), line };
    while let Some((start, word)) = rest.word() {
        match word {
            Ok(word) => words.push(word),
            Err(_) => {
                words.push(line[start..].to_owned());
                break;
            }
        }
    }
    words
}

/// The words of a line as `shlex.split` returns them: an open quote or escape is an error, in Python's words.
pub fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut rest = WordReader { characters: line.char_indices().peekable(), line };
    std::iter::from_fn(|| rest.word()).map(|(_, word)| word).collect()
}

/// A word as `shlex.quote` writes it.
pub fn quote(word: &str) -> String {
    let safe = |character: char| character.is_ascii_alphanumeric() || SAFE.contains(character);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// Words as one command line.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

struct WordReader<'a> {
    characters: std::iter::Peekable<std::str::CharIndices<'a>>,
    line: &'a str,
}

/// Python's shlex knows four blanks only.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

impl WordReader<'_> {
    /// The next word and where the text before it ends; an error when a quote or escape is left open.
    /// Python hands over what follows the previous word's delimiter in that case.
    fn word(&mut self) -> Option<(usize, Result<String, &'static str>)> {
        let start = self.characters.peek().map_or(self.line.len(), |(at, _)| *at);
        while self.characters.next_if(|(_, c)| is_blank(*c)).is_some() {}
        self.characters.peek()?;
        Some((start, self.rest_of_word()))
    }

    fn rest_of_word(&mut self) -> Result<String, &'static str> {
        let mut word = String::new();
        while let Some((_, character)) = self.characters.next() {
            match character {
                c if is_blank(c) => break,
                '\\' => word.push(self.escaped()?),
                '\'' | '"' => self.quoted(character, &mut word)?,
                c => word.push(c),
            }
        }
        Ok(word)
    }

    fn escaped(&mut self) -> Result<char, &'static str> {
        self.characters.next().map(|(_, escaped)| escaped).ok_or("No escaped character")
    }

    /// Reads up to the closing quote. In double quotes a backslash escapes only the quote and itself.
    fn quoted(&mut self, quote: char, word: &mut String) -> Result<(), &'static str> {
        loop {
            match self.characters.next().ok_or("No closing quotation")?.1 {
                character if character == quote => return Ok(()),
                '\\' if quote == '"' => {
                    let escaped = self.escaped()?;
                    if !matches!(escaped, '"' | '\\') {
                        word.push('\\');
                    }
                    word.push(escaped);
                }
                character => word.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{join, split, words};

    #[test]
    fn blanks_quotes_and_escapes_follow_posix() {
        assert_eq!(words(r#"a  "b c" 'd e' f\ g h"i"j"#), ["a", "b c", "d e", "f g", "hij"]);
        assert_eq!(words("'' \"\""), ["", ""]);
        assert!(words(" \t\n").is_empty());
    }

    #[test]
    fn a_backslash_in_double_quotes_escapes_only_quotes_and_itself() {
        assert_eq!(words(r#""\$HOME" "\"" "\\""#), [r"\$HOME", "\"", "\\"]);
        assert_eq!(words(r"'\n'"), [r"\n"]);
    }

    #[test]
    fn comments_are_words() {
        assert_eq!(words("a # b"), ["a", "#", "b"]);
    }

    #[test]
    fn an_open_quote_keeps_the_rest_as_one_word() {
        assert_eq!(words("echo 'a b"), ["echo", "'a b"]);
        assert_eq!(words("echo it's fine"), ["echo", "it's fine"]);
        assert_eq!(words("echo a\\"), ["echo", "a\\"]);
    }

    #[test]
    fn what_is_left_open_is_an_error_of_split() {
        let words = |text| split(text).map(|words| words.join("|"));
        assert_eq!(words(r#"-r  "a b" c\ d ''"#), Ok("-r|a b|c d|".to_owned()));
        assert_eq!(words(r#"a"b\"\x"'c\'"#), Ok(r#"ab"\xc\"#.to_owned()));
        assert_eq!(words(""), Ok(String::new()));
        assert_eq!((words("'"), words("a \"b")), (Err("No closing quotation"), Err("No closing quotation")));
        assert_eq!((words("a\\"), words("\"a\\")), (Err("No escaped character"), Err("No escaped character")));
    }

    #[test]
    fn words_are_quoted_as_in_python() {
        assert_eq!(join(&["sh", "-c", "echo hi; echo err >&2"]), "sh -c 'echo hi; echo err >&2'");
        assert_eq!(join(&["", "it's", "a=b", "~", "ü"]), "'' 'it'\"'\"'s' a=b '~' 'ü'");
    }
}
