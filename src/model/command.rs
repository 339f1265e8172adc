//! One command line of `commands` and similar settings.

use serde::{Deserialize, Serialize};

/// Which exit codes of a command count as success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitRule {
    /// Zero succeeds.
    #[default]
    Zero,
    /// Any code succeeds (`-` before the command).
    Any,
    /// Anything but zero succeeds (`!` before the command).
    NonZero,
}

/// A command, split into words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments, never empty.
    pub argv: Vec<String>,
    #[serde(default)]
    pub exit_rule: ExitRule,
}

impl Command {
    /// Parses words of which the first may be tox's `-` (ignore the exit code) or `!` (expect failure).
    pub fn from_words(mut words: Vec<String>) -> Self {
        let exit_rule = match words.first().map(String::as_str) {
            Some("-") => ExitRule::Any,
            Some("!") => ExitRule::NonZero,
            _ => ExitRule::Zero,
        };
        if exit_rule != ExitRule::Zero {
            words.remove(0);
        }
        Self { argv: words, exit_rule }
    }
}
