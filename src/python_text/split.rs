//! Splits a command line into words as Python's `shlex` does in the way tox uses it: POSIX rules, split on blanks only,
//! no comments, and an unterminated quote keeps the rest as one word.
//! <https://docs.python.org/3/library/shlex.html#parsing-rules>

/// The words of a line; empty when there are none.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = Reader { characters: line.char_indices().peekable(), line };
    while let Some((start, word)) = rest.word() {
        match word {
            Some(word) => words.push(word),
            None => {
                words.push(line[start..].to_owned());
                break;
            }
        }
    }
    words
}

struct Reader<'a> {
    characters: std::iter::Peekable<std::str::CharIndices<'a>>,
    line: &'a str,
}

/// Python's shlex knows four blanks only.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

impl Reader<'_> {
    /// The next word and where the text before it ends; the word is `None` when a quote or escape is left open.
    /// Python hands over what follows the previous word's delimiter in that case.
    fn word(&mut self) -> Option<(usize, Option<String>)> {
        let start = self.characters.peek().map_or(self.line.len(), |(at, _)| *at);
        while self.characters.next_if(|(_, c)| is_blank(*c)).is_some() {}
        self.characters.peek()?;
        let mut word = String::new();
        while let Some((_, character)) = self.characters.next() {
            match character {
                c if is_blank(c) => return Some((start, Some(word))),
                '\\' => match self.characters.next() {
                    Some((_, escaped)) => word.push(escaped),
                    None => return Some((start, None)),
                },
                '\'' | '"' => {
                    if self.quoted(character, &mut word).is_none() {
                        return Some((start, None));
                    }
                }
                c => word.push(c),
            }
        }
        Some((start, Some(word)))
    }

    /// Reads up to the closing quote. In double quotes a backslash escapes only the quote and itself.
    fn quoted(&mut self, quote: char, word: &mut String) -> Option<()> {
        loop {
            let (_, character) = self.characters.next()?;
            if character == quote {
                return Some(());
            }
            if character == '\\' && quote == '"' {
                let (_, escaped) = self.characters.next()?;
                if escaped != quote && escaped != '\\' {
                    word.push('\\');
                }
                word.push(escaped);
            } else {
                word.push(character);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::words;

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
}
