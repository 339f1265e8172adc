//! Finding out whether a service can be used: one thread for each question, so that no answer that is slow to come holds
//! up the supervisor. What a service writes (`log:`) is watched where its output is read.

mod cancel;
mod http;
mod notify;
mod tls;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use cancel::{Cancel, Canceller};
pub use notify::Notify;

use crate::execute::process::{Grouping, Sink, Spawn};
use crate::model::Variables;

/// The first and shortest pause between two attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The longest as long as somebody is likely to wait for the answer: readiness is to be seen within 50 ms, the attempt
/// itself included.
const LONGEST_PAUSE_AT_FIRST: Duration = Duration::from_millis(25);
/// How long that is.
const AT_FIRST: Duration = Duration::from_secs(20);
/// The longest of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one attempt over the network may take.
const NETWORK_PATIENCE: Duration = Duration::from_secs(2);
/// How often a service is asked whether it is alive: rarely while it is, since that costs everybody something as long as
/// services run, and again soon when it did not answer. Three answers in a row are missing within 3 s.
const ALIVE_PAUSE: Duration = Duration::from_secs(2);
const NOT_ALIVE_PAUSE: Duration = Duration::from_millis(500);
/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// A question that is asked again until the answer is yes. Its fields are filled in.
#[derive(Debug)]
pub enum Question {
    Http { url: http::Url, status: Option<u16> },
    Tcp { host: String, port: u16 },
    Unix { path: PathBuf },
    Command { argv: Vec<String>, cwd: PathBuf, variables: Variables },
    Notify(Notify),
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// It can never be yes, for this reason.
    Never(String),
    /// Nobody wants to know any more.
    Cancelled,
}

impl Question {
    /// A question about an HTTP address.
    ///
    /// # Errors
    /// Why the address cannot be asked, in words.
    pub fn http(url: &str, status: Option<u16>) -> Result<Self, String> {
        Ok(Self::Http { url: http::Url::parse(url)?, status })
    }

    /// A question about a TCP address, `HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with the address, in words.
    pub fn tcp(address: &str) -> Result<Self, String> {
        let wrong = || format!("`{address}` is not HOST:PORT");
        let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
    }

    /// Asks until the answer is yes or nobody wants to know.
    pub fn ask(&self, cancel: &Cancel) -> Answer {
        let start = Instant::now();
        loop {
            let attempt = Instant::now();
            match self.attempt(cancel) {
                Ok(true) => return Answer::Yes,
                Ok(false) => {}
                Err(reason) => return Answer::Never(reason),
            }
            let pause = match self.is_cheap() {
                true => pause(start.elapsed()).min(LONGEST_PAUSE_AT_FIRST),
                // One that takes its time leaves the machine to the service for as long.
                false => pause(start.elapsed()).max(attempt.elapsed().min(LONGEST_PAUSE)),
            };
            if cancel.wait(pause) {
                return Answer::Cancelled;
            }
        }
    }

    /// Whether to ask costs next to nothing, neither here nor there: nobody is connected before the answer is yes.
    fn is_cheap(&self) -> bool {
        matches!(self, Self::Tcp { .. } | Self::Unix { .. } | Self::Notify(_))
    }

    /// Asks one time.
    pub fn ask_once(&self, cancel: &Cancel) -> bool {
        self.attempt(cancel) == Ok(true)
    }

    /// Asks again and again and tells the answers, until nobody wants to know or `tell` says so: each no, and the first
    /// yes after one.
    pub fn ask_for_ever(&self, cancel: &Cancel, tell: impl Fn(bool) -> bool) {
        let mut alive = true;
        while !cancel.wait(if alive { until_next(ALIVE_PAUSE) } else { NOT_ALIVE_PAUSE }) {
            let before = std::mem::replace(&mut alive, self.ask_once(cancel));
            // What has been said already wakes nobody.
            if !(before && alive) && (cancel.wait(Duration::ZERO) || !tell(alive)) {
                return;
            }
        }
    }

    /// One attempt. The error is a reason why it will never succeed.
    fn attempt(&self, cancel: &Cancel) -> Result<bool, String> {
        match self {
            Self::Http { url, status } => Ok(http::answers(url, *status, NETWORK_PATIENCE)),
            Self::Tcp { host, port } => Ok(connect(host, *port, NETWORK_PATIENCE).is_some()),
            Self::Unix { path } => Ok(UnixStream::connect(path).is_ok()),
            Self::Command { argv, cwd, variables } => succeeds(argv, cwd, variables, cancel),
            Self::Notify(socket) => Ok(socket.wait(cancel)),
        }
    }
}

/// Attempts come often at first and more rarely later: an eighth of the time that has passed.
fn pause(elapsed: Duration) -> Duration {
    let longest = LONGEST_PAUSE_AT_FIRST.max(elapsed.saturating_sub(AT_FIRST) / 8).min(LONGEST_PAUSE);
    (elapsed / 8).clamp(SHORTEST_PAUSE, longest)
}

/// How long it is until the system's clock has gone on by another whole `pause`, of which everybody's ends at once: the
/// processor wakes up one time for all that are to be asked.
fn until_next(pause: Duration) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0));
    pause - Duration::from_nanos(u64::try_from(now.as_nanos() % pause.as_nanos().max(1)).unwrap_or(0))
}

/// A connection to the first address of `host` that takes one.
fn connect(host: &str, port: u16, patience: Duration) -> Option<TcpStream> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().ok()?.collect();
    addresses.iter().find_map(|address| TcpStream::connect_timeout(address, patience).ok())
}

fn succeeds(argv: &[String], cwd: &std::path::Path, variables: &Variables, cancel: &Cancel) -> Result<bool, String> {
    let (program, arguments) = argv.split_first().ok_or("there is no command in it")?;
    let mut spawn = Spawn::new(program, arguments, variables.clone());
    spawn.cwd = Some(cwd.to_path_buf());
    (spawn.stdout, spawn.stderr) = (Sink::Null, Sink::Null);
    spawn.grouping = Grouping::Group;
    let mut child = match spawn.start() {
        Ok(child) => child,
        Err(error) => return Err(format!("`{program}` cannot be started: {error}")),
    };
    let Ok(exit) = child.exit_notice() else { return Ok(child.reap().is_ok_and(|code| code == 0)) };
    if !cancel.wait_for(&exit, COMMAND_PATIENCE) {
        // What it started belongs to its group; the group is gone before its number is given back by reaping.
        let _ = child.signal_group(rustix::process::Signal::KILL);
    }
    Ok(child.reap().is_ok_and(|code| code == 0))
}

#[cfg(test)]
mod tests;
