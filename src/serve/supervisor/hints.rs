//! Hints for a service that ended or failed: mistakes that can be recognized from outside.

use crate::execute::tree;
use crate::python_text::shlex;
use crate::serve::machine::NodeState;
use crate::serve::supervisor::Supervisor;

/// The hint for a program that has put itself into the background.
const DAEMON: &str =
    "it ended and left processes in the background: a service runs in the foreground (without `--daemon` or the like)";

/// Words that only a shell interprets.
const OPERATORS: [&str; 14] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>>", "&>", "2>&1", "1>&2", "|&"];

impl Supervisor {
    /// Whether the service, whose first process has just ended successfully, keeps running in the background.
    pub(super) fn has_gone_into_background(&self, at: usize, code: i32) -> bool {
        let by_itself = matches!(self.machine.state(at), NodeState::Starting | NodeState::Ready);
        let shim = self.slots[at].run.running.as_ref().and_then(|running| running.processes).map(|(_, shim)| shim);
        by_itself && code == 0 && shim.is_some_and(|shim| tree::descendants(shim).len() > 1)
    }

    /// Warns about a service that counts as ended successfully but probably runs in the background.
    pub(super) fn warn_of_background(&self, at: usize) {
        if self.slots[at].run.in_background && self.machine.failure(at).is_none() {
            self.reporter.warning(self.slots[at].prepared.name(), DAEMON.to_owned());
        }
    }

    /// Hints for a failed service.
    pub(super) fn hints(&self, at: usize) -> Vec<String> {
        let slot = &self.slots[at];
        let serve = slot.prepared.definition.service.as_ref().map(|service| service.serve.as_str());
        let daemon = slot.run.in_background.then(|| DAEMON.to_owned());
        daemon.into_iter().chain(serve.and_then(shell_hint)).collect()
    }
}

/// A hint for a command that is meant for a shell.
pub(super) fn shell_hint(serve: &str) -> Option<String> {
    let words = shlex::split(serve).ok()?;
    let word = words.iter().find_map(|word| {
        let ended = word.strip_suffix(';').map(|_| ";");
        OPERATORS.iter().find(|operator| *operator == word).copied().or(ended)
    })?;
    let quote = if serve.contains('\'') { '"' } else { '\'' };
    let remedy = if serve.contains(quote) { "sh -c '…'".to_owned() } else { format!("sh -c {quote}{serve}{quote}") };
    Some(format!("`serve` is not run by a shell, so `{word}` is only an argument: write `serve = {remedy}`"))
}

#[cfg(test)]
mod tests {
    use super::shell_hint;

    #[test]
    fn a_command_for_a_shell_is_known_by_its_operators() {
        for serve in ["a && b", "a || b", "a | b", "a ; b", "a; b", "a > log", "a 2>&1", "a &"] {
            let expected = format!("write `serve = sh -c '{serve}'`");
            assert!(shell_hint(serve).is_some_and(|hint| hint.ends_with(&expected)), "{serve}");
        }
        assert!(shell_hint("echo 'x' && b").is_some_and(|hint| hint.ends_with("`serve = sh -c \"echo 'x' && b\"`")));
        for serve in ["sh -c 'a && b'", "a --x=1;2", "a &&b", "python -m http.server {port}"] {
            assert_eq!(shell_hint(serve), None, "{serve}");
        }
    }
}
