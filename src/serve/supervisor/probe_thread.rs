//! What a start of a service waits for and what was seen of it last, in words: while it takes long, and when it fails.

use crate::serve::probe::{LastSeen, Question, Seen, excerpt};
use crate::serve::supervisor::service_context::Asked;

/// How much of an address or command is shown in a line that is about more than that.
const LONGEST_TARGET: usize = 48;

/// What a probe waits for.
#[derive(Debug, Clone, Default)]
enum Target {
    /// That the process runs.
    #[default]
    Process,
    /// That it ends: a job.
    End,
    /// A line of output with this pattern.
    Line(String),
    /// That it says so itself.
    Notice,
    /// An answer of this address.
    Answer(String),
    /// That this command succeeds.
    Success(String),
}

#[derive(Debug, Clone, Default)]
pub struct Waiting {
    target: Target,
    /// What attempts saw.
    pub seen: LastSeen,
}

impl Waiting {
    /// `text`: the probe with its fields filled in.
    pub fn new(asked: &Asked, text: &str) -> Self {
        let text = text.trim();
        let target = match asked {
            Asked::Process if text == "exit" => Target::End,
            Asked::Process => Target::Process,
            Asked::Line(_) => Target::Line(text.strip_prefix("log:").unwrap_or(text).trim().to_owned()),
            Asked::Question(Question::Notify(_)) => Target::Notice,
            Asked::Question(Question::Command { .. }) => {
                Target::Success(text.strip_prefix("cmd:").unwrap_or(text).trim().to_owned())
            }
            // The status that is expected is said with the one that came.
            Asked::Question(_) => Target::Answer(text.split('|').next().unwrap_or(text).trim_end().to_owned()),
        };
        Self { target, seen: LastSeen::default() }
    }

    /// Waits for a job, which has no probe.
    pub fn for_end() -> Self {
        Self { target: Target::End, seen: LastSeen::default() }
    }

    /// What is waited for, and in brief what was seen last.
    pub fn now(&self) -> (String, Option<String>) {
        match &self.target {
            Target::Process => ("it to run".to_owned(), None),
            Target::End => ("it to end".to_owned(), None),
            Target::Line(pattern) => (format!("a line that matches `{}`", shortened(pattern)), None),
            Target::Notice => ("`READY=1` on `$NOTIFY_SOCKET`".to_owned(), None),
            Target::Answer(text) => (shortened(text), Some(self.seen_in_brief())),
            Target::Success(text) => (format!("`{}`", shortened(text)), Some(self.seen_in_brief())),
        }
    }

    fn seen_in_brief(&self) -> String {
        self.seen.get().map_or_else(|| "no answer yet".to_owned(), |seen| seen.brief())
    }

    /// Why it is not ready, as far as the probe can tell. `last_line` is the last one of its output.
    pub fn explanation(&self, last_line: Option<&String>) -> Option<String> {
        Some(match &self.target {
            Target::Process => return None,
            Target::End => "it has not ended".to_owned(),
            Target::Line(pattern) => match last_line {
                Some(line) => format!("no line matched `{pattern}` (last line: `{}`)", excerpt(line)),
                None => format!("no line matched `{pattern}` (it has written nothing)"),
            },
            Target::Notice => "it has not sent `READY=1` to `$NOTIFY_SOCKET`".to_owned(),
            Target::Answer(text) => self.seen_by(text),
            Target::Success(text) => self.seen_by(&format!("`{text}`")),
        })
    }

    fn seen_by(&self, target: &str) -> String {
        self.seen.get().map_or_else(|| format!("{target} gave no answer"), |seen| seen.sentence(target))
    }

    /// The same for one that has ended, where it says more than that.
    pub fn explanation_of_end(&self) -> Option<String> {
        match &self.target {
            Target::Answer(_) | Target::Success(_) => {
                let tells = self.seen.get().is_some_and(|seen| !matches!(seen, Seen::Refused { .. }));
                tells.then(|| self.explanation(None)).flatten()
            }
            Target::Process | Target::End | Target::Line(_) | Target::Notice => None,
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

    fn waiting(target: Target) -> Waiting {
        Waiting { target, seen: LastSeen::default() }
    }

    #[test]
    fn every_kind_of_probe_says_what_it_waits_for_and_why_that_has_not_come() {
        let line = "half way\x07".to_owned();
        for (target, shown, explained) in [
            (Target::Process, "it to run", None),
            (Target::End, "it to end", Some("it has not ended")),
            (
                Target::Line("up on (?P<port>\\d+)".into()),
                "a line that matches `up on (?P<port>\\d+)`",
                Some("no line matched `up on (?P<port>\\d+)` (last line: `half way?`)"),
            ),
            (Target::Notice, "`READY=1` on `$NOTIFY_SOCKET`", Some("it has not sent `READY=1` to `$NOTIFY_SOCKET`")),
            (Target::Answer("tcp://a:1".into()), "tcp://a:1", Some("tcp://a:1 gave no answer")),
            (Target::Success("pg_isready".into()), "`pg_isready`", Some("`pg_isready` gave no answer")),
        ] {
            let waiting = waiting(target);
            assert_eq!(waiting.now().0, shown);
            assert_eq!(waiting.explanation(Some(&line)).as_deref(), explained);
        }
        let silent = waiting(Target::Line("x".into()));
        assert_eq!(silent.explanation(None).unwrap(), "no line matched `x` (it has written nothing)");
        assert_eq!(waiting(Target::Answer("é".repeat(100))).now().0.chars().count(), LONGEST_TARGET + 1);
    }
}
