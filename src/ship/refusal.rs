//! Why something cannot be packed, verified or installed, and what to do about it.

use std::fmt;

use crate::python_text::escaped;

/// A reason with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub help: Option<String>,
}

impl Refusal {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names in it may be those of a file that someone else has made.
        formatter.write_str(&escaped(&self.reason))?;
        self.help.iter().try_for_each(|help| write!(formatter, "\nhelp: {}", escaped(help)))
    }
}

impl std::error::Error for Refusal {}
