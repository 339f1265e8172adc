//! Substitution: `{env:NAME:default}`, `{posargs}`, `{[section]key}`, `{/}` and their like.
//! <https://tox.wiki/en/4.67.15/reference/config.html#string-substitutions>
//!
//! [`parse`] finds the expressions, [`replace`] inserts their values, and [`ValueLookup`] provides the values, so that this
//! folder need not know sections or environments.

mod command_line;
pub mod parse;
pub mod replace;

use crate::error::ConfigError;

/// The keys that led here, in order, to detect cycles and explain errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail(pub Vec<String>);

impl Trail {
    pub fn contains(&self, entry: &str) -> bool {
        self.0.iter().any(|one| one == entry)
    }

    /// A note, which is not a key.
    pub fn mark(text: &str) -> String {
        format!("<{text}>")
    }

    /// The keys, without notes.
    pub fn shown(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|entry| !entry.starts_with('<')).collect()
    }

    #[must_use]
    pub fn with(&self, entry: impl Into<String>) -> Self {
        let mut entries = self.0.clone();
        entries.push(entry.into());
        Self(entries)
    }
}

/// The value of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundReference {
    /// Text that may contain expressions (another section's raw value, a variable of this process).
    Raw(String),
    /// Text that is final.
    Text(String),
    /// Words of a command line, one per line, each to be quoted.
    Arguments(String),
}

impl FoundReference {
    pub fn into_text(self) -> String {
        match self {
            Self::Raw(text) | Self::Text(text) | Self::Arguments(text) => text,
        }
    }
}

/// Used instead of a section prefix if any section may be named, for example in TOML files.
pub const TOML_PREFIX: &str = "*";

/// The source of values.
pub trait ValueLookup {
    /// A setting: `key` or `[section]key`. `None` if it does not exist.
    fn reference(&self, reference: &Reference<'_>, trail: &Trail) -> Result<Option<FoundReference>, ConfigError>;

    /// A variable: `set_env` first, then this process's.
    fn variable(&self, name: &str, trail: &Trail) -> Result<Option<FoundReference>, ConfigError>;

    /// The arguments after `--`; `None` if there is no `--`. `program_first`: the first word will be run as a program.
    fn positional(&self, trail: &Trail, program_first: bool) -> Result<Option<Vec<String>>, ConfigError>;

    /// Paths that match a pattern, sorted.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, ConfigError>;

    /// `{factor:label}`; `None` if the configuration has no labelled factors (then the default is used as written).
    fn factor(&self, label: &str, default: Option<&str>) -> Result<Option<String>, ConfigError>;

    fn is_terminal(&self) -> bool;

    /// The replacement for `\{`, a literal brace.
    fn escaped_brace(&self) -> char {
        '{'
    }

    /// Warns that expansion was aborted.
    fn warn(&self, text: String);
}

/// `[section]key:default`, split into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    pub section: Option<&'a str>,
    pub key: &'a str,
}

/// Splits a reference from its default. `prefix` is the prefix of environments' sections (`testenv`).
pub fn parse_reference<'a>(text: &'a str, prefix: &str) -> Option<(Reference<'a>, Option<&'a str>)> {
    let (section, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (section, rest) = inner.split_once(']')?;
            let of_environment = section
                .strip_prefix(prefix)
                .is_some_and(|tail| tail.is_empty() || (tail.starts_with(':') && tail.len() > 1));
            let plain = !section.is_empty() && section.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
            if !of_environment && !plain && prefix != TOML_PREFIX {
                return None;
            }
            (Some(section), rest)
        }
        None => (None, text),
    };
    let (key, default) = match rest.split_once(':') {
        Some((key, default)) => (key, Some(default)),
        None => (rest, None),
    };
    let valid = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let one_line = !default.is_some_and(|text| text.contains('\n'));
    (valid && one_line).then_some((Reference { section, key }, default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_key_and_perhaps_a_section_and_a_default() {
        let parsed = |text| parse_reference(text, "testenv");
        assert_eq!(parsed("key"), Some((Reference { section: None, key: "key" }, None)));
        assert_eq!(parsed("[base]key:a:b"), Some((Reference { section: Some("base"), key: "key" }, Some("a:b"))));
        assert_eq!(
            parsed("[testenv:py3.10]deps"),
            Some((Reference { section: Some("testenv:py3.10"), key: "deps" }, None))
        );
        assert_eq!(parsed("[other:x]key"), None);
        assert_eq!(parsed("py39,py38"), None);
        assert_eq!(parsed(""), None);
    }
}
