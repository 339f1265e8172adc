//! Shell-style patterns with the rules of Python's `fnmatch`: `*` (also across `/`), `?`, `[seq]` and `[!seq]`; a bracket
//! that is never closed stands for itself. There is no escape character.

/// Whether a text can match anything but itself.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobPattern {
    parts: Vec<GlobPart>,
    ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GlobPart {
    /// Any run of characters.
    Star,
    Any,
    One(char),
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl GlobPattern {
    pub fn new(pattern: &str) -> Self {
        Self { parts: parts(pattern), ignore_case: false }
    }

    /// As Python's `re.IGNORECASE` would match it.
    pub fn ignoring_case(pattern: &str) -> Self {
        Self { parts: parts(pattern), ignore_case: true }
    }

    /// Whether the whole `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut part, mut at) = (0, 0);
        // The position to retry from if the text after the last star does not match: one character further.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.parts.get(part), text.get(at)) {
                (Some(GlobPart::Star), _) => {
                    part += 1;
                    retry = Some((part, at));
                    continue;
                }
                (None, None) => return true,
                (Some(one), Some(character)) if self.fits(one, *character) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match &mut retry {
                Some((after_star, start)) if *start < text.len() => {
                    *start += 1;
                    (part, at) = (*after_star, *start);
                }
                _ => return false,
            }
        }
    }

    fn fits(&self, part: &GlobPart, character: char) -> bool {
        match part {
            GlobPart::Star => false,
            GlobPart::Any => true,
            GlobPart::One(one) => *one == character || (self.ignore_case && folded(*one) == folded(character)),
            GlobPart::Set { negated, ranges } => {
                let inside = |character: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                let found = inside(character)
                    || (self.ignore_case
                        && (character.to_lowercase().any(inside) || character.to_uppercase().any(inside)));
                found != *negated
            }
        }
    }
}

fn folded(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

fn parts(pattern: &str) -> Vec<GlobPart> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::with_capacity(characters.len());
    let mut at = 0;
    while let Some(character) = characters.get(at) {
        at += 1;
        match character {
            '*' if parts.last() == Some(&GlobPart::Star) => {}
            '*' => parts.push(GlobPart::Star),
            '?' => parts.push(GlobPart::Any),
            '[' => match closing_bracket(&characters, at) {
                Some(end) => {
                    parts.push(set(&characters[at..end]));
                    at = end + 1;
                }
                None => parts.push(GlobPart::One('[')),
            },
            other => parts.push(GlobPart::One(*other)),
        }
    }
    parts
}

/// A bracket right after the opening one, or after its `!`, belongs to the set.
fn closing_bracket(characters: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    if characters.get(at) == Some(&'!') {
        at += 1;
    }
    if characters.get(at) == Some(&']') {
        at += 1;
    }
    (at..characters.len()).find(|index| characters[*index] == ']')
}

fn set(inside: &[char]) -> GlobPart {
    let (negated, inside) = match inside {
        ['!', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(low) = inside.get(at) {
        if let (Some('-'), Some(high)) = (inside.get(at + 1), inside.get(at + 2)) {
            ranges.push((*low, *high));
            at += 3;
        } else {
            ranges.push((*low, *low));
            at += 1;
        }
    }
    GlobPart::Set { negated, ranges }
}

/// Whether the whole `text` matches `pattern`, including its case.
pub fn matches(pattern: &str, text: &str) -> bool {
    GlobPattern::new(pattern).matches(text)
}

/// A pattern that matches only `text`, as Python's `glob.escape` writes it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '*' | '?' | '[' => escaped.extend(['[', character, ']']),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*a*b", "xaxbxab", true),
            ("?", "", false),
            ("?b", "äb", true),
            ("[abc]", "b", true),
            ("[!abc]", "b", false),
            ("[!abc]", "d", true),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[a-c]x", "bx", true),
            ("[a-c-e]", "-", true),
            ("[a-c-e]", "d", false),
            ("[z-a]", "m", false),
            ("[!z-a]", "m", true),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[abc", "[abc", true),
            ("[abc", "a", false),
            ("[!", "[!", true),
            (r"\*", r"\x", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn case_can_be_ignored() {
        assert!(GlobPattern::ignoring_case("pip_*").matches("PIP_INDEX_URL"));
        assert!(GlobPattern::ignoring_case("[A-C]").matches("b"));
        assert!(!GlobPattern::ignoring_case("[!a-c]").matches("B"));
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        assert!(!matches(&format!("{}c", "a*".repeat(60)), &"a".repeat(5_000)));
    }

    #[test]
    fn an_escaped_text_fits_itself() {
        assert_eq!(escape("/a[1]*?"), "/a[[]1][*][?]");
        assert!(matches(&escape("/a[1]*?"), "/a[1]*?"));
    }
}
