//! Runs the verb of the command line; one file per verb.

pub mod activation;
pub mod audit;
pub mod cache;
mod changes;
mod choice;
mod complete;
pub mod completion;
pub mod config;
mod config_check;
mod delegate_to_tox;
pub mod depends;
pub mod devenv;
mod discovery;
pub mod exec;
pub mod export;
mod exported_services;
pub mod graph;
mod hook_env;
pub mod import;
mod list;
mod listing;
pub mod lock;
mod locks;
pub mod logs;
pub mod man;
mod mcp;
pub mod merge;
mod open_plan;
pub mod outdated;
pub mod pack;
mod packaged_services;
mod provision;
pub mod quickstart;
pub mod releases;
mod required_python;
pub mod run;
mod run_context;
pub mod run_progress;
pub mod schema;
pub mod secrets;
pub mod serve;
pub mod services;
mod state_folder;
mod submit;
pub mod up;
mod watch;

use std::ffi::OsString;
use std::sync::Arc;

pub use crate::commands::open_plan::{open_plan, report, report_warnings};

use crate::cli::options::{Options, ProcessContext, ReportFormat, Verb};
use crate::cli::{OptionNotice, ParsedCommandLine, ResolvedOptions, Severity, parse};
use crate::env_error::EnvError;
use crate::error::frame;
use crate::error::{ConfigError, ErrorClass};
use crate::event::{Level, Reporter, RunEvent};
use crate::execute::interrupt::BySignal;
use crate::exit_code;
use crate::lockfile::error::Unreachable;
use crate::python_text::plain as plain_text;
use crate::report::github;
use crate::report::lost_output;
use crate::report::plain;
use crate::report::{EventLayout, HumanReporter, JsonLines, ProgressBars, SlowPhases};

/// The name under which the program itself reports.
const ROOT: &str = "ROOT";

/// Parses the command line, runs the verb and returns the exit code for the shell.
pub fn main(arguments: Vec<OsString>) -> u8 {
    if arguments.get(1).is_some_and(|word| word == crate::cli::completion::VERB) {
        complete::execute(&arguments);
        return exit_code::to_shell(exit_code::OK);
    }
    if arguments.get(1).is_some_and(|word| word == hook_env::VERB) {
        hook_env::execute(&arguments);
        return exit_code::to_shell(exit_code::OK);
    }
    let code = match parse(&arguments, ProcessContext::read()) {
        Ok(ParsedCommandLine::Run(resolved)) => run(*resolved),
        Ok(ParsedCommandLine::Show(answer)) => {
            // If a plugin's tox fails, the output is shown without it.
            let _ = delegate_to_tox::answer(&answer);
            plain::out(&answer.text);
            exit_code::OK
        }
        Err(error) => {
            plain::error(&format!("{error}\n"));
            exit_code::USAGE
        }
    };
    exit_code::to_shell(with_output_counted(code))
}

/// A success whose output was lost is a failure.
fn with_output_counted(code: i32) -> i32 {
    let Some(reason) = lost_output::reason() else { return code };
    plain::error(&format!("error: the output could not be written: {reason}\n"));
    if code == exit_code::OK { exit_code::FAILED } else { code }
}

fn run(resolved: ResolvedOptions) -> i32 {
    let ResolvedOptions { options, notices, unknown } = resolved;
    let reporter = reporter(&options, ProgressDisplay::Plain);
    for OptionNotice { severity, text } in notices {
        let level = match severity {
            Severity::Warning => Level::Warning,
            Severity::Error => Level::Error,
        };
        reporter.event(RunEvent::Message { environment: ROOT.to_owned(), level, text });
    }
    if options.verb == Verb::RunParallel && options.run.no_capture {
        plain::error("--no-capture cannot be used with parallel mode\n");
        return exit_code::FAILED;
    }
    let outcome = match unknown {
        // A plugin may know the words that envo does not.
        Some(error) => match open_plan::read(&options) {
            Err(provided) if provided.is::<provision::ProvisionExit>() => Err(provided),
            _ => Err(error.into()),
        },
        None => dispatch(&options),
    };
    outcome.unwrap_or_else(|error| conclude(&error, &options, reporter.as_ref()))
}

/// Reports why the verb failed, and returns the exit code.
fn conclude(error: &anyhow::Error, options: &Options, reporter: &dyn Reporter) -> i32 {
    if let Some(provided) = error.downcast_ref::<provision::ProvisionExit>() {
        return provided.code;
    }
    if let Some(signal) = error.downcast_ref::<BySignal>() {
        // Where the system refuses, the code of an interrupted run has to do.
        signal.end_process();
        return exit_code::HANDLED_ERROR;
    }
    if let Some(EnvError::Interrupted) = error.downcast_ref::<EnvError>() {
        // The user knows, and what that means was said when it came.
        return EnvError::Interrupted.verdict().code;
    }
    match error.downcast_ref::<ConfigError>() {
        Some(error) => show_config_error(error, options, reporter),
        None => {
            plain::error(&format!("error: {error:#}\n"));
            if error.is::<Unreachable>() { exit_code::UNREACHABLE } else { exit_code::FAILED }
        }
    }
}

/// Prints events in the format of the options; `spinner`: with a progress display.
fn reporter(options: &Options, display: ProgressDisplay) -> Arc<dyn Reporter> {
    if options.output.report == ReportFormat::Json {
        return Arc::new(JsonLines::default());
    }
    let human = HumanReporter::new(EventLayout::new(
        options.output.verbosity,
        options.output.colored,
        &options.output.stderr_color,
    ));
    match display {
        ProgressDisplay::Spinners => Arc::new(ProgressBars::new(human)),
        // With `--no-capture` installers write for themselves, and -q asks for less.
        ProgressDisplay::SlowPhases if options.output.verbosity >= 2 && !options.run.no_capture => {
            Arc::new(SlowPhases::new(human))
        }
        ProgressDisplay::SlowPhases | ProgressDisplay::Plain => Arc::new(human),
    }
}

/// The progress display of a run, in addition to its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProgressDisplay {
    Plain,
    /// A line for each environment.
    Spinners,
    /// Long steps without output.
    SlowPhases,
}

fn dispatch(options: &Options) -> anyhow::Result<i32> {
    match options.verb {
        Verb::List => list::execute(options),
        Verb::Config => config::execute(options),
        Verb::Depends => depends::execute(options),
        Verb::Run | Verb::RunParallel => run::execute(options),
        Verb::Exec => exec::execute(options),
        Verb::Devenv => devenv::execute(options),
        Verb::Serve => serve::execute(options),
        Verb::Up | Verb::Scale => up::execute_up(options),
        Verb::Down => up::execute_down(options),
        Verb::Ps => run_progress::execute_ps(options),
        Verb::Logs => logs::execute(options),
        Verb::Start | Verb::Stop | Verb::Restart | Verb::Wait => run_progress::execution_order(options),
        Verb::Events => run_progress::execute_events(options),
        Verb::Services => services::execute(options),
        Verb::Schema => schema::execute(options),
        Verb::Quickstart => quickstart::execute(options),
        Verb::Import => import::execute(options),
        Verb::Lock | Verb::Update => lock::execute(options),
        Verb::Graph | Verb::Sbom => graph::execute(options),
        Verb::Outdated => outdated::execute(options),
        Verb::Audit => audit::execute(options),
        Verb::Pack => pack::execute(options),
        Verb::Verify => releases::execute_verify(options),
        Verb::Install => releases::execute_install(options),
        Verb::Releases => releases::execute_list(options),
        Verb::Rollback => releases::execute_rollback(options),
        Verb::Export => export::execute(options),
        Verb::Submit => submit::execute(options),
        Verb::Cache => cache::execute(options),
        Verb::Secrets => secrets::execute(options),
        Verb::Hook
        | Verb::Allow
        | Verb::Deny
        | Verb::Revoke
        | Verb::Shell
        | Verb::Env
        | Verb::Reload
        | Verb::Unload
        | Verb::Status => activation::execute(options),
        Verb::Merge => merge::execute(options),
        Verb::Mcp => mcp::execute(options),
        Verb::Man => man::execute(options),
        Verb::Completion => completion::execute(options),
    }
}

/// Prints a hint to standard error.
fn plain_hint(hint: &str) {
    plain::error(&format!("help: {}\n", frame::shown(hint)));
}

/// Shows the error in tox's words and, on standard error, what envo knows besides. What tox does not foresee ends it with
/// a traceback on standard error, whose last line it is; standard output stays as empty as tox leaves it.
fn show_config_error(error: &ConfigError, options: &Options, reporter: &dyn Reporter) -> i32 {
    let class = error.class.python_name();
    if error.class == ErrorClass::Handled {
        reporter.error(ROOT, format!("{class}| {}", plain_text(&error.message)));
    } else {
        plain::error(&format!("{class}: {}\n", error.message));
    }
    if options.output.verbosity > 0 {
        plain::drawn(&details(error, options));
    }
    if let Some(checkout) = github::checkout(&options.process.variables, &options.process.current_dir) {
        plain::error(&github::annotation(class, &error.message, error.location.as_deref(), &checkout));
    }
    // Python ends with this code where tox does not foresee an error.
    if error.class == ErrorClass::Handled { exit_code::HANDLED_ERROR } else { exit_code::FAILED }
}

/// Where the error stands and what would help.
fn details(error: &ConfigError, options: &Options) -> String {
    if error.location.is_none() && error.trail.is_empty() {
        return error.hints.iter().map(|hint| format!("help: {}\n", frame::shown(hint))).collect();
    }
    let frame = frame::with_source(error, options.output.colored);
    // On a terminal the message stands right above already, and on standard error if it went there too.
    if options.process.stdout_is_terminal || error.class != ErrorClass::Handled {
        frame::without_headline(&frame, &error.message).to_owned()
    } else {
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Location;

    fn options(stdout_is_terminal: bool) -> Options {
        let context = ProcessContext { stdout_is_terminal, ..ProcessContext::default() };
        match parse(&["envo".into(), "--colored=no".into()], context) {
            Ok(ParsedCommandLine::Run(resolved)) => resolved.options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_without_a_place_shows_only_what_helps() {
        assert_eq!(details(&ConfigError::handled("bad"), &options(false)), "");
        assert_eq!(details(&ConfigError::handled("bad").hint("try"), &options(false)), "help: try\n");
    }

    #[test]
    fn an_error_with_a_place_shows_the_line_and_repeats_the_message_only_where_it_may_be_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tox.ini");
        std::fs::write(&file, "[testenv]\ndeps = x\n").expect("written");
        let error = ConfigError::handled("bad\nthing").at(Location { file, line: 2, column: 1, length: 4 });
        let text = details(&error, &options(false));
        assert!(text.starts_with("error: bad\nthing\n") && text.contains("2 | deps = x"), "{text}");
        let text = details(&error, &options(true));
        assert!(text.trim_start().starts_with("--> ") && text.contains("tox.ini:2:1"), "{text}");
    }
}
