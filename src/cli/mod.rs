//! Turns the command line ([`arguments`], read by [`scan`]), variables and the user's file into [`options`].
//! Only this module and `execute/environment` read environment variables; this one takes a snapshot of them.

pub mod arguments;
pub mod ci;
pub mod completion;
mod convert;
mod defaults;
mod help;
pub mod manual;
pub mod options;
mod resolve;
mod scan;
mod shard;
mod unknown;
mod user_file;
mod verb;
pub mod version;

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

pub use version::{TOX_VERSION, program_version};

use arguments::{CommandWord, spellings};
use options::{Options, ProcessContext};
pub use resolve::watch::WATCHED_RUN;
pub use scan::HelpRequest;

use crate::error::ConfigError;
use crate::os_text;

/// The result of parsing a command line.
#[derive(Debug)]
pub enum ParsedCommandLine {
    Run(Box<ResolvedOptions>),
    Show(Box<HelpAnswer>),
}

/// Output to show instead of running anything.
#[derive(Debug)]
pub struct HelpAnswer {
    /// Ends with a line break.
    pub text: String,
    pub kind: HelpRequest,
    /// The whole command line, as typed.
    pub words: Vec<String>,
    /// The options in the other words, if they are valid: a plugin may add to the output.
    pub options: Option<Options>,
}

/// Options, with the warnings and errors from resolving them.
#[derive(Debug)]
pub struct ResolvedOptions {
    pub options: Options,
    pub notices: Vec<OptionNotice>,
    /// The error about [`unknown_arguments`](options::Invocation::unknown_arguments), if there are any.
    pub unknown: Option<ConfigError>,
}

/// An invalid value in the variables or the user's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionNotice {
    pub severity: Severity,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

/// An invalid command line; the program exits with `exit_code::USAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageError {
    /// The program with the command, such as `envo run`.
    pub program: String,
    /// The usage of the command, on one line.
    pub usage: String,
    /// The message, in `argparse`'s words.
    pub message: String,
}

impl UsageError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// `option` with all its spellings.
    fn about(option: &str, message: &str) -> Self {
        Self::new(format!("argument {option}: {message}"))
    }

    fn of(mut self, definition: &mut Command) -> Self {
        self.program = definition.get_name().to_owned();
        self.usage = definition.render_usage().to_string().replacen("Usage: ", "", 1);
        self
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { program, usage, message } = self;
        write!(formatter, "usage: {usage}\n{program}: error: {message}\nhint: {program} --help explains every option")
    }
}

/// Parses the process's arguments, of which the first is the program's own name.
pub fn parse(arguments: &[OsString], context: ProcessContext) -> Result<ParsedCommandLine, UsageError> {
    let program = program_name(arguments.first());
    let words: Vec<String> = arguments.iter().skip(1).map(|word| os_text::decode(word)).collect();
    let halves = scan::split(&words);
    if let Some(parsed) = describe_request(halves.own, program, arguments, &context) {
        return Ok(parsed);
    }
    if let [only] = halves.own
        && matches!(only.as_str(), "-h" | "--help" | "help")
    {
        let note = user_file::describe(&context);
        let text = help::of_program(program, &note, resolve::default_color(&context));
        return Ok(answer(HelpRequest::Help, text, arguments, context));
    }
    let (word, own) = match scan::find_command(halves.own) {
        Some((at, word)) => (word, [&halves.own[..at], &halves.own[at + 1..]].concat()),
        None => (CommandWord::Legacy, halves.own.to_vec()),
    };
    let mut definition = arguments::command(word, program);
    let scanned = scan::scan(&definition, &own).map_err(|error| error.of(&mut definition))?;
    match scanned.request {
        Some(HelpRequest::Version) => {
            return Ok(answer(HelpRequest::Version, version::text(program), arguments, context));
        }
        Some(HelpRequest::Help) => {
            let text = help::of_command(word, program, resolve::default_color(&context));
            return Ok(answer(HelpRequest::Help, text, arguments, context));
        }
        None => {}
    }
    let matches = definition
        .try_get_matches_from_mut(std::iter::once(program.to_owned()).chain(scanned.tokens))
        .map_err(|error| in_words_of_argparse(&error, &definition).of(&mut definition))?;
    let typed = resolve::TypedArguments {
        word,
        program,
        words: &words,
        positional: halves.positional.map(<[String]>::to_vec),
        unknown: scanned.unknown,
        definition: &definition,
        matches,
    };
    match resolve::resolve(typed, context) {
        Ok(resolved) => Ok(ParsedCommandLine::Run(Box::new(resolved))),
        Err(error) => Err(error.of(&mut definition)),
    }
}

/// Handles `help COMMAND` and `version`, which tox does not have.
fn describe_request(
    own: &[String],
    program: &str,
    arguments: &[OsString],
    context: &ProcessContext,
) -> Option<ParsedCommandLine> {
    let words: Vec<&str> = own.iter().map(String::as_str).collect();
    let (kind, text) = match words.as_slice() {
        ["version"] => (HelpRequest::Version, version::text(program)),
        ["help", "version"] => return describe_request(&["version".to_owned()], program, arguments, context),
        ["help", name] => {
            let word = CommandWord::find(name)?;
            (HelpRequest::Help, help::of_command(word, program, resolve::default_color(context)))
        }
        _ => return None,
    };
    let words = arguments.iter().skip(1).map(|word| os_text::decode(word)).collect();
    Some(ParsedCommandLine::Show(Box::new(HelpAnswer { text, kind, words, options: None })))
}

fn answer(kind: HelpRequest, text: String, arguments: &[OsString], context: ProcessContext) -> ParsedCommandLine {
    let asks = |word: &&OsString| ["-h", "--help", "-V", "--version"].iter().any(|one| *one == word.as_os_str());
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let rest: Vec<OsString> = arguments[..end].iter().filter(|word| !asks(word)).cloned().collect();
    // If the words still request help or version, possibly abbreviated, the options are not needed.
    let options = match (rest.len() < arguments.len()).then(|| parse(&rest, context)) {
        Some(Ok(ParsedCommandLine::Run(resolved))) => Some(resolved.options),
        _ => None,
    };
    let words = arguments.iter().skip(1).map(|word| os_text::decode(word)).collect();
    ParsedCommandLine::Show(Box::new(HelpAnswer { text, kind, words, options }))
}

/// `tox` if called through a link of that name, else `envo`.
pub fn program_name(argument: Option<&OsString>) -> &'static str {
    let stem = argument.map(Path::new).and_then(Path::file_stem);
    if stem.is_some_and(|stem| stem == "tox") { "tox" } else { "envo" }
}

/// `clap`'s error in `argparse`'s words.
fn in_words_of_argparse(error: &clap::Error, definition: &Command) -> UsageError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let option = |kind| text(kind).map(|text| all_spellings(&text, definition));
    let invalid = option(ContextKind::InvalidArg);
    match (error.kind(), invalid) {
        (ErrorKind::ArgumentConflict, Some(first)) => {
            let other = option(ContextKind::PriorArg).unwrap_or_default();
            UsageError::about(&other, &format!("not allowed with argument {first}"))
        }
        (ErrorKind::InvalidValue, Some(option)) => {
            let choices = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(choices)) => choices.iter().map(|choice| format!("'{choice}'")).collect(),
                _ => Vec::new(),
            };
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let value = crate::python_text::python_repr(&value);
            UsageError::about(&option, &format!("invalid choice: {value} (choose from {})", choices.join(", ")))
        }
        (ErrorKind::MissingRequiredArgument, Some(missing)) => {
            UsageError::new(format!("the following arguments are required: {}", missing.trim_matches(['<', '>'])))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            UsageError::new(line.strip_prefix("error: ").unwrap_or(line))
        }
    }
}

/// `-c <file>` as `-c/--conf`.
fn all_spellings(shown: &str, definition: &Command) -> String {
    let first = shown.split([' ', '=', '[']).next().unwrap_or_default().trim_end_matches('.');
    let found = definition.get_arguments().map(spellings).find(|texts| texts.iter().any(|text| text == first));
    found.map_or_else(|| first.to_owned(), |texts| texts.join("/"))
}

#[cfg(test)]
mod tests;
