//! The shell around the machine: one channel into which everything that happens comes, and one thread that hands it to
//! the machine and carries out what the machine asks for. Never waits for anything but that channel.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::fields::{Instance, Instances};
use super::machine::{Action, Event as Happening, Machine, State};
use super::orders::{News, Order};
use super::ports::Lease;
use super::prepared::PreparedService;
use super::probe::{Answer, Canceller};
use super::start::Running;
use super::terminal::Terminal;
use super::work;
use crate::execute::interrupt::Interrupt;
use crate::report::{Event, Reporter};

/// What comes through the channel.
#[derive(Debug)]
pub enum Message {
    Of {
        service: usize,
        /// Which start it belongs to.
        generation: u64,
        report: Report,
    },
    /// What must run before it has run, well or not.
    Prepared(usize, Result<(), String>),
    /// Whether something that envo did not start answers as the service.
    Looked(usize, bool),
    /// What must run after it has run.
    Finished(usize),
    /// The user asked so often to stop.
    Interrupted(usize),
    /// Whoever holds the services has done with them.
    Stop,
}

/// What is told of one start of a service.
#[derive(Debug)]
pub enum Report {
    /// News of its shim, and the last lines of its log when it has ended.
    News(News, Vec<String>),
    /// Its shim was reaped.
    ShimEnded,
    /// Its output has matched what was waited for.
    Matched(BTreeMap<String, String>),
    Answered(Answer),
    /// What its `alive` probe said.
    Alive(bool),
    /// A job has ended.
    JobEnded(i32),
    /// Something that is no failure of the service.
    Trouble(String),
}

/// Whether an interrupt stops the services once they are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// They run until the user interrupts: `serve`.
    UntilInterrupted,
    /// Somebody else ends them, after what depends on them has ended: `run`.
    UntilStopped,
}

/// What the holder of the services hears of them.
#[derive(Debug)]
pub enum Told {
    AllReady,
    Over(Ended),
}

/// How it all ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The first failure, with the last lines of the log.
    pub failure: Option<String>,
    pub interrupted: bool,
}

/// What belongs to one service or job.
pub struct Slot {
    pub prepared: PreparedService,
    /// Names of all it depends on, directly or through others.
    pub visible: Vec<String>,
    pub instance: Instance,
    pub lease: Lease,
    pub generation: u64,
    pub running: Option<Running>,
    /// Ends the question whether it is ready or alive.
    pub asking: Option<Canceller>,
    /// Stops the commands that run before or after it, and jobs.
    pub halt: Option<Interrupt>,
    pub started: Option<Instant>,
    pub exited: bool,
    /// Its last lines when it ended by itself.
    pub last_lines: Vec<String>,
    /// What is said of its place in error messages.
    pub place: String,
}

pub struct Supervisor {
    pub machine: Machine,
    pub slots: Vec<Slot>,
    pub instances: Arc<Mutex<Instances>>,
    pub reporter: Arc<dyn Reporter>,
    pub terminal: Option<Terminal>,
    pub log_dir: PathBuf,
    /// Where the book of ports is: the project's state and the user's.
    pub port_dirs: (PathBuf, Option<PathBuf>),
    pub shim: super::start::ShimProgram,
    pub hold: Hold,
    pub sender: Sender<Message>,
    pub told: Sender<Told>,
    pub begin: Instant,
    pub ready: bool,
    pub interrupted: bool,
}

impl Supervisor {
    /// Runs until everything is over.
    pub fn run(mut self, receiver: &Receiver<Message>) {
        self.step(Happening::Tick);
        let mut over = self.is_over();
        while !over {
            let timeout = self.machine.deadline().map(|due| due.saturating_sub(self.begin.elapsed()));
            let message = match timeout {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(timeout) => receiver.recv_timeout(timeout),
            };
            match message {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.step(Happening::Tick),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            over = self.is_over();
        }
        // What is still to be shown is shown before the end is told.
        drop(self.terminal.take());
        let failure = self.machine.failure().map(|(at, failure)| self.failure_text(at, &failure.to_string()));
        let _ = self.told.send(Told::Over(Ended { failure, interrupted: self.interrupted }));
    }

    fn is_over(&self) -> bool {
        let over = |at| matches!(self.machine.state(at), State::Stopped | State::Exited | State::Failed);
        (0..self.slots.len()).all(|at| over(at) && self.slots[at].running.is_none())
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn step(&mut self, happening: Happening) {
        let mut happenings = std::collections::VecDeque::from([happening]);
        while let Some(happening) = happenings.pop_front() {
            let now = self.now();
            for action in self.machine.step(happening, now) {
                happenings.extend(self.carry_out(action));
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Of { service, generation, report } => {
                if self.slots[service].generation == generation {
                    self.take_report(service, report);
                }
            }
            Message::Prepared(at, Ok(())) => self.step(Happening::Prepared(at)),
            Message::Prepared(at, Err(text)) => self.step(Happening::PrepareFailed(at, text)),
            Message::Looked(at, found) => {
                let happening = if found { Some(Happening::Adopted(at)) } else { self.prepare_own(at) };
                happening.into_iter().for_each(|happening| self.step(happening));
            }
            Message::Finished(at) => self.step(Happening::Finished(at)),
            Message::Stop => self.step(Happening::Stop),
            Message::Interrupted(times) => {
                // Once they are ready, whoever uses the services ends first and then stops them.
                if self.hold == Hold::UntilInterrupted || !self.ready || times > 1 {
                    self.interrupted = true;
                    self.step(if times > 1 { Happening::Kill } else { Happening::Stop });
                }
            }
        }
    }

    /// There is nothing to adopt: the service is envo's own.
    fn prepare_own(&mut self, at: usize) -> Option<Happening> {
        if !self.machine.is_wanted(at) {
            return Some(Happening::Prepared(at));
        }
        let slot = &mut self.slots[at];
        let name = slot.prepared.name().to_owned();
        let regained = match &slot.prepared.environment.service {
            Some(service) => slot.lease.regain(&name, service),
            None => Ok(()),
        };
        match regained {
            Ok(()) => work::prepare(self, at),
            Err(error) => Some(Happening::PrepareFailed(at, format!("cannot start, and cannot be adopted: {error}"))),
        }
    }

    fn take_report(&mut self, at: usize, report: Report) {
        match report {
            Report::News(News::Started(_), _) => self.step(Happening::Started(at)),
            Report::News(News::NotStarted(errno), _) => {
                let error = std::io::Error::from_raw_os_error(errno);
                self.forget(at);
                self.step(Happening::StartFailed(at, error.to_string()));
            }
            Report::News(News::Exited(code), last_lines) => {
                self.slots[at].exited = true;
                self.slots[at].last_lines = last_lines;
                self.cancel_probe(at);
                let lost = self.machine.state(at) == State::Starting && super::start::finds_another_port(self, at);
                self.step(if lost { Happening::LostPort(at, code) } else { Happening::Exited(at, code) });
            }
            // The shim is reaped next; a service is gone when that is gone too.
            Report::News(News::Gone, _) => {}
            Report::ShimEnded => self.shim_ended(at),
            Report::Matched(fields) => {
                self.slots[at].instance.fields = fields;
                self.step(Happening::ProbeSucceeded(at));
            }
            Report::Answered(Answer::Yes) => self.step(Happening::ProbeSucceeded(at)),
            Report::Answered(Answer::Never(reason)) => self.step(Happening::ProbeImpossible(at, reason)),
            Report::Answered(Answer::Cancelled) => {}
            Report::Alive(alive) => self.step(Happening::Alive(at, alive)),
            Report::JobEnded(code) => {
                self.step(Happening::Exited(at, code));
                self.step(Happening::Gone(at));
            }
            Report::Trouble(text) => self.reporter.warning(self.slots[at].prepared.name(), text),
        }
    }

    /// The shim has ended: as it should, with its service, or because somebody killed it.
    fn shim_ended(&mut self, at: usize) {
        let Some(running) = self.forget(at) else { return };
        if !self.slots[at].exited {
            // The first process dies with its shim; what else it started is found by its variables.
            running.end_strays();
            self.step(Happening::Exited(at, -libc::SIGKILL));
        }
        self.step(Happening::Gone(at));
    }

    fn forget(&mut self, at: usize) -> Option<Running> {
        self.slots[at].running.take()
    }

    fn cancel_probe(&mut self, at: usize) {
        self.slots[at].asking = None;
    }

    /// Does what the machine asks for; what follows at once is answered, the rest comes through the channel.
    fn carry_out(&mut self, action: Action) -> Option<Happening> {
        match action {
            Action::Prepare(at) if super::start::look_for_another(self, at) => None,
            Action::Prepare(at) => self.prepare_own(at),
            Action::Start(at) => super::start::start(self, at),
            Action::Probe(at) => super::start::probe(self, at),
            Action::CheckAlive(at) => {
                super::start::check_alive(self, at);
                None
            }
            Action::Terminate(at) => {
                self.cancel_probe(at);
                self.order(at, Order::Stop);
                None
            }
            Action::Kill(at) => {
                self.cancel_probe(at);
                self.order(at, Order::Kill);
                None
            }
            Action::Finish(at) => work::finish(self, at),
            Action::Changed(at) => {
                self.tell_change(at);
                None
            }
            Action::AllReady => {
                self.ready = true;
                let _ = self.told.send(Told::AllReady);
                None
            }
            Action::Over => None,
        }
    }

    /// To the shim of a service, or to the commands of a job or of what runs before and after a service.
    fn order(&mut self, at: usize, order: Order) {
        let slot = &mut self.slots[at];
        match &mut slot.running {
            // A shim that has gone needs no order; its end is in the channel.
            Some(running) => running.give(order),
            None => slot.halt.iter().for_each(Interrupt::request),
        }
    }

    fn tell_change(&mut self, at: usize) {
        let state = self.machine.state(at);
        let text = match state {
            State::Ready => {
                self.publish(at);
                let slot = &self.slots[at];
                let seconds = slot.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
                let place = slot.instance.url.as_ref().map_or(String::new(), |url| format!("at {url} "));
                format!("{place}({seconds:.2} s)")
            }
            State::Restarting | State::Exited | State::Failed => String::new(),
            State::Stopped if self.slots[at].started.is_some() => String::new(),
            _ => return,
        };
        let service = self.slots[at].prepared.name().to_owned();
        self.reporter.event(Event::Service { service, state: state.name().to_owned(), text });
    }

    /// Makes what is known of a service that is ready known to those who depend on it.
    fn publish(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let is_http = slot
            .prepared
            .environment
            .service
            .as_ref()
            .and_then(|service| service.ready.as_deref())
            .is_some_and(|ready| ready.trim_start().starts_with("http"));
        slot.instance.derive_url(if is_http { "http" } else { "tcp" });
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).insert(slot.instance.clone());
    }

    /// What the service at `at` may know of others.
    pub fn visible_instances(&self, at: usize) -> Instances {
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.only(self.slots[at].visible.iter().map(String::as_str))
    }

    fn failure_text(&self, at: usize, failure: &str) -> String {
        let slot = &self.slots[at];
        let mut text = format!("`{}`{} {failure}", slot.prepared.name(), slot.place);
        if !slot.last_lines.is_empty() {
            text.push_str("\nits last lines:");
            for line in &slot.last_lines {
                text.push_str("\n  ");
                text.push_str(line);
            }
        }
        text
    }
}
