//! The reasons why an environment ends before all of its commands have run, and what tox prints and counts
//! then.

use std::fmt;

use crate::error::frame;
use crate::error::{ConfigError, ErrorClass};
use crate::event::{Level, OutputStream, Reporter, RunEvent};
use crate::execute::session::CommandRefusal;
use crate::exit_code;
use crate::settings::Settings;

/// A reason that is not success. One that travels as [`anyhow::Error`] keeps its meaning through [`From`],
/// however much context was added.
#[derive(Debug)]
pub enum EnvError {
    /// The existing environment is out of date, for this reason: recreate it, once.
    Recreate(String),
    /// The environment is skipped, for this reason.
    Skip(String),
    /// The environment cannot be created or its commands cannot run, for this reason.
    Fail(String),
    /// A setting is invalid.
    Config(Box<ConfigError>),
    /// A command of the build ended with this code; it has been reported.
    Exit(i32),
    /// Like [`EnvError::Exit`], with a message first.
    ExitSaying(i32, String),
    /// The same with the setting that caused it and a hint.
    ExitExplaining(i32, Box<ConfigError>),
    /// An [`EnvError::Fail`] or [`EnvError::Exit`] that a setting has caused.
    About(Box<ErrorContext>),
    /// The user asked to stop before the next command.
    Interrupted,
    /// An unexpected error.
    Internal(anyhow::Error),
}

/// The parts of an error that tox does not print: its location and hints.
fn explanation(error: &ConfigError) -> Option<String> {
    if error.class == ErrorClass::Skip || (error.location.is_none() && error.hints.is_empty()) {
        return None;
    }
    Some(frame::below_words(error, false))
}

/// The setting that an error comes from, and a hint.
#[derive(Debug)]
pub struct ErrorContext {
    pub error: EnvError,
    pub key: String,
    /// One on each line.
    pub remedy: String,
}

impl ErrorContext {
    /// The explanation besides tox's words; `settings` knows where the environment's key is defined.
    pub fn explained(&self, settings: &Settings, environment: &str) -> String {
        let error = self.error(settings, environment);
        // The exit of an installer has not been described before.
        let is_new = !matches!(self.error, EnvError::Exit(_));
        if is_new { frame::below_words(&error, false) } else { frame::with_source(&error, false) }
    }

    fn error(&self, settings: &Settings, environment: &str) -> ConfigError {
        let message = match &self.error {
            EnvError::Exit(code) => {
                format!("installing `{}` of {environment} failed with exit code {code}", self.key)
            }
            other => other.to_string(),
        };
        let mut error = ConfigError::fail(message);
        error.hints.extend(self.remedy.lines().map(str::to_owned));
        // Some folders of an environment come from the project's keys.
        let of_project = || settings.location_of(settings.core(), &self.key).ok().flatten();
        let location = settings.written_at(environment, &self.key);
        if location.is_none()
            && let Some(location) = of_project()
        {
            return settings.at_value(error, Some(location));
        }
        error.trail.push(format!("{environment}.{}", self.key));
        settings.at_value(error, location)
    }
}

/// How an environment that ended early counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvVerdict {
    pub skipped: bool,
    pub code: i32,
}

impl EnvError {
    /// The same error with the setting it comes from; other results stay as they are.
    #[must_use]
    pub fn about(self, key: &str, remedy: impl Into<String>) -> Self {
        match self {
            Self::Config(error)
                if error.location.is_some() || !error.hints.is_empty() || error.class == ErrorClass::Skip =>
            {
                Self::Config(error)
            }
            Self::Fail(_) | Self::Exit(_) | Self::Config(_) => {
                Self::About(Box::new(ErrorContext { error: self, key: key.to_owned(), remedy: remedy.into() }))
            }
            other => other,
        }
    }

    /// The error in the project's configuration; `None` for any other reason.
    pub fn into_error(self, settings: &Settings, environment: &str) -> Option<ConfigError> {
        match self {
            Self::Fail(text) => Some(ConfigError::fail(text)),
            Self::Config(error) | Self::ExitExplaining(_, error) => Some(*error),
            Self::About(about) => Some(about.error(settings, environment)),
            Self::Internal(error) => Some(ConfigError::fail(format!("{error:#}"))),
            _ => None,
        }
    }

    /// Prints tox's message for this reason in the log of `environment`.
    pub fn report(&self, reporter: &dyn Reporter, environment: &str) -> EnvVerdict {
        let (level, text) = match self {
            Self::Skip(reason) => (Level::Warning, format!("skipped because {reason}")),
            Self::Fail(reason) | Self::Recreate(reason) => (Level::Error, format!("failed with {reason}")),
            Self::Config(error) => match error.class {
                ErrorClass::Skip => (Level::Warning, format!("skipped because {error}")),
                ErrorClass::Fail | ErrorClass::NoInterpreter => (Level::Error, format!("failed with {error}")),
                ErrorClass::Handled => (Level::Error, error.message.clone()),
                _ => (Level::Error, format!("internal error\n{}: {error}", error.class.python_name())),
            },
            Self::ExitSaying(_, text) => (Level::Error, text.clone()),
            Self::ExitExplaining(_, error) => (Level::Error, error.message.clone()),
            Self::Internal(error) => (Level::Error, format!("internal error\n{error:#}")),
            Self::About(about) => return about.error.report(reporter, environment),
            Self::Exit(_) | Self::Interrupted => return self.verdict(),
        };
        reporter.message(environment, level, text);
        if let Self::Config(error) | Self::ExitExplaining(_, error) = self
            && let Some(text) = explanation(error)
        {
            reporter.event(RunEvent::LaidOut { stream: OutputStream::Error, bytes: text.into_bytes() });
        }
        self.verdict()
    }

    pub fn verdict(&self) -> EnvVerdict {
        let code = match self {
            Self::Skip(_) => 0,
            Self::Fail(_) | Self::Recreate(_) => exit_code::FAILED,
            Self::Config(error) => match error.class {
                ErrorClass::Skip => 0,
                ErrorClass::Fail | ErrorClass::NoInterpreter | ErrorClass::Handled => exit_code::FAILED,
                _ => exit_code::USAGE,
            },
            Self::Exit(code) | Self::ExitSaying(code, _) | Self::ExitExplaining(code, _) => *code,
            Self::About(about) => return about.error.verdict(),
            Self::Interrupted => exit_code::HANDLED_ERROR,
            Self::Internal(_) => exit_code::USAGE,
        };
        EnvVerdict { skipped: self.is_skip(), code }
    }

    pub fn is_skip(&self) -> bool {
        match self {
            Self::Skip(_) => true,
            Self::Config(error) => error.class == ErrorClass::Skip,
            _ => false,
        }
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recreate(text) | Self::Skip(text) | Self::Fail(text) | Self::ExitSaying(_, text) => {
                formatter.write_str(text)
            }
            Self::Config(error) | Self::ExitExplaining(_, error) => error.fmt(formatter),
            Self::About(about) => about.error.fmt(formatter),
            Self::Exit(code) => write!(formatter, "exit code {code}"),
            Self::Interrupted => formatter.write_str("interrupted"),
            Self::Internal(error) => write!(formatter, "{error:#}"),
        }
    }
}

impl std::error::Error for EnvError {}

impl From<ConfigError> for EnvError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<CommandRefusal> for EnvError {
    fn from(refusal: CommandRefusal) -> Self {
        match refusal {
            CommandRefusal::NotAllowed(text) => Self::Fail(text),
            CommandRefusal::Empty => ConfigError::value(refusal.to_string()).into(),
            CommandRefusal::Interrupted => Self::Interrupted,
        }
    }
}

impl From<BackendFailed> for EnvError {
    fn from(failed: BackendFailed) -> Self {
        Self::ExitSaying(failed.exit_code(), failed.to_string())
    }
}

impl From<std::io::Error> for EnvError {
    fn from(error: std::io::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<anyhow::Error> for EnvError {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) => return error,
            Err(error) => error,
        };
        let error = match error.downcast::<CommandRefusal>() {
            Ok(refusal) => return refusal.into(),
            Err(error) => error,
        };
        let error = match error.downcast::<BackendFailed>() {
            Ok(failed) => return failed.into(),
            Err(error) => error,
        };
        match error.downcast::<ConfigError>() {
            Ok(error) => error.into(),
            Err(error) => Self::Internal(error),
        }
    }
}

/// A backend hook failed, in the words of `pyproject-api`, which tox prints unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendFailed {
    /// The exit code of the backend; `None` if it is unknown.
    pub code: Option<i32>,
    pub exception: String,
    pub message: String,
    pub out: String,
    pub err: String,
}

impl BackendFailed {
    /// The code the environment fails with, never 0.
    pub fn exit_code(&self) -> i32 {
        self.code.filter(|code| *code != 0).unwrap_or(1)
    }
}

impl fmt::Display for BackendFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or(String::new(), |code| format!(" (code={code})"));
        let Self { exception, message, out, err, .. } = self;
        let text = format!("packaging backend failed{code}, with {exception}: {message}\n{err}{out}");
        formatter.write_str(text.trim_end())
    }
}

impl std::error::Error for BackendFailed {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_keeps_its_meaning_under_context() {
        let wrapped = Err::<(), _>(ConfigError::skip("no such platform")).context("while preparing").unwrap_err();
        assert!(matches!(EnvError::from(wrapped), EnvError::Config(error) if error.class == ErrorClass::Skip));
        let wrapped = Err::<(), _>(EnvError::Exit(3)).context("while installing").unwrap_err();
        assert_eq!(EnvError::from(wrapped).verdict(), EnvVerdict { skipped: false, code: 3 });
        let wrapped = Err::<(), _>(CommandRefusal::Interrupted).context("while listing").unwrap_err();
        assert_eq!(EnvError::from(wrapped).verdict().code, exit_code::HANDLED_ERROR);
    }

    #[test]
    fn codes_are_those_of_tox() {
        let code = |error: EnvError| error.verdict().code;
        assert_eq!(code(EnvError::Skip(String::new())), 0);
        assert_eq!(code(EnvError::Fail(String::new())), 1);
        assert_eq!(code(ConfigError::handled("").into()), 1);
        assert_eq!(code(ConfigError::key("deps").into()), 2);
        assert_eq!(code(std::io::Error::other("disk").into()), 2);
    }
}
