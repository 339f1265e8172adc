//! Commands as a shell would take them, and with their secrets taken out. Texts only; nothing here runs a shell.

/// Characters that Python's `shlex.quote` leaves alone besides letters and digits.
const SAFE: &str = "@%+=:,./-_";

/// Words that mark a name as that of a secret, wherever they stand in it.
const SECRET_WORDS: [&str; 12] =
    ["access", "api", "auth", "client", "cred", "key", "passwd", "password", "private", "pwd", "secret", "token"];

/// A word as Python's `shlex.quote` writes it.
pub fn quote(word: &str) -> String {
    let safe = |character: char| character.is_ascii_alphanumeric() || SAFE.contains(character);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// Words as one command line.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word.as_ref())).collect();
    quoted.join(" ")
}

/// Splits a text as Python's `shlex.split(text)` does; `None` where that raises an error (an open quote or escape).
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// Whether something of this name is better not shown.
pub fn is_secret(name: &str) -> bool {
    // Up and down again, so that letters fold together as they do for Python's `re.IGNORECASE`.
    let name = name.to_uppercase().to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// The value, or as many stars as it has characters when `name` is that of a secret.
pub fn redact_value(name: &str, value: &str) -> String {
    if is_secret(name) { stars(value) } else { value.to_owned() }
}

/// The words with passwords in URLs and the values of `--secret=value` flags made unreadable.
pub fn redact<S: AsRef<str>>(words: &[S]) -> Vec<String> {
    words.iter().map(|word| redact_word(word.as_ref())).collect()
}

fn stars(text: &str) -> String {
    "*".repeat(text.chars().count())
}

fn redact_word(word: &str) -> String {
    let word = redact_urls(word);
    match secret_flag(&word) {
        Some(end) => format!("{}{}", &word[..end], stars(&word[end..])),
        None => word,
    }
}

/// Where the value of the first inline flag with a secret's name starts: all that follows is taken for it, since a word
/// may hold several flags run together.
fn secret_flag(word: &str) -> Option<usize> {
    let mut before: Option<char> = None;
    let mut from = 0;
    for (at, character) in word.char_indices() {
        let starts = at >= from
            && character == '-'
            && before.is_none_or(|before| is_space(before) || matches!(before, '\'' | '"' | '=' | ';'));
        before = Some(character);
        if !starts {
            continue;
        }
        let ends_name = |other: char| matches!(other, '\'' | '"' | '=') || (is_space(other) && !"\r\n".contains(other));
        let rest = &word[at + 1..];
        let Some(length) = rest.find(ends_name).filter(|length| rest[*length..].starts_with('=')) else { continue };
        let end = at + 1 + length + 1;
        if is_secret(&word[at..end]) {
            return Some(end);
        }
        from = end;
    }
    None
}

/// White space as Python's `\s` knows it.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `scheme://user:password@host` becomes `scheme://*************@host`.
fn redact_urls(word: &str) -> String {
    let mut result = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        result.push_str(head);
        rest = tail;
        let authority = &tail[..tail.find(|c: char| matches!(c, '/' | '?' | '#') || is_space(c)).unwrap_or(tail.len())];
        if let Some(user) = authority.rfind('@').filter(|user| *user > 0)
            && ends_with_scheme(&head[..at])
        {
            result.push_str(&stars(&authority[..user]));
            rest = &tail[user..];
        }
    }
    result.push_str(rest);
    result
}

fn ends_with_scheme(text: &str) -> bool {
    text.chars()
        .rev()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'))
        .any(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_in_python() {
        assert_eq!(join(&["sh", "-c", "echo hi; echo err >&2"]), "sh -c 'echo hi; echo err >&2'");
        assert_eq!(join(&["", "it's", "a=b", "~", "ü"]), "'' 'it'\"'\"'s' a=b '~' 'ü'");
    }

    #[test]
    fn words_are_split_as_in_python() {
        assert_eq!(split(r#" -s "a b" 'c\d' e\ f "#).unwrap(), ["-s", "a b", r"c\d", "e f"]);
        assert_eq!(split(r#""a\"b\c" '' x"#).unwrap(), [r#"a"b\c"#, "", "x"]);
        assert_eq!(split("'open"), None);
        assert_eq!(split("a\\"), None);
        assert_eq!(split("").unwrap(), [""; 0]);
    }

    #[test]
    fn secrets_in_words_become_stars() {
        for (word, expected) in [
            ("--password=hunter2", "--password=*******"),
            ("--PIP-TOKEN=x", "--PIP-TOKEN=*"),
            ("--name=value", "--name=value"),
            ("password=x", "password=x"),
            ("a-key=x", "a-key=x"),
            ("-x=1 --key=2 3", "-x=1 --key=***"),
            ("--a=--secret=b", "--a=--secret=*"),
            ("https://me:pass@host/x@y", "https://*******@host/x@y"),
            ("git+https://tok@en@host", "git+https://******@host"),
            ("https://host/@x", "https://host/@x"),
            ("1://a@b", "1://a@b"),
            ("see http://a:b@c and ftp://d@e", "see http://***@c and ftp://*@e"),
            ("--index=https://@host", "--index=https://@host"),
            ("-\nkey=ä", "-\nkey=*"),
            ("-", "-"),
            ("", ""),
        ] {
            assert_eq!(redact(&[word]), [expected], "{word}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        assert_eq!(redact_value("GITHUB_TOKEN", "äbc"), "***");
        assert_eq!(redact_value("HOME", "/home/me"), "/home/me");
        assert!(is_secret("monKey") && !is_secret("PATH"));
    }
}
