//! Errors in a configuration, in tox's words, with their location and hints.
//!
//! Modules up to `plan` return [`ConfigError`]; from `builder` on, it is wrapped by `anyhow` with context. If tox prints a
//! message that people or scripts match on, [`ConfigError::message`] is that exact message, and the frame is extra.

pub mod frame;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::python_text::python_repr;

/// tox's class of an error: it decides how the error is handled, and `config` shows its Python name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user's mistake: ends the program, or the environment that needed the value.
    Handled,
    /// The environment cannot be created.
    Fail,
    /// The environment is skipped (a missing interpreter, another platform).
    Skip,
    /// No interpreter matches; fails the environment.
    NoInterpreter,
    /// A missing key.
    Key,
    /// A value refers to itself.
    Circular,
    /// Substitution did not end, or a variable refers to itself.
    MatchRecursion,
    /// A cycle over defaults, for which Python reports a recursion error.
    Recursion,
    /// A malformed substitution.
    Match,
    Type,
    Value,
    /// A program that was queried does not respond.
    Runtime,
}

impl ErrorClass {
    /// The name of the Python exception tox raises.
    pub fn python_name(self) -> &'static str {
        match self {
            Self::Handled => "HandledError",
            Self::Fail => "Fail",
            Self::Skip => "Skip",
            Self::NoInterpreter => "NoInterpreter",
            Self::Key => "KeyError",
            Self::Circular => "CircularChainError",
            Self::MatchRecursion => "MatchRecursionError",
            Self::Recursion => "RecursionError",
            Self::Match => "MatchError",
            Self::Type => "TypeError",
            Self::Value => "ValueError",
            Self::Runtime => "RuntimeError",
        }
    }
}

/// A location in a configuration file. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
    /// The number of characters.
    pub length: usize,
}

impl Location {
    /// For use within a sentence: `tox.ini:12`.
    pub fn short(&self) -> String {
        let file = self.file.file_name().unwrap_or(self.file.as_os_str());
        format!("{}:{}", file.display(), self.line)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub class: ErrorClass,
    /// The message, in tox's words if tox has the error.
    pub message: String,
    pub location: Option<Box<Location>>,
    /// The wrong part of a value, as offsets in the text of a TOML file, until it is known which file that is.
    pub part: Option<Box<Range<usize>>>,
    /// How the value was reached: `py310.deps`, `[base]deps`.
    pub trail: Vec<String>,
    /// Hints for the user.
    pub hints: Vec<String>,
    /// Further errors, which would otherwise only be reported after this one was fixed.
    pub further: Vec<ConfigError>,
}

impl ConfigError {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            location: None,
            part: None,
            trail: Vec::new(),
            hints: Vec::new(),
            further: Vec::new(),
        }
    }

    /// The first of several errors, with the others attached; `None` if there are none.
    pub fn of_several(errors: Vec<Self>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { further: errors.collect(), ..first })
    }

    pub fn handled(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Handled, message)
    }

    pub fn fail(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Fail, message)
    }

    pub fn skip(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Skip, message)
    }

    pub fn key(name: impl Into<String>) -> Self {
        Self::new(ErrorClass::Key, name)
    }

    pub fn value(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Value, message)
    }

    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location.get_or_insert_with(|| Box::new(location));
        self
    }

    /// The error of a part of a value, unless it knows its part already.
    #[must_use]
    pub fn in_part(mut self, part: Range<usize>) -> Self {
        if !part.is_empty() {
            self.part.get_or_insert_with(|| Box::new(part));
        }
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The error as Python's `repr` shows the exception, which `config` prints.
    pub fn python_repr(&self) -> String {
        if self.class == ErrorClass::NoInterpreter
            && let Some((_, specs)) = self.message.split_once("any of the specs ")
        {
            let specs: Vec<String> = specs.split(", ").map(python_repr).collect();
            return format!("{}([{}])", self.class.python_name(), specs.join(", "));
        }
        format!("{}({})", self.class.python_name(), python_repr(&self.message))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
