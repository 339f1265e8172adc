//! What a probe saw last, in words for people: for reports during a wait, and for every failure.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::python_text::misleads;

/// An attempt that takes longer than this counts as not answered, and the one before it no longer counts.
const OVERDUE: Duration = Duration::from_millis(500);
/// The longest excerpt of a line that another program wrote.
const LONGEST_EXCERPT: usize = 200;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeObservation {
    /// An HTTP status other than the expected one; `None`: any from 200 to 399.
    Status { answered: u16, expected: Option<u16> },
    /// Nothing listens there. `listens`: the other addresses that the service's processes listen on, if
    /// known.
    Refused { listens: Option<Vec<SocketAddr>> },
    /// Any other error of the system or the peer.
    Trouble(String),
    /// No response for this long.
    Silence(Duration),
    /// A command that ended, with the last lines of its output.
    Exit { code: i32, lines: Vec<String> },
}

impl ProbeObservation {
    /// Short, for the end of a line about something else.
    pub fn brief(&self) -> String {
        match self {
            Self::Status { answered, .. } => format!("last answer {answered}"),
            Self::Refused { listens } => format!("connection refused{}", elsewhere(listens.as_deref())),
            Self::Trouble(text) => text.clone(),
            Self::Silence(time) => format!("no answer for {}", HumanDuration(*time)),
            Self::Exit { code, .. } => format!("last {}", ended(*code)),
        }
    }

    /// A sentence about `target`, and further lines if there are any.
    pub fn sentence(&self, target: &str) -> String {
        match self {
            Self::Status { answered, expected: Some(status) } => {
                format!("{target} answered {answered} (expected {status})")
            }
            Self::Status { answered, expected: None } => format!("{target} answered {answered} (expected 200–399)"),
            Self::Silence(time) => format!("{target} gave no answer within {}", HumanDuration(*time)),
            Self::Exit { code, lines } if lines.is_empty() => format!("{target} ended with {}", ended(*code)),
            Self::Exit { code, lines } => {
                format!("{target} ended with {} and these last lines:\n  {}", ended(*code), lines.join("\n  "))
            }
            Self::Refused { .. } | Self::Trouble(_) => format!("{target}: {}", self.brief()),
        }
    }
}

fn ended(code: i32) -> String {
    if code < 0 { format!("signal {}", -code) } else { format!("exit code {code}") }
}

/// The other addresses that a service listens on.
fn elsewhere(listens: Option<&[SocketAddr]>) -> String {
    let Some(addresses) = listens else { return String::new() };
    if addresses.is_empty() {
        return "; the process does not listen on any port".to_owned();
    }
    let one = |address: &SocketAddr| match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() && address.is_ipv4() => address.port().to_string(),
        _ => address.to_string(),
    };
    let mut shown: Vec<String> = addresses.iter().map(one).collect();
    shown.dedup();
    format!("; the process listens on {}", shown.join(", "))
}

/// A time as people read it.
struct HumanDuration(Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.as_secs_f64() * 10.0).round() / 10.0;
        write!(formatter, "{tenths} s")
    }
}

/// A line of another program that is safe to show: short, and without control sequences.
pub fn excerpt(line: &str) -> String {
    let plain: String = line.trim_end().chars().map(|c| if misleads(c) { '?' } else { c }).collect();
    match plain.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// Where the probe's thread leaves what it saw, for those who report it.
#[derive(Debug, Clone, Default)]
pub struct LastObservation(Arc<Mutex<ProbeAttempts>>);

#[derive(Debug, Default)]
struct ProbeAttempts {
    /// When the current attempt began.
    asked: Option<Instant>,
    seen: Option<ProbeObservation>,
}

impl LastObservation {
    pub(super) fn begin(&self) {
        self.0.lock().asked = Some(Instant::now());
    }

    pub(super) fn end(&self, seen: ProbeObservation) {
        let mut attempts = self.0.lock();
        attempts.asked = None;
        // An attempt that had hardly any time left says less than the one before it.
        if !matches!(seen, ProbeObservation::Silence(time) if time < OVERDUE && attempts.seen.is_some()) {
            attempts.seen = Some(seen);
        }
    }

    /// The last observation; an attempt without a response counts as soon as it is overdue.
    pub fn get(&self) -> Option<ProbeObservation> {
        let attempts = self.0.lock();
        let overdue = attempts.asked.map(|asked| asked.elapsed()).filter(|time| *time >= OVERDUE);
        overdue.map(ProbeObservation::Silence).or_else(|| attempts.seen.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_has_a_sentence_and_a_short_form() {
        let target = "http://127.0.0.1:80/";
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let elsewhere =
            vec![address("0.0.0.0:9999"), address("[::]:9999"), address("[::1]:81"), address("127.0.0.1:1")];
        for (seen, sentence, brief) in [
            (
                ProbeObservation::Status { answered: 404, expected: None },
                "http://127.0.0.1:80/ answered 404 (expected 200–399)",
                "last answer 404",
            ),
            (
                ProbeObservation::Status { answered: 200, expected: Some(204) },
                "http://127.0.0.1:80/ answered 200 (expected 204)",
                "last answer 200",
            ),
            (
                ProbeObservation::Refused { listens: None },
                "http://127.0.0.1:80/: connection refused",
                "connection refused",
            ),
            (
                ProbeObservation::Refused { listens: Some(elsewhere) },
                "http://127.0.0.1:80/: connection refused; the process listens on 9999, [::1]:81, 1",
                "connection refused; the process listens on 9999, [::1]:81, 1",
            ),
            (
                ProbeObservation::Refused { listens: Some(Vec::new()) },
                "http://127.0.0.1:80/: connection refused; the process does not listen on any port",
                "connection refused; the process does not listen on any port",
            ),
            (
                ProbeObservation::Silence(Duration::from_millis(2_540)),
                "http://127.0.0.1:80/ gave no answer within 2.5 s",
                "no answer for 2.5 s",
            ),
            (
                ProbeObservation::Exit { code: 3, lines: vec!["a".into(), "b".into()] },
                "http://127.0.0.1:80/ ended with exit code 3 and these last lines:\n  a\n  b",
                "last exit code 3",
            ),
            (
                ProbeObservation::Exit { code: -9, lines: Vec::new() },
                "http://127.0.0.1:80/ ended with signal 9",
                "last signal 9",
            ),
        ] {
            assert_eq!((seen.sentence(target).as_str(), seen.brief().as_str()), (sentence, brief));
        }
    }

    #[test]
    fn lines_of_others_are_short_and_without_control_codes() {
        assert_eq!(excerpt("a\x1b[31m\tb\r"), "a?[31m\tb");
        let long = excerpt(&"é".repeat(100_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (LONGEST_EXCERPT + 1, true));
    }
}
