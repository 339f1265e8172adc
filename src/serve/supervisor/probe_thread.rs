//! Describes what a start of a service waits for and what was seen last: while it takes long, and when it
//! fails.

use crate::serve::probe::{LastObservation, ProbeObservation, ReadinessQuestion, excerpt};
use crate::serve::supervisor::service_context::ReadinessCheck;

/// The longest part of an address or command in a line about something else.
const LONGEST_TARGET: usize = 48;

/// What a probe waits for.
#[derive(Debug, Clone, Default)]
enum ProbeTarget {
    /// The process runs.
    #[default]
    Process,
    /// The process ends: a job.
    End,
    /// A line of output with this pattern.
    Line(String),
    /// A notification by the process.
    Notice,
    /// A response from this address.
    Answer(String),
    /// The success of this command.
    Success(String),
}

#[derive(Debug, Clone, Default)]
pub struct ProbeThread {
    target: ProbeTarget,
    /// The last observations.
    pub seen: LastObservation,
}

impl ProbeThread {
    /// `text`: the probe with its fields filled in.
    pub fn new(asked: &ReadinessCheck, text: &str) -> Self {
        let text = text.trim();
        let target = match asked {
            ReadinessCheck::Process if text == "exit" => ProbeTarget::End,
            ReadinessCheck::Process => ProbeTarget::Process,
            ReadinessCheck::Line(_) => ProbeTarget::Line(text.strip_prefix("log:").unwrap_or(text).trim().to_owned()),
            ReadinessCheck::Question(ReadinessQuestion::Notify(_)) => ProbeTarget::Notice,
            ReadinessCheck::Question(ReadinessQuestion::Command { .. }) => {
                ProbeTarget::Success(text.strip_prefix("cmd:").unwrap_or(text).trim().to_owned())
            }
            // The expected status is reported with the received one.
            ReadinessCheck::Question(_) => {
                ProbeTarget::Answer(text.split('|').next().unwrap_or(text).trim_end().to_owned())
            }
        };
        Self { target, seen: LastObservation::default() }
    }

    /// Waits for the end of a job, which has no probe.
    pub fn for_end() -> Self {
        Self { target: ProbeTarget::End, seen: LastObservation::default() }
    }

    /// What is awaited, and briefly what was seen last.
    pub fn now(&self) -> (String, Option<String>) {
        match &self.target {
            ProbeTarget::Process => ("it to run".to_owned(), None),
            ProbeTarget::End => ("it to end".to_owned(), None),
            ProbeTarget::Line(pattern) => (format!("a line that matches `{}`", shortened(pattern)), None),
            ProbeTarget::Notice => ("`READY=1` on `$NOTIFY_SOCKET`".to_owned(), None),
            ProbeTarget::Answer(text) => (shortened(text), Some(self.brief_observation())),
            ProbeTarget::Success(text) => (format!("`{}`", shortened(text)), Some(self.brief_observation())),
        }
    }

    fn brief_observation(&self) -> String {
        self.seen.get().map_or_else(|| "no answer yet".to_owned(), |seen| seen.brief())
    }

    /// Why it is not ready, as far as the probe knows. `last_line` is the last line of its output.
    pub fn explanation(&self, last_line: Option<&String>) -> Option<String> {
        Some(match &self.target {
            ProbeTarget::Process => return None,
            ProbeTarget::End => "it has not ended".to_owned(),
            ProbeTarget::Line(pattern) => match last_line {
                Some(line) => format!("no line matched `{pattern}` (last line: `{}`)", excerpt(line)),
                None => format!("no line matched `{pattern}` (it has written nothing)"),
            },
            ProbeTarget::Notice => "it has not sent `READY=1` to `$NOTIFY_SOCKET`".to_owned(),
            ProbeTarget::Answer(text) => self.seen_by(text),
            ProbeTarget::Success(text) => self.seen_by(&format!("`{text}`")),
        })
    }

    fn seen_by(&self, target: &str) -> String {
        self.seen.get().map_or_else(|| format!("{target} gave no answer"), |seen| seen.sentence(target))
    }

    /// The same for a service that has ended, if it explains more than that.
    pub fn explanation_of_end(&self) -> Option<String> {
        match &self.target {
            ProbeTarget::Answer(_) | ProbeTarget::Success(_) => {
                let tells = self.seen.get().is_some_and(|seen| !matches!(seen, ProbeObservation::Refused { .. }));
                tells.then(|| self.explanation(None)).flatten()
            }
            ProbeTarget::Process | ProbeTarget::End | ProbeTarget::Line(_) | ProbeTarget::Notice => None,
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TARGET) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(target: ProbeTarget) -> ProbeThread {
        ProbeThread { target, seen: LastObservation::default() }
    }

    #[test]
    fn every_kind_of_probe_explains_what_is_missing() {
        let line = "half way\x07".to_owned();
        for (target, shown, explained) in [
            (ProbeTarget::Process, "it to run", None),
            (ProbeTarget::End, "it to end", Some("it has not ended")),
            (
                ProbeTarget::Line("up on (?P<port>\\d+)".into()),
                "a line that matches `up on (?P<port>\\d+)`",
                Some("no line matched `up on (?P<port>\\d+)` (last line: `half way?`)"),
            ),
            (
                ProbeTarget::Notice,
                "`READY=1` on `$NOTIFY_SOCKET`",
                Some("it has not sent `READY=1` to `$NOTIFY_SOCKET`"),
            ),
            (ProbeTarget::Answer("tcp://a:1".into()), "tcp://a:1", Some("tcp://a:1 gave no answer")),
            (ProbeTarget::Success("pg_isready".into()), "`pg_isready`", Some("`pg_isready` gave no answer")),
        ] {
            let waiting = waiting(target);
            assert_eq!(waiting.now().0, shown);
            assert_eq!(waiting.explanation(Some(&line)).as_deref(), explained);
        }
        let silent = waiting(ProbeTarget::Line("x".into()));
        assert_eq!(silent.explanation(None).unwrap(), "no line matched `x` (it has written nothing)");
        assert_eq!(waiting(ProbeTarget::Answer("é".repeat(100))).now().0.chars().count(), LONGEST_TARGET + 1);
    }
}
