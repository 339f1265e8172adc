//! What can be wrong with a configuration, in tox's words, with the place it was written and what would help.
//!
//! Rooms up to `plan` return [`ConfigError`]; from `builder` on, `anyhow` carries it along with context. Where tox prints a
//! message that people or scripts match on, [`ConfigError::message`] holds those very words and the frame is extra.

pub mod frame;

use std::fmt;
use std::path::PathBuf;

use crate::python_text::python_repr;

/// tox's class of an error: it decides what happens next, and its Python name shows in `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user's mistake: ends the program, or the environment that needed the value.
    Handled,
    /// The environment cannot be made.
    Fail,
    /// The environment is left out (a missing interpreter, another platform).
    Skip,
    /// No interpreter fits; fails the environment.
    NoInterpreter,
    /// A key that is not there.
    Key,
    /// A value refers to itself.
    Circular,
    /// Substitution did not come to an end, or a variable refers to itself.
    MatchRecursion,
    /// A value leads back to itself over defaults, where Python ends with its stack.
    Recursion,
    /// A malformed substitution.
    Match,
    Type,
    Value,
    /// What was to be asked does not answer.
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

/// A place in a configuration file. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
    /// How many characters are meant.
    pub length: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub class: ErrorClass,
    /// tox's words where tox has words.
    pub message: String,
    pub location: Option<Box<Location>>,
    /// How the value was reached: `py310.deps`, `[base]deps`.
    pub trail: Vec<String>,
    /// What would help.
    pub hints: Vec<String>,
    /// What else is wrong, where it would only be told after this has been mended.
    pub further: Vec<ConfigError>,
}

impl ConfigError {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            location: None,
            trail: Vec::new(),
            hints: Vec::new(),
            further: Vec::new(),
        }
    }

    /// The first of several, with the others behind it; `None` when there are none.
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
