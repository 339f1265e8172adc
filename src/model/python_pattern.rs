//! Compiles Python's regular expressions in settings and options, with Python's messages for the most common
//! errors.

use fancy_regex::Regex;

/// Compiles `pattern` to match a whole text, as Python's `re.fullmatch` does.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    compile(pattern, r"\z")
}

/// Compiles `pattern` to match at the start of a text, as Python's `re.match` does.
pub fn at_start(pattern: &str) -> Result<Regex, String> {
    compile(pattern, "")
}

fn compile(pattern: &str, end: &str) -> Result<Regex, String> {
    // Checked first: the text around the pattern could close a stray parenthesis.
    if let Some(mistake) = mistake(pattern) {
        return Err(mistake);
    }
    Regex::new(&format!(r"\A(?:{pattern}){end}")).map_err(|error| error.to_string())
}

/// Python's message for parentheses, brackets and repetitions that do not match. Positions count characters.
fn mistake(pattern: &str) -> Option<String> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut open = Vec::new();
    let mut repeatable = false;
    let mut at = 0;
    while let Some(character) = characters.get(at) {
        match character {
            '\\' if at + 1 == characters.len() => return Some(format!("bad escape (end of pattern) at position {at}")),
            '\\' => at += 1,
            '[' => match set_end(&characters, at) {
                Some(end) => at = end,
                None => return Some(format!("unterminated character set at position {at}")),
            },
            '(' => open.push(at),
            ')' if open.pop().is_none() => return Some(format!("unbalanced parenthesis at position {at}")),
            '*' | '+' | '?' if !repeatable => {
                let in_extension = *character == '?' && at > 0 && characters[at - 1] == '(';
                if !in_extension {
                    return Some(format!("nothing to repeat at position {at}"));
                }
            }
            _ => {}
        }
        repeatable = !matches!(character, '(' | '|');
        at += 1;
    }
    open.pop().map(|at| format!("missing ), unterminated subpattern at position {at}"))
}

/// Where the character set that starts at `start` ends.
fn set_end(characters: &[char], start: usize) -> Option<usize> {
    let negated = characters.get(start + 1) == Some(&'^');
    // A bracket that comes first belongs to the set.
    let mut at = start + if negated { 3 } else { 2 };
    loop {
        match characters.get(at)? {
            ']' => return Some(at),
            '\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_python() {
        for (pattern, message) in [
            ("linux(", "missing ), unterminated subpattern at position 5"),
            ("a)", "unbalanced parenthesis at position 1"),
            ("[a", "unterminated character set at position 0"),
            ("*a", "nothing to repeat at position 0"),
            ("a|+", "nothing to repeat at position 2"),
            ("a\\", "bad escape (end of pattern) at position 1"),
        ] {
            assert_eq!(whole(pattern).unwrap_err(), message, "{pattern}");
        }
    }

    #[test]
    fn names_accepted_by_python_are_accepted() {
        for pattern in ["", "(?i)linux|darwin", "[]x]", "[^]x](a(?:b)?)*", r"\(", "a+?", "(?P<n>x)"] {
            assert!(whole(pattern).is_ok(), "{pattern}");
        }
        assert!(whole("linux|darwin").unwrap().is_match("darwin").unwrap());
        assert!(!whole("linu").unwrap().is_match("linux").unwrap());
        assert!(at_start("linu").unwrap().is_match("linux").unwrap());
        assert!(!whole("a$").unwrap().is_match("a\n").unwrap());
    }
}
