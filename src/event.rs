//! Everything that can be told while envo works, as values.

use serde::{Deserialize, Serialize};

/// tox's logging levels, from the most to the least important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Always shown. tox tells the end of a failed command at this level.
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
    /// A language that is not on this machine is fetched.
    Fetch,
    /// What it will contain is resolved.
    Lock,
    /// The virtual environment is made.
    Create,
    /// Something is installed into it.
    Install,
    /// The project is built for it, or it waits for that.
    Package,
    /// Its own commands run.
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

/// How an environment ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentResult {
    pub name: String,
    pub skipped: bool,
    pub code: i32,
    pub ignore_outcome: bool,
    /// Whether a failure of this environment stops the others (`fail_fast`).
    pub fail_fast: bool,
    /// Nothing provides its runner.
    pub unavailable: bool,
    pub duration_seconds: f64,
    /// Seconds of each command that was run for its output.
    pub command_seconds: Vec<f64>,
    /// How long it did what, each phase once.
    pub phase_seconds: Vec<(EnvPhase, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// A line in the log of an environment; the human reporter writes `NAME: TEXT`. `ROOT` names the program itself.
    Message {
        environment: String,
        level: Level,
        text: String,
    },
    /// What envo does for itself and may take seconds; on standard error, since tox has nothing like it.
    Notice {
        text: String,
    },
    /// A command is about to start; the human reporter writes `NAME: RUN_ID CWD> COMMAND`.
    CommandStarted {
        environment: String,
        run_id: String,
        /// As tox shows it: empty when it is the folder envo was started in.
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
        /// A failure does not matter: `-` stands before the command.
        tolerated: bool,
    },
    /// What an environment does from now on.
    Phase {
        environment: String,
        phase: EnvPhase,
    },
    EnvironmentStarted {
        environment: String,
    },
    EnvironmentFinished {
        result: EnvironmentResult,
        /// Nothing else runs or is to be run: the summary follows at once, and tox says nothing here.
        last: bool,
    },
    /// Text that a buffered reporter laid out earlier, to be written as it is.
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
    /// Keys that nothing reads.
    UnusedKeys {
        /// As its header stands in a file: `[testenv:py]`.
        section: String,
        keys: Vec<String>,
    },
    /// What follows belongs together in the log of a job on GitHub Actions.
    GroupOpened {
        title: String,
    },
    GroupClosed,
    /// A service changed its state.
    Service {
        service: String,
        state: String,
        text: String,
    },
    /// A service is still being started, told every second from the first on.
    ServiceWaiting {
        service: String,
        /// What it waits for.
        target: String,
        /// Since it was started.
        seconds: u64,
        /// What its probe saw last.
        seen: Option<String>,
    },
    /// What a service wrote: one or more whole lines, of which the last may lack its end.
    ServiceOutput {
        service: String,
        stream: OutputStream,
        line: Vec<u8>,
    },
}

/// Takes events, from any thread, in the order they happen.
pub trait Reporter: Send + Sync {
    fn event(&self, event: RunEvent);
}

/// Shorthands for the commonest event.
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
