//! The supervisor as seen by clients: its process number, whether it is stopped, and whether it still
//! answers. Clients check this before they wait any longer.

use std::time::{Duration, Instant};

use crate::execute::tree;
use crate::serve::client::socket_path::{Reached, SupervisorLocation};
use crate::serve::client::{RefusedRequest, SupervisorClient, WaitLimit};
use crate::serve::protocol::RequestRefusal;

/// How long a supervisor may take for a reply that needs no waiting.
pub const PROMPT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct SupervisorProcess {
    pub place: SupervisorLocation,
    /// `None`: not known.
    pub pid: Option<u32>,
}

impl SupervisorProcess {
    /// The process of a location, by the text of its lock.
    pub fn at(place: &SupervisorLocation) -> Self {
        Self { place: place.clone(), pid: place.supervisor_pid() }
    }

    /// Whether a signal (SIGSTOP, or Ctrl-Z in a debugger) has stopped it.
    pub fn is_stopped(&self) -> bool {
        self.pid.is_some_and(tree::is_stopped)
    }

    /// Whether it answers a new connection. One that has just ended counts as answering: its connections end
    /// by themselves.
    pub fn answers(&self) -> bool {
        if self.is_stopped() {
            return false;
        }
        match self.place.connect() {
            Reached::Nothing => true,
            Reached::Busy => false,
            Reached::Supervisor(stream) => {
                SupervisorClient::greet(stream, &self.place, "check", &WaitLimit::of(PROMPT)).is_ok()
            }
        }
    }

    /// The error for a supervisor that does not answer.
    pub fn silent(&self) -> RefusedRequest {
        self.unusable("silent", "does not answer")
    }

    /// The error for a supervisor that closes connections before its first reply.
    pub fn speechless(&self) -> RefusedRequest {
        let mut refused = self.unusable("dropped", "closes every connection without an answer");
        let log = self.place.state_dir.join("supervisor.log");
        refused.0.hints.insert(0, format!("see {}", log.display()));
        refused
    }

    fn unusable(&self, kind: &str, what: &str) -> RefusedRequest {
        let name = self.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
        let mut refusal = RequestRefusal::new(kind, format!("the supervisor of the services{name} {what}"));
        if let Some(pid) = self.pid {
            if self.is_stopped() {
                refusal.hints.push(format!("it is stopped: `kill -CONT {pid}` lets it continue"));
            }
            refusal.hints.push(format!("`kill -KILL {pid}` ends it, and its services with it"));
        }
        RefusedRequest(refusal)
    }
}

impl WaitLimit<'_> {
    /// A limit that long from now.
    pub fn of(patience: Duration) -> Self {
        Self { interrupt: None, until: Some(Instant::now() + patience) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::model::EnvVariables;
    use crate::serve::client::Greeted;

    #[test]
    fn a_closed_connection_does_not_mean_that_no_supervisor_runs() {
        let folder = tempfile::tempdir().unwrap();
        let runtime_dir = [("XDG_RUNTIME_DIR".into(), folder.path().into())];
        let variables: EnvVariables = runtime_dir.into_iter().collect();
        let place = SupervisorLocation::of(&folder.path().join("state"), &variables).unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let stream = UnixStream::connect(&socket).unwrap();
        drop(listener.accept().unwrap());

        let greeted = SupervisorClient::greet(stream, &place, "test", &WaitLimit::of(PROMPT)).unwrap();

        let Greeted::Dropped(supervisor) = greeted else { panic!("the connection was closed") };
        let RefusedRequest(refusal) = supervisor.speechless();
        assert_eq!(refusal.kind, "dropped");
        assert_eq!(refusal.message, "the supervisor of the services closes every connection without an answer");
        let log = folder.path().join("state/supervisor.log");
        assert_eq!(refusal.hints, [format!("see {}", log.display())]);
    }
}
