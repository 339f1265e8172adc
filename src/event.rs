//! Events: everything that envo can report while it works, as values.

use serde::{Deserialize, Serialize};

/// tox's logging levels, from the most to the least important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Always shown. tox logs the end of a failed command at this level.
    Critical,
    /// Shown from verbosity 1.
    Error,
    /// Shown from verbosity 2, the default. tox logs what it is about to do at this level.
    Warning,
    /// Shown from verbosity 3.
    Info,
    /// Shown from verbosity 4.
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    Out,
    Error,
}

/// What an environment is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvPhase {
    /// Downloading a runtime that is not installed.
    Fetch,
    /// Resolving its contents.
    Lock,
    /// Creating the virtual environment.
    Create,
    /// Installing into it.
    Install,
    /// Building the project for it, or waiting for that.
    Package,
    /// Running its own commands.
    Commands,
}

impl EnvPhase {
    pub const ALL: [Self; 6] = [Self::Fetch, Self::Lock, Self::Create, Self::Install, Self::Package, Self::Commands];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Lock => "lock",
            Self::Create => "create",
            Self::Install => "install",
            Self::Package => "package",
            Self::Commands => "commands",
        }
    }
}

/// The result of an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentResult {
    pub name: String,
    pub skipped: bool,
    pub code: i32,
    pub ignore_outcome: bool,
    /// Whether a failure of this environment stops the others (`fail_fast`).
    pub fail_fast: bool,
    /// There is no such runner.
    pub unavailable: bool,
    pub duration_seconds: f64,
    /// The seconds of each command whose output was needed.
    pub command_seconds: Vec<f64>,
    /// The time spent in each phase; each occurs once.
    pub phase_seconds: Vec<(EnvPhase, f64)>,
}

/// The JUnit report of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JunitPart {
    pub environment: String,
    pub counts: JunitCounts,
    /// The element `testsuite`.
    pub xml: String,
}

/// How many test cases there are, and how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JunitCounts {
    pub tests: usize,
    pub failures: usize,
    pub errors: usize,
    pub skipped: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// A line in the log of an environment; the human reporter writes `NAME: TEXT`. `ROOT` is the program
    /// itself.
    Message {
        environment: String,
        level: Level,
        text: String,
    },
    /// Work of envo itself that may take seconds; reported on standard error, since tox has no equivalent.
    Notice {
        text: String,
    },
    /// A command is about to start; the human reporter writes `NAME: RUN_ID CWD> COMMAND`.
    CommandStarted {
        environment: String,
        run_id: String,
        /// As tox shows it: empty if it is the folder envo was started in.
        cwd: String,
        command: String,
    },
    /// Output of a command that is shown.
    Output {
        environment: String,
        stream: OutputStream,
        bytes: Vec<u8>,
    },
    /// A command ended; tox shows `NAME: exit CODE (N.NN seconds) CWD> COMMAND pid=N` for failures, or with `-v`.
    CommandFinished {
        environment: String,
        run_id: String,
        cwd: String,
        command: String,
        exit_code: i32,
        seconds: f64,
        pid: Option<u32>,
        level: Level,
        /// A failure is ignored: the command begins with `-`.
        tolerated: bool,
    },
    /// The phase that an environment enters.
    Phase {
        environment: String,
        phase: EnvPhase,
    },
    EnvironmentStarted {
        environment: String,
    },
    EnvironmentFinished {
        result: EnvironmentResult,
        /// Nothing else runs or will run: the summary follows at once, and tox prints nothing here.
        last: bool,
    },
    /// Text formatted earlier by a buffered reporter, to be written unchanged.
    LaidOut {
        stream: OutputStream,
        bytes: Vec<u8>,
    },
    /// The end of a run, in the order of the selection.
    Summary {
        results: Vec<EnvironmentResult>,
        seconds: f64,
        success: bool,
    },
    /// Keys that are never read.
    UnusedKeys {
        /// Its header in the file: `[testenv:py]`.
        section: String,
        keys: Vec<String>,
    },
    /// The following output is one group in the log of a job on GitHub Actions.
    GroupOpened {
        title: String,
    },
    GroupClosed,
    /// The state of a service has changed.
    Service {
        service: String,
        state: String,
        text: String,
    },
    /// A service is still starting; sent every second.
    ServiceWaiting {
        service: String,
        /// What it waits for.
        target: String,
        /// Seconds since it was started.
        seconds: u64,
        /// What its probe saw last.
        seen: Option<String>,
    },
    /// Output of a service: one or more whole lines, of which the last may lack its end.
    ServiceOutput {
        service: String,
        stream: OutputStream,
        line: Vec<u8>,
    },
}

/// Receives events, from any thread, in the order they happen.
pub trait Reporter: Send + Sync {
    fn event(&self, event: RunEvent);
}

/// Shorthands for the most common event.
impl dyn Reporter + '_ {
    pub fn error(&self, environment: &str, text: impl Into<String>) {
        self.message(environment, Level::Error, text);
    }

    pub fn warning(&self, environment: &str, text: impl Into<String>) {
        self.message(environment, Level::Warning, text);
    }

    pub fn info(&self, environment: &str, text: impl Into<String>) {
        self.message(environment, Level::Info, text);
    }

    pub fn message(&self, environment: &str, level: Level, text: impl Into<String>) {
        self.event(RunEvent::Message { environment: environment.to_owned(), level, text: text.into() });
    }
}
