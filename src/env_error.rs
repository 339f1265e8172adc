//! Why an environment's turn ends before its commands have all run, and what tox says and counts then.

use std::fmt;

use crate::error::frame;
use crate::error::{ConfigError, ErrorClass};
use crate::event::{Level, OutputStream, Reporter, RunEvent};
use crate::execute::session::CommandRefusal;
use crate::exit_code;
use crate::settings::Settings;

/// The ends that are no success. Anything that comes as [`anyhow::Error`] keeps its meaning on the way through
/// [`From`], however much context was put around it.
#[derive(Debug)]
pub enum EnvError {
    /// What was built before does not fit any more, for this reason: build it anew, once.
    Recreate(String),
    /// The environment is left out, for this reason.
    Skip(String),
    /// The environment cannot be made or its commands cannot run, for this reason.
    Fail(String),
    /// A setting is wrong.
    Config(Box<ConfigError>),
    /// A command of the build ended with this code; it has been shown.
    Exit(i32),
    /// Like [`Halt::Exit`], with something to say first.
    ExitSaying(i32, String),
    /// The same with the setting it is due to and what helps.
    ExitExplaining(i32, Box<ConfigError>),
    /// A [`Halt::Fail`] or [`Halt::Exit`] that a setting is behind.
    About(Box<ErrorContext>),
    /// The user asked to stop before the next command.
    Interrupted,
    /// What nobody foresaw.
    Internal(anyhow::Error),
}

/// What envo knows of an error beyond tox's words: where it stands and what would help.
fn explanation(error: &ConfigError) -> Option<String> {
    if error.class == ErrorClass::Skip || (error.location.is_none() && error.hints.is_empty()) {
        return None;
    }
    Some(frame::below_words(error, false))
}

/// Which setting a halt comes from, and what would help.
#[derive(Debug)]
pub struct ErrorContext {
    pub halt: EnvError,
    pub key: String,
    /// One on each line.
    pub remedy: String,
}

impl ErrorContext {
    /// What envo has to say beyond tox's words; `settings` knows where the environment's key is written.
    pub fn explained(&self, settings: &Settings, environment: &str) -> String {
        let error = self.error(settings, environment);
        // How an installer ended was not put into words before.
        let is_told = !matches!(self.halt, EnvError::Exit(_));
        if is_told { frame::below_words(&error, false) } else { frame::with_source(&error, false) }
    }

    fn error(&self, settings: &Settings, environment: &str) -> ConfigError {
        let message = match &self.halt {
            EnvError::Exit(code) => {
                format!("what installs `{}` of {environment} ended with exit code {code}", self.key)
            }
            other => other.to_string(),
        };
        let mut error = ConfigError::fail(message);
        error.hints.extend(self.remedy.lines().map(str::to_owned));
        // Some folders of an environment come from the project's keys.
        let of_project = || settings.location_of(settings.core(), &self.key).ok().flatten();
        match settings.written_at(environment, &self.key) {
            None if let Some(place) = of_project() => settings.at_value(error, Some(place)),
            place => {
                error.trail.push(format!("{environment}.{}", self.key));
                settings.at_value(error, place)
            }
        }
    }
}

/// How a turn that was halted counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvVerdict {
    pub skipped: bool,
    pub code: i32,
}

impl EnvError {
    /// The same, with the setting it comes from; what is no failure stays as it is.
    #[must_use]
    pub fn about(self, key: &str, remedy: impl Into<String>) -> Self {
        match self {
            Self::Config(error)
                if error.location.is_some() || !error.hints.is_empty() || error.class == ErrorClass::Skip =>
            {
                Self::Config(error)
            }
            Self::Fail(_) | Self::Exit(_) | Self::Config(_) => {
                Self::About(Box::new(ErrorContext { halt: self, key: key.to_owned(), remedy: remedy.into() }))
            }
            other => other,
        }
    }

    /// What is wrong with the project; `None` where it is something else.
    pub fn into_error(self, settings: &Settings, environment: &str) -> Option<ConfigError> {
        match self {
            Self::Fail(text) => Some(ConfigError::fail(text)),
            Self::Config(error) | Self::ExitExplaining(_, error) => Some(*error),
            Self::About(about) => Some(about.error(settings, environment)),
            Self::Internal(error) => Some(ConfigError::fail(format!("{error:#}"))),
            _ => None,
        }
    }

    /// Says what tox says of such an end, in the log of `environment`.
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
            Self::About(about) => return about.halt.report(reporter, environment),
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
            Self::About(about) => return about.halt.verdict(),
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
            Self::About(about) => about.halt.fmt(formatter),
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
            Ok(halt) => return halt,
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

/// A hook that failed, in the words of `pyproject-api`, which tox prints as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendFailed {
    /// What the backend would have ended its process with; `None` when nothing says.
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
        let code = |halt: EnvError| halt.verdict().code;
        assert_eq!(code(EnvError::Skip(String::new())), 0);
        assert_eq!(code(EnvError::Fail(String::new())), 1);
        assert_eq!(code(ConfigError::handled("").into()), 1);
        assert_eq!(code(ConfigError::key("deps").into()), 2);
        assert_eq!(code(std::io::Error::other("disk").into()), 2);
    }
}
