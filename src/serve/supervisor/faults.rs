//! Contains faults in envo itself (panics): the fault of a thread counts as the failure of what the thread does, and a
//! fault while a message is handled ends at most the connection or the start that the message belongs to. All
//! others go on.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::thread::Builder;

use crate::serve::protocol::{Reply, RequestRefusal};
use crate::serve::shim::message::ShimRequest;
use crate::serve::supervisor::{Supervisor, SupervisorMessage};

/// Starts a thread for `work`. After a fault of the thread, the supervisor receives `failure` of its text.
pub fn spawn(
    thread: Builder,
    sender: &Sender<SupervisorMessage>,
    failure: impl FnOnce(String) -> SupervisorMessage + Send + 'static,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let sender = sender.clone();
    let contained = move || {
        if let Err(fault) = catch_unwind(AssertUnwindSafe(work)) {
            let _ = sender.send(failure(text(&*fault)));
        }
    };
    thread.spawn(contained).map(drop)
}

/// What a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultScope {
    Connection(u64),
    Service(usize),
    /// Nothing that could be ended. The fault stands in the supervisor's standard error like all others.
    Supervisor,
}

impl FaultScope {
    fn of(message: &SupervisorMessage) -> Self {
        match message {
            SupervisorMessage::Of { service, .. }
            | SupervisorMessage::Prepared(service, _)
            | SupervisorMessage::Looked(service, _)
            | SupervisorMessage::Finished(service)
            | SupervisorMessage::FileChanged(service, _)
            | SupervisorMessage::Rebuilt(service, _) => Self::Service(*service),
            SupervisorMessage::Found(connection, ..)
            | SupervisorMessage::Connected(connection, ..)
            | SupervisorMessage::Asked(connection, _)
            | SupervisorMessage::Disconnected(connection) => Self::Connection(*connection),
            SupervisorMessage::Report(_) | SupervisorMessage::ListensAt(_) | SupervisorMessage::Signalled(..) => {
                Self::Supervisor
            }
            #[cfg(test)]
            SupervisorMessage::Faulty(scope) => *scope,
        }
    }
}

impl Supervisor {
    /// Handles a message and contains its fault.
    pub(super) fn handle_contained(&mut self, message: SupervisorMessage) {
        let scope = FaultScope::of(&message);
        self.contain(scope, |supervisor| supervisor.handle(message));
    }

    /// Runs `work` and contains its fault.
    pub(super) fn contain(&mut self, scope: FaultScope, work: impl FnOnce(&mut Self)) {
        // What the fault leaves half-done belongs to its scope, which ends.
        let Err(fault) = catch_unwind(AssertUnwindSafe(|| work(self))) else { return };
        let text = text(&*fault);
        // The same fault may be met again on the way.
        let _ = catch_unwind(AssertUnwindSafe(|| self.end_scope(scope, &text)));
    }

    fn end_scope(&mut self, scope: FaultScope, text: &str) {
        match scope {
            FaultScope::Connection(id) => {
                let Some(outbox) = self.clients.connections.get(&id).map(|connection| connection.outbox.clone()) else {
                    return;
                };
                outbox.push(&Reply::Refusal { id: 0, error: RequestRefusal::new("internal", text) });
                outbox.close();
                self.handle(SupervisorMessage::Disconnected(id));
            }
            FaultScope::Service(at) => {
                self.reporter.error(self.slots[at].prepared.name(), text.to_owned());
                // Its end is reported by the thread that reads its output, as that of any service that dies.
                if let Some(running) = &mut self.slots[at].run.running {
                    running.send(ShimRequest::Kill);
                }
            }
            FaultScope::Supervisor => {}
        }
    }
}

fn text(fault: &(dyn Any + Send)) -> String {
    let said = fault.downcast_ref::<String>().map(String::as_str).or_else(|| fault.downcast_ref::<&str>().copied());
    format!("internal error: {}; please report it", said.unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_fault_of_a_thread_is_the_failure_of_what_it_does() {
        let (sender, receiver) = channel();
        let failure = |text| SupervisorMessage::Rebuilt(3, Err(text));
        spawn(Builder::new(), &sender, failure, || panic!("no {}", "way")).unwrap();
        let Ok(SupervisorMessage::Rebuilt(3, Err(text))) = receiver.recv() else { panic!("another message") };
        assert_eq!(text, "internal error: no way; please report it");
        spawn(Builder::new(), &sender, failure, || ()).unwrap();
        drop(sender);
        assert!(receiver.recv().is_err(), "without a fault there is no failure");
    }
}
