//! The client's side of a connection to a supervisor: finding one or starting one, asking, and hearing news.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::daemon;
use super::place::Place;
use super::protocol::{self, Answer, News, Operation, Refusal, Reply, Request, VERSION};
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{Grouping, Input, Sink, Spawn};
use crate::execute::tree;
use crate::model::Variables;

/// How long a supervisor may take to end or to begin before a client gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a supervisor that has nothing left to do may take to end before a client goes on.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait before asking again whether a supervisor has begun or ended.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 3_000_000 };

/// How a supervisor is started: envo itself with its hidden verb.
#[derive(Debug, Clone)]
pub struct SupervisorProgram(pub PathBuf);

impl Default for SupervisorProgram {
    fn default() -> Self {
        // The link works even when the file was replaced while envo runs; its name is less telling in a list of processes.
        let own = std::env::current_exe().ok().filter(|path| path.exists());
        Self(own.unwrap_or_else(|| PathBuf::from("/proc/self/exe")))
    }
}

/// A refusal as an error, told with what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.explained())]
pub struct Refused(pub Refusal);

/// What a client heard.
#[derive(Debug)]
pub enum Heard {
    Answer(u64, Result<Answer, Refused>),
    News(News),
    /// The user has interrupted more often than before.
    Interrupted,
    /// The supervisor has gone.
    End,
}

pub struct Client {
    stream: UnixStream,
    /// What came and was not taken yet.
    bytes: Vec<u8>,
    /// How much of it has been looked through for the end of a line.
    searched: usize,
    news: VecDeque<News>,
    last_id: u64,
    /// The supervisor's process.
    supervisor: u32,
    /// Where this process shows what it hears; when nobody reads that any more, it is as if the user had interrupted.
    shown_to: Option<OwnedFd>,
}

impl Client {
    /// Speaks to the supervisor that runs; `None`: none does. `name`: who asks, for `ps`.
    ///
    /// # Errors
    /// When the supervisor speaks another version of the protocol.
    pub fn connect(place: &Place, name: &str) -> Result<Option<Self>> {
        match place.connect() {
            Some(stream) => Self::greet(stream, name),
            None => Ok(None),
        }
    }

    /// Speaks to the supervisor, which is started if there is none.
    ///
    /// # Errors
    /// When none can be had.
    pub fn connect_or_start(place: &Place, program: &SupervisorProgram, name: &str) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(client) = Self::connect(place, name)? {
                return Ok(client);
            }
            if let Some(lock) = place.try_lock()?
                && let Some(client) = start(place, program, lock).map(|stream| Self::greet(stream, name))??
            {
                return Ok(client);
            }
            if Instant::now() >= deadline {
                bail!(
                    "the supervisor of the services does not begin; {} may say why",
                    place.state_dir.join("supervisor.log").display()
                );
            }
            // Another client is starting one, or one is about to be gone.
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }

    /// `None`: the supervisor was about to end.
    fn greet(stream: UnixStream, name: &str) -> Result<Option<Self>> {
        let (bytes, news) = (Vec::new(), VecDeque::new());
        let mut client = Self { stream, bytes, searched: 0, news, last_id: 0, supervisor: 0, shown_to: None };
        let hello = Operation::Hello { protocol: VERSION, client: name.to_owned() };
        let Ok(id) = client.send(hello) else { return Ok(None) };
        loop {
            match client.hear(None)? {
                Heard::Answer(answered, answer) if answered == id || answered == 0 => {
                    if let Answer::Greeting(greeting) = answer? {
                        client.supervisor = greeting.pid;
                    }
                    return Ok(Some(client));
                }
                Heard::End => return Ok(None),
                _ => {}
            }
        }
    }

    /// Asks; the answer comes by [`Client::hear`].
    ///
    /// # Errors
    /// When the supervisor has gone.
    pub fn send(&mut self, operation: Operation) -> Result<u64> {
        self.last_id += 1;
        let line = protocol::to_line(&Request { id: self.last_id, operation })?;
        if line.len() > protocol::LONGEST_LINE {
            bail!("the services have too large variables or commands to be told to their supervisor");
        }
        self.stream.write_all(&line).context("the supervisor of the services has gone")?;
        Ok(self.last_id)
    }

    /// Waits until the supervisor, which has nothing left to do, is gone with its connection.
    pub fn see_it_end(self) {
        let pid = self.supervisor;
        let started = tree::start_time(pid);
        drop(self.stream);
        let same = || tree::is_running(pid) && tree::start_time(pid) == started;
        tree::wait_until_gone_or(&|| if same() { vec![pid] } else { Vec::new() }, LAST_PATIENCE);
    }

    /// From now on this process is there for whoever reads its standard output: `serve | head` ends with `head`.
    pub fn serve_reader(&mut self) {
        self.shown_to = io::stdout().as_fd().try_clone_to_owned().ok();
    }

    /// Another way to write to the same connection.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn try_clone_stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Asks and waits for the answer. News that come before are kept for [`Client::hear`].
    ///
    /// # Errors
    /// [`Refused`]; the supervisor has gone.
    pub fn ask(&mut self, operation: Operation) -> Result<Answer> {
        let id = self.send(operation)?;
        loop {
            match self.take(None)? {
                Heard::Answer(answered, answer) if answered == id => return answer.map_err(anyhow::Error::new),
                Heard::Answer(0, Err(refused)) => return Err(refused.into()),
                Heard::News(news) => self.news.push_back(news),
                Heard::End => bail!("the supervisor of the services has gone"),
                Heard::Answer(..) | Heard::Interrupted => {}
            }
        }
    }

    /// Waits for what comes next: news, an answer, or the user's interrupt beyond the first `seen`.
    ///
    /// # Errors
    /// When the connection fails or what comes cannot be understood.
    pub fn hear(&mut self, interrupt: Option<(&Interrupt, usize)>) -> Result<Heard> {
        match self.news.pop_front() {
            Some(news) => Ok(Heard::News(news)),
            None => self.take(interrupt),
        }
    }

    fn take(&mut self, interrupt: Option<(&Interrupt, usize)>) -> Result<Heard> {
        loop {
            if let Some(line) = self.line() {
                let reply = serde_json::from_slice(&line).context("the supervisor says what this envo cannot read")?;
                return Ok(match reply {
                    Reply::Answer { id, ok } => Heard::Answer(id, Ok(ok)),
                    Reply::Refusal { id, error } => Heard::Answer(id, Err(Refused(error))),
                    Reply::News(news) => Heard::News(news),
                });
            }
            if let Some((interrupt, seen)) = interrupt
                && self.interrupted(interrupt, seen)
            {
                return Ok(Heard::Interrupted);
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Heard::End),
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Heard::End),
                Err(error) => return Err(anyhow!(error).context("the connection to the supervisor has failed")),
            }
        }
    }

    /// Waits until there is something to read; whether the user has interrupted instead.
    fn interrupted(&mut self, interrupt: &Interrupt, seen: usize) -> bool {
        if interrupt.count() > seen {
            return true;
        }
        // Only the first two can be waited for.
        let Some(notice) = interrupt.notice(seen).filter(|_| seen < 2) else { return false };
        let mut waiting = vec![PollFd::new(&self.stream, PollFlags::IN), PollFd::new(&notice, PollFlags::IN)];
        waiting.extend(self.shown_to.iter().map(|output| PollFd::new(output, PollFlags::empty())));
        while matches!(poll(&mut waiting, None), Err(rustix::io::Errno::INTR)) {}
        let interrupted = !waiting[1].revents().is_empty();
        let unread = waiting.get(2).is_some_and(|output| !output.revents().is_empty());
        if unread {
            // That is told once.
            self.shown_to = None;
        }
        interrupted || unread
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

/// Starts a supervisor and connects to it. It listens before it runs, since this process made its socket.
fn start(place: &Place, program: &SupervisorProgram, lock: File) -> Result<UnixStream> {
    let listener = place.listen().with_context(|| format!("cannot listen at {}", place.socket.display()))?;
    let log = File::create(place.state_dir.join("supervisor.log"))?;
    let user_dir = place.user_dir.clone().unwrap_or_default();
    let arguments = [daemon::VERB.into(), place.state_dir.clone().into_os_string(), user_dir.into_os_string()];
    let mut spawn = Spawn::new(&program.0, arguments, Variables::default());
    spawn.stdin = Input::From(OwnedFd::from(listener));
    spawn.stdout = Sink::To(OwnedFd::from(lock));
    spawn.stderr = Sink::To(OwnedFd::from(log));
    spawn.grouping = Grouping::Session;
    let socket = tree::without_adopting(|| -> io::Result<UnixStream> {
        let mut child = spawn.start()?;
        let socket = UnixStream::connect(&place.socket);
        // It leaves the supervisor behind, for nobody to wait for.
        child.reap()?;
        socket
    });
    socket.context("cannot start the supervisor of the services")
}

impl AsFd for Client {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
