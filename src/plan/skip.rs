//! Applies `--skip-env`. The caller reports the skipped environments.

use crate::error::ConfigError;
use crate::model::python_pattern;
use crate::python_text::python_repr;

/// The regular expression, as Python reads it.
pub(super) struct SkipPattern {
    pattern: fancy_regex::Regex,
    quoted: String,
}

impl SkipPattern {
    /// `None` when nothing is to be left out.
    pub(super) fn of(text: &str) -> Result<Option<Self>, ConfigError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let quoted = python_repr(text);
        match python_pattern::at_start(text) {
            Ok(pattern) => Ok(Some(Self { pattern, quoted })),
            Err(error) => Err(ConfigError::handled(format!("invalid environment skip filter {quoted}: {error}"))),
        }
    }

    /// What there is to say of an environment that is left out.
    pub(super) fn warning(&self, name: &str) -> Option<String> {
        let skipped = self.pattern.is_match(name).unwrap_or(false);
        skipped.then(|| format!("skip environment {name}, matches filter {}", self.quoted))
    }
}
