//! The client's side of a connection to a supervisor: finding or starting one, sending requests, and
//! receiving events.

pub mod held_services;
pub mod log_follower;
pub mod log_range;
pub mod socket_folders;
pub mod socket_path;
pub mod supervisor_process;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::env_error::EnvError;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{ChildInput, ChildOutput, ProcessGrouping, Spawn};
use crate::execute::tree;
use crate::model::EnvVariables;
use crate::platform::{sockets, system};
use crate::serve::client::socket_path::{OtherUser, Reached, SupervisorLocation};
use crate::serve::client::supervisor_process::{PROMPT, SupervisorProcess};
use crate::serve::private;
use crate::serve::protocol::SUPERVISOR_VERB;
use crate::serve::protocol::{
    self, ClientOperation, ClientRequest, OTHER_PROJECT, Reply, ReplyBody, RequestRefusal, TimedEvent, VERSION,
};
use crate::serve::shim::instance_mark;

/// How long a supervisor may take to end or to start before a client gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client waits for the end of a supervisor that has nothing left to do.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// The pause before checking again whether a supervisor has started or ended.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 3_000_000 };

/// How a supervisor is started: envo itself with its hidden command.
#[derive(Debug, Clone)]
pub struct SupervisorProgram(pub PathBuf);

impl Default for SupervisorProgram {
    fn default() -> Self {
        Self(system::own_program())
    }
}

/// A refused request as an error, shown with its hints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.explained())]
pub struct RefusedRequest(pub RequestRefusal);

/// What a client received.
#[derive(Debug)]
pub enum ClientMessage {
    Answer(u64, Result<ReplyBody, RefusedRequest>),
    Event(TimedEvent),
    /// The user has interrupted more often than before.
    Interrupted,
    /// The timeout.
    Late,
    /// The end of the supervisor.
    End,
}

/// What ends a wait before a message arrives.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitLimit<'a> {
    /// The user's interrupts beyond this number.
    pub interrupt: Option<(&'a Interrupt, usize)>,
    pub until: Option<Instant>,
}

/// The result of the first message on a connection.
pub(super) enum Greeted {
    Welcome(Box<SupervisorClient>),
    /// It is another project's supervisor.
    Elsewhere,
    /// The connection was closed without a reply: the supervisor is about to end, or cannot serve it.
    Dropped(SupervisorProcess),
}

pub struct SupervisorClient {
    stream: UnixStream,
    /// Received bytes that were not handled yet.
    bytes: Vec<u8>,
    /// How many of them have been searched for the end of a line.
    searched: usize,
    events: VecDeque<TimedEvent>,
    last_id: u64,
    pub supervisor: SupervisorProcess,
    /// Where this process shows events; if its reader is gone, that counts as an interrupt of the user.
    shown_to: Option<OwnedFd>,
}

impl SupervisorClient {
    /// Connects to the running supervisor; `None` if none runs. `name`: the client's name, for `ps`.
    pub fn connect(place: &SupervisorLocation, name: &str) -> Result<Option<Self>> {
        Self::connect_within(place, name, None)
    }

    /// The same with a limit: an interrupt after the first `seen` ends the attempt.
    ///
    /// # Errors
    ///
    /// Like [`Self::connect`], and [`EnvError::Interrupted`].
    pub fn connect_within(
        place: &SupervisorLocation,
        name: &str,
        interrupt: Option<(&Interrupt, usize)>,
    ) -> Result<Option<Self>> {
        let client = Self::find(place, name, &WaitLimit { interrupt, ..WaitLimit::of(PROMPT) })?;
        if client.is_none() {
            refuse_other_user(place)?;
        }
        Ok(client)
    }

    fn find(place: &SupervisorLocation, name: &str, limit: &WaitLimit<'_>) -> Result<Option<Self>> {
        loop {
            let mut unusable: Option<RefusedRequest> = None;
            for place in place.candidates() {
                match place.connect() {
                    Reached::Nothing => {}
                    Reached::Busy => unusable = Some(SupervisorProcess::at(&place).silent()),
                    Reached::Supervisor(stream) => match Self::greet(stream, &place, name, limit)? {
                        Greeted::Welcome(client) => return Ok(Some(*client)),
                        Greeted::Elsewhere => {}
                        Greeted::Dropped(supervisor) => unusable = Some(supervisor.speechless()),
                    },
                }
            }
            let Some(refused) = unusable else { return Ok(None) };
            // A supervisor that is about to end is gone in a moment; one with too many connections may have
            // fewer then.
            if limit.until.is_some_and(|until| until <= Instant::now()) {
                return Err(refused.into());
            }
            if limit.interrupt.is_some_and(|(interrupt, seen)| interrupt.count() > seen) {
                return Err(EnvError::Interrupted.into());
            }
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }

    /// Connects to the supervisor, which is started if necessary.
    ///
    /// # Errors
    ///
    /// No supervisor can be reached or started; [`EnvError::Interrupted`].
    pub fn connect_or_start(
        place: &SupervisorLocation,
        program: &SupervisorProgram,
        name: &str,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let limit = WaitLimit { interrupt: Some((interrupt, 0)), until: Some(deadline) };
        loop {
            if let Some(client) = Self::find(place, name, &limit)? {
                return Ok(client);
            }
            refuse_other_user(place)?;
            if let Some(lock) = place.try_lock()? {
                let (stream, place) = start(place.clone(), program, lock)?;
                if let Greeted::Welcome(client) = Self::greet(stream, &place, name, &limit)? {
                    return Ok(*client);
                }
            }
            if interrupt.requested() {
                return Err(EnvError::Interrupted.into());
            }
            if Instant::now() >= deadline {
                bail!("the supervisor did not start; see {}", place.state_dir.join("supervisor.log").display());
            }
            // Another client is starting one, or one is about to end.
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }

    pub(super) fn greet(
        stream: UnixStream,
        place: &SupervisorLocation,
        name: &str,
        limit: &WaitLimit<'_>,
    ) -> Result<Greeted> {
        let (bytes, events) = (Vec::new(), VecDeque::new());
        let supervisor = SupervisorProcess::at(place);
        let mut client = Self { stream, bytes, searched: 0, events, last_id: 0, supervisor, shown_to: None };
        let state = place.state_dir.to_str().map(PathBuf::from);
        let hello = ClientOperation::Hello { protocol: VERSION, client: name.to_owned(), state };
        let Ok(id) = client.send(hello) else { return Ok(Greeted::Dropped(client.supervisor)) };
        loop {
            match client.receive(limit)? {
                ClientMessage::Answer(_, Err(RefusedRequest(refusal))) if refusal.kind == OTHER_PROJECT => {
                    return Ok(Greeted::Elsewhere);
                }
                ClientMessage::Answer(answered, answer) if answered == id || answered == 0 => {
                    if let ReplyBody::Greeting(greeting) = answer? {
                        client.supervisor.pid = Some(greeting.pid);
                    }
                    return Ok(Greeted::Welcome(Box::new(client)));
                }
                ClientMessage::End => return Ok(Greeted::Dropped(client.supervisor)),
                ClientMessage::Interrupted => return Err(EnvError::Interrupted.into()),
                ClientMessage::Late => return Err(client.supervisor.silent().into()),
                _ => {}
            }
        }
    }

    /// Sends a request; its reply arrives through [`Self::receive`].
    pub fn send(&mut self, operation: ClientOperation) -> Result<u64> {
        self.last_id += 1;
        self.send_as(self.last_id, operation, &WaitLimit::default())?;
        Ok(self.last_id)
    }

    /// [`Self::send`] with the caller's own request number.
    ///
    /// # Errors
    ///
    /// Like [`Self::send`], and [`EnvError::Interrupted`].
    pub fn send_as(&mut self, id: u64, operation: ClientOperation, limit: &WaitLimit<'_>) -> Result<()> {
        let line = protocol::to_line(&ClientRequest { id, operation })?;
        if line.len() > protocol::LONGEST_LINE {
            bail!("the variables or commands of the services are too large for their supervisor");
        }
        let mut rest = &line[..];
        while !rest.is_empty() {
            match sockets::send_now(&self.stream, rest) {
                Ok(length) => rest = &rest[length..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let limit = WaitLimit { until: Some(Instant::now() + PATIENCE), ..*limit };
                    match self.wait(PollFlags::OUT, &limit) {
                        Some(ClientMessage::Interrupted) => return Err(EnvError::Interrupted.into()),
                        Some(_) => return Err(self.supervisor.silent().into()),
                        None => {}
                    }
                }
                Err(errno) => return Err(anyhow!(errno).context("the supervisor of the services has ended")),
            }
        }
        Ok(())
    }

    /// Waits for the end of a supervisor that has nothing left to do.
    pub fn wait_for_end(self) {
        let Some(pid) = self.supervisor.pid else { return };
        let started = tree::start_time(pid);
        drop(self.stream);
        let same = || tree::is_running(pid) && tree::start_time(pid) == started;
        tree::wait_until_gone_or(&|| if same() { vec![pid] } else { Vec::new() }, LAST_PATIENCE);
    }

    /// From now on the end of the reader of standard output counts as an interrupt: `serve | head` ends with
    /// `head`.
    pub fn serve_reader(&mut self) {
        self.shown_to = io::stdout().as_fd().try_clone_to_owned().ok();
    }

    /// A second handle for writing to the same connection.
    pub fn try_clone_stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Sends a request and waits for its reply. Events that arrive earlier are kept for [`Self::receive`].
    ///
    /// # Errors
    ///
    /// [`RefusedRequest`]; the end of the supervisor.
    pub fn request(&mut self, operation: ClientOperation) -> Result<ReplyBody> {
        self.request_within(operation, &WaitLimit::default())
    }

    /// Sends a request that can be answered at once.
    pub fn request_promptly(&mut self, operation: ClientOperation) -> Result<ReplyBody> {
        self.request_within(operation, &WaitLimit::of(PROMPT))
    }

    fn request_within(&mut self, operation: ClientOperation, limit: &WaitLimit<'_>) -> Result<ReplyBody> {
        let id = self.send(operation)?;
        loop {
            match self.take(limit)? {
                ClientMessage::Answer(answered, answer) if answered == id => return answer.map_err(anyhow::Error::new),
                ClientMessage::Answer(0, Err(refused)) => return Err(refused.into()),
                ClientMessage::Event(event) => self.events.push_back(event),
                ClientMessage::End => bail!("the supervisor of the services has ended"),
                ClientMessage::Late => return Err(self.supervisor.silent().into()),
                ClientMessage::Answer(..) | ClientMessage::Interrupted => {}
            }
        }
    }

    /// Waits for the next event or reply, or for the end of the wait.
    pub fn receive(&mut self, limit: &WaitLimit<'_>) -> Result<ClientMessage> {
        match self.events.pop_front() {
            Some(event) => Ok(ClientMessage::Event(event)),
            None => self.take(limit),
        }
    }

    fn take(&mut self, limit: &WaitLimit<'_>) -> Result<ClientMessage> {
        loop {
            if let Some(line) = self.line() {
                let reply = serde_json::from_slice(&line)
                    .context("the supervisor sent a message that this envo cannot read")?;
                return Ok(match reply {
                    Reply::Answer { id, ok } => ClientMessage::Answer(id, Ok(ok)),
                    Reply::Refusal { id, error } => ClientMessage::Answer(id, Err(RefusedRequest(error))),
                    Reply::Event(event) => ClientMessage::Event(event),
                });
            }
            if let Some(message) = self.wait(PollFlags::IN, limit) {
                return Ok(message);
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(ClientMessage::End),
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(ClientMessage::End),
                Err(error) => return Err(anyhow!(error).context("the connection to the supervisor has failed")),
            }
        }
    }

    /// Waits until the connection is ready; returns what ended the wait instead.
    fn wait(&mut self, readiness: PollFlags, limit: &WaitLimit<'_>) -> Option<ClientMessage> {
        let mut waiting = vec![PollFd::new(&self.stream, readiness)];
        let shown = self.shown_to.as_ref().filter(|_| limit.interrupt.is_some());
        waiting.extend(shown.map(|output| PollFd::new(output, PollFlags::empty())));
        let watched = waiting.len();
        if let Some((interrupt, seen)) = limit.interrupt {
            if interrupt.count() > seen {
                return Some(ClientMessage::Interrupted);
            }
            // Only the first two interrupts can be waited for.
            let notice = interrupt.notice(seen).filter(|_| seen < 2);
            waiting.extend(notice.map(|notice| PollFd::from_borrowed_fd(notice, PollFlags::IN)));
        }
        loop {
            let left = limit.until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ });
            match poll(&mut waiting, left.as_ref()) {
                Ok(0) => return Some(ClientMessage::Late),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        let happened = |at: usize| waiting.get(at).is_some_and(|one| !one.revents().is_empty());
        let (interrupted, unread) = (happened(watched), watched > 1 && happened(1));
        if unread {
            // That is reported once.
            self.shown_to = None;
        }
        (interrupted || unread).then_some(ClientMessage::Interrupted)
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        match self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = self.bytes.drain(..=self.searched + end).collect();
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.bytes.len();
                None
            }
        }
    }
}

/// Refuses to use another user's supervisor.
fn refuse_other_user(place: &SupervisorLocation) -> Result<()> {
    let Some(OtherUser { name, pid }) = place.other_user() else { return Ok(()) };
    let (text, hint) = match pid {
        Some(pid) => (
            format!("the services of this project belong to another user: `{name}` runs their supervisor (pid {pid})"),
            format!("`envo down` as `{name}` stops them"),
        ),
        None => (
            format!("the services of this project belong to another user, `{name}`"),
            format!("run envo as `{name}`, or remove {}", place.state_dir.display()),
        ),
    };
    let mut refusal = RequestRefusal::new("user", text);
    refusal.hints.push(hint);
    Err(RefusedRequest(refusal).into())
}

/// Starts a supervisor and connects to it. It can be connected to before it runs, since this process creates
/// its socket.
fn start(
    mut place: SupervisorLocation,
    program: &SupervisorProgram,
    lock: File,
) -> Result<(UnixStream, SupervisorLocation)> {
    let listened = place.listen();
    let listener = listened.with_context(|| format!("cannot listen at {}", place.socket.display()))?;
    private::log_folder(&place.state_dir.join("log"))?;
    let log = place.state_dir.join("supervisor.log");
    // The log may be a link to that of another project.
    let _ = std::fs::remove_file(&log);
    let log = private::open(&log, File::options().create_new(true).write(true))?;
    let user_dir = place.user_dir.clone().unwrap_or_default();
    let mark = instance_mark::supervisor(&instance_mark::project(&place.state_dir));
    let state_dir = place.state_dir.clone().into_os_string();
    let arguments = [SUPERVISOR_VERB.into(), state_dir, user_dir.into_os_string(), mark.into()];
    let mut spawn = Spawn::new(&program.0, arguments, EnvVariables::default());
    spawn.stdin = ChildInput::From(OwnedFd::from(listener));
    spawn.stdout = ChildOutput::To(OwnedFd::from(lock));
    spawn.stderr = ChildOutput::To(OwnedFd::from(log));
    spawn.grouping = ProcessGrouping::Session;
    let socket = tree::without_adopting(|| -> io::Result<UnixStream> {
        let mut child = spawn.start()?;
        let socket = UnixStream::connect(&place.socket);
        // The started process leaves the supervisor behind as an orphan.
        child.reap()?;
        socket
    });
    Ok((socket.context("cannot start the supervisor of the services")?, place))
}

impl AsFd for SupervisorClient {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
