//! Finding out whether a service can be used: one thread for each question, so that no answer that is slow to come holds
//! up the supervisor. What a service writes (`log:`) is watched where its output is read.

mod cancel;
mod command;
mod http;
mod limits;
mod notify;
mod observation;
mod tls;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use crate::serve::probe::limits::socket;
pub use crate::serve::probe::observation::{LastObservation, ProbeObservation, excerpt};
pub use cancel::{CancellableWait, Canceller};
pub use notify::NotifySocket;

use crate::model::EnvVariables;
use crate::serve::ports::listening_below;
use crate::serve::probe::limits::ProbeLimits;

/// The first and shortest pause between two attempts, and the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest as long as nothing listens and somebody is likely to wait for the answer: readiness is to be seen within
/// 50 ms, the attempt itself included.
const LONGEST_PAUSE_AT_FIRST: Duration = Duration::from_millis(25);
/// How long that is.
const AT_FIRST: Duration = Duration::from_secs(20);
/// How often a service is asked whether it is alive: rarely while it is, since that costs everybody something as long as
/// services run, and again soon when it did not answer.
const ALIVE_PAUSE: Duration = Duration::from_secs(2);
const NOT_ALIVE_PAUSE: Duration = Duration::from_millis(500);
/// When it is first looked where else a service listens.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// A wait has to end some time; it is begun again.
const LONG: Duration = Duration::from_secs(3600);

/// A question that is asked again until the answer is yes. Its fields are filled in.
#[derive(Debug)]
pub enum ReadinessQuestion {
    Http { url: http::ProbeUrl, status: Option<u16> },
    Tcp { host: String, port: u16 },
    Unix { path: PathBuf },
    Command { argv: Vec<String>, cwd: PathBuf, variables: EnvVariables },
    Notify(NotifySocket),
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    Yes,
    /// It can never be yes, for this reason.
    Never(String),
    /// Nobody wants to know any more.
    Cancelled,
}

/// Why an attempt was no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeMiss {
    Seen(ProbeObservation),
    /// It will never succeed, for this reason.
    Never(String),
}

/// How a question is asked.
#[derive(Debug)]
pub struct ProbeContext {
    pub cancel: CancellableWait,
    /// How long one attempt may take.
    pub patience: Duration,
    /// Where it is left what the last attempt saw.
    pub seen: LastObservation,
}

/// What is known of a service that is asked whether it is ready.
#[derive(Debug, Clone, Copy)]
pub struct ProbedService {
    /// How long it has for that.
    pub left: Duration,
    /// The process below which all of it runs.
    pub root: Option<u32>,
}

impl ReadinessQuestion {
    /// A question about an HTTP address.
    pub fn http(url: &str, status: Option<u16>) -> Result<Self, String> {
        Ok(Self::Http { url: http::ProbeUrl::parse(url)?, status })
    }

    /// A question about a TCP address, `HOST:PORT`.
    pub fn tcp(address: &str) -> Result<Self, String> {
        let wrong = || format!("`{address}` is not HOST:PORT");
        let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
    }

    /// Asks until the answer is yes or nobody wants to know.
    pub fn probe(&self, asking: &ProbeContext, subject: ProbedService) -> ProbeResult {
        if let Self::Notify(socket) = self {
            return if socket.wait(&asking.cancel) { ProbeResult::Yes } else { ProbeResult::Cancelled };
        }
        let begin = Instant::now();
        // When somebody was asked first: nothing grows from knocking where nobody is.
        let mut heard = None;
        let mut listens = ListeningPorts { addresses: None, next_look: FIRST_LOOK.min(subject.left / 2) };
        loop {
            let left = subject.left.saturating_sub(begin.elapsed());
            if left.is_zero() {
                // Too late: this is about to be cancelled, and what was seen before is what counts.
                while !asking.cancel.wait(LONG) {}
                return ProbeResult::Cancelled;
            }
            let attempt = Instant::now();
            asking.seen.begin();
            let mut seen = match self.attempt(&ProbeLimits::new(asking.patience.min(left), &asking.cancel)) {
                Ok(()) => return ProbeResult::Yes,
                Err(ProbeMiss::Never(reason)) => return ProbeResult::Never(reason),
                Err(ProbeMiss::Seen(seen)) => seen,
            };
            let is_free = self.needs_no_connection(&seen);
            if let (ProbeObservation::Refused { listens: found }, Self::Http { .. } | Self::Tcp { .. }) =
                (&mut seen, self)
            {
                *found = listens.look(begin.elapsed(), subject.root);
            }
            asking.seen.end(seen);
            let pause = match is_free {
                true => pause_at_the_door(begin.elapsed()),
                // One that takes its time leaves the machine to the service for as long.
                false => pause(heard.get_or_insert(attempt).elapsed()).max(attempt.elapsed().min(LONGEST_PAUSE)),
            };
            if asking.cancel.wait(pause) {
                return ProbeResult::Cancelled;
            }
        }
    }

    /// Whether an attempt that saw this costs next to nothing, neither here nor there.
    fn needs_no_connection(&self, seen: &ProbeObservation) -> bool {
        match self {
            Self::Tcp { .. } | Self::Unix { .. } | Self::Notify(_) => true,
            Self::Http { .. } => matches!(seen, ProbeObservation::Refused { .. }),
            Self::Command { .. } => false,
        }
    }

    /// Asks one time.
    pub fn probe_once(&self, asking: &ProbeContext) -> bool {
        asking.seen.begin();
        match self.attempt(&ProbeLimits::new(asking.patience, &asking.cancel)) {
            Ok(()) => true,
            Err(ProbeMiss::Seen(seen)) => {
                asking.seen.end(seen);
                false
            }
            Err(ProbeMiss::Never(reason)) => {
                asking.seen.end(ProbeObservation::Trouble(reason));
                false
            }
        }
    }

    /// Asks again and again and tells the answers, until nobody wants to know or `tell` says so: each no, and the first
    /// yes after one.
    pub fn probe_until_cancelled(&self, asking: &ProbeContext, tell: impl Fn(bool) -> bool) {
        let mut alive = true;
        while !asking.cancel.wait(if alive { until_next(ALIVE_PAUSE) } else { NOT_ALIVE_PAUSE }) {
            let before = std::mem::replace(&mut alive, self.probe_once(asking));
            // What has been said already wakes nobody.
            if !(before && alive) && (asking.cancel.is_cancelled() || !tell(alive)) {
                return;
            }
        }
    }

    fn attempt(&self, patience: &ProbeLimits) -> Result<(), ProbeMiss> {
        match self {
            Self::Http { url, status } => http::answers(url, *status, patience).map_err(ProbeMiss::Seen),
            Self::Tcp { host, port } => limits::connect_tcp(host, *port, patience).map(drop).map_err(ProbeMiss::Seen),
            Self::Unix { path } => limits::connect_unix(path).map_err(ProbeMiss::Seen),
            Self::Command { argv, cwd, variables } => command::run(argv, cwd, variables, patience),
            // Only a start is waited for.
            Self::Notify(_) => Err(ProbeMiss::Never("`notify` answers only once".to_owned())),
        }
    }
}

/// Where a service listens instead of where it is asked: looked for now and then.
struct ListeningPorts {
    addresses: Option<Vec<std::net::SocketAddr>>,
    next_look: Duration,
}

impl ListeningPorts {
    fn look(&mut self, elapsed: Duration, root: Option<u32>) -> Option<Vec<std::net::SocketAddr>> {
        if elapsed >= self.next_look {
            self.next_look = elapsed + pause(elapsed);
            self.addresses = root.and_then(listening_below);
        }
        self.addresses.clone()
    }
}

/// Attempts come often at first and more rarely later: a quarter of the time that has passed.
fn pause(elapsed: Duration) -> Duration {
    (elapsed / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// The same where nobody answers who could be disturbed.
fn pause_at_the_door(elapsed: Duration) -> Duration {
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

#[cfg(test)]
mod tests;
