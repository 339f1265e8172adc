//! What can be wrong with a configuration, in tox's words, with the place it was written and what would help.
//!
//! Rooms up to `plan` return [`ConfigError`]; from `builder` on, `anyhow` carries it along with context. Where tox prints a
//! message that people or scripts match on, [`ConfigError::message`] holds those very words and the frame is extra.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::os_text;
use crate::python_text::push_escaped;

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
    /// A tox environment's runner that nothing provides.
    RunnerUnavailable,
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
            Self::RunnerUnavailable => "RunnerUnavailable",
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

/// A text as Python's `repr` writes it: single quotes unless only single quotes are inside.
pub fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut result = String::with_capacity(text.len() + 2);
    result.push(quote);
    // A character of the range that carries bytes is put together again; bytes are shown as Python carries them.
    let text = os_text::encode(text);
    for chunk in text.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => result.push_str("\\\\"),
                c if c == quote => {
                    result.push('\\');
                    result.push(c);
                }
                c => push_escaped(&mut result, c),
            }
        }
        result.extend(chunk.invalid().iter().map(|byte| format!("\\u{:04x}", os_text::surrogate(*byte))));
    }
    result.push(quote);
    result
}

/// A value as Python's `repr` shows what it read from JSON.
pub fn value_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => python_repr(text),
        Value::Array(items) => format!("[{}]", items.iter().map(value_repr).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", python_repr(key), value_repr(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::python_repr;

    #[test]
    fn python_repr_prefers_single_quotes_and_escapes_what_python_escapes() {
        assert_eq!(python_repr("a"), "'a'");
        assert_eq!(python_repr("it's"), "\"it's\"");
        assert_eq!(python_repr("it's \"x\"\n"), "'it\\'s \"x\"\\n'");
        assert_eq!(python_repr("é\u{1f}\u{a0}\u{2028}\u{e0001}"), r"'é\x1f\xa0\u2028\U000e0001'");
    }
}
