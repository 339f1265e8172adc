//! Starting a service: its fields are filled in, its program looked up, its shim started, and the question prepared that
//! tells when it is ready.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::fields;
use super::log::Log;
use super::machine::Event as Happening;
use super::orders::{Order, Task};
use super::probe::{Cancel, Canceller, Notify, Question};
use super::supervisor::{Message, Report, Supervisor};
use super::watch::{Wanted, Watch};
use super::work;
use crate::execute::process::{Grouping, Input, Sink, Spawn};
use crate::execute::tree;
use crate::model::service::{Probe, signal_number};
use crate::model::{Service, Variables};

/// The stack of a thread that reads or asks.
const SMALL_STACK: usize = 256 * 1024;
/// How long what a killed shim left behind has to end by itself.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);

/// How the shim is started: envo itself with its hidden verb.
#[derive(Debug, Clone)]
pub struct ShimProgram {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Default for ShimProgram {
    fn default() -> Self {
        // The link works even when the file was replaced while envo runs; its name is less telling in a list of processes.
        let own = std::env::current_exe().ok().filter(|path| path.exists());
        Self {
            program: own.unwrap_or_else(|| PathBuf::from("/proc/self/exe")),
            arguments: vec![super::shim::VERB.into()],
        }
    }
}

/// A service that was started.
pub struct Running {
    orders: Option<std::fs::File>,
    /// Ends the question whether it is ready.
    pub canceller: Option<Canceller>,
    question: Option<Question>,
    /// What every process of it has among its variables.
    marks: Vec<Vec<u8>>,
}

impl Running {
    pub fn give(&mut self, order: Order) {
        if let Some(orders) = &mut self.orders {
            // A shim that has gone needs no order.
            let _ = orders.write_all(&[order.byte()]);
        }
    }

    /// Ends what a killed shim left behind. Without marks nothing could be told from other people's processes.
    pub fn end_strays(&self) {
        if self.marks.is_empty() {
            return;
        }
        let own = std::process::id();
        let strays = || {
            let found = tree::descendants(own).into_iter().skip(1);
            found.filter(|pid| tree::carries(*pid, &self.marks)).collect()
        };
        tree::end(&strays, STRAY_PATIENCE);
    }
}

/// What is known before the shim is started.
struct Plan {
    task: Task,
    question: Option<Question>,
    wanted: Option<Wanted>,
}

/// Starts a service or a job.
pub fn start(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    let slot = &mut supervisor.slots[at];
    slot.generation += 1;
    slot.started = Some(Instant::now());
    slot.exited = false;
    slot.last_lines.clear();
    slot.instance.fields.clear();
    let Some(service) = slot.prepared.environment.service.clone() else {
        return work::start_job(supervisor, at);
    };
    let begun = plan(supervisor, at, &service).and_then(|plan| launch(supervisor, at, plan));
    match begun {
        Ok(running) => {
            supervisor.slots[at].running = Some(running);
            None
        }
        Err(text) => Some(Happening::StartFailed(at, text)),
    }
}

fn plan(supervisor: &mut Supervisor, at: usize, service: &Service) -> Result<Plan, String> {
    let instances = supervisor.visible_instances(at);
    let slot = &mut supervisor.slots[at];
    let text = |error: crate::error::ConfigError| error.message;
    slot.instance.url = match &service.url {
        Some(url) => Some(fields::fill_own(url, &slot.instance, &instances).map_err(text)?),
        None => None,
    };
    let own = &slot.instance;
    let session = &slot.prepared.session;
    let mut variables = slot.prepared.variables(own, &instances).map_err(text)?;
    let cwd = slot.prepared.cwd().map_err(text)?;
    fs_err::create_dir_all(&cwd).map_err(|error| error.to_string())?;
    let resolve = |words: Vec<String>, variables: &Variables| {
        let mut session = session.clone();
        session.variables = variables.clone();
        session.resolve_words(words, cwd.clone()).map_err(|refusal| refusal.to_string())
    };
    let argv = resolve(work::words(&service.serve, own, &instances).map_err(text)?, &variables)?;
    let ready = fields::fill_own(&service.ready_text(), own, &instances).map_err(text)?;
    let mut wanted = None;
    let question = match Probe::parse(&ready).map_err(text)? {
        Probe::Http { url, status } => Some(Question::http(&url, status)?),
        Probe::Tcp { address } => Some(Question::tcp(&address)?),
        Probe::Unix { path } => Some(Question::Unix { path: cwd.join(path) }),
        Probe::Command { .. } => {
            // Split before its fields are filled in, so that a value with blanks stays one word.
            let written = service.ready_text();
            let written = written.trim().strip_prefix("cmd:").unwrap_or_default().to_owned();
            let argv = resolve(work::words(&written, own, &instances).map_err(text)?, &variables)?;
            Some(Question::Command { argv, cwd: cwd.clone(), variables: variables.clone() })
        }
        Probe::Log { pattern } => {
            let pattern = regex::bytes::Regex::new(&pattern).map_err(|error| error.to_string())?;
            wanted = Some(Wanted { pattern });
            None
        }
        Probe::Notify => {
            let socket = Notify::new().map_err(|error| format!("no socket for its news: {error}"))?;
            variables.set("NOTIFY_SOCKET", socket.path());
            Some(Question::Notify(socket))
        }
        Probe::Exit | Probe::Alive => None,
    };
    let mut words = argv.into_iter().map(OsString::from);
    let task = Task {
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        cwd,
        variables,
        stop_signal: signal_number(&service.stop_signal).unwrap_or(libc::SIGTERM),
    };
    Ok(Plan { task, question, wanted })
}

fn launch(supervisor: &mut Supervisor, at: usize, plan: Plan) -> Result<Running, String> {
    let name = supervisor.slots[at].prepared.name().to_owned();
    let log = Log::open(&supervisor.log_dir.join(format!("{name}.log")))
        .map_err(|error| format!("its log cannot be written: {error}"))?;
    let shim = &supervisor.shim;
    let mut spawn = Spawn::new(&shim.program, shim.arguments.iter().cloned(), Variables::default());
    spawn.arguments.push(name.into());
    spawn.stdin = Input::Pipe;
    (spawn.stdout, spawn.stderr) = (Sink::Pipe, Sink::Pipe);
    spawn.grouping = Grouping::Group;
    // The ports are free from here on, for the service to take.
    supervisor.slots[at].lease.release();
    let mut child = spawn.start().map_err(|error| format!("envo cannot start its own helper: {error}"))?;
    let mut orders = child.stdin.take();
    if let Some(orders) = &mut orders
        && let Err(error) = plan.task.write(orders)
    {
        let _ = child.reap();
        return Err(format!("envo's own helper does not listen: {error}"));
    }
    let marks = ["TOX_ENV_NAME", "TOX_ENV_DIR"]
        .into_iter()
        .filter_map(|name| Some([name.as_bytes(), b"=", plan.task.variables.get(name)?.as_encoded_bytes()].concat()))
        .collect();
    let slot = &supervisor.slots[at];
    let watch = Watch {
        service: at,
        generation: slot.generation,
        shim: child,
        log,
        lines: supervisor.terminal.as_ref().map(super::terminal::Terminal::lines),
        wanted: plan.wanted,
        sender: supervisor.sender.clone(),
    };
    spawn_thread("watch", move || watch.run())?;
    Ok(Running { orders, canceller: None, question: plan.question, marks })
}

/// Begins to ask whether a service is ready, on a thread of its own.
pub fn probe(supervisor: &mut Supervisor, at: usize) -> Option<Happening> {
    let sender = supervisor.sender.clone();
    let slot = &mut supervisor.slots[at];
    let generation = slot.generation;
    let running = slot.running.as_mut()?;
    // Without a question it is the watch over its output that answers.
    let question = running.question.take()?;
    let begun = Cancel::new().map_err(|error| error.to_string()).and_then(|(cancel, canceller)| {
        running.canceller = Some(canceller);
        spawn_thread("probe", move || {
            let report = Report::Answered(question.ask(&cancel));
            let _ = sender.send(Message::Of { service: at, generation, report });
        })
    });
    begun.err().map(|text| Happening::ProbeImpossible(at, text))
}

fn spawn_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(SMALL_STACK)
        .spawn(work)
        .map(drop)
        .map_err(|error| format!("no thread for it: {error}"))
}
