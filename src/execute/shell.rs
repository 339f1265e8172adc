//! Redacts the secrets in commands.

/// Words that mark a name as that of a secret, anywhere in it.
const SECRET_WORDS: [&str; 12] =
    ["access", "api", "auth", "client", "cred", "key", "passwd", "password", "private", "pwd", "secret", "token"];

/// Whether a value with this name should be hidden.
pub fn is_secret(name: &str) -> bool {
    // Up and down again, so that letters fold as with Python's `re.IGNORECASE`.
    let name = name.to_uppercase().to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// The value, or as many asterisks as it has characters if `name` is that of a secret.
pub fn redact_value(name: &str, value: &str) -> String {
    if is_secret(name) { stars(value) } else { value.to_owned() }
}

/// The words with passwords in URLs and the values of `--secret=value` flags redacted.
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

/// Where the value of the first inline flag with a secret's name starts: all that follows is part of it,
/// since a word may contain several joined flags.
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

/// White space according to Python's `\s`.
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
