//! Probes whether a service can be used: one thread for each probe, so that no slow response delays the
//! supervisor. Output of a service (`log:`) is matched where it is read.

mod cancel;
mod command;
mod http;
mod limits;
mod notify;
mod observation;
mod tls;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use crate::serve::probe::observation::{LastObservation, ProbeObservation, excerpt};
pub use cancel::{CancellableWait, Canceller};
pub use notify::NotifySocket;

use crate::model::EnvVariables;
use crate::redaction::Redactor;
use crate::serve::ports::listening_below;
use crate::serve::probe::limits::ProbeLimits;

/// The shortest pause between two attempts, which is the first.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause while nothing listens and a user is likely to wait: readiness should be seen within 50
/// ms, including the attempt.
const LONGEST_PAUSE_AT_FIRST: Duration = Duration::from_millis(25);
/// How long that is.
const AT_FIRST: Duration = Duration::from_secs(20);
/// The pause between `alive` probes of a healthy service, long since each probe costs time for as long as
/// services run; after a failure the next one follows soon.
const ALIVE_PAUSE: Duration = Duration::from_secs(2);
const NOT_ALIVE_PAUSE: Duration = Duration::from_millis(500);
/// When the probe first looks for other addresses the service listens on.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// An arbitrary limit; the wait is repeated.
const LONG: Duration = Duration::from_secs(3600);

/// A probe that is repeated until it succeeds. Its fields are filled in.
#[derive(Debug)]
pub enum ReadinessQuestion {
    Http { url: http::ProbeUrl, status: Option<u16> },
    Tcp { host: String, port: u16 },
    Unix { path: PathBuf },
    Command { argv: Vec<String>, cwd: PathBuf, variables: EnvVariables, redactor: Redactor },
    Notify(NotifySocket),
}

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    Yes,
    /// It can never succeed, for this reason.
    Never(String),
    /// The result is no longer needed.
    Cancelled,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeMiss {
    Seen(ProbeObservation),
    /// It will never succeed, for this reason.
    Never(String),
}

impl ProbeMiss {
    fn redacted(self, redactor: &Redactor) -> Self {
        match self {
            Self::Seen(ProbeObservation::Exit { code, lines }) => {
                let lines = lines.iter().map(|line| redactor.text(line)).collect();
                Self::Seen(ProbeObservation::Exit { code, lines })
            }
            other => other,
        }
    }
}

/// How a probe is run.
#[derive(Debug)]
pub struct ProbeContext {
    pub cancel: CancellableWait,
    /// How long one attempt may take.
    pub patience: Duration,
    /// Receives what the last attempt saw.
    pub seen: LastObservation,
}

/// The service whose readiness is probed.
#[derive(Debug, Clone, Copy)]
pub struct ProbedService {
    /// How much time it has left.
    pub left: Duration,
    /// The process that is the ancestor of all its processes.
    pub root: Option<u32>,
}

impl ReadinessQuestion {
    /// A probe of an HTTP address.
    pub fn http(url: &str, status: Option<u16>) -> Result<Self, String> {
        Ok(Self::Http { url: http::ProbeUrl::parse(url)?, status })
    }

    /// A probe of a TCP address, `HOST:PORT`.
    pub fn tcp(address: &str) -> Result<Self, String> {
        let wrong = || format!("`{address}` is not HOST:PORT");
        let (host, port) = address.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
    }

    /// Repeats the probe until it succeeds or is cancelled.
    pub fn probe(&self, asking: &ProbeContext, subject: ProbedService) -> ProbeResult {
        if let Self::Notify(socket) = self {
            return if socket.wait(&asking.cancel) { ProbeResult::Yes } else { ProbeResult::Cancelled };
        }
        let begin = Instant::now();
        // When the service was first reached: attempts to connect to nothing do not lengthen the pause.
        let mut first_contact = None;
        let mut listens = ListeningPorts { addresses: None, next_look: FIRST_LOOK.min(subject.left / 2) };
        loop {
            let left = subject.left.saturating_sub(begin.elapsed());
            if left.is_zero() {
                // Too late: this is about to be cancelled, and the earlier observation counts.
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
                // After a slow attempt the pause is as long, to leave the machine to the service.
                false => {
                    pause(first_contact.get_or_insert(attempt).elapsed()).max(attempt.elapsed().min(LONGEST_PAUSE))
                }
            };
            if asking.cancel.wait(pause) {
                return ProbeResult::Cancelled;
            }
        }
    }

    /// Whether such an attempt costs next to nothing on either side.
    fn needs_no_connection(&self, seen: &ProbeObservation) -> bool {
        match self {
            Self::Tcp { .. } | Self::Unix { .. } | Self::Notify(_) => true,
            Self::Http { .. } => matches!(seen, ProbeObservation::Refused { .. }),
            Self::Command { .. } => false,
        }
    }

    /// Probes once.
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

    /// Repeats the probe and reports results, until it is cancelled or `tell` returns false: each failure,
    /// and the first success after one.
    pub fn probe_until_cancelled(&self, asking: &ProbeContext, tell: impl Fn(bool) -> bool) {
        let mut alive = true;
        while !asking.cancel.wait(if alive { until_next(ALIVE_PAUSE) } else { NOT_ALIVE_PAUSE }) {
            let before = std::mem::replace(&mut alive, self.probe_once(asking));
            // A result that was reported before is not reported again.
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
            Self::Command { argv, cwd, variables, redactor } => {
                command::run(argv, cwd, variables, patience).map_err(|miss| miss.redacted(redactor))
            }
            // Only a start can wait for a notification.
            Self::Notify(_) => Err(ProbeMiss::Never("`notify` answers only once".to_owned())),
        }
    }
}

/// The other addresses that a service listens on, searched at intervals.
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

/// Attempts are frequent at first and rarer later: a quarter of the time that has passed.
fn pause(elapsed: Duration) -> Duration {
    (elapsed / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// The same while nothing listens that could be disturbed.
fn pause_at_the_door(elapsed: Duration) -> Duration {
    let longest = LONGEST_PAUSE_AT_FIRST.max(elapsed.saturating_sub(AT_FIRST) / 8).min(LONGEST_PAUSE);
    (elapsed / 8).clamp(SHORTEST_PAUSE, longest)
}

/// The time until the system's clock reaches the next multiple of `pause`. All pauses end at the same time,
/// so the processor wakes up once for all probes.
fn until_next(pause: Duration) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0));
    pause - Duration::from_nanos(u64::try_from(now.as_nanos() % pause.as_nanos().max(1)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
