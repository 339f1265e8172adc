//! Masks secrets, by tox's rules for recognizing them.

use std::collections::BTreeMap;

const KEYWORDS: [&str; 12] =
    ["access", "api", "auth", "client", "cred", "key", "passwd", "password", "private", "pwd", "secret", "token"];

fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    KEYWORDS.iter().any(|keyword| name.contains(keyword))
}

fn stars(text: &str) -> String {
    "*".repeat(text.chars().count())
}

/// Values of filled-in variables that must not be shown.
#[derive(Debug, Default)]
pub(super) struct SecretValues(BTreeMap<String, String>);

impl SecretValues {
    /// Adds `value` if `name` looks like that of a secret.
    pub(super) fn learn(&mut self, name: &str, value: &str) {
        if sounds_secret(name) {
            self.0.insert(value.to_owned(), stars(value));
        }
    }

    /// `text` without any of them.
    pub(super) fn mask(&self, text: String) -> String {
        // The longest come first, as one value may contain another.
        let mut values: Vec<_> = self.0.iter().collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.chars().count()));
        values.into_iter().fold(text, |text, (value, mask)| text.replace(value, mask))
    }
}

/// An unknown argument, masked for an error message.
pub(super) fn unknown_argument(argument: &str) -> String {
    let argument = without_credentials(argument);
    let mut searched = 0;
    while let Some(offset) = argument[searched..].find('-') {
        let start = searched + offset;
        searched = start + 1;
        let before = argument[..start].chars().next_back();
        let starts_flag =
            before.is_none_or(|before| before.is_whitespace() || matches!(before, '\'' | '"' | '=' | ';'));
        let ends_flag = |c: char| matches!(c, '\'' | '"' | '=') || (c.is_whitespace() && !matches!(c, '\r' | '\n'));
        let Some(length) = argument[start..].find(ends_flag) else { continue };
        let end = start + length;
        if starts_flag && argument[end..].starts_with('=') {
            if sounds_secret(&argument[start..end]) {
                return format!("{}{}", &argument[..=end], stars(&argument[end + 1..]));
            }
            searched = end;
        }
    }
    argument
}

/// Masks `user:password` in the URLs of `text`.
fn without_credentials(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        result.push_str(before);
        let authority = after.find(|c: char| matches!(c, '/' | '?' | '#') || c.is_whitespace()).unwrap_or(after.len());
        let scheme = before[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
        rest = match after[..authority].rfind('@') {
            Some(end) if end > 0 && scheme => {
                result.push_str(&stars(&after[..end]));
                &after[end..]
            }
            _ => after,
        };
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_sounding_variables_are_masked_longest_first() {
        let mut secrets = SecretValues::default();
        secrets.learn("PYPI_TOKEN", "magic");
        secrets.learn("LONG_PYPI_TOKEN", "magical");
        secrets.learn("HOST", "host");
        assert_eq!(secrets.mask("magic magical host".to_owned()), "***** ******* host");
    }

    #[test]
    fn unknown_arguments_show_no_secret() {
        for (argument, expected) in [
            ("--api-token=hunter2", "--api-token=*******"),
            ("--missing", "--missing"),
            ("--other=x", "--other=x"),
            ("https://me:pass@host/x@y", "https://*******@host/x@y"),
            ("https://host/", "https://host/"),
        ] {
            assert_eq!(unknown_argument(argument), expected);
        }
    }
}
