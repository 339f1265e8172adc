//! Starts a service: fills in its fields, looks up its program, starts its shim, and prepares its readiness
//! check.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use crate::execute::tree;
use crate::model::ServiceSettings;
use crate::model::service::{ALIVE_PATIENCE, signal_number};
use crate::serve::fields;
use crate::serve::machine::MachineEvent as Happening;
use crate::serve::ports::{self, PortRegistry};
use crate::serve::probe::{
    CancellableWait, LastObservation, ProbeContext, ProbeResult, ProbedService, ReadinessQuestion,
};
use crate::serve::shim::instance_mark;
use crate::serve::shim::message::{ShimRequest, ShimTask};
use crate::serve::supervisor::faults;
use crate::serve::supervisor::log::ServiceLog;
use crate::serve::supervisor::output_watch::{AwaitedLine, OutputWatch};
use crate::serve::supervisor::probe_thread::ProbeThread;
use crate::serve::supervisor::service_command;
use crate::serve::supervisor::service_context::{ReadinessCheck, ServiceContext};
use crate::serve::supervisor::{Member, StartReport, Supervisor, SupervisorMessage};

/// The stack of a thread that reads or probes.
const SMALL_STACK: usize = 256 * 1024;

/// A service that was started.
pub struct StartedService {
    requests: std::fs::File,
    question: Option<ReadinessQuestion>,
    /// The beginning of this instance's output: its log and the position in it.
    pub log: (PathBuf, u64),
    /// Its first process and its shim, once they are known.
    pub processes: Option<(u32, u32)>,
}

impl StartedService {
    pub fn send(&mut self, request: ShimRequest) {
        // A shim that has ended needs no request.
        let _ = self.requests.write_all(&[request.byte()]);
    }
}

/// The values needed before the shim is started.
struct StartPlan {
    task: ShimTask,
    question: Option<ReadinessQuestion>,
    wanted: Option<AwaitedLine>,
}

/// Starts a service or a job.
pub fn start(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    // Before there is a process: if this supervisor is killed then, the next one knows of it.
    supervisor.record_start();
    let slot = &mut supervisor.slots[at];
    slot.run.generation += 1;
    slot.run.started = Some(Instant::now());
    (slot.run.exited, slot.run.in_background) = (false, false);
    slot.run.last_lines.clear();
    slot.instance.fields.clear();
    slot.tasks.waiting = ProbeThread::for_end();
    let Some(service) = slot.prepared.definition.service.clone() else {
        return service_command::start_job(supervisor, at);
    };
    let begun = plan(supervisor, at, &service).and_then(|plan| launch(supervisor, at, plan));
    match begun {
        Ok(running) => {
            supervisor.slots[at].run.running = Some(running);
            supervisor.watch_files(at);
            None
        }
        Err(text) => Some(Happening::StartFailed(at, text)),
    }
}

fn plan(supervisor: &mut Supervisor, at: usize, service: &ServiceSettings) -> Result<StartPlan, String> {
    supervisor.slots[at].instance.url = None;
    let mut context = ServiceContext::of(supervisor, at)?;
    fs_err::create_dir_all(&context.cwd).map_err(|error| error.to_string())?;
    if supervisor.slots[at].gets_sockets() {
        let names: Vec<&str> = service.address.ports.iter().map(|port| port.name.as_str()).collect();
        context.variables.set("LISTEN_FDS", names.len().to_string());
        context.variables.set("LISTEN_FDNAMES", names.join(":"));
    }
    let argv = context.command(&service.serve)?;
    let (mut question, mut wanted) = (None, None);
    let url = service.address.url.as_ref();
    let asked = context.probe(&service.ready_text())?;
    supervisor.slots[at].tasks.waiting = ProbeThread::new(&asked, &context.fill(&service.ready_text())?);
    match asked {
        ReadinessCheck::Question(asked) => question = Some(asked),
        // Its url may contain fields from that line.
        ReadinessCheck::Line(line) => wanted = Some(line),
        ReadinessCheck::Process => {}
    }
    if wanted.is_none() {
        supervisor.slots[at].instance.url = url.map(|url| context.fill(url)).transpose()?;
    }
    let mut words = argv.iter().map(|word| crate::os_text::encode(word));
    let task = ShimTask {
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        cwd: context.cwd,
        log: supervisor.log_of_unread(at),
        variables: context.variables,
        stop_signal: signal_number(&service.stopping.stop_signal).unwrap_or(libc::SIGTERM),
    };
    Ok(StartPlan { task, question, wanted })
}

fn launch(supervisor: &mut Supervisor, at: usize, plan: StartPlan) -> Result<StartedService, String> {
    let name = supervisor.slots[at].prepared.name().to_owned();
    let log = ServiceLog::open(&supervisor.project.log_dir.join(format!("{name}.log")))
        .map_err(|error| format!("its log cannot be written: {error}"))?
        .redacted(&supervisor.project.redactor);
    let unread = supervisor.log_of_unread(at);
    let service = supervisor.slots[at].prepared.definition.service.as_ref();
    let pty = service.is_some_and(|service| service.pty);
    let runs_probes = service.is_some_and(ServiceSettings::runs_probes);
    let slot = &mut supervisor.slots[at];
    if !slot.gets_sockets() {
        // The ports are free from here on, for the service to use.
        slot.ports.reservation.release();
    }
    let sockets: Vec<BorrowedFd<'_>> = slot.ports.reservation.sockets().collect();
    let mut pipes = supervisor
        .processes
        .forker
        .shim(pty, &unread, &sockets)
        .map_err(|error| format!("envo cannot start its own helper: {error}"))?;
    plan.task.write(&mut pipes.requests).map_err(|error| format!("envo's own helper does not respond: {error}"))?;
    let mark = supervisor.mark_of(at);
    let slot = &supervisor.slots[at];
    let position = (log.path().to_path_buf(), log.begin());
    let watch = OutputWatch {
        service: at,
        generation: slot.run.generation,
        mark,
        log,
        runs_probes,
        wanted: plan.wanted,
        sender: supervisor.sender.clone(),
    };
    let (generation, sender) = (slot.run.generation, supervisor.sender.clone());
    // Its shim ends the service when nothing reads its events any more.
    let failure =
        move |text| SupervisorMessage::Of { service: at, generation, report: StartReport::ShimEnded(vec![text]) };
    spawn_thread("watch", &sender, failure, move || watch.run(pipes.output, pipes.events))?;
    Ok(StartedService { requests: pipes.requests, question: plan.question, log: position, processes: None })
}

/// Starts the readiness probe of a service, on a thread of its own.
pub fn probe(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    let sender = supervisor.sender.clone();
    let slot = &mut supervisor.slots[at];
    let generation = slot.run.generation;
    let running = slot.run.running.as_mut()?;
    // Without a probe of its own, the thread that reads its output decides.
    let question = running.question.take()?;
    let root = running.processes.map(|(_, shim)| shim);
    let service = slot.prepared.definition.service.as_ref()?;
    let spent = slot.run.started.map_or(Duration::ZERO, |started| started.elapsed());
    let subject = ProbedService { left: service.probes.ready_timeout.saturating_sub(spent), root };
    let (patience, seen) =
        (service.probes.probe_timeout.unwrap_or(service.probes.ready_timeout), slot.tasks.waiting.seen.clone());
    let begun = CancellableWait::new().map_err(|error| error.to_string()).and_then(|(cancel, canceller)| {
        slot.tasks.asking = Some(canceller);
        let answer =
            move |result| SupervisorMessage::Of { service: at, generation, report: StartReport::Answered(result) };
        let failure = move |text| answer(ProbeResult::Never(text));
        spawn_thread("probe", &sender.clone(), failure, move || {
            let _ = sender.send(answer(question.probe(&ProbeContext { cancel, patience, seen }, subject)));
        })
    });
    begun.err().map(|text| Happening::ProbeImpossible(at, text))
}

/// Starts the regular `alive` probe of a service.
pub fn check_alive(supervisor: &mut Supervisor, at: usize) {
    let begun = alive_question(supervisor, at).and_then(|question| {
        let Some((question, waiting, patience)) = question else { return Ok(()) };
        let sender = supervisor.sender.clone();
        let slot = &mut supervisor.slots[at];
        let generation = slot.run.generation;
        let (cancel, canceller) = CancellableWait::new().map_err(|error| error.to_string())?;
        let asking = ProbeContext { cancel, patience, seen: waiting.seen.clone() };
        (slot.tasks.asking, slot.tasks.waiting) = (Some(canceller), waiting);
        let failure = move |text| {
            let report = StartReport::Trouble(format!("its `alive` probe has ended: {text}"));
            SupervisorMessage::Of { service: at, generation, report }
        };
        spawn_thread("alive", &sender.clone(), failure, move || {
            question.probe_until_cancelled(&asking, |alive| {
                let report = StartReport::Alive(alive);
                sender.send(SupervisorMessage::Of { service: at, generation, report }).is_ok()
            });
        })
    });
    if let Err(text) = begun {
        let slot = &supervisor.slots[at];
        supervisor.reporter.warning(slot.prepared.name(), format!("its `alive` probe cannot run: {text}"));
    }
}

fn alive_question(
    supervisor: &Supervisor,
    at: usize,
) -> Result<Option<(ReadinessQuestion, ProbeThread, Duration)>, String> {
    let service = supervisor.slots[at].prepared.definition.service.as_ref();
    let patience = service.and_then(|service| service.probes.probe_timeout).unwrap_or(ALIVE_PATIENCE);
    let Some(alive) = service.and_then(|service| service.probes.alive.clone()) else { return Ok(None) };
    let mut context = ServiceContext::of(supervisor, at)?;
    let asked = context.probe(&alive)?;
    let waiting = ProbeThread::new(&asked, &context.fill(&alive)?);
    match asked {
        ReadinessCheck::Question(question) => Ok(Some((question, waiting, patience))),
        ReadinessCheck::Line(_) | ReadinessCheck::Process => Ok(None),
    }
}

/// Whether a service that has ended early had lost a port to another program; it gets other ports then.
pub fn finds_another_port(supervisor: &mut Supervisor, at: usize) -> bool {
    let mark = supervisor.mark_of(at);
    let slot = &mut supervisor.slots[at];
    let Some(service) =
        slot.prepared.definition.service.as_ref().filter(|one| slot.run.running.is_some() && !one.address.listen_fds)
    else {
        return false;
    };
    if !slot.ports.reservation.is_lost(service, |pid| tree::is_marked(pid, instance_mark::VARIABLE, &mark)) {
        return false;
    }
    let mut registry = PortRegistry::open(&supervisor.project.state_dir, supervisor.project.user_dir.as_deref());
    let Ok(reservation) = ports::reserve(&mut registry, &slot.which, service) else { return false };
    slot.instance.ports.clone_from(&reservation.ports);
    slot.ports.reservation = reservation;
    if let Err(error) = registry.close() {
        let text = format!("its ports cannot be remembered: {error}");
        supervisor.reporter.warning(slot.prepared.name(), text);
    }
    true
}

/// Stores the fields from a line of its output, and updates its `url`.
pub fn assign_fields(supervisor: &mut Supervisor, at: usize, said: BTreeMap<String, String>) -> Result<(), String> {
    let instances = supervisor.visible_instances(at);
    let Member { prepared, instance, .. } = &mut supervisor.slots[at];
    instance.fields = said;
    if let Some(url) = prepared.definition.service.as_ref().and_then(|service| service.address.url.as_ref()) {
        instance.url = Some(fields::fill_own(url, instance, &instances).map_err(|error| error.message)?);
    }
    Ok(())
}

/// Checks whether the service already runs without envo having started it, and sends
/// [`SupervisorMessage::Looked`]. `false` if there is nothing to check.
pub fn find_another_port(supervisor: &mut Supervisor, at: usize) -> bool {
    let slot = &supervisor.slots[at];
    let service = slot.prepared.definition.service.clone().filter(|_| slot.ports.reservation.is_taken());
    let Some(service) = service else { return false };
    let begun = ServiceContext::of(supervisor, at).and_then(|mut context| {
        let url = service.address.url.as_ref().map(|url| context.fill(url)).transpose()?;
        let ReadinessCheck::Question(question) = context.probe(&service.ready_text())? else { return Ok(false) };
        supervisor.slots[at].instance.url = url;
        let sender = supervisor.sender.clone();
        let (cancel, canceller) = CancellableWait::new().map_err(|error| error.to_string())?;
        supervisor.slots[at].tasks.asking = Some(canceller);
        let patience = service.probes.probe_timeout.unwrap_or(ALIVE_PATIENCE);
        let asking = ProbeContext { cancel, patience, seen: LastObservation::default() };
        let failure = move |_| SupervisorMessage::Looked(at, false);
        spawn_thread("adopt", &sender.clone(), failure, move || {
            let _ = sender.send(SupervisorMessage::Looked(at, question.probe_once(&asking)));
        })?;
        Ok(true)
    });
    // A probe that cannot run now fails when the service is started.
    begun.unwrap_or(false)
}

fn spawn_thread(
    name: &str,
    sender: &Sender<SupervisorMessage>,
    failure: impl FnOnce(String) -> SupervisorMessage + Send + 'static,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), String> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(SMALL_STACK);
    faults::spawn(thread, sender, failure, work).map_err(|error| format!("cannot start a thread for it: {error}"))
}
