//! Runs commands around services: `commands_pre`, `commands_post`, and jobs. Each runs on a thread of its
//! own.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use parking_lot::Mutex;

use crate::command_set::{CommandSet, run_all};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::session::{CommandOutcome, CommandSession};
use crate::exit_code;
use crate::model::environment::CommandLists;
use crate::model::{Command, Deferred};
use crate::serve::fields::{self, ServiceInstance, ServiceInstances};
use crate::serve::machine::MachineEvent as Happening;
use crate::serve::prepared_definition::PreparedDefinition;
use crate::serve::protocol::{DefinedCommands, ServiceDefinition};
use crate::serve::shim::instance_mark;
use crate::serve::supervisor::faults;
use crate::serve::supervisor::log::{self, LAST_LINES, TAIL};
use crate::serve::supervisor::{StartReport, Supervisor, SupervisorMessage};

/// What a thread of commands needs.
struct ServiceCommand {
    prepared: PreparedDefinition,
    own: ServiceInstance,
    instances: ServiceInstances,
    session: CommandSession,
}

impl ServiceCommand {
    fn new(supervisor: &mut Supervisor, at: usize) -> Result<Self, ConfigError> {
        let cwd = &supervisor.slots[at].prepared.definition.cwd;
        supervisor.ensure_not_left_behind(cwd).map_err(ConfigError::handled)?;
        let instances = supervisor.visible_instances(at);
        let mark = supervisor.mark_of(at);
        let slot = &mut supervisor.slots[at];
        // Their own interrupt: the user's interrupt reaches them when they are due to stop.
        let interrupt = Interrupt::default();
        slot.tasks.commands = Some(interrupt.clone());
        let prepared = slot.prepared.clone();
        let own = slot.instance.clone();
        let mut session = prepared.session.clone();
        session.variables = prepared.variables(&own, &instances)?;
        session.variables.set(instance_mark::VARIABLE, mark);
        session.interrupt = interrupt;
        session.grouping = ProcessGrouping::Group;
        Ok(Self { prepared, own, instances, session })
    }

    fn fill(&self, commands: Vec<Command>) -> Result<Vec<Command>, EnvError> {
        let fill = |word: &String| fields::fill_own(word, &self.own, &self.instances);
        commands
            .into_iter()
            .map(|command| {
                let argv: Result<Vec<String>, ConfigError> = command.argv.iter().map(fill).collect();
                Ok(Command { argv: argv?, exit_rule: command.exit_rule })
            })
            .collect()
    }

    /// Runs one list of commands.
    fn run(mut self, key: &str, commands: Vec<Command>) -> Result<(), CommandFailure> {
        let record = Arc::new(Mutex::new(Vec::new()));
        self.session.capture.record = Some(record.clone());
        let definition = &self.prepared.definition;
        let run = || -> Result<i32, EnvError> {
            fs_err::create_dir_all(&definition.cwd)?;
            let ServiceDefinition { cwd, steps: DefinedCommands { ignore_errors, retries, .. }, .. } = &**definition;
            let set = CommandSet { key, cwd, ignore_errors: *ignore_errors, retries: *retries };
            set.run(&self.session, self.fill(commands)?, &mut Vec::new())
        };
        match run() {
            Ok(0) => Ok(()),
            Ok(code) => {
                let text = format!("`{key}` failed with exit code {code}");
                let outcomes = record.lock();
                Err(CommandFailure { text, last_lines: outcomes.last().map(last_lines).unwrap_or_default() })
            }
            Err(error) => Err(CommandFailure { text: format!("`{key}` failed: {error}"), last_lines: Vec::new() }),
        }
    }
}

/// Why a list of commands failed, for people.
#[derive(Debug)]
pub struct CommandFailure {
    pub text: String,
    /// Of the command that failed.
    pub last_lines: Vec<String>,
}

/// The end of a command's output: standard output, then standard error.
fn last_lines(outcome: &CommandOutcome) -> Vec<String> {
    let mut written = outcome.out.tail(TAIL);
    if !written.is_empty() && !written.ends_with(b"\n") {
        written.push(b'\n');
    }
    written.append(&mut outcome.err.tail(TAIL));
    log::last_lines_of(&written, LAST_LINES)
}

/// Runs `commands_pre` of a service. A job runs all its commands when it starts.
pub fn prepare(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    let definition = &supervisor.slots[at].prepared.definition;
    if definition.service.is_none() || definition.steps.commands_pre.is_empty() {
        return Some(Happening::Prepared(at));
    }
    let commands = definition.steps.commands_pre.clone();
    supervisor.slots[at].run.last_lines.clear();
    match ServiceCommand::new(supervisor, at) {
        Err(error) => Some(Happening::PrepareFailed(at, format!("cannot run `commands_pre`: {error}"))),
        Ok(work) => {
            let sender = supervisor.sender.clone();
            let failure =
                move |text| SupervisorMessage::Prepared(at, Err(CommandFailure { text, last_lines: Vec::new() }));
            let begun = spawn_thread(&sender.clone(), failure, move || {
                let _ = sender.send(SupervisorMessage::Prepared(at, work.run("commands_pre", commands)));
            });
            begun.err().map(|text| Happening::PrepareFailed(at, format!("cannot run `commands_pre`: {text}")))
        }
    }
}

/// Runs `commands_post` of a service that was started and has stopped.
pub fn finish(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    let slot = &supervisor.slots[at];
    let definition = &slot.prepared.definition;
    if definition.service.is_none() || slot.run.started.is_none() || definition.steps.commands_post.is_empty() {
        return Some(Happening::Finished(at));
    }
    let commands = definition.steps.commands_post.clone();
    match ServiceCommand::new(supervisor, at) {
        Err(error) => Some(unfinished(supervisor, at, &error.to_string())),
        Ok(work) => {
            let sender = supervisor.sender.clone();
            let reporter = supervisor.reporter.clone();
            let failure = move |_| SupervisorMessage::Finished(at);
            let begun = spawn_thread(&sender.clone(), failure, move || {
                let name = work.prepared.name().to_owned();
                if let Err(failure) = work.run("commands_post", commands) {
                    reporter.warning(&name, failure.text);
                }
                let _ = sender.send(SupervisorMessage::Finished(at));
            });
            begun.err().map(|text| unfinished(supervisor, at, &text))
        }
    }
}

fn unfinished(supervisor: &Supervisor, at: usize, why: &str) -> Happening {
    let text = format!("cannot run `commands_post`: {why}");
    supervisor.reporter.warning(supervisor.slots[at].prepared.name(), text);
    Happening::Finished(at)
}

/// Runs the `watch_command` of a service, and sends [`SupervisorMessage::Rebuilt`].
pub fn rebuild(supervisor: &mut Supervisor, at: usize) -> Result<(), String> {
    let service = supervisor.slots[at].prepared.definition.service.as_ref();
    let Some(text) = service.and_then(|service| service.watching.watch_command.clone()) else { return Ok(()) };
    let command = Command::from_words(crate::python_text::shlex::words(&text));
    let work = ServiceCommand::new(supervisor, at).map_err(|error| format!("cannot run `watch_command`: {error}"))?;
    let sender = supervisor.sender.clone();
    let failure = move |text| SupervisorMessage::Rebuilt(at, Err(text));
    spawn_thread(&sender.clone(), failure, move || {
        let _ = sender.send(SupervisorMessage::Rebuilt(
            at,
            work.run("watch_command", vec![command]).map_err(|failure| failure.text),
        ));
    })
}

/// Runs a job: all commands of an environment without `serve`.
pub fn start_job(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    let work = match ServiceCommand::new(supervisor, at) {
        Ok(work) => work,
        Err(error) => return Some(Happening::StartFailed(at, error.to_string())),
    };
    let sender = supervisor.sender.clone();
    let generation = supervisor.slots[at].run.generation;
    let ended = move |code| SupervisorMessage::Of { service: at, generation, report: StartReport::JobEnded(code) };
    let failure = move |_| ended(exit_code::FAILED);
    let begun = spawn_thread(&sender.clone(), failure, move || {
        let run = || -> Result<i32, EnvError> {
            let definition = &work.prepared.definition;
            fs_err::create_dir_all(&definition.cwd)?;
            let lists = CommandLists {
                recreate: Deferred::ready(Vec::new()),
                extra_setup: Deferred::ready(Vec::new()),
                pre: Deferred::ready(definition.steps.commands_pre.clone()),
                main: Deferred::ready(definition.steps.commands.clone()),
                post: Deferred::ready(definition.steps.commands_post.clone()),
                ignore_errors: definition.steps.ignore_errors,
                retries: definition.steps.retries,
                post_after_interrupt: definition.steps.post_after_interrupt,
            };
            run_all(&work.session, &lists, &definition.cwd, &|commands| work.fill(commands), &mut Vec::new())
        };
        let code = run().unwrap_or_else(|error| {
            let reporter = &*work.session.reporter;
            error.report(reporter, work.prepared.name()).code.max(1)
        });
        let _ = sender.send(ended(code));
    });
    Some(begun.map_or_else(|text| Happening::StartFailed(at, text), |()| Happening::Started(at)))
}

fn spawn_thread(
    sender: &Sender<SupervisorMessage>,
    failure: impl FnOnce(String) -> SupervisorMessage + Send + 'static,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), String> {
    let thread = thread::Builder::new().name("commands".to_owned());
    faults::spawn(thread, sender, failure, work).map_err(|error| format!("cannot start a thread for it: {error}"))
}
