//! Runs one command of a session to its end, and writes its log file.

use std::path::{Path, PathBuf};

use crate::execute::log_file;
use crate::execute::process::{ChildInput, ChildOutput, ProcessGrouping, Spawn};
use crate::execute::program;
use crate::execute::pty;
use crate::execute::running_command;
use crate::execute::session::{
    CommandDisplay, CommandOutcome, CommandRefusal, CommandRequest, CommandSession, CommandStdin, DisplayedCommand,
};
use crate::execute::shell;
use crate::os_text;
use crate::python_text::python_repr;

impl CommandSession {
    /// Runs one command to its end, however it ends, and writes its log file. Reports its start and its
    /// output; [`CommandSession::conclude`] reports its end, since only the caller knows what counts as
    /// success.
    ///
    /// # Errors
    ///
    /// The command may not run. Everything else, including a missing program, is a [`CommandOutcome`].
    pub fn execute(&self, request: CommandRequest) -> Result<CommandOutcome, CommandRefusal> {
        if self.interrupt.count() > usize::from(self.after_interrupt) {
            return Err(CommandRefusal::Interrupted);
        }
        if request.argv.is_empty() {
            return Err(CommandRefusal::Empty);
        }
        let mut outcome = self.announce(&request);
        let argv = self.resolve(&request, &self.globs()).map_err(CommandRefusal::NotAllowed)?;
        outcome.argv = argv.iter().map(|word| self.capture.redactor.text(word)).collect();
        self.run(argv, (request.stdin, request.display), &mut outcome);
        self.keep(&mut outcome);
        Ok(outcome)
    }

    /// Measures the time of an announced command that has ended, and writes its log file.
    pub fn keep(&self, outcome: &mut CommandOutcome) {
        outcome.seconds = outcome.started.elapsed().as_secs_f64();
        if let Some(record) = &self.capture.record {
            record.lock().push(outcome.clone());
        }
        if let Err(error) = log_file::write(self, outcome, &self.globs()) {
            let text = format!("cannot write the log of {} in {}: {error}", outcome.run_id, self.log_dir.display());
            self.reporter.warning(&self.environment, text);
        }
    }

    fn globs(&self) -> Vec<String> {
        program::allowed_globs(&self.programs.paths, &self.programs.allow)
    }

    /// The words that start a program in `cwd`, as [`CommandSession::execute`] would, for a caller that
    /// starts it elsewhere.
    pub fn resolve_words(&self, argv: Vec<String>, cwd: PathBuf) -> Result<Vec<String>, CommandRefusal> {
        let globs = program::allowed_globs(&self.programs.paths, &self.programs.allow);
        let shown = DisplayedCommand::default();
        let request = CommandRequest {
            argv,
            shown,
            cwd,
            run_id: String::new(),
            stdin: CommandStdin::Off,
            display: CommandDisplay::Hide,
        };
        self.resolve(&request, &globs).map_err(CommandRefusal::NotAllowed)
    }

    /// The words to start, with the program's file instead of its name if there is an executable one.
    fn resolve(&self, request: &CommandRequest, globs: &[String]) -> Result<Vec<String>, String> {
        let Some(name) = request.argv.first() else { return Ok(Vec::new()) };
        let cwd = self.current_dir.join(&request.cwd);
        let Some(file) = program::find(name, &cwd, &self.variables) else { return Ok(request.argv.clone()) };
        program::check(name, &file, globs)?;
        let limited = self.variables.text("TOX_LIMITED_SHEBANG").is_some_and(|value| !value.trim().is_empty());
        let mut argv = if limited { program::shebang(&file).unwrap_or_default() } else { Vec::new() };
        argv.push(os_text::decode(file.as_os_str()));
        argv.extend_from_slice(&request.argv[1..]);
        Ok(argv)
    }

    fn run(&self, argv: Vec<String>, (stdin, display): (CommandStdin, CommandDisplay), outcome: &mut CommandOutcome) {
        let inherit = self.capture.inherits && display != CommandDisplay::Keep;
        let mut words = argv.iter().map(|word| os_text::encode(word));
        let mut spawn = Spawn::new(words.next().unwrap_or_default(), words, self.variables.clone());
        spawn.cwd = Some(outcome.cwd.clone());
        spawn.grouping = self.grouping;
        // Only the terminal's own process group may read from it: another would be stopped for trying.
        let reads = stdin == CommandStdin::User
            && (self.grouping == ProcessGrouping::Shared || !rustix::termios::isatty(std::io::stdin()));
        spawn.stdin = if reads { ChildInput::Inherit } else { ChildInput::Null };
        let (out_sink, out_reader) = sink(inherit, || pty::like(std::io::stdout()));
        let (err_sink, err_reader) = sink(inherit, || pty::like(std::io::stderr()));
        (spawn.stdout, spawn.stderr) = (out_sink, err_sink);
        let program = spawn.program.to_string_lossy().into_owned();
        let started = spawn.start().map_err(|error| self.error_of_empty_name(&program).unwrap_or(error));
        match started {
            Ok(mut child) => {
                outcome.pid = Some(child.id());
                let sources = [
                    out_reader.map(Into::into).or_else(|| child.stdout.take()),
                    err_reader.map(Into::into).or_else(|| child.stderr.take()),
                ];
                running_command::RunningCommand::new(self, child, sources, outcome.shown).finish(outcome);
            }
            Err(error) => {
                let text = self.capture.redactor.text(&start_error(&error, &program, &outcome.cwd));
                self.reporter.error(&self.environment, format!("Exception running subprocess {text}"));
                outcome.exit_code = error.raw_os_error().unwrap_or(1);
                outcome.start_error = Some(text);
                // A name that was found has been replaced by the path of a file.
                if error.kind() == std::io::ErrorKind::NotFound && !program.is_empty() && !program.contains('/') {
                    let names = &mut self.not_found.lock();
                    names.push((outcome.run_id.clone(), program));
                }
            }
        }
    }

    /// The system does not look for a program with an empty name. Python does, in each folder of PATH, and
    /// finds the folder itself, which cannot be executed.
    fn error_of_empty_name(&self, program: &str) -> Option<std::io::Error> {
        let path = self.variables.text("PATH").filter(|_| program.is_empty())?;
        let is_there = std::env::split_paths(&path).any(|folder| folder.is_dir());
        is_there.then(|| std::io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error()))
    }
}

/// The destination of an output stream, and the end to read from if it is a pseudo-terminal.
fn sink(
    inherit: bool,
    terminal: impl FnOnce() -> Option<pty::PseudoTerminal>,
) -> (ChildOutput, Option<std::os::fd::OwnedFd>) {
    if inherit {
        return (ChildOutput::Inherit, None);
    }
    match terminal() {
        Some(terminal) => (ChildOutput::To(terminal.child), Some(terminal.reader)),
        None => (ChildOutput::Pipe, None),
    }
}

/// An error in the words of Python's `str(OSError)`.
fn start_error(error: &std::io::Error, program: &str, cwd: &Path) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = error.to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    let about = if cwd.is_dir() { shell::redact(&[program]).concat() } else { cwd.display().to_string() };
    format!("[Errno {number}] {text}: {}", python_repr(&about))
}
