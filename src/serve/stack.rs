//! A set of services that somebody holds: started in order, ready when [`Stack::start`] returns, stopped in reverse when
//! they are no longer needed.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::fields::{Instance, Instances};
use super::graph::{Graph, Member};
use super::machine::{Machine, Node, ReadyWhen};
use super::ports::{self, Book, Lease};
use super::prepared::PreparedService;
use super::probe::{Cancel, Canceller};
use super::start::ShimProgram;
use super::supervisor::{Ended, Hold, Message, Slot, Supervisor, Told};
use super::terminal::Terminal;
use crate::build::halt::Halt;
use crate::execute::interrupt::Interrupt;
use crate::model::Service;
use crate::model::service::{Probe, RestartPolicy};
use crate::report::Reporter;

/// How a set of services is held.
pub struct StackOptions {
    /// Where logs and the ports given before are kept: `.envo` in the work folder. It is made.
    pub state_dir: PathBuf,
    /// What concerns all projects of the user: which has which ports. `None`: nothing is known of other projects.
    pub user_dir: Option<PathBuf>,
    pub reporter: Arc<dyn Reporter>,
    pub interrupt: Interrupt,
    pub hold: Hold,
    /// Whether what services write is shown.
    pub show_output: bool,
    pub shim: ShimProgram,
}

/// Services that run. Dropping it stops them.
pub struct Stack {
    sender: Sender<Message>,
    told: Receiver<Told>,
    instances: Arc<Mutex<Instances>>,
    thread: Option<JoinHandle<()>>,
    ended: Option<Ended>,
    /// Ends the wait for an interrupt.
    _canceller: Canceller,
}

impl Stack {
    /// Starts `services` in the order their `depends` ask for and returns when all of them are ready. The graph has been
    /// checked.
    ///
    /// # Errors
    /// A port that is taken; a service that fails before all are ready, with its last lines; [`Halt::Interrupted`] when
    /// the user interrupts. Whatever was started has been stopped then.
    pub fn start(services: Vec<PreparedService>, options: StackOptions) -> Result<Self> {
        let log_dir = options.state_dir.join("log");
        fs_err::create_dir_all(&log_dir)?;
        let graph = Graph::new(services.iter().map(|one| Member::from(&one.environment)).collect());
        let leases = lease_ports(&services, &options)?;
        let names = services.iter().map(|one| one.name().to_owned()).collect();
        let terminal = match options.show_output {
            true => Some(Terminal::new(names, Arc::clone(&options.reporter))?),
            false => None,
        };
        let machine =
            Machine::new((0..services.len()).map(|at| node(&services[at], graph.dependencies[at].clone())).collect());
        let slots: Vec<Slot> = services
            .into_iter()
            .zip(leases)
            .enumerate()
            .map(|(at, (one, lease))| slot(one, lease, &graph, at))
            .collect();
        let (sender, receiver) = channel();
        let (tell, told) = channel();
        let instances = Arc::new(Mutex::new(Instances::default()));
        let canceller = listen(options.interrupt, sender.clone())?;
        let supervisor = Supervisor {
            machine,
            slots,
            instances: Arc::clone(&instances),
            reporter: options.reporter,
            terminal,
            log_dir,
            port_dirs: (options.state_dir, options.user_dir),
            shim: options.shim,
            hold: options.hold,
            sender: sender.clone(),
            told: tell,
            begin: Instant::now(),
            ready: false,
            interrupted: false,
        };
        let thread = thread::Builder::new().name("supervisor".to_owned()).spawn(move || supervisor.run(&receiver))?;
        let mut stack = Self { sender, told, instances, thread: Some(thread), ended: None, _canceller: canceller };
        match stack.told.recv() {
            Ok(Told::AllReady) => Ok(stack),
            Ok(Told::Over(ended)) => {
                stack.ended = Some(ended.clone());
                match ended {
                    Ended { failure: Some(text), .. } => Err(anyhow!(text)),
                    Ended { interrupted: true, .. } => Err(Halt::Interrupted.into()),
                    // Jobs alone can be over before anybody was told that they are ready.
                    Ended { .. } => Ok(stack),
                }
            }
            Err(_) => Err(anyhow!("the supervisor of the services has failed")),
        }
    }

    /// What is known of the services that are ready, for fields and variables of those who depend on them.
    pub fn instances(&self) -> Instances {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything is over: by an interrupt, a failure, or because every service has ended.
    ///
    /// # Errors
    /// The first failure, with the last lines of that service.
    pub fn wait(mut self) -> Result<Ended> {
        let ended = self.until_over();
        match ended.failure {
            Some(text) => Err(anyhow!(text)),
            None => Ok(ended),
        }
    }

    /// Stops the services in reverse order and waits until nothing of them is left.
    ///
    /// # Errors
    /// A service that had failed meanwhile, with its last lines.
    pub fn stop(self) -> Result<()> {
        let _ = self.sender.send(Message::Stop);
        self.wait().map(drop)
    }

    fn until_over(&mut self) -> Ended {
        while self.ended.is_none() {
            match self.told.recv() {
                Ok(Told::AllReady) => {}
                Ok(Told::Over(ended)) => self.ended = Some(ended),
                Err(_) => {
                    let failure = Some("the supervisor of the services has failed".to_owned());
                    self.ended = Some(Ended { failure, interrupted: false });
                }
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.ended.clone().unwrap_or(Ended { failure: None, interrupted: false })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::Stop);
        self.until_over();
    }
}

/// Starts services, shows what they write, and keeps them until the user interrupts, one fails, or all have ended.
/// Returns the exit code: 0 after an interrupt and a clean stop.
///
/// # Errors
/// As [`Stack::start`] and [`Stack::wait`].
pub fn serve_foreground(services: Vec<PreparedService>, options: StackOptions) -> Result<i32> {
    let stack = match Stack::start(services, options) {
        Ok(stack) => stack,
        Err(error) if matches!(error.downcast_ref(), Some(Halt::Interrupted)) => return Ok(crate::exit_code::OK),
        Err(error) => return Err(error),
    };
    stack.wait()?;
    Ok(crate::exit_code::OK)
}

/// Gives every service its ports before the first one starts, so that a port that is taken stops nothing half-way.
fn lease_ports(services: &[PreparedService], options: &StackOptions) -> Result<Vec<Lease>> {
    let mut book = Book::open(&options.state_dir, options.user_dir.as_deref());
    let mut leases = Vec::with_capacity(services.len());
    for one in services {
        leases.push(match &one.environment.service {
            Some(service) => ports::lease(&mut book, one.name(), service)?,
            None => Lease::default(),
        });
    }
    book.close().context("the ports cannot be kept for the next time")?;
    Ok(leases)
}

fn slot(prepared: PreparedService, lease: Lease, graph: &Graph, at: usize) -> Slot {
    let service = prepared.environment.service.as_ref();
    let instance = Instance {
        name: prepared.name().to_owned(),
        host: service.map_or_else(String::new, |service| service.host.clone()),
        ports: lease.ports.clone(),
        url: None,
        fields: BTreeMap::new(),
    };
    let place = service.map_or_else(String::new, |service| match service.location.as_str() {
        "" => String::new(),
        location => format!(" ({location})"),
    });
    Slot {
        visible: graph.reachable(at).into_iter().map(str::to_owned).collect(),
        prepared,
        instance,
        lease,
        generation: 0,
        running: None,
        asking: None,
        halt: None,
        started: None,
        exited: false,
        last_lines: Vec::new(),
        place,
    }
}

fn node(prepared: &PreparedService, dependencies: Vec<usize>) -> Node {
    let name = prepared.name().to_owned();
    match &prepared.environment.service {
        None => Node {
            name,
            dependencies,
            ready_when: ReadyWhen::Ended,
            ready_timeout: None,
            // Commands end by the timeouts of an interrupt, which are their own.
            stop_timeout: Duration::from_secs(3600),
            success_exit_codes: vec![0],
            restart: RestartPolicy::No,
            restart_limit: 0,
            checks_alive: false,
        },
        Some(service) => Node {
            name,
            dependencies,
            ready_when: ready_when(service),
            ready_timeout: Some(service.ready_timeout),
            stop_timeout: service.stop_timeout,
            success_exit_codes: service.success_exit_codes.clone(),
            restart: service.restart,
            restart_limit: service.restart_limit,
            checks_alive: service.alive.is_some(),
        },
    }
}

fn ready_when(service: &Service) -> ReadyWhen {
    match Probe::parse(&service.ready_text()) {
        Ok(Probe::Alive) => ReadyWhen::Started,
        Ok(Probe::Exit) => ReadyWhen::Ended,
        _ => ReadyWhen::Probed,
    }
}

/// Tells the supervisor when the user interrupts: the first time and the second.
fn listen(interrupt: Interrupt, sender: Sender<Message>) -> Result<Canceller> {
    let (cancel, canceller) = Cancel::new()?;
    thread::Builder::new().name("interrupts".to_owned()).stack_size(128 * 1024).spawn(move || {
        for seen in 0..2 {
            let Some(notice) = interrupt.notice(seen) else { return };
            while !cancel.wait_for(&notice.as_fd(), Duration::from_secs(3600)) {
                if cancel.wait(Duration::ZERO) {
                    return;
                }
            }
            if sender.send(Message::Interrupted(seen + 1)).is_err() {
                return;
            }
        }
    })?;
    Ok(canceller)
}
