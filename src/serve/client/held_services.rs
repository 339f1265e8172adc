//! Services that a client holds: requested, shown while they start and run, and released. A foreground
//! `serve` is only this, and so are the services of a `run`.

mod background;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::env_error::EnvError;
use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::model::EnvVariables;
use crate::platform::memory;
use crate::serve::client::log_follower::{FollowStart, LogFollower};
use crate::serve::client::socket_path::SupervisorLocation;
use crate::serve::client::supervisor_process::{PROMPT, SupervisorProcess};
use crate::serve::client::{ClientMessage, RefusedRequest, SupervisorClient, SupervisorProgram, WaitLimit};
use crate::serve::fields::ServiceInstances;
use crate::serve::instances::plain_names;
use crate::serve::private;
use crate::serve::protocol::{
    self, ClientOperation, ClientRequest, InstanceInfo, ReplyBody, ServiceDefinition, TimedEvent, UpRequest,
    WaitingService,
};

pub use background::{BackgroundStart, up};

/// The number of the last request of a lease.
const RELEASE: u64 = u64::MAX;
/// The number of the request that speeds that one up; its own reply is ignored.
const KILL: u64 = RELEASE - 1;
/// The number of the first request of every connection.
const UP: u64 = KILL - 1;
/// How long stopping services are waited for before they are listed.
const QUIET: Duration = Duration::from_secs(1);

/// How services are held.
pub struct HoldOptions {
    /// The folder for logs and remembered ports: `.envo` in the work folder. It is created.
    pub state_dir: PathBuf,
    /// The variables this process was started with.
    pub variables: EnvVariables,
    pub reporter: Arc<dyn Reporter>,
    pub interrupt: Interrupt,
    /// Whether the output of services is shown.
    pub show_output: bool,
    /// Whether services that run with another definition are restarted.
    pub change: bool,
    /// Whether jobs run again that were done before.
    pub force: bool,
    /// Who holds them, as shown by `ps`: `serve`.
    pub client: String,
    pub supervisor: SupervisorProgram,
}

/// Connects to the supervisor of a project, before anything is requested.
///
/// # Errors
///
/// No supervisor can be reached or started; [`EnvError::Interrupted`](crate::env_error::EnvError).
pub fn connect(options: &HoldOptions) -> Result<SupervisorClient> {
    let place = SupervisorLocation::of(&options.state_dir, &options.variables)?;
    let name = format!("{} (pid {})", options.client, std::process::id());
    let client = SupervisorClient::connect_or_start(&place, &options.supervisor, &name, &options.interrupt)?;
    if let Some(warning) = place.warning {
        let socket = client.supervisor.place.socket.display();
        let text = format!("{warning}: the supervisor of the services listens at {socket} instead");
        options.reporter.event(RunEvent::Notice { text });
    }
    Ok(client)
}

/// Requested services.
struct HeldServices {
    client: SupervisorClient,
    reporter: Arc<dyn Reporter>,
    interrupt: Interrupt,
    /// The states of the requested services and their dependencies.
    states: BTreeMap<String, String>,
    /// The services whose readiness was shown.
    announced: BTreeSet<String>,
    /// The failures among them, the first one first.
    failures: Vec<String>,
    /// Who ended the supervisor.
    ended_by: Option<String>,
    /// Whether the services were released.
    released: bool,
    follower: Option<LogFollower>,
}

/// What ended a wait.
enum WaitEnd {
    Answer(Result<ReplyBody, RefusedRequest>),
    Interrupted,
    /// One of the services has failed.
    Failed,
    /// All have ended by themselves.
    Over,
    /// The timeout.
    Late,
}

impl HeldServices {
    /// Requests `services`, of which `requested` are the selected ones. Returns the number of the request.
    fn begin(client: SupervisorClient, up: UpRequest, options: &HoldOptions) -> Result<(Self, u64)> {
        let names: Vec<String> = up.services.iter().flat_map(plain_names).collect();
        let served = up.services.iter().filter(|one| one.service.is_some()).flat_map(plain_names).collect();
        let follower = match options.show_output {
            true => {
                let log_dir = options.state_dir.join("log");
                private::log_folder(&log_dir)?;
                Some(LogFollower::show(&log_dir, served, FollowStart::Now, Arc::clone(&options.reporter))?)
            }
            false => None,
        };
        let mut attached = Self {
            client,
            reporter: Arc::clone(&options.reporter),
            interrupt: options.interrupt.clone(),
            states: names.into_iter().map(|name| (name, String::new())).collect(),
            announced: BTreeSet::new(),
            failures: Vec::new(),
            ended_by: None,
            released: false,
            follower,
        };
        let id = UP;
        let limit = WaitLimit { interrupt: Some((&options.interrupt, 0)), until: None };
        attached.client.send_as(id, ClientOperation::Up(up), &limit)?;
        Ok((attached, id))
    }

    /// Handles and shows events until the request `id` is answered, or something else ends the wait.
    fn wait_for(&mut self, id: u64, seen: Option<usize>, until: Option<Instant>) -> Result<WaitEnd> {
        let interrupt = self.interrupt.clone();
        let limit = WaitLimit { interrupt: seen.map(|seen| (&interrupt, seen)), until };
        loop {
            match self.client.receive(&limit)? {
                ClientMessage::Answer(answered, answer) if answered == id => return Ok(WaitEnd::Answer(answer)),
                ClientMessage::Answer(0, Err(refused)) => return Ok(WaitEnd::Answer(Err(refused))),
                ClientMessage::Answer(..) => {}
                ClientMessage::Event(event) => {
                    self.handle(event);
                    if id != RELEASE && !self.failures.is_empty() {
                        return Ok(WaitEnd::Failed);
                    }
                    if id != RELEASE && self.states.values().all(|state| state == "exited") {
                        return Ok(WaitEnd::Over);
                    }
                }
                ClientMessage::Interrupted => return Ok(WaitEnd::Interrupted),
                ClientMessage::Late => return Ok(WaitEnd::Late),
                ClientMessage::End => return self.without_supervisor(),
            }
        }
    }

    /// What the end of the supervisor means for a wait: nothing if there is nothing to serve any more, else
    /// an error.
    fn without_supervisor(&self) -> Result<WaitEnd> {
        match &self.ended_by {
            _ if self.states.is_empty() => Ok(WaitEnd::Over),
            Some(_) if self.released => Ok(WaitEnd::Over),
            Some(by) => Err(anyhow!("the supervisor of the services was ended by {by}, and all services with it")),
            None => Err(anyhow!("the supervisor of the services has ended unexpectedly")),
        }
    }

    /// Shows the events about these services.
    fn handle(&mut self, event: TimedEvent) {
        match event {
            TimedEvent::Service(event) => {
                let Some(state) = self.states.get_mut(&event.service) else { return };
                state.clone_from(&event.state);
                if let Some(text) = event.text {
                    if event.state == "ready" {
                        self.announced.insert(event.service.clone());
                    }
                    self.reporter.event(RunEvent::Service { service: event.service, state: event.state, text });
                }
            }
            TimedEvent::Failed(failed) => {
                if self.states.contains_key(&failed.service) {
                    self.failures.push(failed.message);
                }
            }
            TimedEvent::Waiting(WaitingService { service, target, seconds, seen, .. }) => {
                if self.states.contains_key(&service) {
                    self.reporter.event(RunEvent::ServiceWaiting { service, target, seconds, seen });
                }
            }
            TimedEvent::Report { report } => {
                if self.concerns(&report) {
                    self.reporter.event(report);
                }
            }
            TimedEvent::Ending(ending) => self.ended_by = Some(ending.cause),
            TimedEvent::Unknown => {}
        }
    }

    /// Shows the addresses of services that were ready before they were requested.
    fn announce(&mut self, instances: &[InstanceInfo]) {
        for InstanceInfo { instance, pid, .. } in instances {
            let runs = pid.is_some() || instance.url.is_some();
            if runs && self.announced.insert(instance.name.clone()) {
                let place = instance.url.as_ref().map_or(String::new(), |url| format!("at {url} "));
                let (service, state) = (instance.name.clone(), "ready".to_owned());
                self.reporter.event(RunEvent::Service { service, state, text: format!("{place}(already running)") });
            }
        }
    }

    fn concerns(&self, report: &RunEvent) -> bool {
        match report {
            RunEvent::Message { environment, .. }
            | RunEvent::CommandStarted { environment, .. }
            | RunEvent::Output { environment, .. }
            | RunEvent::CommandFinished { environment, .. }
            | RunEvent::Service { service: environment, .. } => self.states.contains_key(environment),
            _ => true,
        }
    }

    /// Releases the services and waits until those that only this client held are gone; the user's next
    /// interrupt kills them. Returns the first failure.
    fn release(mut self) -> (Option<String>, Result<()>) {
        let released = self.request_release();
        self.conclude(released)
    }

    fn conclude(self, released: Result<bool>) -> (Option<String>, Result<()>) {
        // Shows the remaining output before the end is reported.
        drop(self.follower);
        if matches!(released, Ok(true)) {
            self.client.wait_for_end();
        }
        (self.failures.into_iter().next(), released.map(drop))
    }

    /// Whether the supervisor ends with this connection.
    fn request_release(&mut self) -> Result<bool> {
        self.released = true;
        // The first interrupt is the reason for this request; a second one may have followed.
        let mut seen = Some(self.interrupt.count().min(1));
        self.release_request(RELEASE, false)?;
        let mut awaited = String::new();
        let mut patience = QUIET;
        loop {
            if self.client.supervisor.is_stopped() {
                return Err(self.client.supervisor.silent().into());
            }
            match self.wait_for(RELEASE, seen, Some(Instant::now() + patience))? {
                WaitEnd::Interrupted => {
                    self.reporter.warning("ROOT", format!("killing: {}", self.awaited()));
                    self.release_request(KILL, true)?;
                    seen = None;
                }
                WaitEnd::Late => {
                    let now = self.awaited();
                    if now != awaited && !now.is_empty() {
                        self.reporter.warning("ROOT", format!("still stopping: {now}"));
                    } else if !self.client.supervisor.answers() {
                        return Err(self.client.supervisor.silent().into());
                    }
                    (awaited, patience) = (now, PROMPT);
                }
                WaitEnd::Answer(Ok(ReplyBody::Released(released))) => {
                    for line in released.going_on() {
                        self.reporter.warning("ROOT", line);
                    }
                    return Ok(released.ending);
                }
                _ => return Ok(false),
            }
        }
    }

    fn release_request(&mut self, id: u64, kill: bool) -> Result<()> {
        self.client.send_as(id, ClientOperation::Release { names: Vec::new(), kill }, &WaitLimit::of(PROMPT))
    }

    /// The services that are being stopped, for people.
    fn awaited(&self) -> String {
        let stopping = self.states.iter().filter(|(_, state)| *state == "stopping");
        stopping.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Starts services, shows their output, and holds them until the user interrupts, one fails, or all have
/// ended. Returns the exit code: 0 after an interrupt and a clean stop.
///
/// # Errors
///
/// A port that is in use; a service that failed, with its last lines.
pub fn serve_foreground(
    client: SupervisorClient,
    services: Vec<ServiceDefinition>,
    requested: Vec<String>,
    options: &HoldOptions,
) -> Result<i32> {
    let (force, change) = (options.force, options.change);
    let up = UpRequest { services, requested, wait: true, force, change, events: true, ..UpRequest::default() };
    let (mut attached, id) = HeldServices::begin(client, up, options)?;
    attached.client.serve_reader();
    let mut ended = attached.wait_for(id, Some(0), None)?;
    if let WaitEnd::Answer(Ok(answer)) = ended {
        if let ReplyBody::Instances(instances) = answer {
            attached.announce(&instances);
        }
        // All are ready; no pending request can end this wait. The memory used for starting is not needed
        // while the services run.
        memory::give_back();
        ended = attached.wait_for(0, Some(0), None)?;
    }
    let refusal = match ended {
        WaitEnd::Answer(Err(refused)) => Some(refused),
        _ => None,
    };
    let (failure, released) = attached.release();
    match (failure, refusal) {
        (Some(text), _) => Err(anyhow!(text)),
        (None, Some(refused)) => Err(refused.into()),
        (None, None) => released.map(|()| crate::exit_code::OK),
    }
}

/// Services that run for a command of this process. Dropping it releases them.
pub struct ServiceLease {
    stream: UnixStream,
    supervisor: SupervisorProcess,
    instances: ServiceInstances,
    /// Handles the events about them until they are released.
    thread: Option<JoinHandle<Option<String>>>,
    /// Closed when that thread has ended.
    ended: Receiver<()>,
}

impl ServiceLease {
    /// Starts `services` and returns when all of them are ready. Services that already run are used as they
    /// are.
    ///
    /// # Errors
    ///
    /// A port that is in use; a service that fails before all are ready, with its last lines;
    /// [`EnvError::Interrupted`](crate::env_error::EnvError). Everything that was started has been stopped
    /// then.
    pub fn start(services: Vec<ServiceDefinition>, options: &HoldOptions) -> Result<Self> {
        let client = connect(options)?;
        let requested = services.iter().map(|one| one.name.clone()).collect();
        let (force, change) = (options.force, options.change);
        let up = UpRequest { services, requested, wait: true, force, change, events: true, ..UpRequest::default() };
        let (mut attached, id) = HeldServices::begin(client, up, options)?;
        let refused = match attached.wait_for(id, Some(0), None)? {
            WaitEnd::Answer(Ok(ReplyBody::Instances(list))) => {
                let mut instances = ServiceInstances::default();
                instances.show(list.into_iter().map(|one| (vec![one.instance.name.clone()], one.instance)));
                return Self::hold(attached, instances);
            }
            WaitEnd::Answer(Err(refused)) => Some(refused),
            WaitEnd::Interrupted => {
                attached.release().1?;
                return Err(EnvError::Interrupted.into());
            }
            _ => None,
        };
        let (failure, released) = attached.release();
        match (failure, refused) {
            (Some(text), _) => Err(anyhow!(text)),
            (None, Some(refused)) => Err(refused.into()),
            (None, None) => Err(released.err().unwrap_or_else(|| anyhow!("the services have ended"))),
        }
    }

    fn hold(mut attached: HeldServices, instances: ServiceInstances) -> Result<Self> {
        let stream = attached.client.try_clone_stream()?;
        let supervisor = attached.client.supervisor.clone();
        let (ending, ended) = channel();
        let hear = move || {
            let _ending = ending;
            let released = attached.wait_for(RELEASE, None, None).map(|ended| match ended {
                WaitEnd::Answer(Ok(ReplyBody::Released(released))) => released.ending,
                _ => false,
            });
            let (failure, released) = attached.conclude(released);
            failure.or_else(|| released.err().map(|error| format!("{error:#}")))
        };
        let thread = thread::Builder::new().name("services".to_owned()).stack_size(256 * 1024).spawn(hear)?;
        Ok(Self { stream, supervisor, instances, thread: Some(thread), ended })
    }

    /// The ready services, for fields and variables of their dependents.
    pub fn instances(&self) -> ServiceInstances {
        self.instances.clone()
    }

    /// Releases the services and waits until those that only this client held are gone.
    pub fn stop(mut self) -> Result<()> {
        match self.end() {
            Some(text) => Err(anyhow!(text)),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Option<String> {
        let thread = self.thread.take()?;
        let request =
            ClientRequest { id: RELEASE, operation: ClientOperation::Release { names: Vec::new(), kill: false } };
        // The thread notices the end of the supervisor.
        if let Ok(line) = protocol::to_line(&request) {
            let _ = self.stream.write_all(&line);
        }
        let mut patience = QUIET;
        while self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            if !self.supervisor.answers() {
                // The thread sees the end of the connection; the error is returned here.
                let _ = self.stream.shutdown(Shutdown::Both);
                let _ = thread.join();
                return Some(self.supervisor.silent().to_string());
            }
            patience = PROMPT;
        }
        thread.join().unwrap_or_else(|_| Some("waiting for events of the services has failed".to_owned()))
    }
}

impl Drop for ServiceLease {
    fn drop(&mut self) {
        self.end();
    }
}
